"""The version of a database's tables, and their upgrade to this package's version."""

from __future__ import annotations

import re

from sqlalchemy import Connection, func, inspect, select, text

from srsearch.errors import InputError, WorkError
from srsearch.store.diagnosis import damaged
from srsearch.store.place import Place

VERSION_TABLE = "srsearch_version"

REVISIONS = ("0001", "0002", "0003", "0004")
"""All revisions, oldest first. A list, because reading them with Alembic would take long."""

_READABLE = {"sqlite": ("0002", "0003")}
"""By kind of database, older revisions whose studies are read as they are (`sqlite.show_as_upgraded`)."""

_UPGRADE_LOCK = 0x7352_7365_6172_6368
"""Key of PostgreSQL's advisory lock: "sRsearch" in ASCII, which other programs are unlikely to use."""


def revision(connection: Connection) -> str | None:
    """The database's revision; None if it has no tables of srsearch yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return None if version is None else str(version)


def upgrade(connection: Connection, place: Place) -> None:
    """Create the tables, or upgrade older ones, within the connection's transaction.

    Only one process at a time does this: PostgreSQL has a lock for it, and in SQLite the transaction has the write
    lock.

    Raises:
        InputError: A newer srsearch made the database.
        WorkError: Its version is not one that any srsearch writes.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
    version = revision(connection)
    if version == REVISIONS[-1]:
        # Fails if the file is read-only. BEGIN IMMEDIATE does not: SQLite begins a transaction that only reads.
        connection.execute(text(f"DELETE FROM {VERSION_TABLE} WHERE 1 = 0"))
        return
    _refuse_unknown(version, place)
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "srsearch.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, REVISIONS[-1])


def check(connection: Connection, place: Place) -> None:
    """Check that this package can read the database as it is.

    Raises:
        InputError: A newer or an older srsearch made it, or it has no tables of srsearch.
        WorkError: It is damaged: its version is missing, or not one that any srsearch writes.
    """
    version = revision(connection)
    if version is None and inspect(connection).has_table("sr_trials"):
        raise WorkError(damaged(place, f"the table {VERSION_TABLE} is missing or empty"))
    if version is None:
        raise InputError(f"{place} holds no studies: run `srsearch run` first, or name another with --storage")
    _refuse_unknown(version, place)
    if version != REVISIONS[-1] and version not in _READABLE.get(connection.dialect.name, ()):
        raise InputError(
            f"{place} was made by an older srsearch (its tables are version {version}, this srsearch needs "
            f"{REVISIONS[-1]}): it is upgraded when a command first writes to it, such as `srsearch run`"
        )


def _refuse_unknown(version: str | None, place: Place) -> None:
    if version is not None and not re.fullmatch(r"\d{4}", version):
        raise WorkError(damaged(place, f"the version of its tables is {version!r}"))
    if version is not None and version not in REVISIONS:
        raise InputError(
            f"{place} was made by a newer srsearch (its tables are version {version}, this srsearch knows up to "
            f"{REVISIONS[-1]}): upgrade srsearch, or name another database with --storage"
        )
