"""Where a study's checkpoints are: of trials at work or set aside, and the weights of the designs on its front."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from srsearch.store import DEFAULT_PATH, Store, StudyRecord, content_hash

_SUFFIX = ".pt"


@dataclass(frozen=True)
class Room:
    """What checkpoints take: so many files with so many bytes in a folder."""

    files: int
    size: int
    folder: Path


class Checkpoints:
    """The checkpoints of one study: ``<database>.checkpoints/<study>/<key>-<seed>.pt``.

    Beside a database file; for another database in ``studies/`` of the working directory, where the processes that
    share a study have to find the same folder to take up each other's trials.
    """

    def __init__(self, store: Store, record: StudyRecord) -> None:
        identity = content_hash([record.space_hash, record.created_at.isoformat()])[:12]
        beside = store.path or DEFAULT_PATH
        self.folder = beside.with_name(f"{beside.name}.checkpoints") / identity

    def path(self, key: str, seed: int) -> Path:
        """Of the evaluation of a design with a seed."""
        return self.folder / f"{key[:24]}-{seed}{_SUFFIX}"

    def keep(self, wanted: Callable[[], Iterable[Path]]) -> None:
        """Removes all others, and what a killed process has left half written.

        Args:
            wanted: Asked after it is known which files there are: so a trial that another process begins meanwhile
                keeps its own.
        """
        there = self._files()
        names = {path.name for path in wanted()}
        for path in there:
            # A file that is just being written begins with the name of the checkpoint that it becomes.
            if path.name not in names and path.name.partition(_SUFFIX)[0] + _SUFFIX not in names:
                with contextlib.suppress(OSError):
                    path.unlink()

    def room(self) -> Room:
        """How much they take."""
        sizes = []
        for path in self._files():
            with contextlib.suppress(OSError):
                sizes.append(path.stat().st_size)
        return Room(len(sizes), sum(sizes), self.folder)

    def remove(self) -> None:
        """All of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.is_file())
        except OSError:
            return []
