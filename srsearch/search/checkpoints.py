"""Where a study's checkpoints are: of trials at work or set aside, and the weights of the designs on its front.

In a folder that all workers see they are read and written in place. Anywhere else (``s3://``, ``gs://``, ``sftp://``:
whatever fsspec knows) a worker fetches the one that it needs, works on a copy, and sends it back before each report: so
a trial goes on from its last rung on another machine.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srsearch.errors import InputError
from srsearch.store import DEFAULT_PATH, Store, StudyRecord, content_hash

_SUFFIX = ".pt"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Room:
    """What checkpoints take: so many files with so many bytes in a folder."""

    files: int
    size: int
    folder: str


class Checkpoints:
    """The checkpoints of one study: ``<database>.checkpoints/<study>/<key>-<seed>.pt``.

    Beside a database file; for another database in ``studies/`` of the working directory, unless a place is named where
    the processes that share a study find each other's.

    Args:
        store: Where the study is.
        record: The study.
        place: A folder, or a URL of fsspec's, under which the study has a folder of its own; None: as above.

    Raises:
        InputError: The URL is of no kind that fsspec knows, or of one whose package is not installed.
    """

    def __init__(self, store: Store, record: StudyRecord, place: str | None = None) -> None:
        identity = content_hash([record.space_hash, record.created_at.isoformat()])[:12]
        self._remote = place is not None and "://" in place
        if self._remote:
            self.folder = f"{str(place).rstrip('/')}/{identity}"
            _filesystem(self.folder)
        else:
            beside = store.path or DEFAULT_PATH
            base = beside.with_name(f"{beside.name}.checkpoints") if place is None else Path(place).expanduser()
            self.folder = str((base / identity).absolute())

    def place(self, key: str, seed: int) -> str:
        """Of the evaluation of a design with a seed: a path, or a URL."""
        return f"{self.folder}/{key[:24]}-{seed}{_SUFFIX}"

    def path(self, key: str, seed: int) -> Path:
        """The same as a path, where the checkpoints are in a folder."""
        return Path(self.place(key, seed))

    def has(self, key: str, seed: int) -> bool:
        """Whether there is something to go on from."""
        if not self._remote:
            return self.path(key, seed).is_file()
        files, path = _filesystem(self.place(key, seed))
        try:
            return bool(files.isfile(path))
        except Exception:  # whatever the other side's package raises
            return False

    def keep(self, wanted: Callable[[], Iterable[str]]) -> None:
        """Removes all others, and what a killed process has left half written.

        Args:
            wanted: Asked after it is known which files there are: so a trial that another process begins meanwhile
                keeps its own.
        """
        there = self._files()
        names = {path.rpartition("/")[2] for path in wanted()}
        for name in there:
            # A file that is just being written begins with the name of the checkpoint that it becomes.
            if name not in names and name.partition(_SUFFIX)[0] + _SUFFIX not in names:
                self._remove(name)

    def room(self) -> Room:
        """How much they take."""
        sizes = self._files()
        return Room(len(sizes), sum(sizes.values()), without_secrets(self.folder))

    def remove(self) -> None:
        """All of them."""
        if not self._remote:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for name in self._files():
            self._remove(name)

    def _files(self) -> dict[str, int]:
        """Name and size of each file."""
        try:
            if self._remote:
                files, path = _filesystem(self.folder)
                found = [each for each in files.ls(path, detail=True, refresh=True) if each["type"] == "file"]
                return {str(each["name"]).rpartition("/")[2]: int(each["size"] or 0) for each in found}
            return {path.name: path.stat().st_size for path in sorted(Path(self.folder).iterdir()) if path.is_file()}
        except Exception:  # none yet, one that just went, or whatever the other side's package raises
            return {}

    def _remove(self, name: str) -> None:
        with contextlib.suppress(Exception):  # another process was quicker, or we may not: it only takes room
            if self._remote:
                files, path = _filesystem(f"{self.folder}/{name}")
                files.rm_file(path)
            else:
                Path(self.folder, name).unlink()


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
            files, path = _filesystem(self._url)
            files.makedirs(path.rpartition("/")[0], exist_ok=True)
            files.put_file(str(self.path), path)
            self._seen = self._state()
        except Exception as error:  # whatever the other side's package raises
            _log.warning("the checkpoint cannot be sent to %s: %s", without_secrets(self._url), type(error).__name__)

    def _fetch(self, local: Path) -> None:
        with contextlib.suppress(Exception):  # there is none: the evaluation begins at its beginning
            files, path = _filesystem(str(self._url))
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
    """A URL without what stands before the host's name."""
    return re.sub(r"://[^/@]*@", "://", place)


@functools.cache
def _opened(base: str) -> Any:
    import fsspec.core

    try:
        return fsspec.core.url_to_fs(base)[0]
    except (ImportError, ValueError) as error:
        raise InputError(f"checkpoints cannot be kept at {without_secrets(base)}: {error}") from None
    except Exception as error:  # whatever the other side's package raises
        raise InputError(
            f"checkpoints cannot be kept at {without_secrets(base)}: {type(error).__name__}: {error}"
        ) from None


def _filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it."""
    files = _opened(url.rpartition("/")[0] if url.endswith(_SUFFIX) else url)
    return files, str(files._strip_protocol(url))
