"""The front: quality over cost, every trained design a point, the best for each budget a staircase."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from srsearch.labels import MISSING, axis_labels, axis_text
from srsearch.plots._theme import LIGHT, empty, escaped, template
from srsearch.quantity import format_quantity

COSTS = {"mult_adds": "Mult-Adds", "params": "Parameters", "activations": "Activations"}
QUALITIES = {"psnr": "PSNR", "ssim": "SSIM"}


def front(
    trials: pd.DataFrame,
    front: pd.DataFrame,
    *,
    budget: Mapping[str, float] | None = None,
    title: str | None = None,
    cost: str = "mult_adds",
    quality: str = "psnr",
) -> go.Figure:
    """Quality over cost (log scale): the front as a staircase, the other trained designs muted behind it.

    Args:
        trials: Every trial, as `srsearch.store.Store.trials` gives them; rows without quality or cost are left out.
        front: The rows of ``trials`` that nothing dominates. Where they have a column ``psnr_error`` (the quality's
            name in place of psnr), it is drawn as error bars of that size.
        budget: Limits by objective name (``{"mult_adds": 40e9}``); the one on ``cost`` is drawn.
        title: Above the figure, shown as it is (never as markup).
        cost: The column on the x axis.
        quality: The column on the y axis.

    Returns:
        A figure in the light palette; the hover of every point tells the design.
    """
    done = trials.dropna(subset=[cost, quality])
    chosen = front.dropna(subset=[cost, quality]).sort_values([cost, quality])
    if done.empty:
        return empty("No design has finished training yet.", 460)
    limit = (budget or {}).get(cost)
    figure = go.Figure(layout={"template": template(), "height": 500, "hovermode": "closest"})
    if title:
        figure.update_layout(title=escaped(title), margin={"t": 84})
    best = [y + sign * error for y, error in zip(*_measured(chosen, quality), strict=True) for sign in (-1, 1)]
    low, high = _frame(_floats(done[quality]) + best, best)
    axes = _axes_of(trials)
    rest = done[~done["trial"].isin(chosen["trial"])]
    _add_dominated(figure, rest, axes, cost, quality, low + 0.012 * (high - low))
    xs = _floats(done[cost]) + ([float(limit)] if limit else [])
    left, right = min(xs) / 1.12, max(xs) * 1.12
    _add_front(figure, chosen, axes, cost, quality, (left, right), (low, high), float(limit) if limit else right)
    if limit:
        _add_limit(figure, float(limit))
    figure.update_xaxes(
        type="log",
        range=[math.log10(left), math.log10(right)],
        tickformat="~s",
        title_text=_axis_title(cost),
        **_ticks(left, right),
    )
    figure.update_yaxes(range=[low, high], title_text=_axis_title(quality))
    return figure


def _axis_title(column: str) -> str:
    # Words for the objectives, the column's own name for what a user's own evaluator adds.
    return {"psnr": "PSNR (dB)"}.get(column) or COSTS.get(column) or QUALITIES.get(column) or escaped(column)


def _floats(column: pd.Series) -> list[float]:
    return [float(value) for value in column]


def _measured(rows: pd.DataFrame, quality: str) -> tuple[list[float], list[float]]:
    """The quality of each row, and its standard error, 0 where that is unknown."""
    name = f"{quality}_error"
    errors = _floats(rows[name].fillna(0.0)) if name in rows.columns else [0.0] * len(rows)
    return _floats(rows[quality]), errors


def _frame(everything: list[float], best: list[float]) -> tuple[float, float]:
    """The y range: the front with room below it; a network that never started learning is 15 dB off, and stays out."""
    top, front_low = max(everything), min(best, default=min(everything))
    room = max(0.75 * (top - front_low), 0.01 * abs(top), 1e-6)
    low = min(value for value in everything if value >= front_low - room)
    pad = 0.08 * (top - low) or 0.5 * room
    return low - pad, top + 1.6 * pad


def _ticks(left: float, right: float) -> dict[str, object]:
    """Ticks people count in: 1, 2, 5, 10 where they fit, powers of ten on wide axes, even steps on narrow ones."""
    decades = math.log10(right / left)
    # Plotly's own choice between one and three decades writes all nine digits over one another.
    return {"dtick": "D2" if decades < 3 else 1} if decades > 0.9 else {"nticks": 8}


def _add_dominated(
    figure: go.Figure, rest: pd.DataFrame, axes: Sequence[str], cost: str, quality: str, low: float
) -> None:
    if rest.empty:
        return
    ys = _floats(rest[quality])
    figure.add_scatter(
        x=_floats(rest[cost]),
        y=[max(y, low) for y in ys],
        mode="markers",
        name="dominated",
        marker={
            "color": LIGHT.muted,
            "size": [7 if y >= low else 10 for y in ys],
            "opacity": 0.75,
            # What lies below the frame sits on its edge and points down.
            "symbol": ["circle" if y >= low else "triangle-down" for y in ys],
        },
        cliponaxis=False,
        customdata=_numbers(rest),
        hovertext=_hovers(rest, axes),
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _add_front(
    figure: go.Figure,
    chosen: pd.DataFrame,
    axes: Sequence[str],
    cost: str,
    quality: str,
    across: tuple[float, float],
    height: tuple[float, float],
    end: float,
) -> None:
    xs, (ys, errors) = _floats(chosen[cost]), _measured(chosen, quality)
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
        customdata=_numbers(chosen),
        hovertext=_hovers(chosen, axes),
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
    for x, y, number in reversed(list(zip(xs, ys, _numbers(chosen), strict=True))):
        at = (math.log(x / across[0]) / wide, (y - height[0]) / (height[1] - height[0]))
        free = all(abs(at[0] - other[0]) > 0.04 or abs(at[1] - other[1]) > 0.05 for other in taken)
        labels.append(f"#{number}" if free else "")
        taken += [at] if free else []
    return labels[::-1]


def _add_limit(figure: go.Figure, limit: float) -> None:
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


def _axes_of(trials: pd.DataFrame) -> list[str]:
    return [name for name in trials.attrs.get("axes", []) if name in trials.columns]


def _numbers(rows: pd.DataFrame) -> list[int]:
    return [int(number) for number in rows["trial"]]


def _hovers(rows: pd.DataFrame, axes: Sequence[str]) -> list[str]:
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
        bar = "" if pd.isna(error) else f" \N{PLUS-MINUS SIGN} {float(error):.3f}"
        mean = "" if pd.isna(seeds) or int(seeds) < 2 else f", mean of {int(seeds)} seeds"
        lines.append(f"<b>{float(psnr):.3f}{bar} dB</b>{mean}")
    if not pd.isna(row.get("ssim")):
        lines.append(f"SSIM {float(row['ssim']):.4f}")
    lines.append(f"{count('mult_adds')} Mult-Adds, {count('params')} params")
    lines += [
        f"{escaped(label)}: {escaped(axis_text(row[path]))}"
        for path, label in labels.items()
        if axis_text(row[path]) != MISSING
    ]
    return "<br>".join(lines)
