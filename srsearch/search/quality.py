"""What is known of the quality of the designs of a study: results, rungs and a Gaussian process over both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from srsearch.analysis.front import non_dominated
from srsearch.search.gaussian_process import Array, GaussianProcess
from srsearch.search.points import Points, Positions, Rows
from srsearch.search.rungs import Curve, RungModel

MOST_OBSERVATIONS = 240
"""Trials that a model is fitted to; of more, a sample."""

_MOST_OF_FRONT = 80


@dataclass(frozen=True)
class Seen:
    """A trial as a model sees it.

    Attributes:
        number: Of the trial.
        positions: Of its design.
        state: ``complete``; ``stopped`` at a rung; ``running``; or ``failed``, of which nothing is known.
        qualities: What it reached, larger is better; empty unless complete.
        costs: The objectives that are to be small; empty unless complete.
        curve: PSNR by step.
    """

    number: int
    positions: Positions
    state: Literal["complete", "stopped", "running", "failed"]
    qualities: tuple[float, ...] = ()
    costs: tuple[float, ...] = ()
    curve: Curve = field(default_factory=dict)


def sampled(trials: Sequence[Seen], rng: np.random.Generator, most: int = MOST_OBSERVATIONS) -> list[int]:
    """Positions of at most so many trials that say something: of more, the front and a random sample of the others."""
    telling = [i for i, trial in enumerate(trials) if trial.state == "complete" or (trial.curve and trial.state != "failed")]
    if len(telling) <= most:
        return telling
    done = [i for i in telling if trials[i].state == "complete"]
    kept = {done[i] for i in _front([trials[i] for i in done])}
    others = np.array([i for i in telling if i not in kept])
    return sorted(kept | set(rng.choice(others, size=most - len(kept), replace=False).tolist()))


def best(trials: Sequence[Seen]) -> list[Seen]:
    """The complete trials that no other beats."""
    return [trials[i] for i in _front(trials)]


def _front(trials: Sequence[Seen]) -> list[int]:
    if not trials:
        return []
    front = non_dominated(np.array([(*trial.costs, *(-each for each in trial.qualities)) for trial in trials]))
    if len(front) > _MOST_OF_FRONT:  # evenly along the first objective
        front = front[np.linspace(0, len(front) - 1, _MOST_OF_FRONT).round().astype(int)]
    return [int(i) for i in front]


@dataclass(frozen=True)
class QualityModel:
    """A process of one quality.

    Attributes:
        process: Its observations are the trials that say something, in their order.
        observed: (n,) positions of these trials among those that it was fitted to.
        rungs: What rungs say of the end.
    """

    process: GaussianProcess
    observed: np.ndarray
    rungs: RungModel

    @classmethod
    def fit(cls, points: Points, trials: Sequence[Seen], rows: Rows, which: int = 0) -> QualityModel:
        """Fit to trials, of which at least one is complete.

        Args:
            points: The space.
            trials: n of them.
            rows: (n,) their designs.
            which: Of the qualities.
        """
        complete = [i for i, trial in enumerate(trials) if trial.state == "complete"]
        finals = np.array([trials[i].qualities[which] for i in complete])
        rungs = RungModel.fit(finals, [trials[i].curve for i in complete], rows.costs[complete])
        found = dict(zip(complete, ((final, 0.0) for final in finals.tolist()), strict=True))
        for i, trial in enumerate(trials):
            if trial.state in ("stopped", "running"):
                observation = rungs.observation(trial.curve, rows.costs[i])
                if observation is not None:
                    found[i] = observation
        observed = np.array(sorted(found))
        values = np.array([found[i][0] for i in observed.tolist()])
        variances = np.array([found[i][1] ** 2 for i in observed.tolist()])
        process = GaussianProcess.fit(rows.features[observed], values, points.groups, variances)
        return cls(process, observed, rungs)

    def believing(self, features: Array) -> GaussianProcess:
        """The process as if what it expects at some features (m, d) had been observed."""
        return self.process.believing(features, self.process.predict(features)[0]) if len(features) else self.process
