"""Figures of one design: the costs of its parts, and its learning curve among designs of similar cost."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from srsearch.plots._theme import LIGHT, empty, escaped, template
from srsearch.quantity import format_quantity


def part_costs(parts: pd.DataFrame, *, measure: str = "mult_adds") -> go.Figure:
    """Draw the cost of each part of a design as bars.

    Args:
        parts: `srsearch.cost.Cost.parts`.
        measure: ``mult_adds``, ``params`` or ``activations``.
    """
    rows = parts[parts[measure] > 0].sort_values(measure, ascending=False)
    if rows.empty:
        return empty("No part costs anything.", 160)
    total = float(rows[measure].sum())
    names = [
        escaped(part if kind == "network" else f"{kind.replace('_', ' ')}: {part.partition('(')[0]}")
        for kind, part in zip(rows["kind"], rows["part"], strict=True)
    ]
    if len(set(names)) < len(names):  # levels with their own blocks
        names = [f"{name} {number}" for number, name in enumerate(names, start=1)]
    shares = [float(value) / total for value in rows[measure]]
    figure = go.Figure(layout={"template": template(), "height": 34 * len(rows) + 72, "margin": {"t": 8, "r": 90}})
    figure.add_bar(
        orientation="h",
        y=names,
        x=[float(value) for value in rows[measure]],
        marker={"color": LIGHT.accent},
        text=[f"{format_quantity(v)}, {s:.0%}" for v, s in zip(rows[measure], shares, strict=True)],
        textposition="outside",
        cliponaxis=False,
        hovertext=[
            f"<b>{name}</b><br>{escaped(row['part'])}<br>{format_quantity(row['mult_adds'])} Mult-Adds, "
            f"{format_quantity(row['params'])} params<br>{row['instances']} with their own weights, "
            f"applied {row['applications']} times"
            for name, row in zip(names, rows.to_dict("records"), strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    figure.update_xaxes(tickformat="~s", rangemode="tozero", nticks=5, tickangle=0)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, tickfont={"color": LIGHT.ink})
    return figure


def curve(points: Sequence[Sequence[float]], band: pd.DataFrame, *, what: str = "") -> go.Figure:
    """Draw a design's PSNR over training steps, with the quartiles of designs of similar cost.

    Args:
        points: (step, PSNR in dB) pairs of the design.
        band: Columns ``step``, ``low``, ``middle`` and ``high``, the quartiles in dB; may be empty.
        what: Description of the designs behind the band, for the legend.
    """
    if not points:
        return empty("This design has no learning curve.", 260)
    figure = go.Figure(layout={"template": template(), "height": 300, "hovermode": "x"})
    if len(band):
        steps = [float(step) for step in band["step"]]
        figure.add_scatter(
            x=[*steps, *reversed(steps)],
            y=[*(float(v) for v in band["high"]), *reversed([float(v) for v in band["low"]])],
            fill="toself",
            fillcolor=LIGHT.veil,
            mode="lines",
            line={"width": 0, "color": LIGHT.muted},
            name=f"middle half of {what}",
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=steps,
            y=[float(v) for v in band["middle"]],
            mode="lines",
            line={"color": LIGHT.muted, "width": 1.5, "dash": "dot"},
            name=f"median of {what}",
            hovertemplate="median %{y:.3f} dB<extra></extra>",
        )
    figure.add_scatter(
        x=[float(point[0]) for point in points],
        y=[float(point[1]) for point in points],
        mode="lines+markers",
        line={"color": LIGHT.accent, "width": 2.5},
        marker={"size": 8, "color": LIGHT.accent},
        name="this design",
        hovertemplate="<b>%{y:.3f} dB</b> after %{x} steps<extra></extra>",
    )
    figure.update_xaxes(title_text="Training step", rangemode="tozero")
    figure.update_yaxes(title_text="PSNR (dB)")
    return figure
