"""What a plugin can add besides parts. Kept here, without torch or Dash, so that any room can look it up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Extension:
    """Something that a plugin has registered.

    Attributes:
        name: What links and commands call it.
        title: What people read.
        function: What it does; see the room that uses it.
    """

    name: str
    title: str
    function: Callable[..., Any]


_EXTENSIONS: dict[str, dict[str, Extension]] = {"view": {}}

EXTENSION_KINDS = tuple(_EXTENSIONS)
"""Kinds that ``register`` takes besides those of parts."""


def add_extension(kind: str, function: Callable[..., Any], name: str | None = None, title: str | None = None) -> None:
    """Add a function, in place of one of the same name from the same module.

    Args:
        kind: One of `EXTENSION_KINDS`.
        function: What is added.
        name: By default the function's name.
        title: By default the name with spaces for underscores, its first letter capital.

    Raises:
        ValueError: Not a function, or another module has taken the name.
    """
    if not callable(function) or isinstance(function, type):
        raise ValueError(f"@register({kind!r}) stands before a function, not before {function!r}")
    chosen = name or function.__name__
    taken = _EXTENSIONS[kind].get(chosen)
    if taken is not None and taken.function.__module__ != function.__module__:
        raise ValueError(f"there is a {kind} named {chosen!r} already")
    _EXTENSIONS[kind][chosen] = Extension(chosen, title or chosen.replace("_", " ").capitalize(), function)


def extensions(kind: str) -> Mapping[str, Extension]:
    """Everything of one kind that plugins have registered, by name."""
    return _EXTENSIONS[kind]
