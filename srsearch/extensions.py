"""Functions that plugins register besides parts and objectives. Any room can read it: it imports no torch, no Dash."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Origin = tuple[str, str]
"""Where a class or function is written: its file, or its module where it has none, and its qualified name."""


@dataclass(frozen=True)
class Extension:
    """A function that was registered.

    Attributes:
        name: Its name in space files, links and commands.
        title: Its name for people.
        function: The function; the room that uses it says how it is called.
        digest: Digest of its source, for identities that change when the function does; empty for srsearch's own.
    """

    name: str
    title: str
    function: Callable[..., Any]
    digest: str = ""


_EXTENSIONS: dict[str, dict[str, Extension]] = {"loss": {}, "schedule": {}, "view": {}}

EXTENSION_KINDS = tuple(_EXTENSIONS)
"""The kinds: a ``loss`` or a ``schedule`` of a training recipe, and a ``view`` of the live dashboard."""


def add_extension(kind: str, function: Callable[..., Any], name: str | None = None, title: str | None = None) -> None:
    """Add a function. It replaces one of the same name from the same place, as when a plugin is loaded again.

    Args:
        kind: One of `EXTENSION_KINDS`.
        function: What to add.
        name: By default the function's name.
        title: By default the name with spaces for underscores and a capital letter.

    Raises:
        ValueError: Not a function, or another one has the name.
    """
    if not callable(function) or isinstance(function, type):
        raise ValueError(f"@register({kind!r}) stands before a function, not before {function!r}")
    chosen = name or function.__name__
    taken = _EXTENSIONS[kind].get(chosen)
    if taken is not None and origin(taken.function) != origin(function):
        raise ValueError(f"there is a {kind} named {chosen!r} already")
    title = title or chosen.replace("_", " ").capitalize()
    _EXTENSIONS[kind][chosen] = Extension(chosen, title, function, source_digest(function))


def extensions(kind: str) -> Mapping[str, Extension]:
    """The registered functions of one of the `EXTENSION_KINDS`, by name."""
    return _EXTENSIONS[kind]


def origin(registered: Callable[..., Any]) -> Origin:
    """Where a class or function is written: a file that is loaded again registers the same things again."""
    try:
        return inspect.getfile(registered), registered.__qualname__
    except (OSError, TypeError):
        return registered.__module__, registered.__qualname__


def source_digest(registered: Callable[..., Any]) -> str:
    """Digest of the file in which a class or function is written; in a notebook, of its own source.

    Returns:
        16 hexadecimal digits.
    """
    try:
        text = Path(inspect.getfile(registered)).read_text(encoding="utf-8")
    except (OSError, TypeError, UnicodeDecodeError):
        text = "\n".join(_source(each) for each in _functions(registered))
    lines = [line.rstrip() for line in text.splitlines()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _functions(registered: Callable[..., Any]) -> list[Callable[..., Any]]:
    if inspect.isfunction(registered):
        return [registered]
    return [each for _, each in sorted(vars(registered).items()) if inspect.isfunction(each)]


def _source(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return f"{function.__code__.co_code.hex()} {function.__code__.co_consts}"
