"""Bicubic upscaling with the Keys kernel, a = -0.5, the kernel of the evaluation protocol."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MARGIN = 4
"""LR pixels replicated at each border; the kernel reaches two pixels."""


def upscale_bicubic(lr: Tensor, scale: int) -> Tensor:
    """Upscale images bicubically with replicated borders. Differentiable; values are not clipped.

    Args:
        lr: (n, c, h, w), any float type. float64 is computed in float64, all others in float32.
        scale: Integer factor.

    Returns:
        (n, c, scale * h, scale * w), float64 for float64, else float32.
    """
    source = lr if lr.dtype == torch.float64 else lr.float()
    if torch.compiler.is_exporting():
        return _by_convolution(source, scale)
    padded = F.pad(source, (_MARGIN,) * 4, mode="replicate")
    # Torch's plain bicubic kernel has a = -0.75, its antialiased one -0.5; it filters nothing when enlarging.
    large = F.interpolate(padded, scale_factor=scale, mode="bicubic", antialias=True)
    border = _MARGIN * scale
    return large[..., border:-border, border:-border]


def _by_convolution(source: Tensor, scale: int) -> Tensor:
    """The same by a convolution for each of the scale * scale positions between LR pixels.

    Other runtimes compute the positions of a resized image in float32, which is wrong by 1e-4 in large images.
    """
    count, channels, height, width = source.shape
    taps = _taps(scale)
    weights = (taps[:, None, :, None] * taps[None, :, None, :]).reshape(scale**2, 1, 5, 5).to(source.dtype)
    padded = F.pad(source, (2,) * 4, mode="replicate")
    phases = F.conv2d(padded.reshape(count * channels, 1, height + 4, width + 4), weights)
    return F.pixel_shuffle(phases, scale).reshape(count, channels, scale * height, scale * width)


def _taps(scale: int) -> Tensor:
    """Keys' weights of five LR pixels for each position, float64 (scale, 5)."""
    positions = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
    far = (positions[:, None] - torch.arange(-2, 3, dtype=torch.float64)).abs()
    near = 1.5 * far**3 - 2.5 * far**2 + 1
    outer = -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2
    return torch.where(far <= 1, near, torch.where(far < 2, outer, torch.zeros_like(far)))


class Bicubic(nn.Module):
    """Bicubic upscaling where a network is expected: the baseline.

    Args:
        scales: The scales that it can be called with; any are possible.
    """

    in_channels = 3

    def __init__(self, scales: Sequence[int]) -> None:
        super().__init__()
        self.scales = tuple(scales)

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Upscale images (n, c, h, w); ``scale`` is optional if there is only one."""
        if scale is None and len(self.scales) > 1:
            raise ValueError(f"give scale= one of {self.scales}")
        return upscale_bicubic(x, self.scales[0] if scale is None else scale)
