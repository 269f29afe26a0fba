"""`run`, the main job: open or continue a study, evaluate its designs, keep the results."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srsearch.analysis.captions import counted_text
from srsearch.errors import InputError, WorkError
from srsearch.search.evaluators.base import Evaluator
from srsearch.search.evaluators.lookup import evaluator_for
from srsearch.search.evaluators.plain import plan_of, runtime_of
from srsearch.search.executors.base import Executor
from srsearch.search.executors.lookup import Backend, executor_for
from srsearch.search.opening import as_recorded, find_or_create, shortest
from srsearch.search.processes import GUARD, WORKER_NAME
from srsearch.search.progress import Progress, SilentProgress, StudyInfo
from srsearch.search.session import Goal, Session
from srsearch.search.study import ROUNDING, Study
from srsearch.space import Space
from srsearch.store import Store, StudyRecord, undisturbed

if TYPE_CHECKING:
    import pandas as pd

_COUNTABLE = 1_000_000
"""Designs are counted at the start of a run if the space has no more combinations: a few seconds of work."""


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes:
        study: The study's name.
        done: Total number of its finished evaluations; with several lengths, in trainings of the shortest.
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
    lengths: Sequence[int] | None = None,
    sampler: str | None = None,
    workers: int | None = None,
    data: str | Path | None = None,
    seed: int | None = None,
    start_with: str | None = None,
    inform: str | None = None,
    device: str = "auto",
    early_stopping: bool | None = None,
    replicates: int = 1,
    until_converged: bool = False,
    backend: Backend = "local",
    address: str | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | None = None,
    checkpoints: str | Path | None = None,
    trial_timeout: float | None = None,
    new: bool = False,
    evaluator: Evaluator | str | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Search a space, as ``srsearch run`` does.

    A study of this space with the same budget, recipe, data, sampler and seed is continued, else one is created.

    Args:
        space: The space, its file, or the name of one that comes with the package.
        store: The store or its SQLAlchemy URL; by default ``studies/srsearch.db`` in the working directory.
        trials: The study's total of finished evaluations; by default the space's.
        minutes: No new design is started after this time.
        lengths: Ascending numbers of training steps. All designs are trained for the first, and promising ones for the
            later numbers, too; ``trials`` then counts trainings of the first length or as many steps of longer ones. By
            default the space's, else one length.
        sampler: The name of a sampler, or ``module:Class`` of your own (an Optuna `BaseSampler`); by default the
            space's.
        workers: Worker processes; by default the space's, else as many as were measured to be best when the study was
            created. What is proposed depends on their number, what a design scores does not.
        data: ``builtin`` or a folder of images; by default the space's.
        seed: By default the space's.
        start_with: ``catalogue``: the published networks that lie inside the space are evaluated first; by default the
            space's.
        inform: A study in the same store whose results inform the sampler ``frontier``; by default the space's.
        device: ``auto``, ``cpu`` or ``cuda``; only for a study that is created.
        early_stopping: Whether designs that promise little are set aside at a rung; by default the space's.
        replicates: How many evaluations, with different seeds, each design of the front gets at the end.
        until_converged: End before ``trials`` once the front rises less than its noise
            (`srsearch.analysis.converged`).
        backend: ``local``: processes of this machine; ``ray``: Ray Tune, on this machine or on a cluster.
        address: With ``ray``: address of a running Ray cluster; None: Ray is started on this machine.
        cpus_per_trial: With ``ray``: CPUs that each trial takes; by default one, parts of one are possible.
        gpus_per_trial: With ``ray``: GPUs that each trial takes; by default one where the study computes on GPUs, else
            none.
        checkpoints: A folder, or a URL of fsspec's (``s3://bucket/folder``), where trials are kept while they go on, so
            that other machines can continue them; by default a folder beside the database.
        trial_timeout: Seconds that a trial may take; one that takes longer fails, and its worker is replaced. By
            default there is no limit.
        new: Create another study even if there is one to continue.
        evaluator: An evaluator of your own, or a name (``synthetic``, ``module:Class``), instead of the space's.
        progress: Shows what happens; by default nothing is shown.

    Raises:
        InputError: The space, an option, the data or the store cannot be used; the message says why.
        WorkError: An evaluation could not be stored, or all designs fail.
    """
    if multiprocessing.current_process().name.startswith(WORKER_NAME):
        raise WorkError(f"srsearch.run was called while a worker process imported your script: {GUARD}")
    if minutes is not None and not 0 < minutes < math.inf:
        raise InputError(f"minutes: {minutes!r} is not a number above zero")
    own = evaluator if isinstance(evaluator, Evaluator) else None
    proxy = {"data": None if data is None else str(data), "evaluator": None if own is not None else evaluator}
    search: dict[str, object] = {"sampler": sampler, "seed": seed, "workers": workers, "trials": trials}
    search["lengths"] = None if lengths is None else tuple(lengths)
    search |= {"start_with": start_with, "inform": inform, "early_stopping": early_stopping}
    if trial_timeout is not None and not 0 < trial_timeout < math.inf:
        raise InputError(f"trial_timeout is {trial_timeout}; it is a number of seconds above 0")
    opened = _opened(space, proxy, search)
    shown = progress or SilentProgress()
    with contextlib.ExitStack() as ending:
        executor = ending.enter_context(executor_for(backend, address, cpus_per_trial, gpus_per_trial, trial_timeout))
        scorer = own or evaluator_for(opened, _detected(executor, opened, device, shown), device=device)
        scorer = shortest(opened, scorer)
        recorded = store if isinstance(store, Store) else ending.enter_context(Store(store))
        ending.enter_context(shown)
        recorded.say = shown.warning
        planned = opened.search.workers or executor.room(runtime_of(scorer))

        def found() -> tuple[StudyRecord, bool]:
            with recorded.exclusive(f"open {opened.name}", wait=300):  # others may be measuring this machine
                return find_or_create(recorded, opened, scorer, shown, new=new, at_once=planned)

        record, resumed = undisturbed(found)
        if resumed:
            scorer = as_recorded(record, opened, scorer, device=device, given=own is not None)
        executor.check(scorer)
        at_once = _at_once(executor, scorer, opened, record, shown)
        place = None if checkpoints is None else str(checkpoints)
        study = ending.enter_context(contextlib.closing(Study(recorded, record, opened, scorer, at_once, place)))
        study.deadline = time.monotonic() + minutes * 60 if minutes else None
        _introduce(study, scorer, shown, at_once, resumed=resumed, seconds=minutes * 60 if minutes else None)
        goal = Goal(opened.search.trials, replicates, until_converged)
        session = Session(study, scorer, shown, goal, study.deadline)
        if not session.over:
            executor.execute(session, scorer, at_once, waits=study.waits)
        _sum_up(study, shown, interrupted=session.interrupts.pending, new=new)
        shown.study_closed()
        done, interrupted = int(study.spent + ROUNDING), session.interrupts.pending
        return RunResult(study.name, done, recorded.front(study.name), study.exhausted, interrupted)


def _opened(space: Space | str | Path, proxy: Mapping[str, object], search: Mapping[str, object]) -> Space:
    """The space with the settings that are given, checked to have a feasible design before anything is written."""
    opened = space if isinstance(space, Space) else Space.from_yaml(space)
    opened = opened.with_settings(proxy=_given(proxy), search=_given(search))
    if opened.search.lengths:
        opened = opened.with_settings(proxy={"steps": opened.search.lengths[0]})
    opened.sample(np.random.default_rng(0))
    return opened


def _given(settings: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if value is not None}


def _detected(executor: Executor, space: Space, device: str, progress: Progress) -> dict[str, Any] | None:
    """The runtime for a new study; an evaluator of the user's has its own way to find it."""
    return executor.detect(device, progress.message) if space.proxy.evaluator == "proxy" else None


def _at_once(executor: Executor, evaluator: Evaluator, space: Space, record: StudyRecord, progress: Progress) -> int:
    """How many trials are evaluated at a time."""
    wanted = space.search.workers
    room = executor.room(runtime_of(evaluator))
    if room is not None:
        return min(room, wanted or room)
    return wanted or record.workers or plan_of(evaluator, None, progress.message).workers


def _introduce(
    study: Study, evaluator: Evaluator, progress: Progress, workers: int, *, resumed: bool, seconds: float | None
) -> None:
    """Show the study before its first trial."""
    target, done = study.space.search.trials, int(study.spent + ROUNDING)
    progress.study_opened(
        StudyInfo(
            name=study.name,
            where=study.store.where,
            resumed=resumed,
            done=done,
            target=target,
            workers=workers,
            space_size=_size(study.space) if done < target else None,
            seconds=seconds,
            known=study.known,
        )
    )
    for warning in evaluator.warnings:
        progress.warning(warning)
    if done >= target:
        progress.message(
            f"it has its {counted_text(done, study.known)}; a larger --trials goes on, --new starts another study"
        )


def _size(space: Space) -> int | None:
    """Number of feasible designs; None where counting takes more than seconds."""
    return len(space.feasible or ()) if space.combinations <= _COUNTABLE else None


def _sum_up(study: Study, progress: Progress, *, interrupted: bool, new: bool) -> None:
    """Say how the search went, what it leaves on the disk, and how it continues."""
    if study.acceptance.taken < study.acceptance.proposed:
        progress.message(f"{study.record.sampler}: {study.acceptance}")
    if study.checkpoints is not None and (room := study.checkpoints.room()).files:
        progress.message(f"checkpoints of the front: {room.files} files, {room.size / 1e6:.1f} MB, in {room.folder}")
    if interrupted:
        command = "the same command without --new continues" if new else "the same command continues"
        progress.message(f"interrupted: what is finished is saved; {command}")
