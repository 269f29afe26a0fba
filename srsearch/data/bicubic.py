"""Bicubic resizing of uint8 images, exactly as the benchmark files Set5, Set14, B100 and Urban100 were made.

Keys' kernel with a = -0.5, borders replicated, each of the two passes rounded half up to uint8. All arithmetic is
in integers, so results are the same on every machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""An image: uint8 (h, w, 3), RGB."""


def crop_to_multiple(pixels: Pixels, scale: int) -> Pixels:
    """Crops rows and columns at the end so that ``scale`` divides both sides (a view, not a copy)."""
    height, width = pixels.shape[0] // scale * scale, pixels.shape[1] // scale * scale
    return pixels[:height, :width]


def downscale(pixels: Pixels, scale: int) -> Pixels:
    """Bicubic downscaling for the evaluation protocol; gives the benchmarks' ``*_LR.png`` bit for bit.

    The kernel is stretched by the scale (antialiasing); rows first, then columns.

    Args:
        pixels: uint8 (h, w, 3); ``scale`` divides h and w (see :func:`crop_to_multiple`).
        scale: Integer factor, 1 to 16.

    Returns:
        uint8 (h / scale, w / scale, 3), contiguous.

    Raises:
        ValueError: The scale is out of range or does not divide the image's sides.
    """
    _check_scale(scale)
    height, width = pixels.shape[:2]
    if height % scale or width % scale:
        raise ValueError(f"an image of {width}x{height} is not divisible by {scale}: crop it first")
    rows = _shrink_rows(pixels, scale)
    return np.ascontiguousarray(_shrink_rows(rows.swapaxes(0, 1), scale).swapaxes(0, 1))


def upscale(pixels: Pixels, scale: int) -> Pixels:
    """Bicubic upscaling, the baseline for networks; rows first, then columns.

    Args:
        pixels: uint8 (h, w, 3).
        scale: Integer factor, 1 to 16.

    Returns:
        uint8 (scale * h, scale * w, 3), contiguous.

    Raises:
        ValueError: The scale is out of range.
    """
    _check_scale(scale)
    rows = _enlarge_rows(pixels, scale)
    return np.ascontiguousarray(_enlarge_rows(rows.swapaxes(0, 1), scale).swapaxes(0, 1))


def _check_scale(scale: int) -> None:
    if not 1 <= scale <= 16:
        raise ValueError(f"scale {scale} is not one of 1 to 16")


def _shrink_rows(pixels: Pixels, scale: int) -> Pixels:
    """(h, w, 3) to (h / scale, w, 3)."""
    rows = pixels.shape[0] // scale
    margin = 2 * scale
    padded = _padded(pixels, margin)
    # Output row 0 lies at source row (scale - 1) / 2; row j is (2 j - scale + 1) / (2 scale) kernel units away.
    weights = {row: _keys(2 * row - scale + 1, scale) for row in range(-margin, 3 * scale + 1)}
    sources = {row: slice(margin + row, margin + row + (rows - 1) * scale + 1, scale) for row in weights}
    # Neighbours are 1 / scale kernel units apart, so the weights sum to scale times the kernel's unit.
    return _weighted([(weights[row], padded[sources[row]]) for row in weights if weights[row]], 16 * scale**4)


def _enlarge_rows(pixels: Pixels, scale: int) -> Pixels:
    """(h, w, 3) to (scale * h, w, 3)."""
    rows = pixels.shape[0]
    padded = _padded(pixels, 2)
    large = np.empty((rows * scale, *pixels.shape[1:]), np.uint8)
    for phase in range(scale):
        # Output row `phase` lies at source row (2 phase + 1 - scale) / (2 scale).
        weights = {row: _keys(2 * scale * row - 2 * phase - 1 + scale, scale) for row in range(-2, 3)}
        terms = [(weights[row], padded[2 + row : 2 + row + rows]) for row in weights if weights[row]]
        large[phase::scale] = _weighted(terms, 16 * scale**3)
    return large


def _padded(pixels: Pixels, margin: int) -> npt.NDArray[np.int32]:
    return np.pad(pixels, ((margin, margin), (0, 0), (0, 0)), mode="edge").astype(np.int32)


def _weighted(terms: list[tuple[int, npt.NDArray[np.int32]]], unit: int) -> Pixels:
    """The sum of weight times image over ``unit``, rounded half up and clipped."""
    # Half of the divisor beforehand and a floor division after: rounding half up. At scale 16 sums stay below 2^30.
    sums = np.full(terms[0][1].shape, unit // 2, np.int32)
    for weight, image in terms:
        sums += np.int32(weight) * image
    return np.clip(sums // unit, 0, 255).astype(np.uint8)


def _keys(distance: int, scale: int) -> int:
    """Keys' cubic kernel (a = -0.5) at distance / (2 scale), in units of 1 / (16 scale^3), where it is an integer."""
    m = abs(distance)
    if m <= 2 * scale:
        return 3 * m**3 - 10 * scale * m**2 + 16 * scale**3
    if m < 4 * scale:
        return -(m**3) + 10 * scale * m**2 - 32 * scale**2 * m + 32 * scale**3
    return 0
