"""Exclusive sections: only one of the processes that use a database is in a section at a time.

A process that is suspended in a section (Ctrl-Z, a closed laptop) does not keep the others out: while it is in the
section a thread gives signs of life, and if there have been none for `SILENT_SECONDS` the next process goes ahead. The
one that was suspended finds out before it writes anything: it gets `Overtaken`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import platformdirs
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from srsearch.errors import InputError, WorkError
from srsearch.store.place import Place

SILENT_SECONDS = 15.0
"""How long a process may be in a section without a sign of life, until others enter it."""

_SIGNS = 5
"""Signs of life in that time."""

_SAID_SECONDS = 5.0
"""A shorter wait is not reported."""

_POLL_SECONDS = 0.002
"""A process that polled seldom would never find the lock free among others that hold it briefly."""

_LOCK = text(  # from left to right
    "SELECT set_config('lock_timeout', :wait, true), "
    "set_config('idle_in_transaction_session_timeout', :silent, true), pg_advisory_xact_lock(:number)"
)

Say = Callable[[str], None]


class Overtaken(WorkError):
    """Another process has entered the section that this one was in. Nothing of it was saved: repeat it as a whole."""


@dataclass(frozen=True)
class Held:
    """A section that this process is in.

    Attributes:
        connection: On PostgreSQL the transaction of the section; None for other databases.
        check: Raises `Overtaken` if another process has entered the section meanwhile. A transaction on PostgreSQL
            needs no check: the server has ended it then.
    """

    connection: Connection | None
    check: Callable[[], None] = lambda: None


@contextmanager
def exclusive(place: Place, engine: Engine, section: str, wait: float, say: Say) -> Iterator[Held]:
    """Keeps other processes out of the section while the context is open.

    On PostgreSQL the lock is an advisory lock of a transaction, which ends with the transaction or the connection; the
    server ends both if the process gives no sign of life. The connection is given to the caller, so that everything in
    the section is part of that transaction. For other databases the lock is a file, which the operating system unlocks
    when the process ends: beside a SQLite file, so that everybody who uses the file meets the lock; otherwise in a
    folder of this user. If the process that has locked it gives no sign of life, the next one deletes the file.

    Args:
        place: The database.
        engine: Its engine.
        section: The section's name.
        wait: Seconds to wait until other processes have left the section.
        say: Receives a message if the wait is long.

    Raises:
        WorkError: Another process stayed in the section.
        InputError: The lock file cannot be created.
    """
    if engine.dialect.name == "postgresql":
        with _locked_on_server(place, engine, section, wait, say) as connection, _signs(_asking(connection)):
            yield Held(connection)
        return
    path = _lock_file(place, section)
    with ExitStack() as lock:
        inode = _lock_the_file(lock, path, place, section, wait, say)

        def check() -> None:
            if _sign(path)[0] != inode:
                raise Overtaken(f"{place}: {_OVERTAKEN} ({section})")

        def give_sign() -> None:
            check()
            os.utime(path)

        with _signs(give_sign):
            yield Held(None, check)


_OVERTAKEN = "this process was suspended while it held a lock, and another one has taken the lock over"


@contextmanager
def _signs(give: Callable[[], None] | None) -> Iterator[None]:
    """Calls ``give`` from time to time in a thread, which stands still when the process is suspended."""
    if give is None:
        yield
        return
    ended = threading.Event()

    def go_on() -> None:
        with contextlib.suppress(Exception):  # the lock is lost, and the section is told so when it writes
            while not ended.wait(SILENT_SECONDS / _SIGNS):
                give()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# Lock files


def _lock_the_file(lock: ExitStack, path: Path, place: Place, section: str, wait: float, say: Say) -> int | None:
    """Locks the file, and gives the unlocking to ``lock``; returns the file's inode."""
    started = since = time.monotonic()
    last, reported = _sign(path), False
    while True:
        before = _sign(path)[0]
        try:
            release = _locked(path)
        except OSError as error:
            raise _not_lockable(place, path, error) from None
        now, sign = time.monotonic(), _sign(path)
        if release is not None:
            if before is not None and sign[0] == before:
                lock.callback(release)
                with contextlib.suppress(OSError):  # another user's file
                    os.utime(path)
                return before
            release()  # the file was new, or has been replaced: look again whether it is the one that others see
            continue
        if sign != last:
            last, since = sign, now
        elif now - since > SILENT_SECONDS and _sign(path) == last:
            with contextlib.suppress(OSError):  # where open files cannot be deleted we have to wait
                path.unlink()
        if now - started > wait:
            raise _timed_out(place, section, wait)
        if now - started > _SAID_SECONDS and not reported:
            reported = True
            say(_waiting(place))
        time.sleep(_POLL_SECONDS)


def _locked(path: Path) -> Callable[[], None] | None:
    """Locks a file if it is free; returns what unlocks it, or None."""
    # The lock belongs to everybody who may write the database, whatever the umask of the one who was first.
    lock = filelock.FileLock(path, timeout=0, mode=0o666)
    try:
        lock.acquire()
    except filelock.Timeout:
        return None
    except PermissionError as error:
        return _foreign_locked(path, error)
    return lock.release


def _foreign_locked(path: Path, refused: OSError) -> Callable[[], None] | None:
    """Locks a file that another user has made and that we may only read; an older srsearch made such files."""
    try:
        import fcntl

        file = path.open("rb")
    except (ImportError, OSError):
        raise refused from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        file.close()
        raise
    return file.close  # which gives the lock back


def _sign(path: Path) -> tuple[int | None, int]:
    """The file's inode (None where there is no file), and the time of its last sign of life."""
    try:
        status = path.stat()
    except OSError:
        return None, 0
    return status.st_ino, status.st_mtime_ns


def _not_lockable(place: Place, path: Path, error: OSError) -> InputError:
    return InputError(
        f"{place} cannot be locked: {path}: {error.strerror}; the folder must be writable, and the lock file readable "
        "(chmod a+rw; it may be deleted while nothing runs)"
    )


# PostgreSQL


@contextmanager
def _locked_on_server(place: Place, engine: Engine, section: str, wait: float, say: Say) -> Iterator[Connection]:
    with ExitStack() as transaction:
        try:
            connection = transaction.enter_context(engine.begin())
            _lock(connection, place, section, min(wait, _SAID_SECONDS))
        except WorkError:
            if wait <= _SAID_SECONDS:
                raise
            transaction.close()
            say(_waiting(place))
            connection = transaction.enter_context(engine.begin())
            _lock(connection, place, section, wait - _SAID_SECONDS)
        yield connection


def _lock(connection: Connection, place: Place, section: str, wait: float) -> None:
    number = int.from_bytes(hashlib.sha256(section.encode("utf-8", "surrogatepass")).digest()[:8], "big", signed=True)
    silent = 0.0 if _asking(connection) is None else SILENT_SECONDS  # 0: no limit
    values = {"wait": f"{round(wait * 1000)}ms", "silent": f"{round(silent * 1000)}ms", "number": number}
    try:
        connection.execute(_LOCK, values)
    except DBAPIError as error:
        if str(getattr(error.orig, "sqlstate", "")) != "55P03":  # lock_not_available
            raise
        raise _timed_out(place, section, wait) from None


def _asking(connection: Connection) -> Callable[[], None] | None:
    """What asks the server something on the connection from another thread; None where the driver forbids that."""
    driver: Any = connection.connection.driver_connection
    if getattr(connection.dialect.dbapi, "threadsafety", 0) < 2:
        return None

    def ask() -> None:
        with contextlib.closing(driver.cursor()) as cursor:
            cursor.execute("SELECT 1")

    return ask


def _waiting(place: Place) -> str:
    return (
        f"{place}: waiting for a lock that another srsearch process holds; if that has been suspended, this one goes "
        f"ahead after {SILENT_SECONDS:.0f} s"
    )


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
