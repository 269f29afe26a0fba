"""Where a database is: what the user wrote, understood and printable."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from srsearch.errors import InputError
from srsearch.store.credentials import shown
from srsearch.text import well_formed

DEFAULT_PATH = Path("studies") / "srsearch.db"
"""The database where none is named, from the current folder."""

VARIABLE = "SRSEARCH_STORAGE"
"""Environment variable that names a database, for URLs with passwords: everybody on a machine sees command lines."""

_MISTYPED_URL = re.compile(r"[A-Za-z][\w+.-]*:|[^/]*:.*@|[^/]*//[^/]*@", re.DOTALL)
"""How a path does not begin: a scheme, ``user:password@``, ``//user@``."""


@dataclass(frozen=True, slots=True)
class Place:
    """A database's address.

    Attributes:
        url: For SQLAlchemy; a SQLite path is that of `path` in it.
        path: The file of a SQLite database; None in memory and for other databases. Absolute and without links:
            SQLite puts its log beside the file itself, and all must find the same log, locks and checkpoints.
    """

    url: URL
    path: Path | None

    @classmethod
    def of(cls, url: str | URL | Path | None) -> Place:
        """Understands a URL, or the path of a SQLite file; ``~`` is the home folder. None: what the environment names
        in `VARIABLE`, else `DEFAULT_PATH`.

        Raises:
            InputError: Neither of them.
        """
        if url is None:
            url = os.environ.get(VARIABLE) or DEFAULT_PATH
        if isinstance(url, str) and url and "://" not in url:
            refuse_mistyped_url(url, "the storage")
            url = Path(url)
        if isinstance(url, Path):
            url = URL.create("sqlite", database=str(url))
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            # What was written is not repeated: it may hold a password.
            raise InputError(
                "the storage is not a database URL; write sqlite:///studies/srsearch.db, a path, "
                "or postgresql://user:password@host/database"
            ) from None
        if parsed.get_backend_name() != "sqlite":
            if any(well_formed(str(part)) != str(part) for part in parsed):
                raise InputError("the URL of the storage is not in UTF-8; write its other bytes as %XX")
            return cls(parsed, None)
        if parsed.query:
            raise InputError(f"a SQLite URL takes no options (after '?') here: {shown(parsed)}")
        if parsed.host:
            raise InputError("a SQLite URL has three slashes before the path: sqlite:///studies/srsearch.db")
        if parsed.database in (None, "", ":memory:"):
            return cls(parsed, None)
        path = _resolved(str(parsed.database))
        return cls(parsed.set(database=str(path)), path)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a SQLite database, in a file or in memory."""
        return self.url.get_backend_name() == "sqlite"

    def __str__(self) -> str:
        """For people: the path of a SQLite file, else the URL without passwords."""
        return str(self.path) if self.path is not None else shown(self.url)


def refuse_mistyped_url(text: str, what: str) -> None:
    """Refuses text without ``://`` that is no path either, and does not repeat it: it may hold a password.

    Args:
        text: What the user wrote.
        what: What it names, for the message.

    Raises:
        InputError: It begins like a URL.
    """
    if _MISTYPED_URL.match(text) and text != ":memory:" and not (os.name == "nt" and Path(text).drive):
        raise InputError(
            f"{what} begins like a URL, but not with a scheme and '://'; write it like "
            "postgresql://user:password@host/database, or ./NAME for a file whose name has a colon"
        )


def _resolved(written: str) -> Path:
    expanded = os.path.expanduser(written)
    if expanded.startswith("~"):
        user = Path(expanded).parts[0]
        raise InputError(f"there is no home folder {user}; for a file of that name write ./{expanded}")
    try:
        return Path(os.path.realpath(expanded))
    except FileNotFoundError:
        raise InputError(f"{written}: the current folder is gone; change to another, or give a whole path") from None
