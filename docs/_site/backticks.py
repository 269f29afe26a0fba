"""Prepares docstrings for the documentation site.

Names in single backticks become links to what they name. Double backticks are literals and stay as they are; so does a
name that is on no page. The examples become code.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Docstring, Extension, Function, Object

NAME = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)")
EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


class Backticks(Extension):
    """Rewrites docstrings when an object has been read, before they are parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Links the names in the docstring of ``obj``, and marks its examples."""
        if obj.docstring is not None:
            # The parser knows examples under this heading only; others would be prose with quotation marks.
            obj.docstring.value = EXAMPLE.sub("Examples:", _linked(obj.docstring, obj))


def _linked(docstring: Docstring, where: Object) -> str:
    own = {parameter.name for parameter in where.parameters} if isinstance(where, Function) else set()

    def link(match: re.Match[str]) -> str:
        name = match[1]
        if name.split(".")[0] in own:
            return match[0]
        target = _path(name, where)
        # An optional reference becomes plain text, without a warning, where its target is on no page.
        return match[0] if target is None else f'<autoref identifier="{target}" optional>`{name}`</autoref>'

    return NAME.sub(link, docstring.value)


def _path(name: str, where: Object) -> str | None:
    if name.startswith("srsearch."):
        return name
    first, *rest = name.split(".")
    scope: Any = where
    while scope is not None:
        if first in scope.members:
            return ".".join([scope.members[first].path, *rest])
        if first == scope.name and scope.is_class:
            return ".".join([scope.path, *rest])
        scope = scope.parent
    return None
