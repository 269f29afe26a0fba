"""Finds space files: your own, and those that come with the package."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from srsearch.errors import InputError, suggest


def find_space(name: str | Path) -> Path:
    """Find a space file by its path, or one that comes with the package by its name, with or without ``.yaml``.

    Pipes and devices are files, too; ``-`` is standard input.

    Raises:
        InputError: There is no such file; the message suggests the nearest name.
    """
    path = Path("/dev/stdin" if str(name) == "-" else name)
    try:
        is_folder = path.is_dir()
        if path.exists() and not is_folder:
            return path
    except OSError as error:  # such as a name that is too long
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    shipped = {each.stem: each for each in sorted(_shipped_folder().glob("*.yaml"))}
    # The README writes `spaces/lightweight_x4.yaml`, a path in a checkout: make it work in any folder.
    if path.parent.name in ("", "spaces") and path.suffix in ("", ".yaml") and path.stem in shipped:
        return shipped[path.stem]
    if is_folder:
        raise InputError(f"{path}: is a folder, not a space file")
    raise InputError(
        f"{path}: no such file, and no space of that name comes with srsearch; {suggest(path.stem, shipped)}"
    )


def shipped_spaces() -> tuple[str, ...]:
    """The names of the spaces that come with the package."""
    return tuple(sorted(each.stem for each in _shipped_folder().glob("*.yaml")))


def _shipped_folder() -> Path:
    package = Path(str(importlib.resources.files("srsearch")))
    installed = package / "spaces"
    return installed if installed.is_dir() else package.parent / "spaces"
