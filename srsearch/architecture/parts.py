"""Parts: what a network is made of, and how a part is declared.

A part is an ordinary :class:`torch.nn.Module`. Its constructor *is* its declaration:

- ``channels`` (and, for an upsampler, ``scale``) come from where the part stands;
- a parameter annotated :data:`Factory` is a slot: the part calls it to get the modules that stand there;
- every other parameter is an option that a design or a search space may set, checked against its annotation.

Example:
    A block of one's own, usable in a design and in a space file as ``block: wide`` or ``wide: {factor: [2, 4]}``::

        @register("block")
        class Wide(nn.Module):
            def __init__(self, channels: int, unit: Factory, factor: PositiveInt = 2) -> None: ...
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, TypeVar

import annotated_types
import pydantic
from torch import nn

from srsearch.errors import InputError, nearest

Factory: TypeAlias = Callable[..., nn.Module]
"""A slot: ``factory(position)`` makes the module that stands at that position (an upsampler's: ``factory(scale)``)."""

PositiveInt = Annotated[int, annotated_types.Ge(1)]

OptionValue: TypeAlias = int | float | bool | str

KINDS = ("unit", "block", "body", "upsampler")
"""The kinds of parts, innermost first: a block is made of units, a body of blocks."""

_FROM_PLACE = frozenset({"self", "channels", "scale"})


@dataclass(frozen=True, slots=True)
class Part:
    """The description of a part: its registered name and its options, every option set.

    Attributes:
        name: The registered name, such as ``grouped``.
        options: Pairs of option name and value, in the order the part declares them.
    """

    name: str
    options: tuple[tuple[str, OptionValue], ...] = ()

    def __getitem__(self, option: str) -> Any:
        return dict(self.options)[option]

    def to_plain(self) -> Any:
        """``"conv"``, or ``{"grouped": {"groups": 4}}`` where there are options."""
        return {self.name: dict(self.options)} if self.options else self.name

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value}" for name, value in self.options)
        return f"{self.name}({inside})" if inside else self.name


@dataclass(frozen=True)
class Option:
    """One option of a part: its name, annotation (with bounds), and default."""

    name: str
    annotation: Any
    default: OptionValue

    @functools.cached_property
    def _adapter(self) -> pydantic.TypeAdapter[Any]:
        return pydantic.TypeAdapter(self.annotation, config=pydantic.ConfigDict(strict=True))

    def check(self, value: object) -> OptionValue:
        """The value if the option takes it.

        Raises:
            ValueError: Wrong type or out of bounds; the message says what would be right.
        """
        try:
            checked: OptionValue = self._adapter.validate_python(value)
        except pydantic.ValidationError as error:
            raise ValueError(f"{error.errors()[0]['msg']}, not {value!r}") from None
        return checked


@dataclass(frozen=True, eq=False)
class PartType:
    """A registered part: what its constructor declares."""

    kind: str
    name: str
    module: type[nn.Module]
    options: Mapping[str, Option]
    slots: tuple[str, ...]
    takes_scale: bool

    def describe(self, options: Mapping[str, object]) -> Part:
        """The description with the given options, the others at their defaults.

        Raises:
            InputError: Unknown option or a value that the option does not take.
        """
        for name in options:
            if name not in self.options:
                raise InputError(f"{self.kind} {self.name!r} has no option {name!r}; {nearest(name, self.options)}")
        values: list[tuple[str, OptionValue]] = []
        for name, option in self.options.items():
            try:
                values.append((name, option.check(options.get(name, option.default))))
            except ValueError as error:
                raise InputError(f"{self.kind} {self.name}: {name}: {error}") from None
        return Part(self.name, tuple(values))

    def non_defaults(self, part: Part) -> dict[str, OptionValue]:
        """The options that differ from their defaults: what a key depends on; so a new option renames no design."""
        return {name: value for name, value in part.options if value != self.options[name].default}


_REGISTRY: dict[str, dict[str, PartType]] = {kind: {} for kind in KINDS}

_Module = TypeVar("_Module", bound=type[nn.Module])


def register(kind: str, name: str | None = None) -> Callable[[_Module], _Module]:
    """Class decorator: make a module usable as a part in designs and spaces.

    Args:
        kind: ``unit``, ``block``, ``body`` or ``upsampler``.
        name: The name to use in YAML; by default the class's name in snake_case.

    Raises:
        ValueError: Unknown kind, a name already taken, or a constructor that cannot be read as a declaration.
    """
    if kind not in _REGISTRY:
        raise ValueError(f"{kind!r} is not a kind of part; {nearest(kind, _REGISTRY)}")

    def decorate(module: _Module) -> _Module:
        part_name = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", module.__name__).lower()
        if part_name in _REGISTRY[kind]:
            raise ValueError(f"there is a {kind} named {part_name!r} already")
        _REGISTRY[kind][part_name] = _read_declaration(kind, part_name, module)
        return module

    return decorate


def part_types(kind: str) -> Mapping[str, PartType]:
    """The registered parts of one kind by name."""
    return _REGISTRY[kind]


def part_type(kind: str, name: str) -> PartType:
    """One registered part.

    Raises:
        InputError: No such part; names the nearest.
    """
    found = _REGISTRY[kind].get(name)
    if found is None:
        raise InputError(f"unknown {kind} {name!r}; {nearest(name, _REGISTRY[kind])}")
    return found


def read_part(kind: str, plain: object) -> Part:
    """A description from plain data: ``"conv"`` or ``{"grouped": {"groups": 4}}``.

    Raises:
        InputError: Not of this form, unknown part, or wrong options.
    """
    if isinstance(plain, str):
        return part_type(kind, plain).describe({})
    if isinstance(plain, Mapping) and len(plain) == 1:
        ((name, options),) = plain.items()
        if isinstance(name, str) and isinstance(options, Mapping):
            return part_type(kind, name).describe(options)
    raise InputError(f"{kind}: {plain!r} is not a part; write a name, or one name with its options: {{name: {{...}}}}")


def _read_declaration(kind: str, name: str, module: type[nn.Module]) -> PartType:
    hints = typing.get_type_hints(module.__init__, include_extras=True)
    slots, options = [], {}
    parameters = inspect.signature(module.__init__).parameters
    for parameter in parameters.values():
        if parameter.name in _FROM_PLACE:
            continue
        annotation = hints.get(parameter.name)
        if annotation == Factory:
            slots.append(parameter.name)
        elif annotation is None or parameter.default is inspect.Parameter.empty:
            raise ValueError(f"{kind} {name!r}: option {parameter.name!r} needs an annotation and a default")
        else:
            options[parameter.name] = Option(parameter.name, annotation, parameter.default)
    return PartType(kind, name, module, options, tuple(slots), "scale" in parameters)
