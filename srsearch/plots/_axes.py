"""The axes' values along the front: one lane per axis, from the cheapest design to the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import pandas as pd
import plotly.graph_objects as go

from srsearch.labels import MISSING, axis_labels, axis_text
from srsearch.plots._points import axis_title
from srsearch.plots._theme import LIGHT, empty, escaped, template
from srsearch.quantity import format_quantity

_LANE = 34  # pixels
_MOST_TICKS = 24


def axes(front: pd.DataFrame, axes: Sequence[str], *, cost: str = "mult_adds") -> go.Figure:
    """Draw the axes' values along the front: one lane per axis, one column per design, cheapest first.

    Neighbours with the same value share one block, so a lane reads as *channels 16, then 24, then 48*. Numbers are
    tinted from low to high; each word has its own tint.

    Args:
        front: The designs of the front, one row each.
        axes: The axes to show, usually those that differ along the front.
        cost: The column that orders the designs and labels the columns.
    """
    chosen = front.dropna(subset=[cost]).sort_values(cost)
    shown = [name for name in axes if name in chosen.columns]
    if chosen.empty or not shown:
        text = "No design has finished training yet." if chosen.empty else "The designs of the front differ in no axis."
        return empty(text, 200)
    labels = axis_labels(shown)
    figure = go.Figure(
        layout={
            "template": template(),
            "height": _LANE * len(shown) + 96,
            "barmode": "overlay",
            "bargap": 0.12,
            "showlegend": False,
            # Texts that do not fit their block only show on hover.
            "uniformtext": {"mode": "hide", "minsize": 10},
            "margin": {"t": 12, "b": 64},
        }
    )
    numbers = [int(number) for number in chosen["trial"]]
    costs = [format_quantity(float(value)) for value in chosen[cost]]
    for name in shown:
        _add_lane(figure, escaped(labels[name]), list(chosen[name]), numbers, costs)
    every = math.ceil(len(numbers) / _MOST_TICKS)
    figure.update_xaxes(
        range=[0, len(numbers)],
        tickvals=[i + 0.5 for i in range(0, len(numbers), every)],
        ticktext=[f"{costs[i]} #{numbers[i]}" for i in range(0, len(numbers), every)],
        autotickangles=[0, 90],  # upright where a narrow page has no room for them side by side
        showgrid=False,
        showline=False,
        ticks="",
        fixedrange=True,
        title_text=f"Designs of the front by {axis_title(cost)}",
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, type="category", ticksuffix="  ")
    figure.update_yaxes(tickfont={"color": LIGHT.ink, "size": 13})
    return figure


def _add_lane(figure: go.Figure, lane: str, values: list[object], numbers: list[int], costs: list[str]) -> None:
    words = [axis_text(value) for value in values]
    tints = _tints(values)
    blocks = []
    for word, members in groupby(range(len(words)), key=words.__getitem__):
        columns = list(members)
        if word != MISSING:
            blocks.append((columns[0], len(columns), word, tints[word], _span(columns, numbers, costs)))
    figure.add_bar(
        orientation="h",
        y=[lane] * max(len(blocks), 1),
        base=[start for start, *_ in blocks] or [0],
        x=[length for _, length, *_ in blocks] or [0],
        text=[escaped(word) for _, _, word, *_ in blocks],
        marker={"color": [tint for *_, tint, _ in blocks], "line": {"color": LIGHT.surface, "width": 2}},
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        textfont={"color": LIGHT.ink, "size": 12},
        hovertext=[f"<b>{lane}: {escaped(word)}</b><br>{span}" for _, _, word, _, span in blocks],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _span(columns: list[int], numbers: list[int], costs: list[str]) -> str:
    first, last = columns[0], columns[-1]
    if first == last:
        return f"trial {numbers[first]}, {costs[first]}"
    return f"{len(columns)} designs, {costs[first]} to {costs[last]}"


def _tints(values: Sequence[object]) -> dict[str, str]:
    """The tint of each value's text: numbers spread over the ramp by rank, words in order of appearance."""
    present = [value for value in values if axis_text(value) != MISSING]
    if any(isinstance(value, str) for value in present):
        words = dict.fromkeys(axis_text(value) for value in present)
        return {word: LIGHT.kinds[i % len(LIGHT.kinds)] for i, word in enumerate(words)}
    ranked = list(dict.fromkeys(axis_text(value) for value in sorted(present, key=float)))  # type: ignore[arg-type]
    last = max(len(ranked) - 1, 1)
    return {word: LIGHT.ramp[round(i / last * (len(LIGHT.ramp) - 1))] for i, word in enumerate(ranked)}
