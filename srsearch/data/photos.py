"""Reads photographs: those that come with scikit-image and scikit-learn, and those in a folder."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from srsearch.data.bicubic import Pixels
from srsearch.errors import InputError, WorkError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_MAX_PIXELS = 120_000_000
"""Larger files are not opened: decoding one would need more memory than the whole training."""
_NAMED = 50
"""How many skipped files the warning names; the rest are counted."""

_BUILTIN = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}


@dataclass(frozen=True)
class Photo:
    """An image and its name.

    Attributes:
        name: Unique among the photos it was read with; in a folder, its path there with ``/``.
        pixels: uint8 (h, w, 3), RGB.
    """

    name: str
    pixels: Pixels


def builtin_photos() -> tuple[Photo, ...]:
    """The seven colour photographs that are installed with scikit-image and scikit-learn; no network is used.

    Raises:
        WorkError: A package or its file is missing.
    """
    # The files are read directly: importing scikit-learn for two of them takes a second and 100 MB.
    return tuple(Photo(name, _builtin_pixels(name, *where)) for name, where in _BUILTIN.items())


def _builtin_pixels(name: str, package: str, path: str) -> Pixels:
    project = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package]
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    for folder in folders:
        file = Path(folder) / path
        if file.is_file():
            return _read(file)
    raise WorkError(f"the photo {name!r} that comes with {project} is missing: reinstall {project}")


def read_folder(
    path: str | Path,
    *,
    min_side: int,
    warn: Callable[[str], None],
    max_photo_pixels: int | None = None,
    max_pixels: int | None = None,
) -> tuple[Photo, ...]:
    """The photos in a folder and its subfolders, without duplicates, in the order of :func:`shuffled`.

    Grey photos become RGB, transparency is dropped, 16 bits become 8, EXIF orientation is applied; of several frames
    the first is read, and of several files with the same pixels one. Hidden files and folders are skipped.

    Args:
        path: The folder.
        min_side: Smallest length of the shorter side in pixels.
        warn: Receives messages that name skipped files (damaged, or too small) and say what was cropped or left out.
        max_photo_pixels: A larger photo is cropped to its center.
        max_pixels: Reading stops once the photos have this many pixels together.

    Raises:
        InputError: There is no such folder, or no photo in it can be used.
    """
    files = dict(image_files(path))
    photos: list[Photo] = []
    seen: set[bytes] = set()
    skipped: list[str] = []
    cut = held = opened = 0
    for name in shuffled(files):
        if max_pixels is not None and held >= max_pixels:
            warn(f"{len(photos)} of the {len(files)} images in {str(path)!r} are used: more would need too much memory")
            break
        opened += 1
        try:
            whole = _open(files[name], min_side=min_side)
        except UnusablePhotoError as problem:
            skipped.append(f"{name} ({problem})")
            continue
        digest = hashlib.sha256(repr(whole.shape).encode() + whole.tobytes()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        pixels = center_crop(whole, max_photo_pixels, min_side) if max_photo_pixels else whole
        cut += pixels is not whole
        held += pixels.size // 3
        photos.append(Photo(name, pixels))
    _report_skipped(path, sorted(skipped), opened, warn)
    if opened > len(skipped) + len(photos):
        warn(f"left out {opened - len(skipped) - len(photos)} copies of other photos in {str(path)!r}")
    if cut:
        warn(f"cropped {cut} large photos in {str(path)!r} to their center")
    return tuple(photos)


def shuffled(names: Iterable[str]) -> list[str]:
    """Names ordered by their SHA-256: unrelated to their meaning, and the same on every machine."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest())


def center_crop(pixels: Pixels, limit: int, min_side: int) -> Pixels:
    """The center of an image, with about its proportions and ``limit`` pixels, and no side shorter than ``min_side``.

    An image within the limit is returned as it is.
    """
    height, width = pixels.shape[:2]
    if height * width <= limit:
        return pixels
    shrink = math.sqrt(limit / (height * width))
    rows, columns = (min(max(int(side * shrink), min_side), side) for side in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    # A copy: a view would keep the whole photo in memory.
    return pixels[top : top + rows, left : left + columns].copy()


def _report_skipped(path: str | Path, skipped: list[str], total: int, warn: Callable[[str], None]) -> None:
    if not skipped:
        return
    named = "; ".join(skipped[:_NAMED])
    if len(skipped) > _NAMED:
        named += f"; and {len(skipped) - _NAMED} more"
    if len(skipped) == total:
        raise InputError(f"no image in {str(path)!r} can be used: {named}")
    warn(f"skipped {len(skipped)} of {total} images in {str(path)!r}: {named}")


def image_files(path: str | Path) -> list[tuple[str, Path]]:
    """Names and paths of a folder's image files, ordered by name.

    Raises:
        InputError: There is no such folder, it cannot be read, or it holds no image file.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(f"the data folder {str(path)!r} {problem}; give a folder of images, or 'builtin'")
    try:
        images = [(file.relative_to(folder), file) for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES]
    except OSError as error:
        raise InputError(f"the data folder {str(path)!r} cannot be read: {error.strerror}") from error
    visible = [(name, file) for name, file in images if not any(part.startswith(".") for part in name.parts)]
    files = sorted((name.as_posix(), file) for name, file in visible if file.is_file())
    if not files:
        kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise InputError(f"the data folder {str(path)!r} holds no images ({kinds})")
    return files


class UnusablePhotoError(Exception):
    """A file cannot be used as a photo; the message says why."""


def _open(file: Path, *, min_side: int) -> Pixels:
    """One photo as uint8 (h, w, 3).

    Raises:
        UnusablePhotoError: Damaged, no image, of an unknown kind, too large, or a side below ``min_side`` pixels.
    """
    try:
        pixels = _read(file)
    except UnusablePhotoError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files (SyntaxError, struct.error)
        raise UnusablePhotoError(f"damaged, or not an image: {type(error).__name__}") from error
    height, width = pixels.shape[:2]
    if min(height, width) < min_side:
        raise UnusablePhotoError(f"{width}x{height} is smaller than {min_side}x{min_side}")
    return pixels


def _read(file: Path) -> Pixels:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata and size: Pillow raises an error for what matters
        with Image.open(file) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise UnusablePhotoError(f"{image.width}x{image.height} is over {_MAX_PIXELS // 10**6} megapixels")
            return _rgb(image)


def _rgb(image: Image.Image) -> Pixels:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        # 16-bit grey: Pillow's own conversion clips at 255 instead of scaling.
        deep = np.asarray(upright).astype(np.int64)
        grey = np.clip((deep * 255 + 32767) // 65535, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if upright.mode == "F":
        raise UnusablePhotoError("floating-point pixels have no known range")
    if upright.mode in ("P", "PA"):
        upright = upright.convert("RGBA")
    return np.array(upright.convert("RGB"))
