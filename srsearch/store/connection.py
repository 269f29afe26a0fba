"""Creates engines for writing and for reading, and explains their errors."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, StaticPool

from srsearch.errors import InputError, suggest
from srsearch.store import sqlite
from srsearch.store.credentials import without_passwords
from srsearch.store.diagnosis import explanation
from srsearch.store.place import Place

READING = {"sr_reading": True, "postgresql_readonly": True}
"""Execution options of a transaction that only reads."""

COMMITTING = {"isolation_level": "AUTOCOMMIT"}
"""Execution options of a statement that is a transaction by itself."""

_POOL = {"pool_size": 2, "max_overflow": 4}
"""A run sends one query at a time while it holds a lock, so a server with 100 connections serves 32 runs and readers.
After a restart of the server the pooled connections fail at their next use; `transactions.retrying` opens new ones."""

_CONNECT_SECONDS = 10
"""How long a server may take to answer at all, where neither the URL nor PGCONNECT_TIMEOUT says so."""

WRITING_SECONDS = 15
"""How long a transaction that writes may do nothing, until a server ends it."""

_READING_SECONDS = 600
"""The same for one that reads: what it has read is unpacked in it. It blocks upgrades of the tables only."""

_POSTGRESQL = {
    "application_name": "srsearch",
    # A server that vanished without a word is noticed in a minute, not in the two hours that systems wait.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}

# NaN is not JSON: PostgreSQL would refuse it where SQLite would not.
_to_json = partial(json.dumps, allow_nan=False)
_decode = json.JSONDecoder().decode


def _from_json(text: str | bytes) -> Any:
    """What `json.loads` gives of UTF-8, in half the time: a row has five of them."""
    return _decode(text if isinstance(text, str) else str(text, "utf-8"))


def writing_engine(place: Place) -> Engine:
    """An engine whose transactions may write; makes the folder of a SQLite file.

    Raises:
        InputError: The folder cannot be made; a file with several names; unknown kind of database; its driver is not
            installed.
    """
    if not place.is_sqlite:
        return _create_engine(place, **_POOL)
    if place.path is not None:
        sqlite.refuse_many_names(place.path)
        try:
            place.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {place.path.parent}: {error.strerror}") from error
        engine = _create_engine(place, connect_args={"timeout": sqlite.BUSY_SECONDS})
    else:
        engine = _create_engine(place, poolclass=StaticPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", partial(_prepare_sqlite_writer, place))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def reading_engine(place: Place) -> Engine:
    """An engine that never changes anything; each connection is opened for one reading and closed."""
    if not place.is_sqlite:
        return _create_engine(place, **_POOL)
    if place.path is None:
        return _create_engine(place)
    sqlite.check_file(place.path)
    engine = _create_engine(place, poolclass=NullPool, creator=partial(sqlite.open_reader, place.path))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _create_engine(place: Place, **options: Any) -> Engine:
    url = place.url
    if url.drivername == "postgresql":  # whose driver would otherwise depend on the version of SQLAlchemy
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername == "postgresql+psycopg":
        options["connect_args"] = _postgresql_arguments(url.query)
    try:
        engine = create_engine(url, json_serializer=_to_json, json_deserializer=_from_json, **options)
    except NoSuchModuleError as error:
        hint = suggest(place.url.drivername, ["sqlite", "postgresql", "mysql", "mariadb"])
        raise InputError(f"unknown kind of database {place.url.drivername!r} in {place}; {hint}") from error
    except ModuleNotFoundError as error:
        name = error.name
        wanted = "'srsearch[postgresql]'" if name == "psycopg" else name
        raise InputError(f"{place} needs the package {name!r}: pip install {wanted}") from error
    except ArgumentError as error:
        raise InputError(f"{place}: {without_passwords(str(error), place.url)}") from None
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _without_time_limits, insert=True)  # before what SQLAlchemy asks
        event.listen(engine, "begin", _limit_silence)
    return engine


def _postgresql_arguments(given: Any) -> dict[str, Any]:
    """What libpq is told beside the URL. User, password and host that the URL leaves out are libpq's to find: in
    PGUSER, PGPASSWORD and their like, or in ~/.pgpass.
    """
    arguments: dict[str, Any] = dict(_POSTGRESQL)
    if "PGCONNECT_TIMEOUT" not in os.environ:
        arguments["connect_timeout"] = _CONNECT_SECONDS
    return {name: value for name, value in arguments.items() if name not in given}


def _prepare_sqlite_writer(place: Place, connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    sqlite.prepare_writer(connection)
    if place.path is not None:
        record.info[sqlite.IDENTITY] = sqlite.identity(place.path)


def _without_time_limits(connection: Any, _: ConnectionPoolEntry) -> None:
    """Lifts limits that an administrator has set for short queries, as pg_dump does; ours have their own."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET lock_timeout = 0")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{_READING_SECONDS}s'")
    connection.commit()


def _limit_silence(connection: Connection) -> None:
    """Makes the server end a transaction that writes if this process is suspended in it: it would block others."""
    options = connection.get_execution_options()
    if not options.get("sr_reading") and options.get("isolation_level") != COMMITTING["isolation_level"]:
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{WRITING_SECONDS}s'")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the write lock at once and waits for it: a transaction that begins by reading and then finds
    # another one's write in its way would fail without waiting.
    reading = connection.get_execution_options().get("sr_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def explained(place: Place, *, opening: bool = False) -> Iterator[None]:
    """Turns the database's errors into ours.

    Args:
        place: Where the database is, for the message.
        opening: Whether the database is being opened: then most errors are wrong input.

    Raises:
        Away: A server that does not answer, or has ended the transaction: the same may succeed a little later.
        WorkError: A full or broken disk, a lock nobody gives back.
        InputError: While opening: not a database, not writable, not reachable.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error, OSError, UnicodeDecodeError) as error:
        raise explanation(place, error, opening=opening) from error
