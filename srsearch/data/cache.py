"""A cache of decoded pairs in a few large files that are mapped into memory, so that training opens them at once.

A cache is a folder:

- ``hr.rgb``: the HR images one after another, uint8 (h, w, 3) each.
- ``lr_x4.rgb``: the same for the LR images of a scale; one file for each scale.
- ``index.json``: names, sizes, places and the SHA-256 of each image, and what the cache was made from. It is written
  last; a cache without it is unfinished, and preparing it again goes on where it ended (``unfinished.jsonl``).
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from srsearch.data.bicubic import Pixels, crop_to_multiple
from srsearch.data.cache_index import (
    FORMAT,
    HR,
    INDEX,
    cache_of,
    digest,
    image_at,
    mapped,
    read_index,
    size_of,
    usable_index,
)
from srsearch.data.decoding import UnusablePhotoError
from srsearch.data.files import named
from srsearch.data.layouts import Layout, PairFile
from srsearch.data.pairs import Pair
from srsearch.data.patches import PatchSampler, Place
from srsearch.errors import InputError, WorkError
from srsearch.files import write_whole
from srsearch.text import well_formed

_UNFINISHED = "unfinished.jsonl"
_PIECE = 2**20


def _lr(scale: int) -> str:
    return f"lr_x{scale}.rgb"


@dataclass(frozen=True)
class CachedPair(Pair):
    """A pair whose pixels are views of a cache's files.

    Attributes:
        parts: File, place and length of each of its images, as they were hashed.
        sha256: Their hash.
    """

    parts: tuple[tuple[Path, int, int], ...] = ()
    sha256: str = ""

    def damage(self) -> str | None:
        """What is wrong with the pixels in the cache; None if they are what was written.

        The files are read, not their views: a page of a view that cannot be read ends the process.
        """
        digest = hashlib.sha256()
        try:
            for path, at, length in self.parts:
                with path.open("rb", buffering=0) as file:
                    file.seek(at)
                    while length > 0:
                        piece = file.read(min(length, _PIECE))
                        if not piece:
                            return f"{path} is too short"
                        digest.update(piece)
                        length -= len(piece)
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
        return None if digest.hexdigest() == self.sha256 else "its pixels in the cache are not what was written"


@dataclass(frozen=True)
class CachePlan:
    """What preparing a cache takes.

    Attributes:
        images: Number of images.
        bytes: Size of the cache, by the headers of the HR files.
        free: Bytes that are free where it will lie.
    """

    images: int
    bytes: int
    free: int


@dataclass(frozen=True)
class Prepared:
    """What preparing a cache has done.

    Attributes:
        folder: The cache.
        images: Number of images in it.
        bytes: Its size.
        decoded: Number of images that were decoded now.
        reused: Number of images that were there already, and have the right hash.
        skipped: Images that cannot be used, with the reason.
    """

    folder: Path
    images: int
    bytes: int
    decoded: int
    reused: int
    skipped: tuple[str, ...]


def plan(layouts: Sequence[Layout], cache: Path) -> CachePlan:
    """Say how large a cache will be. Only the headers of images are read.

    Args:
        layouts: The layout of the folder at each scale, see `recognise`.
        cache: The folder of the cache, which need not exist.
    """
    hr = sum(each.hr.pixels() for each in layouts[0].pairs)
    size = sum(3 * hr // layout.scale**2 for layout in layouts) + 3 * hr
    there = next(parent for parent in (cache, *cache.absolute().parents) if parent.exists())
    return CachePlan(len(layouts[0].pairs), size, shutil.disk_usage(there).free)


def prepare(
    layouts: Sequence[Layout],
    cache: Path,
    *,
    threads: int = 1,
    done: Callable[[int, int], None] = lambda images, total: None,
) -> Prepared:
    """Make a cache, or finish one. What is there already is verified by its hash, and decoded again if that is wrong.

    An image is skipped if it cannot be used at one of the scales. Images are decoded in several threads, in order, and
    appended to the files.

    Args:
        layouts: The layout of the folder at each scale, see `recognise`.
        cache: The folder of the cache; it is created.
        threads: Number of threads.
        done: Called after each image with the number of images that are done and their total.

    Raises:
        InputError: The HR images of the scales differ, or no image can be used.
        WorkError: Too little space, a file cannot be written, or another process is preparing the cache.
        OSError: The folder cannot be written.
    """
    _check_same_hr(layouts)
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(cache / "lock", timeout=0):
            return _prepare(layouts, cache, threads, done)
    except Timeout:
        raise WorkError(f"another process is preparing {cache}") from None


def _prepare(layouts: Sequence[Layout], cache: Path, threads: int, done: Callable[[int, int], None]) -> Prepared:
    source = _source(layouts)
    lines = _finished(cache, source)
    valid = _verified(cache, lines, [layout.scale for layout in layouts], threads)
    missing = plan(layouts, cache).bytes - sum(_length(line) for line in valid)
    free = (
        shutil.disk_usage(cache).free
        + sum(each.stat().st_size for each in cache.glob("*.rgb"))
        - sum(_length(line) for line in valid)
    )
    if missing > free:
        raise WorkError(f"{cache}: the cache needs {missing / 1e9:.1f} GB more, and {free / 1e9:.1f} GB are free")
    reused = sum("skipped" not in line for line in valid)
    if len(valid) < len(layouts[0].pairs):
        (cache / INDEX).unlink(missing_ok=True)
        valid += _append(layouts, cache, source, valid, threads, done)
    images = [line for line in valid if "skipped" not in line]
    skipped = tuple(f"{line['name']} ({line['skipped']})" for line in valid if "skipped" in line)
    if not images:
        raise InputError(f"no image in {layouts[0].folder} can be used: {named(skipped)}")
    content = {"format": FORMAT, **source, "lines": valid}
    text = json.dumps(content, indent=0)
    write_whole(cache / INDEX, json.dumps({"sha256": digest(text.encode()), "content": content}, indent=0))
    (cache / _UNFINISHED).unlink(missing_ok=True)
    return Prepared(cache, len(images), sum(map(_length, images)), len(images) - reused, reused, skipped)


def open_cache(cache: str | Path, scale: int) -> tuple[Pair, ...]:
    """Open a finished cache. The arrays of its pairs are views of mapped files: nothing is read before it is used.

    Args:
        cache: The folder of the cache, or the folder of images in which it lies.
        scale: One of the scales that it was prepared for.

    Raises:
        InputError: There is no finished cache, it lacks the scale, it is damaged, or its images have changed since.
    """
    folder = cache_of(cache)
    if folder is None:
        raise InputError(f"{cache}: no finished cache; make one with: srsearch data prepare {cache} --scale {scale}")
    content = usable_index(folder)
    if scale not in content["scales"]:
        there = ", ".join(f"x{each}" for each in content["scales"])
        raise InputError(
            f"{folder} has no LR images at x{scale}, only at {there}; prepare it with --scale for each scale"
        )
    images = [line for line in content["lines"] if "skipped" not in line]
    hr, lr = mapped(folder / HR), mapped(folder / _lr(scale))
    pairs = []
    for line in images:
        (height, width), (rows, columns) = line["hr"], line["lr"][str(scale)]
        whole = image_at(folder, hr, line["at"]["hr"], height, width)
        small = image_at(folder, lr, line["at"][str(scale)], rows, columns)
        parts = [(folder / HR, line["at"]["hr"], size_of(line, "hr"))]
        parts += [(folder / _lr(each), line["at"][str(each)], size_of(line, str(each))) for each in content["scales"]]
        cropped = crop_to_multiple(whole, scale)
        pairs.append(CachedPair(line["name"], cropped, small, parts=tuple(parts), sha256=line["sha256"]))
    return tuple(pairs)


class CachedPatchSampler(PatchSampler):
    """Draws patches like `PatchSampler`, from a cache that may be larger than memory.

    A photo whose pixels are not what was written to the cache is skipped: patches come from the next one instead. It is
    found before its first patch is cut, so that the batches depend on nothing but the seed and the damage.

    While a network trains on a batch, a thread draws the next one: it verifies the photos that are new, and has the
    system read the pages of the patches.

    Pages of the cache that patches were cut from count as memory of the process until they are given back, which it
    does each time when about ``resident`` bytes were touched. They stay in the system's page cache.

    Args:
        pairs: From `open_cache`; pairs in memory work, too.
        patch: Side of an LR patch in pixels.
        batch: Number of patches in a batch.
        scale: HR pixels per LR pixel along a side.
        seed: Seed of the sampler's own generator.
        device: Device of the batches.
        resident: Bytes of the cache to keep in the process.
        augmentation: As for `PatchSampler`.
        part: As for `PatchSampler`.
        skip: Receives the name of each photo that is skipped, and what is wrong with it.

    Raises:
        ValueError: As for `PatchSampler`.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        patch: int,
        batch: int,
        scale: int,
        seed: int,
        device: str | torch.device = "cpu",
        resident: int = 2**29,
        *,
        augmentation: str = "dihedral",
        part: tuple[int, int] = (0, 1),
        skip: Callable[[str, str], None] = lambda name, reason: None,
    ) -> None:
        super().__init__(pairs, patch, batch, scale, seed, device, augmentation=augmentation, part=part)
        self._pairs, self._skip = pairs, skip
        self._sound: dict[int, bool] = {}
        self._damaged: list[tuple[str, str]] = []
        self._regions = [(_region(pair.lr), _region(pair.hr)) for pair in pairs]
        self._maps = {id(each.file): each.file for regions in self._regions for each in regions if each is not None}
        # The system maps 16 pages around each that is touched. A row of a patch lies in a page of its own.
        rows = patch * (scale + 1) * batch
        self._batches_kept = max(resident // (rows * 2 * mmap.PAGESIZE), 1)
        self._batches = 0
        self._thread = ThreadPoolExecutor(1, "patches")
        self._ahead: tuple[Tensor, Future[list[Place]]] | None = None

    @property
    def state(self) -> Tensor:
        """As for `PatchSampler`: the batch that was drawn ahead is still to come."""
        return self._generator.get_state() if self._ahead is None else self._ahead[0]

    @state.setter
    def state(self, state: Tensor) -> None:
        if self._ahead is not None:
            wait([self._ahead[1]])
        self._ahead = None
        self._generator.set_state(state)

    def next(self) -> tuple[Tensor, Tensor]:
        """The next batch; see `PatchSampler.next`.

        Raises:
            InputError: No photo is left that can be used.
        """
        self._batches += 1
        if self._batches % self._batches_kept == 0:
            for each in self._maps.values():
                if hasattr(each, "madvise"):
                    each.madvise(mmap.MADV_DONTNEED)
        return super().next()

    def _drawn(self) -> list[Place]:
        if not self._maps:
            return super()._drawn()
        _, drawing = self._ahead or self._drawn_ahead()
        self._ahead = None
        places = drawing.result()
        while self._damaged:
            self._skip(*self._damaged.pop(0))
        self._ahead = self._drawn_ahead()
        return places

    def _drawn_ahead(self) -> tuple[Tensor, Future[list[Place]]]:
        """Begin to draw a batch; returns the state before it, too."""
        return self._generator.get_state(), self._thread.submit(self._drawn_and_read)

    def _drawn_and_read(self) -> list[Place]:
        places = super()._drawn()
        for place in places:
            for region, factor in zip(self._regions[place.photo], (1, self._scale), strict=True):
                if region is not None:
                    region.read_ahead(place.row * factor, (place.row + self._patch) * factor)
        return places

    def _place(self, photo: int, drawn: int, turn: int) -> Place:
        if self._is_sound(photo):
            return super()._place(photo, drawn, turn)
        count = len(self._pairs)
        other = next((each % count for each in range(photo + 1, photo + count) if self._is_sound(each % count)), None)
        if other is None:
            raise InputError("no image of the cache can be used any more; run srsearch data prepare again")
        first = self._first(other)
        position = (drawn - self._first(photo)) % (int(self._ends[other]) - first)
        return super()._place(other, first + position, turn)

    def _is_sound(self, photo: int) -> bool:
        if photo not in self._sound:
            pair = self._pairs[photo]
            reason = pair.damage()
            self._sound[photo] = reason is None
            if reason is not None:
                self._damaged.append((pair.name, reason))
        return self._sound[photo]


# Making ---------------------------------------------------------------------------------------------------------------


def _check_same_hr(layouts: Sequence[Layout]) -> None:
    names = [[pair.hr for pair in layout.pairs] for layout in layouts]
    if any(each != names[0] for each in names):
        scales = ", ".join(f"x{layout.scale}" for layout in layouts)
        raise InputError(
            f"{layouts[0].folder}: the HR images for {scales} are not the same; prepare a cache for each scale (--to)"
        )


def _source(layouts: Sequence[Layout]) -> dict[str, Any]:
    """What a cache is made from: equal if nothing has changed."""
    return {
        "folder": well_formed(str(layouts[0].folder.resolve())),
        "layout": layouts[0].kind,
        "scales": [layout.scale for layout in layouts],
        "files": [
            [
                [well_formed(str(file.path)), file.key, *file.stamp()]
                for file in (pairs[0].hr, *(pair.lr for pair in pairs if pair.lr is not None))
            ]
            for pairs in zip(*(layout.pairs for layout in layouts), strict=True)
        ],
    }


def _finished(cache: Path, source: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of an earlier preparation from the same source, finished or not."""
    try:
        content = read_index(cache)
        if all(content[name] == value for name, value in source.items()):
            return list(content["lines"])
    except InputError:
        pass
    lines = []
    try:
        with (cache / _UNFINISHED).open(encoding="utf-8") as file:
            if json.loads(next(file)) != json.loads(json.dumps(source)):
                return []
            for text in file:
                lines.append(json.loads(text))
    except (OSError, ValueError, StopIteration):
        pass  # a killed process leaves half a line at the end
    return lines


def _verified(cache: Path, lines: list[dict[str, Any]], scales: Sequence[int], threads: int) -> list[dict[str, Any]]:
    """The lines up to the first whose images are not what was written."""
    files = {"hr": cache / HR} | {str(scale): cache / _lr(scale) for scale in scales}
    if not lines or not all(file.is_file() for file in files.values()):
        return []
    maps = {name: mapped(file) for name, file in files.items()}

    def holds(line: dict[str, Any]) -> bool:
        if "skipped" in line:
            return True
        digest = hashlib.sha256()
        for name, content in maps.items():
            part = content[line["at"][name] : line["at"][name] + size_of(line, name)]
            if part.size != size_of(line, name):
                return False
            digest.update(part.data)
        return bool(digest.hexdigest() == line["sha256"])

    with ThreadPoolExecutor(threads) as pool:
        right = list(pool.map(holds, lines))
    return lines[: right.index(False)] if False in right else lines


def _append(
    layouts: Sequence[Layout],
    cache: Path,
    source: Mapping[str, Any],
    valid: Sequence[dict[str, Any]],
    threads: int,
    done: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """Decode the rest of the images, and append them to the files."""
    at = {"hr": 0} | {str(layout.scale): 0 for layout in layouts}
    for line in valid:
        for name in at if "skipped" not in line else ():
            at[name] = line["at"][name] + size_of(line, name)
    write_whole(cache / _UNFINISHED, "".join(json.dumps(each) + "\n" for each in (source, *valid)))
    total = len(layouts[0].pairs)
    rest = list(zip(*(layout.pairs for layout in layouts), strict=True))[len(valid) :]
    added = []
    files = {"hr": _opened(cache / HR, at["hr"])}
    files |= {str(layout.scale): _opened(cache / _lr(layout.scale), at[str(layout.scale)]) for layout in layouts}
    try:
        with (cache / _UNFINISHED).open("a", encoding="utf-8") as record:
            for decoded in _in_order(rest, threads):
                line = _written(decoded, files, at)
                record.write(json.dumps(line) + "\n")
                record.flush()
                added.append(line)
                done(len(valid) + len(added), total)
            for file in files.values():
                os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror or str(error)
        raise WorkError(
            f"{cache} cannot be written: {reason}; the {len(valid) + len(added)} images in it are kept, and preparing "
            "it again goes on"
        ) from error
    finally:
        for file in files.values():
            file.close()
    return added


def _opened(path: Path, length: int) -> BinaryIO:
    """A file to append to after ``length`` bytes; what a killed process left behind them is cut off."""
    file = path.open("r+b" if path.exists() else "w+b", buffering=0)
    file.truncate(length)
    file.seek(length)
    return file


@dataclass(frozen=True)
class _Decoded:
    name: str
    images: Mapping[str, Pixels]
    sha256: str
    skipped: str | None = None


def _in_order(pairs: Sequence[Sequence[PairFile]], threads: int) -> Iterator[_Decoded]:
    """Decoded images in their order; a few are decoded ahead."""
    with ThreadPoolExecutor(threads) as pool:
        ahead: list[Future[_Decoded]] = []
        try:
            for each in pairs:
                ahead.append(pool.submit(_decoded, each))
                if len(ahead) > 2 * threads:
                    yield ahead.pop(0).result()
            while ahead:
                yield ahead.pop(0).result()
        finally:
            for future in ahead:
                future.cancel()


def _decoded(pairs: Sequence[PairFile]) -> _Decoded:
    name = well_formed(pairs[0].name)
    images: dict[str, Pixels] = {}
    try:
        whole = pairs[0].hr.decode()
        for each in pairs:
            pair = each.of(whole)
            images[str(each.scale)] = pair.lr
    except UnusablePhotoError as problem:
        return _Decoded(name, {}, "", well_formed(str(problem)))
    images = {"hr": whole, **images}
    digest = hashlib.sha256()
    for image in images.values():
        digest.update(image.data)
    return _Decoded(name, images, digest.hexdigest())


def _written(decoded: _Decoded, files: Mapping[str, BinaryIO], at: dict[str, int]) -> dict[str, Any]:
    """Append an image to the files. Returns its line."""
    if decoded.skipped is not None:
        return {"name": decoded.name, "skipped": decoded.skipped}
    line: dict[str, Any] = {"name": decoded.name, "at": dict(at), "sha256": decoded.sha256}
    line["hr"] = list(decoded.images["hr"].shape[:2])
    line["lr"] = {name: list(image.shape[:2]) for name, image in decoded.images.items() if name != "hr"}
    for name, image in decoded.images.items():
        view = image.data.cast("B")
        while view:  # an unbuffered file may take a part
            view = view[files[name].write(view) :]
        at[name] += image.size
    return line


def _length(line: Mapping[str, Any]) -> int:
    return 0 if "skipped" in line else sum(size_of(line, name) for name in ("hr", *line["lr"]))


# Opening --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Region:
    """Where the rows of an image lie in a mapped file: its first byte, and the bytes from one row to the next."""

    file: mmap.mmap
    start: int
    stride: int

    def read_ahead(self, first: int, end: int) -> None:
        """Have the system read the rows from ``first`` to before ``end``, without waiting for them."""
        if hasattr(self.file, "madvise"):
            begin = (self.start + first * self.stride) // mmap.PAGESIZE * mmap.PAGESIZE
            length = min(self.start + end * self.stride, len(self.file)) - begin
            self.file.madvise(mmap.MADV_WILLNEED, begin, length)


def _region(image: Pixels) -> _Region | None:
    """The region that an image is a view of; None if it is not in a mapped file."""
    base: Any = image
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if not isinstance(base, mmap.mmap):
        return None
    start = image.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data
    return _Region(base, start, image.strides[0])
