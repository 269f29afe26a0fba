"""What a space holds, before anything is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from srsearch.space.space import ENUMERABLE, Candidate, Space

_SAMPLES = 20_000


@dataclass(frozen=True)
class SpaceReport:
    """What a space holds.

    Attributes:
        combinations: Combinations of values on the axes.
        exact: Whether the rest was enumerated; else it is estimated from random combinations.
        designs: Distinct networks that can be built, or None where it is only estimated.
        feasible_designs: Distinct networks within the budget, or None where it is only estimated.
        valid_share: Share of the combinations that can be built.
        feasible_share: Share of the combinations that can be built and are within the budget.
        share_error: Standard error of the shares; 0 where exact.
        ranges: Smallest and largest value of each cost among feasible designs.
        examples: Feasible designs from the cheapest to the most expensive.
    """

    combinations: int
    exact: bool
    designs: int | None
    feasible_designs: int | None
    valid_share: float
    feasible_share: float
    share_error: float
    ranges: dict[str, tuple[int, int]]
    examples: tuple[Candidate, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        examples = [
            {"key": each.design.key, "mult_adds": each.cost.mult_adds, "params": each.cost.params, "axes": each.axes}
            for each in self.examples
            if each.cost is not None
        ]
        return {
            "combinations": self.combinations,
            "exact": self.exact,
            "designs": self.designs,
            "feasible_designs": self.feasible_designs,
            "valid_share": self.valid_share,
            "feasible_share": self.feasible_share,
            "share_error": self.share_error,
            "ranges": {name: list(limits) for name, limits in self.ranges.items()},
            "examples": examples,
        }


def report(space: Space) -> SpaceReport:
    """Count a space: exactly by enumeration where it is small enough, else by random combinations."""
    exact = space.combinations <= ENUMERABLE
    if exact:
        points = list(space.points())
    else:
        rng = np.random.default_rng(0)
        points = [space.random_point(rng) for _ in range(_SAMPLES)]
    valid = [point for point in points if point.cost is not None]
    feasible = {point.design.key: point for point in points if point.broken is None}
    ordered = sorted(feasible.values(), key=lambda point: point.cost.mult_adds if point.cost else 0)
    share = sum(point.broken is None for point in points) / len(points)
    return SpaceReport(
        combinations=space.combinations,
        exact=exact,
        designs=len({point.design.key for point in valid}) if exact else None,
        feasible_designs=len(feasible) if exact else None,
        valid_share=len(valid) / len(points),
        feasible_share=share,
        share_error=0.0 if exact else math.sqrt(max(share * (1 - share), 1 / len(points)) / len(points)),
        ranges=_ranges(ordered),
        examples=tuple(ordered[round(q * (len(ordered) - 1))] for q in (0, 0.25, 0.5, 0.75, 1)) if ordered else (),
    )


def _ranges(feasible: list[Candidate]) -> dict[str, tuple[int, int]]:
    ranges = {}
    for name in ("mult_adds", "params", "activations"):
        values = [getattr(point.cost, name) for point in feasible]
        if values:
            ranges[name] = (min(values), max(values))
    return ranges
