"""What several figures of designs share: columns as numbers, axis titles, ticks, hover texts, the staircase."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from srsearch.labels import MISSING, axis_labels, axis_text
from srsearch.objectives import OBJECTIVES
from srsearch.plots._theme import LIGHT, escaped
from srsearch.quantity import format_quantity

MOST_POINTS = 800
"""Points that a figure to browse draws; of those that lie on one another, one."""


def axis_title(column: str) -> str:
    """An objective's label with its unit; another column's own name, escaped."""
    return escaped(OBJECTIVES[column].axis_title if column in OBJECTIVES else column)


def floats(column: pd.Series) -> list[float]:
    return [float(value) for value in column]


def with_errors(rows: pd.DataFrame, quality: str) -> tuple[list[float], list[float]]:
    """The quality of each row, and its standard error, 0 where that is unknown."""
    name = f"{quality}_error"
    errors = floats(rows[name].fillna(0.0)) if name in rows.columns else [0.0] * len(rows)
    return floats(rows[quality]), errors


def quality_range(everything: list[float], best: list[float]) -> tuple[float, float]:
    """The y range: the front with room below it; a network that never started learning is 15 dB off, and stays out."""
    top, front_low = max(everything), min(best, default=min(everything))
    room = max(0.75 * (top - front_low), 0.01 * abs(top), 1e-6)
    low = min(value for value in everything if value >= front_low - room)
    pad = 0.08 * (top - low) or 0.5 * room
    return low - pad, top + 1.6 * pad


def log_ticks(left: float, right: float) -> dict[str, object]:
    """Ticks people count in: 1, 2, 5, 10 where they fit, powers of ten on wide axes, even steps on narrow ones."""
    decades = math.log10(right / left)
    # Plotly's own choice between one and three decades writes all nine digits over one another.
    return {"dtick": "D2" if decades < 3 else 1} if decades > 0.9 else {"nticks": 8}


def add_front(
    figure: go.Figure,
    chosen: pd.DataFrame,
    axes: Sequence[str],
    cost: str,
    quality: str,
    across: tuple[float, float],
    height: tuple[float, float],
    end: float,
) -> None:
    xs, (ys, errors) = floats(chosen[cost]), with_errors(chosen, quality)
    steps = [(x, y) for i, (x, y) in enumerate(zip(xs, ys, strict=True)) if y > max(ys[:i], default=-math.inf)]
    if steps:
        # The staircase goes on to the budget: with all of it, the best design is still the best.
        figure.add_scatter(
            x=[x for x, _ in steps] + [max(end, steps[-1][0])],
            y=[y for _, y in steps] + [steps[-1][1]],
            mode="lines",
            line={"shape": "hv", "color": LIGHT.accent, "width": 2},
            hoverinfo="skip",
            showlegend=False,
            legendgroup="front",
        )
    figure.add_scatter(
        x=xs,
        y=ys,
        mode="markers+text",
        name="Pareto front",
        legendgroup="front",
        marker={"color": LIGHT.accent, "size": 10, "line": {"color": LIGHT.surface, "width": 1.5}},
        # Pale and without ends: the staircase, which has upright lines too, stays what is seen first.
        error_y={"array": errors, "color": LIGHT.ramp[-1], "thickness": 3, "width": 0} if any(errors) else None,
        text=_roomy_labels(chosen, xs, ys, across, height),
        textposition="top left",
        textfont={"color": LIGHT.ink, "size": 12},
        cliponaxis=False,
        customdata=trial_numbers(chosen),
        hovertext=hovers(chosen, axes),
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _roomy_labels(
    chosen: pd.DataFrame, xs: list[float], ys: list[float], across: tuple[float, float], height: tuple[float, float]
) -> list[str]:
    """Trial numbers, left out where they would stand on the last one (hover still tells them)."""
    wide = math.log(across[1] / across[0])
    labels: list[str] = []
    taken: list[tuple[float, float]] = []
    # From the best design down, so that the one most looked for is always named.
    for x, y, number in reversed(list(zip(xs, ys, trial_numbers(chosen), strict=True))):
        at = (math.log(x / across[0]) / wide, (y - height[0]) / (height[1] - height[0]))
        free = all(abs(at[0] - other[0]) > 0.04 or abs(at[1] - other[1]) > 0.05 for other in taken)
        labels.append(f"#{number}" if free else "")
        taken += [at] if free else []
    return labels[::-1]


def add_limit(figure: go.Figure, limit: float) -> None:
    figure.add_vline(x=limit, line={"color": LIGHT.limit, "width": 1.5, "dash": "dash"})
    figure.add_annotation(
        x=math.log10(limit),
        y=0.02,
        yref="paper",
        yanchor="bottom",
        xanchor="right",
        xshift=-6,
        text=f"budget {format_quantity(limit)}",
        showarrow=False,
        font={"color": LIGHT.limit, "size": 12},
    )


def axes_of(trials: pd.DataFrame) -> list[str]:
    return [name for name in trials.attrs.get("axes", []) if name in trials.columns]


def trial_numbers(rows: pd.DataFrame) -> list[int]:
    return [int(number) for number in rows["trial"]]


def hovers(rows: pd.DataFrame, axes: Sequence[str]) -> list[str]:
    labels = axis_labels(axes)
    return [_hover(row, labels) for row in rows.to_dict("records")]


def _hover(row: Mapping[Any, Any], labels: Mapping[str, str]) -> str:
    """One design in a few lines, escaped: Plotly reads hover text as markup."""

    def count(column: str) -> str:
        value = row.get(column)
        return MISSING if pd.isna(value) else format_quantity(float(value))

    lines = [f"<b>Trial {row['trial']}</b>  {escaped(str(row.get('key', ''))[:8])}"]
    psnr = row.get("psnr")
    if not pd.isna(psnr):
        error, seeds = row.get("psnr_error"), row.get("seeds")
        bar = "" if pd.isna(error) else f" \N{PLUS-MINUS SIGN} {OBJECTIVES['psnr'].text(error)}"
        mean = "" if pd.isna(seeds) or int(seeds) < 2 else f", mean of {int(seeds)} seeds"
        lines.append(f"<b>{OBJECTIVES['psnr'].text(psnr)}{bar} dB</b>{mean}")
    if not pd.isna(row.get("ssim")):
        lines.append(f"SSIM {OBJECTIVES['ssim'].text(row['ssim'])}")
    own = [name for name, objective in OBJECTIVES.items() if objective.measure is not None and name in row]
    lines.append(", ".join(f"{count(name)} {OBJECTIVES[name].short}" for name in ("mult_adds", "params", *own)))
    lines += [
        f"{escaped(label)}: {escaped(axis_text(row[path]))}"
        for path, label in labels.items()
        if axis_text(row[path]) != MISSING
    ]
    return "<br>".join(lines)


def thinned(x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Positions of at most so many of n points, evenly over the plane: of those in one cell of a grid the last.

    Args:
        x: (n,)
        y: (n,)
        most: How many.
    """
    if len(x) <= most:
        return np.arange(len(x))
    columns, rows = 64, 44
    while True:
        cells = _cells(x, columns) * (rows + 1) + _cells(y, rows)
        # Reversed, as the first of equals is kept: the last point of a cell is the newest design.
        kept = np.sort(len(x) - 1 - np.unique(cells[::-1], return_index=True)[1])
        if len(kept) <= most:
            return np.asarray(kept)
        columns, rows = int(columns * 0.8), int(rows * 0.8)


def _cells(values: np.ndarray, count: int) -> np.ndarray:
    spread = np.ptp(values)
    return (
        np.zeros(len(values), dtype=np.int64) if spread == 0 else ((values - values.min()) / spread * count).astype(int)
    )


def array(column: pd.Series) -> np.ndarray:
    return column.to_numpy(dtype=np.float64, na_value=np.nan)
