"""Where a study's checkpoints are: of trials at work or set aside, and the weights of the designs on its front."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from srsearch.errors import InputError
from srsearch.search.checkpoint_copy import SUFFIX, filesystem, without_secrets
from srsearch.store import DEFAULT_PATH, Store, StudyRecord, content_hash
from srsearch.store.place import refuse_mistyped_url


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
        InputError: The place is an empty text; the URL is mistyped, of no kind that fsspec knows, or of one whose
            package is not installed.
    """

    def __init__(self, store: Store, record: StudyRecord, place: str | None = None) -> None:
        if place == "":
            raise InputError("the place of the checkpoints is an empty text; give a folder, or a URL")
        identity = content_hash([record.space_hash, record.created_at.isoformat()])[:12]
        self._remote = place is not None and "://" in place
        if self._remote:
            self.folder = f"{str(place).rstrip('/')}/{identity}"
            filesystem(self.folder)
        else:
            if place is not None:
                refuse_mistyped_url(place, "the place of checkpoints")
            beside = store.path or DEFAULT_PATH
            base = beside.with_name(f"{beside.name}.checkpoints") if place is None else Path(place).expanduser()
            self.folder = str((base / identity).absolute())

    def place(self, key: str, seed: int) -> str:
        """Of the evaluation of a design with a seed: a path, or a URL."""
        return f"{self.folder}/{key[:24]}-{seed}{SUFFIX}"

    def path(self, key: str, seed: int) -> Path:
        """The same as a path, where the checkpoints are in a folder."""
        return Path(self.place(key, seed))

    def has(self, key: str, seed: int) -> bool:
        """Whether there is something to go on from."""
        if not self._remote:
            return self.path(key, seed).is_file()
        files, path = filesystem(self.place(key, seed))
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
        if not there:
            return
        names = {path.rpartition("/")[2] for path in wanted()}
        for name in there:
            # A file that is just being written begins with the name of the checkpoint that it becomes.
            if name not in names and name.partition(SUFFIX)[0] + SUFFIX not in names:
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
                files, path = filesystem(self.folder)
                found = [each for each in files.ls(path, detail=True, refresh=True) if each["type"] == "file"]
                return {str(each["name"]).rpartition("/")[2]: int(each["size"] or 0) for each in found}
            return {path.name: path.stat().st_size for path in sorted(Path(self.folder).iterdir()) if path.is_file()}
        except Exception:  # none yet, one that just went, or whatever the other side's package raises
            return {}

    def _remove(self, name: str) -> None:
        with contextlib.suppress(Exception):  # another process was quicker, or we may not: it only takes room
            if self._remote:
                files, path = filesystem(f"{self.folder}/{name}")
                files.rm_file(path)
            else:
                Path(self.folder, name).unlink()
