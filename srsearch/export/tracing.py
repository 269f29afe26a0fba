"""A network as one function of an image, in the form that exporters can record."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

SIZES = ((863, 860), (17, 31), (1, 5))
"""Height and width of the images with which an exported file is checked."""

TRACED = (23, 29)
"""Height and width of the image with which a network is recorded: no size that it is checked with."""


class AtScale(nn.Module):
    """A copy of a network at one of its scales: (1, c, h, w) to (1, c, scale * h, scale * w), in the same type.

    Args:
        network: The network; it stays as it is.
        scale: One of its scales.
        half: Whether the copy computes in float16.
    """

    def __init__(self, network: nn.Module, scale: int, *, half: bool = False) -> None:
        super().__init__()
        self.network = _recordable(copy.deepcopy(network).float().eval())
        if half:
            self.network.half()
        self.scale = scale
        self.in_channels = int(getattr(network, "in_channels", 3))

    def forward(self, image: Tensor) -> Tensor:
        upscaled: Tensor = self.network(image, scale=self.scale)
        return upscaled.to(image.dtype)


class _Cropped(nn.Module):
    """A transposed convolution whose output size depends on the image, as a larger one that is cropped.

    Exporters can record no other: the size is an attribute of their operation, and no input.
    """

    def __init__(self, conv: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.conv = conv
        self.most = tuple(stride - 1 for stride in conv.stride)

    def forward(self, x: Tensor, output_size: torch.Size | None = None) -> Tensor:
        conv = self.conv
        if output_size is None:
            same: Tensor = conv(x)
            return same
        assert isinstance(conv.padding, tuple)
        full = nn.functional.conv_transpose2d(
            x, conv.weight, conv.bias, conv.stride, conv.padding, self.most, conv.groups, conv.dilation
        )
        height, width = output_size
        return full[..., :height, :width]


def _recordable(network: nn.Module) -> nn.Module:
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ConvTranspose2d):
                setattr(module, name, _Cropped(child))
    return network


def images(channels: int) -> list[Tensor]:
    """Random images (1, channels, h, w) of all `SIZES`, the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, channels, height, width, generator=generator) for height, width in SIZES]


def largest_difference(made: Tensor, expected: Tensor) -> float:
    """The largest absolute difference; infinite for other sizes and for values that are not finite."""
    if made.shape != expected.shape or not bool(torch.isfinite(made).all()):
        return float("inf")
    return float((made.float() - expected.float()).abs().max())
