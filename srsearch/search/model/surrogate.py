"""What is known of the quality of the designs of a study: results, rungs and a Gaussian process over both."""

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
"""Trials that a model is fitted to; of more, a sample."""

_MOST_OF_FRONT = 80
_LEAST_PRIOR, _MOST_PRIOR = 4, 120


@dataclass(frozen=True)
class TrialObservation:
    """A trial as a model sees it.

    Attributes:
        number: Of the trial.
        positions: Of its design.
        state: ``complete``; ``stopped`` at a rung; ``running``; or ``failed``, of which nothing is known.
        qualities: What it reached, larger is better; empty unless complete.
        costs: The objectives that are to be small; empty unless complete.
        curve: PSNR by step, without the end.
    """

    number: int
    positions: Positions
    state: Literal["complete", "stopped", "running", "failed"]
    qualities: tuple[float, ...] = ()
    costs: tuple[float, ...] = ()
    curve: Curve = field(default_factory=dict)


def sampled(trials: Sequence[TrialObservation], rng: np.random.Generator, most: int = MOST_OBSERVATIONS) -> list[int]:
    """Positions of at most so many trials that say something: of more, the front and a random sample of the others."""
    telling = [
        i for i, trial in enumerate(trials) if trial.state == "complete" or (trial.curve and trial.state != "failed")
    ]
    if len(telling) <= most:
        return telling
    done = [i for i in telling if trials[i].state == "complete"]
    kept = {done[i] for i in _front([trials[i] for i in done])}
    others = np.array([i for i in telling if i not in kept])
    return sorted(kept | set(rng.choice(others, size=most - len(kept), replace=False).tolist()))


def without_end(curve: Curve) -> Curve:
    """The rungs of a finished trial's curve."""
    return {step: psnr for step, psnr in curve.items() if step < max(curve)}


def best(trials: Sequence[TrialObservation]) -> list[TrialObservation]:
    """The complete trials that no other beats."""
    return [trials[i] for i in _front(trials)]


def _front(trials: Sequence[TrialObservation]) -> list[int]:
    if not trials:
        return []
    front = non_dominated(np.array([(*trial.costs, *(-each for each in trial.qualities)) for trial in trials]))
    if len(front) > _MOST_OF_FRONT:  # evenly along the first objective
        front = front[np.linspace(0, len(front) - 1, _MOST_OF_FRONT).round().astype(int)]
    return [int(i) for i in front]


@dataclass(frozen=True)
class Observations:
    """What trials say of one quality.

    Attributes:
        which: (n,) positions of the trials that say something.
        values: (n,) the quality, measured at the end or read from a rung.
        variances: (n,) of the reading; 0 where it was measured at the end.
        rungs: What rungs say of the end.
    """

    which: npt.NDArray[np.int64]
    values: Array
    variances: Array
    rungs: RungModel

    @classmethod
    def of(cls, trials: Sequence[TrialObservation], rows: Candidates, quality: int = 0) -> Observations:
        """Observations of trials.

        Args:
            trials: n of them.
            rows: (n,) their designs.
            quality: The position of the quality among a trial's.
        """
        complete = [i for i, trial in enumerate(trials) if trial.state == "complete"]
        finals = np.array([trials[i].qualities[quality] for i in complete])
        rungs = RungModel.fit(finals, [trials[i].curve for i in complete], rows.costs[complete])
        found = dict(zip(complete, ((final, 0.0) for final in finals.tolist()), strict=True))
        for i, trial in enumerate(trials):
            if trial.state in ("stopped", "running"):
                observation = rungs.observation(trial.curve, rows.costs[i])
                if observation is not None:
                    found[i] = observation
        which = sorted(found)
        values, deviations = (np.array([found[i][part] for i in which]) for part in (0, 1))
        return cls(np.array(which, dtype=np.int64), values, deviations**2, rungs)


@dataclass(frozen=True)
class Prior:
    """Results of another study, perhaps with another recipe.

    Its values may lie higher or lower as a whole, which is taken off by what both studies expect of this one's designs;
    how far they can be trusted beyond that, the model learns: a study is one more axis of a design.

    Attributes:
        rows: (n,) its designs.
        values: (n,) what they reached there.
        groups: Of the features.
    """

    rows: Candidates
    values: Array
    groups: Sequence[int]

    @classmethod
    def of(cls, table: FeatureTable, results: Sequence[tuple[Mapping[str, OptionValue], float]]) -> Prior | None:
        """From values of the space's axes and what was reached there; of many, some evenly over what was reached.

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
        rows, values = rows.take(built := np.isfinite(rows.costs).all(axis=1)), np.array([v for _, v in ranked])[built]
        return cls(rows, values, table.groups) if len(values) >= _LEAST_PRIOR else None

    @functools.cached_property
    def process(self) -> GaussianProcess:
        """Fitted to it alone."""
        return GaussianProcess.fit(self.rows.features, self.values, self.groups)

    def shifted(self, features: Array, values: Array) -> Array:
        """Its values, as high as those of this study (n,) at some features (n, d)."""
        return np.asarray(self.values + float(np.mean(values - self.process.predict(features)[0])))


@dataclass(frozen=True)
class QualityModel:
    """A process of one quality.

    Attributes:
        process: On the features, with which study it was as one more where there is a prior.
        informed: Whether there is.
    """

    process: GaussianProcess
    informed: bool = False

    @classmethod
    def fit(cls, table: FeatureTable, rows: Candidates, seen: Observations, prior: Prior | None = None) -> QualityModel:
        """Fit to at least one observation.

        Args:
            table: The space.
            rows: The designs of all trials.
            seen: What these say.
            prior: Results of another study.
        """
        features = rows.features[seen.which]
        if prior is None:
            return cls(GaussianProcess.fit(features, seen.values, table.groups, seen.variances))
        before = prior.shifted(features, seen.values)
        process = GaussianProcess.fit(
            np.concatenate([_of_study(features, 0.0), _of_study(prior.rows.features, 1.0)]),
            np.concatenate([seen.values, before]),
            [*table.groups, max(table.groups) + 1],
            np.concatenate([seen.variances, np.zeros(len(before))]),
        )
        return cls(process, informed=True)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """(n,) means and (n,) standard deviations at (n, d) features, without noise."""
        return self.process.predict(_of_study(features, 0.0) if self.informed else features)

    def fantasize(self, features: Array) -> QualityModel:
        """The model after it has also observed its own predictions at ``features`` (m, d).

        Designs in training are treated so, as in Ginsbourger et al. (2010), "kriging believer": then the next
        proposal differs from them.
        """
        if not len(features):
            return self
        inputs = _of_study(features, 0.0) if self.informed else features
        return replace(self, process=self.process.fantasize(inputs, self.predict(features)[0]))


def _of_study(features: Array, study: float) -> Array:
    return np.column_stack([features, np.full(len(features), study)])
