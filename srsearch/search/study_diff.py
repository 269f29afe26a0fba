"""The differences between a recorded study and the settings of a run, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from srsearch.errors import InputError
from srsearch.objectives import COSTS
from srsearch.quantity import format_quantity
from srsearch.space import Space
from srsearch.space.axes import is_number
from srsearch.space.schema import SEARCH_IDENTITY
from srsearch.space.source import Source
from srsearch.store import StudyRecord

_WORDS = {
    "evaluator": "the evaluator",
    "training_version": "the version of the training code",
    "digests": "the source of the recipe's own functions",
}


def differences(record: StudyRecord, space: Space, recipe: Mapping[str, Any], data_fingerprint: str) -> list[str]:
    """List the differences that make a run another study than a recorded one.

    Args:
        record: The recorded study.
        space: The run's space, with the options of the command line applied.
        recipe: The evaluator's recipe; its runtime is not compared.
        data_fingerprint: Fingerprint of the evaluator's data.

    Returns:
        Texts such as ``constraints.mult_adds.max: 40G -> 30G`` or ``architecture.channels: 64 was added``: scale,
        architecture, constraints, objectives, search, recipe, data, each in the order of the space file. Empty if
        there is no difference.
    """
    changes = [*_of_spaces(_with_defaults(record.space), space.to_dict()), *_of_recipes(record.recipe, recipe)]
    if record.data_fingerprint != data_fingerprint:
        old, new = record.data.get("source", "none"), space.proxy.data
        changes.append(f"the training photos {f'differ: {old} -> {new}' if old != new else f'in {new} have changed'}")
    return changes


def same_file(record: StudyRecord, space: Space) -> bool:
    """Return whether a study comes from an equivalent space file; options of the command line are not compared."""
    if record.space_text == space.text:
        return True
    try:
        old, new = (Space(Source(text, space.source)) for text in (record.space_text, space.text))
    except InputError:  # it names parts that are not registered now
        return False
    return _identity(old) == _identity(new)


def _identity(space: Space) -> list[Any]:
    """Everything in a space that identifies a study."""
    plain = space.to_dict()
    return [space.identity(), plain["objectives"], plain["proxy"], space.search.identity()]


def _with_defaults(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recorded space with the defaults of settings that were added to srsearch since."""
    try:
        return Space.from_dict(plain).to_dict()
    except InputError:
        return plain


def _of_spaces(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from _value("scale", old.get("scale"), new.get("scale"))
    before, after = old.get("architecture", {}), new.get("architecture", {})
    for field in [*after, *(field for field in before if field not in after)]:
        yield from _alternatives(f"architecture.{field}", before.get(field, []), after.get(field, []))
    yield from _constraints(old.get("constraints", {}), new.get("constraints", {}))
    yield from _value("objectives", old.get("objectives"), new.get("objectives"))
    for name in SEARCH_IDENTITY:
        yield from _value(f"search.{name}", old.get("search", {}).get(name), new.get("search", {}).get(name))


def _alternatives(path: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[str]:
    """Differences between a field's alternatives: plain values, or parts as ``{name: {option: values}}``."""
    before, after = (dict(map(_named, values)) for values in (old, new))
    if len(before) == len(after) == 1 and before.keys() != after.keys():
        yield f"{path}: {next(iter(before))} -> {next(iter(after))}"
        return
    yield from (f"{path}: {name} was removed" for name in before if name not in after)
    for name, options in after.items():
        if name not in before:
            yield f"{path}: {name} was added"
            continue
        for option in dict.fromkeys([*options, *before[name]]):
            values = [each.get(option, []) for each in (before[name], options)]
            yield from _alternatives(f"{path}.{name}.{option}", *values)
    if before.keys() == after.keys() and not all(map(is_number, new)):  # samplers know words by their position
        yield from _value(f"{path}: the order", list(before), list(after))


def _named(value: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(value, Mapping):
        ((name, options),) = value.items()
        return str(name), options
    return _text(value), {}


def _constraints(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from _value("constraints.convention", old.get("convention"), new.get("convention"))
    yield from _value("constraints.scale", old.get("scale"), new.get("scale"))
    for cost in COSTS:
        before, after = old.get(cost, {}), new.get(cost, {})
        for side in ("min", "max"):
            limits = [each.get(side) for each in (before, after)]
            texts = [None if limit is None else format_quantity(limit, 15) for limit in limits]
            yield from _value(f"constraints.{cost}.{side}", *(texts if texts[0] != texts[1] else limits))
        yield from _value(f"constraints.{cost}.at", before.get("at"), after.get("at"))


def _of_recipes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in [*new, *(name for name in old if name not in new)]:
        if name != "runtime":
            yield from _value(_WORDS.get(name, f"the recipe's {name}"), old.get(name), new.get(name))


def _value(name: str, old: Any, new: Any) -> Iterator[str]:
    if json.dumps(old, sort_keys=True, default=str) != json.dumps(new, sort_keys=True, default=str):
        yield f"{name}: {_text(old)} -> {_text(new)}"


def _text(value: Any) -> str:
    """A value in the notation of a space file."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    return json.dumps(value, default=str)
