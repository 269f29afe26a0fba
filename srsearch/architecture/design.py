"""`Architecture`: the description of one network. It is frozen, canonical and hashable, and converts to plain data."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias

from srsearch.architecture.assembly import InvalidDesign, positions
from srsearch.architecture.canonical import FURTHER_LEVELS, SCOPES, canonicalise, default_part, level_counts
from srsearch.architecture.network import Colour, ImageResidual
from srsearch.architecture.positions import resolve
from srsearch.architecture.registry import LARGEST_INT, PLACES, Part, cached, part_type, read_part
from srsearch.errors import InputError, suggest

GRAMMAR_VERSION = 1
"""Version of the grammar of descriptions; part of every key. Raise it when the meaning of a description changes."""

Scale: TypeAlias = Literal[2, 3, 4, 8, 16]
SCALES: tuple[int, ...] = typing.get_args(Scale)

WORDS: Mapping[str, tuple[str, ...]] = {
    "image_residual": typing.get_args(ImageResidual),
    "colour": typing.get_args(Colour),
}
"""The fields that hold a word, each with its valid words."""

_ALWAYS_HASHED = ("unit", "block", "body", "upsampler")


@dataclass(frozen=True)
class Architecture:
    """The description of one network, in canonical form: descriptions of equal networks are equal and have one key.

    Attributes:
        scales: Upscaling factors, ascending. A design with several is multi-scale.
        channels: Number of channels of the features between entry and exit.
        unit: The unit of the blocks, in the place of a 3x3 convolution.
        closing: The unit that closes groups and bodies.
        upsampler_unit: The unit of the upsampler, if it has units.
        block: The block that the body is made of.
        compressed: The block at the body's ``compress`` positions.
        body: How the blocks are connected.
        upsampler: The part that enlarges features from LR to HR resolution.
        refinement: The part that works on features after the upsampler.
        entry: The part that turns the image into features.
        levels: How the network upscales: one stage of the whole factor, a pyramid of x2 stages, or a x2 network that is
            applied to its own output.
        activation: The activation function.
        global_skip: Whether the input of each body is added to its output.
        image_residual: The upscaled image that is added to the output: ``none``, ``bicubic`` or ``learned``.
        colour: ``rgb`` or ``luminance``.
        scope: Only to construct a design: None, or ``rb``, ``rg`` or ``rg+u``, which sets ``closing`` and
            ``upsampler_unit`` (see `from_dict`).

    Raises:
        InputError: A scale, the number of channels or another value is not valid.
    """

    scales: tuple[int, ...]
    channels: int = 64
    unit: Part = field(default_factory=partial(default_part, "unit"))
    closing: Part = field(default_factory=partial(default_part, "closing"))
    upsampler_unit: Part = field(default_factory=partial(default_part, "upsampler_unit"))
    block: Part = field(default_factory=partial(default_part, "block"))
    compressed: Part = field(default_factory=partial(default_part, "compressed"))
    body: Part = field(default_factory=partial(default_part, "body"))
    upsampler: Part = field(default_factory=partial(default_part, "upsampler"))
    refinement: Part = field(default_factory=partial(default_part, "refinement"))
    entry: Part = field(default_factory=partial(default_part, "entry"))
    levels: Part = field(default_factory=partial(default_part, "levels"))
    activation: Part = field(default_factory=partial(default_part, "activation"))
    global_skip: bool = True
    image_residual: ImageResidual = "none"
    colour: Colour = "rgb"
    scope: dataclasses.InitVar[str | None] = None

    def __post_init__(self, scope: str | None) -> None:
        if not self.scales or any(type(scale) is not int or scale not in SCALES for scale in self.scales):
            raise InputError(f"scale: {list(self.scales)}: each scale must be one of {', '.join(map(str, SCALES))}")
        object.__setattr__(self, "scales", tuple(sorted(set(self.scales))))
        channels = self.channels
        if isinstance(channels, bool) or not isinstance(channels, int) or not 1 <= channels <= LARGEST_INT:
            raise InputError(f"channels: {channels!r} is not an integer from 1 to {LARGEST_INT}")
        if not isinstance(self.global_skip, bool):
            raise InputError(f"global_skip: {self.global_skip!r} is neither true nor false")
        for name, words in WORDS.items():
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in words:
                raise InputError(f"{name}: unknown {getattr(self, name)!r}; {suggest(str(getattr(self, name)), words)}")
        if scope is not None and (not isinstance(scope, str) or scope not in SCOPES):
            raise InputError(f"scope: unknown {scope!r}; {suggest(str(scope), SCOPES)}")
        raw = {name: getattr(self, name) for name in _FIELDS} | {"scope": scope}
        for name, value in canonicalise(raw).items():
            object.__setattr__(self, name, value)

    @property
    def scale(self) -> int:
        """The scale of a single-scale design.

        Raises:
            InputError: The design is multi-scale.
        """
        if len(self.scales) > 1:
            raise InputError(f"the design is multi-scale; choose a scale: {', '.join(map(str, self.scales))}")
        return self.scales[0]

    def part_at(self, place: str, level: int = 1) -> Part:
        """The part at a place. In a pyramid, the number of blocks of bodies and refinements may differ by level.

        Args:
            place: One of `srsearch.architecture.registry.PLACES`.
            level: Number of the level, from 1.

        Raises:
            InvalidDesign: The pyramid sets a number of blocks, and the body has no option for it.
        """
        return part_of_level(getattr(self, place), place, self.levels, level)

    def at_position(self, position: str) -> tuple[str, bool]:
        """The place of the block at a position, ``block`` or ``compressed``, and whether its inner activation stays."""
        return at_position(self.body, position)

    def check_placement(self) -> None:
        """Check the positions that the body's options ``activations`` and ``compress`` name.

        Raises:
            InvalidDesign: The body has no such position, or fewer positions than ``compress`` asks for.
        """
        check_placement(self.body)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Architecture:
        """Read a design from plain data, as `to_dict` writes it. Fields that are left out have their defaults.

        Instead of ``closing`` and ``upsampler_unit`` you may write ``scope``, as in the efficiency paper (Section 4.2):
        ``rb`` leaves both at their defaults, ``rg`` sets ``closing`` to ``unit``, ``rg+u`` sets both.

        Raises:
            InputError: Unknown or missing field, unknown part or wrong option.
        """
        if not isinstance(plain, Mapping):
            raise InputError(f"a design is a mapping with scale, channels, body and so on, not {plain!r}")
        fields = dict(plain)
        if "scale" not in fields:
            raise InputError("a design needs its scale, such as `scale: 4`")
        scale = fields.pop("scale")
        scales = tuple(scale) if isinstance(scale, list | tuple) else (scale,)
        valid = [*(name for name in _FIELDS if name != "scales"), "scope"]
        for name in fields:
            if name not in valid:
                raise InputError(f"a design has no field {name!r}; {suggest(str(name), [*valid, 'scale'])}")
        for place, kind in PLACES.items():
            if place in fields:
                fields[place] = read_part(kind, fields[place])
        for place in ("closing", "upsampler_unit"):
            if fields.get("scope") is not None and place in fields:
                raise InputError(f"scope sets {place}, too; write one of the two")
        return cls(scales=scales, **fields)

    def to_dict(self) -> dict[str, Any]:
        """The design as plain data for JSON or YAML.

        Parts other than unit, block, body and upsampler are left out at their defaults, and so is ``colour``.
        """
        plain: dict[str, Any] = {"scale": self.scales[0] if len(self.scales) == 1 else list(self.scales)}
        for name in _FIELDS[1:]:
            value = getattr(self, name)
            if isinstance(value, Part):
                if name in _ALWAYS_HASHED or value != default_part(name):
                    plain[name] = value.to_plain()
            elif name != "colour" or value != "rgb":
                plain[name] = value
        return plain

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of the canonical description and the grammar's version, as 64 hexadecimal digits.

        Options at their defaults are not hashed, so that a new option changes no key. The hash of a part from a plugin
        covers its source.
        """
        content: dict[str, Any] = {"grammar": GRAMMAR_VERSION, "scales": self.scales}
        for name in _FIELDS[1:]:
            value = getattr(self, name)
            if isinstance(value, Part):
                if name in _ALWAYS_HASHED or value != default_part(name):
                    declared = part_type(PLACES[name], value.name)
                    content[name] = [value.name, declared.non_defaults(value)]
                    content[name] += [declared.digest] if declared.digest else []
            elif value != _DEFAULTS[name]:
                content[name] = value
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


_FIELDS = tuple(each.name for each in dataclasses.fields(Architecture))
_DEFAULTS = {each.name: each.default for each in dataclasses.fields(Architecture)}

AXES_OF_IDENTITY = _FIELDS[1:]
"""The fields that tell designs of one scale apart."""


def part_of_level(part: Part, place: str, levels: Part, level: int) -> Part:
    """The part at a place, with the number of blocks that a pyramid sets for one of its levels.

    Args:
        part: The part in the first level.
        place: Its place.
        levels: The levels of the design.
        level: Number of the level, from 1.

    Raises:
        InvalidDesign: The pyramid sets a number of blocks, and the body has no option for it.
    """
    option = {"body": "blocks", "refinement": "refine"}.get(place)
    if option is None or level == 1 or levels.name != "pyramid":
        return part
    first = part.get("blocks")
    if first is None:
        if place == "body" and any(levels[f"blocks_{n}"] != "same" for n in FURTHER_LEVELS):
            raise InvalidDesign(f"levels {levels}: body {part.name!r} has no option `blocks` to set by level")
        return part
    return part.having(blocks=level_counts(levels, option, first)[level - 1])


@cached
def _placement_sets(body: Part) -> tuple[frozenset[str], frozenset[str]]:
    """The compressed positions of the first level, and those whose inner activation is dropped."""
    compressed = frozenset() if body["compress"] == "none" else frozenset(str(body["compress"]).split("+"))
    if body["activations"] in ("all", "none"):
        return compressed, frozenset()
    # Positions that only later levels have are neither compressed nor do they drop their activation.
    return compressed, frozenset(positions(body)) - frozenset(str(body["activations"]).split("+"))


def at_position(body: Part, position: str) -> tuple[str, bool]:
    """The place of the block at a position of a canonical body, and whether its inner activation stays.

    Returns:
        ``block`` or ``compressed``, and True if the activation stays.
    """
    compressed, dropped = _placement_sets(body)
    keeps_inner = body["activations"] != "none" and position not in dropped
    return "compressed" if position in compressed else "block", keeps_inner


@cached
def check_placement(body: Part) -> None:
    """Check the positions that a body's options ``activations`` and ``compress`` name.

    Raises:
        InvalidDesign: The body has no such position, or fewer positions than ``compress`` asks for.
    """
    for option, counts in (("activations", False), ("compress", True)):
        if body[option] in ("all", "none"):
            continue
        try:
            resolve(body[option], positions(body), counts=counts)
        except ValueError as error:
            raise InvalidDesign(f"body {body.name}: {option}: {error}") from None
