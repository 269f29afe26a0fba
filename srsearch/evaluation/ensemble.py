"""Self-ensemble: the mean of a network's outputs for the eight flips and rotations of an image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PASSES = 8
"""Times that a network is applied for one image; the cost is that many times higher."""


def self_ensemble(upscaled: Callable[[Tensor], Tensor], lr: Tensor) -> Tensor:
    """Upscale images as the mean over their eight flips and rotations (Timofte et al., 2016; the "+" of papers).

    Args:
        upscaled: Maps (n, c, h, w) to (n, c, scale * h, scale * w).
        lr: (n, c, h, w).

    Returns:
        (n, c, scale * h, scale * w), not clipped.
    """
    total: Tensor | None = None
    for turn in range(PASSES):
        output = _turned_back(upscaled(_turned(lr, turn).contiguous()), turn)
        total = output.clone() if total is None else total.add_(output)
    assert total is not None
    return total.div_(PASSES)


def _turned(image: Tensor, turn: int) -> Tensor:
    flips = [axis for axis in (2, 3) if turn & (1 << (axis - 2))]
    flipped = torch.flip(image, flips) if flips else image
    return flipped.transpose(2, 3) if turn & 4 else flipped


def _turned_back(image: Tensor, turn: int) -> Tensor:
    upright = image.transpose(2, 3) if turn & 4 else image
    flips = [axis for axis in (2, 3) if turn & (1 << (axis - 2))]
    return torch.flip(upright, flips) if flips else upright
