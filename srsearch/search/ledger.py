"""What a process knows of a study's trials: the records by number, with what is asked of them again and again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from srsearch.analysis import directions, pareto_front
from srsearch.analysis.front import non_dominated
from srsearch.objectives import OBJECTIVES
from srsearch.store import State, TrialRecord, frames

_NEVER_ASKED: frozenset[State] = frozenset({"infeasible", "repeated"})
_MANY = 200
_OPEN: frozenset[State] = frozenset({"running", "stopped"})


class Ledger:
    """The trials of a study.

    Counts, keys and the front are kept up to date with each record: to look through all of them again takes the longer
    the longer a study lasts.

    Args:
        objectives: Of the study.
        records: In the order of their numbers.

    Attributes:
        open: Those that are running or stopped, by number.
        asked: Numbers of those that were to be evaluated, without replicates, in order.
        keys: Which of these each design is.
        done: How many of these have been evaluated for this study, and not found evaluated.
        last: The largest number; -1 before the first.
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
        self.keys: dict[str, int] = {}
        self.done = 0
        self.last = -1
        for record in records:
            self.put(record)

    def __getitem__(self, number: int) -> TrialRecord:
        return self._records[number]

    def __iter__(self) -> Iterator[TrialRecord]:
        return iter(self._records.values())

    @property
    def proposals(self) -> list[TrialRecord]:
        """All but replicates, in order."""
        return [record for record in self if record.replicate_of is None]

    @property
    def running(self) -> list[TrialRecord]:
        """Those that are being evaluated, by whomever; replicates too."""
        return [record for record in self.open.values() if record.state == "running"]

    def replicates(self, number: int) -> Sequence[int]:
        """The trials that evaluate a trial's design again."""
        return self._replicates.get(number, ())

    def put(self, record: TrialRecord) -> None:
        """A trial as it is now. New ones come in the order of their numbers."""
        number, before = record.number, self._records.get(record.number)
        self._records[number] = record
        self.last = max(self.last, number)
        if record.state in _OPEN:
            self.open[number] = record
        else:
            self.open.pop(number, None)
        if before is None:
            frames.add_kinds(self._axes, record.axes)
        if before is None and record.replicate_of is not None:
            self._replicates.setdefault(record.replicate_of, []).append(number)
        elif before is None and record.state not in _NEVER_ASKED:
            self.asked.append(number)
            if record.key is not None:
                self.keys[record.key] = number
        if record.state == "complete" and (before is None or before.state != "complete"):
            self.done += record.replicate_of is None and not record.cached
            self._unranked.append(number)

    def front(self) -> pd.DataFrame:
        """The designs that no other one beats, as `Store.front` has them."""
        # With a replicate a mean may have become worse; of many trials one look at all is quicker than one at each.
        again = len(self._unranked) > _MANY or any(self[n].replicate_of is not None for n in self._unranked)
        if again:
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
        """Numbers of the designs on the front, on the one that would be there without these, and so on."""
        numbers, values = self._measured()
        found: list[int] = []
        for _ in range(count):
            layer = non_dominated(values)
            found += numbers[layer].tolist()
            numbers, values = np.delete(numbers, layer), np.delete(values, layer, axis=0)
        return found

    def _rank(self, number: int) -> None:
        """Puts a design that has just ended on the front, if it belongs there."""
        own = self._values(self[number])
        if own is None:
            return
        for place, other in self._leading.items():
            if _none_worse(other, own) and (other != own or place < number):
                return
        self._leading = {place: other for place, other in self._leading.items() if not _none_worse(own, other)}
        self._leading[number] = own
        self._front = None

    def _measured(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Numbers of the designs that are evaluated, and their values with less always better, (n, d)."""
        found = {trial.number: self._values(trial) for trial in self if trial.state == "complete"}
        rows = {n: values for n, values in found.items() if values is not None and self[n].replicate_of is None}
        shape = (len(rows), len(self._directions))
        return np.array(list(rows), dtype=np.int64), np.array(list(rows.values()), dtype=np.float64).reshape(shape)

    def _values(self, record: TrialRecord) -> tuple[float, ...] | None:
        """What it has for each objective, less being better; means over the seeds that it has been tried with."""
        tried = [record, *(self[n] for n in self.replicates(record.number) if self[n].state == "complete")]
        values = []
        for name, direction in self._directions.items():
            each = [value for trial in tried if (value := OBJECTIVES[name].of(trial)) is not None]
            if not each:
                return None
            mean = sum(each) / len(each)
            values.append(-mean if direction == "max" else mean)
        return tuple(values)


def _none_worse(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(first, second, strict=True))
