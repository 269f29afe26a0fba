"""The network that a design describes: entry, body, global skip, upsampler per scale, exit, image residual."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from srsearch.architecture.bicubic import upscale_bicubic
from srsearch.architecture.parts import Factory

ImageResidual: TypeAlias = Literal["none", "bicubic"]

MEAN_RGB = (0.4488, 0.4371, 0.4040)
"""Mean of the DIV2K training images, 0..1; subtracted at the entry and added at the exit."""


class Network(nn.Module):
    """A super-resolution network.

    Args:
        channels: Width between entry and exit.
        body: Slot of the body.
        upsampler: Slot of the upsamplers, called with each scale.
        scales: The scales that it has upsamplers for, ascending.
        global_skip: Add the entry's output to the body's (PCARN's global residual).
        image_residual: ``bicubic`` adds the bicubic upscaling of the input: the network learns what that lacks.

    Attributes:
        in_channels: 3, RGB.
    """

    in_channels = 3

    def __init__(
        self,
        channels: int,
        body: Factory,
        upsampler: Factory,
        scales: Sequence[int],
        global_skip: bool,
        image_residual: ImageResidual,
    ) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.global_skip = global_skip
        self.image_residual = image_residual
        self.entry = nn.Conv2d(self.in_channels, channels, 3, padding=1)
        self.body = body()
        self.upsamplers = nn.ModuleDict({str(scale): upsampler(scale) for scale in self.scales})
        self.exit = nn.Conv2d(channels, self.in_channels, 3, padding=1)
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(MEAN_RGB).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Upscale.

        Args:
            x: (n, 3, h, w), RGB in 0..1.
            scale: Which of ``scales``; may be left out where there is one.

        Returns:
            (n, 3, scale * h, scale * w), not clipped.

        Raises:
            ValueError: The scale is missing or not one of the network's.
        """
        if scale is None and len(self.scales) == 1:
            (scale,) = self.scales
        if scale not in self.scales:
            raise ValueError(f"scale {scale} is not one of this network's: give scale= one of {self.scales}")
        entry = self.entry(x - self.mean)
        features = self.body(entry)
        if self.global_skip:
            features = features + entry
        out: Tensor = self.exit(self.upsamplers[str(scale)](features))
        return out + (upscale_bicubic(x, scale) if self.image_residual == "bicubic" else self.mean)


def initialise(network: Network) -> None:
    """Weights U(+-sqrt(1 / fan_in)), biases zero (PCARN paper, Table III); a zero exit beside an image residual.

    The zero exit makes training start from the bicubic image.
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
