"""Recognises how a folder lays out HR and LR images, and reads its pairs one by one.

==============  ========================================================================================
layout          files
==============  ========================================================================================
DIV2K           ``DIV2K_train_HR/0001.png`` and ``DIV2K_train_LR_bicubic/X4/0001x4.png``
BasicSR         ``GTmod12/baby.png`` and ``LRbicx4/baby.png``
BasicSR LMDB    ``*.lmdb`` folders with ``meta_info.txt``, HR and LR (needs the package lmdb)
SelfExSR        ``image_SRF_4/img_001_SRF_4_HR.png`` and ``img_001_SRF_4_LR.png``
HR/LR pairs     ``HR/a.png`` and ``LR/a.png``, ``LR_bicubic/X4/ax4.png``, ``a_HR.png`` and ``a_LR.png``
HR images       anything else
==============  ========================================================================================
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import shlex
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from srsearch.data.bicubic import Pixels, crop_to_multiple, downscale
from srsearch.data.decoding import UnusablePhotoError, decode, decode_bytes
from srsearch.data.files import SUFFIXES, image_files, named
from srsearch.data.pairs import Pair
from srsearch.errors import InputError
from srsearch.text import well_formed

MAX_PIXELS = 120_000_000
"""Larger images are not decoded."""

_SPELLINGS = {
    "Set5": "set5",
    "Set14": "set14",
    "B100": "b100|bsd100|bsds100",
    "Urban100": "urban100",
    "Manga109": "manga109",
}

_HALF_SIZE = 512
"""The longer side of the HR images in the common ``image_SRF_2`` folder of Urban100; the test set has 1024."""


@dataclass(frozen=True)
class ImageFile:
    """An encoded image: a file, or an entry of an LMDB folder.

    Attributes:
        name: Its path in the folder of the set, with ``/``.
        path: The file, or the LMDB folder.
        key: Key of the entry in the LMDB folder; None for a file.
    """

    name: str
    path: Path
    key: str | None = None

    def decode(self) -> Pixels:
        """The image as uint8 (h, w, 3), RGB.

        Raises:
            UnusablePhotoError: It cannot be decoded, or has more than `MAX_PIXELS` pixels.
        """
        if self.key is None:
            return decode(self.path, max_pixels=MAX_PIXELS)
        return decode_bytes(self._content(), max_pixels=MAX_PIXELS)

    def pixels(self) -> int:
        """Number of pixels by the file's header; 0 if it cannot be read."""
        width, height = self.size()
        return width * height

    def size(self) -> tuple[int, int]:
        """Width and height by the file's header, before EXIF orientation; zeros if it cannot be read."""
        return self._header()[0]

    def has_one_channel(self) -> bool:
        """Whether the file holds grey levels instead of colours; False if it cannot be read."""
        return self._header()[1] in ("1", "L", "LA", "I", "I;16", "I;16B", "F")

    def _header(self) -> tuple[tuple[int, int], str]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                source = self.path if self.key is None else BytesIO(self._content())
                with Image.open(source) as image:
                    return image.size, image.mode
        except Exception:  # decoding it says what is wrong
            return (0, 0), ""

    def stamp(self) -> tuple[int, int]:
        """Size in bytes and time of change of the file; those of the database for an LMDB entry."""
        file = self.path if self.key is None else self.path / "data.mdb"
        try:
            status = file.stat()
        except OSError:
            return (0, 0)
        return status.st_size, status.st_mtime_ns

    def _content(self) -> bytes:
        environment = _environment(str(self.path), os.getpid())
        try:
            with environment.begin() as transaction:
                content = transaction.get(str(self.key).encode())
        except Exception as error:  # lmdb has its own error classes
            raise UnusablePhotoError(f"cannot be read: {error}") from None
        if content is None:
            raise UnusablePhotoError(f"the database has no entry {self.key!r}")
        return bytes(content)


@functools.lru_cache(maxsize=16)
def _environment(path: str, process: int) -> Any:
    """An LMDB database, opened once in a process, as its library demands."""
    try:
        lmdb = importlib.import_module("lmdb")
    except ImportError:
        raise InputError(f"{path}: reading it needs the package lmdb: pip install 'srsearch[lmdb]'") from None
    try:
        return lmdb.open(path, readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise InputError(f"{path}: not an LMDB database, or damaged: {error}") from None


@dataclass(frozen=True)
class PairFile:
    """An HR image and its LR image, not yet decoded.

    Attributes:
        name: Name of the HR image.
        scale: HR pixels per LR pixel along a side.
        hr: The HR image.
        lr: The LR image; None: it is made from the HR image by bicubic downscaling.
    """

    name: str
    scale: int
    hr: ImageFile
    lr: ImageFile | None = None

    def read(self) -> Pair:
        """Decode the pair. The HR image is cropped, at its end, to a multiple of the scale.

        Raises:
            UnusablePhotoError: An image cannot be decoded, or their sizes do not fit.
        """
        return self.of(self.hr.decode())

    def of(self, whole: Pixels) -> Pair:
        """The pair of a decoded HR image; see `read`.

        Raises:
            UnusablePhotoError: The LR image cannot be decoded, or the sizes do not fit.
        """
        hr = np.ascontiguousarray(crop_to_multiple(whole, self.scale))
        (height, width), (rows, columns) = whole.shape[:2], (side // self.scale for side in hr.shape[:2])
        if rows == 0 or columns == 0:
            raise UnusablePhotoError(f"{width}x{height} is smaller than {self.scale}x{self.scale}")
        grey = self.hr.has_one_channel()
        if self.lr is None:
            return Pair(self.name, hr, downscale(hr, self.scale), grey)
        try:
            lr = self.lr.decode()
        except UnusablePhotoError as problem:
            raise UnusablePhotoError(f"its LR image {well_formed(self.lr.name)}: {problem}") from None
        # MATLAB's imresize rounds sizes up, so that an LR image may have a row or column more.
        more_rows, more_columns = lr.shape[0] - rows, lr.shape[1] - columns
        if not (0 <= more_rows <= (height % self.scale > 0) and 0 <= more_columns <= (width % self.scale > 0)):
            raise UnusablePhotoError(
                f"its LR image is {lr.shape[1]}x{lr.shape[0]}; at x{self.scale}, HR of {width}x{height} needs "
                f"{columns}x{rows}"
            )
        return Pair(self.name, hr, np.ascontiguousarray(lr[:rows, :columns]), grey)

    def is_cropped(self, pair: Pair) -> bool:
        """Whether reading the pair cut rows or columns off, by the header of the HR file."""
        return self.hr.pixels() != pair.hr.size // 3


@dataclass(frozen=True)
class Layout:
    """The pairs of a folder at one scale, and how they lie there.

    Attributes:
        kind: Name of the layout, such as ``SelfExSR``.
        folder: The folder.
        scale: HR pixels per LR pixel along a side.
        benchmark: The test set by the folder's name, such as ``Set5``; None if it is none that papers report on.
        pairs: The pairs, ordered by name.
        remarks: What was left out and why, for the user.
    """

    kind: str
    folder: Path
    scale: int
    benchmark: str | None
    pairs: tuple[PairFile, ...]
    remarks: tuple[str, ...] = ()

    @property
    def has_lr(self) -> bool:
        """Whether LR images are read, instead of made from HR images."""
        return any(pair.lr is not None for pair in self.pairs)

    def __str__(self) -> str:
        lr = "LR images read" if self.has_lr else "LR images made by bicubic downscaling"
        count = f"{len(self.pairs)} image{'s' if len(self.pairs) > 1 else ''}"
        return f"{self.benchmark or self.folder.name or self.folder}: {self.kind}, {count} at x{self.scale}, {lr}"

    def read(self, warn: Callable[[str], None]) -> Iterator[Pair]:
        """Decode the pairs one after another. Images that cannot be used are skipped, and named at the end.

        Args:
            warn: Receives messages about skipped and cropped images.
        """
        skipped: list[str] = []
        cropped = 0
        for each in self.pairs:
            try:
                pair = each.read()
            except UnusablePhotoError as problem:
                skipped.append(f"{well_formed(each.name)} ({problem})")
                continue
            cropped += each.is_cropped(pair)
            yield pair
        if skipped:
            warn(f"skipped {len(skipped)} of {len(self.pairs)} images in {self.folder}: {named(skipped)}")
        if cropped:
            warn(f"cropped {cropped} HR images in {self.folder} so that {self.scale} divides their sides")


def recognise(folder: str | Path, scale: int, warn: Callable[[str], None] = lambda message: None) -> Layout:
    """Recognise the layout of a folder, and match its HR and LR images at a scale.

    If LR images at the scale lie there, pairs are made of them, and what has no partner is left out with a remark.
    Otherwise LR images are made from the HR images.

    Args:
        folder: The folder.
        scale: HR pixels per LR pixel along a side.
        warn: Receives a message about folders that cannot be read.

    Raises:
        InputError: There is no such folder; it holds no HR image; it is Urban100's half-size folder; or an LMDB folder
            cannot be read.
    """
    root = Path(folder).expanduser()
    images = [_described(name, file) for name, file in _files(root, scale, warn).items()]
    remarks: list[str] = []
    kind = _kind(images)
    if strange := [each for each in images if each.role == "other"]:
        remarks.append(f"left out {len(strange)} images that are neither HR nor bicubic LR: {_examples(strange)}")
    hr, lr = ([each for each in images if each.role == role] for role in ("hr", "lr"))
    if not hr or re.fullmatch(r"LRbicx\d|LR|LR_bicubic|[Xx]\d", root.resolve().name):
        raise InputError(f"{root}: holds LR images only; give the folder above it, where the HR images are, too")
    hr = _one_part(hr, remarks)
    hr_at_scale = _hr_at(hr, scale, remarks)
    _check_urban100(root, hr, hr_at_scale, scale)
    lr_at_scale = [each for each in lr if each.scale in (scale, None)]
    if lr_at_scale:
        pairs = _matched(hr_at_scale, lr_at_scale, scale, remarks)
    else:
        pairs = [PairFile(each.file.name, scale, each.file) for each in hr_at_scale]
        if lr:
            there = ", ".join(f"x{each}" for each in sorted({each.scale for each in lr if each.scale}))
            remarks.append(f"has LR images at {there} only: those at x{scale} are made from the HR images")
    if not pairs:
        raise InputError(f"{root}: no HR image has an LR image at x{scale}; {'; '.join(remarks)}")
    return Layout(kind, root, scale, benchmark_named(root), tuple(pairs), tuple(remarks))


def scales_of(folder: str | Path) -> tuple[int, ...]:
    """The scales at which a folder has LR images, ascending; empty if it has none.

    Raises:
        InputError: As for `recognise`.
    """
    root = Path(folder).expanduser()
    described = (_described(name, file) for name, file in _files(root, 4, lambda message: None).items())
    return tuple(sorted({each.scale for each in described if each.role == "lr" and each.scale is not None}))


def benchmark_named(folder: Path) -> str | None:
    """The test set that a folder's path names, the innermost first."""
    return next((name for part in reversed(folder.resolve().parts) if (name := _benchmark(part))), None)


def benchmarks_in(folder: str | Path, warn: Callable[[str], None] = lambda message: None) -> tuple[Path, ...]:
    """The test sets in a folder that holds one in each subfolder: ``Set5/``, ``Set14/``; empty if it holds none.

    Args:
        folder: The folder.
        warn: Receives a message that names the test sets, and what else holds images.
    """
    root = Path(folder).expanduser()
    sets, others = _sets_in(root)
    if sets:
        count = f"{len(sets)} test sets" if len(sets) > 1 else "a test set"
        rest = named((well_formed(each.name) for each in others), 3)
        warn(
            f"{root} holds {count}, {', '.join(well_formed(each.name) for each in sets)}"
            + (", each taken by itself" if len(sets) > 1 else "")
            + (f"; left out: {rest}" if rest else "")
        )
    return sets


def check_one_set(folder: str | Path, command: str, *, to_test: bool = False) -> None:
    """Refuse a folder that holds a test set beside other images: together they are no set to train or to validate on.

    Args:
        folder: The folder.
        command: What the user writes before a folder, for the message: ``--data``.
        to_test: Suggest a test set instead of another set.

    Raises:
        InputError: It is such a folder.
    """
    root = Path(folder).expanduser()
    sets, others = _sets_in(root)
    # Set5_LR beside Set5_HR is no other set, and a folder LR belongs to all of them.
    if not sets or len({place for each in (*sets, *others) if (place := tuple(_place(each.name)))}) < 2:
        return
    tests = ", ".join(well_formed(each.name) for each in sets)
    rest = named((well_formed(each.name) for each in others), 3)
    inside = [each for each in (*sets, *others) if each.is_dir()]
    chosen = next((each for each in inside if (each in sets) == to_test), inside[0])
    raise InputError(
        f"{root} holds {'test sets' if len(sets) > 1 else 'a test set'} ({tests})"
        + (f" and other images ({rest})" if rest else "")
        + f", which do not belong together; give one of them: {command} {shlex.quote(well_formed(str(chosen)))}"
    )


def _sets_in(root: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The test sets in a folder, one in each subfolder, and what else in it holds images or is one."""
    if not root.is_dir() or _benchmark(root.resolve().name):
        return (), ()
    inside = sorted(each for each in root.iterdir() if not each.name.startswith("."))
    holding = [each for each in inside if each.suffix.lower() in SUFFIXES or (each.is_dir() and _holds_images(each))]
    by_name = {each: _benchmark(each.name) for each in holding if each.is_dir()}
    sets = tuple(each for name in _SPELLINGS for each in holding if by_name.get(each) == name)
    return sets, tuple(each for each in holding if each not in sets)


def _benchmark(folder: str) -> str | None:
    """The test set that a folder's name means."""
    text = re.sub(r"[^a-z0-9]", "", folder.lower())
    for name, spelling in _SPELLINGS.items():
        if re.fullmatch(rf"(?:{spelling})(?:sr|hr|test|lmdb|gtmod12)*", text):
            return name
    return None


def _holds_images(folder: Path) -> bool:
    try:
        return bool(_files(folder, 4, lambda message: None))
    except InputError:
        return False


# What a file is -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Described:
    """A file with what its name says.

    Attributes:
        file: The file.
        role: ``hr``, ``lr`` or ``other``.
        photo: Equal for an HR image and its LR images.
        scale: The scale that the name says; None if it says none.
    """

    file: ImageFile
    role: str
    photo: tuple[str, str]
    scale: int | None


_SELFEXSR = re.compile(r"(.+)_SRF_(\d+)_(\w+)")
_ROLE_WORD = re.compile(r"(?i)hr\w*|gt\w*|lr\w*|lq|lowres|bic\w*|x\d|lmdb|high|low|res")
_LR_WORD = re.compile(r"(?i)lr(bic\w*|x?\d+)?|lq|lowres|x\d")
_OTHER_DEGRADATION = re.compile(r"(?i)unknown|mild|difficult|wild")


def _described(name: str, file: ImageFile) -> _Described:
    *folders, last = name.split("/")
    stem = last.rpartition(".")[0] or last
    words = [word for folder in folders for word in _split(folder)]
    place = " ".join(word.lower() for word in words if not _ROLE_WORD.fullmatch(word))
    selfex = _SELFEXSR.fullmatch(stem)
    if selfex is not None:
        role = {"HR": "hr", "LR": "lr"}.get(selfex[3], "other")
        place = re.sub(r"image srf \d+", "", place)
        return _Described(file, role, (place, selfex[1]), int(selfex[2]))
    # DIV2K writes 0002x4, and 0002x4m, x4d and x4w1 for its other degradations.
    ending = re.search(r"(?<=.)[xX]([2348])([md]|w\d)?$", stem)
    stem_words = _split(stem if ending is None else stem[: ending.start()])
    marked = [word for word in stem_words if re.fullmatch(r"(?i)lr|lq|hr|gt", word)]
    photo = " ".join(word for word in stem_words if word not in marked)
    is_lr = (
        ending is not None
        or any(_LR_WORD.fullmatch(word) for word in words)
        or any(word.lower() in ("lr", "lq") for word in marked)
    )
    if not is_lr:
        return _Described(file, "hr", (place, photo), None)
    scale = re.search(r"(?i)x(\d)(?!\d)", " ".join(folders))
    stated = int(ending[1]) if ending is not None else int(scale[1]) if scale is not None else None
    other = (ending is not None and ending[2]) or any(_OTHER_DEGRADATION.fullmatch(word) for word in words)
    return _Described(file, "other" if other else "lr", (place, photo), stated)


def _split(text: str) -> list[str]:
    """Words; ``trainLR`` has two."""
    return [word for word in re.split(r"[^\w]+|_|(?<=[a-z0-9])(?=[HL]R)", text) if word]


def _kind(images: Sequence[_Described]) -> str:
    names = [each.file.name for each in images]
    if any(each.file.key is not None for each in images):
        return "BasicSR LMDB"
    for kind, pattern in (
        ("DIV2K", r"(^|/)DIV2K_(train|valid)_HR"),
        ("BasicSR", r"(^|/)(GTmod\d+|LRbicx\d)/"),
        ("SelfExSR", r"_SRF_\d+_(HR|LR)\."),
    ):
        if any(re.search(pattern, name) for name in names):
            return kind
    return "HR/LR pairs" if any(each.role == "lr" for each in images) else "HR images"


# Finding files --------------------------------------------------------------------------------------------------------


def _files(root: Path, scale: int, warn: Callable[[str], None]) -> dict[str, ImageFile]:
    """The images of a set by name. Folders of HR images that have a folder of LR images beside them take it along."""
    own = root.resolve().name
    if (root / "meta_info.txt").is_file() and own.endswith(".lmdb"):
        beside = sorted(root.resolve().parent.glob("*.lmdb"))
        alike = [each for each in beside if _place(each.name) == _place(own)]
        return _entries(alike)
    if root.is_dir() and (inside := sorted(each for each in root.glob("*.lmdb") if (each / "meta_info.txt").is_file())):
        return _entries(inside)
    files = {name: ImageFile(name, path) for name, path in image_files(root, warn).items()}
    part = re.fullmatch(r"(DIV2K_(?:train|valid))_HR", own)
    if part is not None:
        lr = root.resolve().parent / f"{part[1]}_LR_bicubic" / f"X{scale}"
        files = {f"{own}/{name}": ImageFile(f"{own}/{name}", file.path) for name, file in files.items()}
        for name, path in image_files(lr, warn).items() if lr.is_dir() else ():
            within = f"{part[1]}_LR_bicubic/X{scale}/{name}"
            files[within] = ImageFile(within, path)
    return files


def _place(folder: str) -> list[str]:
    return [word for word in _split(folder) if not _ROLE_WORD.fullmatch(word)]


def _entries(folders: Iterable[Path]) -> dict[str, ImageFile]:
    entries = {}
    for folder in folders:
        _environment(str(folder), os.getpid())
        try:
            lines = (folder / "meta_info.txt").read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{folder / 'meta_info.txt'} cannot be read: {error}") from None
        for number, line in enumerate(filter(str.strip, lines), 1):
            form = re.fullmatch(r"(.+?)\s+\(\d+,\s*\d+,\s*\d+\)\s+\d+\s*", line)
            if form is None:
                raise InputError(
                    f"{folder / 'meta_info.txt'}:{number}: {line[:60]!r} is not of the form 'a.png (480,480,3) 1'"
                )
            entries[f"{folder.name}/{form[1]}"] = ImageFile(
                f"{folder.name}/{form[1]}", folder, os.path.splitext(form[1])[0]
            )
    if not entries:
        raise InputError("the LMDB folders have no entries in their meta_info.txt")
    return entries


# Matching -------------------------------------------------------------------------------------------------------------


def _examples(images: Sequence[_Described]) -> str:
    return named((well_formed(each.file.name) for each in images), 3)


def _one_part(hr: list[_Described], remarks: list[str]) -> list[_Described]:
    """The training images of DIV2K, if those for validation lie beside them."""
    valid = [each for each in hr if "DIV2K_valid" in each.file.name]
    if not valid or len(valid) == len(hr):
        return hr
    remarks.append(f"left out {len(valid)} images for validation; to use them, give the folder DIV2K_valid_HR")
    return [each for each in hr if "DIV2K_valid" not in each.file.name]


def _hr_at(hr: list[_Described], scale: int, remarks: list[str]) -> list[_Described]:
    at_scale = [each for each in hr if each.scale in (scale, None)]
    if at_scale:
        return at_scale
    most = max(each.scale or 0 for each in hr)
    remarks.append(f"has no HR images for x{scale}: those for x{most} are used")
    return [each for each in hr if each.scale == most]


def _matched(hr: Sequence[_Described], lr: Sequence[_Described], scale: int, remarks: list[str]) -> list[PairFile]:
    partners: defaultdict[tuple[str, str], list[_Described]] = defaultdict(list)
    for each in lr:
        partners[each.photo].append(each)
    # With x4 in the name preferred to none.
    for candidates in partners.values():
        candidates.sort(key=lambda image: image.scale is None)
    photos: defaultdict[tuple[str, str], list[_Described]] = defaultdict(list)
    for each in hr:
        photos[each.photo].append(each)
    pairs, alone, unclear = [], [], []
    for photo, images in photos.items():
        if photo not in partners:
            alone += images
        elif len(images) > 1:
            unclear += images
        else:
            pairs.append(PairFile(images[0].file.name, scale, images[0].file, partners[photo][0].file))
    orphans = [each for photo, images in partners.items() if photo not in photos for each in images]
    if alone:
        remarks.append(f"left out {len(alone)} HR images without an LR image at x{scale}: {_examples(alone)}")
    if orphans:
        remarks.append(f"left out {len(orphans)} LR images without an HR image: {_examples(orphans)}")
    if unclear:
        remarks.append(f"left out {len(unclear)} HR images that one LR image may belong to: {_examples(unclear)}")
    return sorted(pairs, key=lambda pair: pair.name)


def _check_urban100(root: Path, hr: Sequence[_Described], at_scale: Sequence[_Described], scale: int) -> None:
    """Refuse the ``image_SRF_2`` folder of Urban100 with HR images of half the size.

    Raises:
        InputError: It is that folder.
    """
    if scale != 2 or not any(each.scale == 2 for each in at_scale) or benchmark_named(root) != "Urban100":
        return
    longer = [max(each.file.size()) for each in at_scale]
    if max(longer) <= _HALF_SIZE:
        raise InputError(
            f"{root}: the HR images for x2 have half the size ({max(longer)} pixels at most; the test set has 1024), "
            "so figures on them cannot be compared with any paper's. Give the folder image_SRF_4 with --scale 2: LR "
            "images are then made from its HR images"
        )
