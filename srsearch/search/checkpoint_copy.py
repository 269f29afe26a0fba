"""A worker's local copy of a checkpoint.

A checkpoint in a folder is read and written in place. One at a URL (``s3://``, ``gs://``, ``sftp://`` and all other
protocols of fsspec) is downloaded once and uploaded again before each report, so that a trial can continue from its
last rung on another machine.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from srsearch.errors import InputError
from srsearch.files import UNFINISHED

SUFFIX = ".pt"
"""Suffix of checkpoint files."""

_TRUNK = "-trunk"

_log = logging.getLogger(__name__)


def trunk_of(checkpoint: str) -> str:
    """The path or URL of the trunk of a design and a seed, from that of their checkpoint at any length.

    A trunk is the end of the stable phase of the longest training so far; see `srsearch.training.train_proxy`.
    """
    folder, slash, name = checkpoint.rpartition("/")
    return f"{folder}{slash}{'-'.join(name.removesuffix(SUFFIX).split('-')[:2])}{_TRUNK}{SUFFIX}"


class Kept:
    """A worker's local copy of a checkpoint, and of the trunk that belongs to it.

    Args:
        place: The checkpoint's path or URL; None: no checkpoint.
        folder: Where the copy of a checkpoint at a URL goes.

    Attributes:
        path: The local file that an evaluator reads and writes; None: no checkpoint.
    """

    def __init__(self, place: str | None, folder: Path | None = None) -> None:
        self._url = place if place is not None and "://" in place else None
        self._folder = folder
        self._seen: tuple[int, int] | None = None
        self.path: Path | None = None if place is None else Path(place)
        self._trunk: Kept | None = None
        if self._url is not None:
            assert folder is not None
            self.path = folder / self._url.rpartition("/")[2]
            self._fetch(self.path)

    @property
    def trunk(self) -> Path | None:
        """The local file of the trunk, which is fetched when it is first asked for; None: no checkpoint."""
        if self._trunk is None and self.path is not None:
            self._trunk = Kept(trunk_of(self._url or str(self.path)), self._folder)
        return None if self._trunk is None else self._trunk.path

    def send(self) -> None:
        """Upload checkpoint and trunk if they have changed; if that fails, log a warning and go on."""
        if self._trunk is not None:
            self._trunk.send()
        if self._url is None or self.path is None or self._state() in (None, self._seen):
            return
        try:
            files, path = filesystem(self._url)
            files.makedirs(path.rpartition("/")[0], exist_ok=True)
            # Under its own name it is always whole. Object stores write objects whole, and copy to rename.
            unfinished = f"{path}{UNFINISHED}"
            files.put_file(str(self.path), unfinished)
            try:
                files.mv(unfinished, path)
            except Exception:  # some protocols do not replace a file
                files.rm_file(path)
                files.mv(unfinished, path)
            self._seen = self._state()
        except Exception as error:  # each protocol's package raises its own
            _log.warning("the checkpoint cannot be sent to %s: %s", without_secrets(self._url), type(error).__name__)

    def _fetch(self, local: Path) -> None:
        with contextlib.suppress(Exception):  # no checkpoint: the evaluation starts at step 0
            files, path = filesystem(str(self._url))
            files.get_file(path, str(local))
            self._seen = self._state()

    def _state(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat() if self.path is not None else None
        except OSError:
            return None
        return None if status is None else (status.st_mtime_ns, status.st_size)


@contextlib.contextmanager
def kept(place: str | None) -> Iterator[Kept]:
    """Provide the checkpoint for one evaluation; a downloaded copy is deleted afterwards."""
    if place is None or "://" not in place:
        yield Kept(place)
        return
    with tempfile.TemporaryDirectory(prefix="srsearch-") as folder:
        yield Kept(place, Path(folder))


def without_secrets(place: str) -> str:
    """Return a URL without what stands before the host name and after the path."""
    return re.sub(r"://([^\s/@]*@|[^\s/@:]*:\S*@)", "://", place).partition("?")[0]


@functools.cache
def _opened(base: str) -> Any:
    import fsspec.core

    from srsearch.store.credentials import without_passwords  # a worker without such checkpoints imports no SQL

    try:
        return fsspec.core.url_to_fs(base)[0]
    except (ImportError, ValueError) as error:
        raise InputError(
            f"checkpoints cannot be saved at {without_secrets(base)}: {without_passwords(str(error))}"
        ) from None
    except Exception as error:  # each protocol's package raises its own
        raise InputError(
            f"checkpoints cannot be saved at {without_secrets(base)}: "
            f"{type(error).__name__}: {without_passwords(str(error))}"
        ) from None


def filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in it.

    Raises:
        InputError: fsspec does not know the protocol, its package is not installed, or the server refuses.
    """
    files = _opened(url.rpartition("/")[0] if url.endswith(SUFFIX) else url)
    return files, str(files._strip_protocol(url))
