"""Finds the image files in a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from srsearch.errors import InputError
from srsearch.text import well_formed

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

_NAMED = 50
"""How many files a message names; the rest are counted."""


def image_files(path: str | Path, warn: Callable[[str], None]) -> dict[str, Path]:
    """The image files in a folder and its subfolders by their names, ordered by name.

    A name is the path in the folder with ``/``, the same on every machine: bytes that are not UTF-8 become surrogates
    (`os.fsdecode` on a system that uses UTF-8). Links to folders are followed, and each folder is entered once.
    Hidden files and folders are skipped.

    Args:
        path: The folder.
        warn: Receives a message that names the folders that cannot be read.

    Raises:
        InputError: There is no such folder, it cannot be read, or it holds no image file.
    """
    folder = _checked_folder(path)
    images, unreadable = _walk(folder)
    if folder in unreadable:
        raise InputError(f"the data folder {str(path)!r} cannot be read: {unreadable[folder]}")
    unread = named(f"{well_formed(_name(each, folder))} ({reason})" for each, reason in sorted(unreadable.items()))
    if not images:
        kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        rest = f", and these folders in it cannot be read: {unread}" if unread else ""
        raise InputError(f"the data folder {str(path)!r} holds no images ({kinds}){rest}")
    if unread:
        warn(f"left out what cannot be read in {str(path)!r}: {unread}")
    return dict(sorted((_name(image, folder), image) for image in images))


def named(texts: Iterable[str], most: int = _NAMED) -> str:
    """The first of several texts, and how many there are more."""
    listed = list(texts)
    rest = f"; and {len(listed) - most} more" if len(listed) > most else ""
    return "; ".join(listed[:most]) + rest


def lr_files(names: Iterable[str]) -> list[str]:
    """The names of LR images whose HR image is among the names, as data sets for super-resolution lay them out.

    DIV2K: ``HR/0002.png`` and ``LR_bicubic/X4/0002x4.png``; BasicSR: ``GTmod12/baby.png`` and ``LRbicx4/baby.png``;
    SelfExSR: ``img_001_SRF_4_HR.png`` and ``img_001_SRF_4_LR.png``. LR images without their HR image are photos like
    any other.
    """
    photos: Mapping[str, tuple[str, bool]] = {name: _photo_named(name) for name in names}
    hr = {photo for photo, is_lr in photos.values() if not is_lr}
    return [name for name, (photo, is_lr) in photos.items() if is_lr and photo in hr]


_LR_FOLDER_WORD = re.compile(r"lr.*|lq|lowres")
_LR_WORD = re.compile(r"lr.*|lq|lowres|x\d")
_OTHER_WORDS = frozenset({"hr", "gt", "srf"})


def _photo_named(name: str) -> tuple[str, bool]:
    """The photo that a file's name stands for, and whether the file is an LR image of it."""
    *folders, file = name.split("/")
    in_lr_folder = any(_LR_FOLDER_WORD.fullmatch(word) for folder in folders for word in _words(folder))
    # DIV2K writes 0002x4, and 0002x4m, x4d and x4w1 for its degradations.
    ending = re.search(r"(?<=.)[xX][2348](?:[md]|w\d)?$", file.rpartition(".")[0])
    stem = file.rpartition(".")[0] if ending is None else file[: ending.start()]
    words = _words(re.sub(r"SRF_\d", "", stem))
    marked = [word for word in words if _LR_WORD.fullmatch(word)]
    photo = " ".join(word for word in words if word not in marked and word not in _OTHER_WORDS)
    return photo, in_lr_folder or ending is not None or bool(marked)


def _words(text: str) -> list[str]:
    """Words in lower case; ``trainLR`` has two."""
    joined = re.sub(r"(?i)low[ _-]?res(olution)?", "lowres", text)
    return [word.lower() for word in re.findall(r"[A-Z]+[a-z0-9]*|[^\W_A-Z]+", joined)]


def _checked_folder(path: str | Path) -> Path:
    if not str(path):
        raise InputError("the data folder is an empty text; give a folder of images, or 'builtin'")
    try:
        folder = Path(path).expanduser()
        os.stat(folder)
    except FileNotFoundError:
        raise InputError(
            f"the data folder {str(path)!r} does not exist; give a folder of images, or 'builtin'"
        ) from None
    except OSError as error:
        raise InputError(f"the data folder {str(path)!r} cannot be read: {error.strerror}") from None
    except (RuntimeError, ValueError) as error:  # the home of an unknown user; a null character
        raise InputError(f"the data folder {str(path)!r} cannot be read: {error}") from None
    if not folder.is_dir():
        raise InputError(f"the data folder {str(path)!r} is not a folder; give a folder of images, or 'builtin'")
    return folder


def _walk(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """Image files, and what cannot be read with the reason."""
    images: list[Path] = []
    unreadable: dict[Path, str] = {}
    entered: set[tuple[int, int]] = set()
    folders, links = [folder], list[Path]()
    while folders or links:
        # Links last: a folder that is reached by both has its own name.
        here = folders.pop() if folders else links.pop(0)
        try:
            status = here.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(here) as scanned:
                entries = sorted(
                    (each for each in scanned if not each.name.startswith(".")), key=lambda each: each.name
                )
        except OSError as error:
            unreadable[here] = error.strerror or str(error)
            continue
        for entry in entries:
            path = here / entry.name
            is_image = path.suffix.lower() in SUFFIXES
            try:
                if entry.is_dir():
                    (links if entry.is_symlink() else folders).append(path)
                elif is_image:
                    images.append(path)
                elif entry.is_symlink():
                    path.stat()  # a link to nowhere may mean a folder
            except OSError as error:
                if is_image:
                    images.append(path)  # opening it says why it cannot be used
                else:
                    unreadable[path] = error.strerror or str(error)
    return images, unreadable


def _name(file: Path, folder: Path) -> str:
    return os.fsencode(file.relative_to(folder).as_posix()).decode("utf-8", "surrogateescape")
