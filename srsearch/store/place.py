"""Where a database is: what the user wrote, understood and printable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from srsearch.errors import InputError
from srsearch.text import well_formed

DEFAULT_PATH = Path("studies") / "srsearch.db"
"""The database where none is named, from the current folder."""


@dataclass(frozen=True, slots=True)
class Place:
    """A database's address.

    Attributes:
        url: For SQLAlchemy; a SQLite path is absolute in it.
        path: The file of a SQLite database; None in memory and for other databases.
    """

    url: URL
    path: Path | None

    @classmethod
    def of(cls, url: str | URL | Path | None) -> Place:
        """Understands a URL, or the path of a SQLite file.

        Raises:
            InputError: Neither of them.
        """
        if url is None:
            url = DEFAULT_PATH
        if isinstance(url, str) and url and "://" not in url:
            url = Path(url)
        if isinstance(url, Path):
            url = URL.create("sqlite", database=str(url))
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError) as error:
            # What was written is not repeated: it may hold a password.
            raise InputError(
                "the storage is not a database URL; write sqlite:///studies/srsearch.db, a path, "
                "or postgresql://user:password@host/database"
            ) from error
        if parsed.get_backend_name() != "sqlite":
            if any(well_formed(str(part)) != str(part) for part in parsed):
                raise InputError("the URL of the storage is not in UTF-8; write its other bytes as %XX")
            return cls(parsed, None)
        if parsed.query:
            raise InputError(f"a SQLite URL takes no options (after '?') here: {_printable(parsed)}")
        if parsed.database in (None, "", ":memory:"):
            return cls(parsed, None)
        path = Path(str(parsed.database)).absolute()
        return cls(parsed.set(database=str(path)), path)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a SQLite database, in a file or in memory."""
        return self.url.get_backend_name() == "sqlite"

    def __str__(self) -> str:
        """For people: the path of a SQLite file, else the URL without its password."""
        return str(self.path) if self.path is not None else _printable(self.url)


def _printable(url: URL) -> str:
    """The URL without secrets; drivers also take passwords as options."""
    secret = {name: "***" for name in url.query if "pass" in name.lower() or "secret" in name.lower()}
    return url.update_query_dict(secret).render_as_string(hide_password=True)
