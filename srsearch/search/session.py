"""One run of a study, whatever executes it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from srsearch.errors import InputError, WorkError
from srsearch.files import write_whole
from srsearch.search.evaluators.base import Evaluator, Score
from srsearch.search.evaluators.plain import steps_of
from srsearch.search.events import Broken, Event, Failed, Finished, Reported, Stopped
from srsearch.search.interrupts import Interrupts
from srsearch.search.progress import Progress, TrialView
from srsearch.search.study import ROUNDING, Study
from srsearch.search.trial import Trial
from srsearch.store import Damaged, Gone, content_hash, leases
from srsearch.store.locks import own_folder

_Answer = TypeVar("_Answer")

PATIENCE = 30.0
"""Seconds for which a change is retried if the store refuses it, for example on a full disk."""

_GIVE_UP_FIRST, _GIVE_UP_LATER = 8, 20
"""Trials that may fail in a row before the run gives up, before and after the first success."""


@dataclass(frozen=True)
class Goal:
    """When a search has enough.

    Attributes:
        trials: The study's total of finished evaluations, in trainings of the shortest length.
        replicates: How many evaluations, with different seeds, each design of the front is to have then.
        converged: Whether to end earlier, once the front rises less than its noise.
    """

    trials: int
    replicates: int = 1
    converged: bool = False


class Session:
    """One run of a study, whatever executes it: hands out trials and stores their results.

    Args:
        study: The study.
        evaluator: What scores its designs.
        progress: Told what happens.
        goal: When there is enough.
        deadline: Of the monotonic clock; no trial is begun after it.

    Attributes:
        interrupts: Whether somebody wants the run to end.
    """

    def __init__(
        self, study: Study, evaluator: Evaluator, progress: Progress, goal: Goal, deadline: float | None = None
    ) -> None:
        self._study = study
        self._steps = steps_of(evaluator)
        self._progress = progress
        self._goal = goal
        self._deadline = deadline
        self._failed_in_a_row = 0
        self._succeeded = self._enough = self._replicated = self._waiting = False
        self._beaten = time.monotonic()
        self.interrupts = Interrupts()
        self._judge()

    @property
    def over(self) -> bool:
        """Whether nothing is left to begin. Trials that are being evaluated here may still be running."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return self.interrupts.pending or late or not (self._wants_more or self._study.elsewhere)

    def begin(self, worker: int) -> Trial | None:
        """The next trial that needs a worker, or None if there is none to begin now.

        Args:
            worker: Which is free, for the display.
        """
        while not self.over and (trial := self._next()) is not None:
            if not self._settled(trial):
                costs = trial.mult_adds, trial.params
                self._progress.trial_started(
                    TrialView(trial.number, worker, trial.axes, *costs, trial.replicate_of, trial.steps)
                )
                return trial
        return None

    def checkpoint(self, trial: Trial) -> str | None:
        """The place of the trial's checkpoint."""
        return self._study.checkpoint(trial)

    @property
    def checkpoint_folder(self) -> str | None:
        """The folder or URL of the study's checkpoints; None if the evaluator writes none."""
        return None if self._study.checkpoints is None else self._study.checkpoints.folder

    def handle(self, event: Event) -> bool:
        """Record an event.

        Returns:
            For a report: whether the trial goes on.
        """
        trial, going_on = event.trial, True
        match event:
            case Reported():
                *before, (step, psnr) = event.points
                try:
                    going_on = self._study.report(trial, step, psnr, before)
                except WorkError as error:  # losing a point of the curve is better than losing the training
                    self._progress.warning(str(error))
                for reached, psnr in event.points:
                    steps = trial.steps or self._steps or reached
                    self._progress.trial_report(trial.number, reached, steps, psnr)
            case Stopped():
                self._progress.trial_stopped(trial.number)
            case Finished() if event.score.ssim is None and "ssim" in self._study.space.objectives:
                self._fail(trial, "the evaluator gave no SSIM, which is an objective")
            case Finished():
                self._save(trial, event.score, event.seconds)
                self._succeeded, self._failed_in_a_row = True, 0
                self._tell_finished(trial, event.score.psnr, event.seconds, cached=False)
            case Failed():
                self._fail(trial, event.reason)
            case Broken():
                raise WorkError(event.reason)
        return going_on

    def wait_for_others(self) -> None:
        """Wait a moment while only other processes have trials."""
        if not self._waiting:
            self._waiting = True
            self._progress.message(f"waiting for {self._study.elsewhere} designs that another process trains")
        time.sleep(0.25)
        self._patiently(self._study.refresh)

    def save_last(self, events: Iterable[Event]) -> None:
        """Save the trials that finished just as the search ends."""
        trouble: Exception | None = None
        for event in events:
            if isinstance(event, Finished):
                try:
                    self._save(event.trial, event.score, event.seconds)
                except WorkError as error:
                    trouble = trouble or error
        if trouble is not None:
            raise trouble

    def beat(self) -> None:
        """Renew the leases of this process from time to time."""
        if time.monotonic() - self._beaten > leases.HEARTBEAT_SECONDS:
            self._beaten = time.monotonic()
            try:
                self._study.heartbeat()
            except WorkError as error:  # the next heartbeat may succeed
                self._progress.warning(str(error))

    def _next(self) -> Trial | None:
        """The next trial, or None if there is none to begin now."""
        study, wanted = self._study, self._wanted
        if not study.ready:
            return None
        if study.affords(1.0, wanted) or study.elsewhere:
            trial = self._patiently(lambda: study.ask(wanted))
            if trial is not None:
                return trial
        if self._goal.replicates > 1 and not study.running and not self._replicated:
            trial = self._patiently(lambda: study.replicate(self._goal.replicates))
            self._replicated = trial is None and not study.replicating
            return trial
        return None

    @property
    def _wanted(self) -> int:
        return 0 if self._enough or self._study.exhausted else self._goal.trials

    @property
    def _wants_more(self) -> bool:
        return self._study.spent + 1 <= self._wanted + ROUNDING or (self._goal.replicates > 1 and not self._replicated)

    def _judge(self) -> None:
        """Check for convergence, if the search is to end with it."""
        if self._goal.converged and not self._enough:
            convergence = self._patiently(self._study.convergence)
            if convergence.converged:
                self._enough = True
                gain, noise = f"{convergence.gain:.4f}", f"{convergence.threshold:.4f}"
                self._progress.message(f"converged: the front rose by {gain} lately, one training's noise is {noise}")

    def _settled(self, trial: Trial) -> bool:
        """Whether the trial has been evaluated already and needs no worker."""
        known = self._study.cached(trial)
        if known is None:
            return self._recover(trial)
        self._study.finish(trial, known, cached=True)
        self._tell_finished(trial, known.psnr, known.seconds or 0.0, cached=True)
        return True

    def _fail(self, trial: Trial, reason: str) -> None:
        self._patiently(lambda: self._study.fail(trial, reason))
        self._progress.trial_failed(trial.number, reason)
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= (_GIVE_UP_LATER if self._succeeded else _GIVE_UP_FIRST):
            which = "last" if self._succeeded else "first"
            raise WorkError(
                f"the {which} {self._failed_in_a_row} designs of this run all failed, the last one with: {reason}"
            )

    def _tell_finished(self, trial: Trial, psnr: float, seconds: float, *, cached: bool) -> None:
        done = int(self._study.spent + ROUNDING)
        self._progress.trial_finished(trial.number, psnr, seconds, done, cached, self._study.front())
        self._study.tidy()
        if not cached:
            self._judge()

    def _patiently(self, change: Callable[[], _Answer]) -> _Answer:
        """The result of ``change``, which is retried for a while if the store refuses it."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                return change()
            except WorkError as error:
                left = give_up - time.monotonic()
                if left <= 0 or self.interrupts.pending or isinstance(error, Damaged | Gone):
                    raise
                self._progress.warning(f"{error}; trying again for {left:.0f} s")
                time.sleep(min(2.0, PATIENCE / 4))

    def _save(self, trial: Trial, score: Score, seconds: float) -> None:
        """Store a finished evaluation. If the store refuses it for long, save it where the next run looks."""
        try:
            self._patiently(lambda: self._study.tell(trial, score, seconds))
        except (InputError, WorkError) as error:  # InputError: somebody has deleted the study
            message = self._put_aside(trial, score, seconds)
            self._progress.warning(message)
            raise WorkError(f"{error}\n{message}") from None

    def _put_aside(self, trial: Trial, score: Score, seconds: float) -> str:
        content = json.dumps({"seconds": seconds, "score": dataclasses.asdict(score)})
        for path in self._aside(trial):
            with contextlib.suppress(OSError):
                write_whole(path, content)
                return f"the finished evaluation of trial {trial.number} is kept in {path}; the next run takes it up"
        return f"the finished evaluation of trial {trial.number}, which could be kept nowhere: {content}"

    def _recover(self, trial: Trial) -> bool:
        """Whether an earlier run finished this trial but could not store it; stores it now."""
        path = next(filter(Path.is_file, self._aside(trial)), None)
        if path is None:
            return False
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            curve = tuple((int(step), float(psnr)) for step, psnr in content["score"]["curve"])
            score, seconds = Score(**content["score"] | {"curve": curve}), float(content["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        self._patiently(lambda: self._study.tell(trial, score, seconds))
        with contextlib.suppress(OSError):  # of another user: it is found again only if the trial is, too
            path.unlink()
        self._progress.message(f"trial {trial.number}: taken up from {path}")
        self._tell_finished(trial, score.psnr, seconds, cached=False)
        return True

    def _aside(self, trial: Trial) -> list[Path]:
        """Where a finished evaluation is kept while the database takes nothing, best first.

        The name does not depend on the database's, which may be moved. Beside the file, other users and machines find
        it; the folder of this user is for servers, and for databases whose disk is full.
        """
        record, database = self._study.record, self._study.store.path
        identity = [record.space_hash, record.created_at.isoformat(), trial.number, trial.design.key, trial.seed]
        folders = [*([] if database is None else [database.parent]), own_folder()]
        return [folder / f"srsearch-{content_hash(identity)[:16]}.json" for folder in folders]
