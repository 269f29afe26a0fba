"""Reads YAML into plain data, and knows the line of every value."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from srsearch.errors import InputError

Location: TypeAlias = tuple[str | int, ...]
"""Where a value is: keys and list positions from the top."""

_MAX_NODES = 100_000
"""Largest number of values in a document, more than any space has. It stops aliases that multiply."""

_MAX_CHARACTERS = 1_000_000
"""Largest length of a document, more than any space has. It stops files without an end, such as devices."""


class _CoreLoader(yaml.SafeLoader):
    """YAML 1.2's core scalars: ``1e-3`` is a number, ``on`` and ``no`` are words."""


_PATTERNS: dict[str, re.Pattern[str]] = {}
_CoreLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)|[-+]?\.(inf|Inf)|\.(nan|NaN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _PATTERNS[f"tag:yaml.org,2002:{_tag}"] = re.compile(rf"(?:{_pattern})\Z")
    _CoreLoader.add_implicit_resolver(*list(_PATTERNS.items())[-1], list(_first))

# PyYAML follows YAML 1.1, which reads 016 as fourteen.
_CoreLoader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value, 10))

_WIDER = {"tag:yaml.org,2002:float": "tag:yaml.org,2002:int"}
"""A number without a point may be a float, too."""

_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""NUL and lone surrogates, which escapes in quotes can produce."""

_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}


def exists(path: Path) -> bool:
    """Return whether the path can be read: a file, a pipe or a device, but not a folder.

    Raises:
        InputError: The system refuses the name, for example because it is too long.
    """
    try:
        return path.exists() and not path.is_dir()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def is_text(value: str) -> bool:
    """Return whether files and databases accept a text: it has no NUL and no lone surrogates."""
    return _NO_TEXT.search(value) is None


class Source:
    """A YAML document and the lines of its values.

    Attributes:
        path: The file's name, for messages.
        text: What was read.
        data: Plain data: dictionaries, lists, strings, numbers, booleans, None.

    Raises:
        InputError: Not YAML, a key written twice, or a tag that would build an object; names file and line.
    """

    def __init__(self, text: str, path: str | Path) -> None:
        self.path = str(path)
        self.text = text
        self._lines: dict[Location, int] = {(): 1}
        try:
            self._loader = _CoreLoader(text)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise InputError(
                f"{self.path}:{line}: the character {chr(error.character)!a} is not allowed in YAML; delete it"
            ) from None
        try:
            node = self._loader.get_single_node()
            self._left = _MAX_NODES
            self.data = {} if node is None else self._plain(node, (), ())
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise InputError(f"{self.path}:{line}: not valid YAML: {error.problem or error.context}") from None
        except RecursionError:
            raise InputError(f"{self.path}: not a space: nested too deeply") from None
        except (yaml.YAMLError, ValueError) as error:
            raise InputError(f"{self.path}: not valid YAML: {error}") from None
        finally:
            self._loader.dispose()

    @classmethod
    def read(cls, path: Path) -> Source:
        """Read a document from a file.

        Raises:
            InputError: The file cannot be read, or is not a plain YAML document.
        """
        try:
            with path.open(encoding="utf-8-sig") as file:
                text = file.read(_MAX_CHARACTERS + 1)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise InputError(f"{path}: not a text file in UTF-8") from None
        if len(text) > _MAX_CHARACTERS:
            raise InputError(f"{path}: not a space or a design: longer than {_MAX_CHARACTERS:,} characters")
        return cls(text, path)

    def line(self, location: Sequence[str | int]) -> int:
        """Return the line of a value, or of the nearest value around it.

        List positions that the document does not have are skipped, because a single value may replace a list of one.
        """
        known: Location = ()
        for step in location:
            if (*known, step) in self._lines:
                known = (*known, step)
        return self._lines[known]

    def error(self, location: Sequence[str | int], message: str) -> InputError:
        """Return an error that names file, line and key."""
        key = ".".join(step if step.isprintable() else ascii(step) for step in location if isinstance(step, str))
        return InputError(f"{self.path}:{self.line(location)}: {key + ': ' if key else ''}{message}")

    def _plain(self, node: yaml.Node, location: Location, inside: tuple[yaml.Node, ...]) -> Any:
        self._left -= 1
        if node in inside or self._left < 0:
            raise InputError(f"{self.path}:{node.start_mark.line + 1}: the aliases repeat without end")
        self._lines.setdefault(location, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, location, (*inside, node))
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self._plain(item, (*location, i), (*inside, node)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return self._scalar(node)
        raise InputError(
            f"{self.path}:{node.start_mark.line + 1}: the tag {node.tag!r} is not allowed; "
            "a space holds only mappings, lists, texts, numbers, true and false"
        )

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        """Return the value of a scalar, whose text need not fit its tag, such as ``!!int``."""
        line, name = node.start_mark.line + 1, node.tag.rpartition(":")[2]
        patterns = [_PATTERNS[tag] for tag in (node.tag, _WIDER.get(node.tag)) if tag in _PATTERNS]
        if patterns and not any(pattern.match(node.value) for pattern in patterns):
            raise InputError(f"{self.path}:{line}: {node.value!r} is not of the type {name} that its tag says")
        value = self._loader.construct_object(node)
        if isinstance(value, str) and not is_text(value):
            raise InputError(f"{self.path}:{line}: {value!a} contains NUL or half a character; delete it")
        return value

    def _mapping(
        self, node: yaml.MappingNode, location: Location, inside: tuple[yaml.Node, ...]
    ) -> dict[Hashable, Any]:
        result: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._plain(key_node, (*location, f"line {line}"), inside)
            if not isinstance(key, str):
                raise InputError(f"{self.path}:{line}: {key!r} is not a key; keys are names")
            if key in result:
                first = self._lines[(*location, key)]
                raise InputError(f"{self.path}:{line}: the key {key!r} is written twice (first on line {first})")
            self._lines[(*location, key)] = line
            result[key] = self._plain(value_node, (*location, key), inside)
        return result
