"""The registry of parts, which networks are made of, and the declaration of a part.

A part is an ordinary :class:`torch.nn.Module`. Its constructor *is* its declaration:

- ``channels``, ``scale`` and the other parameters in `FROM_PLACE` get their value from the part's place in the network;
- a parameter annotated :data:`Factory` is a slot: the part calls it to create the modules inside it;
- every other parameter is an option that a design or a search space may set, checked against its annotation.

A design names one part for each *place* (`PLACES`). A kind of part may have several places: units are in blocks, close
groups and bodies, and are in the upsampler.

Example:
    A block of your own, usable in a design and in a space file as ``block: wide`` or ``wide: {factor: [2, 4]}``::

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
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias, TypeVar

import annotated_types
import pydantic
from torch import nn

from srsearch.errors import InputError, suggest
from srsearch.extensions import origin, source_digest

Factory: TypeAlias = Callable[..., nn.Module]
"""A slot: call it to create a module. ``block(position)`` creates the block at a position; units, activations and
closings are called without arguments. `srsearch.architecture.network.Network` says how levels call theirs."""

LARGEST_INT = 65_536
"""No width, group or number of blocks of any network is larger; what is computed with them stays in range."""

PositiveInt = Annotated[int, annotated_types.Ge(1), annotated_types.Le(LARGEST_INT)]
CountingInt = Annotated[int, annotated_types.Ge(0), annotated_types.Le(LARGEST_INT)]

OptionValue: TypeAlias = int | float | bool | str


@dataclass(frozen=True)
class Subsets:
    """Annotation of an option whose value is a set of names joined by ``+``: a space may ask for all subsets."""


@dataclass(frozen=True)
class Named:
    """Annotation that gives an option another name than its constructor parameter, because a slot has that name."""

    option: str


PLACES: Mapping[str, str] = {
    "unit": "unit",
    "closing": "unit",
    "upsampler_unit": "unit",
    "block": "block",
    "compressed": "block",
    "body": "body",
    "upsampler": "upsampler",
    "refinement": "refinement",
    "entry": "entry",
    "levels": "levels",
    "activation": "activation",
}
"""The places of a design, each with the kind of part that it holds."""

KINDS = tuple(dict.fromkeys(PLACES.values()))

FROM_PLACE = frozenset({"self", "channels", "scale", "scales", "in_channels", "global_skip", "image_residual"})
"""Constructor parameters whose value comes from the place, not from options."""

_SLOTS: Mapping[str, Mapping[str, str]] = {
    "activation": {},
    "unit": {"activation": "activation"},
    "block": {"unit": "unit", "activation": "activation", "inner_activation": "activation"},
    "entry": {"activation": "activation"},
    "body": {"block": "block", "closing": "closing", "unit": "unit", "activation": "activation"},
    "refinement": {"unit": "unit", "activation": "activation"},
    "upsampler": {"unit": "upsampler_unit", "activation": "activation"},
    "levels": {"entry": "entry", "body": "body", "upsampler": "upsampler", "refinement": "refinement"},
}
"""The slots that a part of each kind may have, each with the place whose part fills it.

A block's ``inner_activation`` is the activation between its two units. A design keeps or drops it by position.
"""

_NO_POOL: Mapping[str, OptionValue] = {"sources": "none", "source_fusion": "conv"}

_ADDED_LATER: Mapping[str, Mapping[str, OptionValue]] = {
    "pyramid": {"blocks_4": "same", "refine_4": "same"},
    "symmetric": {"source_fusion": "conv"},
    **dict.fromkeys(("chain", "cascade", "residual_groups", "dense", "memory"), _NO_POOL),
}
"""Options, with their defaults, that are younger than recorded descriptions, by the name of the part.

Descriptions leave them out at these values, so that they stay as they were recorded.
"""

_OMITTED = (
    {"activations": "all", "compress": "none", "bias": "last"}
    | dict.fromkeys(("blocks_2", "blocks_3", "refine_2", "refine_3"), "same")
    | {name: value for options in _ADDED_LATER.values() for name, value in options.items()}
)
"""Option values that are left out when a part is printed for people."""


@dataclass(frozen=True, slots=True)
class Part:
    """The description of a part: its registered name and a value for each of its options.

    Attributes:
        name: The registered name, such as ``grouped``.
        options: Pairs of option name and value, in the order in which the part declares them.
    """

    name: str
    options: tuple[tuple[str, OptionValue], ...] = ()
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.name, self.options)))

    def __hash__(self) -> int:
        return self._hash  # stored, because parts are the keys of all caches

    def __reduce__(self) -> Any:
        return Part, (self.name, self.options)  # without the hash: hashes of strings differ between processes

    def __getitem__(self, option: str) -> Any:
        return dict(self.options)[option]

    def get(self, option: str, default: Any = None) -> Any:
        """The value of an option, or ``default`` if the part has no such option."""
        return dict(self.options).get(option, default)

    def having(self, **options: OptionValue) -> Part:
        """Return a copy of the part with some options changed. Options that the part does not have are ignored."""
        return Part(self.name, tuple((name, options.get(name, value)) for name, value in self.options))

    def to_plain(self) -> Any:
        """The part as plain data: ``"conv"``, or ``{"grouped": {"groups": 4}}`` for a part with options."""
        later = _ADDED_LATER.get(self.name, {})
        options = {name: value for name, value in self.options if name not in later or later[name] != value}
        return {self.name: options} if self.options else self.name

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value}" for name, value in self.options if _OMITTED.get(name) != value)
        return f"{self.name}({inside})" if inside else self.name


@dataclass(frozen=True)
class Option:
    """One option of a part: its name, its annotation (with bounds) and its default."""

    name: str
    annotation: Any
    default: OptionValue

    @functools.cached_property
    def _adapter(self) -> pydantic.TypeAdapter[Any]:
        return pydantic.TypeAdapter(self.annotation, config=pydantic.ConfigDict(strict=True))

    def check(self, value: object) -> OptionValue:
        """Return the value if it is valid for the option.

        Raises:
            ValueError: Wrong type or out of bounds; the message says what would be valid.
        """
        try:
            checked: OptionValue = self._adapter.validate_python(value)
        except pydantic.ValidationError as error:
            details = error.errors()
            # If the annotation has several alternatives, the last is the most general and has the most useful message.
            raise ValueError(f"{details[-1]['msg'].removeprefix('Value error, ')}, not {value!r}") from None
        return checked


@dataclass(frozen=True, eq=False)
class PartType:
    """A registered part, as its constructor declares it.

    Attributes:
        kind: Kind of the part, one of `KINDS`.
        name: The registered name.
        module: The class.
        options: The options by name, in order. Those in `placement` are for the design, not for the constructor.
        slots: Names of the slots.
        given: The constructor parameters whose value the place gives.
        parameters: The constructor parameter of each option that has another name.
        placement: Names of the options that the design resolves.
        digest: Hash of the source of a part from a plugin, None for srsearch's own parts. It is part of the keys of
            designs, so that changing the part's code makes different designs.
    """

    kind: str
    name: str
    module: type[nn.Module]
    options: Mapping[str, Option]
    slots: tuple[str, ...]
    given: tuple[str, ...]
    parameters: Mapping[str, str]
    placement: frozenset[str]
    digest: str | None

    def describe(self, options: Mapping[str, object]) -> Part:
        """Describe the part with the given options, and all others at their defaults.

        Raises:
            InputError: Unknown option, or a value that is not valid for the option.
        """
        for name in options:
            if name not in self.options:
                hint = suggest(str(name), self.options)
                raise InputError(f"{self.kind} {self.name!r} has no option {name!r}; {hint}")
        values: list[tuple[str, OptionValue]] = []
        for name, option in self.options.items():
            try:
                values.append((name, option.check(options.get(name, option.default))))
            except ValueError as error:
                raise InputError(f"{self.kind} {self.name}: {name}: {error}") from None
        return Part(self.name, tuple(values))

    def arguments(self, part: Part) -> dict[str, OptionValue]:
        """The options of a part as arguments of the constructor."""
        return {self.parameters.get(name, name): v for name, v in part.options if name not in self.placement}

    def non_defaults(self, part: Part) -> dict[str, OptionValue]:
        """The options that differ from their defaults. Only these enter a key, so that a new option changes no key."""
        return {name: value for name, value in part.options if value != self.options[name].default}


_Function = TypeVar("_Function", bound=Callable[..., Any])
_CACHE_CLEARS: list[Callable[[], None]] = []


def cached(function: _Function) -> _Function:
    """Cache a function by its arguments until a part is registered again, for example by re-running a notebook cell."""
    wrapped = functools.lru_cache(maxsize=65536)(function)
    _CACHE_CLEARS.append(wrapped.cache_clear)
    return typing.cast(_Function, wrapped)


_REGISTRY: dict[str, dict[str, PartType]] = {kind: {} for kind in KINDS}
_PLACEMENT: dict[str, dict[str, Option]] = {kind: {} for kind in KINDS}

_Module = TypeVar("_Module", bound=type[nn.Module])


def register(kind: str, name: str | None = None) -> Callable[[_Module], _Module]:
    """Class decorator that registers a torch module as a part of designs and spaces.

    Plugins use `srsearch.architecture.register`, which also registers functions.

    Args:
        kind: One of `KINDS`.
        name: The name in YAML; by default the class's name in snake_case.

    Raises:
        ValueError: Unknown kind, a name already taken, or a constructor that cannot be read as a declaration.
    """
    if kind not in _REGISTRY:
        raise ValueError(f"{kind!r} is not a kind of part; {suggest(kind, _REGISTRY)}")

    def decorate(module: _Module) -> _Module:
        if not (isinstance(module, type) and issubclass(module, nn.Module)):
            raise ValueError(f"@register({kind!r}) decorates a subclass of torch.nn.Module, not {module!r}")
        part_name = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", module.__name__).lower()
        taken = _REGISTRY[kind].get(part_name)
        if taken is not None and origin(taken.module) != origin(module):
            raise ValueError(f"there is already a {kind} named {part_name!r}")
        _REGISTRY[kind][part_name] = _read_declaration(kind, part_name, module)
        if taken is not None:
            for clear in _CACHE_CLEARS:
                clear()
        return module

    return decorate


def placement_options(kind: str, **options: tuple[Any, OptionValue]) -> None:
    """Give every part of a kind options that the design resolves, not the constructor.

    Args:
        kind: Kind of the parts.
        options: Annotation and default of each option.
    """
    for name, (annotation, default) in options.items():
        _PLACEMENT[kind][name] = Option(name, annotation, default)


def part_types(kind: str) -> Mapping[str, PartType]:
    """The registered parts of one kind, by name."""
    return _REGISTRY[kind]


def part_type(kind: str, name: str) -> PartType:
    """Look up a registered part.

    Raises:
        InputError: There is no such part; the message suggests the nearest name.
    """
    declared = _REGISTRY[kind].get(name)
    if declared is None:
        raise InputError(
            f"unknown {kind} {name!r}; {suggest(name, _REGISTRY[kind])} (load a part of your own with --plugin FILE)"
        )
    return declared


def slot_place(kind: str, slot: str) -> str:
    """The place whose part fills a slot of a part of this kind."""
    return _SLOTS[kind][slot]


def read_part(kind: str, plain: object) -> Part:
    """Read the description of a part from plain data: ``"conv"`` or ``{"grouped": {"groups": 4}}``.

    Raises:
        InputError: The data does not have this form, the part is unknown, or its options are wrong.
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
    slots: list[str] = []
    options: dict[str, Option] = {}
    renamed: dict[str, str] = {}
    parameters = inspect.signature(module.__init__).parameters
    for parameter in parameters.values():
        if parameter.name in FROM_PLACE:
            continue
        annotation = hints.get(parameter.name)
        if annotation == Factory:
            if parameter.name not in _SLOTS[kind]:
                raise ValueError(
                    f"{kind} {name!r}: unknown slot {parameter.name!r}; there are {', '.join(_SLOTS[kind])}"
                )
            slots.append(parameter.name)
        elif annotation is None or parameter.default is inspect.Parameter.empty:
            raise ValueError(f"{kind} {name!r}: option {parameter.name!r} needs an annotation and a default")
        else:
            names = [extra.option for extra in getattr(annotation, "__metadata__", ()) if isinstance(extra, Named)]
            option = names[0] if names else parameter.name
            renamed |= {option: parameter.name} if names else {}
            options[option] = _checked_option(kind, name, Option(option, annotation, parameter.default))
    placement = _PLACEMENT[kind] | getattr(module, "placement", {})
    given = tuple(parameter for parameter in parameters if parameter in FROM_PLACE and parameter != "self")
    return PartType(
        kind,
        name,
        module,
        options | placement,
        tuple(slots),
        given,
        renamed,
        frozenset(placement),
        None if module.__module__.startswith(_OUR_PACKAGE) else source_digest(module),
    )


def _checked_option(kind: str, name: str, option: Option) -> Option:
    """Return the option if its default is a plain value that is valid for its annotation."""
    if not isinstance(option.default, int | float | bool | str):
        raise ValueError(f"{kind} {name!r}: option {option.name!r}: options are numbers, words, true or false")
    try:
        option.check(option.default)
    except (ValueError, TypeError, pydantic.PydanticUserError) as error:
        raise ValueError(f"{kind} {name!r}: the default of option {option.name!r}: {error}") from None
    return option


_OUR_PACKAGE = __name__.rpartition(".")[0] + "."
