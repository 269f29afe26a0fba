"""Exclusive sections: only one of the processes that use a database is in a section at a time."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import platformdirs
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from srsearch.errors import InputError, WorkError
from srsearch.store.place import Place

_POLL_SECONDS = 0.002
"""A process that polled seldom would never find the lock free among others that hold it briefly."""

_LOCK = text("SELECT set_config('lock_timeout', :wait, true), pg_advisory_xact_lock(:number)")  # from left to right


@contextmanager
def exclusive(place: Place, engine: Engine, section: str, wait: float) -> Iterator[Connection | None]:
    """Keeps other processes out of the section while the context is open.

    On PostgreSQL the lock is an advisory lock of a transaction, which ends with the transaction or the connection. The
    connection is given to the caller, so that everything in the section is part of that transaction. For other
    databases the lock is a file, which the operating system unlocks when the process ends: beside a SQLite file, so
    that everybody who uses the file meets the lock; otherwise in a folder of this user.

    Args:
        place: The database.
        engine: Its engine.
        section: The section's name.
        wait: Seconds to wait until other processes have left the section.

    Raises:
        WorkError: Another process stayed in the section.
        InputError: The lock file cannot be created.
    """
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            _lock(connection, place, section, wait)
            yield connection
        return
    path = _lock_file(place, section)
    # The lock belongs to everybody who may write the database, whatever the umask of the one who was first.
    lock = filelock.FileLock(path, timeout=wait, poll_interval=_POLL_SECONDS, mode=0o666)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise _timed_out(place, section, wait) from None
    except PermissionError as error:
        with _foreign_lock(path, place, section, wait, error):
            yield None
        return
    except OSError as error:
        raise _not_lockable(place, path, error) from None
    try:
        yield None
    finally:
        lock.release()


@contextmanager
def _foreign_lock(path: Path, place: Place, section: str, wait: float, refused: OSError) -> Iterator[None]:
    """Locks a file that another user has made and that we may only read; an older srsearch made such files."""
    try:
        import fcntl

        file = path.open("rb")
    except (ImportError, OSError):
        raise _not_lockable(place, path, refused) from None
    with file:  # closing it gives the lock back
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise _timed_out(place, section, wait) from None
                time.sleep(_POLL_SECONDS)
            except OSError as error:
                raise _not_lockable(place, path, error) from None
        yield


def _not_lockable(place: Place, path: Path, error: OSError) -> InputError:
    return InputError(
        f"{place} cannot be locked: {path}: {error.strerror}; the folder must be writable, and the lock file readable "
        "(chmod a+rw; it may be deleted while nothing runs)"
    )


def _lock(connection: Connection, place: Place, section: str, wait: float) -> None:
    number = int.from_bytes(hashlib.sha256(section.encode("utf-8", "surrogatepass")).digest()[:8], "big", signed=True)
    try:
        connection.execute(_LOCK, {"wait": f"{round(wait * 1000)}ms", "number": number})
    except DBAPIError as error:
        if str(getattr(error.orig, "sqlstate", "")) != "55P03":  # lock_not_available
            raise
        raise _timed_out(place, section, wait) from None


def _timed_out(place: Place, section: str, wait: float) -> WorkError:
    return WorkError(
        f"{place}: timed out after {wait:.0f} s waiting for a lock that another srsearch process holds ({section})"
    )


def _lock_file(place: Place, section: str) -> Path:
    if place.path is not None:  # which may be another path for others, in a container or behind a mount
        return place.path.with_name(f".{place.path.name}.{_short_hash(section)}.lock")
    return own_folder() / f"{_short_hash(f'{place} {section}')}.lock"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def own_folder() -> Path:
    """The folder of this user's files that must survive a restart; the temporary folder if it cannot be created."""
    folder = platformdirs.user_state_path("srsearch")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    return folder
