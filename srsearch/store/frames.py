"""Data frames of trials and studies. A module of its own because importing pandas takes long."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Row, Select, Text, case, cast, func, select

from srsearch.analysis import pareto_front
from srsearch.objectives import COSTS, OBJECTIVES, QUALITIES, own_costs
from srsearch.store.records import Axis, TrialRecord
from srsearch.store.tables import EvaluationRow, StudyRow, TrialRow

Kinds = dict[str, set[type]]
"""By axis, the types of its values."""

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
    return select(TrialRow.number, TrialRow.replicate_of, *columns).where(TrialRow.state == "complete")


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

    Args:
        rows: The values of `COLUMNS` for each trial, by number.
        axes: Where the rows are only some of a study's trials: the axes of all of them, so that the columns agree.
    """
    proposals = _with_replicates(list(rows))
    columns = list(zip(*proposals, strict=True)) if proposals else [()] * (len(_TYPES) + 1)
    data = {
        name: pd.array(list(column), dtype=kind)  # type: ignore[call-overload]
        for (name, kind), column in zip(_TYPES.items(), columns, strict=False)
    }
    *_, texts = columns
    taken: list[dict[str, Axis]] = json.loads(f"[{','.join(texts)}]")
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
        records: The trials with their replicates.
        axes: As for `trials`.
    """
    *names, _ = COLUMNS
    return trials([(*(getattr(each, name) for name in names), json.dumps(dict(each.axes))) for each in records], axes)


def _with_replicates(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """The columns `_TYPES` and the axes of each design, with the replicates' results in those of their originals."""
    replicates: dict[int, list[tuple[float, float | None]]] = {}
    for _number, _key, _state, _reason, psnr, ssim, *_, replicate_of, _axes in rows:
        if replicate_of is not None and psnr is not None:
            replicates.setdefault(replicate_of, []).append((psnr, ssim))
    proposals = []
    for number, key, state, reason, psnr, ssim, *counts, replicate_of, axes in rows:
        if state == "complete" and (psnr is None or not math.isfinite(psnr)):
            raise ValueError(f"trial {number} is complete, but its PSNR is {psnr}")
        if replicate_of is not None:
            continue
        seeds, spread = None if psnr is None else 1, None
        if psnr is not None and number in replicates:
            psnrs, ssims = zip((psnr, ssim), *replicates[number], strict=True)
            known = [each for each in ssims if each is not None]
            psnr, ssim = statistics.fmean(psnrs), statistics.fmean(known) if known else None
            seeds, spread = len(psnrs), statistics.stdev(psnrs)
        proposals.append((number, key, state, reason, psnr, ssim, seeds, spread, *counts, axes))
    return proposals


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
