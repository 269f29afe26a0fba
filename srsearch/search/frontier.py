"""The ``frontier`` sampler: costs are known exactly, so only the quality of designs is guessed.

A Gaussian process is fitted to what finished designs reached, on the space's axes and the exact costs. The next design
is the feasible one with the largest expected gain of hypervolume (`srsearch.search.expected_gain`). The first designs
are spread over the range of costs, which matters most of all. Designs that are being evaluated are taken to reach what
is expected of them, so that parallel workers get different ones. Noise is part of the model: the front that a design
has to gain over is that of the expected qualities, not of lucky measurements.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState
from scipy.stats.qmc import Halton

from srsearch.analysis.gaussian_process import Array, GaussianProcess
from srsearch.architecture.parts import OptionValue
from srsearch.search.expected_gain import expected_gain
from srsearch.search.parameters import decoded, distributions, encoded
from srsearch.space import Space
from srsearch.space.enumeration import Codes, Table

STARTUP = 8
"""Designs spread over the range of costs before the model is asked."""

_CANDIDATES, _NEIGHBOURS = 1536, 512
_MOST_OBSERVATIONS = 240
_COSTS = ("mult_adds", "params", "activations")


class FrontierSampler(BaseSampler):
    """An Optuna sampler for the axes of a `Space`, whose objectives are one quality and any of the space's costs.

    Usable with Optuna alone: suggest the space's axes with `suggest_axes`; give objectives in the space's order.

    Args:
        space: What may be built, under its budget.
        reference: The quality that the hypervolume counts from, such as the PSNR of bicubic upscaling; by default the
            worst so far.
        seed: Of the random candidates; with the same seed and history a trial gets the same design.

    Example:
        >>> sampler = FrontierSampler(space, seed=0)
        >>> study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        >>> study.optimize(lambda trial: evaluate(suggest_axes(trial, space)), n_trials=30)
    """

    def __init__(self, space: Space, *, reference: float | None = None, seed: int | None = None) -> None:
        self._space = space
        self._reference = reference
        self._seed = int(np.random.default_rng(seed).integers(2**32)) if seed is None else seed
        self._distributions = distributions(space)
        self._fallback = RandomSampler(seed=seed)
        self._points = _Points(space)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self._distributions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not self._distributions:
            return {}  # a space of one design
        trials = [each for each in study.get_trials(deepcopy=False) if each.number < trial.number and each.params]
        return encoded(self._space, self._choose(trials, trial.number))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._fallback.sample_independent(study, trial, param_name, param_distribution)

    def _choose(self, trials: Sequence[FrozenTrial], number: int) -> Mapping[str, OptionValue]:
        rng = np.random.default_rng([self._seed, number])
        points = self._points
        counted = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.RUNNING, TrialState.FAIL)]
        seen = [points.find(decoded(self._space, each.params)) for each in counted]
        done = [i for i, each in enumerate(counted) if each.state == TrialState.COMPLETE]
        if len(counted) < STARTUP or len(done) < 3:
            return points.spread(len(counted), rng, {point.key for point in seen})
        chosen = _bounded(done, rng, counted)
        quality = next(i for i, name in enumerate(self._space.objectives) if name in ("psnr", "ssim"))
        values = np.array([counted[i].values[quality] for i in chosen])
        observed = [seen[i] for i in chosen]
        waiting = [seen[i] for i, each in enumerate(counted) if each.state == TrialState.RUNNING]
        front = [observed[int(np.argmax(values))]]
        front += [observed[i] for i in _staircase(values, np.array([p.costs[0] for p in observed]))]
        candidates = points.candidates(rng, front)
        gains = self._gains(candidates, observed, values, waiting)
        known = {point.key for point in seen}
        for index in np.argsort(-gains, kind="stable"):
            point = candidates.point(int(index))
            if point.key not in known:
                return point.axes
        return points.spread(number, rng, known)

    def _gains(
        self, candidates: _Candidates, observed: Sequence[_Point], values: Array, waiting: Sequence[_Point]
    ) -> Array:
        inputs = np.stack([point.features for point in observed])
        model = GaussianProcess.fit(inputs, values, self._points.groups)
        if waiting:
            believed = np.stack([point.features for point in waiting])
            means, _ = model.predict(believed)
            model = model.believing(believed, means)
            observed = [*observed, *waiting]
            inputs = np.concatenate([inputs, believed])
        smooth, _ = model.predict(inputs)
        means, deviations = model.predict(candidates.features)
        chosen = [i for i, name in enumerate(_COSTS) if name in self._space.objectives]
        reference = self._reference if self._reference is not None else float(values.min()) - 1e-3
        return expected_gain(
            means,
            deviations,
            candidates.costs[:, chosen],
            smooth,
            np.stack([point.costs for point in observed])[:, chosen],
            reference,
            self._points.limits[chosen],
        )


def _bounded(done: Sequence[int], rng: np.random.Generator, trials: Sequence[FrozenTrial]) -> list[int]:
    """At most so many finished trials; which, depends on the trial number alone."""
    if len(done) <= _MOST_OBSERVATIONS:
        return list(done)
    return sorted(rng.choice(np.asarray(done), size=_MOST_OBSERVATIONS, replace=False).tolist())


def _staircase(values: Array, costs: Array) -> list[int]:
    """The designs that no cheaper one beats."""
    best, found = -math.inf, []
    for i in np.lexsort((-values, costs)):
        if values[i] > best:
            best = values[i]
            found.append(int(i))
    return found


@dataclass(frozen=True)
class _Point:
    """A design of the space as the model sees it.

    Attributes:
        axes: Its values.
        key: Of the design.
        features: (d,).
        costs: Decimal logarithms of Mult-Adds, parameters and activations.
        positions: Positions of its alternatives, in the order of the fields.
    """

    axes: Mapping[str, OptionValue]
    key: str
    features: Array
    costs: Array
    positions: tuple[int, ...]


@dataclass(frozen=True)
class _Candidates:
    """Feasible combinations: (n, fields) positions, (n, d) features, (n, 3) logarithms of costs."""

    points: _Points
    positions: Codes
    features: Array
    costs: Array

    def point(self, index: int) -> _Point:
        return self.points.at(tuple(self.positions[index].tolist()))


class _Points:
    """The combinations of a space as rows of features."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._fields = list(space.alternatives)
        self._counts = [len(space.alternatives[field]) for field in self._fields]
        self._rows, self.groups = _features(space)
        self._places = [
            {tuple(sorted(alternative.axes.items())): i for i, alternative in enumerate(space.alternatives[field])}
            for field in self._fields
        ]
        self._names = [
            {name for alternative in space.alternatives[field] for name in alternative.axes} for field in self._fields
        ]

    @functools.cached_property
    def _sample(self) -> Table:
        """All combinations, or many random ones: where costs lie."""
        return self._space.table or self._space.draw(20_000, np.random.default_rng(0))[0]

    @functools.cached_property
    def _span(self) -> tuple[Array, Array]:
        """Smallest and largest logarithm of each cost among feasible combinations."""
        inside = self._sample.within(self._space.limits)
        costs = np.stack([np.log10(getattr(self._sample, name)[inside]) for name in _COSTS], axis=1)
        return costs.min(axis=0), costs.max(axis=0)

    @functools.cached_property
    def limits(self) -> Array:
        """The costs that count up to: the budget, or the largest there is."""
        budget = self._space.budget
        largest = self._span[1]
        return np.array([math.log10(budget[n]) if n in budget else largest[i] for i, n in enumerate(_COSTS)])

    def find(self, axes: Mapping[str, OptionValue]) -> _Point:
        """The point at some values of the axes."""
        positions = tuple(
            place[tuple(sorted((name, axes[name]) for name in names if name in axes))]
            for place, names in zip(self._places, self._names, strict=True)
        )
        return self.at(positions)

    @functools.lru_cache(maxsize=65536)  # noqa: B019  (a sampler lives as long as its points)
    def at(self, positions: tuple[int, ...]) -> _Point:
        """The point at some positions of the alternatives."""
        candidate = self._space.at(dict(zip(self._fields, positions, strict=True)))
        cost = candidate.cost
        logs = [math.log10(getattr(cost, name)) if cost else math.nan for name in _COSTS]
        costs = np.array(logs)
        features = self._with_costs(np.array([positions]), costs[None])[0]
        return _Point(candidate.axes, candidate.design.key, features, costs, positions)

    def spread(self, index: int, rng: np.random.Generator, known: set[str]) -> Mapping[str, OptionValue]:
        """A design near one of a few costs spread over the range, the middle ones last."""
        # 0, 1, 1/2, 1/4, 3/4, 1/8, ...: the ends first, then ever finer.
        share = float(index) if index < 2 else float(Halton(1, scramble=False).fast_forward(index - 1).random()[0, 0])
        low, high = (each[0] for each in self._span)
        candidates = self.candidates(rng, [])
        wanted = low + (0.03 + 0.94 * share) * (high - low)
        near = np.argsort(np.abs(candidates.costs[:, 0] - wanted), kind="stable")
        close = near[: max(8, len(near) // 32)]
        for i in [*rng.permutation(close), *near]:
            point = candidates.point(int(i))
            if point.key not in known:
                return point.axes
        return self._space.random_point(rng).axes

    def candidates(self, rng: np.random.Generator, front: Sequence[_Point]) -> _Candidates:
        """Random feasible combinations, and neighbours of the front's."""
        rows = [self._random(rng)]
        for point in front:
            each = max(8, _NEIGHBOURS // len(front))
            changed = np.tile(np.array(point.positions), (each, 1))
            for more in (0.0, 0.5):  # one field changed, or two
                column = rng.integers(len(self._fields), size=each)
                fresh = rng.integers(np.array(self._counts)[column])
                keep = rng.random(each) < more
                changed[np.arange(each), column] = np.where(keep, changed[np.arange(each), column], fresh)
            rows.append(changed)
        positions = np.concatenate(rows)
        table = self._costs(positions)
        inside = table.within(self._space.limits)
        positions = positions[inside]
        costs = np.stack([np.log10(getattr(table, name)[inside]) for name in _COSTS], axis=1)
        return _Candidates(self, positions, self._with_costs(positions, costs), costs)

    def _random(self, rng: np.random.Generator) -> Codes:
        feasible = self._space.feasible
        if feasible is not None:
            chosen = feasible.indices[rng.integers(len(feasible), size=min(_CANDIDATES, 4 * len(feasible)))]
            return np.stack(np.unravel_index(np.unique(chosen), self._counts), axis=1)
        return np.stack([rng.integers(count, size=4 * _CANDIDATES) for count in self._counts], axis=1)

    def _costs(self, positions: Codes) -> Table:
        table = self._space.table
        if table is None:
            return self._space.tabulate({field: positions[:, i] for i, field in enumerate(self._fields)})
        return table.rows(np.ravel_multi_index(tuple(positions.T), self._counts))

    def _with_costs(self, positions: Codes, costs: Array) -> Array:
        low, high = self._span
        scaled = (costs - low) / np.maximum(high - low, 1e-9)
        return np.concatenate([*(rows[positions[:, i]] for i, rows in enumerate(self._rows)), scaled], axis=1)


def _features(space: Space) -> tuple[list[Array], list[int]]:
    """For each field the features of its alternatives, and for each feature the number of its axis (then of its cost).

    A number lies between 0 and 1 by its logarithm where it can have one, a word has a column of its own for each
    value, and an axis that does not exist lies in the middle.
    """
    rows: list[Array] = []
    groups: list[int] = []
    group = 0
    for field, alternatives in space.alternatives.items():
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
