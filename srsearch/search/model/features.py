"""The designs of a space as a model's inputs: rows of features, with exact costs."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from srsearch.analysis.gaussian_process import Array
from srsearch.architecture import Architecture
from srsearch.architecture.registry import OptionValue
from srsearch.objectives import COSTS, Objective, own_costs
from srsearch.space import Space
from srsearch.space.enumeration import Codes, Mask, Table

_RANDOM, _NEIGHBOURS = 1536, 512
"""Random candidates, and candidates that are neighbours of the front's designs."""

_NEAREST = 48
"""Number of designs near a target cost from which one is drawn."""

_MOST_MEASURED = 128
"""Most candidates if a cost is your own: its function may take milliseconds per design."""

Positions = tuple[int, ...]
"""A design as one integer per field of its description: the position among the field's alternatives."""


@dataclass(frozen=True)
class Candidates:
    """Designs of a space with everything known before training: features and exact costs.

    Attributes:
        positions: (n, fields) positions of the alternatives.
        features: (n, d) inputs of a model; NaN in the columns of costs if parts do not fit together.
        costs: (n, k) decimal logarithms of `FeatureTable.costs`.
        feasible: (n,) whether a design is within the budget.
        identity: (n,) equal for combinations that describe the same network; comparable within one table only.
    """

    positions: Codes
    features: Array
    costs: Array
    feasible: Mask
    identity: Codes

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, rows: Any) -> Candidates:
        """Select rows by positions, a mask or a slice."""
        return Candidates(
            self.positions[rows],
            self.features[rows],
            self.costs[rows],
            self.feasible[rows],
            self.identity[rows],
        )


class FeatureTable:
    """Turns designs of a space into features for a model.

    Attributes:
        groups: (d,) number of each feature's axis; each of the counted costs has a number of its own, after the axes.
        costs: Names of the costs: those that srsearch counts, then your own among the space's objectives.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._own = own_costs(space.objectives)
        self.costs = (*COSTS, *(row.name for row in self._own))
        self._fields = list(space.grid.alternatives)
        self._counts = [len(space.grid.alternatives[field]) for field in self._fields]
        self._rows, self.groups = _features(space)
        self._positions = [
            {tuple(sorted(alternative.axes.items())): i for i, alternative in enumerate(space.grid.alternatives[field])}
            for field in self._fields
        ]
        self._names = [
            sorted({name for alternative in space.grid.alternatives[field] for name in alternative.axes})
            for field in self._fields
        ]
        self._known: dict[tuple[tuple[str, OptionValue], ...], Positions] = {}

    @functools.cached_property
    def _sample(self) -> Table:
        """All combinations, or many random ones, from which the range of costs is taken."""
        return self._space.grid.table or self._space.grid.draw(20_000, np.random.default_rng(0))[0]

    @functools.cached_property
    def span(self) -> tuple[Array, Array]:
        """(k,) smallest and (k,) largest logarithm of each counted cost among feasible combinations."""
        inside = self._sample.within(self._space.limits)
        costs = _logarithms(self._sample)[inside]
        return costs.min(axis=0), costs.max(axis=0)

    @functools.cached_property
    def limits(self) -> Array:
        """(k,) logarithms of the reference costs of the hypervolume: the budget, or the largest feasible cost."""
        budget = self._space.budget
        largest = [*self.span[1], *(math.log10(largest_own(self._space, row)) for row in self._own)]
        return np.array([math.log10(budget[n]) if n in budget else largest[i] for i, n in enumerate(self.costs)])

    def find(self, axes: Mapping[str, OptionValue]) -> Positions:
        """Return the positions of a design, given its values on the axes.

        Raises:
            KeyError: The space has no such combination.
        """
        key = tuple(axes.items())
        if key not in self._known:
            self._known[key] = tuple(
                positions[tuple((name, axes[name]) for name in names if name in axes)]
                for positions, names in zip(self._positions, self._names, strict=True)
            )
        return self._known[key]

    def stacked(self, positions: Sequence[Positions]) -> Codes:
        """Stack the positions of n designs to an array (n, fields)."""
        return np.array(positions, dtype=np.int64).reshape(len(positions), len(self._fields))

    def axes(self, positions: Iterable[int]) -> Mapping[str, OptionValue]:
        """Return a design's values on the axes, given its positions."""
        chosen: dict[str, OptionValue] = {}
        for field, position in zip(self._fields, positions, strict=True):
            chosen |= self._space.grid.alternatives[field][position].axes
        return chosen

    def rows(self, positions: Codes) -> Candidates:
        """Return designs with their features and all costs.

        Args:
            positions: (n, fields) positions of the designs.
        """
        return self._with_own(self._counted(positions))

    def _with_own(self, rows: Candidates) -> Candidates:
        """The rows with the user's own costs added; NaN if parts do not fit together."""
        if not self._own:
            return rows
        values = np.full((len(rows), len(self._own)), np.nan)
        for i in np.flatnonzero(~np.isnan(rows.costs[:, 0])):
            design = self._space.grid.at(dict(zip(self._fields, rows.positions[i].tolist(), strict=True))).design
            values[i] = [math.log10(_measured(row, design)) for row in self._own]
        return dataclasses.replace(rows, costs=np.concatenate([rows.costs, values], axis=1))

    def _counted(self, positions: Codes) -> Candidates:
        """The designs at (n, fields) positions with the costs that srsearch counts."""
        table = self._space.grid.table
        if table is None:
            counted = self._space.grid.tabulate({field: positions[:, i] for i, field in enumerate(self._fields)})
        else:
            counted = table.rows(np.ravel_multi_index(tuple(positions.T), self._counts))
        costs = _logarithms(counted)
        low, high = self.span
        scaled = (costs - low) / np.maximum(high - low, 1e-9)
        features = np.concatenate([*(rows[positions[:, i]] for i, rows in enumerate(self._rows)), scaled], axis=1)
        return Candidates(positions, features, costs, counted.within(self._space.limits), counted.identity)

    def candidates(self, rng: np.random.Generator, seen: Codes, front: Codes) -> Candidates:
        """Draw random feasible designs and neighbours of the front's designs; no network comes twice.

        Args:
            rng: Random generator.
            seen: (n, fields) positions of designs to leave out.
            front: (m, fields) positions of the front's designs.
        """
        drawn = np.concatenate([self._random(rng), *self._neighbours(rng, front)])
        rows = self._counted(np.concatenate([seen, drawn]))
        fresh = rows.feasible & ~np.isin(rows.identity, rows.identity[: len(seen)])
        fresh[: len(seen)] = False
        chosen = np.flatnonzero(fresh)
        _, first = np.unique(rows.identity[chosen], return_index=True)
        chosen = chosen[np.sort(first)]
        if self._own and len(chosen) > _MOST_MEASURED:
            chosen = np.sort(rng.choice(chosen, _MOST_MEASURED, replace=False))
        return self._with_own(rows.take(chosen))

    def spread(self, index: int, rng: np.random.Generator, candidates: Candidates) -> Sequence[int]:
        """Choose a candidate near a target Mult-Adds; successive targets fill the range ever more finely.

        Args:
            index: Number of the target: the two ends of the range, then 1/2, 1/4, 3/4, 1/8, ...
            rng: Draws one of the candidates nearest to the target.
            candidates: The designs to choose from; at least one.

        Returns:
            The positions of the chosen design.
        """
        from scipy.stats.qmc import Halton  # imported here because scipy.stats takes long to import

        share = float(index) if index < 2 else float(Halton(1, scramble=False).fast_forward(index - 1).random()[0, 0])
        low, high = (bound[0] for bound in self.span)
        target = low + (0.03 + 0.94 * share) * (high - low)
        near = np.argsort(np.abs(candidates.costs[:, 0] - target), kind="stable")[:_NEAREST]
        chosen: list[int] = candidates.positions[rng.choice(near)].tolist()
        return chosen

    def _random(self, rng: np.random.Generator) -> Codes:
        feasible = self._space.feasible
        if feasible is not None:
            chosen = feasible.indices
            if len(chosen) > _RANDOM:
                chosen = chosen[np.unique(rng.integers(len(chosen), size=_RANDOM))]
            return np.stack(np.unravel_index(chosen, self._counts), axis=1)
        return np.stack([rng.integers(count, size=4 * _RANDOM) for count in self._counts], axis=1)

    def _neighbours(self, rng: np.random.Generator, front: Codes) -> Iterable[Codes]:
        count = max(8, _NEIGHBOURS // len(front)) if len(front) else 0
        rows = np.arange(count)
        for design in front:
            changed = np.tile(design, (count, 1))
            for kept_share in (0.0, 0.5):  # change one field of all, then a second one of half of them
                column = rng.integers(len(self._fields), size=count)
                fresh = rng.integers(np.array(self._counts)[column])
                keep = rng.random(count) < kept_share
                changed[rows, column] = np.where(keep, changed[rows, column], fresh)
            yield changed


def largest_own(space: Space, row: Objective) -> float:
    """Return the largest value of a cost of your own among 64 random feasible designs."""
    rng = np.random.default_rng(0)
    return max(_measured(row, space.sample(rng)) for _ in range(64))


def _measured(row: Objective, design: Architecture) -> float:
    assert row.measure is not None
    return row.measure(design.key, design.to_dict())


def _logarithms(table: Table) -> Array:
    """(n, 3) decimal logarithms of the counted costs; NaN if parts do not fit together."""
    costs = np.stack([getattr(table, name) for name in COSTS], axis=1).astype(np.float64)
    return np.log10(np.where(table.valid[:, None] & (costs > 0), costs, np.nan))


def _features(space: Space) -> tuple[list[Array], list[int]]:
    """For each field its alternatives' features (n, columns), and for each feature the number of its axis or cost.

    Ordered values are scaled to 0..1, by their logarithm if all are positive; 0.5 stands for an axis that does not
    exist. Other axes have one column for each value.
    """
    rows: list[Array] = []
    groups: list[int] = []
    group = 0
    for field, alternatives in space.grid.alternatives.items():
        columns: list[Array] = []
        for axis in (a for a in space.axes if a.name == field or a.name.startswith(f"{field}.")):
            values = [alternative.axes.get(axis.name) for alternative in alternatives]
            if axis.ordered:
                columns.append(_ordered(values, axis.values))
                groups.append(group)
            else:
                for value in axis.values:
                    columns.append(np.array([float(v == value) / math.sqrt(2) for v in values]))
                    groups.append(group)
            group += 1
        rows.append(np.stack(columns, axis=1) if columns else np.zeros((len(alternatives), 0)))
    return rows, [*groups, group, group + 1, group + 2]


def _ordered(values: Sequence[Any], known: Sequence[Any]) -> Array:
    logarithmic = min(known) > 0
    low, high = (math.log(bound) if logarithmic else bound for bound in (min(known), max(known)))
    return np.array([0.5 if v is None else ((math.log(v) if logarithmic else v) - low) / (high - low) for v in values])
