"""The main job: open or continue a study, have its designs evaluated, keep what comes out."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from srsearch.architecture import GRAMMAR_VERSION
from srsearch.errors import InputError, WorkError
from srsearch.objectives import COSTS, is_cost, objective
from srsearch.search.evaluators.base import Evaluator
from srsearch.search.evaluators.cores import Plan
from srsearch.search.evaluators.lookup import evaluator_for
from srsearch.search.executors.local import run_local
from srsearch.search.model.features import largest_own
from srsearch.search.processes import GUARD, WORKER_NAME
from srsearch.search.progress import Progress, SilentProgress, StudyInfo
from srsearch.search.samplers.proposer import check_sampler
from srsearch.search.session import Goal, Session
from srsearch.search.study import Study
from srsearch.search.study_diff import differences, same_file
from srsearch.space import Space
from srsearch.store import Store, StudyRecord, content_hash

if TYPE_CHECKING:
    import pandas as pd

Backend: TypeAlias = Literal["local", "ray"]
"""What executes the trials."""

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
    inform: str | None = None,
    device: str = "auto",
    early_stopping: bool | None = None,
    replicates: int = 1,
    until_converged: bool = False,
    backend: Backend = "local",
    address: str | None = None,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float | None = None,
    checkpoints: str | Path | None = None,
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
        address: Of a running Ray cluster; None: Ray is started on this machine.
        cpus_per_trial: What each trial takes of a Ray cluster; parts of a CPU are possible.
        gpus_per_trial: Likewise; by default one where the study computes on GPUs, else none.
        checkpoints: A folder, or a URL of fsspec's (``s3://bucket/folder``), where trials are kept while they go on, so
            that other machines can continue them; by default a folder beside the database.
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
            inform=inform,
            early_stopping=early_stopping,
        ),
    )
    opened.sample(np.random.default_rng(0))  # a space without any feasible design ends here, before anything is written
    with contextlib.ExitStack() as ending:
        cluster = None
        if backend == "ray" and address is not None:  # before anything is written, as it may not be there
            cluster = _ray()
            ending.enter_context(cluster.connected(address, cpus=cpus_per_trial, gpus=gpus_per_trial or 0.0))
        runtime = None
        if cluster is not None and own is None and opened.proxy.evaluator == "proxy":
            runtime = cluster.detected_runtime(device, cpus_per_trial, gpus_per_trial)
        fresh = own or evaluator_for(opened, runtime, device=device)
        identity = study_identity(opened, fresh)
        planned = opened.search.workers
        if cluster is not None:  # whose cores are not this machine's, which would be measured otherwise
            planned = planned or cluster.room(cpus_per_trial, gpus_per_trial or 0.0)
        kept = store if isinstance(store, Store) else ending.enter_context(Store(store))
        shown = ending.enter_context(progress or SilentProgress())
        kept.say = shown.warning
        with kept.exclusive(f"open {opened.name}"):
            record, resumed = _find_or_create(kept, opened, fresh, identity, shown, new=new, at_once=planned)
        if resumed:
            fresh = _as_recorded(record, opened, fresh, device=device, given=own is not None)
        if cluster is None:
            fresh.check_machine()
        if gpus_per_trial is None:
            gpus_per_trial = float(fresh.runtime.get("device") == "cuda")
        if cluster is not None:
            there = cluster.room(cpus_per_trial, gpus_per_trial)
            at_once = min(there, opened.search.workers or there)
        else:
            at_once = opened.search.workers or record.workers or fresh.plan(None, shown.message).workers
        place = None if checkpoints is None else str(checkpoints)
        study = ending.enter_context(contextlib.closing(Study(kept, record, opened, fresh, at_once, place)))
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
        shown.study_opened(info)
        for warning in fresh.warnings:
            shown.warning(warning)
        if study.done >= opened.search.trials:
            shown.message(f"it has its {study.done} designs; a larger --trials goes on, --new starts another study")
        goal = Goal(opened.search.trials, replicates, until_converged)
        deadline = time.monotonic() + minutes * 60 if minutes else None
        session = Session(study, fresh, shown, goal, deadline)
        if not session.over and backend == "ray":
            _ray().run_ray(
                session,
                fresh,
                waits=study.waits,
                workers=at_once,
                cpus=cpus_per_trial,
                gpus=gpus_per_trial,
                address=address,
            )
        elif not session.over:
            run_local(session, fresh, at_once, waits=study.waits)
        if study.acceptance.taken < study.acceptance.proposed:
            shown.message(f"{record.sampler}: {study.acceptance}")
        if study.checkpoints is not None and (room := study.checkpoints.room()).files:
            shown.message(f"checkpoints of the front: {room.files} files, {room.size / 1e6:.1f} MB, in {room.folder}")
        if session.interrupts.pending:
            command = "the same command without --new continues" if new else "the same command continues"
            shown.message(f"interrupted: what is finished is saved; {command}")
        shown.study_closed()
        front = kept.front(study.name)
        return RunResult(study.name, study.done, front, study.exhausted, session.interrupts.pending)


def _ray() -> ModuleType:
    try:
        from srsearch.search.executors import ray_tune
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "ray":
            raise
        raise InputError("the backend ray needs Ray: pip install 'srsearch[ray]'") from None
    return ray_tune


def _size(space: Space) -> int | None:
    """Number of feasible designs, where they are quickly counted."""
    return len(space.feasible or ()) if space.combinations <= _COUNTABLE else None


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _find_or_create(
    store: Store,
    space: Space,
    evaluator: Evaluator,
    identity: str,
    progress: Progress,
    *,
    new: bool,
    at_once: int | None,
) -> tuple[StudyRecord, bool]:
    """The study to go on with, and whether it was there.

    Args:
        at_once: How many trials a new one evaluates at a time; None: it is measured.

    Raises:
        InputError: The space file has changed since the study of that name was made, and ``new`` is not given.
    """
    named = _of_name(store, space.name)
    same = [record for record in named if record.space_hash == identity]
    if same and not new:
        return same[-1], True
    check_sampler(space, space.search.sampler)
    if space.search.inform is not None:
        store.study(space.search.inform)  # unknown: says what there is
        if space.search.sampler != "frontier":
            raise InputError(f"the sampler {space.search.sampler} cannot be informed by another study; frontier can")
    if named:
        _tell_differences(named, space, evaluator, progress, new=new)
    record = _new_record(store, space, evaluator, identity, evaluator.plan(at_once, progress.message))
    store.create_study(record)
    return record, False


def _tell_differences(
    records: Sequence[StudyRecord], space: Space, evaluator: Evaluator, progress: Progress, *, new: bool
) -> None:
    """What makes the study that is asked for another one than the newest of its name.

    Raises:
        InputError: None of them was made from the file as it is now, and ``new`` is not given.
    """
    record = records[-1]
    found = differences(record, space, evaluator.recipe, evaluator.data_fingerprint)
    found = found or ["the version of the grammar"]
    if not new and not any(same_file(each, space) for each in records):
        listed = "".join(f"\n  {each}" for each in found)
        raise InputError(
            f"{space.source} has changed since study {record.name!r} was made:{listed}\n"
            "--new begins another study with it; undo the change to go on with that one, or give the space another name"
        )
    if not any(each.space_hash == study_identity(space, evaluator) for each in records):
        progress.message(f"another study than {record.name}: {'; '.join(found)}")


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


def study_identity(space: Space, evaluator: Evaluator) -> str:
    """What makes two runs one study: space, budget, objectives, recipe, data, sampler, seed; not how long or fast."""
    search: dict[str, object] = {"sampler": space.search.sampler, "seed": space.search.seed}
    if space.search.start_with != "none":  # which would otherwise have named studies of before it was there
        search["start_with"] = space.search.start_with
    if space.search.early_stopping:
        search["early_stopping"] = True
    if space.search.inform is not None:
        search["inform"] = space.search.inform
    content = [GRAMMAR_VERSION, space.identity(), space.objectives, search]
    return content_hash([*content, evaluator.recipe, evaluator.data_fingerprint])


def _of_name(store: Store, name: str) -> list[StudyRecord]:
    """The studies of this name, or of this name with a number, oldest first."""
    names = [each for each in store.study_names() if re.fullmatch(re.escape(name) + r"(-\d+)?", each)]
    return sorted(map(store.study, names), key=lambda record: record.created_at)


def _new_record(store: Store, space: Space, evaluator: Evaluator, identity: str, plan: Plan) -> StudyRecord:
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
        workers=plan.workers,
    )


def _reference(space: Space, evaluator: Evaluator) -> dict[str, float]:
    """Where the hypervolume starts, frozen with the study: nothing gained over bicubic, and the whole budget spent."""
    reference: dict[str, float] = {"psnr": evaluator.reference_psnr, "ssim": 0.0}
    costs: Mapping[str, int] = space.budget
    for name in space.objectives:
        if is_cost(name):
            reference[name] = float(costs[name] if name in costs else _largest(space, name))
    return {name: reference[name] for name in space.objectives}


def _largest(space: Space, cost: str) -> float:
    """The largest cost in the space, or among many random designs of a space too large to enumerate."""
    if cost not in COSTS:
        return largest_own(space, objective(cost))
    table = space.grid.table or space.grid.draw(_DRAWN, np.random.default_rng(0))[0]
    return int(getattr(table, cost)[table.within(space.limits)].max(initial=1))
