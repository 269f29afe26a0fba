"""One design: a diagram of its parts, what they cost, and how its training went beside others of its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from srsearch.labels import axis_text
from srsearch.plots._theme import LIGHT, empty, escaped, template
from srsearch.quantity import format_quantity

_MOST_BLOCKS = 24
_UNSAID = {"none", "all", "same", "False"}
_LOW, _HIGH = 0.0, 1.0  # of the row of boxes


@dataclass(frozen=True)
class _Box:
    """A part in the row.

    Attributes:
        kind: Which tint it has: the same for the same weights.
        about: What hovering tells.
        label: What stands in it.
        width: In units of a block.
    """

    kind: int
    about: str
    label: str
    width: float = 1.0


@dataclass(frozen=True)
class _Row:
    """All boxes from the image to the image.

    Attributes:
        boxes: From left to right.
        groups: First and last position, and the name.
        skips: From position to position, and how high the arc is.
    """

    boxes: Sequence[_Box]
    groups: Sequence[tuple[int, int, str]]
    skips: Sequence[tuple[float, float, float, str]]


def diagram(design: Mapping[str, Any]) -> go.Figure:
    """The network, drawn from its parts: boxes from LR to HR image, arcs for what is added or concatenated again.

    Boxes with equal weights have one tint. Hovering over a box tells its options.

    Args:
        design: Its description, as `srsearch.architecture.Architecture.to_dict` gives it.
    """
    if not design:
        return empty("The database has no description of this design.", 200)
    row = _row(design)
    lefts, at = [], 0.0
    for box in row.boxes:
        lefts.append(at)
        at += box.width + 0.28
    figure = go.Figure(layout={"template": template(), "height": 300, "showlegend": False, "hovermode": "closest"})
    for first, second in _pairs(lefts, row.boxes):
        _arrow(figure, first, second)
    middles = [left + box.width / 2 for left, box in zip(lefts, row.boxes, strict=True)]
    for begin, last, name in row.groups:
        x0, x1 = lefts[begin] - 0.12, lefts[last] + row.boxes[last].width + 0.12
        line = {"color": LIGHT.muted, "width": 1, "dash": "dot"}
        figure.add_shape(type="rect", x0=x0, x1=x1, y0=_LOW - 0.18, y1=_HIGH + 0.12, line=line, layer="below")
        _note(figure, (x0 + x1) / 2, _LOW - 0.3, name, LIGHT.quiet, 12)
    for start, end, height, name in row.skips:
        _arc(figure, _place(start, lefts, row.boxes), _place(end, lefts, row.boxes), height, name)
    for left, box in zip(lefts, row.boxes, strict=True):
        tint = LIGHT.kinds[box.kind % len(LIGHT.kinds)]
        figure.add_shape(
            type="rect",
            x0=left,
            x1=left + box.width,
            y0=_LOW,
            y1=_HIGH,
            fillcolor=tint,
            line={"color": LIGHT.quiet, "width": 1},
            layer="below",
        )
        upright = box.width < 1.6 and len(box.label) > 3
        _note(figure, left + box.width / 2, 0.5, box.label, LIGHT.ink, 11, angle=-90 if upright else 0)
    figure.add_scatter(
        x=middles,
        y=[0.5] * len(middles),
        mode="markers",
        marker={"size": 26, "opacity": 0, "color": LIGHT.surface},
        hovertext=[box.about for box in row.boxes],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    highest = max([height for _, _, height, _ in row.skips], default=0.2)
    figure.update_xaxes(visible=False, range=[-0.3, at], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-0.55, 1.25 + highest], fixedrange=True)
    figure.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})
    return figure


def _pairs(lefts: Sequence[float], boxes: Sequence[_Box]) -> list[tuple[float, float]]:
    ends = [left + box.width for left, box in zip(lefts, boxes, strict=True)]
    return list(zip(ends[:-1], lefts[1:], strict=True))


def _place(position: float, lefts: Sequence[float], boxes: Sequence[_Box]) -> float:
    """A position is a box; half a position before it, the way to it."""
    whole = round(position + 0.5)
    return lefts[whole] - 0.14 if whole < len(lefts) else lefts[-1] + boxes[-1].width


def _arrow(figure: go.Figure, first: float, second: float) -> None:
    figure.add_annotation(
        x=second,
        ax=first,
        y=0.5,
        ay=0.5,
        xref="x",
        yref="y",
        axref="x",
        ayref="y",
        text="",
        arrowhead=2,
        arrowsize=0.9,
        arrowwidth=1.3,
        arrowcolor=LIGHT.quiet,
        showarrow=True,
    )


def _arc(figure: go.Figure, start: float, end: float, height: float, name: str) -> None:
    top = _HIGH + height
    path = f"M {start} 0.5 L {start} {top - 0.12} Q {start} {top} {start + 0.1} {top} "
    path += f"L {end - 0.1} {top} Q {end} {top} {end} {top - 0.12} L {end} 0.55"
    colour = LIGHT.accent if name else LIGHT.muted
    figure.add_shape(type="path", path=path, line={"color": colour, "width": 1.3}, layer="below")
    figure.add_scatter(
        x=[end],
        y=[0.5],
        mode="markers",
        marker={"symbol": "circle", "size": 6, "color": colour},
        hoverinfo="skip",
    )
    if name:
        _note(figure, (start + end) / 2, top + 0.1, name, LIGHT.accent, 12)


def _note(figure: go.Figure, x: float, y: float, text: str, colour: str, size: int, *, angle: int = 0) -> None:
    figure.add_annotation(
        x=x, y=y, text=escaped(text), showarrow=False, font={"color": colour, "size": size}, textangle=angle
    )


def _part(value: object, default: str = "") -> tuple[str, Mapping[str, Any]]:
    """Name and options of a part's description."""
    if isinstance(value, Mapping) and value:
        name, options = next(iter(value.items()))
        return str(name), options if isinstance(options, Mapping) else {}
    return (str(value), {}) if value else (default, {})


def _text(value: object, default: str = "") -> str:
    name, options = _part(value, default)
    inside = ", ".join(f"{k} {axis_text(v)}" for k, v in options.items() if str(v) not in _UNSAID)
    return f"{name} ({inside})" if inside else name


def _row(design: Mapping[str, Any]) -> _Row:
    channels = int(design.get("channels", 64))
    scale = design.get("scale", "")
    scales = " and ".join(f"\N{MULTIPLICATION SIGN}{each}" for each in (scale if isinstance(scale, list) else [scale]))
    entry = _Box(
        0, _about("Entry", design.get("entry", "conv"), f"from the image to {channels} channels"), "entry", 0.8
    )
    blocks, groups, skips = _body(design)
    boxes = [entry, *blocks]
    end = len(boxes)
    if _part(design.get("body"))[0] == "residual_groups":
        boxes.append(_Box(2, _about("Closing", design.get("closing", "conv"), "ends the body"), "closing", 0.8))
        end += 1
    if design.get("global_skip", True):
        skips.append((0.5, end - 0.5, 1.0 if len(blocks) > 1 else 0.6, "global skip"))
    levels = _part(design.get("levels"))[0]
    if levels in ("pyramid", "progressive"):
        groups.append((0, end, f"{levels}: repeated for each \N{MULTIPLICATION SIGN}2 level"))
    boxes.append(_Box(1, _about("Upsampler", design.get("upsampler"), scales), f"upsampler {scales}", 1.0))
    if design.get("refinement"):
        boxes.append(_Box(4, _about("Refinement", design["refinement"], "after the upsampler"), "refinement", 0.8))
    boxes.append(_Box(0, "<b>Exit</b><br>a convolution from features to the image", "exit", 0.8))
    if (residual := design.get("image_residual", "none")) != "none":
        skips.append((-0.5, len(boxes) - 0.5, 1.35, f"{residual} image residual"))
    return _Row(boxes, groups, skips)


def _about(what: str, part: object, more: str) -> str:
    return f"<b>{what}: {escaped(_text(part, 'conv'))}</b><br>{escaped(more)}"


def _body(
    design: Mapping[str, Any],
) -> tuple[list[_Box], list[tuple[int, int, str]], list[tuple[float, float, float, str]]]:
    """The body's boxes, groups and skips; positions are those in the whole row, where one box is before it."""
    name, options = _part(design.get("body"), "chain")
    groups, blocks = _counts(name, options)
    shared = options.get("share") == "group"
    block, unit = _text(design.get("block"), "residual"), _text(design.get("unit"), "conv")
    short = _part(design.get("block"), "residual")[0].replace("_", " ")
    channels = design.get("channels", 64)
    boxes: list[_Box] = []
    frames: list[tuple[int, int, str]] = []
    skips: list[tuple[float, float, float, str]] = []
    drawn = blocks if sum(groups) <= _MOST_BLOCKS else 1
    for number, count in enumerate(groups, start=1):
        first = 1 + len(boxes)
        single = count > 1 and drawn == 1 and blocks > 1
        for place in range(1 if single else count):
            weights = "the same weights in the whole group" if shared else "weights of its own"
            which = f"{count} blocks" if single else f"block {place + 1} of {count}"
            about = f"<b>{escaped(block)}</b><br>units: {escaped(unit)}<br>{which}, {channels} channels, {weights}"
            label = f"{short} \N{MULTIPLICATION SIGN}{count}" if single else short
            boxes.append(_Box(3 + number % 5 if shared else 3, about, label, 0.7))
        last = len(boxes)
        note = ", shared" if shared and count > 1 else ""
        frames.append(
            (first, last, f"{_GROUP.get(name, 'group')} {number}{note}" if len(groups) > 1 else f"body{note}")
        )
        if name == "residual_groups":
            skips.append((first - 0.5, last + 0.5, 0.3, ""))
        if name in ("dense", "memory") or (name == "cascade" and options.get("fusion") in ("local", "both")):
            skips += [(first - 0.5, end + 0.5, 0.2 + 0.05 * (end - first), "") for end in range(first, last + 1)]
    if name == "cascade" and options.get("fusion") in ("global", "both"):
        skips += [(0.5, last + 0.5, 0.5 + 0.1 * i, "") for i, (_, last, _) in enumerate(frames)]
    if name == "symmetric" and options.get("pool", "none") != "none":
        half = len(frames) // 2
        skips += [(frames[i][1] + 0.5, frames[-1 - i][0] - 0.5, 0.35 + 0.12 * (half - i), "") for i in range(half)]
    if drawn != blocks or len(boxes) == 1:
        frames = frames if len(frames) > 1 else [(1, 1, "body")]
    return boxes, frames, skips


_GROUP = {"symmetric": "bunch", "residual_groups": "group", "cascade": "group"}


def _counts(name: str, options: Mapping[str, Any]) -> tuple[list[int], int]:
    """How many blocks each group has, and how many the first."""
    blocks = int(options.get("blocks", 3))
    if name in ("cascade", "residual_groups"):
        return [blocks] * int(options.get("groups", 2)), blocks
    if name == "symmetric":
        middle = int(options.get("middle", 2))
        bunches = [blocks] * int(options.get("bunches", 4))
        half = len(bunches) // 2
        return [*bunches[:half], *([middle] if middle else []), *bunches[half:]], blocks
    return [blocks], blocks


def part_costs(parts: pd.DataFrame, *, measure: str = "mult_adds") -> go.Figure:
    """What each part of a design costs, as bars.

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
    if len(set(names)) < len(names):  # levels with blocks of their own
        names = [f"{name} {place}" for place, name in enumerate(names, start=1)]
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
            f"{format_quantity(row['params'])} params<br>{row['instances']} with weights of their own, "
            f"applied {row['applications']} times"
            for name, row in zip(names, rows.to_dict("records"), strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    figure.update_xaxes(tickformat="~s", rangemode="tozero", nticks=5, tickangle=0)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, tickfont={"color": LIGHT.ink})
    return figure


def curve(points: Sequence[Sequence[float]], band: pd.DataFrame, *, what: str = "") -> go.Figure:
    """A design's PSNR by training step, against the quartiles of designs of similar cost.

    Args:
        points: (step, PSNR) of the design.
        band: Columns ``step``, ``low``, ``middle``, ``high`` of the others; may be empty.
        what: Who the others are.
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
