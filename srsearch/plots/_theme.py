"""The look of all figures: a light and a dark palette, and the Plotly template of a palette.

Figures are drawn with `LIGHT`, and use only its colours, unmixed. So a page can turn a figure dark by exchanging
colours one for one (`exchange`), without drawing it twice.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from html import escape

import plotly.graph_objects as go

FONT = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif'
)


@dataclass(frozen=True)
class Palette:
    """The colours of the figures by their use.

    Attributes:
        surface: Background of figures.
        raised: Background of hover boxes.
        ink: Text.
        quiet: Secondary text: axis titles, ticks.
        grid: Grid and axis lines.
        accent: The front.
        veil: The accent, nearly transparent, for areas.
        muted: Dominated trials.
        limit: Budget lines.
        ramp: Tints from low to high; ``ink`` is readable on each.
        kinds: Tints without order; ``ink`` is readable on each.
        marks: Strong colours without order, for points and lines.
        steps: Strong colours from low to high, for points.
        lows: Tints from 0 down to negative values; ``ink`` is readable on each.
        highs: Tints from 0 up to positive values; ``ink`` is readable on each.
    """

    surface: str
    raised: str
    ink: str
    quiet: str
    grid: str
    accent: str
    veil: str
    muted: str
    limit: str
    ramp: tuple[str, ...]
    kinds: tuple[str, ...]
    marks: tuple[str, ...]
    steps: tuple[str, ...]
    lows: tuple[str, ...]
    highs: tuple[str, ...]


LIGHT = Palette(
    surface="#ffffff",
    raised="#fdfdfe",
    ink="#1b2026",
    quiet="#56606b",
    grid="#e5e8ec",
    accent="#0b5fb8",
    veil="rgba(11, 95, 184, 0.08)",
    muted="#a3adb8",
    limit="#b0491a",
    ramp=("#edf3fa", "#dae8f6", "#c4daf1", "#adcced", "#95bee7", "#7cafe1"),
    kinds=("#dcebdd", "#f6e3cf", "#e8def2", "#d3eaea", "#f4d9dd", "#efe8c6", "#d9dff8", "#e1e4e8"),
    marks=("#2a6fb0", "#c2571a", "#2c8a57", "#8a4fb5", "#b3323c", "#7a6a12", "#12808a", "#5f6a76"),
    steps=("#9fd0c0", "#6bb5b0", "#4196a5", "#2b7694", "#22567c", "#1d3763"),
    lows=("#f4f5f7", "#f6dccb", "#f0b994", "#e59566"),
    highs=("#f3f5f8", "#cfe3f3", "#9ec8e8", "#6baad9"),
)

DARK = Palette(
    surface="#161b21",
    raised="#222931",
    ink="#e6e9ed",
    quiet="#9ba5b1",
    grid="#2b323a",
    accent="#6db1ff",
    veil="rgba(109, 177, 255, 0.10)",
    muted="#6d7986",
    limit="#f2a274",
    ramp=("#1d2733", "#203449", "#244260", "#285076", "#2c5b8a", "#2f659d"),
    kinds=("#24412d", "#4e3720", "#3d3055", "#1f4644", "#512c33", "#46401b", "#2c3763", "#373d45"),
    marks=("#7fb8f0", "#f0a36b", "#74cc9b", "#c79be8", "#f08a90", "#d3c25a", "#62c8d2", "#aab4bf"),
    steps=("#2f5a63", "#36787f", "#459798", "#62b5ab", "#8bd0bd", "#c0ead3"),
    lows=("#20252b", "#4a3324", "#6f4527", "#96572a"),
    highs=("#1f262d", "#23405a", "#27587f", "#2c71a6"),
)


def exchange(old: Palette = LIGHT, new: Palette = DARK) -> dict[str, str]:
    """Return the new colour for each old one, for a figure that changes its palette."""
    pairs: dict[str, str] = {}
    for field in fields(Palette):
        before, after = getattr(old, field.name), getattr(new, field.name)
        pairs.update(zip(before, after, strict=True) if isinstance(before, tuple) else [(before, after)])
    return pairs


def template(palette: Palette = LIGHT) -> go.layout.Template:
    """Return the Plotly template of a palette: unobtrusive axes, no zero lines, hover boxes in the page's font."""
    axis = {
        "gridcolor": palette.grid,
        "linecolor": palette.grid,
        "tickcolor": palette.grid,
        "tickfont": {"color": palette.quiet, "size": 12},
        "title": {"font": {"color": palette.quiet, "size": 13}, "standoff": 12},
        "zeroline": False,
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": palette.ink},
            "title": {"font": {"size": 16, "color": palette.ink}, "x": 0, "xref": "paper", "xanchor": "left"},
            "paper_bgcolor": palette.surface,
            "plot_bgcolor": palette.surface,
            "colorway": [palette.accent, palette.muted, palette.limit],
            "xaxis": {**axis, "showline": True, "ticks": "outside", "ticklen": 5},
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": palette.raised,
                "bordercolor": palette.grid,
                "font": {"family": FONT, "size": 13, "color": palette.ink},
                "align": "left",
            },
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.0,
                "xanchor": "left",
                "yanchor": "bottom",
                "font": {"color": palette.quiet, "size": 12},
                "itemclick": "toggle",
            },
            # Plotly's mode bar offers to upload a figure to a cloud service: not ours, in notebooks and files either.
            "modebar": {
                "bgcolor": "rgba(0,0,0,0)",
                "color": palette.muted,
                "activecolor": palette.accent,
                "remove": ["sendChartToCloud"],
            },
            "margin": {"l": 56, "r": 24, "t": 40, "b": 48},
        }
    )


def escaped(text: str) -> str:
    """Escape text for Plotly, which reads labels as markup but does not know entities for quotes."""
    return escape(text, quote=False)


def empty(message: str, height: int) -> go.Figure:
    """Return a figure that shows a message instead of data."""
    figure = go.Figure(layout={"template": template(), "height": height})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(
        text=message, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5, font={"color": LIGHT.quiet, "size": 15}
    )
    return figure
