"""Checks space files and words the messages about their mistakes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic

from srsearch.errors import InputError, suggest
from srsearch.space.schema import Section, SpaceFile, document_model
from srsearch.space.source import Source

_PLAIN = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?|true|false")
"""Texts that would be numbers or truth values without quotes."""

_OLD_MAX_SEED = 2**63 - 1
"""The largest seed that a database holds; once it was the only bound."""

_Section = TypeVar("_Section", bound=Section)


def validated(source: Source) -> SpaceFile:
    """Check a space file and return its content.

    Raises:
        InputError: It is not a space; the message has a line for each mistake.
    """
    if not isinstance(source.data, dict) or not source.data:
        raise InputError(f"{source.path}:1: a space is a mapping with name, scale and architecture")
    return checked(source, document_model())


def checked(source: Source, model: type[_Section]) -> _Section:
    """A document of any kind, checked by its model.

    Raises:
        InputError: A line for each mistake.
    """
    try:
        return model.model_validate(source.data)
    except pydantic.ValidationError as error:
        problems = [_problem(source, each) for each in error.errors()]
        raise InputError("\n".join(str(problem) for problem in problems)) from None


def _problem(source: Source, error: Any) -> InputError:
    """Translate an error of pydantic into one with file, line and key."""
    location = error["loc"]
    if error["type"] == "unknown_key":
        location = (*location, error["ctx"]["key"].strip("'"))
    elif error["type"] == "missing":
        return source.error(location[:-1], f"the key {location[-1]!r} is missing")
    own = error["type"] == "literal_error" and location[0] == "objectives"
    hint = " (load an objective of your own with --plugin FILE)" if own else ""
    return source.error(location, _message(error) + hint)


def _message(error: Any) -> str:
    """Say which value is wrong, why, and what would be right."""
    value = error.get("input")
    if error["type"] in _OWN:
        return str(error["msg"])
    if error["type"] == "value_error":
        return f"{value!r} {error['msg'].removeprefix('Value error, ')}"
    if error["type"] == "literal_error":
        valid = [each.strip("' ") for each in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        hint = suggest(str(value), valid)
        if str(value) in valid:  # the text of a number, or the number of a text
            hint = f"write {value} {'without' if isinstance(value, str) else 'in'} quotes"
        return f"{value!r} is not one of {', '.join(valid)}{f'; {hint}' if not hint.startswith('valid') else ''}"
    if error["type"] in ("model_type", "dict_type"):
        return f"{value!r} is not a mapping of names to values"
    hint = ""
    if error["type"] in ("int_type", "float_type", "bool_type") and isinstance(value, str) and _PLAIN.fullmatch(value):
        hint = f"; write {value} without quotes"
    elif error["type"] == "string_type" and isinstance(value, int | float):
        hint = "; write it in quotes"
    elif error["type"] == "less_than_equal" and error["loc"][-1] == "seed" and value <= _OLD_MAX_SEED:
        hint = "; a study that an older srsearch made with this seed can be read and exported, but not continued"
    return f"{value!r} {error['msg'].removeprefix('Input ').removeprefix('String ')}{hint}"


def changed_section(section: _Section, changes: Mapping[str, Any]) -> _Section:
    """Return a section with changed entries.

    Raises:
        InputError: An entry is wrong; the message has a line for each.
    """
    try:
        return type(section).model_validate(section.model_dump(exclude_unset=True) | dict(changes))
    except pydantic.ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))}: {_message(each)}" for each in error.errors()]
        raise InputError("\n".join(problems)) from None


_OWN = (
    "unknown_key",
    "empty_axis",
    "duplicate_value",
    "unknown_part",
    "not_a_part",
    "quantity",
    "output",
    "bound",
    "objectives",
    "convention",
    "scope",
    "sampler",
    "levels",
    "lengths",
    "scales",
    "subsets",
)
"""Types of our own errors; their messages name the value."""
