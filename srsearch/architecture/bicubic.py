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
    padded = F.pad(source, (_MARGIN,) * 4, mode="replicate")
    # Torch's plain bicubic kernel has a = -0.75, its antialiased one -0.5; it filters nothing when enlarging.
    large = F.interpolate(padded, scale_factor=scale, mode="bicubic", antialias=True)
    border = _MARGIN * scale
    return large[..., border:-border, border:-border]


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
