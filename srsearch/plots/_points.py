"""Parts that several figures of designs share: axis titles, ticks, hover texts, the staircase, columns as numbers."""

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
"""Most dominated designs in the dashboard's figure; of points that lie close together, one is drawn."""


def axis_title(column: str) -> str:
    """Return an objective's label with its unit, or the name of any other column, escaped."""
    return escaped(OBJECTIVES[column].axis_title if column in OBJECTIVES else column)


def floats(column: pd.Series) -> list[float]:
    """Return a column without missing values as a list."""
    return [float(value) for value in column]


def with_errors(rows: pd.DataFrame, quality: str) -> tuple[list[float], list[float]]:
    """Return the quality of each row and its standard error, 0 if unknown."""
    name = f"{quality}_error"
    errors = floats(rows[name].fillna(0.0)) if name in rows.columns else [0.0] * len(rows)
    return floats(rows[quality]), errors


def quality_range(everything: list[float], best: list[float]) -> tuple[float, float]:
    """Return the y range: the front with a margin below it.

    Networks far below stay outside: one that never started to learn is 15 dB off.

    Args:
        everything: The qualities of all designs, and the ends of error bars.
        best: The qualities of the front's designs.
    """
    top, front_low = max(everything), min(best, default=min(everything))
    margin = max(0.75 * (top - front_low), 0.01 * abs(top), 1e-6)
    low = min(value for value in everything if value >= front_low - margin)
    pad = 0.08 * (top - low) or 0.5 * margin
    return low - pad, top + 1.6 * pad


def log_ticks(left: float, right: float) -> dict[str, object]:
    """Return Plotly's tick settings of a log axis: 1, 2, 5, 10 below three decades, powers of ten above, and even steps
    below one decade.
    """
    decades = math.log10(right / left)
    # By default, Plotly labels all nine digits between one and three decades, and they overlap.
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
    """Add the front: the staircase up to the budget ``end``, and the designs with labels and error bars.

    Args:
        figure: The figure to draw in.
        chosen: The front's designs, sorted by cost.
        axes: The axes that hover texts show.
        cost: The column on the x axis.
        quality: The column on the y axis.
        across: The x range of the figure.
        height: The y range of the figure.
        end: The cost where the staircase ends.
    """
    xs, (ys, errors) = floats(chosen[cost]), with_errors(chosen, quality)
    steps = [(x, y) for i, (x, y) in enumerate(zip(xs, ys, strict=True)) if y > max(ys[:i], default=-math.inf)]
    if steps:
        # The staircase goes on to the budget: the best design is also the best choice for all of it.
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
        # Pale and without caps, so that the staircase, which has vertical lines too, stands out.
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
    """Trial numbers, with "" for a label that would overlap another; the hover text still has the number."""
    wide = math.log(across[1] / across[0])
    labels: list[str] = []
    taken: list[tuple[float, float]] = []
    # From the best design down, because readers look for that one first.
    for x, y, number in reversed(list(zip(xs, ys, trial_numbers(chosen), strict=True))):
        label = (math.log(x / across[0]) / wide, (y - height[0]) / (height[1] - height[0]))
        free = all(abs(label[0] - other[0]) > 0.04 or abs(label[1] - other[1]) > 0.05 for other in taken)
        labels.append(f"#{number}" if free else "")
        taken += [label] if free else []
    return labels[::-1]


def add_limit(figure: go.Figure, limit: float) -> None:
    """Add a vertical line at a budget, with its value."""
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
    """Return the columns of the axes."""
    return [name for name in trials.attrs.get("axes", []) if name in trials.columns]


def trial_numbers(rows: pd.DataFrame) -> list[int]:
    """Return the trial number of each row."""
    return [int(number) for number in rows["trial"]]


def hovers(rows: pd.DataFrame, axes: Sequence[str]) -> list[str]:
    """Return the hover text of each row."""
    labels = axis_labels(axes)
    return [_hover(row, labels) for row in rows.to_dict("records")]


def _hover(row: Mapping[Any, Any], labels: Mapping[str, str]) -> str:
    """A design in a few lines, escaped because Plotly reads hover text as markup."""

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
    """Choose at most ``most`` of n points, evenly over the plane: the last point in each cell of a grid.

    Args:
        x: (n,) x coordinates.
        y: (n,) y coordinates.
        most: Largest number of points to choose.

    Returns:
        (m,) ascending positions of the chosen points.
    """
    if len(x) <= most:
        return np.arange(len(x))
    columns, rows = 64, 44
    while True:
        cells = _cells(x, columns) * (rows + 1) + _cells(y, rows)
        # `np.unique` returns the first of equal cells. Reversed, that is the last point, which is the newest design.
        chosen = np.sort(len(x) - 1 - np.unique(cells[::-1], return_index=True)[1])
        if len(chosen) <= most:
            return np.asarray(chosen)
        columns, rows = int(columns * 0.8), int(rows * 0.8)


def _cells(values: np.ndarray, count: int) -> np.ndarray:
    spread = np.ptp(values)
    return (
        np.zeros(len(values), dtype=np.int64) if spread == 0 else ((values - values.min()) / spread * count).astype(int)
    )


def array(column: pd.Series) -> np.ndarray:
    """Return a column as float64 (n,), with NaN for missing values."""
    return column.to_numpy(dtype=np.float64, na_value=np.nan)
