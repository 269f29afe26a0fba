"""Early stopping that takes cost into account: a trial goes on while its next steps promise as much as a new design.

Comparing PSNR at a rung would keep only the largest networks. Instead, the PSNR at a rung is read as an observation of
the final PSNR (`srsearch.search.model.rungs`). From it and the results of all trials, a Gaussian process predicts the
trial's final PSNR with a standard deviation. As costs are known, this gives the trial's expected hypervolume gain
(`srsearch.search.model.expected_gain`). Divided by the share of steps that is left, it is compared with the gain that a
new design promises: the mean expected gain of the study's latest proposals, each predicted without its own results. So
the study's own sampler sets the measure: proposals of random search promise little, and more of its trials go on. At an
earlier rung a trial has to promise less, because the next rung will predict better. A stopped trial continues from its
checkpoint once it promises more than a new design.

As in asynchronous successive halving (Li et al.: A System for Massively Parallel Hyperparameter Tuning, MLSys 2020),
a trial is judged when it reaches a rung, against the trials so far, and may be promoted later. The ranking and the
share that goes on come from the model.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from srsearch.analysis.gaussian_process import Array
from srsearch.objectives import is_cost, objective
from srsearch.search.model.expected_gain import expected_gain
from srsearch.search.model.features import Candidates, FeatureTable
from srsearch.search.model.surrogate import Observations, QualityModel, TrialObservation, sampled, without_end
from srsearch.space import Space
from srsearch.store import TrialRecord

LEAST_FINISHED = 8
"""Number of finished trials before which none is stopped."""

_LATEST = 16
"""Number of latest proposals whose mean gain is what a new design promises."""

_STRICTNESS = 2.0
"""A trial at a rung goes on if it promises this many times the gain of a new design, times its share of steps done."""

_PROMOTION = 1.0
"""A stopped trial continues if it promises this many times the gain of a new design."""


class EarlyStopping:
    """Decides which trials of a study go on at a rung. Its answers depend on its arguments alone.

    Args:
        space: The space, under the study's budget.
        steps: Steps of a whole training.
        seed: Seed for sampling a long history.
        reference: Reference PSNR in dB of the study's hypervolume; by default just below the worst so far.

    Attributes:
        steps: Steps of a whole training.
    """

    def __init__(self, space: Space, *, steps: int, seed: int, reference: float | None = None) -> None:
        self.steps = steps
        self._seed = seed
        self._reference = reference
        self._features = FeatureTable(space)
        self._applies = "psnr" in space.objectives  # curves are of PSNR
        self._columns = [self._features.costs.index(name) for name in space.objectives if is_cost(name)]

    def goes_on(self, number: int, history: Sequence[TrialRecord]) -> bool:
        """Return whether a trial that has reached a rung is trained further.

        Args:
            number: The trial's number.
            history: All trials, including this one with its curve so far.
        """
        trials = self._considered(number, history)
        own = next((trial for trial in trials if trial.number == number), None)
        if own is None or not own.curve:
            return True
        rows, observations = self._observed(trials)
        if not observations.rungs.predicts(max(own.curve)):
            return True  # nothing was learnt about it since it was proposed
        standing = self._standing(trials, rows, observations)
        (row,) = np.flatnonzero(standing.numbers == number)
        threshold = _STRICTNESS * standing.shares[row] * standing.gain_of_new_design(number)
        return bool(standing.promises()[row] >= threshold)

    def promoted(
        self, number: int, history: Sequence[TrialRecord], continuable: Collection[int] | None = None
    ) -> int | None:
        """Return the number of the stopped trial that promises most, if it promises more than a new design.

        Args:
            number: Number of the next trial.
            history: All trials before it.
            continuable: Numbers of the stopped trials that can continue; by default all.
        """
        numbers = {trial.number for trial in history if trial.state == "stopped"}
        numbers &= numbers if continuable is None else set(continuable)
        trials = self._considered(number, history) if numbers else []
        if not trials:
            return None
        standing = self._standing(trials, *self._observed(trials))
        promises = np.where(np.isin(standing.numbers, sorted(numbers)), standing.promises(), -1.0)
        best = int(np.argmax(promises))
        threshold = _PROMOTION * standing.gain_of_new_design(number)
        return int(standing.numbers[best]) if promises[best] >= threshold else None

    def _considered(self, number: int, history: Sequence[TrialRecord]) -> list[TrialObservation]:
        """The trials that a decision is based on; empty while there are too few to decide."""
        trials = [self._observation(trial) for trial in history if trial.state in ("complete", "stopped", "running")]
        if not self._applies or sum(trial.state == "complete" for trial in trials) < LEAST_FINISHED:
            return []
        chosen = set(sampled(trials, np.random.default_rng([self._seed, number])))
        latest = range(max(0, len(trials) - _LATEST), len(trials))
        return [trial for i, trial in enumerate(trials) if i in chosen or i in latest or trial.number == number]

    def _observation(self, trial: TrialRecord) -> TrialObservation:
        positions = self._features.find(trial.axes)
        curve = {int(step): float(psnr) for step, psnr in trial.curve}
        if trial.state != "complete":
            return TrialObservation(
                trial.number, positions, "stopped" if trial.state == "stopped" else "running", curve=curve
            )
        assert trial.psnr is not None
        rows = [objective(self._features.costs[column]) for column in self._columns]
        costs = tuple(row.scaled(row.of(trial)) for row in rows)
        return TrialObservation(trial.number, positions, "complete", (trial.psnr,), costs, without_end(curve))

    def _observed(self, trials: Sequence[TrialObservation]) -> tuple[Candidates, Observations]:
        """The (n,) designs of n trials, and the observations of PSNR that the trials give."""
        rows = self._features.rows(self._features.stacked([trial.positions for trial in trials]))
        return rows, Observations.of(trials, rows)

    def _standing(self, trials: Sequence[TrialObservation], rows: Candidates, observations: Observations) -> _Standing:
        process = QualityModel.fit(self._features, rows, observations).process
        observed = [trials[i] for i in observations.rows.tolist()]
        complete = np.array([trial.state == "complete" for trial in observed])
        worst = float(observations.values[complete].min())
        reference = self._reference if self._reference is not None else worst - 1e-3
        return _Standing(
            numbers=np.array([trial.number for trial in observed]),
            complete=complete,
            shares=np.array([1.0 if t.state == "complete" else max(t.curve) / self.steps for t in observed]),
            costs=rows.costs[observations.rows][:, self._columns],
            expected=process.predict(process.inputs),
            leave_one_out=process.leave_one_out(),
            reference=reference,
            limits=self._features.limits[self._columns],
        )


@dataclass(frozen=True)
class _Standing:
    """What the model predicts for the trials with an observation.

    Attributes:
        numbers: (n,) trial numbers.
        complete: (n,) whether a trial is complete.
        shares: (n,) share of the steps that a trial has done, 0..1.
        costs: (n, k) logarithms of the costs that are objectives.
        expected: Predicted final PSNR and its standard deviation in dB, (n,) each, from all observations.
        leave_one_out: The predictions for each trial without its own observation, in the same form.
        reference: Reference point of the hypervolume: PSNR in dB.
        limits: (k,) reference point of the hypervolume: logarithms of the costs.
    """

    numbers: npt.NDArray[np.int64]
    complete: npt.NDArray[np.bool_]
    shares: Array
    costs: Array
    expected: tuple[Array, Array]
    leave_one_out: tuple[Array, Array]
    reference: float
    limits: Array

    def promises(self) -> Array:
        """(n,) expected gain of each incomplete trial, divided by its share of steps left; 0 for complete trials."""
        gains = np.zeros(len(self.numbers))
        open_rows = np.flatnonzero(~self.complete & (self.shares < 1))  # at its last step a trial is about to complete
        gains[open_rows] = self._gains(open_rows, self.expected, self.complete) / (1 - self.shares[open_rows])
        return gains

    def gain_of_new_design(self, number: int) -> float:
        """Expected gain of a new design: the mean over the latest proposals other than ``number``."""
        latest = [i for i in range(LEAST_FINISHED, len(self.numbers)) if self.numbers[i] != number][-_LATEST:]
        gains = []
        for i in latest:
            others = self.complete.copy()
            others[i] = False
            gains.append(float(self._gains(np.array([i]), self.leave_one_out, others)[0]))
        return float(np.mean(gains)) if gains else 0.0

    def _gains(
        self, rows: npt.NDArray[np.int64], predicted: tuple[Array, Array], front: npt.NDArray[np.bool_]
    ) -> Array:
        """Expected gains of some rows with (n,) predictions, over the designs in a mask (n,)."""
        means, deviations = predicted
        return expected_gain(
            means[rows, None],
            deviations[rows, None],
            self.costs[rows],
            self.expected[0][front, None],
            self.costs[front],
            np.array([self.reference]),
            self.limits,
        )
