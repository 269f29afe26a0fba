"""Studies as the live pages see them: kept in memory, and brought up to date by reading only what has changed."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from srsearch.analysis import (
    Noise,
    differing_axes,
    hypervolume_steps,
    pareto_front,
    quality_of,
    retraining_noise,
    standard_errors,
)
from srsearch.analysis.objectives import costs_of
from srsearch.objectives import OBJECTIVES
from srsearch.store import Curve, Store, StudyRecord, frames
from srsearch.store.changes import (
    FollowedTrial,
    StudyIdentity,
    all_trials,
    changed_trials,
    file_state,
    identities,
)

T = TypeVar("T")

LEAST_WAIT = 1.0
"""Seconds between two readings, however many pages ask."""

_SHARE = 80.0
"""A reading is followed by a pause so many times as long, so that a search beside it loses next to nothing."""

_MOST_MODELLED = 3_000
_MOST_MADE = 64
_FRAME_COLUMNS = 14  # of `frames.TRIALS`, which are the first of a `FollowedTrial`


@dataclass
class Snapshot:
    """A study at one moment; what is computed from it is computed once.

    Attributes:
        study: As it was created.
        where: A printable place of its database.
        rows: Every trial and replicate by number.
        version: Differs between any two snapshots of a database.
        noises: The noise of studies, and how many trainings it was estimated from; shared by all snapshots.
        told: What figures tell of designs, by number, kept while they are drawn again and again.
    """

    study: StudyRecord
    where: str
    rows: Sequence[FollowedTrial]
    version: int
    noises: dict[str, tuple[int, Noise | None]] = field(default_factory=dict)
    told: dict[int, str] = field(default_factory=dict)
    _made: dict[Hashable, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @functools.cached_property
    def trials(self) -> pd.DataFrame:
        """As `Store.trials`, with ``reached`` (the last step with a PSNR) and ``reached_psnr`` of those on the way."""
        frame = frames.trials([row[:_FRAME_COLUMNS] for row in self.rows])
        proposals = [row for row in self.rows if row.replicate_of is None]
        lasts = [_last_point(row.curve) for row in proposals]
        frame["reached"] = pd.array([None if last is None else int(last[0]) for last in lasts], dtype="Int64")
        on_the_way = [
            last[1] if last is not None and row.state in ("running", "stopped") else None
            for row, last in zip(proposals, lasts, strict=True)
        ]
        frame["reached_psnr"] = pd.array(on_the_way, dtype="Float64")
        return frame

    @functools.cached_property
    def done(self) -> pd.DataFrame:
        """The finished trials."""
        return self.trials[self.trials["state"] == "complete"]

    @property
    def axes(self) -> list[str]:
        """The columns of the axes."""
        return list(self.trials.attrs["axes"])

    @functools.cached_property
    def varied(self) -> list[str]:
        """The axes in which finished trials differ."""
        return differing_axes(self.done, self.axes)

    @property
    def objectives(self) -> list[str]:
        """All qualities and costs that the trials have a column for."""
        return [name for name in OBJECTIVES if name in self.trials.columns]

    @property
    def quality(self) -> str:
        """What the study ranks its designs by."""
        return quality_of(self.study.objectives)

    @property
    def cost(self) -> str:
        """The first cost among the objectives, else Mult-Adds."""
        return next(iter(costs_of(self.study.objectives)), "mult_adds")

    def front(self, *objectives: str) -> pd.DataFrame:
        """The non-dominated designs, with their standard errors; by default in the study's objectives."""
        chosen = objectives or tuple(self.study.objectives)

        def make() -> pd.DataFrame:
            found = self.plain_front(*chosen)
            quality = quality_of(chosen)
            errors = standard_errors(found, self.noise if quality == self.quality else None)
            made = found.assign(**{f"{quality}_error": errors})
            made.attrs = found.attrs
            return made

        return self.once(("front with errors", chosen), make)

    def plain_front(self, *objectives: str) -> pd.DataFrame:
        """The same without standard errors, which take their time."""
        chosen = objectives or tuple(self.study.objectives)
        return self.once(("plain front", chosen), lambda: pareto_front(self.done, chosen))

    @property
    def noise(self) -> Noise | None:
        """What another seed would change; estimated anew when a tenth more trainings have ended: it takes a while."""

        def make() -> tuple[int, Noise | None]:
            trainings = sum(row.state == "complete" for row in self.rows)
            known = self.noises.get(self.study.name)
            if known is None or not known[0] <= trainings <= 1.1 * known[0]:
                known = self.noises[self.study.name] = trainings, retraining_noise(_share(self.trials), self.quality)
            return known

        return self.once("noise", make)[1]

    @property
    def history(self) -> pd.DataFrame:
        """The evaluations that changed the hypervolume, in the order in which they ended."""
        study = self.study
        return self.once("history", lambda: hypervolume_steps(self.done, study.objectives, study.reference))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is made of this snapshot, kept for the next page; of many things the oldest goes.

        Of two pages that want the same at a time one makes it, and the other waits.
        """
        with self._lock:
            made: T | None = self._made.get(key)
            if made is None:
                made = self._made[key] = make()
                while len(self._made) > _MOST_MADE:
                    self._made.pop(next(iter(self._made)))
            return made

    def row(self, number: int) -> FollowedTrial | None:
        """A trial of that number."""
        return self._by_number.get(number)

    @functools.cached_property
    def _by_number(self) -> dict[int, FollowedTrial]:
        return {row.number: row for row in self.rows}

    @functools.cached_property
    def curves(self) -> Mapping[int, Curve]:
        """(step, PSNR) of every trial that has any, by number."""
        parsed: list[Curve] = json.loads(f"[{','.join(row.curve or '[]' for row in self.rows)}]")
        return {row.number: curve for row, curve in zip(self.rows, parsed, strict=True) if curve}


def _share(trials: pd.DataFrame) -> pd.DataFrame:
    """All designs with several seeds, and of many others an even share: the model takes no more than 120 anyway."""
    if len(trials) <= _MOST_MODELLED:
        return trials
    several = (trials["seeds"] > 1).fillna(False).to_numpy(dtype=bool)
    several[:: -(-len(trials) // _MOST_MODELLED)] = True
    kept = trials[several]
    kept.attrs = trials.attrs
    return kept


def _last_point(curve: str) -> tuple[float, float] | None:
    """The last (step, PSNR) of a curve's JSON text, without parsing what is before it."""
    if len(curve) < 5:
        return None
    step, _, psnr = curve[curve.rfind("[") + 1 :].rstrip("]\n ").partition(",")
    try:
        return float(step), float(psnr)
    except ValueError:
        return None


class Watcher:
    """All studies of a database, followed.

    Several pages may ask at once, from several threads: who comes first reads, the others get the same.

    Args:
        storage: As for `Store`.

    Raises:
        InputError: There is no such database.
    """

    def __init__(self, storage: str | None) -> None:
        self.store = Store(storage, read_only=True)
        self._lock = threading.Lock()
        self._snapshots: dict[str, tuple[StudyIdentity, Snapshot, float, object]] = {}
        self._noises: dict[str, tuple[int, Noise | None]] = {}
        self._version = 0

    @property
    def where(self) -> str:
        """Where the database is, for people."""
        return self.store.where

    def names(self) -> list[str]:
        """All studies' names, newest first.

        Raises:
            InputError: The database is gone.
            WorkError: It cannot be read.
        """
        return [identity.name for identity in sorted(identities(self.store), key=lambda each: each.created_at)][::-1]

    def snapshot(self, study: str) -> Snapshot:
        """The study as it is now, or was a moment ago.

        Raises:
            InputError: No such study, or the database is gone.
            WorkError: It cannot be read.
        """
        with self._lock:
            known = self._snapshots.get(study)
            if known is not None and time.monotonic() < known[2]:
                return known[1]
            state = file_state(self.store)
            if known is not None and state is not None and state == known[3]:
                return known[1]
            start = time.perf_counter()
            identity, snapshot = self._read(study, known)
            taken = time.perf_counter() - start
            pause = max(LEAST_WAIT, _SHARE * taken) if known is not None else LEAST_WAIT
            self._snapshots[study] = identity, snapshot, time.monotonic() + pause, state
            return snapshot

    def _read(
        self, study: str, known: tuple[StudyIdentity, Snapshot, float, object] | None
    ) -> tuple[StudyIdentity, Snapshot]:
        record = self.store.study(study)  # says what there is where there is none of that name
        identity = next(each for each in identities(self.store) if each.name == study)
        if known is None or (known[0].number, known[0].created_at) != (identity.number, identity.created_at):
            return identity, self._next(record, all_trials(self.store, study))
        before = known[1]
        changed = _changes(self.store, study, before.rows)
        if not changed:
            return identity, before
        rows = {row.number: row for row in before.rows} | {row.number: row for row in changed}
        return identity, self._next(record, [rows[number] for number in sorted(rows)])

    def _next(self, record: StudyRecord, rows: Sequence[FollowedTrial]) -> Snapshot:
        self._version += 1
        snapshot = Snapshot(record, self.where, rows, self._version, self._noises)
        _ = snapshot.trials  # here, as it is part of what a reading costs, and two threads would make it twice
        return snapshot

    def warm(self) -> None:
        """Read the newest study before anybody asks for it; what goes wrong is told to who asks."""
        with suppress(Exception):
            names = self.names()
            if names:
                snapshot = self.snapshot(names[0])
                if len(snapshot.done):
                    _ = snapshot.history
                    snapshot.front()

    def design(self, key: str) -> Mapping[str, Any]:
        """The description of a design; empty where there is none."""
        return self.store.description(key)

    def abandoned(self, study: str) -> list[int]:
        """Numbers of the running trials on which nobody works any more."""
        return self.store.abandoned(study)


def _changes(store: Store, study: str, rows: Sequence[FollowedTrial]) -> list[FollowedTrial]:
    ends = [row.finished_at for row in rows if row.finished_at is not None]
    found = changed_trials(
        store,
        study,
        after=rows[-1].number if rows else -1,
        running=[row.number for row in rows if row.state == "running"],
        newest=max(ends, default=None),
        stopped=any(row.state == "stopped" for row in rows),
    )
    by_number = {row.number: row for row in rows}
    return [row for row in found if by_number.get(row.number) != row]
