"""`Architecture`: the description of one network. Frozen, canonical, hashable, plain JSON both ways."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from srsearch.architecture import canonical
from srsearch.architecture.network import ImageResidual
from srsearch.architecture.parts import Part, part_type, read_part
from srsearch.errors import InputError, nearest

GRAMMAR_VERSION = 1
"""Raised when the meaning of a description changes; part of every key."""

Scale: TypeAlias = Literal[2, 3, 4, 8]
SCALES: tuple[int, ...] = typing.get_args(Scale)
IMAGE_RESIDUALS: tuple[str, ...] = typing.get_args(ImageResidual)

_CONV, _RESIDUAL = Part("conv"), Part("residual")


@dataclass(frozen=True)
class Architecture:
    """One design.

    However it was written, it is held in canonical form: descriptions of equal networks are equal and have one key.

    Attributes:
        scales: Ascending; several make a multi-scale network, with one upsampler each.
        channels: Width between entry and exit.
        unit: What stands where a 3x3 convolution would, in the blocks.
        block: What the body is made of.
        body: How the blocks are wired.
        upsampler: From LR to HR resolution.
        global_skip: Whether the entry's output is added to the body's.
        image_residual: ``none`` or ``bicubic``.
    """

    scales: tuple[int, ...]
    channels: int = 64
    unit: Part = _CONV
    block: Part = _RESIDUAL
    body: Part = dataclasses.field(default_factory=lambda: read_part("body", "cascade"))
    upsampler: Part = dataclasses.field(default_factory=lambda: read_part("upsampler", "pixel_shuffle"))
    global_skip: bool = True
    image_residual: ImageResidual = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(sorted(set(self.scales))))
        if not self.scales or any(scale not in SCALES for scale in self.scales):
            raise InputError(f"scale: {list(self.scales)} is not made of {', '.join(map(str, SCALES))}")
        if isinstance(self.channels, bool) or not isinstance(self.channels, int) or self.channels < 1:
            raise InputError(f"channels: {self.channels!r} is not an integer above zero")
        if not isinstance(self.global_skip, bool):
            raise InputError(f"global_skip: {self.global_skip!r} is neither true nor false")
        if self.image_residual not in IMAGE_RESIDUALS:
            hint = nearest(str(self.image_residual), IMAGE_RESIDUALS)
            raise InputError(f"image_residual: unknown {self.image_residual!r}; {hint}")
        object.__setattr__(self, "unit", canonical.unit(self.unit))
        object.__setattr__(self, "body", canonical.body(self.body))

    @property
    def scale(self) -> int:
        """The scale of a single-scale design.

        Raises:
            InputError: The design is multi-scale.
        """
        if len(self.scales) > 1:
            raise InputError(f"a multi-scale design: say which scale of {', '.join(map(str, self.scales))}")
        return self.scales[0]

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Architecture:
        """A design from plain data, as `to_dict` writes it; what is left out has its default.

        Raises:
            InputError: Unknown or missing field, unknown part, wrong option.
        """
        fields = dict(plain)
        if "scale" not in fields:
            raise InputError("a design needs its scale, such as `scale: 4`")
        scale = fields.pop("scale")
        scales = tuple(scale) if isinstance(scale, list | tuple) else (scale,)
        valid = [field.name for field in dataclasses.fields(cls) if field.name != "scales"]
        for name in fields:
            if name not in valid:
                raise InputError(f"a design has no field {name!r}; {nearest(str(name), [*valid, 'scale'])}")
        for kind in ("unit", "block", "body", "upsampler"):
            if kind in fields:
                fields[kind] = read_part(kind, fields[kind])
        return cls(scales=scales, **fields)

    def to_dict(self) -> dict[str, Any]:
        """Plain data (JSON, YAML) with every field and option written out."""
        return {
            "scale": self.scales[0] if len(self.scales) == 1 else list(self.scales),
            "channels": self.channels,
            "unit": self.unit.to_plain(),
            "block": self.block.to_plain(),
            "body": self.body.to_plain(),
            "upsampler": self.upsampler.to_plain(),
            "global_skip": self.global_skip,
            "image_residual": self.image_residual,
        }

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of the canonical description and the grammar's version: 64 hexadecimal digits.

        Defaults are left out of what is hashed, so that an option added later renames no design.
        """
        content: dict[str, Any] = {"grammar": GRAMMAR_VERSION, "scales": self.scales}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Part):
                content[field.name] = [value.name, part_type(field.name, value.name).non_defaults(value)]
            elif value != field.default:
                content[field.name] = value
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
