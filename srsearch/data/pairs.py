"""Training data: photos and their LR images, split by photo into training and validation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from srsearch.data.bicubic import Pixels, crop_to_multiple, downscale
from srsearch.data.photos import Photo, builtin_photos, center_crop, read_folder, shuffled
from srsearch.errors import InputError
from srsearch.text import well_formed

BUILTIN = "builtin"
"""The source that stands for the photographs installed with scikit-image and scikit-learn."""
BUILTIN_VALIDATION = ("chelsea", "coffee", "china")
"""The built-in photos for validation: fur, smooth surfaces with sharp edges, and fine regular detail."""

_PHOTO_PIXELS = 1_000_000
_TRAINING_PIXELS = 64_000_000
_VALIDATION_PHOTOS = 10
_VALIDATION_PIXELS = 1_500_000
"""Limit for all validation photos together: validating a network must take much less time than training it."""
_VALIDATION_PHOTO_PIXELS = 400_000


@dataclass(frozen=True)
class Pair:
    """A photo and its LR image.

    Attributes:
        name: The name of the photo.
        hr: uint8 (scale * h, scale * w, 3), RGB.
        lr: uint8 (h, w, 3), RGB.
        grey: Whether the file of the photo has one channel.
    """

    name: str
    hr: Pixels
    lr: Pixels
    grey: bool = False

    def damage(self) -> str | None:
        """What is wrong with the pixels, if they lie in a file and are no longer what was written; None if nothing."""
        return None


@dataclass(frozen=True)
class TrainingData:
    """The pairs on which networks are trained and validated at a scale; no photo is on both sides.

    Attributes:
        name: ``builtin``, or the folder as it was given.
        scale: Integer factor.
        train: Pairs to train on.
        validation: Pairs to validate with.
        further: Pairs of the same photos at other scales, which multi-scale networks are trained on, too.
        fingerprint: SHA-256 of names, split, scales and every pixel: equal for equal data on every machine.
        description: Source, photo names and pixel counts of both sides, as plain JSON.
    """

    name: str
    scale: int
    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    further: Mapping[int, tuple[Pair, ...]] = field(default_factory=dict)
    fingerprint: str = field(init=False)
    description: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", _fingerprint(self))
        object.__setattr__(self, "description", _description(self))

    @property
    def by_scale(self) -> dict[int, tuple[Pair, ...]]:
        """The pairs to train on at each scale, ascending."""
        pairs = {self.scale: self.train, **self.further}
        return {scale: pairs[scale] for scale in sorted(pairs)}


def make_pair(photo: Photo, scale: int) -> Pair:
    """A photo, cropped to a multiple of the scale, with its LR image."""
    hr = np.ascontiguousarray(crop_to_multiple(photo.pixels, scale))
    return Pair(photo.name, hr, downscale(hr, scale))


def load_training_data(
    source: str | Path,
    scale: int,
    *,
    patch: int,
    warn: Callable[[str], None] = lambda message: None,
    further: Iterable[int] = (),
) -> TrainingData:
    """Loads the photos of a source, splits them, and makes their LR images.

    A folder is split by photo: ordered by the SHA-256 of their names, the first tenth (at least one, at most ten)
    validate and the rest train. Of several files with the same pixels one is used. Larger photos are cropped to their
    center: training photos to a megapixel, validation photos to 0.4 megapixels (1.5 together). At most 64 megapixels
    are read.

    Args:
        source: ``builtin``, a folder of images, or a cache from `srsearch data prepare`.
        scale: Integer factor.
        patch: Side of a training patch in LR pixels; photos that do not hold one are skipped.
        warn: Receives messages about photos that were skipped, cropped or left out.
        further: Other scales to make training pairs for, of the photos that hold a patch at each scale.

    Raises:
        InputError: The folder is missing, or fewer than two of its photos can be used.
    """
    others = sorted({*further} - {scale})
    largest = max([scale, *others])
    if str(source) == BUILTIN:
        photos = builtin_photos()
        train = [photo for photo in photos if photo.name not in BUILTIN_VALIDATION]
        validation = [photo for photo in photos if photo.name in BUILTIN_VALIDATION]
    else:
        train, validation = _split_folder(source, min_side=patch * largest, warn=warn)
    smallest = min(train, key=lambda photo: min(photo.pixels.shape[:2]))
    most = min(smallest.pixels.shape[:2]) // largest
    if patch > most:
        raise InputError(
            f"proxy: patch: {patch} LR pixels are too many for x{largest}: {smallest.name} holds at most {most}"
        )
    return TrainingData(
        name=str(source),
        scale=scale,
        train=tuple(make_pair(photo, scale) for photo in train),
        validation=tuple(make_pair(photo, scale) for photo in validation),
        further={other: tuple(make_pair(photo, other) for photo in train) for other in others},
    )


def _split_folder(source: str | Path, *, min_side: int, warn: Callable[[str], None]) -> tuple[list[Photo], list[Photo]]:
    read = read_folder(
        source, min_side=min_side, warn=warn, max_photo_pixels=_PHOTO_PIXELS, max_pixels=_TRAINING_PIXELS
    )
    if len(read) < 2:
        raise InputError(
            f"the data folder {str(source)!r} has one usable photo ({read[0].name}); "
            "two are needed, one to train on and another to validate with"
        )
    photos = {photo.name: photo for photo in read}
    order = shuffled(photos)
    count = min(max(len(order) // 10, 1), _VALIDATION_PHOTOS)
    limit = min(_VALIDATION_PIXELS // count, _VALIDATION_PHOTO_PIXELS)
    train = [photos[name] for name in sorted(order[count:])]
    validation = [Photo(name, center_crop(photos[name].pixels, limit, min_side)) for name in sorted(order[:count])]
    return train, validation


def _fingerprint(data: TrainingData) -> str:
    digest = hashlib.sha256(f"training data 1, scale {data.scale}".encode())
    for side, pairs in (("train", data.train), ("validation", data.validation)):
        for pair in pairs:
            digest.update(repr((side, pair.name, pair.hr.shape)).encode())
            digest.update(pair.hr.tobytes())
    for scale, pairs in data.further.items():
        digest.update(f"trained at scale {scale}, too".encode())
        for pair in pairs:
            digest.update(repr((pair.name, pair.hr.shape)).encode())
            digest.update(pair.hr.tobytes())
    return digest.hexdigest()


def _description(data: TrainingData) -> dict[str, Any]:
    def side(pairs: Sequence[Pair]) -> dict[str, Any]:
        return {
            "photos": [well_formed(pair.name) for pair in pairs],
            "pixels": sum(pair.hr.size // 3 for pair in pairs),
        }

    return {
        "source": well_formed(data.name),
        "scale": data.scale,
        **({"trained_scales": list(data.by_scale)} if data.further else {}),
        "train": side(data.train),
        "validation": side(data.validation),
    }
