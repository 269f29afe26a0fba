"""Data frames out of rows. Apart from `Store` because pandas takes its time to import."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Select, Text, cast, select

from srsearch.analysis import pareto_front
from srsearch.objectives import COSTS, OBJECTIVES, QUALITIES, own_costs
from srsearch.store.records import Axis, TrialRecord
from srsearch.store.tables import EvaluationRow, TrialRow

Kinds = dict[str, set[type]]
"""The types of the values of each axis."""

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
    # As text: one parse of all rows is several times as fast as one for each.
    cast(TrialRow.axes, Text),
)
"""What `trials` makes its columns and the axes of; still to be joined with the evaluations."""


def measured(objectives: Iterable[str]) -> Select[*tuple[Any, ...]]:
    """What `leading` needs: number, replicate_of and the objectives of the finished trials."""
    columns = [getattr(EvaluationRow if name in QUALITIES else TrialRow, name) for name in objectives]
    return select(TrialRow.number, TrialRow.replicate_of, *columns).where(TrialRow.state == "complete")


def leading(rows: Sequence[Any], objectives: Sequence[str]) -> list[int]:
    """The numbers of the designs on the front, from the rows of `measured`; by means over a design's seeds."""
    of_design: dict[int, list[Any]] = {}
    for row in rows:
        if None not in row[2:]:
            of_design.setdefault(row[0] if row[1] is None else row[1], []).append(row[2:])
    several = {number: each for number, each in of_design.items() if len(each) > 1}
    means = {number: tuple(map(statistics.fmean, zip(*each, strict=True))) for number, each in several.items()}
    values = [means.get(number, each[0]) for number, each in of_design.items()]
    frame = pd.DataFrame(values, columns=list(objectives))
    frame["trial"] = list(of_design)
    return [int(number) for number in pareto_front(frame, objectives)["trial"]]


def add_kinds(known: Kinds, axes: Mapping[str, Axis]) -> None:
    """Adds the types of the values of a trial's axes to those known."""
    for name, value in axes.items():
        known.setdefault(name, set()).add(type(value))


def kinds_in(texts: Iterable[str]) -> Kinds:
    """Of axes as JSON text, as they come."""
    found: Kinds = {}
    for axes in json.loads(f"[{','.join(texts)}]"):
        add_kinds(found, axes)
    return found


def trials(rows: Sequence[Any], axes: Kinds | None = None) -> pd.DataFrame:
    """The data frame of `Store.trials` from the rows of `TRIALS`.

    Args:
        rows: By number.
        axes: Of all trials, where these are some of them: for the same columns.
    """
    proposals = _with_replicates(rows)
    columns = list(zip(*proposals, strict=True)) if proposals else [()] * (len(_TYPES) + 1)
    data = {
        name: pd.array(list(column), dtype=kind)  # type: ignore[call-overload]
        for (name, kind), column in zip(_TYPES.items(), columns, strict=False)
    }
    taken: list[dict[str, Axis]] = json.loads(f"[{','.join(columns[-1])}]")
    kinds: Kinds = dict(axes or {})
    if axes is None:
        for values in taken:
            add_kinds(kinds, values)
    names = [f"axes.{name}" if name in _TYPES or name in OBJECTIVES else name for name in kinds]
    for name, axis in zip(names, kinds, strict=True):
        data[name] = _axis_column([values.get(axis) for values in taken], kinds[axis])
    frame = pd.DataFrame(data)
    frame.attrs["axes"] = names
    return frame


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
        records: With their replicates.
        axes: Of all trials, where these are some of them: for the same columns.
    """
    names = [str(column.key) for column in TRIALS.selected_columns][:-1]
    return trials([(*(getattr(each, name) for name in names), json.dumps(dict(each.axes))) for each in records], axes)


def _with_replicates(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    """One row for each design: the mean over its seeds, how many they are, and how much PSNR differs between them."""
    again: dict[int, list[tuple[float, float | None]]] = {}
    for row in rows:
        if row[12] is not None and row[4] is not None:
            again.setdefault(row[12], []).append((row[4], row[5]))
    proposals = []
    for number, key, state, reason, psnr, ssim, *counts, replicate_of, axes in rows:
        if replicate_of is not None:
            continue
        seeds, spread = None if psnr is None else 1, None
        if psnr is not None and number in again:
            psnrs = [psnr, *(each for each, _ in again[number])]
            ssims = [each for each in (ssim, *(each for _, each in again[number])) if each is not None]
            psnr, ssim = statistics.fmean(psnrs), statistics.fmean(ssims) if ssims else None
            seeds, spread = len(psnrs), statistics.stdev(psnrs)
        proposals.append((number, key, state, reason, psnr, ssim, seeds, spread, *counts, axes))
    return proposals


def _axis_column(values: list[Axis | None], kinds: set[type]) -> Any:
    """An axis's values in the narrowest nullable type that keeps all of them; objects where they are mixed."""
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


def studies(rows: Sequence[Any]) -> pd.DataFrame:
    """The data frame of `Store.studies` from its rows."""
    types = {
        "name": "string",
        "scale": "Int64",
        "complete": "Int64",
        "stopped": "Int64",
        "failed": "Int64",
        "infeasible": "Int64",
        "best_psnr": "Float64",
    }
    frame = pd.DataFrame([tuple(row) for row in rows], columns=[*types, "created_at"])
    frame["created_at"] = pd.to_datetime(frame["created_at"], utc=True)
    return frame.astype(types)
