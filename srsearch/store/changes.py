"""Follows a database that others write: reads only what has changed, and holds no lock between two readings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, Text, cast, func, select

from srsearch.store import frames, sqlite, statements
from srsearch.store.database import Store
from srsearch.store.tables import EvaluationRow, StudyRow, TrialRow


class FollowedTrial(NamedTuple):
    """A trial as followers keep it: `frames.COLUMNS`, then more.

    Attributes:
        number: The trial's number.
        seconds: Training time of its evaluation.
        replicate_of: Number of the trial whose design this one evaluates with another seed.
        axes: JSON text, as parsing a hundred thousand of them together is faster than one by one.
        curve: JSON text of (step, PSNR) pairs: those of the evaluation, else those reported so far.
        evaluated_seed: The seed of the evaluation; None without one.
    """

    number: int
    key: str | None
    state: str
    reason: str | None
    psnr: float | None
    ssim: float | None
    mult_adds: int | None
    params: int | None
    activations: int | None
    seconds: float | None
    cached: bool
    finished_at: datetime | None
    replicate_of: int | None
    steps: int | None
    axes: str
    curve: str
    started_at: datetime
    owner: str | None
    evaluated_seed: int | None


@dataclass(frozen=True, slots=True)
class StudyIdentity:
    """Identifies a study whatever it is called now.

    Attributes:
        number: The id of its row.
        created_at: Tells it from a deleted study, whose number may be used again.
        name: Its present name.
    """

    number: int
    created_at: datetime
    name: str


_TRIALS: Select[*tuple[Any, ...]] = frames.TRIALS.add_columns(
    cast(func.coalesce(EvaluationRow.curve, TrialRow.curve, type_=TrialRow.curve.type), Text).label("curve"),
    TrialRow.started_at,
    TrialRow.owner,
    EvaluationRow.seed.label("evaluated_seed"),
)


def file_state(store: Store) -> object:
    """A value that changes when somebody writes to a SQLite file; None for other databases, which must be queried."""
    return None if store.path is None else sqlite.file_state(store.path)


def identities(store: Store) -> list[StudyIdentity]:
    """All studies, oldest first."""
    query = select(StudyRow.id, StudyRow.created_at, StudyRow.name).order_by(StudyRow.id)
    return [StudyIdentity(row.id, row.created_at, row.name) for row in store._select(query)]


def all_trials(store: Store, study: str) -> list[FollowedTrial]:
    """All trials of a study, by number.

    Raises:
        InputError: No such study.
    """
    return [FollowedTrial._make(row) for row in store._of_study(study, _TRIALS)]


def last_points(store: Store, study: str) -> dict[int, tuple[float, float]]:
    """The last step with a PSNR, and that PSNR, of the running and stopped trials that have any, by number."""
    begun = TrialRow.state.in_(("running", "stopped"))
    rows = store._of_study(study, select(TrialRow.number, TrialRow.curve).where(begun))
    return {row.number: (row.curve[-1][0], row.curve[-1][1]) for row in rows if row.curve}


def changed_trials(
    store: Store,
    study: str,
    *,
    after: int,
    running: Collection[int],
    stopped: Collection[int],
) -> list[FollowedTrial]:
    """The trials that may have changed since they were read, all looked up by the primary key.

    Args:
        store: The database.
        study: The study's name.
        after: The largest number that is known.
        running: Numbers of the trials that were running.
        stopped: Numbers of the trials that were stopped. One that was continued and stopped again is not noticed.

    Raises:
        InputError: No such study.
    """
    changed: dict[int, FollowedTrial] = {}
    conditions = [TrialRow.number > after]
    conditions += [TrialRow.number.in_(numbers) for numbers in statements.batches(running)]
    ended = TrialRow.state != "stopped"
    conditions += [TrialRow.number.in_(numbers) & ended for numbers in statements.batches(stopped)]
    for condition in conditions:
        trials = map(FollowedTrial._make, store._of_study(study, _TRIALS.where(condition)))
        changed |= {trial.number: trial for trial in trials}
    return [changed[number] for number in sorted(changed)]
