"""Looking at a database again and again, reading only what has changed. Changes nothing and holds no lock between."""

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
"""By how much the clocks of hosts that share a study may differ."""

_MOST_NUMBERS = 5_000  # SQLite takes 32,766 values in one statement


class FollowedTrial(NamedTuple):
    """One row of a study as followers keep it: columns of `frames.TRIALS`, then what they leave out.

    Attributes:
        axes: JSON text; a hundred thousand of them are parsed together.
        curve: JSON text of (step, PSNR) pairs: the evaluation's, else those reported so far.
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
    axes: str
    curve: str
    started_at: datetime
    owner: str | None
    evaluated_seed: int | None


@dataclass(frozen=True, slots=True)
class StudyIdentity:
    """Which study it is, whatever it is called now.

    Attributes:
        number: Of its row.
        created_at: Numbers of deleted studies are used again; together with this they are not.
        name: Its present name.
    """

    number: int
    created_at: datetime
    name: str


_TRIALS: Select[*tuple[Any, ...]] = frames.TRIALS.add_columns(
    cast(func.coalesce(EvaluationRow.curve, TrialRow.curve, type_=TrialRow.curve.type), Text),
    TrialRow.started_at,
    TrialRow.owner,
    EvaluationRow.seed,
)


def file_state(store: Store) -> object:
    """What differs once somebody has written to a SQLite file; None for other databases, which have to be asked."""
    return None if store.path is None else sqlite.file_state(store.path)


def identities(store: Store) -> list[StudyIdentity]:
    """All studies, oldest first."""
    query = select(StudyRow.id, StudyRow.created_at, StudyRow.name).order_by(StudyRow.id)
    return [StudyIdentity(*row) for row in store._select(query)]


def all_trials(store: Store, study: str) -> list[FollowedTrial]:
    """Every trial of a study by number.

    Raises:
        InputError: No such study.
    """
    return [FollowedTrial(*row) for row in store._of_study(study, _TRIALS)]


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

    New and running ones are found by the primary key. A stopped trial may be taken up again and end between two
    readings: only where there are any, the study's rows are looked through for what has ended lately.

    Args:
        store: Where.
        study: Its name.
        after: The largest number that is known.
        running: Numbers of those that were running.
        newest: When the last one known had ended; None: none has.
        stopped: Whether any were stopped.

    Raises:
        InputError: No such study.
    """
    found: dict[int, FollowedTrial] = {}
    for condition in _conditions(after, running, newest, stopped):
        found |= {row[0]: FollowedTrial(*row) for row in store._of_study(study, _TRIALS.where(condition))}
    return [found[number] for number in sorted(found)]


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
