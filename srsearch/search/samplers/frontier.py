"""The ``frontier`` sampler: as costs are known exactly, it models only the quality of designs.

A Gaussian process of quality is fitted over the space's axes and the exact costs. A trial that was stopped at a rung
contributes the estimate of its final PSNR (`srsearch.search.model.rungs`). The next design is the feasible one with the
largest expected hypervolume gain (`srsearch.search.model.expected_gain`). The first designs are spread over the range
of costs, which matters most of all. Designs in training are assumed to reach their predicted quality, so that parallel
workers get different ones. The model includes noise: gains are computed over the front of the predicted qualities, not
over lucky measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from srsearch.analysis.gaussian_process import Array
from srsearch.architecture.registry import OptionValue
from srsearch.objectives import is_cost
from srsearch.search.model.expected_gain import expected_gain
from srsearch.search.model.features import Candidates, FeatureTable
from srsearch.search.model.surrogate import (
    Observations,
    Prior,
    QualityModel,
    TrialObservation,
    best,
    sampled,
    without_end,
)
from srsearch.search.samplers.parameters import decoded, distributions, encoded
from srsearch.space import Space

STARTUP = 8
"""Number of first designs, which are spread over the range of costs; after them the model chooses."""

_STARTUP_INFORMED = 4
"""Number of first designs if there is a prior."""

_LEAST = 3
"""Least number of finished trials before the model chooses."""

_States = Literal["complete", "stopped", "running", "failed"]
_STATES: Mapping[TrialState, _States] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.RUNNING: "running",
    TrialState.FAIL: "failed",
}


class FrontierSampler(BaseSampler):
    """An Optuna sampler for the axes of a `Space`, whose objectives are qualities and any of its costs.

    You can use it with Optuna alone: suggest the space's axes with `suggest_axes`, and return the objectives in the
    space's order, with costs as decimal logarithms. Prune a trial that you stop early, with the PSNR at its rungs as
    intermediate values; a trial that is pruned without any is ignored.

    Args:
        space: The space, under its budget.
        reference: Reference quality of the hypervolume, such as the PSNR in dB of bicubic upscaling; by default just
            below the worst so far.
        seed: Seed of the random candidates; with the same seed and history, a trial gets the same design.
        prior: Results of another study, perhaps with another recipe: each design's values on the axes of the space,
            and its PSNR in dB.

    Raises:
        InputError: The prior has a design that the space does not have.

    Example:
        >>> sampler = FrontierSampler(space, seed=0)
        >>> study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        >>> study.optimize(lambda trial: evaluate(suggest_axes(trial, space)), n_trials=30)
    """

    def __init__(
        self,
        space: Space,
        *,
        reference: float | None = None,
        seed: int | None = None,
        prior: Sequence[tuple[Mapping[str, OptionValue], float]] = (),
    ) -> None:
        self._space = space
        self._reference = reference
        self._seed = int(np.random.default_rng(seed).integers(2**32)) if seed is None else seed
        self._distributions = distributions(space)
        self._fallback = RandomSampler(seed=seed)
        self._features = FeatureTable(space)
        self._prior = Prior.of(self._features, prior)
        self._cache: dict[int, tuple[FrozenTrial, TrialObservation | None]] = {}
        self._qualities = [i for i, name in enumerate(space.objectives) if not is_cost(name)]
        self._costs = [i for i, name in enumerate(space.objectives) if is_cost(name)]

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self._distributions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not self._distributions:
            return {}  # a space of one design
        trials = [each for each in study.get_trials(deepcopy=False) if each.number < trial.number]
        return encoded(self._space, self.choose(trials, trial.number))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._fallback.sample_independent(study, trial, param_name, param_distribution)

    def choose(self, trials: Sequence[FrozenTrial], number: int) -> Mapping[str, OptionValue]:
        """Choose the next design.

        Args:
            trials: The trials before it.
            number: Number of the new trial; part of the random seed.

        Returns:
            The design's values on the axes.
        """
        rng = np.random.default_rng([self._seed, number])
        table = self._features
        seen = [trial for each in trials if (trial := self._cached_observation(each)) is not None]
        known = table.stacked([trial.positions for trial in seen])
        started = sum(trial.state != "failed" for trial in seen)
        startup = STARTUP if self._prior is None else _STARTUP_INFORMED
        if started < startup or sum(trial.state == "complete" for trial in seen) < _LEAST:
            candidates = table.candidates(rng, known, known[:0])
            return table.axes(table.spread(started, rng, candidates)) if len(candidates) else self._any(rng)
        observed = [seen[i] for i in sampled(seen, rng)]
        observed += [trial for trial in seen if trial.state == "running" and not trial.curve]
        complete = [trial for trial in observed if trial.state == "complete"]
        candidates = table.candidates(rng, known, table.stacked([trial.positions for trial in best(complete)]))
        if not len(candidates):
            return self._any(rng)
        gains = self._gains(candidates, observed)
        return table.axes(candidates.positions[int(np.argmax(gains))].tolist())

    def _any(self, rng: np.random.Generator) -> Mapping[str, OptionValue]:
        """A random design, for when no candidate is left."""
        return self._space.random_point(rng).axes

    def _cached_observation(self, trial: FrozenTrial) -> TrialObservation | None:
        """`_observation`, computed once for each trial object."""
        entry = self._cache.get(trial.number)
        if entry is None or entry[0] is not trial:
            entry = self._cache[trial.number] = trial, self._observation(trial)
        return entry[1]

    def _observation(self, trial: FrozenTrial) -> TrialObservation | None:
        """A trial in the model's form; None if it carries no information."""
        if not trial.params or (trial.state == TrialState.PRUNED and not trial.intermediate_values):
            return None
        positions = self._features.find(decoded(self._space, trial.params))
        state = _STATES[trial.state]
        if state != "complete":
            return TrialObservation(trial.number, positions, state, curve=trial.intermediate_values)
        qualities, costs = (tuple(trial.values[i] for i in columns) for columns in (self._qualities, self._costs))
        return TrialObservation(
            trial.number, positions, state, qualities, costs, without_end(trial.intermediate_values)
        )

    def _gains(self, candidates: Candidates, trials: Sequence[TrialObservation]) -> Array:
        """(n,) expected hypervolume gain of each candidate."""
        rows = self._features.rows(self._features.stacked([trial.positions for trial in trials]))
        counted = [i for i, trial in enumerate(trials) if trial.state in ("complete", "running")]
        running = [i for i, trial in enumerate(trials) if trial.state == "running"]
        columns = [self._features.costs.index(self._space.objectives[i]) for i in self._costs]
        models = [
            QualityModel.fit(
                self._features,
                rows,
                Observations.of(trials, rows, quality),
                self._prior if self._space.objectives[position] == "psnr" else None,
            ).fantasize(rows.features[running])
            for quality, position in enumerate(self._qualities)
        ]
        means, deviations = (
            np.stack(part, axis=1)
            for part in zip(*(model.predict(candidates.features) for model in models), strict=True)
        )
        return expected_gain(
            means,
            deviations,
            candidates.costs[:, columns],
            np.stack([model.predict(rows.features[counted])[0] for model in models], axis=1),
            rows.costs[counted][:, columns],
            self._corner(trials),
            self._features.limits[columns],
        )

    def _corner(self, trials: Sequence[TrialObservation]) -> Array:
        """(q,) reference qualities of the hypervolume; just below the worst so far if not given."""
        worst = np.min([trial.qualities for trial in trials if trial.state == "complete"], axis=0)
        corner = np.asarray(worst - 1e-3)
        if self._reference is not None:
            corner[0] = self._reference
        return corner
