"""The checkpoints of a study: those of running and stopped trials, and the weights of the designs on its front."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from srsearch.errors import InputError
from srsearch.files import UNFINISHED
from srsearch.search.checkpoint_copy import SUFFIX, filesystem, trunk_of, without_secrets
from srsearch.store import DEFAULT_PATH, Store, StudyRecord, content_hash
from srsearch.store.place import refuse_mistyped_url


@dataclass(frozen=True)
class Room:
    """The disk space of a study's checkpoints.

    Attributes:
        files: Number of files.
        size: Bytes of all files together.
        folder: The folder or URL that holds them, without credentials.
    """

    files: int
    size: int
    folder: str


class Checkpoints:
    """The checkpoints of one study: ``<database>.checkpoints/<study>/<key>-<seed>.pt``.

    Those of longer trainings are ``<key>-<seed>-<steps>.pt``. With the schedule ``wsd``, ``<key>-<seed>-trunk.pt`` is
    what trainings of all lengths of a design have in common; it is kept as long as a checkpoint of any length.

    They lie beside the database file; for a database that is no file, in ``studies/`` of the working directory. If
    processes on several machines share a study, name a place that all of them reach.

    Args:
        store: Holds the study.
        record: The study.
        place: A folder, or a URL that fsspec can open, in which the study gets a folder of its own; None: as above.

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

    def place(self, key: str, seed: int, steps: int | None = None) -> str:
        """Return the path or URL of the checkpoint for a design and a seed.

        Args:
            key: The design's key.
            seed: The seed of its training.
            steps: The length of its training, if it is not the study's shortest.
        """
        length = "" if steps is None else f"-{steps}"
        return f"{self.folder}/{key[:24]}-{seed}{length}{SUFFIX}"

    def trunk(self, key: str, seed: int) -> str:
        """Return the path or URL of the trunk for a design and a seed."""
        return trunk_of(self.place(key, seed))

    def path(self, key: str, seed: int, steps: int | None = None) -> Path:
        """Return `place` as a path; only if the checkpoints are in a folder."""
        return Path(self.place(key, seed, steps))

    def has(self, key: str, seed: int, steps: int | None = None) -> bool:
        """Return whether a design has a checkpoint for a seed; see `place`."""
        if not self._remote:
            return self.path(key, seed, steps).is_file()
        files, path = filesystem(self.place(key, seed, steps))
        try:
            return bool(files.isfile(path))
        except Exception:  # each protocol's package raises its own
            return False

    def keep(self, wanted: Callable[[], Iterable[str]]) -> None:
        """Remove all checkpoints that are not wanted, and files that a killed process left half written.

        Args:
            wanted: Returns the paths or URLs to keep; their trunks are kept, too. It is called after the files are
                listed, so that the checkpoint of a trial that another process starts in between is not removed.
        """
        present = self._files()
        if not present:
            return
        checkpoints = {path.rpartition("/")[2] for path in wanted()}
        names = checkpoints | {trunk_of(name) for name in checkpoints}
        stems = {_stem(name) for name in names}
        for name in present:
            # The name of an unfinished file begins with the name of its checkpoint.
            unfinished = name.endswith(UNFINISHED) and _stem(name) in stems
            if name not in names and not unfinished:
                self._remove(name)

    def room(self) -> Room:
        """Measure the disk space that the checkpoints take."""
        sizes = self._files()
        return Room(len(sizes), sum(sizes.values()), without_secrets(self.folder))

    def remove(self) -> None:
        """Remove all checkpoints of the study."""
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
                entries = [entry for entry in files.ls(path, detail=True, refresh=True) if entry["type"] == "file"]
                return {str(entry["name"]).rpartition("/")[2]: int(entry["size"] or 0) for entry in entries}
            return {path.name: path.stat().st_size for path in sorted(Path(self.folder).iterdir()) if path.is_file()}
        except Exception:  # no folder yet, a file that was just removed, or an error of a protocol's package
            return {}

    def _remove(self, name: str) -> None:
        with contextlib.suppress(Exception):  # already removed, or no permission: a file left over does no harm
            if self._remote:
                files, path = filesystem(f"{self.folder}/{name}")
                files.rm_file(path)
            else:
                Path(self.folder, name).unlink()


def _stem(name: str) -> str:
    """The beginning of a checkpoint's name that its unfinished file has in common with it; see `whole`."""
    return name.partition(SUFFIX)[0][: 48 - len(SUFFIX)]
