"""Database URLs and drivers' messages as they may be shown: without passwords, wherever these were written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from sqlalchemy import URL

_DIGITS = re.compile(r"\d{1,9}")
_HOST = re.compile(r"[\w.:\[\]-]+|(/[\w.-]+)+/?")
_FORMS = {
    **dict.fromkeys(("host", "hostaddr"), _HOST),
    **dict.fromkeys(("port", "connect_timeout"), _DIGITS),
    **dict.fromkeys(("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"), _DIGITS),
    "sslmode": re.compile("disable|allow|prefer|require|verify-ca|verify-full"),
}
"""Parameters of a URL that are shown where the value has this form: an address, a number, a word of a few. A password
may stand in any other, also by mistake."""

_KEYWORD = re.compile(
    r"(\b\w*(?:passw|passphrase|pwd|secret|token)\w*\s*=\s*)('(?:[^'\\]|\\.)*'|\{[^}]*\}|[^\s&;,)]+)", re.IGNORECASE
)
_USER_INFO = re.compile(r"://[^\s/@]*@|://[^\s/@:]*:\S*@")


def shown(url: URL) -> str:
    """The URL without anything that may be a password."""
    hidden = {name: "***" for name, values in url.query.items() if not _is_harmless(name, values)}
    # A password with a sign that is not escaped ends up in the name of the host or of the database.
    user = url.username and url.username.partition(":")[0]
    shorter = url.set(username=user, host=_after_at(url.host), database=_after_at(url.database))
    return shorter.update_query_dict(hidden).render_as_string(hide_password=True)


def without_passwords(message: str, url: URL | None = None) -> str:
    """A driver's message without the passwords of a URL, of the environment, and of any URL or DSN in it."""
    for secret in sorted(set(_secrets(url)), key=len, reverse=True):
        for written in (secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]):
            message = message.replace(written, "***")
    return _KEYWORD.sub(r"\1***", _USER_INFO.sub("://***@", message))


def _secrets(url: URL | None) -> Iterator[str]:
    yield from (os.environ[name] for name in ("PGPASSWORD", "MYSQL_PWD") if os.environ.get(name))
    if url is None:
        return
    if url.password:
        yield str(url.password)
    if url.username and ":" in url.username:
        yield url.username.partition(":")[2]
    for part in (url.host, url.database):
        if part and "@" in part:
            user_info = part.rpartition("@")[0]
            yield from filter(None, (user_info, user_info.partition(":")[2]))
    for name, values in url.query.items():
        if not _is_harmless(name, values):
            for value in (values,) if isinstance(values, str) else values:
                yield from filter(None, (value, *(match[2] for match in _KEYWORD.finditer(value))))


def _is_harmless(name: str, values: str | tuple[str, ...]) -> bool:
    form = _FORMS.get(name.lower())
    listed = (values,) if isinstance(values, str) else values
    return form is not None and all(form.fullmatch(value) for value in listed)


def _after_at(part: str | None) -> str | None:
    return part if part is None or "@" not in part else "***@" + part.rpartition("@")[2]
