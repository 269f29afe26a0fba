"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".part"
"""How the name ends under which a file is written."""

_NO_ROOM_BESIDE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)
"""Errors where the folder takes no other file, or where a file that is mounted by itself cannot be replaced."""


def write_whole(path: Path, text: str) -> None:
    """Writes text as UTF-8; see `whole`."""
    with whole(path) as file:
        file.write(text.encode("utf-8"))


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that readers find complete at ``path`` once the context is left, or, whatever happens, as it was.

    It is written under another name beside it and then renamed. Links are followed, and an existing file keeps its
    permissions. Pipes and devices are written directly; so is an existing file in a folder that takes no other.

    Args:
        path: The file; its folder must exist.

    Yields:
        The file, to write to.

    Raises:
        OSError: It cannot be written: a full disk, no permission. The error names ``path``.
    """
    try:
        with _whole(path) as file:
            yield file
    except OSError as error:
        # A full disk shows when an open file is written, which names none, and a full folder names the unfinished file.
        unnamed = error.filename is None or str(error.filename).endswith(UNFINISHED)
        if unnamed and error.errno is not None:  # without a number, the message is all there is
            error.filename, error.filename2 = str(path), None
        raise


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    target = Path(os.path.realpath(path))
    mode = _mode(target)
    if _is_stream(path) or (mode is not None and not stat.S_ISREG(mode)):
        with path.open("wb") as stream:
            yield stream
        return
    if mode is not None:
        with target.open("ab"):
            pass  # a file that may not be written is not replaced either
    # Programs that look for the file by the beginning of its name find the unfinished one, too.
    unfinished = target.with_name(f"{target.name[:48]}.{secrets.token_hex(4)}{UNFINISHED}")
    file: BinaryIO
    try:
        file = unfinished.open("xb")
    except OSError as error:
        if mode is None or error.errno not in _NO_ROOM_BESIDE:
            raise
        with _in_place(target) as content:
            yield content
        return
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            _as_before(unfinished, target.stat())
        unfinished.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


@contextlib.contextmanager
def _in_place(target: Path) -> Iterator[BinaryIO]:
    content = BytesIO()
    yield content
    with target.open("r+b") as file:
        file.write(content.getbuffer())
        file.truncate()


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _is_stream(path: Path) -> bool:
    """Whether it is an open file of this process, such as /dev/stdout, which others may be writing, too."""
    return str(path).startswith(("/dev/", "/proc/"))


def _as_before(path: Path, before: os.stat_result) -> None:
    with contextlib.suppress(OSError):  # only root may give files away
        os.chown(path, before.st_uid, before.st_gid)
    with contextlib.suppress(OSError):
        path.chmod(stat.S_IMODE(before.st_mode))
