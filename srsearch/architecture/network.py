"""`Network`, the base class of all networks, and the initialisation of their weights."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from srsearch.architecture.colour import luma
from srsearch.architecture.registry import Factory

ImageResidual: TypeAlias = Literal["none", "bicubic", "learned"]
Colour: TypeAlias = Literal["rgb", "luminance"]
IN_CHANNELS: dict[str, int] = {"rgb": 3, "luminance": 1}
MEAN_RGB = (0.4488, 0.4371, 0.4040)
"""Mean of the DIV2K training images, 0..1; subtracted at the entry and added at the exit."""

MEAN_LUMA = luma(torch.tensor(MEAN_RGB, dtype=torch.float64).reshape(1, 3, 1, 1)).item()
"""`MEAN_RGB` as ITU-R BT.601 luminance over 255."""


class Network(nn.Module, abc.ABC):
    """A super-resolution network: entry, stages, exit and image residual. Subclasses define the stages.

    Args:
        channels: Number of channels of the features between entry and exit.
        in_channels: Number of channels of the image.
        scales: The scales that the network can be called with, ascending.
        global_skip: Whether to add the input of each body to its output (PCARN's global residual, Eq. 5).
        image_residual: Adds an upscaled image, so that the network learns the difference: ``bicubic``, or ``learned``,
            a transposed convolution of the image (ProSRN). ``none`` adds the mean only.
        entry: Slot of the entry.
        body: Slot of the bodies, called with the level's number, from 1.
        upsampler: Slot of the upsamplers, called with the factor.
        refinement: Slot of the refinements, called with the level's number, from 1.

    Attributes:
        in_channels: 3 for RGB in 0..1, or 1 for BT.601 luminance (16..235) over 255.
        scales: The scales that the network can be called with, ascending.
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
        """Create the modules between entry and exit."""

    @abc.abstractmethod
    def _image_upsamplers(self) -> dict[str, nn.Module]:
        """The modules that upscale the image for a learned image residual, by name."""

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Upscale images.

        Args:
            x: (n, in_channels, h, w), h and w at least 1.
            scale: One of ``scales``; optional if there is only one.

        Returns:
            (n, in_channels, scale * h, scale * w), not clipped.

        Raises:
            ValueError: The scale is missing or not one of the network's.
        """
        return self._images(x, self._scale(scale), every_level=False)[-1]

    def outputs(self, x: Tensor, scale: int | None = None) -> list[Tensor]:
        """The images of all levels, for losses on intermediate images. The last is the result of `forward`.

        Args:
            x: (n, in_channels, h, w), h and w at least 1.
            scale: One of ``scales``; optional if there is only one.

        Returns:
            One image for each level: at x2, x4 and so on in a pyramid and a progressive network, and a single one in a
            direct network.

        Raises:
            ValueError: The scale is missing or not one of the network's.
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


SCHEMES: dict[str, tuple[str, float, float]] = {
    "uniform_1": ("uniform", 1, 1.0),
    "uniform_1_tenth": ("uniform", 1, 0.1),
    "uniform_6": ("uniform", 6, 1.0),
    "uniform_6_tenth": ("uniform", 6, 0.1),
    "normal_2": ("normal", 2, 1.0),
    "normal_2_tenth": ("normal", 2, 0.1),
    "he": ("normal", 2, 1.0),
    "pytorch": ("pytorch", 0, 1.0),
}
"""Initialisations by name: distribution, a and f of f * U(+-sqrt(a / fan_in)) or f * N(0, sqrt(a / fan_in)).

The first six are those of the PCARN paper's Table III. ``he`` is He et al. (2015), the same as ``normal_2``;
``pytorch`` is what PyTorch draws by default, for weights and biases.
"""


def initialise(network: Network, scheme: str = "uniform_1") -> None:
    """Draw weights by a scheme; set biases to zero.

    With an image residual, the exit starts at zero and a learned upscaling of the image starts as bilinear, so that
    training starts from an upscaled image.

    Args:
        network: The network.
        scheme: One of `SCHEMES`; the default, U(+-sqrt(1 / fan_in)), is the best in the PCARN paper's Table III.
    """
    distribution, a, factor = SCHEMES[scheme]
    with torch.no_grad():
        for module in network.modules():
            if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                continue
            if distribution == "pytorch":
                module.reset_parameters()
                continue
            bound = factor * math.sqrt(a / module.weight[0].numel())
            if distribution == "uniform":
                module.weight.uniform_(-bound, bound)
            else:
                module.weight.normal_(0, bound)
            if module.bias is not None:
                module.bias.zero_()
        if network.image_residual != "none":
            network.exit.weight.zero_()
            if network.exit.bias is not None:
                network.exit.bias.zero_()
        for module in network.image_upsamplers.modules():
            if isinstance(module, nn.ConvTranspose2d):
                _make_bilinear(module)


def _make_bilinear(conv: nn.ConvTranspose2d) -> None:
    """Set a transposed convolution to bilinear upscaling of each channel by itself."""
    size, factor = conv.kernel_size[0], conv.stride[0]
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    tent = (1 - offsets.abs() / factor).clamp_min(0)
    conv.weight.zero_()
    for channel in range(conv.in_channels):
        conv.weight[channel, channel] = torch.outer(tent, tent).to(conv.weight)
