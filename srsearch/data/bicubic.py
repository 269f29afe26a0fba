"""Bicubic resizing of uint8 images, exactly as the benchmark files Set5, Set14, B100 and Urban100 were made.

Keys' kernel with a = -0.5, borders replicated, each of the two passes rounded half up to uint8. All sums are whole
numbers without rounding errors, so results are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

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
    return _resized(pixels, scale, _shrinking)


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
    return _resized(pixels, scale, _enlarging)


def _check_scale(scale: int) -> None:
    if not 1 <= scale <= 16:
        raise ValueError(f"scale {scale} is not one of 1 to 16")


@dataclass(frozen=True)
class _Kernel:
    """How a row or a column is resized: output j is the weighted sum of the pixels at ``sources[j]``, over ``unit``.

    Attributes:
        sources: (outputs, taps), from 0 to the length of the input; borders are replicated.
        weights: (outputs, taps), whole numbers.
        unit: The sum of the weights of an output.
    """

    sources: npt.NDArray[np.int64]
    weights: npt.NDArray[np.int64]
    unit: int


def _shrinking(length: int, scale: int) -> _Kernel:
    """The kernel from ``length`` to ``length / scale`` pixels."""
    # Output 0 lies at pixel (scale - 1) / 2; pixel j is (2 j - scale + 1) / (2 scale) kernel units away from it.
    offsets = [each for each in range(-2 * scale, 3 * scale + 1) if _keys(2 * each - scale + 1, scale)]
    weights = [_keys(2 * each - scale + 1, scale) for each in offsets]
    sources = np.arange(0, length, scale)[:, None] + np.array(offsets)
    # Neighbours are 1 / scale kernel units apart, so the weights sum to scale times the kernel's unit.
    return _Kernel(sources.clip(0, length - 1), np.tile(weights, (length // scale, 1)), 16 * scale**4)


def _enlarging(length: int, scale: int) -> _Kernel:
    """The kernel from ``length`` to ``scale * length`` pixels."""
    # Output `phase` lies at pixel (2 phase + 1 - scale) / (2 scale).
    weights = [
        [_keys(2 * scale * each - 2 * phase - 1 + scale, scale) for each in range(-2, 3)] for phase in range(scale)
    ]
    sources = np.repeat(np.arange(length), scale)[:, None] + np.arange(-2, 3)
    return _Kernel(sources.clip(0, length - 1), np.tile(weights, (length, 1)), 16 * scale**3)


def _resized(pixels: Pixels, scale: int, kernel: Callable[[int, int], _Kernel]) -> Pixels:
    """Rows first, then columns, each by its kernel."""
    height, width = pixels.shape[:2]
    rows = _weighted(pixels.reshape(height, -1), kernel(height, scale)).reshape(-1, width, 3)
    # Planes of columns: their rows are long, and transposing each by itself is fast.
    planes = np.stack([rows[..., channel].T for channel in range(3)], axis=1)
    columns = _weighted(planes.reshape(width, -1), kernel(width, scale)).reshape(-1, 3, len(rows))
    return np.ascontiguousarray(columns.transpose(2, 0, 1))


_STRIP = 2**18
"""Values that are computed at once, so that they stay in the processor's cache."""


def _weighted(rows: Pixels, kernel: _Kernel) -> Pixels:
    """Weighted sums of rows, (n, m) to (outputs, m), rounded half up and clipped."""
    outputs, taps = kernel.sources.shape
    # All sums are whole numbers that the type holds exactly, so that neither their order nor the machine matters. A
    # quotient below a whole number is not rounded up to it: it is 1 / unit away, more than half of the last digit.
    largest = 255 * int(np.abs(kernel.weights).sum(axis=1).max()) + kernel.unit
    exact = np.float32 if largest < 2**24 else np.float64
    places = np.arange(0, outputs * taps + 1, taps)
    matrix = csr_array(
        (kernel.weights.ravel().astype(exact), kernel.sources.ravel(), places), shape=(outputs, len(rows))
    )
    result = np.empty((outputs, rows.shape[1]), np.uint8)
    count = -(-_STRIP // rows.shape[1])
    for start in range(0, outputs, count):
        strip = slice(start, start + count)
        first, last = int(kernel.sources[strip].min()), int(kernel.sources[strip].max())
        sums = matrix[strip, first : last + 1] @ rows[first : last + 1].astype(exact)
        sums += kernel.unit // 2
        sums /= kernel.unit
        result[strip] = np.clip(sums, 0, 255, out=sums)  # conversion truncates: a floor, as there is no negative value
    return result


def _keys(distance: int, scale: int) -> int:
    """Keys' cubic kernel (a = -0.5) at distance / (2 scale), in units of 1 / (16 scale^3), where it is an integer."""
    m = abs(distance)
    if m <= 2 * scale:
        return 3 * m**3 - 10 * scale * m**2 + 16 * scale**3
    if m < 4 * scale:
        return -(m**3) + 10 * scale * m**2 - 32 * scale**2 * m + 32 * scale**3
    return 0
