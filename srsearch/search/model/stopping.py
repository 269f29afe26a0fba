"""Early stopping that understands cost: a trial goes on while it promises as much for its remaining steps as a new one.

Comparing PSNR at a rung would keep only the largest networks. Here a rung's PSNR is read as an observation of the
final one (`srsearch.search.model.rungs`); with it and the results of all trials a Gaussian process says what the trial
will reach, and how sure that is; and that gives its expected gain of hypervolume
(`srsearch.search.model.expected_gain`), costs being known. Divided by the share of the steps that is left, it is
compared with what a new design promises: the mean expected gain of the study's latest proposals, each as it would be
expected had it not been trained. So the measure is the study's own sampler: what random search proposes promises
little, and more of its trials go on. The earlier the rung, the less a trial has to promise, for the next rung may tell
better. A trial that was stopped is taken up again, from its checkpoint, once it promises more than a new one.

This is asynchronous successive halving (Li et al.: A System for Massively Parallel Hyperparameter Tuning, MLSys 2020)
in that trials are judged whenever they come to a rung, by the trials there are, and may be promoted later; the ranking
and the share that goes on come from the model.
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
"""Finished trials before any is stopped."""

_LATEST = 16
"""Proposals that say what a new design promises."""

_STRICTNESS = 2.0
_PROMOTION = 1.0
"""How many times what a new design promises a trial has to promise: at a rung, times the share of the steps done; to be
taken up again."""


class EarlyStopping:
    """Which trials of a study go on at a rung. What it says depends on its arguments alone.

    Args:
        space: The space, under the study's budget.
        steps: Of a whole training.
        seed: Of the sample of a long history.
        reference: The PSNR that the study's hypervolume counts from; by default the worst so far.

    Attributes:
        steps: Of a whole training.
    """

    def __init__(self, space: Space, *, steps: int, seed: int, reference: float | None = None) -> None:
        self.steps = steps
        self._seed = seed
        self._reference = reference
        self._features = FeatureTable(space)
        self._applies = "psnr" in space.objectives  # curves are of PSNR
        self._columns = [self._features.costs.index(name) for name in space.objectives if is_cost(name)]

    def goes_on(self, number: int, history: Sequence[TrialRecord]) -> bool:
        """Whether a trial that came to a rung is trained further.

        Args:
            number: Of the trial.
            history: All trials, itself among them with its curve so far.
        """
        told = self._told(number, history)
        own = next((trial for trial in told if trial.number == number), None)
        if own is None or not own.curve:
            return True
        rows, seen = self._observed(told)
        if not seen.rungs.says(max(own.curve)):
            return True  # nothing has been learnt since it was proposed
        standing = self._standing(told, rows, seen)
        (place,) = np.flatnonzero(standing.numbers == number)
        wanted = _STRICTNESS * standing.shares[place] * standing.of_a_new_design(number)
        return bool(standing.promises()[place] >= wanted)

    def promoted(
        self, number: int, history: Sequence[TrialRecord], continuable: Collection[int] | None = None
    ) -> int | None:
        """The stopped trial that promises more than a new design, if there is one.

        Args:
            number: The next trial's.
            history: All trials before it.
            continuable: The stopped trials that can be continued; by default all.
        """
        numbers = {trial.number for trial in history if trial.state == "stopped"}
        numbers &= numbers if continuable is None else set(continuable)
        told = self._told(number, history) if numbers else []
        if not told:
            return None
        rows, seen = self._observed(told)
        standing = self._standing(told, rows, seen)
        promises = np.where(np.isin(standing.numbers, sorted(numbers)), standing.promises(), -1.0)
        best = int(np.argmax(promises))
        return int(standing.numbers[best]) if promises[best] >= _PROMOTION * standing.of_a_new_design(number) else None

    def _told(self, number: int, history: Sequence[TrialRecord]) -> list[TrialObservation]:
        """The trials that a decision is made from; none while that is too early."""
        seen = [self._observation(trial) for trial in history if trial.state in ("complete", "stopped", "running")]
        if not self._applies or sum(trial.state == "complete" for trial in seen) < LEAST_FINISHED:
            return []
        chosen = set(sampled(seen, np.random.default_rng([self._seed, number])))
        latest = range(max(0, len(seen) - _LATEST), len(seen))
        return [trial for i, trial in enumerate(seen) if i in chosen or i in latest or trial.number == number]

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

    def _observed(self, told: Sequence[TrialObservation]) -> tuple[Candidates, Observations]:
        rows = self._features.rows(self._features.stacked([trial.positions for trial in told]))
        return rows, Observations.of(told, rows)

    def _standing(self, told: Sequence[TrialObservation], rows: Candidates, seen: Observations) -> _Standing:
        process = QualityModel.fit(self._features, rows, seen).process
        trials = [told[i] for i in seen.which.tolist()]
        complete = np.array([trial.state == "complete" for trial in trials])
        reference = self._reference if self._reference is not None else float(seen.values[complete].min()) - 1e-3
        return _Standing(
            numbers=np.array([trial.number for trial in trials]),
            complete=complete,
            shares=np.array([1.0 if t.state == "complete" else max(t.curve) / self.steps for t in trials]),
            costs=rows.costs[seen.which][:, self._columns],
            expected=process.predict(process.inputs),
            leave_one_out=process.leave_one_out(),
            reference=reference,
            limits=self._features.limits[self._columns],
        )


@dataclass(frozen=True)
class _Standing:
    """The trials that say something, as a model has them.

    Attributes:
        numbers: (n,) of the trials.
        complete: (n,) whether they are.
        shares: (n,) of the steps that they have done.
        costs: (n, k) logarithms of the costs that are objectives.
        expected: (n,) PSNR and its standard deviation, by all that is known.
        leave_one_out: What is expected without the trial's own results, in the same form.
        reference: PSNR that counts from.
        limits: (k,) the costs that count up to.
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
        """(n,) expected gain of each trial that is not complete, for a whole training's worth of the steps left."""
        gains = np.zeros(len(self.numbers))
        left = np.flatnonzero(~self.complete & (self.shares < 1))  # one at its last step is about to be complete
        gains[left] = self._gains(left, self.expected, self.complete) / (1 - self.shares[left])
        return gains

    def of_a_new_design(self, number: int) -> float:
        """Expected gain of a new design, by what the latest proposals but one promised."""
        latest = [i for i in range(LEAST_FINISHED, len(self.numbers)) if self.numbers[i] != number][-_LATEST:]
        gains = []
        for i in latest:
            others = self.complete.copy()
            others[i] = False
            gains.append(float(self._gains(np.array([i]), self.leave_one_out, others)[0]))
        return float(np.mean(gains)) if gains else 0.0

    def _gains(
        self, which: npt.NDArray[np.int64], predicted: tuple[Array, Array], front: npt.NDArray[np.bool_]
    ) -> Array:
        means, deviations = predicted
        return expected_gain(
            means[which, None],
            deviations[which, None],
            self.costs[which],
            self.expected[0][front, None],
            self.costs[front],
            np.array([self.reference]),
            self.limits,
        )
