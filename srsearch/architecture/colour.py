"""Converts between RGB and YCbCr of ITU-R BT.601 in studio range. Networks on luminance read and write its Y channel.

ITU-R BT.601 (sections 2.5.1 to 2.5.3) gives the weights of R, G and B in luma, the levels 16..235 (of 255) of luma,
and the levels 16..240, centred on 128, of the colour differences. All constants here follow from these numbers, so the
two directions are inverses up to rounding.

Channels are computed by sums, not by a matrix product, which autocast would compute in bfloat16.
"""

from __future__ import annotations

import torch
from torch import Tensor

_RED, _BLUE = 0.299, 0.114
_GREEN = 1 - _RED - _BLUE
_BLACK, _WHITE = 16 / 255, 235 / 255
_NEUTRAL, _CHROMA = 128 / 255, 224 / 255
"""Cb and Cr of grey, and the width of their range."""


def luma(rgb: Tensor) -> Tensor:
    """BT.601 luminance over 255: Y = (16 + 65.481 R + 128.553 G + 24.966 B) / 255.

    Args:
        rgb: (n, 3, h, w), RGB in 0..1, float32 or float64. Values outside the range are not clipped.

    Returns:
        (n, 1, h, w), 16/255 (black) to 235/255 (white).
    """
    red, green, blue = rgb.chunk(3, dim=1)
    return _studio(_RED * red + _GREEN * green + _BLUE * blue)


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """Convert RGB to BT.601 YCbCr over 255, the inverse of :func:`ycbcr_to_rgb`.

    Args:
        rgb: (n, 3, h, w), RGB in 0..1, float32 or float64. Values outside the range are not clipped.

    Returns:
        (n, 3, h, w): Y from 16/255 to 235/255, Cb and Cr from 16/255 to 240/255 (128/255 for grey).
    """
    red, green, blue = rgb.chunk(3, dim=1)
    grey = _RED * red + _GREEN * green + _BLUE * blue
    # B - Y and R - Y lie in -(1 - weight)..(1 - weight).
    cb = _NEUTRAL + _CHROMA * (blue - grey) / (2 * (1 - _BLUE))
    cr = _NEUTRAL + _CHROMA * (red - grey) / (2 * (1 - _RED))
    return torch.cat([_studio(grey), cb, cr], dim=1)


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """Convert BT.601 YCbCr over 255 to RGB, the inverse of :func:`rgb_to_ycbcr`.

    Args:
        ycbcr: (n, 3, h, w), float32 or float64.

    Returns:
        (n, 3, h, w), not clipped: most of the range of YCbCr lies outside 0..1 in RGB.
    """
    y, cb, cr = ycbcr.chunk(3, dim=1)
    grey = (y - _BLACK) / (_WHITE - _BLACK)
    blue = grey + 2 * (1 - _BLUE) * (cb - _NEUTRAL) / _CHROMA
    red = grey + 2 * (1 - _RED) * (cr - _NEUTRAL) / _CHROMA
    green = (grey - _RED * red - _BLUE * blue) / _GREEN
    return torch.cat([red, green, blue], dim=1)


def _studio(grey: Tensor) -> Tensor:
    """Scale luma from 0..1 to 16/255..235/255."""
    return _BLACK + (_WHITE - _BLACK) * grey
