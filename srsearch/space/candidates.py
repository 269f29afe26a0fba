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
    """A point of a space: the values chosen, the design that they describe, and its cost.

    Attributes:
        axes: One value for every axis that exists there.
        design: The canonical design; several points may have the same one.
        cost: Under the space's convention; None where the parts do not fit together.
        broken: Why it is not feasible, else None.
        violations: First whether it cannot be built (1 or 0), then for each limit of the budget by what share the cost
            is beyond it; up to 0 is within.
    """

    axes: dict[str, OptionValue]
    design: Architecture
    cost: Cost | None
    broken: str | None
    violations: tuple[float, ...]


class Designs(Sequence[Candidate]):
    """The feasible designs of a space, each described when it is asked for.

    Args:
        point: Gives one combination by its number.
        indices: Numbers of combinations, one for each design.
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
