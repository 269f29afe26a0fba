"""Figures about axes: parallel coordinates, effects at equal cost, interactions, importance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from srsearch.analysis.effects import level_order
from srsearch.labels import axis_labels, axis_text
from srsearch.objectives import unit_suffix
from srsearch.plots._points import array, axis_title
from srsearch.plots._theme import LIGHT, empty, escaped, template

_MOST_LINES = 400
_FEW_LINES = 60
_SIGNS = (*LIGHT.lows[::-1], *LIGHT.highs)


def parallel(trials: pd.DataFrame, axes: Sequence[str], *, quality: str = "psnr") -> go.Figure:
    """Draw parallel coordinates: a vertical line for each axis, and for each design a line through its values.

    Designs are coloured by quality in six groups of equal size, with the best on top. Of more than 400 designs, the
    best 100 and an evenly spaced part of the others are drawn.

    Args:
        trials: One row per design; rows without the quality are left out.
        axes: The columns of the axes.
        quality: The column that colours the lines.

    Returns:
        A figure; ``customdata`` of the marks on the vertical lines is ``axis=value``.
    """
    rows = trials[trials[quality].notna()].sort_values(quality)
    if rows.empty or not axes:
        return empty("No design has finished training yet." if rows.empty else "The designs differ in no axis.", 300)
    if len(rows) > _MOST_LINES:
        others = np.linspace(0, len(rows) - 101, _MOST_LINES - 100).round().astype(int)
        rows = rows.iloc[[*others, *range(len(rows) - 100, len(rows))]]
    labels = axis_labels(axes)
    words = {axis: [axis_text(value) for value in rows[axis]] for axis in axes}
    levels = {axis: sorted(set(texts), key=level_order) for axis, texts in words.items()}
    heights = {axis: {w: (i + 0.5) / len(texts) for i, w in enumerate(texts)} for axis, texts in levels.items()}
    figure = go.Figure(layout={"template": template(), "height": 460, "hovermode": "closest", "margin": {"t": 56}})
    # Designs with the same values would hide each other, so each line is shifted a little, equally on every axis.
    shifts = np.linspace(-0.5, 0.5, len(rows))
    values = array(rows[quality])
    for group, members in enumerate(np.array_split(np.arange(len(rows)), len(LIGHT.steps))):
        if len(members):
            xs: list[float | None] = []
            ys: list[float | None] = []
            for row in members:
                for x, axis in enumerate(axes):
                    level = heights[axis][words[axis][row]]
                    xs.append(x)
                    ys.append(level + 0.6 * float(shifts[row]) / len(levels[axis]))
                xs.append(None)
                ys.append(None)
            low, high = values[members[0]], values[members[-1]]
            last = group == len(LIGHT.steps) - 1
            figure.add_scatter(
                x=xs,
                y=ys,
                mode="lines",
                line={"color": LIGHT.steps[group], "width": 1.6 if last else 1.0},
                opacity=0.75 if last or len(rows) <= _FEW_LINES else 0.4,
                name=_span(low, high, quality),
                hoverinfo="skip",
            )
    _add_levels(figure, axes, levels, heights, labels)
    figure.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[escaped(labels[axis]) for axis in axes],
        range=[-0.35, len(axes) - 0.65],
        side="top",
        showgrid=True,
        showline=False,
        ticks="",
        fixedrange=True,
        tickfont={"color": LIGHT.ink, "size": 13},
        ticklabeloverflow="allow",  # show a long name even if it reaches beyond the last line
    )
    figure.update_yaxes(visible=False, range=[-0.02, 1.02], fixedrange=True)
    figure.update_layout(legend={"y": -0.04, "yanchor": "top"}, margin={"b": 56})
    return figure


def _span(low: float, high: float, quality: str) -> str:
    digits = 2 if quality == "psnr" else 4  # fewer than in tables, but enough to distinguish six groups
    return f"{low:.{digits}f} to {high:.{digits}f}{unit_suffix(quality)}"


def _add_levels(
    figure: go.Figure,
    axes: Sequence[str],
    levels: dict[str, list[str]],
    heights: dict[str, dict[str, float]],
    labels: dict[str, str],
) -> None:
    points = [(x, axis, word) for x, axis in enumerate(axes) for word in levels[axis]]
    figure.add_scatter(
        x=[x for x, *_ in points],
        y=[heights[axis][word] for _, axis, word in points],
        mode="markers+text",
        marker={"color": LIGHT.surface, "size": 9, "line": {"color": LIGHT.ink, "width": 1.5}},
        text=[f" {escaped(word)}" for *_, word in points],
        textposition="middle right",
        textfont={"color": LIGHT.ink, "size": 12},
        customdata=[f"{axis}={word}" for _, axis, word in points],
        hovertext=[
            f"<b>{escaped(labels[axis])}: {escaped(word)}</b><br>click to show only these" for _, axis, word in points
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )


def effects(frame: pd.DataFrame, *, quality: str = "psnr") -> go.Figure:
    """Draw the effect of each value of each axis on the quality at equal cost, with bars of two standard errors.

    Args:
        frame: The ``effects`` of `srsearch.analysis.effects.at_equal_cost`.
        quality: Name of the quality.
    """
    if frame.empty:
        return empty("There are too few finished designs to estimate effects.", 200)
    labels = axis_labels(frame["axis"])
    names = [
        f"{escaped(labels[axis])} \N{MIDDLE DOT} {escaped(word)}"
        for axis, word in zip(frame["axis"], frame["value"], strict=True)
    ]
    unit = unit_suffix(quality)
    figure = go.Figure(
        layout={"template": template(), "height": 24 * len(frame) + 96, "showlegend": False, "margin": {"t": 12}}
    )
    figure.add_scatter(
        x=frame["effect"].tolist(),
        y=names,
        error_x={"array": (2 * frame["error"]).tolist(), "color": LIGHT.quiet, "thickness": 1.5, "width": 0},
        mode="markers",
        marker={"size": 10, "color": [LIGHT.accent if value >= 0 else LIGHT.limit for value in frame["effect"]]},
        hovertext=[
            f"<b>{name}</b><br>{effect:+.4f}{unit} \N{PLUS-MINUS SIGN} {error:.4f} at equal cost<br>{number} designs"
            for name, effect, error, number in zip(names, frame["effect"], frame["error"], frame["count"], strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    figure.add_vline(x=0, line={"color": LIGHT.quiet, "width": 1})
    starts = np.flatnonzero(frame["axis"].to_numpy()[1:] != frame["axis"].to_numpy()[:-1]) + 0.5
    for start in starts:
        figure.add_hline(y=float(start), line={"color": LIGHT.grid, "width": 1})
    figure.update_xaxes(title_text=f"{axis_title(quality)} at equal cost,<br>relative to the mean", zeroline=False)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, tickfont={"color": LIGHT.ink})
    return figure


def interaction(frame: pd.DataFrame, first: str, second: str, *, quality: str = "psnr") -> go.Figure:
    """Draw the joint effect of two axes as a heat map.

    Args:
        frame: The result of `srsearch.analysis.effects.interaction`.
        first: Name of the vertical axis.
        second: Name of the horizontal axis.
        quality: Name of the quality.
    """
    if frame.empty:
        return empty("No finished design has values of both axes.", 240)
    rows = sorted(set(frame["first"]), key=level_order)
    columns = sorted(set(frame["second"]), key=level_order)
    table = {(row["first"], row["second"]): row for row in frame.to_dict("records")}
    unit = unit_suffix(quality)

    def cell(row: str, column: str) -> tuple[float | None, str, str]:
        if (row, column) not in table:
            return None, "", ""
        pair = table[row, column]
        hover = (
            f"<b>{escaped(row)}, {escaped(column)}</b><br>{pair['together']:+.4f}{unit} at equal cost<br>"
            f"{pair['beyond']:+.4f}{unit} of it beyond the axes' own effects<br>{int(pair['count'])} designs"
        )
        return float(pair["together"]), f"{pair['together']:+.3f}", hover

    cells = [[cell(row, column) for column in columns] for row in rows]
    most = float(frame["together"].abs().max()) or 1.0
    figure = go.Figure(layout={"template": template(), "height": max(240, 44 * len(rows) + 120), "margin": {"t": 16}})
    figure.add_heatmap(
        z=[[z for z, *_ in line] for line in cells],
        x=[escaped(word) for word in columns],
        y=[escaped(word) for word in rows],
        text=[[text for _, text, _ in line] for line in cells],
        texttemplate="%{text}",
        hovertext=[[hover for *_, hover in line] for line in cells],
        hovertemplate="%{hovertext}<extra></extra>",
        zmin=-most,
        zmax=most,
        colorscale=[[i / (len(_SIGNS) - 1), colour] for i, colour in enumerate(_SIGNS)],
        showscale=False,
        xgap=2,
        ygap=2,
    )
    figure.update_xaxes(type="category", title_text=escaped(axis_labels([first, second])[second]), showgrid=False)
    figure.update_yaxes(
        type="category", title_text=escaped(axis_labels([first, second])[first]), showgrid=False, autorange="reversed"
    )
    return figure


def importance(shares: pd.Series) -> go.Figure:
    """Draw the importance of each axis, from one of Optuna's evaluators, as bars.

    Args:
        shares: The importance of each axis, with a sum of 1.
    """
    if shares.empty:
        return empty("There are too few finished designs for an estimate.", 200)
    ordered = shares.sort_values(ascending=False)
    labels = axis_labels(ordered.index)
    figure = go.Figure(layout={"template": template(), "height": 26 * len(ordered) + 84, "margin": {"t": 12}})
    figure.add_bar(
        orientation="h",
        y=[escaped(labels[axis]) for axis in ordered.index],
        x=ordered.tolist(),
        marker={"color": LIGHT.accent},
        text=[f"{value:.0%}" for value in ordered],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )
    figure.update_xaxes(
        tickformat=".0%", title_text="Share of the variance of the quality, cost not held fixed", rangemode="tozero"
    )
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, tickfont={"color": LIGHT.ink})
    return figure
