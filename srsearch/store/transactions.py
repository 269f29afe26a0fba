"""Transactions of one database: begun, repeated while a server is away, and exclusive sections."""

from __future__ import annotations

import contextlib
import functools
import logging
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from srsearch.errors import InputError, WorkError
from srsearch.store import locks, schema, sqlite
from srsearch.store.connection import COMMITTING, READING, explained, reading_engine, writing_engine
from srsearch.store.diagnosis import Away
from srsearch.store.place import Place

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")
_Arguments = ParamSpec("_Arguments")

AWAY_SECONDS = 180.0
"""How long to wait for a server that has gone away, or for a SQLite file that somebody has locked: enough for a
restart, for another machine to take over, for a backup."""

_REPEATED_SECONDS = 1.0
"""How long those who cannot wait are told again that the database was away, before it is tried again."""

_OPENING_SECONDS = 20.0
"""How long to wait for a server while the database is opened: its address may be wrong."""

_CHANGING_SECONDS = 30.0
"""How long a SQLite file is read again and again because somebody writes to it."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_QUIET_SECONDS = 1.0
"""A shorter wait is not reported."""

_SAVED = "nothing that was finished is lost, and the same command goes on"

_MOST_FAILURES = 5


class Gone(WorkError):
    """The database's file was deleted or replaced while it was in use. Waiting would not help."""


class _HasTransactions(Protocol):
    @property
    def _transactions(self) -> Transactions: ...


_Owner = TypeVar("_Owner", bound=_HasTransactions)


def retried(
    change: Callable[Concatenate[_Owner, _Arguments], _Answer],
) -> Callable[Concatenate[_Owner, _Arguments], _Answer]:
    """Decorates a method that makes one transaction: it is repeated while the server is away.

    The method must be safe to repeat: the server may have committed the transaction before the connection was lost.
    """

    @functools.wraps(change)
    def repeat(self: _Owner, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        return self._transactions.retrying(lambda: change(self, *args, **kwargs))

    return repeat


class _OpenSection(threading.local):
    """The exclusive section that a thread is in; None outside of one."""

    held: locks.Held | None = None

    @property
    def connection(self) -> Connection | None:
        """The connection of a section on a server."""
        return None if self.held is None else self.held.connection


class Transactions:
    """Begins the transactions of one database.

    Opens the database: makes or upgrades its tables, or checks them where it is only read.

    Args:
        place: The database.
        read_only: Create and change nothing.
        patient: Wait for a database that is away; see `Store`.

    Raises:
        InputError: The database cannot be opened; see `Store`.
        WorkError: The disk is full, or another process does not release its lock.

    Attributes:
        say: Receives a message when a server that has gone away, or a lock, is waited for; at first it logs a warning.
    """

    def __init__(self, place: Place, *, read_only: bool, patient: bool = True) -> None:
        self.read_only = read_only
        self._patient = patient
        self._last_failure: tuple[float, Away] | None = None
        self.say: Callable[[str], None] = _log.warning
        self._place = place
        self._section = _OpenSection()
        with explained(place, opening=True):
            self._engine = reading_engine(place) if read_only else writing_engine(place)
        self._reading = self._engine.execution_options(**READING)
        self._committing = self._engine.execution_options(**COMMITTING)
        try:
            retrying(self._prepare, self._say, wait=AWAY_SECONDS if place.is_sqlite else _OPENING_SECONDS)
        except BaseException:
            self._engine.dispose()
            raise
        self._file = self._file_identity()
        self._rescued: Path | None = None

    def _prepare(self) -> None:
        """Makes or upgrades the tables, or checks them."""
        if self.read_only:
            self._read_once(lambda connection: schema.check(connection, self._place), opening=True)
            return
        with explained(self._place, opening=True), self._engine.begin() as connection:
            schema.upgrade(connection, self._place)

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    @contextmanager
    def write(self, *, once: bool = False, wait: float | None = None) -> Iterator[Connection]:
        """A transaction that may write: committed at the end, rolled back by any exception.

        Args:
            once: Only one statement changes something. It may be its own transaction, which saves a server round trips.
            wait: Seconds to wait at most until it can begin; None: `AWAY_SECONDS`.

        Raises:
            InputError: The database was opened for reading only.
            Gone: The database's file was deleted or replaced.
            Overtaken: Another process has entered the section of this one.
        """
        if self.read_only:
            raise InputError(f"{self._place} was opened for reading only")
        if self._section.connection is not None:
            with explained(self._place):
                yield self._section.connection
            return
        engine = self._committing if once and not self._place.is_sqlite else self._engine
        with explained(self._place), ExitStack() as transaction:
            connection = retrying(lambda: self._begun(transaction, engine), self._say, wait=wait)
            # SQLite goes on writing to a file that has been deleted, and nobody would ever find it.
            if self._file != self._file_identity():
                raise self._gone(connection)
            if self._section.held is not None:
                self._section.held.check()
            yield connection

    def _begun(self, transaction: ExitStack, engine: Engine) -> Connection:
        with explained(self._place):
            return transaction.enter_context(engine.begin())

    def read(self, ask: Callable[[Connection], _Answer]) -> _Answer:
        """Returns what ``ask`` reads in one transaction. It may be called more than once."""
        return self.retrying(lambda: self._read_once(ask, opening=False))

    def retrying(self, act: Callable[[], _Answer]) -> _Answer:
        """Returns what ``act`` returns, repeating it while the server is away; once only in an exclusive section.

        Args:
            act: A whole transaction that is safe to repeat.

        Raises:
            WorkError: The server did not come back within `AWAY_SECONDS`.
        """
        if self._section.connection is not None:
            return act()
        return retrying(act, self.say) if self._patient else self._tried(act)

    def _tried(self, act: Callable[[], _Answer]) -> _Answer:
        """What ``act`` returns. Its failure counts for the next ones, too: each may take seconds until it fails."""
        failure = self._last_failure
        if failure is not None and time.monotonic() < failure[0]:
            raise failure[1]
        try:
            return act()
        except Away as error:
            self._last_failure = time.monotonic() + _REPEATED_SECONDS, error
            raise

    @contextmanager
    def exclusive(self, section: str, *, wait: float) -> Iterator[None]:
        """Keeps other processes out of a section; see `Store.exclusive`."""
        if self._place.is_sqlite and self._place.path is None:
            yield  # a database in memory belongs to one process
            return
        with ExitStack() as lock:
            self._section.held = self.retrying(lambda: self._enter(lock, section, wait))
            try:
                yield
            except BaseException as error:
                with contextlib.suppress(DBAPIError):  # a lost connection rolls everything back, too
                    lock.__exit__(*sys.exc_info())
                if isinstance(error, Away):
                    raise locks.Overtaken(str(error)) from None
                raise
            finally:
                self._section.held = None
            # Errors raised inside the section pass as they are; those of entering and leaving it are explained.
            with explained(self._place):
                lock.close()

    def _enter(self, lock: ExitStack, section: str, wait: float) -> locks.Held:
        with explained(self._place):
            return lock.enter_context(locks.exclusive(self._place, self._engine, section, wait, self._say))

    def _say(self, message: str) -> None:
        self.say(message)

    def _read_once(self, ask: Callable[[Connection], _Answer], *, opening: bool) -> _Answer:
        with explained(self._place, opening=opening):
            if self._section.connection is not None:
                return ask(self._section.connection)
            if not self.read_only or self._place.path is None:
                with self._reading.begin() as connection:
                    return ask(connection)
            return self._read_file(self._place.path, ask)

    def _read_file(self, path: Path, ask: Callable[[Connection], _Answer]) -> _Answer:
        """Reads a SQLite file; repeated where it was read without locks and somebody wrote meanwhile."""
        deadline, failures = time.monotonic() + _CHANGING_SECONDS, 0
        while time.monotonic() < deadline:
            began = time.monotonic()
            try:
                with self._reading.begin() as connection:
                    answer = ask(connection)
                    files = cast(sqlite.Reader, connection.connection.dbapi_connection).files
                if files is None or files == sqlite.file_state(path):
                    return answer
            except (DBAPIError, sqlite.Error, OSError):
                # A writer that came or went at that instant causes an error once, not again and again.
                failures += 1
                if failures == _MOST_FAILURES or time.monotonic() - began >= sqlite.BUSY_SECONDS:  # which it has waited
                    raise
            time.sleep(0.01)
        raise WorkError(f"{self._place} keeps changing while it is read")

    def _file_identity(self) -> tuple[int, int] | None:
        """Device and inode of a SQLite file; None for other databases, and where the file is missing."""
        return None if self._place.path is None else sqlite.identity(self._place.path)

    def _gone(self, connection: Connection) -> Gone:
        """The error for a file that was deleted or replaced; what it held is saved from the open connection."""
        assert self._place.path is not None
        # A connection that was opened later is one to another file, or to a new and empty one.
        if self._rescued is None and connection.info.get(sqlite.IDENTITY) == self._file:
            for folder in (self._place.path.parent, locks.own_folder()):
                path = folder / f"{self._place.path.stem}.rescued-{secrets.token_hex(4)}.db"
                if sqlite.save_copy(cast(sqlite.Connection, connection.connection.dbapi_connection), path):
                    self._rescued = path
                    break
        saved = "" if self._rescued is None else f"; all that it held is in {self._rescued}: go on with --storage"
        return Gone(f"the database {self._place} is gone: its file was deleted or replaced while it was in use{saved}")


def undisturbed(act: Callable[[], _Answer]) -> _Answer:
    """Returns what ``act`` returns, repeating it if another process overtakes this one.

    Args:
        act: Enters an exclusive section, does everything there, and leaves it.

    Raises:
        Overtaken: Again and again.
    """
    for _ in range(_MOST_FAILURES - 1):
        with contextlib.suppress(locks.Overtaken):
            return act()
    return act()


def retrying(
    act: Callable[[], _Answer], say: Callable[[str], None] = lambda message: None, *, wait: float | None = None
) -> _Answer:
    """Returns what ``act`` returns, repeating it while the server is away.

    Args:
        act: A whole transaction that is safe to repeat.
        say: Receives one message if the wait is long.
        wait: Seconds to wait at most; None: `AWAY_SECONDS`.

    Raises:
        WorkError: The server did not come back in time.
    """
    started, pause, reported = time.monotonic(), _FIRST_PAUSE, False
    limit = AWAY_SECONDS if wait is None else wait
    while True:
        try:
            return act()
        except Away as error:
            waited = time.monotonic() - started
            if waited + pause > limit:
                raise WorkError(f"{error}; gave up after {waited:.0f} s: {_SAVED}") from None
            if waited > _QUIET_SECONDS and not reported:
                reported = True
                say(f"{error}; waiting up to {limit:.0f} s for it")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
