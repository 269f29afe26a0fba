"""The version of a database's tables, and their upgrade to this package's version."""

from __future__ import annotations

import re

from sqlalchemy import Connection, func, inspect, select, text

from srsearch.errors import InputError, WorkError
from srsearch.store.diagnosis import damaged
from srsearch.store.place import Place

VERSION_TABLE = "srsearch_version"

REVISIONS = ("0001", "0002", "0003")
"""Every revision this package knows, oldest first. Known without importing Alembic, which takes its time."""

_READABLE = {"sqlite": ("0002",)}
"""By kind of database, older revisions that are read as they are (`sqlite.show_as_upgraded`)."""

_LOCK = 0x7352_7365_6172_6368  # "sRsearch": any number that other programs are unlikely to use


def revision(connection: Connection) -> str | None:
    """The database's revision; None where srsearch has made nothing in it yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return None if found is None else str(found)


def upgrade(connection: Connection, place: Place) -> None:
    """Makes the tables, or brings older ones up to date, within the connection's transaction.

    Processes that open a fresh database at once queue up: in SQLite by the transaction, which has the write lock.

    Raises:
        InputError: The database was made by a newer srsearch.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    found = revision(connection)
    if found == REVISIONS[-1]:
        # Says now whether we may write: on a read-only file SQLite's BEGIN IMMEDIATE quietly begins a reading.
        connection.execute(text(f"DELETE FROM {VERSION_TABLE} WHERE 1 = 0"))
        return
    _refuse_newer(found, place)
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "srsearch.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, REVISIONS[-1])


def check(connection: Connection, place: Place) -> None:
    """Whether the database can be read by this package as it is.

    Raises:
        InputError: It was made by a newer srsearch or an older one, or holds nothing of srsearch.
    """
    found = revision(connection)
    if found is None and inspect(connection).has_table("sr_trials"):
        raise WorkError(damaged(place, f"the table {VERSION_TABLE} is missing or empty"))
    if found is None:
        raise InputError(f"{place} holds no studies: run `srsearch run` first, or name another with --storage")
    _refuse_newer(found, place)
    if found != REVISIONS[-1] and found not in _READABLE.get(connection.dialect.name, ()):
        raise InputError(
            f"{place} was made by an older srsearch (its tables are version {found}, this srsearch needs "
            f"{REVISIONS[-1]}): it is upgraded when a command first writes to it, such as `srsearch run`"
        )


def _refuse_newer(found: str | None, place: Place) -> None:
    if found is not None and not re.fullmatch(r"\d{4}", found):
        raise WorkError(damaged(place, f"the version of its tables is {found!r}"))
    if found is not None and found not in REVISIONS:
        raise InputError(
            f"{place} was made by a newer srsearch (its tables are version {found}, this srsearch knows up to "
            f"{REVISIONS[-1]}): upgrade srsearch, or name another database with --storage"
        )
