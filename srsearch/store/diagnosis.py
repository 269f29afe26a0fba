"""Explains errors of database drivers to the user."""

from __future__ import annotations

import getpass
import os
import re
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from srsearch.errors import InputError, WorkError
from srsearch.store import sqlite
from srsearch.store.credentials import without_passwords
from srsearch.store.place import Place


class Away(WorkError):
    """The server does not answer or has ended the transaction; trying again may succeed."""


class Damaged(WorkError):
    """The database's file is damaged. Waiting would not help."""


@dataclass(frozen=True)
class _Trouble:
    """What is wrong with a database.

    Attributes:
        message: The sentence for the user.
        is_input: Whether it is wrong input if it happens while the database is opened.
        kind: The class of the error if it is not wrong input.
    """

    message: str
    is_input: bool = True
    kind: type[WorkError] = WorkError


def explanation(place: Place, error: Exception, *, opening: bool) -> InputError | WorkError:
    """Turn an error of a database driver into one of srsearch's.

    Args:
        place: The database.
        error: The error of SQLAlchemy, a driver or the system.
        opening: Whether the database was being opened; then most errors are wrong input.
    """
    if isinstance(error, OSError):
        text = f"cannot read the database {place}: {error.strerror or error}"
        return InputError(text) if opening else WorkError(text)
    if isinstance(error, UnicodeDecodeError):  # raised by sqlite3 for a damaged schema
        return Damaged(damaged(place, "text that is not UTF-8"))
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    sqlite_name = str(getattr(cause, "sqlite_errorname", ""))
    if isinstance(cause, sqlite.Error) and "decode to UTF-8" in str(cause):  # raised by sqlite3 itself, without a name
        sqlite_name = "SQLITE_CORRUPT"
    trouble = _of_sqlite(place, cause, sqlite_name, opening) if sqlite_name else _of_server(place, cause, error)
    if trouble is None:
        trouble = _Trouble(f"the database {place} failed: {_first_line(place, cause)}")
    if opening and trouble.is_input:
        return InputError(trouble.message)
    return trouble.kind(trouble.message)


_DAMAGED_SCHEMA = re.compile("no such (table|column)|malformed|syntax error|unrecognized token")
"""Messages of SQLite about srsearch's statements. The statements fit the tables, so the schema must be damaged."""


def _of_sqlite(place: Place, cause: BaseException, name: str, opening: bool) -> _Trouble | None:
    if name == "SQLITE_FULL":
        return _full(place)
    if name == "SQLITE_NOTADB" and not opening:
        return _Trouble(damaged(place, "something else has been written over it"), False, Damaged)
    if name == "SQLITE_NOTADB":
        return _Trouble(f"{place} is not a database: name one that srsearch made with --storage, or a new file")
    if name.startswith("SQLITE_READONLY"):
        return _Trouble(f"{place} is read-only: make the file and its folder writable, or name another with --storage")
    if name.startswith("SQLITE_CANTOPEN"):
        return _Trouble(f"cannot open {place} for writing: it is a folder, or the folder is read-only")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return _Trouble(
            f"{place} is locked by another process, which may be a backup or a database browser", False, Away
        )
    if name.startswith("SQLITE_CORRUPT") or (name == "SQLITE_ERROR" and _DAMAGED_SCHEMA.search(str(cause))):
        return _Trouble(damaged(place, _first_line(place, cause).partition(" with text ")[0]), False, Damaged)
    if name.startswith("SQLITE_IOERR"):
        return _Trouble(f"the disk failed while {place} was used ({cause}); nothing that was finished is lost", False)
    return None


def damaged(place: Place, what: str) -> str:
    """The sentence that says what is damaged in a SQLite file, and what to do."""
    return (
        f"{place} is damaged ({what}): restore a copy of the file; or save what can be read, with "
        "`srsearch studies copy STUDY new.db` for each study, or sqlite3's .recover"
    )


def _full(place: Place) -> _Trouble:
    return _Trouble(
        f"the disk is full: {place} could not be written. Nothing that was finished is lost; "
        "make room and run the same command again",
        False,
    )


_REFUSED = (
    # libpq's errors have no code, only text. It is English unless the server is set to another language.
    (
        r"password authentication failed|no password supplied|authentication failed",
        "the server {host} does not accept the user {user} with this password: write it into the URL, "
        "into PGPASSWORD, or into ~/.pgpass (readable by you alone)",
    ),
    (
        r'role "[^"]*" does not exist',
        "the server {host} knows no user {user}: write another into the URL, or into PGUSER",
    ),
    (
        r'database "[^"]*" does not exist',
        "the server {host} has no database {database}: make it (createdb {database}), or name another in the URL",
    ),
    (
        r"no pg_hba\.conf entry|permission denied for database",
        "the server {host} does not let the user {user} into the database {database} from this machine: "
        "its administrator can (pg_hba.conf, GRANT CONNECT)",
    ),
    (
        r"could not translate host name|name or service not known|failed to resolve|getaddrinfo|nodename nor servname",
        "there is no host {host}: look at the spelling of the URL",
    ),
    (r"server does not support SSL|certificate|SSL error", "no secure connection to the server {host}: {text}"),
    (r"invalid (connection option|URI|port number|integer value)|invalid \w+ value", "the URL is not one: {text}"),
)

_ABSENT = (
    r"connection refused|no such file or directory|timeout expired|timed out|no route to host|network is unreachable"
)
"""Messages if no server answers; the URL may be wrong."""

_AWAY = (
    r"server closed the connection|connection (is|was) (lost|closed)|terminating connection|starting up|shutting down|"
    r"not yet accepting connections|in recovery mode|could not receive data|could not send data|consuming input failed|"
    r"connection reset|broken pipe|too many (clients|connections)|remaining connection slots"
)

_PASSING = ("08", "25P03", "40001", "40P01", "53300", "57014", "57P01", "57P02", "57P03", "57P05")
"""Codes after which trying again may succeed: no connection, a conflict between transactions, a restart of the server,
or a time limit of the server (statement_timeout) that ended even the statement that lifts it."""


def _of_server(place: Place, cause: BaseException, error: Exception) -> _Trouble | None:
    state = str(getattr(cause, "sqlstate", None) or "")
    text = _first_line(place, cause)
    if state == "53100":
        return _full(place)
    if state in ("42501", "25006", "3F000"):  # no privilege, a server that is read-only, no schema to be seen
        return _Trouble(
            f"{place}: the user {_user(place)} may not make or change srsearch's tables there ({text}). Let the owner "
            f"of the database run srsearch once, or grant it (GRANT CREATE ON SCHEMA public TO {_user(place)}; for "
            "tables that are there, GRANT ALL ON ALL TABLES IN SCHEMA public)"
        )
    if state.startswith(_PASSING):
        return _Trouble(f"the database {place} is away ({text})", False, Away)
    if state:
        return None
    for pattern, message in _REFUSED:
        if re.search(pattern, text, re.IGNORECASE):
            return _Trouble(f"{place}: {_filled(message, place, text)}")
    if re.search(_ABSENT, text, re.IGNORECASE):
        return _Trouble(f"no answer from {place} ({text}): is the server running, and reachable from here?", True, Away)
    if (isinstance(error, DBAPIError) and error.connection_invalidated) or re.search(_AWAY, text, re.IGNORECASE):
        return _Trouble(f"the database {place} is away ({text})", False, Away)
    return None


def _filled(message: str, place: Place, text: str) -> str:
    host = place.url.host or place.url.query.get("host") or os.environ.get("PGHOST") or "on this machine"
    database = place.url.database or os.environ.get("PGDATABASE") or _user(place)
    return message.format(host=host, user=_user(place), database=database, text=text)


def _user(place: Place) -> str:
    user = place.url.username or os.environ.get("PGUSER")
    if user:
        return str(user)
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "that is logged in"


def _first_line(place: Place, cause: BaseException) -> str:
    """The first line of a driver's message, without passwords."""
    lines = str(cause).strip().splitlines()
    text = "".join(sign if sign.isprintable() else "?" for sign in lines[0].strip()) if lines else type(cause).__name__
    return without_passwords(text, place.url)
