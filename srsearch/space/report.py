"""`report`: the designs, costs and limits of a space, counted before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from srsearch.architecture.registry import OptionValue
from srsearch.objectives import COSTS
from srsearch.space.candidates import Candidate
from srsearch.space.enumeration import Codes, Mask, Table
from srsearch.space.grid import Grid

_SAMPLES = 200_000
_COUNTED_SAMPLES = 400
"""Number of random combinations for which the equal combinations are counted."""


@dataclass(frozen=True)
class Estimate:
    """A counted or estimated number.

    Attributes:
        value: The number.
        error: Its standard error; 0 if it was counted.
    """

    value: float
    error: float = 0.0


@dataclass(frozen=True)
class Binding:
    """The effect of one limit of the budget.

    Attributes:
        cost: Name of the cost.
        limit: Value of the limit, which is an upper limit unless ``lower``.
        lower: Whether it is a lower limit.
        excludes: Share of the valid designs that exceed this limit.
        alone: Share of the valid designs that exceed this limit and no other.
    """

    cost: str
    limit: int
    lower: bool
    excludes: float
    alone: float


@dataclass(frozen=True)
class SpaceReport:
    """The contents of a space.

    Attributes:
        combinations: Number of combinations of values on the axes.
        exact: Whether all combinations were counted; otherwise numbers are estimated from random combinations.
        designs: Number of distinct networks that can be built.
        feasible_designs: Number of distinct networks that can be built and are within the budget.
        valid_share: Share of the combinations that can be built.
        feasible_share: Share of the combinations that can be built and are within the budget.
        ranges: Smallest and largest value of each cost among feasible designs.
        mult_adds_by_scale: Smallest and largest Mult-Adds among them at each scale, if designs have several.
        bindings: The effect of each limit of the budget, sorted by the share of designs that it excludes.
        axes: For each axis, the share of the feasible designs that have each value. Shares sum to less than 1 if the
            axis does not exist in some designs.
        examples: Feasible designs from the cheapest to the most expensive, by Mult-Adds.
        reason: Why no design is within the budget; None if some are.
    """

    combinations: int
    exact: bool
    designs: Estimate
    feasible_designs: Estimate
    valid_share: Estimate
    feasible_share: Estimate
    ranges: dict[str, tuple[int, int]]
    mult_adds_by_scale: dict[int, tuple[int, int]]
    bindings: tuple[Binding, ...]
    axes: dict[str, dict[OptionValue, float]]
    examples: tuple[Candidate, ...]
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        several = len(self.mult_adds_by_scale) > 1
        examples = [
            {
                "key": each.design.key,
                "mult_adds": each.cost.mult_adds,
                "params": each.cost.params,
                **({"by_scale": [asdict(at) for at in each.cost.by_scale.values()]} if several else {}),
                "axes": each.axes,
            }
            for each in self.examples
            if each.cost is not None
        ]
        return {
            "combinations": self.combinations,
            "exact": self.exact,
            "designs": round(self.designs.value),
            "designs_error": self.designs.error,
            "feasible_designs": round(self.feasible_designs.value),
            "feasible_designs_error": self.feasible_designs.error,
            "valid_share": self.valid_share.value,
            "valid_share_error": self.valid_share.error,
            "feasible_share": self.feasible_share.value,
            "feasible_share_error": self.feasible_share.error,
            "reason": self.reason,
            "ranges": {name: list(limits) for name, limits in self.ranges.items()},
            **(
                {"mult_adds_by_scale": {str(scale): list(each) for scale, each in self.mult_adds_by_scale.items()}}
                if several
                else {}
            ),
            "bindings": [vars(each) for each in self.bindings],
            "axis_shares": {
                name: [{"value": value, "share": share} for value, share in shares.items()]
                for name, shares in self.axes.items()
            },
            "examples": examples,
        }


def report(grid: Grid) -> SpaceReport:
    """Count the designs of a space, by enumeration if it is small enough, else by random combinations."""
    if grid.table is not None:
        return _exact(grid, grid.table)
    return _estimated(grid)


def _exact(grid: Grid, table: Table) -> SpaceReport:
    valid = table.distinct(table.valid)
    within = table.within(grid.limits)
    feasible = table.distinct(within)
    return SpaceReport(
        combinations=grid.combinations,
        exact=True,
        designs=Estimate(len(valid)),
        feasible_designs=Estimate(len(feasible)),
        valid_share=Estimate(float(table.valid.mean())),
        feasible_share=Estimate(float(within.mean())),
        ranges=_ranges(table, feasible),
        mult_adds_by_scale=_by_scale(grid, _positions(grid, feasible)),
        bindings=_bindings(grid, table, valid),
        axes=_axis_shares(grid, _positions(grid, feasible)),
        examples=tuple(grid.point(int(index)) for index in _spread(table, feasible)),
        reason=None if len(feasible) else str(grid.impossible(table)),
    )


def _estimated(grid: Grid) -> SpaceReport:
    rng = np.random.default_rng(0)
    table, rows = grid.draw(_SAMPLES, rng)
    within = table.within(grid.limits)
    feasible = np.flatnonzero(within)
    examples = _spread(table, feasible)
    return SpaceReport(
        combinations=grid.combinations,
        exact=False,
        designs=_distinct(grid, rows, table.valid, rng),
        feasible_designs=_distinct(grid, rows, within, rng),
        valid_share=_share(table.valid),
        feasible_share=_share(within),
        ranges=_ranges(table, feasible),
        mult_adds_by_scale=_by_scale(grid, {field: codes[feasible] for field, codes in rows.items()}),
        bindings=_bindings(grid, table, np.flatnonzero(table.valid)),
        axes=_axis_shares(grid, {field: codes[feasible] for field, codes in rows.items()}),
        examples=tuple(grid.at({field: int(codes[index]) for field, codes in rows.items()}) for index in examples),
        reason=None if len(feasible) else str(grid.impossible(table)),
    )


def _by_scale(grid: Grid, positions: Mapping[str, Codes]) -> dict[int, tuple[int, int]]:
    """Smallest and largest Mult-Adds of feasible combinations at each scale, if designs have several."""
    if len(grid.scales) == 1 or not len(next(iter(positions.values()))):
        return {}
    counted = {scale: grid.tabulate(positions, scale).mult_adds for scale in grid.scales}
    return {scale: (int(values.min()), int(values.max())) for scale, values in counted.items()}


def _share(where: Mask) -> Estimate:
    """The share of True in a sample. If all entries are equal, the error is that of one different entry."""
    share = float(where.mean())
    return Estimate(share, math.sqrt(max(share * (1 - share), 1 / len(where)) / len(where)))


def _distinct(grid: Grid, rows: Mapping[str, Codes], where: Mask, rng: np.random.Generator) -> Estimate:
    """Estimate the number of distinct networks among combinations.

    A combination has the weight 1 / n if n combinations describe its network. n is the product, over the fields, of the
    number of alternatives of the field that leave the network unchanged. This is exact if the fields that a network
    ignores are independent of each other, as they nearly always are.

    Args:
        grid: The combinations of the space.
        rows: Random combinations.
        where: Which of them to count.
        rng: Picks the combinations whose weight is computed.
    """
    share = _share(where)
    if not where.any():
        return Estimate(0.0, grid.combinations / len(where))
    picked = rng.permutation(np.flatnonzero(where))[:_COUNTED_SAMPLES]
    drawn = {field: codes[picked] for field, codes in rows.items()}
    weight = np.ones(len(picked))
    for field, alternatives in grid.alternatives.items():
        count = len(alternatives)
        if count == 1:
            continue
        # Identities are comparable within one table only, so the unchanged combinations come first in it.
        varied = {name: np.concatenate([codes, np.tile(codes, count)]) for name, codes in drawn.items()}
        varied[field] = np.concatenate([drawn[field], np.repeat(np.arange(count), len(picked))])
        identity = grid.tabulate(varied).identity
        weight /= (identity[len(picked) :].reshape(count, -1) == identity[: len(picked)]).sum(axis=0)
    mean, spread = float(weight.mean()), float(weight.std()) / math.sqrt(len(weight))
    error = math.hypot(share.value * spread, share.error * mean)
    return Estimate(grid.combinations * share.value * mean, grid.combinations * error)


def _positions(grid: Grid, indices: Codes) -> dict[str, Codes]:
    """The positions of the alternatives in combinations, by field."""
    shape = [len(values) for values in grid.alternatives.values()]
    return dict(zip(grid.alternatives, np.unravel_index(indices, shape), strict=True))


def _axis_shares(grid: Grid, positions: Mapping[str, Codes]) -> dict[str, dict[OptionValue, float]]:
    """The share of designs with each value of each axis."""
    total = max(1, len(next(iter(positions.values()))))
    shares: dict[str, dict[OptionValue, float]] = {axis.name: dict.fromkeys(axis.values, 0.0) for axis in grid.axes}
    for field, alternatives in grid.alternatives.items():
        counts = np.bincount(positions[field], minlength=len(alternatives))
        for alternative, count in zip(alternatives, counts.tolist(), strict=True):
            for name, value in alternative.axes.items():
                shares[name][value] += count / total
    return shares


def _bindings(grid: Grid, table: Table, designs: Codes) -> tuple[Binding, ...]:
    """The effect of each limit of the budget on the designs that can be built."""
    if not len(designs):
        return ()
    outside: list[npt.NDArray[np.bool_]] = []
    for name, sign, limit in grid.limits:
        outside.append(sign * getattr(table, name)[designs] > sign * limit)
    beyond = np.sum(outside, axis=0) if outside else np.zeros(len(designs))
    bindings = [
        Binding(name, limit, sign < 0, float(each.mean()), float((each & (beyond == 1)).mean()))
        for (name, sign, limit), each in zip(grid.limits, outside, strict=True)
    ]
    return tuple(sorted(bindings, key=lambda binding: -binding.excludes))


def _ranges(table: Table, feasible: Codes) -> dict[str, tuple[int, int]]:
    if not len(feasible):
        return {}
    ranges = {}
    for name in COSTS:
        values = getattr(table, name)[feasible]
        ranges[name] = (int(values.min()), int(values.max()))
    return ranges


def _spread(table: Table, feasible: Codes) -> list[int]:
    """Up to five designs at the quartiles of Mult-Adds, from the cheapest to the most expensive."""
    if not len(feasible):
        return []
    ordered = feasible[np.argsort(table.mult_adds[feasible], kind="stable")]
    return [int(ordered[i]) for i in sorted({round(q * (len(ordered) - 1)) for q in (0, 0.25, 0.5, 0.75, 1)})]
