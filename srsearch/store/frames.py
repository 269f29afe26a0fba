"""Data frames out of rows. Apart from `Store` because pandas takes its time to import."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Select, Text, cast, select

from srsearch.store.records import Axis
from srsearch.store.tables import EvaluationRow, TrialRow

_TYPES = {
    "trial": "Int64",
    "key": "string",
    "state": "string",
    "reason": "string",
    "psnr": "Float64",
    "ssim": "Float64",
    "mult_adds": "Int64",
    "params": "Int64",
    "activations": "Int64",
    "seconds": "Float64",
    "cached": "boolean",
}

TRIALS: Select[*tuple[Any, ...]] = select(
    TrialRow.number,
    TrialRow.key,
    TrialRow.state,
    TrialRow.reason,
    EvaluationRow.psnr,
    EvaluationRow.ssim,
    TrialRow.mult_adds,
    TrialRow.params,
    TrialRow.activations,
    EvaluationRow.seconds,
    TrialRow.cached,
    # As text: one parse of all rows is several times as fast as one for each.
    cast(TrialRow.axes, Text),
)
"""The columns of `trials` in their order, then the axes; still to be joined with the evaluations."""


def trials(rows: Sequence[Any]) -> pd.DataFrame:
    """The data frame of `Store.trials` from the rows of `TRIALS`."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * (len(_TYPES) + 1)
    data = {
        name: pd.array(list(column), dtype=kind)  # type: ignore[call-overload]
        for (name, kind), column in zip(_TYPES.items(), columns, strict=False)
    }
    taken: list[dict[str, Axis]] = json.loads(f"[{','.join(columns[-1])}]")
    axes = list(dict.fromkeys(name for axes in taken for name in axes))
    names = [f"axes.{name}" if name in _TYPES else name for name in axes]
    for name, axis in zip(names, axes, strict=True):
        data[name] = _axis_column([values.get(axis) for values in taken])
    frame = pd.DataFrame(data)
    frame.attrs["axes"] = names
    return frame


def _axis_column(values: list[Axis | None]) -> Any:
    """An axis's values in the narrowest nullable type that keeps them as they are; objects where they are mixed."""
    kinds = {type(value) for value in values if value is not None}
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
        "failed": "Int64",
        "infeasible": "Int64",
        "best_psnr": "Float64",
    }
    frame = pd.DataFrame([tuple(row) for row in rows], columns=[*types, "created_at"])
    frame["created_at"] = pd.to_datetime(frame["created_at"], utc=True)
    return frame.astype(types)
