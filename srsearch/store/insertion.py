"""Inserts architectures and evaluations. Studies share them: each is stored once, whoever inserts it first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from sqlalchemy import Connection, Table, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase

from srsearch.store import statements
from srsearch.store.records import EvaluationRecord, TrialRecord
from srsearch.store.rows import evaluation_values
from srsearch.store.tables import ArchitectureRow, EvaluationRow


def table_of(row: type[DeclarativeBase]) -> Table:
    """The table of a mapped class."""
    return cast(Table, row.__table__)


def insert_architectures(connection: Connection, trials: Iterable[TrialRecord]) -> None:
    """Inserts the architectures of trials, except those that the database has."""
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
    for key, description in descriptions.items():
        if key not in stored:
            _insert_if_missing(connection, ArchitectureRow, {"key": key, "description": description})


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
    _insert_if_missing(connection, EvaluationRow, row)
    return connection.execute(statements.EVALUATION_ID, identity).scalar_one()


def _insert_if_missing(connection: Connection, row: type[DeclarativeBase], values: Mapping[str, Any]) -> None:
    if connection.dialect.name == "sqlite":
        # We hold the write lock, so nobody has inserted it since we looked. A savepoint would do harm: a full disk
        # ends SQLite's whole transaction with its savepoints, and rolling back to one would hide the cause.
        connection.execute(insert(table_of(row)), dict(values))
        return
    # Another process may have inserted the row since we looked; that must not end our transaction.
    try:
        with connection.begin_nested():
            connection.execute(insert(table_of(row)), dict(values))
    except IntegrityError:
        pass
