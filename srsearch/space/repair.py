"""Finds the feasible new design nearest to a proposal that is infeasible or not new.

The nearest design has, in this order of importance:

1. the fewest changed fields of the description;
2. the least distance on the axes, summed over the axes: on an ordered axis, the number of steps relative to the whole
   axis; 1 if the values of another axis differ, or if the axis exists at one of the two points only;
3. the least change of Mult-Adds.

An enumerated space is searched completely, first with one field changed, then with two, and so on: each set of changed
fields is a slice of the array of combinations. In larger spaces, random combinations are drawn for each number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from srsearch.architecture.registry import OptionValue
from srsearch.space.axes import Alternative, Axis
from srsearch.space.enumeration import Codes

if TYPE_CHECKING:
    from srsearch.space.candidates import Candidate
    from srsearch.space.grid import Grid

TRIES, MOST_CHANGES = 512, 4
"""For spaces too large to enumerate: combinations drawn for each number of changed fields, and the largest number."""

_AT_ONCE = 4096
"""Number of neighbours that are sorted at a time: nearly always, the first one is taken."""

_Numbers: TypeAlias = npt.NDArray[np.float64]


def repaired(
    grid: Grid, axes: Mapping[str, OptionValue], rng: np.random.Generator, known: Collection[str]
) -> Candidate | None:
    """Implements `Space.repaired`, which describes the arguments."""
    point = grid.candidate(axes)
    if point.broken is None and point.design.key not in known:
        return point
    start = grid.positions(axes)
    along = [_along(grid, field, position) for field, position in zip(grid.alternatives, start, strict=True)]
    shells = _shells(grid, start, along) if grid.table is not None else _draws(grid, start, along, rng)
    for shell in shells:
        change = np.zeros(len(shell.mult_adds))
        if point.cost is not None:
            change = np.abs(np.log(shell.mult_adds / point.cost.mult_adds))
        for i in _in_order(shell.distances, change, rng):
            if shell.key(i) not in known:
                return shell.at(i)
    return None


@dataclass(frozen=True)
class _Shell:
    """Feasible combinations with the same number of changed fields.

    Attributes:
        distances: (n,) distances from the proposal on the axes.
        mult_adds: (n,) Mult-Adds.
        at: Returns the combination at one of the n positions.
        key: Returns the key of its design.
    """

    distances: _Numbers
    mult_adds: Codes
    at: Callable[[int], Candidate]
    key: Callable[[int], str]


def _shells(grid: Grid, start: Sequence[int], along: Sequence[_Numbers]) -> Iterator[_Shell]:
    """All feasible combinations, by the number of changed fields."""
    table = grid.table
    assert table is not None
    shape = [len(row) for row in along]
    inside = grid.inside.reshape(shape)
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    origin = sum(stride * position for stride, position in zip(strides, start, strict=True))
    several = [i for i, count in enumerate(shape) if count > 1]
    for changes in range(1, len(several) + 1):
        numbers, distances = [], []
        for free in itertools.combinations(several, changes):
            rows_of = np.nonzero(inside[tuple(slice(None) if i in free else start[i] for i in range(len(shape)))])
            moved = np.logical_and.reduce([row != start[i] for i, row in zip(free, rows_of, strict=True)])
            number, distance = np.full(moved.sum(), origin), np.zeros(moved.sum())
            for i, row in zip(free, rows_of, strict=True):
                number += strides[i] * (row[moved] - start[i])
                distance += along[i][row[moved]]
            numbers.append(number)
            distances.append(distance)
        rows = np.concatenate(numbers)

        def at(i: int, rows: Codes = rows) -> Candidate:
            return grid.point(int(rows[i]))

        def key(i: int, rows: Codes = rows) -> str:
            return grid.key(int(rows[i]))

        yield _Shell(np.concatenate(distances), table.mult_adds[rows], at, key)


def _draws(grid: Grid, start: Sequence[int], along: Sequence[_Numbers], rng: np.random.Generator) -> Iterator[_Shell]:
    """The feasible among `TRIES` random combinations, for each number of changed fields."""
    counts = np.array([len(row) for row in along])
    several = np.flatnonzero(counts > 1)
    for changes in range(1, min(MOST_CHANGES, len(several)) + 1):
        columns = several[np.argsort(rng.random((TRIES, len(several))), axis=1)[:, :changes]]
        positions = np.tile(np.array(start), (TRIES, 1))
        # Steps from 1 to count - 1, modulo count, lead to every other alternative.
        positions[np.arange(TRIES)[:, None], columns] += rng.integers(1, counts[columns])
        positions = np.unique(positions % counts, axis=0)
        table = grid.tabulate({field: positions[:, i] for i, field in enumerate(grid.alternatives)})
        inside = np.flatnonzero(table.within(grid.limits))
        rows = positions[inside]

        def at(i: int, rows: Codes = rows) -> Candidate:
            return grid.at(dict(zip(grid.alternatives, rows[i].tolist(), strict=True)))

        def key(i: int, at: Callable[[int], Candidate] = at) -> str:
            return at(i).design.key

        distances = np.array([row[rows[:, i]] for i, row in enumerate(along)]).sum(axis=0)
        yield _Shell(distances, table.mult_adds[inside], at, key)


def _in_order(distances: _Numbers, change: _Numbers, rng: np.random.Generator) -> Iterator[int]:
    """Positions sorted by distance, then by change of cost, then randomly."""
    rounded = np.round(distances, 9)
    left = np.arange(len(rounded))
    while len(left):
        limit = np.partition(rounded[left], _AT_ONCE)[_AT_ONCE] if len(left) > _AT_ONCE else math.inf
        first = left[rounded[left] <= limit]
        yield from first[np.lexsort((rng.random(len(first)), change[first], rounded[first]))].tolist()
        left = left[rounded[left] > limit]


def _along(grid: Grid, field: str, position: int) -> _Numbers:
    """The distances on the axes from one alternative of a field to all of its alternatives, (alternatives,)."""
    alternatives = grid.alternatives[field]
    distances = np.zeros(len(alternatives))
    for axis in grid.axes:
        if axis.name == field or axis.name.startswith(f"{field}."):
            distances += _apart(axis, alternatives, position)
    return distances


def _apart(axis: Axis, alternatives: Sequence[Alternative], position: int) -> _Numbers:
    """The distances on one axis from one alternative to all."""
    index_of = {value: i for i, value in enumerate(axis.values)}
    codes = np.array([index_of[each.axes[axis.name]] if axis.name in each.axes else -1 for each in alternatives])
    distances: _Numbers = (codes != codes[position]).astype(np.float64)
    if axis.ordered and codes[position] >= 0:
        exists = codes >= 0
        distances[exists] = np.abs(codes[exists] - codes[position]) / (len(axis.values) - 1)
    return distances
