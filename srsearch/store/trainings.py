"""Full trainings in the database: a training writes how far it is, and others read it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, inspect, select, update

from srsearch.errors import InputError, WorkError
from srsearch.store import leases, statements
from srsearch.store.database import Store
from srsearch.store.insertion import insert_architectures, table_of
from srsearch.store.records import TrainingPoint, TrainingRecord, TrainingState
from srsearch.store.rows import storable
from srsearch.store.tables import StudyRow, TrainingRow

_WRITE_SECONDS = 5.0
"""Seconds between two signs of life, which also tell the step."""

_END_SECONDS = 30.0
"""How long a training that has ended waits for the database."""

_IDENTITY = ("file", "key", "recipe_hash", "data_fingerprint", "seed")
_SHARED = tuple(
    name for name in TrainingRecord.__slots__ if name not in ("description", "study", "curve")
)  # the columns that have the name and the type of a field


def trainings(store: Store, study: str | None = None) -> list[TrainingRecord]:
    """All full trainings, newest first; one whose process has ended without a word is ``interrupted``.

    Args:
        store: The database. One of an older srsearch, opened for reading, has none.
        study: Only those of designs of this study.
    """

    def ask(connection: Connection) -> Sequence[Row[Any]]:
        if not inspect(connection).has_table(TrainingRow.__tablename__):
            return []
        now = statements.clock(connection.dialect.name)
        columns = [getattr(TrainingRow, name) for name in (*_SHARED, "curve", "owner")]
        query: Select[*tuple[Any, ...]] = select(
            *columns, StudyRow.name.label("study"), (now - TrainingRow.heartbeat).label("age")
        )
        query = query.outerjoin(StudyRow, TrainingRow.study_id == StudyRow.id).order_by(TrainingRow.id.desc())
        return connection.execute(query if study is None else query.where(StudyRow.name == study)).all()

    return [_record(row) for row in store._transactions.read(ask)]


def _record(row: Row[Any]) -> TrainingRecord:
    values = {name: getattr(row, name) for name in _SHARED}
    if row.state == "running" and leases.is_void(row.owner, row.age):
        values["state"] = "interrupted"
    curve = tuple(TrainingPoint(*point) for point in row.curve)
    return TrainingRecord(description={}, study=row.study, curve=curve, **values)


@dataclass(frozen=True, slots=True)
class _Row:
    """What a row has from before: its number, and what was known before an interruption."""

    id: int = 0
    curve: tuple[TrainingPoint, ...] = ()
    bicubic: float | None = None


class TrainingLog:
    """Writes a training to the database in a thread of its own, so that the training never waits for it.

    A database that cannot be written costs a warning; it is tried again and again.

    Args:
        storage: The database, as for `Store`.
        record: The training.
        continued: It goes on from a checkpoint: its row is looked for.
        warn: Receives a message, once, if the database cannot be written.
    """

    def __init__(
        self, storage: str | None, record: TrainingRecord, *, continued: bool, warn: Callable[[str], None]
    ) -> None:
        self._storage, self._record, self._continued, self._warn = storage, record, continued, warn
        self._owner = leases.new_owner()
        self._row: _Row | None = None
        self._changed, self._ended, self._warned = threading.Event(), False, False
        self._thread = threading.Thread(target=self._write_all, name="training log", daemon=True)
        self._thread.start()

    def reached(self, step: int, done: float, seconds: float) -> None:
        """Note how far the training is; see `TrainingRecord`. It is written with the next sign of life."""
        self._record = replace(self._record, step=step, done=done, seconds=seconds)

    def validated(self, point: TrainingPoint, bicubic: float) -> None:
        """Note a validation, and the PSNR in dB of bicubic upscaling; they are written at once."""
        self._record = replace(self._record, curve=(*self._record.curve, point), bicubic=bicubic)
        self._changed.set()

    def end(self, state: TrainingState, reason: str | None = None) -> None:
        """Note how the training ended, and wait a while until it is written."""
        over = None if state == "interrupted" else datetime.now(UTC)
        done = 1.0 if state == "done" else self._record.done
        self._record = replace(self._record, state=state, reason=reason, finished_at=over, done=done)
        self._ended = True
        self._changed.set()
        self._thread.join(_END_SECONDS)
        if self._thread.is_alive():
            self._failed(WorkError("it does not answer"))
        leases.retire(self._owner)

    def _write_all(self) -> None:
        store: Store | None = None
        while True:
            ended = self._ended
            self._changed.clear()
            try:
                store = store or self._opened()
                self._write(store)
            except Exception as error:  # whatever it is, the training goes on
                self._failed(error)
            if ended:
                break
            self._changed.wait(_WRITE_SECONDS)
        if store is not None:
            store.close()

    def _opened(self) -> Store:
        store = Store(self._storage)
        store._transactions.say = lambda message: None  # a wait for a server is no concern of the training
        return store

    def _failed(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            told = str(error).splitlines()[0] if isinstance(error, InputError | WorkError) else repr(error)[:200]
            self._warn(f"the training is not recorded in the database, and goes on without: {told}")

    def _write(self, store: Store) -> None:
        record = self._record
        with store._transactions.write() as connection:
            known = self._row
            if known is None and self._continued:
                known = _unfinished(connection, record)
            values = self._values(connection, record, known or _Row())
            if known is None:
                known = _Row(_inserted(connection, record, values))
            else:
                connection.execute(update(TrainingRow).where(TrainingRow.id == known.id).values(**values))
        self._row = known  # only now is it certain

    def _values(self, connection: Connection, record: TrainingRecord, row: _Row) -> dict[str, Any]:
        """The columns that change."""
        first = record.curve[0].step if record.curve else None
        before = [point for point in row.curve if first is None or point.step < first]
        running = record.state == "running"
        return {
            "state": record.state,
            "reason": None if record.reason is None else storable(record.reason),
            "step": record.step,
            "done": record.done,
            "seconds": record.seconds,
            "curve": [[each.step, each.psnr, each.loss, each.seconds] for each in (*before, *record.curve)],
            "bicubic": row.bicubic if record.bicubic is None else record.bicubic,
            "owner": self._owner if running else None,
            "heartbeat": statements.clock(connection.dialect.name) if running else None,
            "finished_at": record.finished_at,
        }


def _unfinished(connection: Connection, record: TrainingRecord) -> _Row | None:
    """The row of a training that goes on; None if the database has none."""
    same = [getattr(TrainingRow, name) == getattr(record, name) for name in _IDENTITY]
    columns = TrainingRow.id, TrainingRow.curve, TrainingRow.bicubic
    query = select(*columns).where(*same, TrainingRow.state != "done").order_by(TrainingRow.id.desc())
    row = connection.execute(query).first()
    return None if row is None else _Row(row.id, tuple(TrainingPoint(*point) for point in row.curve), row.bicubic)


def _inserted(connection: Connection, record: TrainingRecord, values: Mapping[str, Any]) -> int:
    """Insert a training. Returns its id. An unfinished one with the same file can no longer go on."""
    lost = {"state": "failed", "reason": "begun again from the first step", "owner": None, "heartbeat": None}
    unfinished = TrainingRow.file == record.file, TrainingRow.state.in_(("running", "interrupted"))
    connection.execute(update(TrainingRow).where(*unfinished).values(**lost))
    insert_architectures(connection, [record])
    study = connection.execute(select(statements.id_of(record.study))).scalar() if record.study is not None else None
    constant = {name: getattr(record, name) for name in _SHARED if name not in values}
    constant["recipe"], constant["data"] = dict(record.recipe), dict(record.data)
    constant |= {"study_id": study, "trial": None if study is None else record.trial}
    constant["started_at"] = record.started_at or datetime.now(UTC)
    inserted = connection.execute(insert(table_of(TrainingRow)).values(**constant, **values)).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])
