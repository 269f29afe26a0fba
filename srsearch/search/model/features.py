"""The designs of a space as a model sees them: rows of features, with their exact costs."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats.qmc import Halton

from srsearch.analysis.gaussian_process import Array
from srsearch.architecture import Architecture
from srsearch.architecture.registry import OptionValue
from srsearch.objectives import COSTS, Objective, own_costs
from srsearch.space import Space
from srsearch.space.enumeration import Codes, Mask, Table

_RANDOM, _NEIGHBOURS = 1536, 512
_NEAREST = 48
"""Designs near a wanted cost among which one is drawn."""

_MOST_MEASURED = 128
"""Candidates where a cost is the user's own: its function may take milliseconds a design."""

Positions = tuple[int, ...]
"""The position of the alternative of every field of a design's description, in order."""


@dataclass(frozen=True)
class Candidates:
    """Designs of a space with what is known of them before training: their features and exact costs.

    Attributes:
        positions: (n, fields) of the alternatives.
        features: (n, d) what a model sees; NaN in the columns of costs where parts do not fit together.
        costs: (n, k) decimal logarithms of `FeatureTable.costs`.
        feasible: (n,) whether they are within the budget.
        identity: (n,) equal for combinations that describe one network; comparable within one table only.
    """

    positions: Codes
    features: Array
    costs: Array
    feasible: Mask
    identity: Codes

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, which: Any) -> Candidates:
        """Some of the rows, by positions, a mask or a slice."""
        return Candidates(
            self.positions[which],
            self.features[which],
            self.costs[which],
            self.feasible[which],
            self.identity[which],
        )


class FeatureTable:
    """Turns designs of a space into features for a model.

    Attributes:
        groups: For each feature the number of its axis, then those of the counted costs.
        costs: Names of the costs: those that srsearch counts, then the user's own among the space's objectives.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._own = own_costs(space.objectives)
        self.costs = (*COSTS, *(row.name for row in self._own))
        self._fields = list(space.grid.alternatives)
        self._counts = [len(space.grid.alternatives[field]) for field in self._fields]
        self._rows, self.groups = _features(space)
        self._places = [
            {tuple(sorted(alternative.axes.items())): i for i, alternative in enumerate(space.grid.alternatives[field])}
            for field in self._fields
        ]
        self._names = [
            sorted({name for alternative in space.grid.alternatives[field] for name in alternative.axes})
            for field in self._fields
        ]
        self._found: dict[tuple[tuple[str, OptionValue], ...], Positions] = {}

    @functools.cached_property
    def _sample(self) -> Table:
        """All combinations, or many random ones: where costs lie."""
        return self._space.grid.table or self._space.grid.draw(20_000, np.random.default_rng(0))[0]

    @functools.cached_property
    def _span(self) -> tuple[Array, Array]:
        """Smallest and largest logarithm of each cost among feasible combinations."""
        inside = self._sample.within(self._space.limits)
        costs = _logarithms(self._sample)[inside]
        return costs.min(axis=0), costs.max(axis=0)

    @functools.cached_property
    def limits(self) -> Array:
        """(k,) the logarithms of the costs that count up to: the budget, or the largest there is."""
        budget = self._space.budget
        largest = [*self._span[1], *(math.log10(largest_own(self._space, row)) for row in self._own)]
        return np.array([math.log10(budget[n]) if n in budget else largest[i] for i, n in enumerate(self.costs)])

    def find(self, axes: Mapping[str, OptionValue]) -> Positions:
        """The positions of some values of the axes.

        Raises:
            KeyError: The space has no such combination.
        """
        key = tuple(axes.items())
        if key not in self._found:
            self._found[key] = tuple(
                place[tuple((name, axes[name]) for name in names if name in axes)]
                for place, names in zip(self._places, self._names, strict=True)
            )
        return self._found[key]

    def stacked(self, positions: Sequence[Positions]) -> Codes:
        """(n, fields) of n combinations."""
        return np.array(positions, dtype=np.int64).reshape(len(positions), len(self._fields))

    def axes(self, positions: Iterable[int]) -> Mapping[str, OptionValue]:
        """The values of the axes at some positions."""
        chosen: dict[str, OptionValue] = {}
        for field, position in zip(self._fields, positions, strict=True):
            chosen |= self._space.grid.alternatives[field][position].axes
        return chosen

    def rows(self, positions: Codes) -> Candidates:
        """Combinations with their features and costs.

        Args:
            positions: (n, fields).
        """
        return self._with_own(self._counted(positions))

    def _with_own(self, rows: Candidates) -> Candidates:
        """The rows with the costs of the user's own; NaN where parts do not fit together."""
        if not self._own:
            return rows
        values = np.full((len(rows), len(self._own)), np.nan)
        for place in np.flatnonzero(~np.isnan(rows.costs[:, 0])):
            design = self._space.grid.at(dict(zip(self._fields, rows.positions[place].tolist(), strict=True))).design
            values[place] = [math.log10(_measured(row, design)) for row in self._own]
        return dataclasses.replace(rows, costs=np.concatenate([rows.costs, values], axis=1))

    def _counted(self, positions: Codes) -> Candidates:
        """Combinations with the costs that srsearch counts."""
        table = self._space.grid.table
        if table is None:
            found = self._space.grid.tabulate({field: positions[:, i] for i, field in enumerate(self._fields)})
        else:
            found = table.rows(np.ravel_multi_index(tuple(positions.T), self._counts))
        costs = _logarithms(found)
        low, high = self._span
        scaled = (costs - low) / np.maximum(high - low, 1e-9)
        features = np.concatenate([*(rows[positions[:, i]] for i, rows in enumerate(self._rows)), scaled], axis=1)
        return Candidates(positions, features, costs, found.within(self._space.limits), found.identity)

    def candidates(self, rng: np.random.Generator, seen: Codes, front: Codes) -> Candidates:
        """Random feasible designs and neighbours of the front's, without those seen.

        Args:
            rng: Draws them.
            seen: (n, fields) combinations that are no candidates.
            front: (m, fields) combinations whose neighbours are.
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
        """A candidate near one of a few costs spread over the range: the ends first, then ever finer."""
        # 0, 1, 1/2, 1/4, 3/4, 1/8, ...
        share = float(index) if index < 2 else float(Halton(1, scramble=False).fast_forward(index - 1).random()[0, 0])
        low, high = (each[0] for each in self._span)
        wanted = low + (0.03 + 0.94 * share) * (high - low)
        near = np.argsort(np.abs(candidates.costs[:, 0] - wanted), kind="stable")[:_NEAREST]
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
        for own in front:
            each = max(8, _NEIGHBOURS // len(front))
            changed = np.tile(own, (each, 1))
            for more in (0.0, 0.5):  # one field changed, or two
                column = rng.integers(len(self._fields), size=each)
                fresh = rng.integers(np.array(self._counts)[column])
                keep = rng.random(each) < more
                changed[np.arange(each), column] = np.where(keep, changed[np.arange(each), column], fresh)
            yield changed


def largest_own(space: Space, row: Objective) -> float:
    """The largest cost of the user's own among 64 random feasible designs."""
    rng = np.random.default_rng(0)
    return max(_measured(row, space.sample(rng)) for _ in range(64))


def _measured(row: Objective, design: Architecture) -> float:
    assert row.measure is not None
    return row.measure(design.key, design.to_dict())


def _logarithms(table: Table) -> Array:
    """(n, 3) of the costs; NaN where parts do not fit together."""
    costs = np.stack([getattr(table, name) for name in COSTS], axis=1).astype(np.float64)
    return np.log10(np.where(table.valid[:, None] & (costs > 0), costs, np.nan))


def _features(space: Space) -> tuple[list[Array], list[int]]:
    """For each field the features of its alternatives, and for each feature the number of its axis (then of its cost).

    A number lies between 0 and 1 by its logarithm where it can have one, a word has a column of its own for each
    value, and an axis that does not exist lies in the middle.
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
    low, high = (math.log(each) if logarithmic else each for each in (min(known), max(known)))
    return np.array([0.5 if v is None else ((math.log(v) if logarithmic else v) - low) / (high - low) for v in values])
