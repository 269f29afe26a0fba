"""`Architecture`: the description of one network. Frozen, canonical, hashable, plain JSON both ways."""

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
from srsearch.architecture.canonical import SCOPES, canonicalise, default_part, level_counts
from srsearch.architecture.network import Colour, ImageResidual
from srsearch.architecture.positions import resolve
from srsearch.architecture.registry import PLACES, Part, cached, part_type, read_part
from srsearch.errors import InputError, suggest

GRAMMAR_VERSION = 1
"""Raised when the meaning of a description changes; part of every key."""

Scale: TypeAlias = Literal[2, 3, 4, 8]
SCALES: tuple[int, ...] = typing.get_args(Scale)

WORDS: Mapping[str, tuple[str, ...]] = {
    "image_residual": typing.get_args(ImageResidual),
    "colour": typing.get_args(Colour),
}
"""The fields that are words, with the words that they may be."""

_ALWAYS_HASHED = ("unit", "block", "body", "upsampler")


@dataclass(frozen=True)
class Architecture:
    """One design.

    However it was written, it is held in canonical form: descriptions of equal networks are equal and have one key.

    Attributes:
        scales: Ascending; several make a multi-scale network.
        channels: Width between entry and exit.
        unit: What stands where a 3x3 convolution would, in the blocks.
        closing: The units that close groups and bodies.
        upsampler_unit: The units of the upsampler, where it has any.
        block: What the body is made of.
        compressed: What stands instead at the body's ``compress`` positions.
        body: How the blocks are wired.
        upsampler: From LR to HR resolution.
        refinement: What works on features behind the upsampler.
        entry: From the image to features.
        levels: One stage of the whole factor, a pyramid of x2 stages, or a x2 network applied again and again.
        activation: The activation function.
        global_skip: Whether the entry's output is added to the body's.
        image_residual: ``none``, ``bicubic`` or ``learned``.
        colour: ``rgb`` or ``luminance``.
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
            raise InputError(f"scale: {list(self.scales)} is not made of {', '.join(map(str, SCALES))}")
        object.__setattr__(self, "scales", tuple(sorted(set(self.scales))))
        if isinstance(self.channels, bool) or not isinstance(self.channels, int) or self.channels < 1:
            raise InputError(f"channels: {self.channels!r} is not an integer above zero")
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
            raise InputError(f"a multi-scale design: say which scale of {', '.join(map(str, self.scales))}")
        return self.scales[0]

    def part_at(self, place: str, level: int = 1) -> Part:
        """The part at a place; in a pyramid bodies and refinements may differ in their number of blocks by level.

        Raises:
            InvalidDesign: The pyramid asks for a number of blocks, and the body has none to set.
        """
        return part_of_level(getattr(self, place), place, self.levels, level)

    def at_position(self, position: str) -> tuple[str, bool]:
        """Which place's block stands at a position of the body, and whether it keeps its inner activation."""
        return at_position(self.body, position)

    def check_placement(self) -> None:
        """Check the positions that the body names.

        Raises:
            InvalidDesign: There is no such position, or there are fewer than were asked for.
        """
        check_placement(self.body)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Architecture:
        """A design from plain data, as `to_dict` writes it; what is left out has its default.

        ``scope`` (``rb``, ``rg`` or ``rg+u``, as in the efficiency paper) may stand for ``closing`` and
        ``upsampler_unit``: whether they are as ``unit``.

        Raises:
            InputError: Unknown or missing field, unknown part, wrong option.
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
                raise InputError(f"scope says already what {place} is; write one of the two")
        return cls(scales=scales, **fields)

    def to_dict(self) -> dict[str, Any]:
        """Plain data (JSON, YAML): every field whose part or value is not the usual one, and the main ones always."""
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
        """SHA-256 of the canonical description and the grammar's version: 64 hexadecimal digits.

        Defaults are left out of what is hashed, so that an option added later renames no design. A part of the user's
        own counts with its source.
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
    """The part at a place in one level of a pyramid.

    Raises:
        InvalidDesign: The pyramid asks for a number of blocks, and the part has none to set.
    """
    option = {"body": "blocks", "refinement": "refine"}.get(place)
    if option is None or level == 1 or levels.name != "pyramid":
        return part
    first = part.get("blocks")
    if first is None:
        if place == "body" and any(levels[f"blocks_{n}"] != "same" for n in (2, 3)):
            raise InvalidDesign(f"levels {levels}: body {part.name!r} has no option `blocks` to set by level")
        return part
    return part.having(blocks=level_counts(levels, option, first)[level - 1])


@cached
def _placement_sets(body: Part) -> tuple[frozenset[str], frozenset[str]]:
    """The positions of the first level that are compressed, and those that drop their inner activation."""
    compressed = frozenset() if body["compress"] == "none" else frozenset(str(body["compress"]).split("+"))
    if body["activations"] in ("all", "none"):
        return compressed, frozenset()
    # In a level with more blocks than the first, positions that the first has not are as usual.
    return compressed, frozenset(positions(body)) - frozenset(str(body["activations"]).split("+"))


def at_position(body: Part, position: str) -> tuple[str, bool]:
    """Which place's block stands at a position of a canonical body, and whether it keeps its inner activation."""
    compressed, dropped = _placement_sets(body)
    kept = body["activations"] != "none" and position not in dropped
    return "compressed" if position in compressed else "block", kept


@cached
def check_placement(body: Part) -> None:
    """Check the positions that a body names.

    Raises:
        InvalidDesign: There is no such position, or there are fewer than were asked for.
    """
    for option, counts in (("activations", False), ("compress", True)):
        if body[option] in ("all", "none"):
            continue
        try:
            resolve(body[option], positions(body), counts=counts)
        except ValueError as error:
            raise InvalidDesign(f"body {body.name}: {option}: {error}") from None
