"""Reads photographs: those that come with scikit-image and scikit-learn, and those in a folder."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from srsearch.data.bicubic import Pixels
from srsearch.data.cache_index import cache_of, cached_photos
from srsearch.data.copies import Sizes
from srsearch.data.decoding import UnusablePhotoError, decode
from srsearch.data.files import image_files, lr_files, named
from srsearch.errors import InputError, WorkError
from srsearch.text import well_formed

_MAX_PIXELS = 120_000_000
"""Larger files are not opened: decoding one would need more memory than the whole training."""

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
            return decode(file, max_pixels=_MAX_PIXELS)
    raise WorkError(f"the photo {name!r} that comes with {project} is missing: reinstall {project}")


def read_folder(
    path: str | Path,
    *,
    min_side: int,
    warn: Callable[[str], None],
    max_photo_pixels: int | None = None,
    max_pixels: int | None = None,
) -> tuple[Photo, ...]:
    """The photos in a folder and its subfolders, or in a cache, without duplicates, in the order of :func:`shuffled`.

    Grey photos become RGB, transparency is dropped, 16 bits become 8, EXIF orientation is applied; of several frames
    the first is read, and of several files with the same pixels one. LR images of other photos are left out. Hidden
    files and folders are skipped; links are followed.

    A cache from `srsearch data prepare` gives the photos of its folder, but for those that it skipped.

    Args:
        path: The folder; that of a cache; or one that holds nothing but a cache, whose images are gone.
        min_side: Smallest length of the shorter side in pixels.
        warn: Receives messages that name skipped files (unreadable, damaged, too small) and say what was cropped or
            left out.
        max_photo_pixels: A larger photo is cropped to its center.
        max_pixels: Reading stops once the photos have this many pixels together.

    Raises:
        InputError: There is no such folder, or no photo in it can be used; a cache is damaged, or its images have
            changed since it was prepared.
    """
    files, lr, skipped = _files(path, warn)
    photos: dict[str, Pixels] = {}
    sizes = Sizes()
    seen: set[bytes] = set()
    opened, copies, held = len(skipped), 0, 0
    cropped: set[str] = set()
    for name in shuffled(files):
        if max_pixels is not None and held >= max_pixels:
            warn(f"{len(photos)} of the {len(files)} images in {str(path)!r} are used: more would need too much memory")
            break
        opened += 1
        try:
            whole = _open(files[name], min_side=min_side)
        except UnusablePhotoError as problem:
            skipped.append(f"{well_formed(name)} ({problem})")
            continue
        digest = hashlib.sha256(repr(whole.shape).encode() + whole.tobytes()).digest()
        if digest in seen:
            copies += 1
            continue
        seen.add(digest)
        added, smaller = sizes.add(name, whole)
        lr += smaller if added else [name]
        for each in smaller:
            held -= photos.pop(each).size // 3
        if not added:
            continue
        photos[name] = center_crop(whole, max_photo_pixels, min_side) if max_photo_pixels else whole
        held += photos[name].size // 3
        if photos[name] is not whole:
            cropped.add(name)
    _report_skipped(path, sorted(skipped), opened, warn)
    if copies:
        warn(f"left out {copies} copies of other photos in {str(path)!r}")
    if lr:
        examples = named(map(well_formed, sorted(lr)), 3)
        warn(f"left out {len(lr)} smaller copies (LR images) of other photos in {str(path)!r}: {examples}")
    if cut := len(cropped & photos.keys()):
        warn(f"cropped {cut} large photos in {str(path)!r} to their center")
    return tuple(Photo(name, pixels) for name, pixels in photos.items())


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
    if len(skipped) == total:
        raise InputError(f"no image in {str(path)!r} can be used: {named(skipped)}")
    warn(f"skipped {len(skipped)} of {total} images in {str(path)!r}: {named(skipped)}")


def _files(path: str | Path, warn: Callable[[str], None]) -> tuple[dict[str, Path | Pixels], list[str], list[str]]:
    """Files, or pixels from a cache, by name; the names of LR images that are left out; and what cannot be used."""
    try:
        files = image_files(path, warn)
    except InputError:
        cache = cache_of(path) if str(path) else None
        if cache is None:
            raise
        photos, skipped = cached_photos(cache)
        return dict(photos), [], list(skipped)
    lr = lr_files(files)
    return {name: file for name, file in files.items() if name not in lr}, lr, []


def _open(file: Path | Pixels, *, min_side: int) -> Pixels:
    """One photo as uint8 (h, w, 3).

    Raises:
        UnusablePhotoError: It cannot be decoded (see `decode`), or a side is below ``min_side`` pixels.
    """
    # A copy of what is mapped: pixels outlive their file.
    pixels = decode(file, max_pixels=_MAX_PIXELS) if isinstance(file, Path) else file.copy()
    height, width = pixels.shape[:2]
    if min(height, width) < min_side:
        raise UnusablePhotoError(f"{width}x{height} is smaller than {min_side}x{min_side}")
    return pixels
