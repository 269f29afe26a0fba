"""Finding the study that a run continues, or creating one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from srsearch.architecture import GRAMMAR_VERSION
from srsearch.errors import InputError
from srsearch.objectives import COSTS, is_cost, objective
from srsearch.search.evaluators.base import Evaluator
from srsearch.search.evaluators.cores import Plan
from srsearch.search.evaluators.lookup import evaluator_for
from srsearch.search.evaluators.plain import (
    data_of,
    fingerprint_of,
    plan_of,
    recipe_of,
    reference_psnr_of,
    runtime_of,
    steps_of,
)
from srsearch.search.model.features import largest_own
from srsearch.search.progress import Progress
from srsearch.search.samplers.lookup import check_sampler
from srsearch.search.study_diff import differences, same_file
from srsearch.space import Space
from srsearch.store import Store, StudyRecord, content_hash

_DRAWN = 20_000
"""Random combinations of a space too large to enumerate, from which its largest cost is estimated."""


def find_or_create(
    store: Store,
    space: Space,
    evaluator: Evaluator,
    progress: Progress,
    *,
    new: bool,
    at_once: int | None,
) -> tuple[StudyRecord, bool]:
    """Find the study that a run continues, or create one.

    Args:
        store: Where studies are kept.
        space: What is searched, under the options of the command line.
        evaluator: What scores its designs.
        progress: Told what differs from the nearest study of that space.
        new: Create a study even if there is one to continue.
        at_once: How many trials a new study evaluates at a time; None: the evaluator measures it.

    Returns:
        The study, and whether it existed before.

    Raises:
        InputError: The space file has changed since its studies were made, and ``new`` is not given; or the
            sampler cannot search the space.
    """
    named = _of_space(store, space.name)
    same = _continued_by(named, space, evaluator)
    if same and not new:
        _check_unchanged(same[-1], space, evaluator)
        return same[-1], True
    check_sampler(space, space.search.sampler)
    if space.search.inform is not None:
        store.study(space.search.inform)  # unknown: says what there is
        if space.search.sampler != "frontier":
            raise InputError(f"the sampler {space.search.sampler} cannot be informed by another study; frontier can")
    if len(space.search.lengths or ()) > 1 and space.search.sampler != "frontier":
        raise InputError(
            f"the sampler {space.search.sampler} cannot choose among several lengths of training; frontier can"
        )
    if named and not same:
        _tell_differences(named, space, evaluator, progress, new=new)
    steps_of(evaluator)  # refused before anything is written, as all else that the evaluator says
    record = _new_record(store, space, evaluator, plan_of(evaluator, at_once, progress.message))
    store.create_study(record)
    return record, False


def _check_unchanged(record: StudyRecord, space: Space, evaluator: Evaluator) -> None:
    """Check a study by its hash, which is that of what is asked for.

    Raises:
        InputError: What the hash was made of is something else now.
    """
    wanted: dict[str, Any] = {
        "objectives": space.objectives,
        "sampler": space.search.sampler,
        "seed": space.search.seed,
        "data_fingerprint": fingerprint_of(evaluator),
        "recipe": recipe_of(evaluator),
    }
    recorded = {name: getattr(record, name) for name in wanted}
    recorded["recipe"] = {name: value for name, value in record.recipe.items() if name != "runtime"}
    changed = [name for name in wanted if content_hash(recorded[name]) != content_hash(wanted[name])]
    if changed:
        raise InputError(
            f"study {record.name!r} was changed by hand: its hash is that of another {' and '.join(changed)} than it "
            "has now. Undo that, or restore a copy of the database; --new begins another study"
        )


def _tell_differences(
    records: Sequence[StudyRecord], space: Space, evaluator: Evaluator, progress: Progress, *, new: bool
) -> None:
    """Tell how the study that is asked for differs from the nearest of its space, the newest of several.

    Raises:
        InputError: No study was made from the space file as it is now, and ``new`` is not given.
    """
    recipe, fingerprint = recipe_of(evaluator), fingerprint_of(evaluator)
    changes, record = min(
        ((differences(each, space, recipe, fingerprint), each) for each in reversed(records)),
        key=lambda compared: len(compared[0]),
    )
    changes = changes or [_version_change(record)]
    if not new and not any(same_file(each, space) for each in records):
        listed = "".join(f"\n  {each}" for each in changes)
        raise InputError(
            f"{space.source} has changed since study {record.name!r} was made:{listed}\n"
            "--new begins another study with it; undo the change to go on with that one, or give the space another name"
        )
    progress.message(f"another study than {record.name}: {'; '.join(changes)}")


def _version_change(record: StudyRecord) -> str:
    """What differs where all that is recorded is the same."""
    for grammar in range(1, GRAMMAR_VERSION):
        if record.space_hash in _recorded_identities(record, grammar):
            return f"the version of the grammar: {grammar} -> {GRAMMAR_VERSION}"
    return "the version of srsearch, which tells studies apart in another way"


def as_recorded(record: StudyRecord, space: Space, evaluator: Evaluator, *, device: str, given: bool) -> Evaluator:
    """Give the evaluator the runtime that the study was created with, as another one would give other scores.

    Raises:
        InputError: The options, the evaluator or the machine do not allow that.
    """
    runtime = record.recipe.get("runtime", {})
    if device != "auto" and runtime.get("device") not in (None, device):
        raise InputError(f"study {record.name!r} runs on {runtime['device']}, not {device}; --new starts another")
    if runtime_of(evaluator) == runtime:
        return evaluator
    if given:
        raise InputError(f"study {record.name!r} was made with the runtime {runtime}, not {runtime_of(evaluator)}")
    return shortest(space, evaluator_for(space, runtime, device=device))


def shortest(space: Space, evaluator: Evaluator) -> Evaluator:
    """The evaluator with the shortest training of a space with several lengths.

    Raises:
        InputError: The evaluator has only one length, or the objectives are not PSNR and one cost.
    """
    lengths = space.search.lengths or ()
    if len(lengths) > 1:
        if len(space.objectives) != 2 or [name for name in space.objectives if not is_cost(name)] != ["psnr"]:
            listed = ", ".join(space.objectives)
            raise InputError(f"several lengths of training need the objectives psnr and one cost, not {listed}")
        for steps in lengths[1:]:
            evaluator.at_length(steps)
    return evaluator if not lengths or steps_of(evaluator) == lengths[0] else evaluator.at_length(lengths[0])


def study_identity(space: Space, evaluator: Evaluator) -> str:
    """Hash what makes two runs one study: space, budget, objectives, recipe, data, sampler and seed.

    How long and how fast a study runs is not part of it.
    """
    return _identities(space, recipe_of(evaluator), fingerprint_of(evaluator))[0]


def _identities(
    space: Space, recipe: Mapping[str, Any], data_fingerprint: str, grammar: int = GRAMMAR_VERSION
) -> tuple[str, str]:
    """A study's identity, and what it was before the order of numbers in the space file ceased to count."""
    ours, before = (
        content_hash([grammar, plain, space.objectives, space.search.identity(), recipe, data_fingerprint])
        for plain in (space.identity(), space.identity(numbers_as_written=True))
    )
    return ours, before


def _recorded_identities(record: StudyRecord, grammar: int = GRAMMAR_VERSION) -> tuple[str, ...]:
    """The identities of a recorded study's content; none where its space has parts that are not there now."""
    try:
        space = Space.from_dict(record.space)
    except InputError:
        return ()
    recipe = {name: value for name, value in record.recipe.items() if name != "runtime"}
    return _identities(space, recipe, record.data_fingerprint, grammar)


def _continued_by(records: Sequence[StudyRecord], space: Space, evaluator: Evaluator) -> list[StudyRecord]:
    """The studies that a run of this space continues."""
    wanted = _identities(space, recipe_of(evaluator), fingerprint_of(evaluator))
    same = [record for record in records if record.space_hash in wanted]
    if same:
        return same
    # The space file of an older study, whose identity depends on it, may have had its numbers in another order.
    recorded = [(record, _recorded_identities(record)) for record in records]
    return [record for record, own in recorded if record.space_hash in own and wanted[0] == own[0]]


def _of_space(store: Store, name: str) -> list[StudyRecord]:
    """The studies of the space with this name, oldest first."""
    names = [each for each in store.study_names() if re.fullmatch(re.escape(name) + _NUMBER, each)]
    records = [record for record in map(store.study, names) if _space_name(record) == name]
    return sorted(records, key=lambda record: record.created_at)


def _space_name(record: StudyRecord) -> str:
    """The name of the space that a study belongs to: without the number that `_new_record` may have appended.

    A study that was renamed belongs to the space of its new name.
    """
    name = str(record.space.get("name", record.name))
    return name if re.fullmatch(re.escape(name) + _NUMBER, record.name) else record.name


_NUMBER = r"(-[0-9]+)?"
"""Stands behind the space's name in the names of its second and later studies."""


def _new_record(store: Store, space: Space, evaluator: Evaluator, plan: Plan) -> StudyRecord:
    taken = set(store.study_names())
    numbered = (space.name if n == 1 else f"{space.name}-{n}" for n in range(1, len(taken) + 2))
    return StudyRecord(
        name=next(name for name in numbered if name not in taken),
        space=space.to_dict(),
        space_text=space.text,
        space_hash=study_identity(space, evaluator),
        scale=space.scale,
        objectives=space.objectives,
        sampler=space.search.sampler,
        seed=space.search.seed,
        recipe=recipe_of(evaluator) | {"runtime": runtime_of(evaluator)},
        data=data_of(evaluator),
        data_fingerprint=fingerprint_of(evaluator),
        reference=_reference(space, evaluator),
        created_at=_after_all(store),
        workers=plan.workers,
    )


def _after_all(store: Store) -> datetime:
    """The time, but after everything in the database: the clock may have been set back, and the newest study counts."""
    now, latest = datetime.now(UTC), store.latest()
    return now if latest is None else max(now, latest + timedelta(microseconds=1))


def _reference(space: Space, evaluator: Evaluator) -> dict[str, float]:
    """The hypervolume's reference point, fixed with the study: no gain over bicubic, and the whole budget."""
    reference: dict[str, float] = {"psnr": reference_psnr_of(evaluator), "ssim": 0.0}
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
