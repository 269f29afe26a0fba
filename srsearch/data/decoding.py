"""Decodes image files to 8-bit RGB, or says why not."""

from __future__ import annotations

import contextlib
import re
import stat
import warnings
from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from srsearch.data.bicubic import Pixels

_KINDS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")

PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT, BITS = 262, 284, 339, 258
"""Tags of TIFF."""
MIN_IS_WHITE, _SEPARATE, _UNSIGNED = 0, 2, 1

_FEWEST_BITS = 15
"""Cameras and instruments write 10, 12 or 14 bits into 16; so nothing tells such an image from a very dark one."""


class UnusablePhotoError(Exception):
    """A file cannot be used as a photo; the message says why."""


def decode(file: Path, *, max_pixels: int) -> Pixels:
    """An image file as uint8 (h, w, 3), RGB.

    Grey becomes RGB, transparency is dropped, 16 bits become 8, EXIF orientation is applied; of several frames the
    first is read.

    Args:
        file: The file.
        max_pixels: Larger images are not decoded.

    Raises:
        UnusablePhotoError: Unreadable, damaged, no image, too large, or of a kind whose colours are not known.
    """
    with opened(file, max_pixels=max_pixels) as image:
        return _rgb(image)


def decode_bytes(content: bytes, *, max_pixels: int) -> Pixels:
    """An encoded image as uint8 (h, w, 3), RGB; see `decode`.

    Raises:
        UnusablePhotoError: As for `decode`.
    """
    with opened(BytesIO(content), max_pixels=max_pixels) as image:
        return _rgb(image)


@contextlib.contextmanager
def opened(source: Path | BytesIO, *, max_pixels: int, kinds: Collection[str] | None = None) -> Iterator[Image.Image]:
    """Open an image. What goes wrong in the context becomes an `UnusablePhotoError`.

    Args:
        source: A file, or its content.
        max_pixels: Larger images are not decoded.
        kinds: The kinds of files that are read, by Pillow's names; None: all that Pillow reads.

    Raises:
        UnusablePhotoError: Unreadable, damaged, no image or too large.
    """
    try:
        if isinstance(source, Path) and not stat.S_ISREG(source.stat().st_mode):
            raise UnusablePhotoError("is not a file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata and size: Pillow raises an error for what matters
            with Image.open(source, formats=None if kinds is None else list(kinds)) as image:
                if image.width * image.height > max_pixels:
                    raise UnusablePhotoError(f"{image.width}x{image.height} is over {max_pixels // 10**6} megapixels")
                yield image
    except UnusablePhotoError:
        raise
    except Image.DecompressionBombError:
        raise UnusablePhotoError(f"is over {max_pixels // 10**6} megapixels") from None
    except MemoryError:
        raise UnusablePhotoError("is too large for the memory that is free") from None
    except UnidentifiedImageError as error:
        raise UnusablePhotoError(_unidentified(source)) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files (SyntaxError, struct.error)
        if isinstance(error, OSError) and error.strerror:
            raise UnusablePhotoError(f"cannot be read: {error.strerror}") from error
        raise UnusablePhotoError(f"damaged: {_first_line(error)}") from error


def _unidentified(source: Path | BytesIO) -> str:
    """Why Pillow takes a file for no image."""
    with source.open("rb") if isinstance(source, Path) else BytesIO(source.getbuffer()) as content:
        head = content.read(16)
        if not head:
            return "is an empty file"
        for kind in _KINDS:
            factory, accept = Image.OPEN[kind]
            if accept is None or not accept(head):
                continue
            content.seek(0)
            try:
                factory(content, "")
            except Exception as error:
                why = _first_line(error)
                known = not re.search("unknown|unsupported|not supported", why, re.IGNORECASE)
                return (
                    f"damaged {kind}: {why}"
                    if known
                    else f"a kind of {kind} that cannot be read: {why}; save it as 8-bit RGB"
                )
    return "damaged, or not an image"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _rgb(image: Image.Image) -> Pixels:
    # Loading an image forgets these.
    tags = getattr(image, "tag_v2", {})
    encoding = str([each[3] for each in getattr(image, "tile", [])])
    bits = tags.get(BITS, (8,))
    check_samples(image, tags)
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        # Pillow's own conversion of 16-bit grey clips at 255 instead of scaling.
        deep = np.asarray(upright).astype(np.int64)
        most = 2 ** bits[0] - 1 if 8 < bits[0] < 16 else 65535
        _check_range(int(deep.max()), most)
        deep = most - deep if tags.get(PHOTOMETRIC) == MIN_IS_WHITE else deep
        grey = np.clip((deep * 255 + most // 2) // most, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if upright.mode in ("P", "PA", "La", "RGBa"):
        upright = upright.convert("LA" if upright.mode == "La" else "RGBA")
    if ";16" in encoding:  # Pillow keeps only the upper 8
        colours = 1 if upright.mode == "LA" else 3  # before alpha
        _check_range(256 * int(np.asarray(upright)[..., :colours].max()) + 255, 65535)
    return np.array(upright.convert("RGB"))


def check_samples(image: Image.Image, tags: dict[int, object]) -> None:
    """Whether the values of the pixels have a range and a meaning that are known.

    Raises:
        UnusablePhotoError: They have not.
    """
    formats = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))
    if image.mode == "F":
        raise UnusablePhotoError("floating-point pixels have no known range")
    if image.mode == "I" and image.format != "PNG":
        raise UnusablePhotoError("32-bit or signed pixels have no known range")
    if isinstance(formats, tuple) and set(formats) != {_UNSIGNED}:
        raise UnusablePhotoError("signed pixels have no known range")
    if image.mode in ("LAB", "HSV"):
        raise UnusablePhotoError(f"{image.mode} colours cannot be converted here: save it as RGB")
    bits = tags.get(BITS, (8,))
    if tags.get(_PLANAR) == _SEPARATE and isinstance(bits, tuple) and len(bits) > 1 and bits[0] > 8:
        raise UnusablePhotoError("colours in planes of more than 8 bits cannot be read: save it as 8-bit RGB")


def _check_range(highest: int, most: int) -> None:
    if most == 65535 and highest < 2 ** (_FEWEST_BITS - 1):
        raise UnusablePhotoError(
            f"16-bit pixels up to {highest} have no known range (12 bits in 16, perhaps): save it with 8 bits"
        )
