"""Figure of the front's growth: its hypervolume after every evaluation."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from srsearch.plots._theme import LIGHT, empty, template


def hypervolume(history: pd.DataFrame) -> go.Figure:
    """Draw the hypervolume of the front after each evaluation.

    Args:
        history: Columns ``evaluation`` (1, 2, ...), ``trial`` and ``hypervolume``, from
            `srsearch.analysis.hypervolume_history`.
    """
    if history.empty:
        return empty("No design has finished training yet.", 300)
    xs = [int(value) for value in history["evaluation"]]
    ys = [float(value) for value in history["hypervolume"]]
    figure = go.Figure(layout={"template": template(), "height": 300, "showlegend": False, "hovermode": "x"})
    figure.add_scatter(
        x=xs,
        y=ys,
        # With few evaluations, markers are drawn as well: a line through one point is invisible.
        mode="lines+markers" if len(xs) <= 60 else "lines",
        line={"shape": "hv", "color": LIGHT.accent, "width": 2},
        marker={"size": 6, "color": LIGHT.accent},
        fill="tozeroy",
        fillcolor=LIGHT.veil,
        customdata=[int(value) for value in history["trial"]],
        hovertemplate="<b>%{y:.3f}</b><br>evaluation %{x}, trial %{customdata}<extra></extra>",
    )
    figure.update_xaxes(title_text="Finished evaluations", showgrid=False, tickformat="d", nticks=min(len(xs) + 1, 12))
    figure.update_yaxes(title_text="Hypervolume", rangemode="tozero")
    return figure
