"""The main job: open or continue a study, have its designs evaluated, keep what comes out."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np

from srsearch.errors import InputError, WorkError
from srsearch.search.evaluators import Evaluator, Score, evaluator_type
from srsearch.search.interrupts import Interrupts
from srsearch.search.local import Failed, Finished, LocalExecutor, Reported
from srsearch.search.progress import Progress, SilentProgress, StudyInfo, TrialView
from srsearch.search.study import Study, Trial, content_hash
from srsearch.space import Space
from srsearch.store import Store, StudyRecord

if TYPE_CHECKING:
    import pandas as pd

SAVE_PATIENCE = 30.0
"""Seconds in which a finished evaluation is offered to a store that does not take it, such as one on a full disk."""

_GIVE_UP = 8
"""When so many trials fail before any has succeeded, the run ends: something is wrong with all of them."""


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
    device: str = "auto",
    new: bool = False,
    evaluator: Evaluator | None = None,
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
        device: ``auto``, ``cpu`` or ``cuda``; only for a study that is created.
        new: Create another study even if there is one to continue.
        evaluator: An evaluator of one's own instead of the space's.
        progress: Told what happens; by default nobody.

    Raises:
        InputError: The space, the data or the store is not what it should be.
        WorkError: The store could not keep an evaluation, or all designs fail.
    """
    space = _with_options(space, sampler=sampler, seed=seed, workers=workers, trials=trials, data=data)
    store = store if isinstance(store, Store) else Store(store)
    progress = progress or SilentProgress()
    space.sample(np.random.default_rng(0))  # a space without any feasible design ends here, before anything is written
    at_once = space.search.workers or default_workers()
    study, resumed, evaluator = _open(store, space, workers=at_once, device=device, new=new, evaluator=evaluator)
    with _only_runner(store, study.name), progress:
        info = StudyInfo(
            name=study.name,
            where=store.where,
            resumed=resumed,
            done=study.done,
            target=space.search.trials,
            workers=at_once,
            space_size=len(space.feasible) if space.feasible is not None else None,
            seconds=minutes * 60 if minutes else None,
        )
        progress.study_opened(info)
        for warning in getattr(evaluator, "warnings", ()):
            progress.warning(warning)
        session = _Session(study, evaluator, progress, info)
        session.run(deadline=time.monotonic() + minutes * 60 if minutes else None)
        if session.interrupts.pending:
            progress.message("interrupted: what is finished is saved; the same command continues")
        progress.study_closed()
    return RunResult(study.name, study.done, store.front(study.name), study.exhausted, session.interrupts.pending)


class _Session:
    """One run of a study: moves trials from the study to the workers, and results back."""

    def __init__(self, study: Study, evaluator: Evaluator, progress: Progress, info: StudyInfo) -> None:
        self._study = study
        self._evaluator = evaluator
        self._progress = progress
        self._target = info.target
        self._workers = info.workers
        self._failures: list[str] = []
        self._succeeded = False
        self.interrupts = Interrupts()

    def run(self, deadline: float | None) -> None:
        """Until the target is reached, the deadline has passed, the space is exhausted, or somebody interrupts."""
        if self._study.done >= self._target:
            return
        executor = LocalExecutor(self._evaluator, self._workers)
        try:
            with self.interrupts:
                while not self.interrupts.pending:
                    if deadline is None or time.monotonic() < deadline:
                        self._fill(executor)
                    if not executor.busy:
                        return
                    for event in executor.events(timeout=0.25):
                        self._handle(event)
        finally:
            try:
                self._drain(executor)
            finally:
                executor.close()

    def _fill(self, executor: LocalExecutor) -> None:
        """Give every idle worker a trial, as far as there is something to ask for."""
        for worker in executor.idle:
            while self._wants_more:
                trial = self._study.ask()
                if trial is None:
                    return
                if not self._settled(trial):
                    view = TrialView(trial.number, worker, trial.axes, trial.mult_adds, trial.params)
                    self._progress.trial_started(view)
                    executor.submit(worker, trial)
                    break

    @property
    def _wants_more(self) -> bool:
        study = self._study
        return study.done + study.running < self._target and study.ready and not study.exhausted

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
        for event in executor.events(timeout=0):
            if isinstance(event, Finished):
                self._save(event.trial, event.score, event.seconds)

    def _handle(self, event: Reported | Finished | Failed) -> None:
        trial = event.trial
        if isinstance(event, Reported):
            try:
                self._study.report(trial, event.step, event.psnr)
            except WorkError as error:  # a point of a curve is worth less than the training that goes on
                self._progress.warning(str(error))
            self._progress.trial_report(trial.number, event.step, self._evaluator.steps or event.step, event.psnr)
        elif isinstance(event, Finished):
            self._save(trial, event.score, event.seconds)
            self._succeeded = True
            self._tell_finished(trial, event.score.psnr, event.seconds, cached=False)
        else:
            if event.broken:
                raise WorkError(event.reason)
            self._study.fail(trial, event.reason)
            self._progress.trial_failed(trial.number, event.reason)
            self._failures.append(event.reason)
            if not self._succeeded and len(self._failures) >= _GIVE_UP:
                raise WorkError(
                    f"the first {_GIVE_UP} designs of this run all failed, the last one with: {event.reason}"
                )

    def _tell_finished(self, trial: Trial, psnr: float, seconds: float, *, cached: bool) -> None:
        front = self._study.store.front(self._study.name)
        self._progress.trial_finished(trial.number, psnr, seconds, self._study.done, cached, front)

    def _save(self, trial: Trial, score: Score, seconds: float) -> None:
        """Store a finished evaluation; where that fails, wait, and at last put it where the next run looks."""
        give_up = time.monotonic() + SAVE_PATIENCE
        while True:
            try:
                self._study.tell(trial, score, seconds)
                return
            except WorkError as error:
                if time.monotonic() > give_up or self.interrupts.pending:
                    kept = self._put_aside(trial, score, seconds)
                    self._progress.warning(kept)
                    raise WorkError(f"{error}\n{kept}") from None
                self._progress.warning(f"{error}; trying again for {give_up - time.monotonic():.0f} s")
                time.sleep(min(2.0, SAVE_PATIENCE / 4))

    def _put_aside(self, trial: Trial, score: Score, seconds: float) -> str:
        content = json.dumps({"seconds": seconds, "score": dataclasses.asdict(score)})
        path = self._aside(trial)
        try:
            path.write_text(content, encoding="utf-8")
        except OSError:
            return f"the finished evaluation of trial {trial.number}, which could be kept nowhere: {content}"
        return f"the finished evaluation of trial {trial.number} is kept in {path}; the next run takes it up"

    def _recover(self, trial: Trial) -> bool:
        """Whether an earlier run had finished this trial and could not store it."""
        path = self._aside(trial)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        score = Score(**content["score"] | {"curve": tuple((step, psnr) for step, psnr in content["score"]["curve"])})
        self._study.tell(trial, score, content["seconds"])
        path.unlink(missing_ok=True)
        self._progress.message(f"trial {trial.number}: taken up from {path}")
        self._tell_finished(trial, score.psnr, content["seconds"], cached=False)
        return True

    def _aside(self, trial: Trial) -> Path:
        record = self._study.record
        identity = [self._study.store.where, record.name, record.created_at.isoformat(), trial.number, trial.design.key]
        return _own_file(identity, "json")


def _own_file(identity: list[object], ending: str) -> Path:
    """A file of this user's in the system's temporary folder, the same for the same identity."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"srsearch-{user}-{content_hash(identity)[:16]}.{ending}"


def _with_options(space: Space | str | Path, data: str | Path | None, **search: object) -> Space:
    opened = space if isinstance(space, Space) else Space.from_yaml(space)
    return opened.with_settings(
        proxy={} if data is None else {"data": str(data)},
        search={name: value for name, value in search.items() if value is not None},
    )


def _open(
    store: Store, space: Space, *, workers: int, device: str, new: bool, evaluator: Evaluator | None
) -> tuple[Study, bool, Evaluator]:
    """The study to go on with and whether it was there, with its evaluator."""
    fresh = evaluator or evaluator_type(space.proxy.evaluator).from_space(space, None, device=device)
    identity = study_identity(space, fresh)
    record = None if new else _matching(store, space.name, identity)
    if record is None:
        record = _new_record(store, space, fresh, identity)
        store.create_study(record)
        return Study(store, record, space, fresh, workers), False, fresh
    runtime = record.recipe.get("runtime", {})
    if device != "auto" and runtime.get("device") not in (None, device):
        raise InputError(f"study {record.name!r} runs on {runtime['device']}, not {device}; --new starts another")
    if evaluator is None and runtime != fresh.runtime:
        fresh = type(fresh).from_space(space, runtime, device=device)
    return Study(store, record, space, fresh, workers), True, fresh


def default_workers() -> int:
    """One for each core that this process may use, at most four: each needs more than half a gigabyte."""
    from srsearch.evaluation.runtime import usable_cores

    return min(usable_cores(), 4)


def study_identity(space: Space, evaluator: Evaluator) -> str:
    """What makes two runs one study: space, budget, objectives, recipe, data, sampler, seed; not how long or fast."""
    plain = space.to_dict()
    search = {name: plain["search"][name] for name in ("sampler", "seed")}
    content = {name: plain[name] for name in ("scale", "architecture", "constraints", "objectives")}
    return content_hash([content, search, evaluator.recipe, evaluator.data_fingerprint])


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
    rng = np.random.default_rng(0)
    points: Any = space.feasible or [p for p in (space.random_point(rng) for _ in range(2000)) if p.broken is None]
    return max((getattr(point.cost, cost) for point in points), default=1)


@contextlib.contextmanager
def _only_runner(store: Store, study: str) -> Iterator[None]:
    """Held by the one run of a study on this machine: two would evaluate the same trials.

    Raises:
        InputError: Another process is running the study.
    """
    lock = filelock.FileLock(_own_file([store.where, study], "lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InputError(
            f"study {study!r} in {store.where} is being run by another process; "
            "wait for it, or start another with --new"
        ) from None
    try:
        yield
    finally:
        lock.release()
