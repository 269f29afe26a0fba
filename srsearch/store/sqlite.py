"""SQLite opened so that a killed process loses nothing and readers disturb nobody.

Writers use the write-ahead log (``-wal``, with its index ``-shm``) and flush it at every commit. Readers create
nothing: SQLite itself would make both files when it opens such a database for reading, and refuse where it cannot.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from srsearch.errors import InputError

Connection = sqlite3.Connection
Error = sqlite3.Error

IDENTITY = "file"
"""Where a pooled connection's ``info`` has the `identity` of its file."""

BUSY_SECONDS = 5.0
"""How long SQLite waits for another process's transaction, until srsearch says so and goes on waiting."""

_MAGIC = b"SQLite format 3\x00"
_WAL_FORMAT = 2  # byte 18 of the header; 1 is the rollback journal


def prepare_writer(connection: sqlite3.Connection) -> None:
    """Sets a fresh connection up: the write-ahead log, a flush at every commit, foreign keys, explicit transactions."""
    # sqlite3 would begin transactions late and commit before some statements; here SQLAlchemy's events begin them.
    connection.isolation_level = None
    _use_write_ahead_log(connection)
    # NORMAL, usual with this log, may lose the last commits when the power fails.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def save_copy(connection: sqlite3.Connection, path: Path) -> bool:
    """Writes what is committed, even to a file that has been deleted, to a new file; returns whether it could."""
    try:
        connection.rollback()  # what a transaction has begun to change
        path.touch(exist_ok=False)
        connection.execute("VACUUM INTO ?", [str(path)])
    except (OSError, sqlite3.Error):
        with contextlib.suppress(OSError):
            path.unlink()
        return False
    return True


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switches the file over, once. Where it cannot be (in memory, network disks) the old journal does."""
    deadline = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # Of two processes that switch at once one is told "locked" without any waiting.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def check_file(path: Path) -> None:
    """Whether the file can be a database at all.

    Raises:
        InputError: There is none, it is empty or a folder, it cannot be read, it is something else, or it has several
            names.
    """
    refuse_many_names(path)
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise InputError(f"no database at {path}: run `srsearch run` first, or name another with --storage") from None
    except OSError as error:
        raise InputError(f"cannot read the database {path}: {error.strerror}") from error
    # SQLite makes the file empty and fills it with the first commit, so an empty one may be a run that just starts.
    if head != _MAGIC and not (head == b"" and _log(path).exists()):
        what = "is empty" if not head else "is not a database"
        raise InputError(f"{path} {what}: name a database that srsearch made with --storage")


def refuse_many_names(path: Path) -> None:
    """Refuses a file that is also reached by a name that is no symbolic link to this one.

    SQLite keeps a log beside the name that it is given. Under another name nobody finds it: readers miss what has been
    written, and two writers destroy each other's work.

    Raises:
        InputError: The file has hard links, or is mounted by itself.
    """
    try:
        names = path.stat().st_nlink
    except OSError:
        return  # missing or unreadable: whoever opens it says so
    if path.is_file() and names > 1:
        raise InputError(
            f"the database {path} has {names} names (hard links), and SQLite would keep a log for each: delete the "
            f"others (find / -samefile {path}), or work on a copy made with cp"
        )
    if str(path) in _mount_points():
        raise InputError(
            f"the database {path} is mounted as a single file, and SQLite keeps its log beside it: mount its folder"
        )


def _mount_points() -> set[str]:
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return set()  # not Linux
    # Blanks and other signs are written as octal numbers (proc(5)).
    return {re.sub(r"\\([0-7]{3})", lambda sign: chr(int(sign[1], 8)), line.split(" ")[4]) for line in lines}


class Reader(sqlite3.Connection):
    """A connection for one reading, which creates and changes nothing; the folder may be read-only.

    Attributes:
        files: None where SQLite itself keeps it apart from writers; else the state of the files it was opened on, and
            what it reads counts only if `file_state` is still the same afterwards.
    """

    files: tuple[object, ...] | None = None


def file_state(path: Path) -> tuple[object, ...]:
    """What changes when somebody writes: inode, time and size of the database and of its log."""
    return _status(path), _status(_log(path))


def open_reader(path: Path) -> Reader:
    """Opens a database for one reading.

    With a log and its index SQLite joins the writers, or reads what a killed one has left. Without a log nobody is
    writing and the file is everything. A log without its index (in a copied database, or for an instant while a writer
    comes or goes) is read from a temporary copy.

    Raises:
        sqlite3.Error: What SQLite says.
        OSError: The file is gone or cannot be read.
    """
    files = file_state(path)
    if not _has_log_format(path) or (files[1] is not None and path.with_name(f"{path.name}-shm").exists()):
        reader = _connect(path, "mode=ro")
    else:
        reader = _connect(path, "mode=ro&immutable=1") if files[1] is None else _connect_to_copy(path)
        reader.files = files
    show_as_upgraded(reader)
    return reader


def show_as_upgraded(reader: sqlite3.Connection) -> None:
    """Lets queries of this version read a database of revision 0002 or 0003, which may lie in a read-only folder.

    A temporary view stands before its table of trials, with the column that revision 0004 adds; it lives in the
    connection and changes no file.
    """
    with contextlib.suppress(sqlite3.Error):  # a damaged file is explained by whoever reads it
        columns = [row[1] for row in reader.execute("PRAGMA main.table_info(sr_trials)")]
        if columns and "steps" not in columns:
            listed = ", ".join(f'"{name}"' for name in columns)
            reader.execute(f"CREATE TEMP VIEW sr_trials AS SELECT {listed}, NULL AS steps FROM main.sr_trials")


def _connect(path: Path, options: str) -> Reader:
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?{options}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=Reader,
    )


def _connect_to_copy(path: Path) -> Reader:
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=Reader)
    with tempfile.TemporaryDirectory(prefix="srsearch-") as folder:
        copy = Path(folder) / "copy.db"
        # The contents only: a read-only mode must not be copied, nor extended attributes.
        shutil.copyfile(path, copy)
        shutil.copyfile(_log(path), _log(copy))
        source = sqlite3.connect(copy)
        try:
            source.backup(memory)
        finally:
            source.close()
    return memory


def _status(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _has_log_format(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(20)
    return len(header) < 20 or header[18] == _WAL_FORMAT
