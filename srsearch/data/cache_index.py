"""The index of a cache, and its files mapped into memory; `srsearch.data.cache` makes caches."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from srsearch.data.bicubic import Pixels
from srsearch.errors import InputError

FORMAT = 1
HIDDEN = ".srsearch"
"""The folder in a folder of images where its cache lies by default; listing images skips it."""

INDEX, HR = "index.json", "hr.rgb"


def cache_of(folder: str | Path) -> Path | None:
    """The finished cache that a folder is, or that lies in it; None if there is none."""
    root = Path(os.path.expanduser(folder))
    return next((each for each in (root, root / HIDDEN) if os.path.isfile(each / INDEX)), None)


def usable_index(cache: Path) -> dict[str, Any]:
    """The index of a cache whose images are as they were, or gone.

    Raises:
        InputError: It is damaged, of another format, or images have changed.
    """
    content = read_index(cache)
    if changed := _changed(content):
        raise InputError(f"{cache}: {changed} has changed since; run srsearch data prepare again")
    return content


def read_index(cache: Path) -> dict[str, Any]:
    """The index of a cache.

    Raises:
        InputError: It cannot be read, is damaged, or of another format.
    """
    try:
        document = json.loads((cache / INDEX).read_text(encoding="utf-8"))
        content: dict[str, Any] = document["content"]
        if document["sha256"] != digest(json.dumps(content, indent=0).encode()):
            raise ValueError("wrong hash")
    except OSError as error:
        raise InputError(f"{cache / INDEX} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{cache} is damaged ({error}); run srsearch data prepare again") from None
    if content["format"] != FORMAT:
        raise InputError(f"{cache} is of format {content['format']}, not {FORMAT}; run srsearch data prepare again")
    return content


def cached_photos(cache: Path) -> tuple[dict[str, Pixels], tuple[str, ...]]:
    """The HR images in a cache, whole, by the names that they have in their folder, and what was skipped.

    The images are views of a mapped file.

    Raises:
        InputError: As for `usable_index`, or the files are too short.
    """
    content = usable_index(cache)
    pixels = mapped(cache / HR)
    # A folder with DIV2K's HR images is read with the LR images beside it; names then begin with its own.
    own = Path(content["folder"]).name
    prefix = f"{own}/" if re.fullmatch(r"DIV2K_(train|valid)_HR", own) else ""
    images: dict[str, Pixels] = {}
    skipped: list[str] = []
    for line in content["lines"]:
        name = line["name"].removeprefix(prefix)
        if "skipped" in line:
            skipped.append(f"{name} ({line['skipped']})")
        else:
            images[name] = image_at(cache, pixels, line["at"]["hr"], *line["hr"])
    return images, tuple(skipped)


def mapped(path: Path) -> Pixels:
    """A file's bytes, mapped. Private, so that arrays are writable, as torch wants them, and the file never changes.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                return np.empty(0, np.uint8)
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; run srsearch data prepare again") from None


def image_at(cache: Path, content: Pixels, at: int, height: int, width: int) -> Pixels:
    """The image (height, width, 3) at a place in a mapped file of a cache.

    Raises:
        InputError: The file ends before.
    """
    if at + 3 * height * width > content.size:
        raise InputError(f"{cache} is damaged: its files are too short; run srsearch data prepare again")
    return content[at : at + 3 * height * width].reshape(height, width, 3)


def size_of(line: Mapping[str, Any], name: str) -> int:
    """Bytes of an image by its line in the index."""
    height, width = line["hr"] if name == "hr" else line["lr"][name]
    return 3 * int(height) * int(width)


def digest(content: bytes) -> str:
    """The SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def _changed(content: Mapping[str, Any]) -> str | None:
    """The first file that is there, but not as it was; a cache is complete without its images."""
    for files in content["files"]:
        for path, key, size, time in files:
            file = Path(path) if key is None else Path(path) / "data.mdb"
            try:
                status = file.stat()
            except OSError:
                continue
            if (status.st_size, status.st_mtime_ns) != (size, time):
                return str(path)
    return None
