"""Data frames of trials and studies. A module of its own because importing pandas takes long."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Row, Select, Text, case, cast, func, select

from srsearch.analysis import at_length, pareto_front
from srsearch.objectives import COSTS, OBJECTIVES, QUALITIES, own_costs
from srsearch.store.records import Axis, TrialRecord
from srsearch.store.tables import EvaluationRow, StudyRow, TrialRow

Kinds = dict[str, set[type]]
"""By axis, the types of its values."""

_PART = 2_000
"""Trials whose axes are parsed together."""

_MOST_KNOWN = 20_000
"""Different axes that are kept, as other trials may have the same."""

_TYPES = {
    "trial": "Int64",
    "key": "string",
    "state": "string",
    "reason": "string",
    **dict.fromkeys(QUALITIES, "Float64"),
    "seeds": "Int64",
    "psnr_sd": "Float64",
    **dict.fromkeys(COSTS, "Int64"),
    "seconds": "Float64",
    "cached": "boolean",
    "finished_at": "datetime64[us, UTC]",
}

TRIALS: Select[*tuple[Any, ...]] = select(
    TrialRow.number,
    TrialRow.key,
    TrialRow.state,
    TrialRow.reason,
    *(getattr(EvaluationRow, name) for name in QUALITIES),
    *(getattr(TrialRow, name) for name in COSTS),
    EvaluationRow.seconds,
    TrialRow.cached,
    TrialRow.finished_at,
    TrialRow.replicate_of,
    TrialRow.steps,
    # As text: parsing all rows together is several times as fast as parsing each.
    cast(TrialRow.axes, Text).label("axes"),
)
"""What `trials` reads of each trial, its axes last; for `statements.of_study`, which joins the evaluations."""

COLUMNS = tuple(TRIALS.selected_columns.keys())
"""The names of the columns of `TRIALS`."""

_STATES = ("complete", "stopped", "failed", "infeasible")


def _studies() -> Select[*tuple[Any, ...]]:
    is_design = TrialRow.replicate_of.is_(None)
    counts = [func.count(case(((TrialRow.state == state) & is_design, 1))).label(state) for state in _STATES]
    design = func.coalesce(TrialRow.replicate_of, TrialRow.number)
    means = select(TrialRow.study_id, func.avg(EvaluationRow.psnr).label("psnr")).join(EvaluationRow)
    means = means.where(TrialRow.steps.is_(None))
    means_of_designs = means.group_by(TrialRow.study_id, design).subquery()
    best = select(func.max(means_of_designs.c.psnr)).where(means_of_designs.c.study_id == StudyRow.id)
    return (
        select(StudyRow.name, StudyRow.scale, *counts, best.scalar_subquery().label("best_psnr"), StudyRow.created_at)
        .outerjoin(TrialRow, TrialRow.study_id == StudyRow.id)
        .group_by(StudyRow.id, StudyRow.name, StudyRow.scale, StudyRow.created_at)
        .order_by(StudyRow.id)
    )


STUDIES = _studies()
"""The rows that `studies` reads: every study with its numbers of designs and its best PSNR."""


def measured(objectives: Iterable[str]) -> Select[*tuple[Any, ...]]:
    """The query for `leading`: number, replicate_of and the objectives of the finished trials."""
    columns = [getattr(EvaluationRow if name in QUALITIES else TrialRow, name) for name in objectives]
    complete = TrialRow.state == "complete", TrialRow.steps.is_(None)
    return select(TrialRow.number, TrialRow.replicate_of, *columns).where(*complete)


def leading(rows: Iterable[Row[Any]], objectives: Sequence[str]) -> list[int]:
    """The numbers of the designs on the front, by the means over each design's seeds.

    Args:
        rows: Rows of the query `measured`.
        objectives: Those of the query.
    """
    of_design: dict[int, list[tuple[Any, ...]]] = {}
    for number, replicate_of, *values in map(tuple, rows):
        if None not in values:
            of_design.setdefault(number if replicate_of is None else replicate_of, []).append(tuple(values))
    means = [
        seeds[0] if len(seeds) == 1 else tuple(map(statistics.fmean, zip(*seeds, strict=True)))
        for seeds in of_design.values()
    ]
    frame = pd.DataFrame(means, columns=list(objectives))
    frame["trial"] = list(of_design)
    return [int(number) for number in pareto_front(frame, objectives)["trial"]]


def add_kinds(known: Kinds, axes: Mapping[str, Axis]) -> None:
    """Adds the types of a trial's axis values to those already known."""
    for name, value in axes.items():
        known.setdefault(name, set()).add(type(value))


def kinds_in(texts: Iterable[str]) -> Kinds:
    """The types of axis values in JSON texts; axes in the order of their first appearance."""
    kinds: Kinds = {}
    for axes in json.loads(f"[{','.join(texts)}]"):
        add_kinds(kinds, axes)
    return kinds


def trials(rows: Iterable[Sequence[Any]], axes: Kinds | None = None) -> pd.DataFrame:
    """The data frame of `Store.trials`.

    A study may have hundreds of thousands of trials: no more of a row is kept than the frame shows.

    Args:
        rows: The values of `COLUMNS` for each trial, by number.
        axes: Where the rows are only some of a study's trials: the axes of all of them, so that the columns agree.
    """
    columns: dict[str, list[Any]] = {name: [] for name in _TYPES}
    values = _AxisValues()
    replicates: dict[int, list[tuple[float, float | None]]] = {}
    longer: dict[int, dict[int, float]] = {}
    for number, key, state, reason, psnr, ssim, *counts, seconds, cached, finished_at, original, steps, text in rows:
        if state == "complete" and (psnr is None or not math.isfinite(psnr)):
            raise ValueError(f"trial {number} is complete, but its PSNR is {psnr}")
        if original is not None:
            if psnr is not None and steps is None:
                replicates.setdefault(original, []).append((psnr, ssim))
            elif psnr is not None:
                longer.setdefault(steps, {})[original] = psnr
            continue
        seeds = None if psnr is None else 1
        row = (number, key, state, reason, psnr, ssim, seeds, None, *counts, seconds, cached, finished_at)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
        values.add(text)
    _average(columns, replicates)
    numbers, lengths = columns["trial"], sorted(longer)
    data = {
        name: pd.array(columns.pop(name), dtype=kind)  # type: ignore[call-overload]
        for name, kind in _TYPES.items()
    }
    for steps in lengths:
        data[at_length(steps)] = pd.array([longer[steps].get(number) for number in numbers], dtype="Float64")
    taken, kinds = values.columns(axes)
    names = [f"axes.{name}" if name in _TYPES or name in OBJECTIVES else name for name in kinds]
    for name, axis in zip(names, kinds, strict=True):
        data[name] = _axis_column(taken[axis], kinds[axis])
    frame = pd.DataFrame(data)
    frame.attrs["axes"] = names
    frame.attrs["lengths"] = lengths
    return frame


def proxy_steps(recipe: Mapping[str, Any]) -> int | None:
    """The steps of a study's proxy training; None where another evaluator scored its designs."""
    steps = recipe.get("steps")
    return steps if recipe.get("evaluator") == "proxy" and isinstance(steps, int) else None


def _average(columns: dict[str, list[Any]], replicates: Mapping[int, Sequence[tuple[float, float | None]]]) -> None:
    """Replaces the results of designs that have replicates by the means over all their seeds."""
    place_of = {number: place for place, number in enumerate(columns["trial"])} if replicates else {}
    for number, others in replicates.items():
        place = place_of.get(number)
        if place is None or columns["psnr"][place] is None:
            continue
        psnrs = [columns["psnr"][place], *(psnr for psnr, _ in others)]
        ssims = [each for each in (columns["ssim"][place], *(ssim for _, ssim in others)) if each is not None]
        columns["psnr"][place], columns["psnr_sd"][place] = statistics.fmean(psnrs), statistics.stdev(psnrs)
        columns["ssim"][place] = statistics.fmean(ssims) if ssims else None
        columns["seeds"][place] = len(psnrs)


class _AxisValues:
    """The values of trials on each axis, from JSON texts."""

    def __init__(self) -> None:
        self._values: dict[str, list[Axis | None]] = {}
        self._count = 0
        self._texts: list[str] = []
        self._known: dict[str, dict[str, Axis]] = {}

    def add(self, text: str) -> None:
        """Adds a trial."""
        self._texts.append(text)
        if len(self._texts) == _PART:
            self._parse()

    def columns(self, kinds: Kinds | None) -> tuple[Mapping[str, list[Axis | None]], Kinds]:
        """The values by axis, None where a trial has none, and their types.

        Args:
            kinds: The axes that are wanted; None: all, in the order of their first appearance.
        """
        self._parse()
        if kinds is None:
            kinds = {axis: {type(value) for value in set_of} - {type(None)} for axis, set_of in self._values.items()}
        return {axis: self._values.get(axis) or [None] * self._count for axis in kinds}, kinds

    def _parse(self) -> None:
        # Parsing many texts together is several times as fast as parsing each, and many designs are alike.
        if len(self._known) > _MOST_KNOWN:
            self._known = {}
        new = list(dict.fromkeys(text for text in self._texts if text not in self._known))
        self._known |= zip(new, json.loads(f"[{','.join(new)}]"), strict=True)
        for text in self._texts:
            axes = self._known[text]
            for axis in axes:
                if axis not in self._values:
                    self._values[axis] = [None] * self._count
            for axis, column in self._values.items():
                column.append(axes.get(axis))
            self._count += 1
        self._texts = []


def with_own_costs(
    frame: pd.DataFrame, objectives: Iterable[str], descriptions: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """The frame of `trials` with a column for each cost that the user registered, behind those that srsearch counts.

    Args:
        frame: As `trials` gives it.
        objectives: Of the study.
        descriptions: Of the designs, by key.

    Raises:
        InputError: An objective that is not registered.
    """
    for row in own_costs(objectives):
        measure = row.measure
        assert measure is not None
        values = [
            None if pd.isna(counted) or key not in descriptions else measure(key, descriptions[key])
            for key, counted in zip(frame["key"], frame[COSTS[0]], strict=True)
        ]
        whole = all(value is None or isinstance(value, int) for value in values)
        column = pd.Series(values, index=frame.index, dtype="Int64" if whole else "Float64")
        frame.insert(list(frame.columns).index("seconds"), row.name, column)
    return frame


def of_records(records: Iterable[TrialRecord], axes: Kinds | None = None) -> pd.DataFrame:
    """The data frame of `Store.trials` from records, in their order.

    Args:
        records: The trials with their replicates.
        axes: As for `trials`.
    """
    *names, _ = COLUMNS
    return trials([(*(getattr(each, name) for name in names), json.dumps(dict(each.axes))) for each in records], axes)


def _axis_column(values: list[Axis | None], kinds: set[type]) -> Any:
    """An axis's values in the narrowest nullable type that holds all of them; as objects where types are mixed."""
    if kinds == {int}:
        kind = "Int64"
    elif kinds <= {int, float}:
        kind = "Float64"
    elif kinds == {bool}:
        kind = "boolean"
    elif kinds == {str}:
        kind = "string"
    else:
        return pd.array([pd.NA if value is None else value for value in values], dtype="object")
    return pd.array(values, dtype=kind)  # type: ignore[call-overload]


def studies(rows: Iterable[Row[Any]]) -> pd.DataFrame:
    """The data frame of `Store.studies` from the rows of `STUDIES`."""
    types = {"name": "string", "scale": "Int64", **dict.fromkeys(_STATES, "Int64"), "best_psnr": "Float64"}
    frame = pd.DataFrame([tuple(row) for row in rows], columns=[*types, "created_at"])
    frame["created_at"] = pd.to_datetime(frame["created_at"], utc=True)
    return frame.astype(types)
