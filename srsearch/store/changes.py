"""Follows a database that others write: reads only what has changed, and holds no lock between two readings."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Text, cast, func, or_, select

from srsearch.store import frames, sqlite
from srsearch.store.database import Store
from srsearch.store.tables import EvaluationRow, StudyRow, TrialRow

_SLACK = timedelta(minutes=10)
"""How far the clocks of hosts that share a study may differ."""

_MOST_NUMBERS = 5_000  # SQLite takes 32,766 values in one statement


class FollowedTrial(NamedTuple):
    """A trial as followers keep it: the fields of a `frames.FrameRow`, then more.

    Attributes:
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
    newest: datetime | None,
    stopped: bool,
) -> list[FollowedTrial]:
    """The trials that may have changed since they were read.

    New and running trials are looked up by the primary key. A stopped trial may be continued and end between two
    readings: only if there are stopped ones, all rows of the study are searched for those that ended lately.

    Args:
        store: The database.
        study: The study's name.
        after: The largest number that is known.
        running: Numbers of the trials that were running.
        newest: When the last known trial ended; None: none has.
        stopped: Whether any trials were stopped.

    Raises:
        InputError: No such study.
    """
    changed: dict[int, FollowedTrial] = {}
    for condition in _conditions(after, running, newest, stopped):
        trials = map(FollowedTrial._make, store._of_study(study, _TRIALS.where(condition)))
        changed |= {trial.number: trial for trial in trials}
    return [changed[number] for number in sorted(changed)]


def _conditions(
    after: int, running: Collection[int], newest: datetime | None, stopped: bool
) -> Iterator[ColumnElement[bool]]:
    yield TrialRow.number > after
    numbers = sorted(running)
    for start in range(0, len(numbers), _MOST_NUMBERS):
        yield TrialRow.number.in_(numbers[start : start + _MOST_NUMBERS])
    if stopped:
        ended = TrialRow.finished_at >= newest - _SLACK if newest is not None else TrialRow.finished_at.is_not(None)
        yield or_(TrialRow.state == "running", ended)
