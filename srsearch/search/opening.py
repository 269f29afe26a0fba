"""Finding the study that a run continues, or creating one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from srsearch.architecture import GRAMMAR_VERSION
from srsearch.errors import InputError
from srsearch.objectives import COSTS, is_cost, objective
from srsearch.search.evaluators.base import Evaluator
from srsearch.search.evaluators.cores import Plan
from srsearch.search.evaluators.lookup import evaluator_for
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
        progress: Told what differs from the newest study of that name.
        new: Create a study even if there is one to continue.
        at_once: How many trials a new study evaluates at a time; None: the evaluator measures it.

    Returns:
        The study, and whether it existed before.

    Raises:
        InputError: The space file has changed since the study of that name was made, and ``new`` is not given; or the
            sampler cannot search the space.
    """
    identity = study_identity(space, evaluator)
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
    """Tell how the study that is asked for differs from the newest of its name.

    Raises:
        InputError: No study was made from the space file as it is now, and ``new`` is not given.
    """
    record = records[-1]
    changes = differences(record, space, evaluator.recipe, evaluator.data_fingerprint)
    changes = changes or ["the version of the grammar"]
    if not new and not any(same_file(each, space) for each in records):
        listed = "".join(f"\n  {each}" for each in changes)
        raise InputError(
            f"{space.source} has changed since study {record.name!r} was made:{listed}\n"
            "--new begins another study with it; undo the change to go on with that one, or give the space another name"
        )
    if not any(each.space_hash == study_identity(space, evaluator) for each in records):
        progress.message(f"another study than {record.name}: {'; '.join(changes)}")


def as_recorded(record: StudyRecord, space: Space, evaluator: Evaluator, *, device: str, given: bool) -> Evaluator:
    """Give the evaluator the runtime that the study was created with, as another one would give other scores.

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
    """Hash what makes two runs one study: space, budget, objectives, recipe, data, sampler and seed.

    How long and how fast a study runs is not part of it.
    """
    search: dict[str, object] = {"sampler": space.search.sampler, "seed": space.search.seed}
    # Options are left out at their defaults, so that studies made before there were such options keep their identity.
    if space.search.start_with != "none":
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
    """The hypervolume's reference point, fixed with the study: no gain over bicubic, and the whole budget."""
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
