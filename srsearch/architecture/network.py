"""Networks: how the parts make an image of an image. One class for each way of upscaling in levels."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import pydantic
import torch
from torch import Tensor, nn

from srsearch.architecture.bicubic import upscale_bicubic
from srsearch.architecture.colour import luma
from srsearch.architecture.parts.upsamplers import transposed, upsampling_factors
from srsearch.architecture.registry import Factory, Option, register

ImageResidual: TypeAlias = Literal["none", "bicubic", "learned"]
Colour: TypeAlias = Literal["rgb", "luminance"]

IN_CHANNELS: dict[str, int] = {"rgb": 3, "luminance": 1}

MEAN_RGB = (0.4488, 0.4371, 0.4040)
"""Mean of the DIV2K training images, 0..1; subtracted at the entry and added at the exit."""
MEAN_LUMA = luma(torch.tensor(MEAN_RGB, dtype=torch.float64).reshape(1, 3, 1, 1)).item()
"""The same as ITU-R BT.601 luminance over 255."""


class Network(nn.Module, abc.ABC):
    """A super-resolution network: entry, stages, exit, image residual. How it upscales in levels is its class.

    Args:
        channels: Width between entry and exit.
        in_channels: Of the image.
        scales: The scales that it can be called with, ascending.
        global_skip: Add the input of each body to its output (PCARN's global residual).
        image_residual: ``bicubic`` or ``learned`` (a transposed convolution of the image, ProSRN) adds an upscaled
            image: the network learns what that lacks.
        entry: Slot of the entry.
        body: Slot of the bodies, called with the level's number from 1.
        upsampler: Slot of the upsamplers, called with the factor.
        refinement: Slot of the refinements, called with the level's number.

    Attributes:
        in_channels: 3, RGB in 0..1, or 1, BT.601 luminance (16..235) over 255.
        scales: The scales that it can be called with, ascending.
    """

    def __init__(
        self,
        channels: int,
        in_channels: int,
        scales: Sequence[int],
        global_skip: bool,
        image_residual: ImageResidual,
        entry: Factory,
        body: Factory,
        upsampler: Factory,
        refinement: Factory,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.scales = tuple(scales)
        self.global_skip = global_skip
        self.image_residual = image_residual
        self.entry = entry()
        self._add_stages(body, upsampler, refinement)
        self.exit = nn.Conv2d(channels, in_channels, 3, padding=1)
        self.image_upsamplers = nn.ModuleDict(self._image_upsamplers() if image_residual == "learned" else {})
        mean = MEAN_RGB if in_channels == 3 else (MEAN_LUMA,)
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1), persistent=False)

    @abc.abstractmethod
    def _add_stages(self, body: Factory, upsampler: Factory, refinement: Factory) -> None:
        """Make what stands between entry and exit."""

    @abc.abstractmethod
    def _image_upsamplers(self) -> dict[str, nn.Module]:
        """What a learned image residual upscales the image with."""

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Upscale.

        Args:
            x: (n, in_channels, h, w), any h and w from 1 up.
            scale: Which of ``scales``; may be left out where there is one.

        Returns:
            (n, in_channels, scale * h, scale * w), not clipped.

        Raises:
            ValueError: The scale is missing or not one of the network's.
        """
        return self._images(x, self._scale(scale), every_level=False)[-1]

    def outputs(self, x: Tensor, scale: int | None = None) -> list[Tensor]:
        """The images of all levels, for losses that need them; the last is what `forward` gives.

        A pyramid and a progressive network have one at x2, one at x4 and so on; a direct one has one level.
        """
        return self._images(x, self._scale(scale), every_level=True)

    @abc.abstractmethod
    def _images(self, x: Tensor, scale: int, *, every_level: bool) -> list[Tensor]: ...

    def _scale(self, scale: int | None) -> int:
        if scale is None and len(self.scales) == 1:
            return self.scales[0]
        if scale is None or scale not in self.scales:
            raise ValueError(f"scale {scale} is not one of this network's: give scale= one of {self.scales}")
        return scale


def _depth(scales: Sequence[int], name: str) -> int:
    """Number of x2 levels for the largest scale.

    Raises:
        ValueError: A scale is not a power of two.
    """
    for scale in scales:
        if scale & (scale - 1):
            raise ValueError(
                f"a {name} network doubles the size in every level: it reaches x2, x4 and x8, not x{scale}"
            )
    return max(scales).bit_length() - 1


@register("levels")
class Direct(Network):
    """One body at LR resolution and one upsampler of the whole factor; of several scales, one upsampler each."""

    def _factors(self) -> tuple[int, ...]:
        """What there are upsamplers for."""
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
    """One x2 level of a pyramid: body, skip, upsampler, refinement. Features to features of twice the size."""

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
    """Annotation of an amount in one level of a pyramid: a whole number, or ``same``."""

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
    """One level with weights of its own for each factor of two, on features; one entry and one exit (CSRCNN).

    Several scales share the first levels. The options say how many blocks the body of the second and third level has,
    and how many residual blocks their refinements; ``same`` is as in the level before.
    """

    placement: ClassVar[dict[str, Option]] = {
        name: Option(name, _amount(least), "same")
        for name, least in (("blocks_2", 1), ("blocks_3", 1), ("refine_2", 0), ("refine_3", 0))
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
    """A x2 network applied to its own output, once for each factor of two (ProSRN)."""

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
    """Transposed convolutions that upscale the image itself, kernel 4 at x2 as ProSRN's."""
    return nn.Sequential(*(transposed(in_channels, factor, 4, bias=True) for factor in upsampling_factors(scale)))


def initialise(network: Network) -> None:
    """Weights U(+-sqrt(1 / fan_in)), biases zero (PCARN paper, Table III).

    Beside an image residual the exit is zero and a learned upscaling bilinear: training starts from an upscaled image.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                bound = math.sqrt(1 / module.weight[0].numel())
                module.weight.uniform_(-bound, bound)
                if module.bias is not None:
                    module.bias.zero_()
        if network.image_residual != "none":
            network.exit.weight.zero_()
        for module in network.image_upsamplers.modules():
            if isinstance(module, nn.ConvTranspose2d):
                _make_bilinear(module)


def _make_bilinear(conv: nn.ConvTranspose2d) -> None:
    """Each channel by itself, bilinear: what a learned upscaling starts from."""
    size, factor = conv.kernel_size[0], conv.stride[0]
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    tent = (1 - offsets.abs() / factor).clamp_min(0)
    conv.weight.zero_()
    for channel in range(conv.in_channels):
        conv.weight[channel, channel] = torch.outer(tent, tent).to(conv.weight)
