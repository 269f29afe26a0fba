"""Inserts architectures and evaluations. Studies share them: each is stored once, whoever inserts it first."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Table, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase

from srsearch.store import statements
from srsearch.store.records import EvaluationRecord, TrainingRecord, TrialRecord
from srsearch.store.rows import evaluation_values
from srsearch.store.tables import ArchitectureRow, EvaluationRow

_Name = TypeVar("_Name", bound=Hashable)


def table_of(row: type[DeclarativeBase]) -> Table:
    """The table of a mapped class."""
    return cast(Table, row.__table__)


def insert_architectures(connection: Connection, trials: Iterable[TrialRecord | TrainingRecord]) -> None:
    """Inserts the architectures of trials or trainings, except those that the database has."""
    descriptions = {trial.key: dict(trial.description) for trial in trials if trial.key is not None}
    if not descriptions:
        return
    if connection.dialect.name == "postgresql":
        # In one order, so that two processes that insert the same ones do not wait for each other.
        rows = [{"key": key, "description": descriptions[key]} for key in sorted(descriptions)]
        connection.execute(statements.new_architectures(), rows)
        return
    stored: set[str] = set()
    for keys in statements.batches(descriptions):
        stored.update(connection.execute(select(ArchitectureRow.key).where(ArchitectureRow.key.in_(keys))).scalars())
    missing = [
        {"key": key, "description": description} for key, description in descriptions.items() if key not in stored
    ]
    _insert_if_missing(connection, ArchitectureRow, missing)


def insert_evaluation(connection: Connection, record: EvaluationRecord) -> int:
    """Inserts an evaluation unless the database has one of its identity. Returns the id of its row."""
    row = evaluation_values(record)
    identity = {name: row[name] for name in ("key", "recipe_hash", "data_fingerprint", "seed")}
    if connection.dialect.name == "postgresql":
        inserted = connection.execute(statements.new_evaluation(), row).scalar()
        return connection.execute(statements.EVALUATION_ID, identity).scalar_one() if inserted is None else inserted
    stored = connection.execute(statements.EVALUATION_ID, identity).scalar()
    if stored is not None:
        return stored
    _insert_if_missing(connection, EvaluationRow, [row])
    return connection.execute(statements.EVALUATION_ID, identity).scalar_one()


_Identity = tuple[str, str, str, int]


def insert_evaluations(connection: Connection, records: Mapping[_Name, EvaluationRecord]) -> dict[_Name, int]:
    """Inserts evaluations, except those that the database has. Returns the ids of their rows by the names given."""
    identities = {name: _identity(record) for name, record in records.items()}
    ids = _evaluation_ids(connection, identities.values())
    missing = {
        identity: evaluation_values(records[name]) for name, identity in identities.items() if identity not in ids
    }
    if missing:
        if connection.dialect.name == "postgresql":
            # In one order, so that two processes that insert the same ones do not wait for each other.
            connection.execute(statements.new_evaluations(), [missing[identity] for identity in sorted(missing)])
        else:
            _insert_if_missing(connection, EvaluationRow, list(missing.values()))
        ids |= _evaluation_ids(connection, missing)
    return {name: ids[identity] for name, identity in identities.items()}


def _identity(record: EvaluationRecord) -> _Identity:
    return record.key, record.recipe_hash, record.data_fingerprint, record.seed


def _evaluation_ids(connection: Connection, identities: Iterable[_Identity]) -> dict[_Identity, int]:
    """The ids of the stored evaluations of these designs, by identity."""
    columns = EvaluationRow.key, EvaluationRow.recipe_hash, EvaluationRow.data_fingerprint, EvaluationRow.seed
    ids: dict[_Identity, int] = {}
    for keys in statements.batches({key for key, *_ in identities}):
        for number, *identity in connection.execute(select(EvaluationRow.id, *columns).where(columns[0].in_(keys))):
            ids[cast(_Identity, tuple(identity))] = number
    return ids


def _insert_if_missing(connection: Connection, row: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows that were not there a moment ago."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        # We hold the write lock, so nobody has inserted it since we looked. A savepoint would do harm: a full disk
        # ends SQLite's whole transaction with its savepoints, and rolling back to one would hide the cause.
        connection.execute(insert(table_of(row)), [dict(values) for values in rows])
        return
    # Another process may have inserted a row since we looked; that must not end our transaction.
    for values in rows:
        with contextlib.suppress(IntegrityError), connection.begin_nested():
            connection.execute(insert(table_of(row)), dict(values))
