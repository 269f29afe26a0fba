"""The front to browse: every design a point, coloured and shaped by any axis, with published networks beside."""

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
from srsearch.plots._front import (
    _add_front,
    _add_limit,
    _axes_of,
    _axis_title,
    _floats,
    _frame,
    _hovers,
    _measured,
    _numbers,
    _ticks,
)
from srsearch.plots._theme import LIGHT, empty, escaped, template
from srsearch.quantity import format_quantity

MOST_POINTS = 800
"""Points that are drawn; of those that lie on one another, one."""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star", "hexagon")
_MOST_KINDS = len(LIGHT.marks)


@dataclass(frozen=True)
class PublishedPoint:
    """A published network: its printed cost and quality.

    Attributes:
        name: As printed.
        paper: Where.
        cost: On the x axis.
        quality: PSNR in dB or SSIM on some benchmark.
    """

    name: str
    paper: str
    cost: float
    quality: float


@dataclass(frozen=True)
class Browse:
    """What is shown, and how.

    Attributes:
        cost: The column on the x axis.
        quality: The column on the y axis.
        colour: The column that colours the points; None: none does.
        symbol: The column that shapes them.
        limits: The study's own, by column; the one on ``cost`` is drawn.
        selected: Numbers of the selected trials; None: all. Others are pale.
        box: Left, right, low and high edge of the selection.
        marked: Number of the design that is looked at; None: the pages' script marks the best inside the budget.
        stopped: Whether designs on the way are shown at the PSNR that they have reached.
        published: Networks to show on a scale of their own, at the right.
        benchmark: What their quality was measured on.
        told: What hovering tells of designs, by number; what is missing is added, to be used again.
    """

    cost: str = "mult_adds"
    quality: str = "psnr"
    colour: str | None = None
    symbol: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    selected: frozenset[int] | None = None
    box: tuple[float, float, float, float] | None = None
    marked: int | None = None
    stopped: bool = False
    published: Sequence[PublishedPoint] = ()
    benchmark: str = ""
    told: dict[int, str] = field(default_factory=dict)


def browse(trials: pd.DataFrame, front: pd.DataFrame, shown: Browse | None = None) -> go.Figure:
    """Quality over cost (log scale) of all designs.

    Args:
        trials: Every trial, as `srsearch.store.Store.trials` gives them, with ``reached_psnr`` where ``stopped`` is
            asked for. Of more than `MOST_POINTS` that are not on the front some are drawn, evenly over the figure.
        front: The rows that nothing dominates; with ``psnr_error`` (or the quality's name) there are error bars.
        shown: What is shown.

    Returns:
        A figure in the light palette; ``customdata`` of every point is its trial's number. ``meta`` of the layout and
        of some traces has what the pages' script needs to show a budget in it.
    """
    how = shown or Browse()
    cost, quality = how.cost, how.quality
    done = trials[trials[cost].notna() & trials[quality].notna() & (trials["state"] == "complete")]
    chosen = front.dropna(subset=[cost, quality]).sort_values([cost, quality])
    if done.empty:
        return empty("No design has finished training yet.", 520)
    limit = how.limits.get(cost)
    figure = go.Figure(layout={"template": template(), "height": 520, "hovermode": "closest", "dragmode": "select"})
    best = [y + sign * error for y, error in zip(*_measured(chosen, quality), strict=True) for sign in (-1, 1)]
    xs, ys = _array(done[cost]), _array(done[quality])
    low, high = _frame(ys.tolist(), best)
    left, right = float(xs.min()) / 1.12, max(float(xs.max()), float(limit or 0)) * 1.12
    rest = done[~done["trial"].isin(chosen["trial"])]
    rest = rest.iloc[thinned(np.log(_array(rest[cost])), np.maximum(_array(rest[quality]), low))]
    look = _Look.of(pd.concat([rest, chosen]), how)
    axes = _axes_of(trials)
    if how.stopped:
        _add_stopped(figure, trials, how, axes, low)
    floor = low + 0.012 * (high - low)
    _add_rest(figure, rest, how, look, axes, floor)
    end = min(limit, right) if limit else right
    _add_front(figure, chosen, axes, cost, quality, (left, right), (low, high), float(end))
    _dress(figure.data[-1], chosen, how, look)
    if len(chosen):
        figure.data[-2].meta = {"part": "staircase"}
    _add_legend(figure, how, look)
    _add_marked(figure, done, how)
    figure.layout.meta = {"cost": cost, "quality": quality, "floor": floor, "right": right, "limit": limit}
    _add_limit(figure, float(limit or right))
    for part in (figure.layout.shapes[-1], figure.layout.annotations[-1]):
        part.update(name="limit", visible=limit is not None)
    if how.box:
        x0, x1, y0, y1 = how.box
        line = {"color": LIGHT.accent, "width": 1.5, "dash": "dot"}
        figure.add_shape(type="rect", x0=x0, x1=x1, y0=y0, y1=y1, line=line, fillcolor=LIGHT.veil)
    if how.published:
        left, right = _add_published(figure, how, left, right)
    figure.update_xaxes(
        type="log",
        range=[math.log10(left), math.log10(right)],
        tickformat="~s",
        title_text=_axis_title(cost),
        **_ticks(left, right),
    )
    figure.update_yaxes(range=[low, high], title_text=_axis_title(quality), selector={"overlaying": None})
    return figure


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


def _array(column: pd.Series) -> np.ndarray:
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


@dataclass(frozen=True)
class _Look:
    """Which colour and symbol stand for which value.

    Attributes:
        colours: By the value's text; empty: by none.
        symbols: By the value's text.
        bins: Edges where a numeric column has many values: the text is that of the bin.
    """

    colours: Mapping[str, str]
    symbols: Mapping[str, str]
    bins: tuple[float, ...] = ()

    @classmethod
    def of(cls, rows: pd.DataFrame, how: Browse) -> _Look:
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
    """Edges of six bins of equal numbers where there are more values than colours; none for words."""
    values = column.dropna()
    if values.nunique() <= _MOST_KINDS or not pd.api.types.is_numeric_dtype(values):
        return ()
    edges = np.unique(np.quantile(values.to_numpy(dtype=np.float64), np.linspace(0, 1, len(LIGHT.steps) + 1)))
    return tuple(float(edge) for edge in edges) if len(edges) > 2 else ()


def _words(column: pd.Series, bins: tuple[float, ...]) -> list[str]:
    if not bins:
        return [axis_text(value) for value in column]
    names = [f"{_short(low)} to {_short(high)}" for low, high in pairwise(bins)]
    places = np.clip(np.searchsorted(bins, _array(column), side="right") - 1, 0, len(names) - 1)
    return [MISSING if pd.isna(v) else names[place] for v, place in zip(column, places, strict=True)]


def _short(value: float) -> str:
    return format_quantity(value) if value >= 1000 else f"{value:.4g}"


def _colours(words: Sequence[str]) -> dict[str, str]:
    """Numbers (and bins) from low to high, words each its own; what is missing is muted."""
    kinds = sorted(set(words) - {MISSING}, key=_bin_order)
    numeric = all(_bin_order(kind)[0] == 0 for kind in kinds)
    if numeric and len(kinds) <= len(LIGHT.steps):
        places = [round(i / max(len(kinds) - 1, 1) * (len(LIGHT.steps) - 1)) for i in range(len(kinds))]
        return {kind: LIGHT.steps[place] for kind, place in zip(kinds, places, strict=True)}
    return {kind: LIGHT.marks[min(i, _MOST_KINDS - 1)] for i, kind in enumerate(kinds)}


def _bin_order(word: str) -> tuple[int, float, str]:
    first = word.partition(" to ")[0]
    factor = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(first[-1:], 1.0)
    found = level_order(first[:-1] if factor > 1 else first)
    return found[0], found[1] * factor, word if found[0] else ""


def _told(rows: pd.DataFrame, axes: Sequence[str], told: dict[int, str]) -> list[str]:
    """What hovering tells of each row: most of the time that a figure takes."""
    numbers = _numbers(rows)
    missing = [place for place, number in enumerate(numbers) if number not in told]
    if missing:
        told |= zip([numbers[place] for place in missing], _hovers(rows.iloc[missing], axes), strict=True)
    return [told[number] for number in numbers]


def _pale(rows: pd.DataFrame, how: Browse) -> np.ndarray:
    """Which rows are outside the selection."""
    if how.selected is None:
        return np.zeros(len(rows), dtype=bool)
    return ~rows["trial"].isin(how.selected).to_numpy(dtype=bool)


def _points(rows: pd.DataFrame, pale: np.ndarray, usual: float, faint: float) -> dict[str, object]:
    """What the pages' script needs to make points beyond a budget pale."""
    costs = {name: _numbers_or_none(rows[name]) for name in ("mult_adds", "params") if name in rows.columns}
    return {"part": "points", "usual": [faint if each else usual for each in pale], "faint": faint, **costs}


def _numbers_or_none(column: pd.Series) -> list[float | None]:
    return [None if math.isnan(value) else value for value in _array(column).tolist()]


def _add_rest(figure: go.Figure, rest: pd.DataFrame, how: Browse, look: _Look, axes: Sequence[str], low: float) -> None:
    ys = _array(rest[how.quality])
    below, pale = ys < low, _pale(rest, how)
    hovers, xs, numbers = _told(rest, axes, how.told), _floats(rest[how.cost]), _numbers(rest)
    colours, symbols = look.colour(rest, how.colour), look.symbol(rest, how.symbol)
    groups: dict[str, list[int]] = {}
    for place, word in enumerate(_words(rest[how.colour], look.bins) if how.colour else ["dominated"] * len(rest)):
        groups.setdefault(word, []).append(place)
    for word in sorted(groups, key=_bin_order):
        places = groups[word]
        points = _points(rest.iloc[places], pale[places], 0.75, 0.15)
        figure.add_scatter(
            x=[xs[place] for place in places],
            y=[max(float(ys[place]), low) for place in places],
            mode="markers",
            name=escaped(word),
            legendgroup=word,
            showlegend=not how.colour,
            marker={
                "color": colours[places[0]],
                "size": [10 if below[place] else 7 for place in places],
                "opacity": points["usual"],
                # What lies below the frame sits on its edge and points down.
                "symbol": ["triangle-down" if below[place] else symbols[place] for place in places],
            },
            meta=points,
            cliponaxis=False,
            customdata=[numbers[place] for place in places],
            hovertext=[hovers[place] for place in places],
            hovertemplate="%{hovertext}<extra></extra>",
        )


def _add_legend(figure: go.Figure, how: Browse, look: _Look) -> None:
    """What colours and symbols stand for: a legend of the points themselves would show a pale one, or none."""
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


def _dress(trace: go.Scatter, chosen: pd.DataFrame, how: Browse, look: _Look) -> None:
    """Colours and symbols of the front's points, which are larger and have a ring."""
    if how.colour:
        trace.marker.color = look.colour(chosen, how.colour)
        trace.marker.line = {"color": LIGHT.accent, "width": 2}
    if how.symbol:
        trace.marker.symbol = look.symbol(chosen, how.symbol)
    points = _points(chosen, _pale(chosen, how), 1.0, 0.2)
    trace.meta, trace.marker.opacity = points, points["usual"]


def _add_stopped(figure: go.Figure, trials: pd.DataFrame, how: Browse, axes: Sequence[str], low: float) -> None:
    """Designs on the way: rings at what they had reached, which is not what they would end with."""
    if "reached_psnr" not in trials.columns or how.quality != "psnr":
        return
    begun = trials[trials["reached_psnr"].notna() & trials[how.cost].notna()]
    begun = begun.iloc[thinned(np.log(_array(begun[how.cost])), np.maximum(_array(begun["reached_psnr"]), low), 800)]
    if begun.empty:
        return
    steps = _array(begun["reached"])
    ys = _floats(begun["reached_psnr"])
    points = _points(begun, np.zeros(len(begun), dtype=bool), 0.45, 0.1)
    figure.add_scatter(
        x=_floats(begun[how.cost]),
        y=[max(y, low) for y in ys],
        mode="markers",
        name="set aside or running, at the rung reached",
        marker={"color": LIGHT.limit, "size": 5, "symbol": "circle-open", "opacity": points["usual"]},
        meta=points,
        cliponaxis=False,
        customdata=_numbers(begun),
        hovertext=[
            f"{text}<br>{y:.3f} dB after {step:.0f} steps, {escaped(str(state))}"
            for text, y, step, state in zip(_hovers(begun, axes), ys, steps, begun["state"], strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _add_marked(figure: go.Figure, done: pd.DataFrame, how: Browse) -> None:
    found = done[done["trial"] == how.marked] if how.marked is not None else done.head(0)
    if how.marked is None or len(found):
        figure.add_scatter(
            x=_floats(found[how.cost]),
            y=_floats(found[how.quality]),
            mode="markers",
            name=f"trial {how.marked}",
            showlegend=bool(len(found)),
            marker={"size": 20, "symbol": "circle-open", "color": LIGHT.limit, "line": {"width": 3}},
            meta={"part": "best"} if how.marked is None else None,
            hoverinfo="skip",
        )


def _roomy_names(points: Sequence[PublishedPoint]) -> list[str]:
    """Their names, left out where they would stand on another one (hovering still tells them)."""
    xs, ys = np.log([point.cost for point in points]), np.array([point.quality for point in points])
    width, height = max(float(np.ptp(xs)), 1.5), max(float(np.ptp(ys)), 1e-9)
    names: list[str] = []
    taken: list[tuple[float, float]] = []
    for point, x, y in zip(points, xs, ys, strict=True):
        free = all(abs(x - at) / width > 0.16 or abs(y - level) / height > 0.07 for at, level in taken)
        names.append(escaped(point.name) if free else "")
        taken += [(float(x), float(y))] if free else []
    return names


def _add_published(figure: go.Figure, how: Browse, left: float, right: float) -> tuple[float, float]:
    """Diamonds on an axis of their own, at the right; the x range that holds them too."""
    costs = [point.cost for point in how.published]
    figure.add_scatter(
        x=costs,
        y=[point.quality for point in how.published],
        yaxis="y2",
        mode="markers+text",
        name=f"published, {escaped(how.benchmark)} (right scale)",
        marker={"symbol": "diamond-open", "size": 9, "color": LIGHT.limit, "line": {"width": 1.5}},
        text=_roomy_names(how.published),
        # At the right edge a name has no room but at the left.
        textposition=["top left" if cost > 0.6 * max(costs) else "top center" for cost in costs],
        textfont={"color": LIGHT.limit, "size": 11},
        hovertext=[
            f"<b>{escaped(point.name)}</b> ({escaped(point.paper)})<br>{format_quantity(point.cost)}, "
            f"{point.quality:g} on {escaped(how.benchmark)}, trained in full"
            for point in how.published
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    unit = "PSNR (dB)" if how.quality == "psnr" else "SSIM"
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
