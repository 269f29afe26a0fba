"""Figure of the front: quality over cost, with a point for every trained design and a staircase for the front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from srsearch.analysis.effects import level_order
from srsearch.labels import MISSING, axis_labels, axis_text
from srsearch.plots._points import (
    add_front,
    add_limit,
    array,
    axes_of,
    axis_title,
    floats,
    hovers,
    log_ticks,
    quality_range,
    thinned,
    trial_numbers,
    with_errors,
)
from srsearch.plots._theme import LIGHT, empty, escaped, template
from srsearch.quantity import format_quantity

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star", "hexagon")
_MOST_KINDS = len(LIGHT.marks)


@dataclass(frozen=True)
class PublishedPoint:
    """A published network, with the cost and quality that its paper prints.

    Attributes:
        name: The network's name in the paper.
        paper: The paper.
        cost: The cost on the x axis.
        quality: PSNR in dB, or SSIM, on some benchmark.
    """

    name: str
    paper: str
    cost: float
    quality: float


@dataclass(frozen=True)
class Browse:
    """What the dashboard's figure shows in addition to the front.

    Attributes:
        colour: Column that sets the points' colours; None: one colour for all.
        symbol: Column that sets the points' symbols; None: one symbol for all.
        selected: Numbers of the selected trials; None: all. Other trials are pale.
        box: Left, right, lower and upper edge of the selection.
        marked: Number of the design to mark; None: the page's script marks the best one inside the budget.
        stopped: Whether stopped and running designs are shown, at the PSNR that they have reached.
        published: Published networks to show, on their own scale at the right.
        benchmark: Data set of the published qualities.
        told: Cache of hover texts by trial number; missing ones are added.
    """

    colour: str | None = None
    symbol: str | None = None
    selected: frozenset[int] | None = None
    box: tuple[float, float, float, float] | None = None
    marked: int | None = None
    stopped: bool = False
    published: Sequence[PublishedPoint] = ()
    benchmark: str = ""
    told: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _View(Browse):
    """A `Browse` with the columns of the two axes."""

    cost: str = "mult_adds"
    quality: str = "psnr"


def front(
    trials: pd.DataFrame,
    front: pd.DataFrame,
    *,
    budget: Mapping[str, float] | None = None,
    title: str | None = None,
    cost: str = "mult_adds",
    quality: str = "psnr",
    browse: Browse | None = None,
) -> go.Figure:
    """Draw quality over cost (log scale), with the front as a staircase and the other trained designs muted behind it.

    Args:
        trials: All trials, from `srsearch.store.Store.trials`; rows without quality or cost are left out. With
            ``browse.stopped``, the columns ``reached`` (step) and ``reached_psnr`` (dB) are used, too.
        front: The non-dominated rows of ``trials``. A column ``psnr_error`` (or ``ssim_error``) is drawn as error bars
            of that size.
        budget: Limits by objective name (``{"mult_adds": 40e9}``); the one on ``cost`` is drawn.
        title: Title above the figure; it is escaped.
        cost: The column on the x axis.
        quality: The column on the y axis.
        browse: What the dashboard's figure shows in addition. With it, at most `MOST_POINTS` dominated designs are
            drawn, evenly over the figure, and ``meta`` of the layout and of some traces holds what the page's script
            needs to show a budget.

    Returns:
        A figure in the light palette; ``customdata`` of every point is its trial's number, its hover text the design.
    """
    how = _View(**vars(browse or Browse()), cost=cost, quality=quality)
    done = trials[trials[cost].notna() & trials[quality].notna() & (trials["state"] == "complete")]
    chosen = front.dropna(subset=[cost, quality]).sort_values([cost, quality])
    if done.empty:
        return empty("No design has finished training yet.", 460 if browse is None else 520)
    figure = go.Figure(layout={"template": template(), "height": 500, "hovermode": "closest"})
    if title:
        figure.update_layout(title=escaped(title), margin={"t": 84})
    limit = (budget or {}).get(cost)
    best = [y + sign * error for y, error in zip(*with_errors(chosen, quality), strict=True) for sign in (-1, 1)]
    # The dashboard's figure may cut off error bars, so that its range stays when the noise becomes known.
    low, high = quality_range(floats(done[quality]) + (best if browse is None else []), best)
    xs = floats(done[cost]) + ([float(limit)] if limit else [])
    left, right = min(xs) / 1.12, max(xs) * 1.12
    rest = done[~done["trial"].isin(chosen["trial"])]
    if browse is not None:
        rest = rest.iloc[thinned(np.log(array(rest[cost])), np.maximum(array(rest[quality]), low))]
    look = _Look.of(pd.concat([rest, chosen]), how)
    axes, floor = axes_of(trials), low + 0.012 * (high - low)
    if how.stopped:
        _add_stopped(figure, trials, how, axes, low)
    _add_rest(figure, rest, how, look, axes, floor)
    add_front(figure, chosen, axes, cost, quality, (left, right), (low, high), float(limit or right))
    _dress(figure.data[-1], chosen, how, look)
    _add_legend(figure, how, look)
    if browse is not None:
        _prepare_for_script(figure, done, chosen, how, limit, floor, right)
    elif limit:
        add_limit(figure, float(limit))
    if how.published:
        left, right = _add_published(figure, how, left, right)
    across = [math.log10(left), math.log10(right)]
    figure.update_xaxes(
        type="log", range=across, tickformat="~s", title_text=axis_title(cost), **log_ticks(left, right)
    )
    figure.update_yaxes(range=[low, high], title_text=axis_title(quality), selector={"overlaying": None})
    return figure


def _prepare_for_script(
    figure: go.Figure,
    done: pd.DataFrame,
    chosen: pd.DataFrame,
    how: _View,
    limit: float | None,
    floor: float,
    right: float,
) -> None:
    """Add what the page's script changes when a budget is set (staircase, best design, limit), and the selection."""
    figure.update_layout(height=520, dragmode="select")
    if len(chosen):
        staircase = next(trace for trace in figure.data if trace.line.shape == "hv")
        staircase.meta = {"part": "staircase"}
    _add_marked(figure, done, how)
    figure.layout.meta = {"cost": how.cost, "quality": how.quality, "floor": floor, "right": right, "limit": limit}
    add_limit(figure, float(limit or right))
    for part in (figure.layout.shapes[-1], figure.layout.annotations[-1]):
        part.update(name="limit", visible=limit is not None)
    if how.box:
        x0, x1, y0, y1 = how.box
        line = {"color": LIGHT.accent, "width": 1.5, "dash": "dot"}
        figure.add_shape(type="rect", x0=x0, x1=x1, y0=y0, y1=y1, line=line, fillcolor=LIGHT.veil)


@dataclass(frozen=True)
class _Look:
    """The colours and symbols of values.

    Attributes:
        colours: Colour by the value's text; empty if no column sets colours.
        symbols: Symbol by the value's text; empty if no column sets symbols.
        bins: Edges of bins, for a numeric column with many values; then the texts are those of bins.
    """

    colours: Mapping[str, str]
    symbols: Mapping[str, str]
    bins: tuple[float, ...] = ()

    @classmethod
    def of(cls, rows: pd.DataFrame, how: _View) -> _Look:
        bins = _bins(rows[how.colour]) if how.colour else ()
        colours = _colours(_words(rows[how.colour], bins)) if how.colour else {}
        kinds = sorted(set(_words(rows[how.symbol], ())), key=level_order) if how.symbol else []
        return cls(colours, {kind: SYMBOLS[min(i, len(SYMBOLS) - 1)] for i, kind in enumerate(kinds)}, bins)

    def colour(self, rows: pd.DataFrame, column: str | None) -> list[str]:
        """The colour of each row."""
        if column is None:
            return [LIGHT.muted] * len(rows)
        return [self.colours.get(word, LIGHT.muted) for word in _words(rows[column], self.bins)]

    def symbol(self, rows: pd.DataFrame, column: str | None) -> list[str]:
        """The symbol of each row."""
        if column is None:
            return ["circle"] * len(rows)
        return [self.symbols.get(word, "circle") for word in _words(rows[column], ())]


def _bins(column: pd.Series) -> tuple[float, ...]:
    """Edges of six bins with equal numbers of rows, if a column has more numbers than there are colours; else none."""
    values = column.dropna()
    if values.nunique() <= _MOST_KINDS or not pd.api.types.is_numeric_dtype(values):
        return ()
    edges = np.unique(np.quantile(values.to_numpy(dtype=np.float64), np.linspace(0, 1, len(LIGHT.steps) + 1)))
    return tuple(float(edge) for edge in edges) if len(edges) > 2 else ()


def _words(column: pd.Series, bins: tuple[float, ...]) -> list[str]:
    if not bins:
        return [axis_text(value) for value in column]
    names = [f"{_short(low)} to {_short(high)}" for low, high in pairwise(bins)]
    indices = np.clip(np.searchsorted(bins, array(column), side="right") - 1, 0, len(names) - 1)
    return [MISSING if pd.isna(value) else names[i] for value, i in zip(column, indices, strict=True)]


def _short(value: float) -> str:
    return format_quantity(value) if value >= 1000 else f"{value:.4g}"


def _colours(words: Sequence[str]) -> dict[str, str]:
    """The colour of each value's text: numbers and bins from low to high, one for each word; none for missing."""
    kinds = sorted(set(words) - {MISSING}, key=_bin_order)
    numeric = all(_bin_order(kind)[0] == 0 for kind in kinds)
    if numeric and len(kinds) <= len(LIGHT.steps):
        steps = [round(i / max(len(kinds) - 1, 1) * (len(LIGHT.steps) - 1)) for i in range(len(kinds))]
        return {kind: LIGHT.steps[step] for kind, step in zip(kinds, steps, strict=True)}
    return {kind: LIGHT.marks[min(i, _MOST_KINDS - 1)] for i, kind in enumerate(kinds)}


def _bin_order(word: str) -> tuple[int, float, str]:
    """Sort key of a value's text, or of a bin's by its lower edge."""
    first = word.partition(" to ")[0]
    factor = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(first[-1:], 1.0)
    kind, number, _ = level_order(first[:-1] if factor > 1 else first)
    return kind, number * factor, word if kind else ""


def _cached_hovers(rows: pd.DataFrame, axes: Sequence[str], cache: dict[int, str]) -> list[str]:
    """The hover text of each row; making them takes most of a figure's time."""
    numbers = trial_numbers(rows)
    missing = [i for i, number in enumerate(numbers) if number not in cache]
    if missing:
        cache |= zip([numbers[i] for i in missing], hovers(rows.iloc[missing], axes), strict=True)
    return [cache[number] for number in numbers]


def _pale(rows: pd.DataFrame, how: _View) -> np.ndarray:
    """(n,) whether a row is outside the selection."""
    if how.selected is None:
        return np.zeros(len(rows), dtype=bool)
    return ~rows["trial"].isin(how.selected).to_numpy(dtype=bool)


def _points(rows: pd.DataFrame, pale: np.ndarray, usual: float, faint: float) -> dict[str, object]:
    """The ``meta`` of a trace, from which the page's script makes points beyond a budget pale."""
    costs = {name: _numbers_or_none(rows[name]) for name in ("mult_adds", "params") if name in rows.columns}
    return {"part": "points", "usual": [faint if is_pale else usual for is_pale in pale], "faint": faint, **costs}


def _numbers_or_none(column: pd.Series) -> list[float | None]:
    return [None if math.isnan(value) else value for value in array(column).tolist()]


def _add_rest(figure: go.Figure, rest: pd.DataFrame, how: _View, look: _Look, axes: Sequence[str], low: float) -> None:
    ys = array(rest[how.quality])
    below, pale = ys < low, _pale(rest, how)
    texts, xs, numbers = _cached_hovers(rest, axes, how.told), floats(rest[how.cost]), trial_numbers(rest)
    colours, symbols = look.colour(rest, how.colour), look.symbol(rest, how.symbol)
    groups: dict[str, list[int]] = {}
    for i, word in enumerate(_words(rest[how.colour], look.bins) if how.colour else ["dominated"] * len(rest)):
        groups.setdefault(word, []).append(i)
    for word in sorted(groups, key=_bin_order):
        rows = groups[word]
        points = _points(rest.iloc[rows], pale[rows], 0.75, 0.15)
        figure.add_scatter(
            x=[xs[i] for i in rows],
            y=[max(float(ys[i]), low) for i in rows],
            mode="markers",
            name=escaped(word),
            legendgroup=word,
            showlegend=not how.colour,
            marker={
                "color": colours[rows[0]],
                "size": [10 if below[i] else 7 for i in rows],
                "opacity": points["usual"],
                # Points below the frame are drawn on its edge as triangles that point down.
                "symbol": ["triangle-down" if below[i] else symbols[i] for i in rows],
            },
            meta=points,
            cliponaxis=False,
            customdata=[numbers[i] for i in rows],
            hovertext=[texts[i] for i in rows],
            hovertemplate="%{hovertext}<extra></extra>",
        )


def _add_legend(figure: go.Figure, how: _View, look: _Look) -> None:
    """Add the legend of colours and symbols; Plotly's own would show pale marks, or none."""
    for word in sorted(look.colours, key=_bin_order):
        name = axis_labels([how.colour or ""])[how.colour or ""]
        _add_key(figure, f"{escaped(name)} {escaped(word)}", look.colours[word], "circle", group=word)
    for word, symbol in look.symbols.items():
        name = axis_labels([how.symbol or ""])[how.symbol or ""]
        _add_key(figure, f"{escaped(name)} {escaped(word)}", LIGHT.muted, symbol)


def _add_key(figure: go.Figure, name: str, colour: str, symbol: str, *, group: str | None = None) -> None:
    marker = {"color": colour, "size": 8, "symbol": symbol}
    figure.add_scatter(
        x=[None], y=[None], mode="markers", name=name, marker=marker, legendgroup=group, hoverinfo="skip"
    )


def _dress(trace: go.Scatter, chosen: pd.DataFrame, how: _View, look: _Look) -> None:
    """Set the colours and symbols of the front's points, which are larger and have a ring."""
    if how.colour:
        trace.marker.color = look.colour(chosen, how.colour)
        trace.marker.line = {"color": LIGHT.accent, "width": 2}
    if how.symbol:
        trace.marker.symbol = look.symbol(chosen, how.symbol)
    points = _points(chosen, _pale(chosen, how), 1.0, 0.2)
    trace.meta = points | {"labels": list(trace.text)}
    trace.marker.opacity = points["usual"]


def _add_stopped(figure: go.Figure, trials: pd.DataFrame, how: _View, axes: Sequence[str], low: float) -> None:
    """Add stopped and running designs as rings at the PSNR reached so far, which is not their final PSNR."""
    if "reached_psnr" not in trials.columns or how.quality != "psnr":
        return
    begun = trials[trials["reached_psnr"].notna() & trials[how.cost].notna()]
    begun = begun.iloc[thinned(np.log(array(begun[how.cost])), np.maximum(array(begun["reached_psnr"]), low), 800)]
    if begun.empty:
        return
    steps = array(begun["reached"])
    ys = floats(begun["reached_psnr"])
    points = _points(begun, np.zeros(len(begun), dtype=bool), 0.45, 0.1)
    figure.add_scatter(
        x=floats(begun[how.cost]),
        y=[max(y, low) for y in ys],
        mode="markers",
        name="set aside or running, at the rung reached",
        marker={"color": LIGHT.limit, "size": 5, "symbol": "circle-open", "opacity": points["usual"]},
        meta=points | {"unfinished": True},
        cliponaxis=False,
        customdata=trial_numbers(begun),
        hovertext=[
            f"{text}<br>{y:.3f} dB after {step:.0f} steps, {escaped(str(state))}"
            for text, y, step, state in zip(hovers(begun, axes), ys, steps, begun["state"], strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _add_marked(figure: go.Figure, done: pd.DataFrame, how: _View) -> None:
    """Add a ring around the marked design; an empty trace for the page's script if none is marked."""
    marked = done[done["trial"] == how.marked] if how.marked is not None else done.head(0)
    if how.marked is None or len(marked):
        figure.add_scatter(
            x=floats(marked[how.cost]),
            y=floats(marked[how.quality]),
            mode="markers",
            name=f"trial {how.marked}",
            showlegend=bool(len(marked)),
            marker={"size": 20, "symbol": "circle-open", "color": LIGHT.limit, "line": {"width": 3}},
            meta={"part": "best"} if how.marked is None else None,
            hoverinfo="skip",
        )


def _roomy_names(points: Sequence[PublishedPoint]) -> list[str]:
    """The networks' names, with "" for a name that would overlap another; its hover text still has it."""
    xs, ys = np.log([point.cost for point in points]), np.array([point.quality for point in points])
    width, height = max(float(np.ptp(xs)), 1.5), max(float(np.ptp(ys)), 1e-9)
    names: list[str] = []
    taken: list[tuple[float, float]] = []
    for point, x, y in zip(points, xs, ys, strict=True):
        free = all(abs(x - x0) / width > 0.16 or abs(y - y0) / height > 0.07 for x0, y0 in taken)
        names.append(escaped(point.name) if free else "")
        taken += [(float(x), float(y))] if free else []
    return names


def _add_published(figure: go.Figure, how: _View, left: float, right: float) -> tuple[float, float]:
    """Add published networks as diamonds with their own y axis at the right; returns the x range that includes them."""
    costs = [point.cost for point in how.published]
    figure.add_scatter(
        x=costs,
        y=[point.quality for point in how.published],
        yaxis="y2",
        mode="markers+text",
        name=f"published, {escaped(how.benchmark)} (right scale)",
        marker={"symbol": "diamond-open", "size": 9, "color": LIGHT.limit, "line": {"width": 1.5}},
        text=_roomy_names(how.published),
        # At the right edge, a name only fits to the left of its diamond.
        textposition=["top left" if cost > 0.6 * max(costs) else "top center" for cost in costs],
        textfont={"color": LIGHT.limit, "size": 11},
        hovertext=[
            f"<b>{escaped(point.name)}</b> ({escaped(point.paper)})<br>{format_quantity(point.cost)}, "
            f"{point.quality:g} on {escaped(how.benchmark)}, trained in full"
            for point in how.published
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    unit = axis_title(how.quality)
    figure.update_layout(
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
            "tickmode": "auto",
            "nticks": 6,
            "title": {"text": f"Published {unit} on {escaped(how.benchmark)}: another scale", "standoff": 12},
            "color": LIGHT.limit,
        }
    )
    return min(left, min(costs) / 1.2), max(right, max(costs) * 1.2)
