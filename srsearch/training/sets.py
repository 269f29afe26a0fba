"""The images that a full training trains and validates on: all of a folder, from a cache if there is one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from srsearch.data import BUILTIN, Pair, cache_of, load_training_data, open_cache
from srsearch.data.layouts import check_one_set, recognise
from srsearch.data.photos import shuffled
from srsearch.errors import InputError
from srsearch.text import well_formed

_LARGEST = 2**31
"""Bytes of decoded images that are read into memory; more need a cache."""
_VALIDATION_IMAGES = 10

Pairs = tuple[Pair, ...]


@dataclass(frozen=True)
class TrainingSets:
    """What a network is trained and validated on.

    Attributes:
        train: Pairs to train on, by scale.
        validation: Pairs to validate with, by scale.
        about: Folders, numbers of images and pixels, and a digest, as plain JSON.
        skipped: Names of the images that cannot be used.
    """

    train: dict[int, Pairs]
    validation: dict[int, Pairs]
    about: dict[str, Any]
    skipped: tuple[str, ...] = ()


def read_sets(
    folder: str, validation: str | None, scales: Sequence[int], *, patch: int, warn: Callable[[str], None]
) -> TrainingSets:
    """Read the images of a training. Images that cannot be used are named, counted and skipped.

    Args:
        folder: Folder of any layout, or of a cache, or ``builtin``.
        validation: Folder to validate with; None: a tenth of the training images, at most ten, chosen by their names.
        scales: The scales.
        patch: Side of an LR patch; images that do not hold one are not trained on.
        warn: Receives messages about what was skipped or cropped.

    Raises:
        InputError: A folder is missing, holds no usable image or several sets, or is too large to be read without a
            cache.
    """
    train: dict[int, Pairs] = {}
    held_out: dict[int, Pairs] = {}
    skipped: dict[str, None] = {}
    read = {} if folder == BUILTIN else {scale: _read(folder, scale, warn, skipped) for scale in scales}
    names = _held_out(read) if validation is None else {}
    for scale in scales:
        if folder == BUILTIN:
            data = load_training_data(BUILTIN, scale, patch=patch)
            train[scale], held_out[scale] = data.train, data.validation
            continue
        pairs, chosen = read[scale], names.get(scale, set())
        held_out[scale] = tuple(pair for pair in pairs if pair.name in chosen)
        rest = tuple(pair for pair in pairs if pair.name not in chosen)
        train[scale] = tuple(pair for pair in rest if min(pair.lr.shape[:2]) >= patch)
        if small := len(rest) - len(train[scale]):
            warn(f"left out {small} images of {folder} that do not hold a patch of {patch} LR pixels at x{scale}")
        if not train[scale]:
            raise InputError(f"{folder}: no image is left to train on at x{scale} with patches of {patch} LR pixels")
    if validation is not None:
        held_out = {scale: _read(validation, scale, warn, skipped, validates=True) for scale in scales}
    held_out = {scale: _sound(pairs, warn, skipped) for scale, pairs in held_out.items()}
    about = {"train": _about(folder, train), "validation": _about(validation or f"held out of {folder}", held_out)}
    return TrainingSets(train, held_out, about, tuple(skipped))


def _held_out(pairs: dict[int, Pairs]) -> dict[int, set[str]]:
    """The names of the images to validate with at each scale: the same at all scales, of those that all scales have.

    An image that is held out at one scale must not be trained on at another.
    """
    everywhere = set.intersection(*({pair.name for pair in each} for each in pairs.values())) if pairs else set()
    chosen = {}
    for scale, each in pairs.items():
        names = shuffled(pair.name for pair in each if not everywhere or pair.name in everywhere)
        chosen[scale] = set(names[: max(1, min(len(names) // 10, _VALIDATION_IMAGES))])
    return chosen


def _read(
    folder: str, scale: int, warn: Callable[[str], None], skipped: dict[str, None], *, validates: bool = False
) -> Pairs:
    if cache_of(folder) is not None:
        return open_cache(folder, scale)
    check_one_set(folder, "--validation" if validates else "--data", to_test=validates)
    layout = recognise(folder, scale, warn)
    for remark in layout.remarks:
        warn(f"{folder}: {remark}")
    size = sum(3 * pair.hr.pixels() for pair in layout.pairs) * (1 + 1 / scale**2)
    if size > _LARGEST:
        raise InputError(
            f"{folder}: {len(layout.pairs)} images are {size / 2**30:.1f} GiB in memory; prepare a cache first: "
            f"srsearch data prepare {folder} --scale {scale}"
        )
    pairs = tuple(layout.read(warn))
    if not pairs:
        raise InputError(f"{folder}: no image can be used")
    usable = {pair.name for pair in pairs}
    skipped.update(dict.fromkeys(each.name for each in layout.pairs if each.name not in usable))
    return pairs


def _sound(pairs: Pairs, warn: Callable[[str], None], skipped: dict[str, None]) -> Pairs:
    """The validation images that are as they were written to their cache; those to train on are checked when used."""
    damaged = {pair.name: reason for pair in pairs if (reason := pair.damage()) is not None}
    for name, reason in damaged.items():
        if name not in skipped:
            skipped[name] = None
            warn(f"skipped {well_formed(name)}, which was to validate with: {reason}")
    if len(damaged) == len(pairs):
        raise InputError("no image is left to validate with; run srsearch data prepare again")
    return tuple(pair for pair in pairs if pair.name not in damaged)


def _about(folder: str, pairs: dict[int, Pairs]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for scale, each in pairs.items():
        for pair in each:  # a few rows of each image: hashing all of a cache would take longer than its start may
            digest.update(repr((scale, pair.name, pair.hr.shape)).encode("utf-8", "surrogateescape"))
            digest.update(pair.hr[pair.hr.shape[0] // 2].tobytes())
    first = next(iter(pairs.values()))
    return {
        "folder": well_formed(folder),
        "images": len(first),
        "pixels": sum(pair.hr.size // 3 for pair in first),
        "digest": digest.hexdigest()[:16],
    }
