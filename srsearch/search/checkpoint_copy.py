"""A checkpoint in a worker's hands, wherever it is kept.

In a folder that all workers see it is read and written in place. Anywhere else (``s3://``, ``gs://``, ``sftp://``:
whatever fsspec knows) a worker fetches it, works on a copy, and sends it back before each report: so a trial goes on
from its last rung on another machine.
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
from srsearch.store.credentials import without_passwords

SUFFIX = ".pt"
"""Of the files."""

_log = logging.getLogger(__name__)


class Kept:
    """A checkpoint in a worker's hands.

    Args:
        place: A path, or a URL; None: nothing is kept.

    Attributes:
        path: The file that an evaluator reads and writes; None: nowhere.
    """

    def __init__(self, place: str | None, folder: Path | None = None) -> None:
        self._url = place if place is not None and "://" in place else None
        self._seen: tuple[int, int] | None = None
        self.path: Path | None = None if place is None else Path(place)
        if self._url is not None:
            assert folder is not None
            self.path = folder / self._url.rpartition("/")[2]
            self._fetch(self.path)

    def send(self) -> None:
        """To where others find it, if it has changed; where that fails the evaluation goes on without."""
        if self._url is None or self.path is None or self._state() in (None, self._seen):
            return
        try:
            files, path = filesystem(self._url)
            files.makedirs(path.rpartition("/")[0], exist_ok=True)
            files.put_file(str(self.path), path)
            self._seen = self._state()
        except Exception as error:  # whatever the other side's package raises
            _log.warning("the checkpoint cannot be sent to %s: %s", without_secrets(self._url), type(error).__name__)

    def _fetch(self, local: Path) -> None:
        with contextlib.suppress(Exception):  # there is none: the evaluation begins at its beginning
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
    """A checkpoint for the time of one evaluation."""
    if place is None or "://" not in place:
        yield Kept(place)
        return
    with tempfile.TemporaryDirectory(prefix="srsearch-") as folder:
        yield Kept(place, Path(folder))


def without_secrets(place: str) -> str:
    """A URL without what stands before the host's name and after its path."""
    return re.sub(r"://([^\s/@]*@|[^\s/@:]*:\S*@)", "://", place).partition("?")[0]


@functools.cache
def _opened(base: str) -> Any:
    import fsspec.core

    try:
        return fsspec.core.url_to_fs(base)[0]
    except (ImportError, ValueError) as error:
        raise InputError(
            f"checkpoints cannot be kept at {without_secrets(base)}: {without_passwords(str(error))}"
        ) from None
    except Exception as error:  # whatever the other side's package raises
        raise InputError(
            f"checkpoints cannot be kept at {without_secrets(base)}: "
            f"{type(error).__name__}: {without_passwords(str(error))}"
        ) from None


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it."""
    files = _opened(url.rpartition("/")[0] if url.endswith(SUFFIX) else url)
    return files, str(files._strip_protocol(url))
