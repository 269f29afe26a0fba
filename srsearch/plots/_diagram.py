"""A diagram of one network: boxes from the LR image to the HR image, arcs for results that are used later."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

import plotly.graph_objects as go

from srsearch.labels import scales_text
from srsearch.plots._theme import LIGHT, empty, escaped, template

if TYPE_CHECKING:
    from srsearch.architecture.wiring import Box, Wiring

_MOST_BOXES = 38
"""Most boxes of one level that are readable side by side at a width of 900 pixels."""
_ENDS = 3
"""Blocks that are still drawn singly at each end of a level whose middle is merged into one box."""
_LEGEND_WIDTH = 44
"""Characters of a line of the legend that fit a page of 390 pixels."""
_GAP, _OPERATION = 0.5, 0.7
_LANE, _BELOW, _HEIGHT = 11, 54, 70  # pixels
_TINTS = {
    "image": 7,
    "output": 7,
    "entry": 0,
    "exit": 0,
    "block": 3,
    "compressed": 2,
    "closing": 5,
    "unit": 5,
    "convolution": 1,
    "upsampler": 6,
    "image_upsampler": 6,
    "refinement": 4,
}
_SIGNS = {"add": "+", "sub": "\N{MINUS SIGN}", "mul": "\N{MULTIPLICATION SIGN}", "cat": "c"}
_JOINING = frozenset({"cat", "stack"})
_LABELS = {"convolution": "fusion", "image": "LR image", "image_upsampler": "upscaling", "output": "HR image"}


@dataclass
class _Node:
    """A node of the diagram: one box of the wiring, or several neighbours merged.

    Attributes:
        boxes: Indices of the boxes in the wiring.
        inputs: The nodes whose results it takes, each with the operation that combines them; "" without one.
    """

    boxes: list[int]
    inputs: dict[int, str] = field(default_factory=dict)


class _Skip(NamedTuple):
    """A line above the boxes: the node where it begins, the operation that takes it, and its name or ""."""

    source: int
    how: str
    name: str


def diagram(wiring: Wiring | None, reason: str = "The database has no description of this design.") -> go.Figure:
    """Draw a network, one row for each level, and one for each head of another scale.

    Boxes are the parts in the order in which they are applied; blocks show their positions. Lines above them are
    results that are added or concatenated later. A dotted box shares the weights of an earlier one. In a long level,
    the boxes of its middle are merged into one, whose label says so. Hovering over a box shows its part and inputs.

    Args:
        wiring: The result of `srsearch.architecture.read_wiring`; None: no diagram.
        reason: Message to show if there is no wiring.

    Example:
        >>> diagram(read_wiring(catalogue.get("pcarn-m", scale=4)))  # doctest: +SKIP
    """
    if wiring is None:
        return empty(escaped(reason), 200)
    return _Drawing(wiring).figure()


class _Drawing:
    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._nodes = _contracted(wiring, _visible(wiring))
        # Collected first, as a figure validates all that it has whenever something is added to it.
        self._traces: list[go.Scatter] = []
        self._shapes: list[dict[str, object]] = []
        self._notes: list[dict[str, object]] = []
        self._x: dict[int, tuple[float, float]] = {}
        self._hover: list[tuple[float, float, str]] = []

    def figure(self) -> go.Figure:
        rows, repeats = _without_repeats(self._wiring, self._nodes, self._levels())
        top, widest = 0.0, 0.0
        for number, row in enumerate(rows):
            note = self._row_note(number, rows, repeats)
            height, width = self._row(row, rows[number - 1] if number else [], top, note)
            top, widest = top - height, max(widest, width)
        entries = self._legend([index for row in rows for index in row])
        x, y, text = zip(*self._hover, strict=True)
        self._trace(
            x=x,
            y=y,
            mode="markers",
            marker={"size": 24, "opacity": 0, "color": LIGHT.surface},
            hovertext=text,
            hovertemplate="%{hovertext}<extra></extra>",
            showlegend=False,
        )
        margin = {"l": 8, "r": 8, "t": 8, "b": 24 + 20 * (entries // 2 + 1)}
        layout = {
            "template": template(),
            "hovermode": "closest",
            "shapes": self._shapes,
            "annotations": self._notes,
            "xaxis": {"visible": False, "range": [-0.3, max(widest, 16)], "fixedrange": True},
            "yaxis": {"visible": False, "range": [top, 0], "fixedrange": True},
            "height": round(-top) + 8 + margin["b"],
            "margin": margin,
            "legend": {"y": 0, "yanchor": "top", "itemclick": False, "itemdoubleclick": False},
        }
        return go.Figure(self._traces, layout)

    def _trace(self, **properties: object) -> None:
        self._traces.append(go.Scatter(**properties))

    def _shape(self, **properties: object) -> None:
        self._shapes.append(properties)

    def _levels(self) -> list[list[int]]:
        boxes = [self._wiring.boxes[node.boxes[0]] for node in self._nodes.values()]
        row = {index: (box.head, box.level) for index, box in zip(self._nodes, boxes, strict=True)}
        return [list(members) for _, members in groupby(sorted(self._nodes), key=row.__getitem__)]

    def _row_note(self, number: int, rows: Sequence[Sequence[int]], repeats: int) -> str:
        if head := self._first(rows[number][0]).head:
            return f"the head for x{head}".replace(" x", " \N{MULTIPLICATION SIGN}")
        if repeats > 1:
            return f"applied {repeats} times with the same weights, each time to its own output"
        several = sum(not self._first(row[0]).head for row in rows) > 1
        return f"level {number + 1}" if several else ""

    def _row(self, row: Sequence[int], before: Sequence[int], top: float, note: str) -> tuple[float, float]:
        """Draw one level; returns its height in pixels and its width in boxes."""
        inside = set(row)
        outside = [source for index in row for source in self._nodes[index].inputs if source not in inside]
        ports = list(dict.fromkeys(outside))
        x, skips = 0.0, self._skips(row, ports)
        lanes, count = _lanes(row, ports, skips)
        low = top - 26 * bool(note) - 10 - _LANE * (count + 1) - _HEIGHT
        if note:
            self._note(0, top - 14, note, LIGHT.quiet, 12, anchor="left")
        places: dict[int, tuple[float, float]] = {}
        for index in [*ports, *row]:
            width = self._width(index) if index in inside else 1.0
            places[index] = (x, x + width)
            self._box(index, x, width, low, port=index not in inside)
            x += width + _GAP
        for first, second in pairwise([*ports, *row]):
            if second in inside and first in self._nodes[second].inputs:
                self._arrow(places[first][1], places[second][0], low + _HEIGHT / 2, self._nodes[second].inputs[first])
        for skip, targets in skips.items():
            y = low + _HEIGHT + _LANE * (1 + lanes[skip])
            for target in targets:
                begin = self._end(places[skip.source], 0.7), self._edge(skip.source, ports, low)
                end = self._end(places[target], 0.3), self._edge(target, ports, low)
                self._arc(begin, end, y, skip.how)
            if skip.name:
                middle = (places[skip.source][0] + places[targets[-1]][1]) / 2
                self._note(middle, y + 7, skip.name, _colour(skip.how), 11)
        self._brackets(row, places, low)
        return top - low + _BELOW, x

    def _skips(self, row: Sequence[int], ports: Sequence[int]) -> dict[_Skip, list[int]]:
        """The lines above a row, each with the nodes that it leads to."""
        order = [*ports, *row]
        neighbours = set(pairwise(order))
        skips: dict[_Skip, list[int]] = {}
        for index in row:
            for source, how in self._nodes[index].inputs.items():
                if (source, index) not in neighbours:
                    name = self._skip_name(source, index, how, port=source in ports)
                    skips.setdefault(_Skip(source, how, name), []).append(index)
        return skips

    def _skip_name(self, source: int, target: int, how: str, *, port: bool) -> str:
        begin, end = self._first(source).kind, self._first(target).kind
        if how != "add":
            return ""
        if end == "upsampler" and self._wiring.global_skip and (port or begin == "entry"):
            return "global skip"
        return "image residual" if (begin, end) == ("image", "output") else ""

    def _width(self, index: int) -> float:
        node = self._nodes[index]
        if len(node.boxes) > 1:
            return 3.2
        return _OPERATION if self._first(index).kind == "operation" else 1.0

    def _first(self, index: int) -> Box:
        return self._wiring.boxes[self._nodes[index].boxes[0]]

    def _box(self, index: int, left: float, width: float, low: float, *, port: bool) -> None:
        node, box = self._nodes[index], self._first(index)
        label = _label(self._wiring, node)
        middle = left + width / 2
        self._hover.append((middle, low + _HEIGHT / 2, self._about(index)))
        if box.kind == "operation" and not port:
            self._trace(
                x=[middle],
                y=[low + _HEIGHT / 2],
                mode="markers+text",
                marker={"size": 15, "color": LIGHT.surface, "line": {"color": LIGHT.quiet, "width": 1}},
                text=[escaped(label)],
                textfont={"color": LIGHT.ink, "size": 11},
                hoverinfo="skip",
                showlegend=False,
            )
            return
        again = any(self._wiring.boxes[i].first != i for i in node.boxes)
        self._shape(
            type="rect",
            x0=left,
            x1=left + width,
            y0=low,
            y1=low + _HEIGHT,
            fillcolor=LIGHT.surface if port else LIGHT.kinds[_TINTS[_kind(box)]],
            line={"color": LIGHT.quiet, "width": 1, "dash": "dot" if again and not port else "solid"},
            layer="below",
        )
        colour, angle = LIGHT.quiet if port else LIGHT.ink, 0 if len(node.boxes) > 1 else -90
        self._note(middle, low + _HEIGHT / 2, label, colour, 11, angle=angle)
        if not box.keeps_activation and len(node.boxes) == 1 and not port:
            self._trace(
                x=[middle],
                y=[low + 7],
                mode="markers",
                marker={"size": 6, "color": LIGHT.surface, "line": {"color": LIGHT.ink, "width": 1}},
                hoverinfo="skip",
                showlegend=False,
            )

    def _about(self, index: int) -> str:
        """The hover text of a node."""
        node, boxes = self._nodes[index], self._wiring.boxes
        members = [boxes[i] for i in node.boxes]
        if len(members) > 1:
            blocks = [(i, boxes[i]) for i in node.boxes if boxes[i].kind == "block"]
            own = len({box.first for _, box in blocks})
            lines = [f"<b>{len(blocks)} blocks</b>", f"{own} with their own weights"] if blocks else []
            lines += [f"{kind}: {number}" for kind, number in _tally(members).items() if kind != "block"]
        else:
            box = members[0]
            lines = [f"<b>{escaped(_title(self._wiring, box))}</b>", *([escaped(box.part)] if box.part else [])]
            if box.kind == "block" and self._wiring.unit:
                lines.append(f"unit: {escaped(self._wiring.unit)}")
            if box.first != node.boxes[0]:
                lines.append("the weights of an earlier box")
            if not box.keeps_activation:
                lines.append("without the activation between its units")
        inputs = [
            f"{escaped(_label(self._wiring, self._nodes[source])).replace(chr(10), ', ')}"
            f"{f' ({_word(how)})' if how else ''}"
            for source, how in node.inputs.items()
        ]
        return "<br>".join([*lines, *([f"input: {', '.join(inputs)}"] if inputs else [])])

    def _arrow(self, first: float, second: float, y: float, how: str) -> None:
        self._notes.append(
            {
                "x": second,
                "ax": first,
                "y": y,
                "ay": y,
                "xref": "x",
                "yref": "y",
                "axref": "x",
                "ayref": "y",
                "text": "",
                "arrowhead": 2,
                "arrowsize": 0.8,
                "arrowwidth": 1.2,
                "arrowcolor": _colour(how),
                "showarrow": True,
            }
        )

    @staticmethod
    def _end(place: tuple[float, float], share: float) -> float:
        return place[0] + share * (place[1] - place[0])

    def _edge(self, index: int, ports: Sequence[int], low: float) -> float:
        """The y position where lines from above meet a node."""
        circle = self._first(index).kind == "operation" and index not in ports
        return low + _HEIGHT / 2 + 8 if circle else low + _HEIGHT

    def _arc(self, begin: tuple[float, float], end: tuple[float, float], y: float, how: str) -> None:
        """Draw a line from one point up to ``y``, across, and down to another point."""
        (x0, y0), (x1, y1) = begin, end
        bend = min(0.3, (x1 - x0) / 2)
        path = f"M {x0} {y0} L {x0} {y - 6} Q {x0} {y} {x0 + bend} {y} "
        path += f"L {x1 - bend} {y} Q {x1} {y} {x1} {y - 6} L {x1} {y1}"
        self._shape(type="path", path=path, line={"color": _colour(how), "width": 1.2}, layer="below")
        tip = {"symbol": "triangle-down", "size": 6, "color": _colour(how)}
        self._trace(x=[x1], y=[y1 + 3], mode="markers", marker=tip, hoverinfo="skip", showlegend=False)

    def _brackets(self, row: Sequence[int], places: Mapping[int, tuple[float, float]], low: float) -> None:
        """Draw brackets below a row for the groups of blocks; the first half of a block's position is its group."""
        spans: dict[str, list[int]] = {}
        for index in row:
            box = self._first(index)
            if len(self._nodes[index].boxes) == 1 and box.kind == "block" and "_" in box.name:
                spans.setdefault(box.name.partition("_")[0], []).append(index)
        if len(spans) < 2:
            return
        for name, members in spans.items():
            left, right, y = places[members[0]][0], places[members[-1]][1], low - 9
            path = f"M {left} {y + 4} L {left} {y} L {right} {y} L {right} {y + 4}"
            self._shape(type="path", path=path, line={"color": LIGHT.muted, "width": 1})
            text = f"group {name}" if right - left > 3.2 else name
            self._note((left + right) / 2, y - 11, text, LIGHT.quiet, 11)

    def _legend(self, shown: Sequence[int]) -> int:
        """Add the legend of tints, outlines and lines; returns the number of entries."""
        boxes = [self._wiring.boxes[i] for index in shown for i in self._nodes[index].boxes]
        entries: dict[str, str] = {}
        for box in boxes:
            if _kind(box) in ("block", "compressed", "closing", "unit", "convolution", "refinement", "upsampler"):
                unit = f" of {self._wiring.unit}" if box.kind == "block" and self._wiring.unit else ""
                name = {"convolution": "convolution of the body", "compressed": "compressed block"}
                title = name.get(_kind(box), _kind(box)) + (f": {box.part}{unit}" if box.kind != "convolution" else "")
                entries.setdefault(title, LIGHT.kinds[_TINTS[_kind(box)]])
        for title, tint in entries.items():
            self._entry(title, {"symbol": "square", "size": 12, "color": tint})
        if any(self._wiring.boxes[i].first != i for index in shown for i in self._nodes[index].boxes):
            self._entry("dotted: the weights of an earlier box", _outline("square-open-dot", 11))
        if not all(box.keeps_activation for box in boxes):
            self._entry("without inner activation", _outline("circle-open", 7))
        hows = {how for index in shown for how in self._nodes[index].inputs.values() if how}
        hows |= {box.name for box in boxes if box.kind == "operation"}
        for how in sorted(hows, key=lambda how: (how in _JOINING, how)):
            self._entry(_word(how), {"symbol": "line-ew", "size": 12, "line": {"color": _colour(how), "width": 2}})
        return len([trace for trace in self._traces if trace.name])

    def _entry(self, name: str, marker: Mapping[str, object]) -> None:
        lines = "<br>".join(escaped(line) for line in textwrap.wrap(name, _LEGEND_WIDTH, break_on_hyphens=False))
        self._trace(x=[None], y=[None], mode="markers", marker=marker, name=lines, hoverinfo="skip", showlegend=True)

    def _note(
        self, x: float, y: float, text: str, colour: str, size: int, *, angle: int = 0, anchor: str = "center"
    ) -> None:
        self._notes.append(
            {
                "x": x,
                "y": y,
                "text": escaped(text).replace("\n", "<br>"),
                "showarrow": False,
                "font": {"color": colour, "size": size},
                "textangle": angle,
                "xanchor": anchor,
            }
        )


def _outline(symbol: str, size: int) -> dict[str, object]:
    return {"symbol": symbol, "size": size, "color": LIGHT.quiet}


def _colour(how: str) -> str:
    if how in _JOINING:
        return LIGHT.marks[2]
    return LIGHT.accent if how else LIGHT.quiet


def _word(how: str) -> str:
    words = {"add": "added", "cat": "concatenated", "sub": "subtracted", "mul": "multiplied"}
    return words.get(how, how)


def _kind(box: Box) -> str:
    return "compressed" if box.compressed else box.kind


def _title(wiring: Wiring, box: Box) -> str:
    if box.kind == "upsampler" and len(wiring.scales) > 1:
        return f"upsampler {box.name}, of a network for {scales_text(wiring.scales)}"
    return f"{_kind(box).replace('_', ' ')} {box.name}".strip()


def _label(wiring: Wiring, node: _Node) -> str:
    """The text inside a node."""
    boxes = [wiring.boxes[i] for i in node.boxes]
    if len(boxes) > 1:
        names = [box.name for box in boxes if box.kind == "block"]
        if not names:
            return f"{len(boxes)} boxes"
        return f"{len(names)} blocks" + (f"\n{names[0]} \N{HORIZONTAL ELLIPSIS} {names[-1]}" if names[0] else "")
    box = boxes[0]
    if box.kind == "operation":
        return _SIGNS.get(box.name, box.name)
    if box.kind == "block":
        return box.name or "block"
    if box.kind == "convolution":
        return box.name.replace("x", "\N{MULTIPLICATION SIGN}")
    if box.kind == "upsampler":
        return f"up {box.name}".replace(" x", " \N{MULTIPLICATION SIGN}")
    return _LABELS.get(box.kind, box.kind)


def _tally(boxes: Sequence[Box]) -> dict[str, int]:
    kinds = [box.kind for box in boxes]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def _visible(wiring: Wiring) -> dict[int, _Node]:
    """Nodes by the index of their box, without operations whose result goes to a single box."""
    targets: dict[int, list[int]] = {}
    for source, target in wiring.arcs:
        targets.setdefault(source, []).append(target)
    hidden = {i for i, box in enumerate(wiring.boxes) if box.kind == "operation" and len(targets.get(i, [])) == 1}

    def inputs(index: int, how: str) -> list[tuple[int, str]]:
        pairs: list[tuple[int, str]] = []
        for source in wiring.sources(index):
            pairs += inputs(source, wiring.boxes[source].name) if source in hidden else [(source, how)]
        return pairs

    nodes = {}
    for index, box in enumerate(wiring.boxes):
        if index not in hidden:
            nodes[index] = _Node([index], dict(inputs(index, box.name if box.kind == "operation" else "")))
    return nodes


def _contracted(wiring: Wiring, nodes: dict[int, _Node]) -> dict[int, _Node]:
    """Merge the middle of long levels, between their first and last three blocks."""
    into: dict[int, int] = {}
    for level in {box.level for box in wiring.boxes}:
        row = [index for index in nodes if wiring.boxes[index].level == level and not wiring.boxes[index].head]
        blocks = [index for index in row if wiring.boxes[index].kind == "block"]
        if len(row) > _MOST_BOXES:
            ends = blocks if len(blocks) > 2 * _ENDS + 1 else row
            begin, end = ends[_ENDS], ends[-_ENDS - 1]
            into |= {index: begin for index in row if begin <= index <= end}
    merged: dict[int, _Node] = {}
    for index, node in nodes.items():
        target = merged.setdefault(into.get(index, index), _Node([]))
        target.boxes += node.boxes
        for source, how in node.inputs.items():
            if into.get(source, source) != into.get(index, index):
                target.inputs.setdefault(into.get(source, source), how)
    return merged


def _without_repeats(wiring: Wiring, nodes: Mapping[int, _Node], rows: list[list[int]]) -> tuple[list[list[int]], int]:
    """The rows to draw, and how often the first is applied: one level if all are equal and share their weights."""

    def content(level: int) -> list[tuple[object, ...]]:
        """Each box with its weights, and the positions of its inputs in the level; None for an input from outside."""
        ends = ("image", "output")
        inside = [
            i for i, box in enumerate(wiring.boxes) if box.level == level and not box.head and box.kind not in ends
        ]
        positions = {index: position for position, index in enumerate(inside)}
        return [
            (box.kind, box.name, box.kind == "operation" or box.first, [positions.get(s) for s in wiring.sources(i)])
            for i, box in ((i, wiring.boxes[i]) for i in inside)
        ]

    heads = [row for row in rows if wiring.boxes[nodes[row[0]].boxes[0]].head]
    whole = rows[: len(rows) - len(heads)]
    levels = [wiring.boxes[nodes[row[0]].boxes[0]].level for row in whole]
    if len(whole) < 2 or any(content(level) != content(levels[0]) for level in levels):
        return rows, 1
    return [rows[0], *heads], len(whole)


def _lanes(
    row: Sequence[int], ports: Sequence[int], skips: Mapping[_Skip, Sequence[int]]
) -> tuple[dict[_Skip, int], int]:
    """The lane of each line above a row, and the number of lanes; lines do not overlap, and short ones are lower."""
    order = {index: position for position, index in enumerate([*ports, *row])}
    taken: list[list[tuple[int, int]]] = []
    lanes: dict[_Skip, int] = {}
    for key in sorted(skips, key=lambda key: order[skips[key][-1]] - order[key.source]):
        begin, end = order[key.source], order[skips[key][-1]]
        lane = next(
            (n for n, spans in enumerate(taken) if all(end <= first or last <= begin for first, last in spans)),
            len(taken),
        )
        taken += [[]] if lane == len(taken) else []
        taken[lane].append((begin, end))
        lanes[key] = lane
    return lanes, len(taken)
