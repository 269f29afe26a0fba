"""The surrogate model: a Gaussian process of a design's quality, fitted to final results and values at rungs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from srsearch.analysis.front import non_dominated
from srsearch.analysis.gaussian_process import Array, GaussianProcess
from srsearch.architecture.registry import OptionValue
from srsearch.errors import InputError
from srsearch.search.model.features import Candidates, FeatureTable, Positions
from srsearch.search.model.rungs import Curve, RungModel

MOST_OBSERVATIONS = 240
"""Most trials that a model is fitted to; from more trials, a sample is drawn."""

_MOST_OF_FRONT = 80
"""Most designs of the front; from more, evenly spaced ones are taken."""

_LEAST_PRIOR, _MOST_PRIOR = 4, 120
"""Fewest designs of a prior that is used, and most designs that are taken from it."""


@dataclass(frozen=True)
class TrialObservation:
    """The part of a trial that a model uses.

    Attributes:
        number: The trial's number.
        positions: The positions of its design.
        state: ``complete``; ``stopped`` at a rung; ``running``; or ``failed``, without any result.
        qualities: The qualities among its objectives, larger is better; empty unless complete.
        costs: The costs among its objectives, smaller is better; empty unless complete.
        curve: PSNR in dB by step, without the end.
    """

    number: int
    positions: Positions
    state: Literal["complete", "stopped", "running", "failed"]
    qualities: tuple[float, ...] = ()
    costs: tuple[float, ...] = ()
    curve: Curve = field(default_factory=dict)


def sampled(trials: Sequence[TrialObservation], rng: np.random.Generator, most: int = MOST_OBSERVATIONS) -> list[int]:
    """Choose the trials that a model is fitted to.

    Args:
        trials: All trials.
        rng: Draws the sample.
        most: Largest number of trials to choose.

    Returns:
        Ascending positions of the trials with a result or a curve: all of them, or, if there are more than ``most``,
        the front and a random sample of the others.
    """
    usable = [
        i for i, trial in enumerate(trials) if trial.state == "complete" or (trial.curve and trial.state != "failed")
    ]
    if len(usable) <= most:
        return usable
    done = [i for i in usable if trials[i].state == "complete"]
    front = {done[i] for i in _front([trials[i] for i in done])}
    others = np.array([i for i in usable if i not in front])
    return sorted(front | set(rng.choice(others, size=most - len(front), replace=False).tolist()))


def without_end(curve: Curve) -> Curve:
    """Return a finished trial's curve without its last point."""
    return {step: psnr for step, psnr in curve.items() if step < max(curve)}


def best(trials: Sequence[TrialObservation]) -> list[TrialObservation]:
    """Return the trials that no other one dominates, at most 80 of them, from trials that are all complete."""
    return [trials[i] for i in _front(trials)]


def _front(trials: Sequence[TrialObservation]) -> list[int]:
    if not trials:
        return []
    front = non_dominated(np.array([(*trial.costs, *(-quality for quality in trial.qualities)) for trial in trials]))
    if len(front) > _MOST_OF_FRONT:  # evenly along the first objective
        front = front[np.linspace(0, len(front) - 1, _MOST_OF_FRONT).round().astype(int)]
    return [int(i) for i in front]


@dataclass(frozen=True)
class Observations:
    """Observations of one quality, from trials that have ended or reached a rung.

    Attributes:
        rows: (n,) positions of the trials with an observation, ascending.
        values: (n,) the quality, measured at the end or estimated from a rung.
        variances: (n,) variances of the estimates from rungs; 0 for trials that have ended.
        rungs: The relation between rungs and the end.
    """

    rows: npt.NDArray[np.int64]
    values: Array
    variances: Array
    rungs: RungModel

    @classmethod
    def of(cls, trials: Sequence[TrialObservation], designs: Candidates, quality: int = 0) -> Observations:
        """Collect the observations of trials.

        Args:
            trials: n trials.
            designs: (n,) their designs.
            quality: Position of the quality in `TrialObservation.qualities`.
        """
        complete = [i for i, trial in enumerate(trials) if trial.state == "complete"]
        finals = np.array([trials[i].qualities[quality] for i in complete])
        rungs = RungModel.fit(finals, [trials[i].curve for i in complete], designs.costs[complete])
        observations = dict(zip(complete, ((final, 0.0) for final in finals.tolist()), strict=True))
        for i, trial in enumerate(trials):
            if trial.state in ("stopped", "running"):
                observation = rungs.observation(trial.curve, designs.costs[i])
                if observation is not None:
                    observations[i] = observation
        rows = sorted(observations)
        values, deviations = (np.array([observations[i][part] for i in rows]) for part in (0, 1))
        return cls(np.array(rows, dtype=np.int64), values, deviations**2, rungs)


@dataclass(frozen=True)
class Prior:
    """Results of another study, perhaps with another recipe.

    The other study's values may all be higher or lower than this one's. `shifted` removes the mean difference, and the
    model learns how much the rest can be trusted, because the study is one more axis of a design.

    Attributes:
        rows: (n,) the other study's designs.
        values: (n,) the quality that each reached there.
        groups: `FeatureTable.groups`.
    """

    rows: Candidates
    values: Array
    groups: Sequence[int]

    @classmethod
    def of(cls, table: FeatureTable, results: Sequence[tuple[Mapping[str, OptionValue], float]]) -> Prior | None:
        """Make a prior.

        Args:
            table: The features of the space.
            results: Each design's values on the axes of the space, and its quality. From more than 120 results, 120
                are taken, evenly spaced by rank.

        Returns:
            The prior; None if fewer than 4 of the designs can be built.

        Raises:
            InputError: The space has no such design.
        """
        if len(results) < _LEAST_PRIOR:
            return None
        ranked = sorted(results, key=lambda result: -result[1])
        if len(ranked) > _MOST_PRIOR:
            ranked = [ranked[i] for i in np.linspace(0, len(ranked) - 1, _MOST_PRIOR).round().astype(int)]
        try:
            rows = table.rows(table.stacked([table.find(axes) for axes, _ in ranked]))
        except KeyError as missing:
            raise InputError(f"prior: the space has no design with {missing}") from None
        valid = np.isfinite(rows.costs).all(axis=1)
        values = np.array([value for _, value in ranked])[valid]
        return cls(rows.take(valid), values, table.groups) if len(values) >= _LEAST_PRIOR else None

    @functools.cached_property
    def process(self) -> GaussianProcess:
        """A Gaussian process fitted to these results alone."""
        return GaussianProcess.fit(self.rows.features, self.values, self.groups)

    def shifted(self, features: Array, values: Array) -> Array:
        """Return the prior's values, shifted to the level of this study.

        Args:
            features: (m, d) features of this study's designs.
            values: (m,) their qualities in this study.
        """
        return np.asarray(self.values + float(np.mean(values - self.process.predict(features)[0])))


@dataclass(frozen=True)
class QualityModel:
    """A Gaussian process of one quality.

    Attributes:
        process: The process over the features; with a prior, the study is one more feature.
        informed: Whether there is a prior.
    """

    process: GaussianProcess
    informed: bool = False

    @classmethod
    def fit(
        cls, table: FeatureTable, designs: Candidates, observations: Observations, prior: Prior | None = None
    ) -> QualityModel:
        """Fit the model to at least one observation.

        Args:
            table: The features of the space.
            designs: The designs of all trials.
            observations: The observations of these trials.
            prior: Results of another study.
        """
        features = designs.features[observations.rows]
        if prior is None:
            return cls(GaussianProcess.fit(features, observations.values, table.groups, observations.variances))
        prior_values = prior.shifted(features, observations.values)
        process = GaussianProcess.fit(
            np.concatenate([_of_study(features, 0.0), _of_study(prior.rows.features, 1.0)]),
            np.concatenate([observations.values, prior_values]),
            [*table.groups, max(table.groups) + 1],
            np.concatenate([observations.variances, np.zeros(len(prior_values))]),
        )
        return cls(process, informed=True)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return (n,) means and (n,) standard deviations at (n, d) features, without noise."""
        return self.process.predict(_of_study(features, 0.0) if self.informed else features)

    def fantasize(self, features: Array) -> QualityModel:
        """Return the model after it has also observed its own predictions at (m, d) features.

        Designs in training are treated like this so that the next proposal differs from them: the "kriging believer"
        of Ginsbourger et al., Kriging Is Well-Suited to Parallelize Optimization (2010).
        """
        if not len(features):
            return self
        inputs = _of_study(features, 0.0) if self.informed else features
        return replace(self, process=self.process.fantasize(inputs, self.predict(features)[0]))


def _of_study(features: Array, study: float) -> Array:
    """(n, d + 1) features with the study as the last one: 0 for this study, 1 for the prior's."""
    return np.column_stack([features, np.full(len(features), study)])
