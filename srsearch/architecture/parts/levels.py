"""Levels, the classes of networks: each upscales in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import pydantic
from torch import Tensor, nn

from srsearch.architecture.bicubic import upscale_bicubic
from srsearch.architecture.network import Network
from srsearch.architecture.parts.upsamplers import transposed, upsampling_factors
from srsearch.architecture.registry import Factory, Option, register


def _depth(scales: Sequence[int], name: str) -> int:
    """Number of x2 levels for the largest scale.

    Raises:
        ValueError: A scale is not a power of two.
    """
    for scale in scales:
        if scale & (scale - 1):
            raise ValueError(
                f"a {name} network doubles the size in every level: it reaches x2, x4, x8 and x16, not x{scale}"
            )
    return max(scales).bit_length() - 1


@register("levels")
class Direct(Network):
    """One body at LR resolution and one upsampler of the whole factor, for each scale if there are several."""

    def _factors(self) -> tuple[int, ...]:
        """The factors that the network has upsamplers for."""
        return self.scales

    def _add_stages(self, body: Factory, upsampler: Factory, refinement: Factory) -> None:
        self.body = body(1)
        self.upsamplers = nn.ModuleDict({str(factor): upsampler(factor) for factor in self._factors()})
        self.refinement = refinement(1)

    def _image_upsamplers(self) -> dict[str, nn.Module]:
        return {str(factor): _image_upsampler(self.in_channels, factor) for factor in self._factors()}

    def _images(self, x: Tensor, scale: int, *, every_level: bool) -> list[Tensor]:
        entry = self.entry(x - self.mean)
        features = self.body(entry)
        if self.global_skip:
            features = features + entry
        out: Tensor = self.exit(self.refinement(self.upsamplers[str(scale)](features)))
        if self.image_residual == "learned":
            return [out + self.image_upsamplers[str(scale)](x)]
        return [out + (upscale_bicubic(x, scale) if self.image_residual == "bicubic" else self.mean)]


class Level(nn.Module):
    """One x2 level of a pyramid: body, skip, upsampler, refinement. (n, c, h, w) to (n, c, 2 h, 2 w)."""

    def __init__(self, number: int, global_skip: bool, body: Factory, upsampler: Factory, refinement: Factory) -> None:
        super().__init__()
        self.global_skip = global_skip
        self.body = body(number)
        self.upsampler = upsampler(2)
        self.refinement = refinement(number)

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(x)
        if self.global_skip:
            features = features + x
        out: Tensor = self.refinement(self.upsampler(features))
        return out


def _amount(least: int) -> Any:
    """Annotation of a number of blocks in one level of a pyramid: a whole number, or ``same``."""

    def check(value: object) -> int | str:
        if isinstance(value, str) and value == "same":
            return value
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        raise ValueError(f"should be a whole number from {least} up, or same (as in the level before)")

    schema = {"anyOf": [{"type": "integer", "minimum": least}, {"const": "same"}]}
    return Annotated[
        int | str,
        pydantic.PlainValidator(check),
        pydantic.PlainSerializer(lambda value: value),
        pydantic.WithJsonSchema(schema),
    ]


@register("levels")
class Pyramid(Network):
    """A pyramid of x2 levels on features, each with its own weights, with one entry and one exit (CSRCNN).

    A multi-scale network shares the lower levels. The options ``blocks_2`` to ``blocks_4`` set the number of blocks of
    the second to fourth body, ``refine_2`` to ``refine_4`` the number of residual blocks of their refinements.
    ``same`` repeats the number of the level before.
    """

    placement: ClassVar[dict[str, Option]] = {
        name: Option(name, _amount(least), "same")
        for name, least in (
            ("blocks_2", 1),
            ("blocks_3", 1),
            ("refine_2", 0),
            ("refine_3", 0),
            ("blocks_4", 1),
            ("refine_4", 0),
        )
    }

    def _add_stages(self, body: Factory, upsampler: Factory, refinement: Factory) -> None:
        numbers = range(1, _depth(self.scales, "pyramid") + 1)
        self.levels = nn.ModuleList(Level(number, self.global_skip, body, upsampler, refinement) for number in numbers)

    def _image_upsamplers(self) -> dict[str, nn.Module]:
        return {str(number): _image_upsampler(self.in_channels, 2) for number in range(1, len(self.levels) + 1)}

    def _images(self, x: Tensor, scale: int, *, every_level: bool) -> list[Tensor]:
        features, image, images = self.entry(x - self.mean), x, []
        depth = scale.bit_length() - 1
        for number in range(1, depth + 1):
            features = self.levels[number - 1](features)
            if self.image_residual == "learned":
                image = self.image_upsamplers[str(number)](image)
            if every_level or number == depth:
                images.append(self.exit(features) + self._residual(x, image, number))
        return images

    def _residual(self, x: Tensor, learned: Tensor, number: int) -> Tensor:
        if self.image_residual == "bicubic":
            return upscale_bicubic(x, 2**number)
        return learned if self.image_residual == "learned" else self.mean


@register("levels")
class Progressive(Direct):
    """A x2 network that is applied to its own output, once for each factor of two (ProSRN)."""

    def _factors(self) -> tuple[int, ...]:
        _depth(self.scales, "progressive")
        return (2,)

    def _images(self, x: Tensor, scale: int, *, every_level: bool) -> list[Tensor]:
        images = []
        for _ in range(scale.bit_length() - 1):
            (x,) = super()._images(x, 2, every_level=every_level)
            images.append(x)
        return images


def _image_upsampler(in_channels: int, scale: int) -> nn.Module:
    """Transposed convolutions that upscale the image itself, with kernel 4 at x2."""
    return nn.Sequential(*(transposed(in_channels, factor, 4, bias=True) for factor in upsampling_factors(scale)))
