"""Bicubic upscaling, the Keys kernel with a = -0.5, as the evaluation protocol has it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_MARGIN = 4
"""LR pixels replicated at each border; the kernel reaches two."""


def upscale_bicubic(lr: Tensor, scale: int) -> Tensor:
    """Bicubic upscaling with replicated borders; differentiable, values not clipped.

    Args:
        lr: (n, c, h, w), any float type; computed in float32 at least.
        scale: Integer factor.

    Returns:
        (n, c, scale * h, scale * w), in the precision computed in.
    """
    source = lr if lr.dtype == torch.float64 else lr.float()
    padded = F.pad(source, (_MARGIN,) * 4, mode="replicate")
    # Torch's plain bicubic has a = -0.75; the antialiased one a = -0.5, and when enlarging it filters nothing.
    large = F.interpolate(padded, scale_factor=scale, mode="bicubic", antialias=True)
    border = _MARGIN * scale
    return large[..., border:-border, border:-border]
