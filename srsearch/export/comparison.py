"""Crops of one image as several models upscale it, beside the original and bicubic upscaling."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srsearch.architecture import Model
from srsearch.data.bicubic import Pixels, crop_to_multiple, downscale, upscale
from srsearch.evaluation import Runtime, psnr_y
from srsearch.export.pictures import Picture, read_picture
from srsearch.export.upscaling import Upscaler

SIDE = 128
"""Side of a crop in pixels of the original, if none is asked for."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels: left, top, width and height."""

    left: int
    top: int
    width: int
    height: int

    def cut(self, pixels: Pixels) -> Pixels:
        """Return this part of an image (h, w, 3)."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True, eq=False)
class Shown:
    """What one model makes of the image.

    Attributes:
        name: The model's name, ``HR`` or ``bicubic``.
        crop: The crop, uint8 (h, w, 3).
        psnr: PSNR on luminance of the whole image in dB, by the protocol ``common``; None for HR.
    """

    name: str
    crop: Pixels
    psnr: float | None


def read_original(file: Path, scale: int) -> Pixels:
    """An image as the original: uint8 (h, w, 3), with sides that the scale divides.

    Raises:
        UnusablePhotoError: It cannot be read, or is smaller than four LR pixels.
    """
    from srsearch.data.decoding import UnusablePhotoError

    picture = read_picture(file)
    colour = picture.colour if picture.white == 255 else picture.colour // 257
    pixels: Pixels = crop_to_multiple(colour.astype(np.uint8), scale)
    if min(pixels.shape[:2]) < 4 * scale:
        raise UnusablePhotoError(f"is too small: an original has at least {4 * scale}x{4 * scale} pixels at x{scale}")
    return pixels


def compare(
    hr: Pixels,
    models: Iterable[tuple[str, Model]],
    scale: int,
    box: Box | None,
    runtime: Runtime,
    warn: Callable[[str], None] = lambda message: None,
) -> tuple[Box, list[Shown]]:
    """Downscale an image bicubically, and upscale it by each model.

    Args:
        hr: From `read_original`.
        models: Models with the names that are shown.
        scale: Upscaling factor of all models.
        box: The crop; None: the square of `SIDE` that bicubic upscaling restores worst.
        runtime: Device and threads.
        warn: See `Upscaler`.

    Returns:
        The crop's place, and HR, bicubic and the models in this order.
    """
    lr = downscale(hr, scale)
    images = {"bicubic": upscale(lr, scale)}
    for name, model in models:
        images[name] = Upscaler(model.network, scale, runtime=runtime, warn=warn)(Picture(lr)).colour.astype(np.uint8)
    at = box or hardest(hr, images["bicubic"])
    shown = [Shown(name, at.cut(image), psnr_y(image, hr, scale)) for name, image in images.items()]
    return at, [Shown("HR", at.cut(hr), None), *shown]


def hardest(hr: Pixels, other: Pixels) -> Box:
    """The square in which two images differ most."""
    height, width = (min(SIDE, side) for side in hr.shape[:2])
    error = ((hr.astype(np.float64) - other) ** 2).sum(axis=2)
    sums = np.pad(error, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return Box(int(left), int(top), width, height)


_LARGEST_FACTOR, _GAP, _LINE = 4, 12, 22


def sheet(shown: Sequence[Shown]) -> Image.Image:
    """All crops side by side in one image, enlarged without smoothing, with names and PSNR below."""
    height, width = shown[0].crop.shape[:2]
    factor = max(1, min(_LARGEST_FACTOR, 320 // max(height, width)))
    columns = min(len(shown), 4)
    across, down = max(width * factor, 140), height * factor + 2 * _LINE
    rows = -(-len(shown) // columns)
    page = Image.new("RGB", (columns * (across + _GAP) + _GAP, rows * (down + _GAP) + _GAP), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=15)
    for number, each in enumerate(shown):
        x, y = _GAP + number % columns * (across + _GAP), _GAP + number // columns * (down + _GAP)
        crop = Image.fromarray(each.crop).resize((width * factor, height * factor), Image.Resampling.NEAREST)
        page.paste(crop, (x, y))
        name = each.name
        while draw.textlength(name, font=font) > across and len(name) > 1:
            name = name[:-2] + "…"
        draw.text((x, y + height * factor + 3), name, fill="black", font=font)
        if each.psnr is not None:
            draw.text((x, y + height * factor + 3 + _LINE), f"{each.psnr:.2f} dB", fill="#444444", font=font)
    return page
