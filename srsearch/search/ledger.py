"""`Ledger`: a process's copy of a study's trials, with counts, keys and the front kept up to date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from srsearch.analysis import directions, pareto_front
from srsearch.analysis.front import non_dominated
from srsearch.objectives import OBJECTIVES
from srsearch.store import State, TrialRecord, frames

_NEVER_ASKED: frozenset[State] = frozenset({"infeasible", "repeated"})
_MANY = 200
"""New results from which on computing the front of all trials is quicker than inserting them one by one."""

_OPEN: frozenset[State] = frozenset({"running", "stopped"})


class Ledger:
    """The trials of a study.

    Counts, keys and the front are updated with each record, because recomputing them would take longer and longer as
    a study grows.

    Args:
        objectives: Names of the study's objectives.
        records: Trials in the order of their numbers.

    Attributes:
        open: Running and stopped trials by number.
        asked: Numbers of the trials that were chosen for evaluation, without replicates, in order; longer trainings
            are among them.
        longer: The longer trainings among them: by the number of the design's trial, the numbers of its longer
            trainings by their steps.
        keys: The number of a design's trial by its key.
        done: How many designs this study has evaluated itself; cached evaluations do not count.
        known: How many finished designs have a cached evaluation.
        last: The largest trial number; -1 before the first trial.
        latest: The latest time at which a trial began or ended; None before the first trial.
    """

    def __init__(self, objectives: Sequence[str], records: Iterable[TrialRecord] = ()) -> None:
        self._directions = directions(objectives)
        self._records: dict[int, TrialRecord] = {}
        self._replicates: dict[int, list[int]] = {}
        self._axes: dict[str, set[type]] = {}
        self._leading: dict[int, tuple[float, ...]] = {}
        self._unranked: list[int] = []
        self._front: pd.DataFrame | None = None
        self.open: dict[int, TrialRecord] = {}
        self.asked: list[int] = []
        self.longer: dict[int, dict[int, int]] = {}
        self.keys: dict[str, int] = {}
        self.done = 0
        self.known = 0
        self.last = -1
        self.latest: datetime | None = None
        for record in records:
            self.put(record)

    def __getitem__(self, number: int) -> TrialRecord:
        return self._records[number]

    def __iter__(self) -> Iterator[TrialRecord]:
        return iter(self._records.values())

    @property
    def proposals(self) -> list[TrialRecord]:
        """All trials but replicates and longer trainings, in order."""
        return [record for record in self if record.replicate_of is None]

    @property
    def running(self) -> list[TrialRecord]:
        """The trials that any process evaluates at present, replicates and longer trainings included."""
        return [record for record in self.open.values() if record.state == "running"]

    def replicates(self, number: int) -> Sequence[int]:
        """Return the numbers of the trials that evaluate a trial's design with other seeds."""
        return self._replicates.get(number, ())

    def put(self, record: TrialRecord) -> None:
        """Add a trial, or replace its record; new trials have to come in the order of their numbers."""
        number, before = record.number, self._records.get(record.number)
        self._records[number] = record
        self.last = max(self.last, number)
        moments = [each for each in (self.latest, record.started_at, record.finished_at) if each is not None]
        self.latest = max(moments, default=None)
        if record.state in _OPEN:
            self.open[number] = record
        else:
            self.open.pop(number, None)
        if before is None:
            frames.add_kinds(self._axes, record.axes)
        if record.steps is not None and record.replicate_of is not None:
            if before is None:
                self.longer.setdefault(record.replicate_of, {})[record.steps] = number
                self.asked.append(number)
            return  # counts, keys and the front are of the study's own length
        if before is None and record.replicate_of is not None:
            self._replicates.setdefault(record.replicate_of, []).append(number)
        elif before is None and record.state not in _NEVER_ASKED:
            self.asked.append(number)
            if record.key is not None:
                self.keys[record.key] = number
        if record.state == "complete" and (before is None or before.state != "complete"):
            self.done += record.replicate_of is None and not record.cached
            self.known += record.replicate_of is None and record.cached
            self._unranked.append(number)

    def front(self) -> pd.DataFrame:
        """Return the front, in the columns of `Store.front`."""
        # A replicate may have made a mean worse, which can bring other designs back to the front.
        replicated = any(self[n].replicate_of is not None for n in self._unranked)
        if replicated or len(self._unranked) > _MANY:
            numbers, values = self._measured()
            self._leading = {int(numbers[i]): tuple(values[i].tolist()) for i in non_dominated(values)}
            self._front = None
        else:
            for number in self._unranked:
                self._rank(number)
        self._unranked = []
        if self._front is None:
            rows = [self[each] for number in self._leading for each in (number, *self.replicates(number))]
            frame = frames.of_records(rows, self._axes)
            known = {record.key: record.description for record in rows if record.key is not None}
            self._front = pareto_front(frames.with_own_costs(frame, self._directions, known), self._directions)
        return self._front

    def layers(self, count: int) -> list[int]:
        """Return the numbers of the designs on the first ``count`` fronts; each is the front after removing the ones
        before it (non-dominated sorting).
        """
        numbers, values = self._measured()
        ranked: list[int] = []
        for _ in range(count):
            layer = non_dominated(values)
            ranked += numbers[layer].tolist()
            numbers, values = np.delete(numbers, layer), np.delete(values, layer, axis=0)
        return ranked

    def _rank(self, number: int) -> None:
        """Put a design that has just been evaluated on the front, if it belongs there."""
        own = self._values(self[number])
        if own is None:
            return
        for rival, other in self._leading.items():
            if _none_worse(other, own) and (other != own or rival < number):
                return
        self._leading = {rival: other for rival, other in self._leading.items() if not _none_worse(own, other)}
        self._leading[number] = own
        self._front = None

    def _measured(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Numbers (n,) of the evaluated designs, and their objective values (n, d), smaller is better."""
        complete = {trial.number: self._values(trial) for trial in self if trial.state == "complete"}
        rows = {n: values for n, values in complete.items() if values is not None and self[n].replicate_of is None}
        shape = (len(rows), len(self._directions))
        return np.array(list(rows), dtype=np.int64), np.array(list(rows.values()), dtype=np.float64).reshape(shape)

    def _values(self, record: TrialRecord) -> tuple[float, ...] | None:
        """A design's value of each objective, smaller is better, as the mean over its seeds; None if one is missing."""
        evaluated = [record, *(self[n] for n in self.replicates(record.number) if self[n].state == "complete")]
        values = []
        for name, direction in self._directions.items():
            by_seed = [value for trial in evaluated if (value := OBJECTIVES[name].of(trial)) is not None]
            if not by_seed:
                return None
            mean = sum(by_seed) / len(by_seed)
            values.append(-mean if direction == "max" else mean)
        return tuple(values)


def _none_worse(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(first, second, strict=True))
