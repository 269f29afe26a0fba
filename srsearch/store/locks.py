"""Doing something alone, among all processes that use one database."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import platformdirs
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from srsearch.errors import InputError, WorkError
from srsearch.store.place import Place

_LOCK = text("SELECT set_config('lock_timeout', :wait, true), pg_advisory_xact_lock(:number)")  # from left to right


@contextmanager
def exclusive(place: Place, engine: Engine, what: str, wait: float) -> Iterator[Connection | None]:
    """While this is open no other process is in the same section.

    On PostgreSQL an advisory lock of a transaction, which ends with it or with the connection; this is given, so that
    all that is done in the section is one transaction. Else a locked file, which the system unlocks when the
    process ends: beside a database file, so that whoever uses the file meets the lock, otherwise for this user.

    Args:
        place: The database.
        engine: Its engine.
        what: Names the section.
        wait: Seconds that it may take until the others are out.

    Raises:
        WorkError: They were not.
        InputError: The file cannot be made.
    """
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            _lock(connection, place, what, wait)
            yield connection
        return
    # Waiting processes look often: one that looks seldom never finds the lock free among others that are quick.
    lock = filelock.FileLock(_lock_file(place, what), timeout=wait, poll_interval=0.002)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise WorkError(f"{place}: another process has been at it for {wait:.0f} seconds ({what})") from None
    except OSError as error:
        raise InputError(f"{place} cannot be locked: {lock.lock_file}: {error.strerror}") from None
    try:
        yield None
    finally:
        lock.release()


def _lock(connection: Connection, place: Place, what: str, wait: float) -> None:
    number = int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], "big", signed=True)
    try:
        connection.execute(_LOCK, {"wait": f"{round(wait * 1000)}ms", "number": number})
    except DBAPIError as error:
        if str(getattr(error.orig, "sqlstate", "")) != "55P03":  # lock_not_available
            raise
        raise WorkError(f"{place}: another process has been at it for {wait:.0f} seconds ({what})") from None


def _lock_file(place: Place, what: str) -> Path:
    name = hashlib.sha256(f"{place} {what}".encode()).hexdigest()[:16] + ".lock"
    return place.path.with_name(f".{place.path.name}.{name}") if place.path is not None else own_folder() / name


def own_folder() -> Path:
    """Where this user's programs keep what must survive a restart; else the temporary folder."""
    folder = platformdirs.user_state_path("srsearch")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    return folder
