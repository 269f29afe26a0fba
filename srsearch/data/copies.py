"""Recognises a photo in another size, as in an LR image."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from srsearch.data.bicubic import Pixels

_SIDE = 16
_ALIKE = 0.6
"""Correlation of two shapes. Of the 80,000 pairs of photos in BSDS500's train and test none is above 0.48. Photos and
their LR images (x2, x3, x4, x8; bicubic, or pixels left out) are below 0.65 in less than one of a hundred."""
_LEAST_CONTRAST = 1.0
"""A shape needs differences between neighbours, in grey levels; others are rounding."""
_ASPECT = 0.05
"""How far the proportions may differ, by cropping to a multiple."""


class Sizes:
    """Photos by what they show, whatever their size."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[int, int], dict[str, _Shape]] = {}

    def add(self, name: str, pixels: Pixels) -> tuple[bool, list[str]]:
        """Adds a photo, unless a larger one shows the same.

        Returns:
            Whether it was added, and the names of smaller photos that show the same, which are forgotten.
        """
        shape, (height, width) = _shape(pixels), pixels.shape[:2]
        smaller: list[str] = []
        for (rows, columns), shapes in self._shapes.items():
            if (rows, columns) == (height, width) or abs(rows * width / (columns * height) - 1) > _ASPECT:
                continue
            likeness = np.stack(list(shapes.values())) @ shape if shapes else np.empty(0)
            alike = [each for each, value in zip(shapes, likeness, strict=True) if value > _ALIKE]
            if alike and rows * columns >= height * width:
                return False, []
            smaller += alike
        for shapes in self._shapes.values():
            for each in smaller:
                shapes.pop(each, None)
        self._shapes.setdefault((height, width), {})[name] = shape
        return True, smaller


_Shape: TypeAlias = npt.NDArray[np.float32]


def _shape(pixels: Pixels) -> _Shape:
    """Differences between neighbouring parts of a photo, as a vector of length 1; zero where it has no shape.

    Differences, since brightness that changes evenly, as that of a sky does, is alike in many photos.
    """
    small = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float32)
    steps = [np.diff(grey, axis=axis).ravel() for axis in (0, 1)]
    shape: _Shape = np.concatenate([each - each.mean() for each in steps])
    length = float(np.linalg.norm(shape))
    return shape / length if length > _LEAST_CONTRAST * np.sqrt(shape.size) else np.zeros_like(shape)
