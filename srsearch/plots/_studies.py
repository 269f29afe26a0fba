"""Several studies in one figure, and how quickly a search goes."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from srsearch.plots._points import axis_title, floats, log_ticks
from srsearch.plots._theme import LIGHT, empty, escaped, template

_DASHES = ("solid", "dash", "dot", "dashdot")


def fronts(found: Mapping[str, pd.DataFrame], *, cost: str = "mult_adds", quality: str = "psnr") -> go.Figure:
    """The fronts of several studies as step lines.

    Args:
        found: The front of each study, by its name.
        cost: The column on the x axis.
        quality: The column on the y axis.
    """
    shown = {name: front.dropna(subset=[cost, quality]).sort_values(cost) for name, front in found.items()}
    if all(front.empty for front in shown.values()):
        return empty("No design of these studies has finished training yet.", 400)
    figure = go.Figure(layout={"template": template(), "height": 460, "hovermode": "closest", "showlegend": True})
    for place, (name, front) in enumerate(shown.items()):
        figure.add_scatter(
            x=floats(front[cost]),
            y=floats(front[quality]),
            mode="lines+markers",
            name=escaped(name),
            line={"shape": "hv", "width": 2, **_line(place)},
            marker={"size": 8, "color": _line(place)["color"]},
            customdata=[int(number) for number in front["trial"]],
            hovertemplate=f"<b>{escaped(name)}</b> trial %{{customdata}}<br>%{{y:.4~f}} at %{{x:.3s}}<extra></extra>",
        )
    costs = pd.concat([front[cost] for front in shown.values()])
    ticks = log_ticks(float(costs.min()), float(costs.max()))
    figure.update_xaxes(type="log", tickformat="~s", title_text=axis_title(cost), **ticks)
    figure.update_yaxes(title_text=axis_title(quality))
    return figure


def hypervolumes(found: Mapping[str, pd.DataFrame]) -> go.Figure:
    """The hypervolume of several studies by finished evaluation.

    Args:
        found: By study, columns ``evaluation`` and ``hypervolume``, relative to one reference point.
    """
    if all(history.empty for history in found.values()):
        return empty("No design of these studies has finished training yet.", 300)
    figure = go.Figure(layout={"template": template(), "height": 340, "hovermode": "x", "showlegend": True})
    for place, (name, history) in enumerate(found.items()):
        figure.add_scatter(
            x=[int(value) for value in history["evaluation"]],
            y=floats(history["hypervolume"]),
            mode="lines",
            name=escaped(name),
            line={"shape": "hv", "width": 2, **_line(place)},
            hovertemplate=f"{escaped(name)}: %{{y:.3f}} after %{{x}}<extra></extra>",
        )
    figure.update_xaxes(title_text="Finished evaluations", showgrid=False, tickformat="d")
    figure.update_yaxes(title_text="Hypervolume", rangemode="tozero")
    return figure


def rate(found: pd.DataFrame) -> go.Figure:
    """Evaluations per hour over time, as bars.

    Args:
        found: As `srsearch.analysis.pace.per_hour` gives it.
    """
    if found.empty:
        return empty("Fewer than two designs have finished.", 240)
    figure = go.Figure(layout={"template": template(), "height": 300, "showlegend": False, "bargap": 0.08})
    middles = (found["start"] + pd.to_timedelta(found["hours"] / 2, unit="h")).dt.tz_localize(None).dt.floor("s")
    figure.add_bar(
        x=[time.isoformat() for time in middles],
        y=floats(found["rate"]),
        width=[hours * 3_600_000 for hours in found["hours"]],
        marker={"color": LIGHT.accent, "opacity": 0.8},
        hovertemplate="%{y:.1f} per hour around %{x}<extra></extra>",
    )
    figure.update_xaxes(title_text="Time (UTC)", showgrid=False)
    figure.update_yaxes(title_text="Finished per hour", rangemode="tozero")
    return figure


def _line(place: int) -> dict[str, str]:
    count = len(LIGHT.marks)
    return {"color": LIGHT.marks[place % count], "dash": _DASHES[place // count % len(_DASHES)]}
