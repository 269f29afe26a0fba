"""Figures that compare several studies, and the pace of a search."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from srsearch.plots._points import axis_title, floats, log_ticks
from srsearch.plots._theme import LIGHT, empty, escaped, template

_DASHES = ("solid", "dash", "dot", "dashdot")


def fronts(studies: Mapping[str, pd.DataFrame], *, cost: str = "mult_adds", quality: str = "psnr") -> go.Figure:
    """Draw the fronts of several studies as step lines.

    Args:
        studies: The front of each study, by the study's name.
        cost: The column on the x axis.
        quality: The column on the y axis.
    """
    shown = {name: front.dropna(subset=[cost, quality]).sort_values(cost) for name, front in studies.items()}
    if all(front.empty for front in shown.values()):
        return empty("No design of these studies has finished training yet.", 400)
    figure = go.Figure(layout={"template": template(), "height": 460, "hovermode": "closest", "showlegend": True})
    for number, (name, front) in enumerate(shown.items()):
        figure.add_scatter(
            x=floats(front[cost]),
            y=floats(front[quality]),
            mode="lines+markers",
            name=escaped(name),
            line={"shape": "hv", "width": 2, **line_of(number)},
            marker={"size": 8, "color": line_of(number)["color"]},
            customdata=[int(trial) for trial in front["trial"]],
            hovertemplate=f"<b>{escaped(name)}</b> trial %{{customdata}}<br>%{{y:.4~f}} at %{{x:.3s}}<extra></extra>",
        )
    costs = pd.concat([front[cost] for front in shown.values()])
    ticks = log_ticks(float(costs.min()), float(costs.max()))
    figure.update_xaxes(type="log", tickformat="~s", title_text=axis_title(cost), **ticks)
    figure.update_yaxes(title_text=axis_title(quality))
    return figure


def hypervolumes(histories: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Draw the hypervolume of several studies over finished evaluations.

    Args:
        histories: The columns ``evaluation`` and ``hypervolume`` by study; all for the same reference point.
    """
    if all(history.empty for history in histories.values()):
        return empty("No design of these studies has finished training yet.", 300)
    figure = go.Figure(layout={"template": template(), "height": 340, "hovermode": "x", "showlegend": True})
    for number, (name, history) in enumerate(histories.items()):
        figure.add_scatter(
            x=[int(value) for value in history["evaluation"]],
            y=floats(history["hypervolume"]),
            mode="lines",
            name=escaped(name),
            line={"shape": "hv", "width": 2, **line_of(number)},
            hovertemplate=f"{escaped(name)}: %{{y:.3f}} after %{{x}}<extra></extra>",
        )
    figure.update_xaxes(title_text="Finished evaluations", showgrid=False, tickformat="d")
    figure.update_yaxes(title_text="Hypervolume", rangemode="tozero")
    return figure


def rate(pace: pd.DataFrame) -> go.Figure:
    """Draw evaluations per hour over time as bars.

    Args:
        pace: The result of `srsearch.analysis.pace.per_hour`.
    """
    if pace.empty:
        return empty("Fewer than two designs have finished.", 240)
    figure = go.Figure(layout={"template": template(), "height": 300, "showlegend": False, "bargap": 0.08})
    middles = (pace["start"] + pd.to_timedelta(pace["hours"] / 2, unit="h")).dt.tz_localize(None).dt.floor("s")
    figure.add_bar(
        x=[time.isoformat() for time in middles],
        y=floats(pace["rate"]),
        width=[hours * 3_600_000 for hours in pace["hours"]],
        marker={"color": LIGHT.accent, "opacity": 0.8},
        hovertemplate="%{y:.1f} per hour around %{x}<extra></extra>",
    )
    figure.update_xaxes(title_text="Time (UTC)", showgrid=False)
    figure.update_yaxes(title_text="Finished per hour", rangemode="tozero")
    return figure


def line_of(number: int) -> dict[str, str]:
    """Colour and dash of a study's line."""
    count = len(LIGHT.marks)
    return {"color": LIGHT.marks[number % count], "dash": _DASHES[number // count % len(_DASHES)]}
