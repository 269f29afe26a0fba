"""Engines for writing and for reading, and what went wrong with them in the user's words."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool, StaticPool

from srsearch.errors import InputError, WorkError, nearest
from srsearch.store import sqlite
from srsearch.store.place import Place

READING = {"sr_reading": True, "postgresql_readonly": True}
"""Execution options of a transaction that only reads."""

# NaN is not JSON: PostgreSQL would refuse it where SQLite would not.
_to_json = partial(json.dumps, allow_nan=False)


def writing_engine(place: Place) -> Engine:
    """An engine whose transactions may write; makes the folder of a SQLite file.

    Raises:
        InputError: The folder cannot be made; unknown kind of database; its driver is not installed.
    """
    if not place.is_sqlite:
        return _create_engine(place, pool_pre_ping=True)
    if place.path is not None:
        try:
            place.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {place.path.parent}: {error.strerror}") from error
        engine = _create_engine(place, connect_args={"timeout": sqlite.BUSY_SECONDS})
    else:
        engine = _create_engine(place, poolclass=StaticPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", lambda connection, _: sqlite.prepare_writer(connection))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def reading_engine(place: Place) -> Engine:
    """An engine that never changes anything; each connection is opened for one reading and closed."""
    if place.path is None:
        return _create_engine(place)
    sqlite.check_file(place.path)
    engine = _create_engine(place, poolclass=NullPool, creator=partial(sqlite.open_reader, place.path))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _create_engine(place: Place, **options: Any) -> Engine:
    try:
        return create_engine(place.url, json_serializer=_to_json, **options)
    except NoSuchModuleError as error:
        hint = nearest(place.url.drivername, ["sqlite", "postgresql", "mysql", "mariadb"])
        raise InputError(f"unknown kind of database {place.url.drivername!r} in {place}; {hint}") from error
    except ModuleNotFoundError as error:
        raise InputError(f"{place} needs the package {error.name!r}: pip install {error.name}") from error
    except ArgumentError as error:
        raise InputError(f"{place}: {error}") from error


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
        opening: Whether the database is just being opened: then what is wrong with it is the user's input.

    Raises:
        WorkError: A full or broken disk, a lock nobody gives back, a lost server.
        InputError: While opening: not a database, not writable, not reachable.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        message, is_input = _explain(place, cause)
        raise (InputError if opening and is_input else WorkError)(message) from error
    except OSError as error:
        kind = InputError if opening else WorkError
        raise kind(f"cannot read the database {place}: {error.strerror or error}") from error


def _explain(place: Place, cause: BaseException) -> tuple[str, bool]:
    """The message for a driver's error, and whether it is wrong input if it comes while opening."""
    name = str(getattr(cause, "sqlite_errorname", ""))
    state = str(getattr(cause, "sqlstate", ""))
    if name == "SQLITE_FULL" or state == "53100":
        return (
            f"the disk is full: {place} could not be written. Nothing that was finished is lost; "
            "make room and run the same command again"
        ), False
    if name == "SQLITE_NOTADB":
        return f"{place} is not a database: name one that srsearch made with --storage, or a new file", True
    if name.startswith("SQLITE_READONLY"):
        return f"{place} is read-only: make the file and its folder writable, or name another with --storage", True
    if name.startswith("SQLITE_CANTOPEN"):
        return f"cannot open {place} for writing: it is a folder, or the folder is read-only", True
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{place} has been locked by another process for {sqlite.BUSY_SECONDS:.0f} seconds", False
    if name.startswith("SQLITE_CORRUPT"):
        return f"{place} is damaged ({cause}); restore a copy, or save what is readable with sqlite3's .recover", False
    if name.startswith("SQLITE_IOERR"):
        return f"the disk failed while {place} was used ({cause}); nothing that was finished is lost", False
    text = str(cause).strip().splitlines()
    return f"the database {place} failed: {text[0] if text else type(cause).__name__}", True
