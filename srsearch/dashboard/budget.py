"""The budget: its sliders, and the designs that are best within some budget, for the script ``budget.js``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from srsearch.analysis import Noise
from srsearch.analysis.front import non_dominated
from srsearch.analysis.objectives import costs_of
from srsearch.analysis.predicted import ERROR
from srsearch.dashboard.formats import PLUS_MINUS, cell, headings
from srsearch.errors import InputError
from srsearch.labels import MISSING, axis_labels, axis_text
from srsearch.objectives import objective, unit_suffix
from srsearch.quantity import parse_quantity

LIMITED = ("mult_adds", "params")
"""The costs that have a slider."""


@dataclass(frozen=True)
class Slider:
    """A slider over the logarithm of a cost. Its upper end means no limit.

    Attributes:
        column: The column of the cost.
        label: The text before the slider.
        short: The cost within a line: "params".
        low: The smallest count.
        high: The largest count.
    """

    column: str
    label: str
    short: str
    low: float
    high: float


def sliders(done: pd.DataFrame) -> list[Slider]:
    """One slider for each cost in which the finished designs differ."""
    made = []
    for column in LIMITED:
        values = done[column].dropna()
        if values.empty or not 0 < (low := float(values.min())) < (high := float(values.max())):
            continue
        cost, lowest = objective(column), float(10 ** (math.floor(math.log10(low) * 50) / 50))
        made.append(Slider(column, f"{cost.label} at most", cost.short, lowest, high))
    return made


def own_limits(space: Mapping[str, Any]) -> dict[str, float]:
    """The limits that a space sets, by column, whether they are written 40G or 40000000000."""
    limits: dict[str, float] = {}
    for name, limit in (space.get("constraints") or {}).items():
        if name == "scale":
            continue  # where limits are counted
        most = limit.get("max") if isinstance(limit, Mapping) else limit
        if most is not None:
            with suppress(InputError):
                limits[name] = parse_quantity(most)
    return limits


def output_size(space: Mapping[str, Any]) -> str | None:
    """The output size that a space's limit on Mult-Adds counts at, written ``1280x720``; None: the default."""
    limit = (space.get("constraints") or {}).get("mult_adds")
    at = limit.get("at") if isinstance(limit, Mapping) else None
    return ("x".join(map(str, at)) if isinstance(at, list | tuple) else str(at)) if at else None


def contenders(designs: pd.DataFrame, quality: str) -> pd.DataFrame:
    """The designs that are best within some budget: no other is as good with as low costs in `LIMITED`.

    Returns:
        Their rows, best first. The first one within a budget is the design that `srsearch.analysis.best` gives for it.
    """
    rows = designs[designs[quality].notna()]
    # A design with an unknown cost is within no limit.
    costs = [rows[name].to_numpy(dtype=np.float64, na_value=np.inf) for name in LIMITED]
    order = non_dominated(np.column_stack([-rows[quality].to_numpy(dtype=np.float64), *costs]))
    return rows.iloc[order]


def choice(rows: pd.DataFrame, axes: Sequence[str], *, quality: str, noise: Noise | None) -> dict[str, Any]:
    """What the script needs to show the best design within any budget, as JSON types.

    Args:
        rows: The designs, as `contenders` gives them.
        axes: Columns of the axes to show.
        quality: The quality that ranks the designs.
        noise: The training noise; None where it is unknown. Predicted PSNR has errors of its own.
    """
    labels = axis_labels(axes)
    costs = [name for name in costs_of(rows.columns) if rows[name].notna().any()]
    heads = headings()
    return {
        "quality": quality,
        "unit": unit_suffix(quality),
        "facts": [heads[name] for name in costs],
        "short": [objective(name).short for name in costs],
        "axes": [labels[axis] for axis in axes],
        "designs": [_design(record, costs, axes, quality, noise) for record in rows.to_dict("records")],
    }


def _design(
    record: dict[Any, Any], costs: Sequence[str], axes: Sequence[str], quality: str, noise: Noise | None
) -> dict[str, Any]:
    seeds = record.get("seeds")
    error = None if noise is None else noise.deviation / (1 if pd.isna(seeds) else max(int(seeds), 1)) ** 0.5
    if quality == "psnr" and not pd.isna(record.get(ERROR)):
        error = float(record[ERROR])
    numbers = {name: None if pd.isna(record[name]) else float(record[name]) for name in (*costs, quality)}
    return numbers | {
        "trial": int(record["trial"]),
        "score": cell(quality, record[quality]),
        "error": "" if error is None else f"{PLUS_MINUS} {cell(f'{quality}_error', error)}",
        "told": [cell(name, record[name]) for name in costs],
        "values": ["" if (text := axis_text(record[axis])) == MISSING else text for axis in axes],
    }
