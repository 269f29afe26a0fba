"""RGB and YCbCr of ITU-R BT.601 in studio range: what networks on luminance read and write.

ITU-R BT.601 (sections 2.5.1 to 2.5.3) weighs R, G and B into luma, and gives luma the levels 16..235 of 255 and the
colour differences 16..240 about 128. Everything follows from those numbers, so the two directions are inverses but for
rounding.

Each channel is computed by itself, in plain sums: under autocast, a matrix product would be taken in bfloat16.
"""

from __future__ import annotations

import torch
from torch import Tensor

_RED, _BLUE = 0.299, 0.114
_GREEN = 1 - _RED - _BLUE
_BLACK, _WHITE = 16 / 255, 235 / 255
_NEUTRAL, _CHROMA = 128 / 255, 224 / 255
"""Cb and Cr of grey, and the extent from their least to their largest value."""


def luma(rgb: Tensor) -> Tensor:
    """BT.601 luminance over 255: Y = (16 + 65.481 R + 128.553 G + 24.966 B) / 255.

    Args:
        rgb: (n, 3, h, w), RGB in 0..1, float32 or float64; values beyond are taken as they are.

    Returns:
        (n, 1, h, w), 16/255 (black) to 235/255 (white).
    """
    red, green, blue = rgb.chunk(3, dim=1)
    return _studio(_RED * red + _GREEN * green + _BLUE * blue)


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """RGB to BT.601 YCbCr over 255, the inverse of :func:`ycbcr_to_rgb`.

    Args:
        rgb: (n, 3, h, w), RGB in 0..1, float32 or float64; values beyond are taken as they are.

    Returns:
        (n, 3, h, w): Y from 16/255 to 235/255, Cb and Cr from 16/255 to 240/255, 128/255 where there is no colour.
    """
    red, green, blue = rgb.chunk(3, dim=1)
    grey = _RED * red + _GREEN * green + _BLUE * blue
    # The differences lie in -(1 - weight)..(1 - weight).
    cb = _NEUTRAL + _CHROMA * (blue - grey) / (2 * (1 - _BLUE))
    cr = _NEUTRAL + _CHROMA * (red - grey) / (2 * (1 - _RED))
    return torch.cat([_studio(grey), cb, cr], dim=1)


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """BT.601 YCbCr over 255 to RGB, the inverse of :func:`rgb_to_ycbcr`.

    Args:
        ycbcr: (n, 3, h, w), float32 or float64.

    Returns:
        (n, 3, h, w), not clipped: most of YCbCr's range lies outside RGB's 0..1.
    """
    y, cb, cr = ycbcr.chunk(3, dim=1)
    grey = (y - _BLACK) / (_WHITE - _BLACK)
    blue = grey + 2 * (1 - _BLUE) * (cb - _NEUTRAL) / _CHROMA
    red = grey + 2 * (1 - _RED) * (cr - _NEUTRAL) / _CHROMA
    green = (grey - _RED * red - _BLUE * blue) / _GREEN
    return torch.cat([red, green, blue], dim=1)


def _studio(grey: Tensor) -> Tensor:
    """Luma 0..1 to BT.601's levels, over 255."""
    return _BLACK + (_WHITE - _BLACK) * grey
