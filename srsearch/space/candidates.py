"""Points of a space, and the designs that they describe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

from srsearch.architecture import Architecture
from srsearch.architecture.registry import OptionValue
from srsearch.cost import Cost
from srsearch.space.enumeration import Codes


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point of a space: the values chosen on its axes, the design that they describe, and its cost.

    Attributes:
        axes: One value for every axis that exists at the point.
        design: The canonical design. Several points may describe the same design.
        cost: The cost under the space's convention; None if the parts do not fit together.
        broken: Why the point is not feasible; None if it is.
        violations: First 1 if the design cannot be built, else 0. Then, for each limit of the budget, the relative
            amount by which the cost exceeds it; values up to 0 are within the limit.
    """

    axes: dict[str, OptionValue]
    design: Architecture
    cost: Cost | None
    broken: str | None
    violations: tuple[float, ...]


class Designs(Sequence[Candidate]):
    """The feasible designs of a space, as a sequence that creates each `Candidate` on access.

    Args:
        point: Returns one combination by its number.
        indices: (n,) numbers of combinations, one for each design.
    """

    def __init__(self, point: Callable[[int], Candidate], indices: Codes) -> None:
        self._point = point
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> list[Candidate]: ...
    def __getitem__(self, index: int | slice) -> Candidate | list[Candidate]:
        if isinstance(index, slice):
            return [self._point(int(each)) for each in self.indices[index]]
        return self._point(int(self.indices[index]))
