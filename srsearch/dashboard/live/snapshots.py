"""Studies in memory for the live pages, kept up to date by reading only what has changed."""

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
from srsearch.analysis.predicted import ERROR, Prediction
from srsearch.analysis.ranking import Ranking, as_predicted, predicted_for
from srsearch.dashboard.study_view import main_cost, printed_for
from srsearch.objectives import OBJECTIVES, own_costs
from srsearch.store import Curve, Store, StudyRecord, TrainingRecord, frames
from srsearch.store.changes import (
    FollowedTrial,
    StudyIdentity,
    all_trials,
    changed_trials,
    file_state,
    identities,
)
from srsearch.store.database import check_registered
from srsearch.store.trainings import trainings

T = TypeVar("T")

LEAST_WAIT = 1.0
"""Least number of seconds between two reads of the database, however many pages are open."""

_SHARE = 80.0
"""After a read follows a pause this many times as long, so that a search on this machine hardly slows down."""

_MOST_MODELLED = 3_000
_MOST_MADE = 64
_FRAME_COLUMNS = len(frames.COLUMNS)  # a `FollowedTrial` begins with them


@dataclass
class Snapshot:
    """A study at one moment, with a cache of what is computed from it.

    Attributes:
        study: The study as it was created.
        where: A printable name of its database.
        rows: Every trial and replicate, sorted by number.
        version: A number that no other snapshot of the database has.
        noises: By study, the number of trainings and the noise estimated from them; shared by all snapshots.
        descriptions: The designs by key, only where the study has a cost that the user registered: it is computed.
        told: The hover texts of designs by number, reused when figures are drawn again.
    """

    study: StudyRecord
    where: str
    rows: Sequence[FollowedTrial]
    version: int
    noises: dict[str, tuple[int, Noise | None]] = field(default_factory=dict)
    descriptions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    told: dict[int, str] = field(default_factory=dict)
    _made: dict[Hashable, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @functools.cached_property
    def trials(self) -> pd.DataFrame:
        """As `measured`; after several lengths of training, with the predicted PSNR of finished designs in ``psnr``."""
        return self.measured if self.prediction is None else as_predicted(self.measured, self.prediction)

    @functools.cached_property
    def prediction(self) -> Prediction | None:
        """The PSNR after the longest training; None for studies with one length, or too few designs."""
        printed = _printed_for(self.study) if self.measured.attrs["lengths"] else None
        return predicted_for(self.measured, self.study.objectives, self.study.recipe, printed)

    @property
    def ranking(self) -> Ranking:
        """How the designs are ranked."""
        return Ranking(self.trials, tuple(self.study.objectives), self.noise, self.prediction)

    @functools.cached_property
    def measured(self) -> pd.DataFrame:
        """As `Store.trials`, with the last step that has a PSNR (``reached``), and its PSNR where unfinished."""
        frame = frames.trials([row[:_FRAME_COLUMNS] for row in self.rows])
        frame.attrs["proxy_steps"] = frames.proxy_steps(self.study.recipe)
        frames.with_own_costs(frame, self.study.objectives, self.descriptions)
        proposals = [row for row in self.rows if row.replicate_of is None]
        lasts = [_last_point(row.curve) for row in proposals]
        frame["reached"] = pd.array([None if last is None else int(last[0]) for last in lasts], dtype="Int64")
        unfinished = [
            last[1] if last is not None and row.state in ("running", "stopped") else None
            for row, last in zip(proposals, lasts, strict=True)
        ]
        frame["reached_psnr"] = pd.array(unfinished, dtype="Float64")
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
        """The quality that ranks the study's designs."""
        return quality_of(self.study.objectives)

    @property
    def cost(self) -> str:
        """The study's main cost."""
        return main_cost(self.study.objectives)

    def front(self, *objectives: str) -> pd.DataFrame:
        """The non-dominated designs, with their standard errors; by default in the study's objectives."""
        chosen = objectives or tuple(self.study.objectives)

        def make() -> pd.DataFrame:
            designs = self.plain_front(*chosen)
            quality = quality_of(chosen)
            errors = standard_errors(designs, self.noise if quality == self.quality else None)
            if self.prediction is not None and quality == self.quality:
                errors = designs[ERROR]
            made = designs.assign(**{f"{quality}_error": errors})
            made.attrs = designs.attrs
            return made

        return self.once(("front with errors", chosen), make)

    def plain_front(self, *objectives: str) -> pd.DataFrame:
        """The front without standard errors, which take long to compute."""
        chosen = objectives or tuple(self.study.objectives)
        return self.once(("plain front", chosen), lambda: pareto_front(self.done, chosen))

    @property
    def noise(self) -> Noise | None:
        """The training noise. As it takes long, it is estimated again only after 10 % more trainings."""

        def make() -> tuple[int, Noise | None]:
            trainings = sum(row.state == "complete" for row in self.rows)
            known = self.noises.get(self.study.name)
            if known is None or not known[0] <= trainings <= 1.1 * known[0]:
                known = self.noises[self.study.name] = trainings, retraining_noise(_share(self.measured), self.quality)
            return known

        return self.once("noise", make)[1]

    @property
    def history(self) -> pd.DataFrame:
        """The evaluations that changed the hypervolume, in the order in which they ended."""
        study = self.study
        return self.once("history", lambda: hypervolume_steps(self.done, study.objectives, study.reference))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result of ``make``, from the cache where it has the key. When the cache is full, the oldest entry goes.

        Where two pages need the same result at the same time, one computes it and the other waits.
        """
        with self._lock:
            made: T | None = self._made.get(key)
            if made is None:
                made = self._made[key] = make()
                while len(self._made) > _MOST_MADE:
                    self._made.pop(next(iter(self._made)))
            return made

    def row(self, number: int) -> FollowedTrial | None:
        """The trial of this number; None where there is none."""
        return self._by_number.get(number)

    @functools.cached_property
    def _by_number(self) -> dict[int, FollowedTrial]:
        return {row.number: row for row in self.rows}

    @functools.cached_property
    def curves(self) -> Mapping[int, Curve]:
        """The (step, PSNR) pairs of every trial that has any, by number."""
        parsed: list[Curve] = json.loads(f"[{','.join(row.curve or '[]' for row in self.rows)}]")
        return {row.number: curve for row, curve in zip(self.rows, parsed, strict=True) if curve}


_networks: dict[tuple[str, object], pd.DataFrame | None] = {}


def _printed_for(study: StudyRecord) -> pd.DataFrame | None:
    """As `printed_for`, looked up once for each study."""
    key = study.name, study.created_at
    if key not in _networks:
        _networks[key] = printed_for(study)
    return _networks[key]


def _share(trials: pd.DataFrame) -> pd.DataFrame:
    """All designs with several seeds, and an evenly spaced part of the others: the model uses at most 120 anyway."""
    if len(trials) <= _MOST_MODELLED:
        return trials
    several = (trials["seeds"] > 1).fillna(False).to_numpy(dtype=bool)
    several[:: -(-len(trials) // _MOST_MODELLED)] = True
    part = trials[several]
    part.attrs = trials.attrs
    return part


def _last_point(curve: str) -> tuple[float, float] | None:
    """The last (step, PSNR) pair of a curve's JSON text, without parsing the rest."""
    if len(curve) < 5:
        return None
    step, _, psnr = curve[curve.rfind("[") + 1 :].rstrip("]\n ").partition(",")
    try:
        return float(step), float(psnr)
    except ValueError:
        return None


class Watcher:
    """Follows all studies of a database.

    Several threads may ask at once: the first one reads the database, and the others get the same snapshot.

    Args:
        storage: The database, as for `Store`.

    Raises:
        InputError: There is no such database.
    """

    def __init__(self, storage: str | None) -> None:
        self.store = Store(storage, read_only=True, patient=False)  # whoever asks for a page waits for it
        self._lock = threading.Lock()
        self._snapshots: dict[str, tuple[StudyIdentity, Snapshot, float, object]] = {}
        self._noises: dict[str, tuple[int, Noise | None]] = {}
        self._version = 0
        self._trainings: tuple[list[TrainingRecord], float] = [], 0.0

    @property
    def where(self) -> str:
        """A printable name of the database."""
        return self.store.where

    def names(self) -> list[str]:
        """The names of all studies, newest first.

        Raises:
            InputError: The database is gone.
            WorkError: It cannot be read.
        """
        return [identity.name for identity in sorted(identities(self.store), key=lambda each: each.created_at)][::-1]

    def snapshot(self, study: str) -> Snapshot:
        """The study as it is now or was a moment ago.

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
        record = self.store.study(study)  # the error for an unknown name lists the studies
        identity = next(each for each in identities(self.store) if each.name == study)
        if known is None or (known[0].number, known[0].created_at) != (identity.number, identity.created_at):
            return identity, self._next(record, all_trials(self.store, study), {})
        before = known[1]
        changed = _changes(self.store, study, before.rows)
        if not changed:
            return identity, before
        rows = {row.number: row for row in before.rows} | {row.number: row for row in changed}
        return identity, self._next(record, [rows[number] for number in sorted(rows)], before.descriptions)

    def _next(
        self, record: StudyRecord, rows: Sequence[FollowedTrial], known: Mapping[str, Mapping[str, Any]]
    ) -> Snapshot:
        check_registered(record.name, record.objectives)
        descriptions = self._descriptions(record, rows, known) if own_costs(record.objectives) else {}
        self._version += 1
        snapshot = Snapshot(record, self.where, rows, self._version, self._noises, descriptions)
        _ = snapshot.trials  # computed here: its time counts towards the pause, and two threads would do it twice
        return snapshot

    def _descriptions(
        self, record: StudyRecord, rows: Sequence[FollowedTrial], known: Mapping[str, Mapping[str, Any]]
    ) -> Mapping[str, Mapping[str, Any]]:
        """The designs of the trials by key; reads those that are not known yet."""
        if not known:
            return self.store.descriptions(record.name)
        new = {row.key for row in rows if row.key is not None} - set(known)
        return {**known, **{key: design for key in new if (design := self.store.description(key))}}

    def warm(self) -> None:
        """Read the newest study before a page asks for it. Errors are left to the page."""
        with suppress(Exception):
            names = self.names()
            if names:
                snapshot = self.snapshot(names[0])
                if len(snapshot.done):
                    _ = snapshot.history
                    snapshot.front()

    def design(self, key: str) -> Mapping[str, Any]:
        """The description of a design by its key; empty where there is none."""
        return self.store.description(key)

    def trainings(self) -> list[TrainingRecord]:
        """All full trainings, newest first, as they are now or were a moment ago."""
        with self._lock:
            if time.monotonic() >= self._trainings[1]:
                self._trainings = trainings(self.store), time.monotonic() + LEAST_WAIT
            return self._trainings[0]

    def abandoned(self, study: str) -> list[int]:
        """Numbers of the running trials whose run has ended."""
        return self.store.abandoned(study)


def _changes(store: Store, study: str, rows: Sequence[FollowedTrial]) -> list[FollowedTrial]:
    changed = changed_trials(
        store,
        study,
        after=rows[-1].number if rows else -1,
        running=[row.number for row in rows if row.state == "running"],
        stopped=[row.number for row in rows if row.state == "stopped"],
    )
    by_number = {row.number: row for row in rows}
    return [row for row in changed if by_number.get(row.number) != row]
