"""The main job: open or continue a study, have its designs evaluated, keep what comes out."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from srsearch.architecture import GRAMMAR_VERSION
from srsearch.errors import InputError, WorkError
from srsearch.search.evaluators import Evaluator, Score, evaluator_for
from srsearch.search.interrupts import Interrupts
from srsearch.search.local import GUARD, WORKER_NAME, Broken, Event, Failed, Finished, LocalExecutor, Reported, Stopped
from srsearch.search.progress import Progress, SilentProgress, StudyInfo, TrialView
from srsearch.search.study import Study, Trial
from srsearch.space import Space
from srsearch.store import Store, StudyRecord, content_hash, leases
from srsearch.store.exclusion import own_folder

if TYPE_CHECKING:
    import pandas as pd

_Answer = TypeVar("_Answer")

PATIENCE = 30.0
"""Seconds in which a change is offered to a store that does not take it, such as one on a full disk."""

_GIVE_UP_FIRST, _GIVE_UP_LATER = 8, 20
"""So many trials may fail in a row, before and after the first success; then something is wrong with all of them."""

_COUNTABLE = 1_000_000
"""The designs of a space with at most so many combinations are counted at the start of a run, in a few seconds."""

_DRAWN = 20_000
"""Random combinations of a space too large to enumerate, when its largest cost is asked for."""


@dataclass(frozen=True)
class RunResult:
    """What a run leaves.

    Attributes:
        study: The study's name.
        done: Its finished evaluations.
        front: Data frame, one row per design on the front.
        exhausted: Whether every feasible design of the space has been seen.
        interrupted: Whether the run ended by Ctrl-C.
    """

    study: str
    done: int
    front: pd.DataFrame
    exhausted: bool = False
    interrupted: bool = False


def run(
    space: Space | str | Path,
    *,
    store: Store | str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    sampler: str | None = None,
    workers: int | None = None,
    data: str | Path | None = None,
    seed: int | None = None,
    start_with: str | None = None,
    device: str = "auto",
    early_stopping: bool | None = None,
    replicates: int = 1,
    until_converged: bool = False,
    new: bool = False,
    evaluator: Evaluator | str | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Search a space: what ``srsearch run`` does.

    A study of this space with the same budget, recipe, data, sampler and seed is continued, else one is created.

    Args:
        space: The space, its file, or the name of one that comes with the package.
        store: The store or its SQLAlchemy URL; by default ``studies/srsearch.db`` in the working directory.
        trials: The study's total of finished evaluations; by default the space's.
        minutes: No new design is started after this time.
        sampler: By default the space's.
        workers: Worker processes; by default the space's, else one for each core, at most four. What is proposed
            depends on their number, what a design scores does not.
        data: ``builtin`` or a folder of images; by default the space's.
        seed: By default the space's.
        start_with: ``catalogue``: the published networks that lie inside the space are evaluated first; by default the
            space's.
        device: ``auto``, ``cpu`` or ``cuda``; only for a study that is created.
        early_stopping: Whether designs that promise little are set aside at a rung; by default the space's.
        replicates: How many evaluations, with different seeds, each design of the front gets at the end.
        until_converged: End before ``trials`` once the front rises less than its noise
            (`srsearch.analysis.converged`).
        new: Create another study even if there is one to continue.
        evaluator: An evaluator of one's own, or a name (``synthetic``, ``module:Class``), instead of the space's.
        progress: Told what happens; by default nobody.

    Raises:
        InputError: The space, the data or the store is not what it should be.
        WorkError: The store could not keep an evaluation, or all designs fail.
    """
    if multiprocessing.current_process().name.startswith(WORKER_NAME):
        raise WorkError(f"srsearch.run was called while a worker process imported your script: {GUARD}")
    opened = space if isinstance(space, Space) else Space.from_yaml(space)
    named = evaluator if isinstance(evaluator, str) else None
    own = evaluator if isinstance(evaluator, Evaluator) else None
    opened = opened.with_settings(
        proxy=_given(data=None if data is None else str(data), evaluator=named),
        search=_given(
            sampler=sampler,
            seed=seed,
            workers=workers,
            trials=trials,
            start_with=start_with,
            early_stopping=early_stopping,
        ),
    )
    opened.sample(np.random.default_rng(0))  # a space without any feasible design ends here, before anything is written
    fresh = own or evaluator_for(opened, None, device=device)
    identity = study_identity(opened, fresh)
    with contextlib.ExitStack() as ending:
        kept = store if isinstance(store, Store) else ending.enter_context(Store(store))
        with kept.alone(f"open {opened.name}"):
            record, resumed = _find_or_create(kept, opened, fresh, identity, new=new)
        if resumed:
            fresh = _as_recorded(record, opened, fresh, device=device, given=own is not None)
        at_once = opened.search.workers or record.workers or default_workers()
        study = ending.enter_context(contextlib.closing(Study(kept, record, opened, fresh, at_once)))
        info = StudyInfo(
            name=study.name,
            where=kept.where,
            resumed=resumed,
            done=study.done,
            target=opened.search.trials,
            workers=at_once,
            space_size=_size(opened) if study.done < opened.search.trials else None,
            seconds=minutes * 60 if minutes else None,
        )
        shown = ending.enter_context(progress or SilentProgress())
        shown.study_opened(info)
        for warning in fresh.warnings:
            shown.warning(warning)
        if study.done >= opened.search.trials:
            shown.message(f"it has its {study.done} designs; a larger --trials goes on, --new starts another study")
        session = _Session(study, fresh, shown, info, Goal(opened.search.trials, replicates, until_converged))
        session.run(deadline=time.monotonic() + minutes * 60 if minutes else None)
        if study.checkpoints is not None and (room := study.checkpoints.room()).files:
            shown.message(f"checkpoints of the front: {room.files} files, {room.size / 1e6:.1f} MB, in {room.folder}")
        if session.interrupts.pending:
            command = "the same command without --new continues" if new else "the same command continues"
            shown.message(f"interrupted: what is finished is saved; {command}")
        shown.study_closed()
        front = kept.front(study.name)
        return RunResult(study.name, study.done, front, study.exhausted, session.interrupts.pending)


@dataclass(frozen=True)
class Goal:
    """When a search has enough.

    Attributes:
        trials: The study's total of finished evaluations.
        replicates: How many evaluations, with different seeds, each design of the front is to have then.
        converged: Whether to end earlier, once the front rises less than its noise.
    """

    trials: int
    replicates: int = 1
    converged: bool = False


class _Session:
    """One run of a study: moves trials from the study to the workers, and results back."""

    def __init__(self, study: Study, evaluator: Evaluator, progress: Progress, info: StudyInfo, goal: Goal) -> None:
        self._study = study
        self._evaluator = evaluator
        self._progress = progress
        self._goal = goal
        self._workers = info.workers
        self._failed_in_a_row = 0
        self._succeeded = False
        self._beaten = time.monotonic()
        self._enough = self._asked_in_vain = False
        self.interrupts = Interrupts()

    def run(self, deadline: float | None) -> None:
        """Until the goal is reached, the deadline has passed, the space is exhausted, or somebody interrupts."""
        self._judge()
        if self._study.done >= self._goal.trials and self._goal.replicates <= 1:
            return
        executor = LocalExecutor(self._evaluator, self._workers, waits=self._study.waits)
        try:
            with self.interrupts:
                try:
                    self._loop(executor, deadline)
                finally:
                    self._drain(executor)
        finally:
            executor.close()

    def _loop(self, executor: LocalExecutor, deadline: float | None) -> None:
        while not self.interrupts.pending:
            late = deadline is not None and time.monotonic() >= deadline
            if not late:
                self._fill(executor)
            if not executor.busy and (late or not self._study.elsewhere):
                return
            self._wait(executor)
            self._beat()

    def _wait(self, executor: LocalExecutor) -> None:
        """For what the workers have to say; and without any, for what other processes do."""
        if executor.busy:
            for event in executor.events(timeout=0.25):
                self._handle(event, executor)
            return
        if not self._asked_in_vain:
            self._asked_in_vain = True
            self._progress.message(f"waiting for {self._study.elsewhere} designs that another process trains")
        time.sleep(0.25)
        self._patiently(self._study.refresh)

    def _beat(self) -> None:
        """Tell others now and then that we are alive."""
        if time.monotonic() - self._beaten > leases.HEARTBEAT_SECONDS:
            self._beaten = time.monotonic()
            try:
                self._study.heartbeat()
            except WorkError as error:  # the next one may do
                self._progress.warning(str(error))

    def _fill(self, executor: LocalExecutor) -> None:
        """Give every idle worker a trial, as far as there is something to ask for."""
        for worker in executor.idle:
            while (trial := self._next()) is not None:
                if not self._settled(trial):
                    view = TrialView(trial.number, worker, trial.axes, trial.mult_adds, trial.params)
                    self._progress.trial_started(view)
                    executor.submit(worker, trial, self._study.checkpoint(trial))
                    break
            if trial is None:
                return

    def _next(self) -> Trial | None:
        """A trial, if there is one to begin now."""
        study = self._study
        if not study.ready:
            return None
        wanted = 0 if self._enough or study.exhausted else self._goal.trials
        if study.done + study.running < wanted or study.elsewhere:
            trial = self._patiently(lambda: study.ask(wanted))
            if trial is not None:
                return trial
        if self._goal.replicates > 1 and not study.running:
            return self._patiently(lambda: study.replicate(self._goal.replicates))
        return None

    def _judge(self) -> None:
        """Whether the search has converged, where that is to end it."""
        if self._goal.converged and not self._enough:
            found = self._patiently(self._study.convergence)
            if found.converged:
                self._enough = True
                self._progress.message(f"converged: {found}")

    def _settled(self, trial: Trial) -> bool:
        """Whether the trial needs no worker, as it has been evaluated already."""
        known = self._study.cached(trial)
        if known is None:
            return self._recover(trial)
        self._study.finish(trial, known, cached=True)
        self._tell_finished(trial, known.psnr, known.seconds or 0.0, cached=True)
        return True

    def _drain(self, executor: LocalExecutor) -> None:
        """Save what workers finished in the moment in which the search ends."""
        trouble: Exception | None = None
        while events := list(executor.events(timeout=0)):
            for event in events:
                if isinstance(event, Finished):
                    try:
                        self._save(event.trial, event.score, event.seconds)
                    except WorkError as error:
                        trouble = trouble or error
        if trouble is not None:
            raise trouble

    def _handle(self, event: Event, executor: LocalExecutor) -> None:
        trial = event.trial
        match event:
            case Reported():
                going_on = True
                try:
                    going_on = self._study.report(trial, event.step, event.psnr)
                except WorkError as error:  # a point of a curve is worth less than the training that goes on
                    self._progress.warning(str(error))
                self._progress.trial_report(trial.number, event.step, self._evaluator.steps or event.step, event.psnr)
                executor.answer(event.worker, going_on)
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
        front = self._patiently(lambda: self._study.store.front(self._study.name))
        self._progress.trial_finished(trial.number, psnr, seconds, self._study.done, cached, front)
        self._study.tidy(front["key"].tolist())
        if not cached:
            self._judge()

    def _patiently(self, change: Callable[[], _Answer]) -> _Answer:
        """What ``change`` gives, trying again for a while as long as the store does not take it."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                return change()
            except WorkError as error:
                left = give_up - time.monotonic()
                if left <= 0 or self.interrupts.pending:
                    raise
                self._progress.warning(f"{error}; trying again for {left:.0f} s")
                time.sleep(min(2.0, PATIENCE / 4))

    def _save(self, trial: Trial, score: Score, seconds: float) -> None:
        """Store a finished evaluation; where that fails for long, put it where the next run looks."""
        try:
            self._patiently(lambda: self._study.tell(trial, score, seconds))
        except (InputError, WorkError) as error:  # InputError: somebody has deleted the study
            kept = self._put_aside(trial, score, seconds)
            self._progress.warning(kept)
            raise WorkError(f"{error}\n{kept}") from None

    def _put_aside(self, trial: Trial, score: Score, seconds: float) -> str:
        content = json.dumps({"seconds": seconds, "score": dataclasses.asdict(score)})
        path = self._aside(trial)
        unfinished = path.with_suffix(".part")
        try:
            unfinished.write_text(content, encoding="utf-8")
            unfinished.replace(path)
        except OSError:
            return f"the finished evaluation of trial {trial.number}, which could be kept nowhere: {content}"
        return f"the finished evaluation of trial {trial.number} is kept in {path}; the next run takes it up"

    def _recover(self, trial: Trial) -> bool:
        """Whether an earlier run had finished this trial and could not store it."""
        path = self._aside(trial)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            curve = tuple((int(step), float(psnr)) for step, psnr in content["score"]["curve"])
            score, seconds = Score(**content["score"] | {"curve": curve}), float(content["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        self._patiently(lambda: self._study.tell(trial, score, seconds))
        path.unlink(missing_ok=True)
        self._progress.message(f"trial {trial.number}: taken up from {path}")
        self._tell_finished(trial, score.psnr, seconds, cached=False)
        return True

    def _aside(self, trial: Trial) -> Path:
        record = self._study.record
        identity = [self._study.store.where, record.name, record.created_at.isoformat(), trial.number, trial.design.key]
        return own_folder() / f"{content_hash(identity)[:16]}.json"


def _size(space: Space) -> int | None:
    """Number of feasible designs, where they are quickly counted."""
    return len(space.feasible or ()) if space.combinations <= _COUNTABLE else None


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _find_or_create(
    store: Store, space: Space, evaluator: Evaluator, identity: str, *, new: bool
) -> tuple[StudyRecord, bool]:
    """The study to go on with, and whether it was there."""
    record = None if new else _matching(store, space.name, identity)
    if record is not None:
        return record, True
    record = _new_record(store, space, evaluator, identity)
    store.create_study(record)
    return record, False


def _as_recorded(record: StudyRecord, space: Space, evaluator: Evaluator, *, device: str, given: bool) -> Evaluator:
    """The evaluator with the runtime that the study was created with: another one would give other scores.

    Raises:
        InputError: The options, the evaluator or the machine do not allow that.
    """
    runtime = record.recipe.get("runtime", {})
    if device != "auto" and runtime.get("device") not in (None, device):
        raise InputError(f"study {record.name!r} runs on {runtime['device']}, not {device}; --new starts another")
    if evaluator.runtime == runtime:
        return evaluator
    if given:
        raise InputError(f"study {record.name!r} was made with the runtime {runtime}, not {evaluator.runtime}")
    return evaluator_for(space, runtime, device=device)


def default_workers() -> int:
    """One for each core that this process may use, at most four: each needs more than half a gigabyte."""
    from srsearch.evaluation.runtime import usable_cores

    return min(usable_cores(), 4)


def study_identity(space: Space, evaluator: Evaluator) -> str:
    """What makes two runs one study: space, budget, objectives, recipe, data, sampler, seed; not how long or fast."""
    search: dict[str, object] = {"sampler": space.search.sampler, "seed": space.search.seed}
    if space.search.start_with != "none":  # which would otherwise have named studies of before it was there
        search["start_with"] = space.search.start_with
    if space.search.early_stopping:
        search["early_stopping"] = True
    content = [GRAMMAR_VERSION, space.identity(), space.objectives, search]
    return content_hash([*content, evaluator.recipe, evaluator.data_fingerprint])


def _matching(store: Store, name: str, identity: str) -> StudyRecord | None:
    """The newest study of this name, or of this name with a number, that is the same."""
    records = [store.study(each) for each in store.study_names() if re.fullmatch(re.escape(name) + r"(-\d+)?", each)]
    same = [record for record in records if record.space_hash == identity]
    return max(same, key=lambda record: record.created_at, default=None)


def _new_record(store: Store, space: Space, evaluator: Evaluator, identity: str) -> StudyRecord:
    taken = set(store.study_names())
    numbered = (space.name if n == 1 else f"{space.name}-{n}" for n in range(1, len(taken) + 2))
    return StudyRecord(
        name=next(name for name in numbered if name not in taken),
        space=space.to_dict(),
        space_text=space.text,
        space_hash=identity,
        scale=space.scale,
        objectives=space.objectives,
        sampler=space.search.sampler,
        seed=space.search.seed,
        recipe=evaluator.recipe | {"runtime": evaluator.runtime},
        data=evaluator.data,
        data_fingerprint=evaluator.data_fingerprint,
        reference=_reference(space, evaluator),
        created_at=datetime.now(UTC),
    )


def _reference(space: Space, evaluator: Evaluator) -> dict[str, float]:
    """Where the hypervolume starts, frozen with the study: nothing gained over bicubic, and the whole budget spent."""
    reference: dict[str, float] = {"psnr": evaluator.reference_psnr, "ssim": 0.0}
    costs: Mapping[str, int] = space.budget
    for name in space.objectives:
        if name not in ("psnr", "ssim"):
            reference[name] = float(costs[name] if name in costs else _largest(space, name))
    return {name: reference[name] for name in space.objectives}


def _largest(space: Space, cost: str) -> int:
    """The largest cost in the space, or among many random designs of a space too large to enumerate."""
    table = space.table or space.draw(_DRAWN, np.random.default_rng(0))[0]
    return int(getattr(table, cost)[table.within(space.limits)].max(initial=1))
