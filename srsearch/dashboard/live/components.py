"""What pages are made of: places for figures, tables, controls. Dash components; nothing here reads a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from dash import html
from dash.development.base_component import Component

from srsearch.dashboard.budget import Slider
from srsearch.dashboard.formats import STATES, cell, headings, is_number
from srsearch.dashboard.live.address import Address
from srsearch.labels import axis_labels

_ROWS = 15

Child = Component | str


@dataclass(frozen=True)
class Option:
    """One choice: what the link holds, and what a person reads."""

    value: str
    label: str


@dataclass(frozen=True)
class Control:
    """Something to choose by, drawn by the page's script as a native element of the browser.

    Attributes:
        name: The name in the link.
        label: Before it.
        kind: ``select``, ``check``, or ``limit``: a slider over the logarithm of a count.
        value: As the link has it; empty: not chosen.
        options: Of a select.
        low: Of a slider: smallest count.
        high: Of a slider: the largest; at it, there is no limit.
        group: Controls of one group stand together under its name.
        adds: Whether what is chosen is added to what the link has under the name.
    """

    name: str
    label: str
    kind: str
    value: str = ""
    options: tuple[Option, ...] = ()
    low: float = 0.0
    high: float = 0.0
    group: str = ""
    adds: bool = False

    def plain(self) -> dict[str, Any]:
        """For the page's script."""
        return asdict(self)


@dataclass
class Page:
    """A view, ready to be shown.

    Attributes:
        children: From top to bottom.
        figures: By the name of their place, as JSON.
        tables: All rows of each table, for downloads, by name.
        grids: What is shown of each table, for the page's script.
        controls: At the side.
        budget: What the page's script tells the best design inside any budget from; None: it is not told here.
    """

    children: list[Component]
    figures: dict[str, str] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    grids: dict[str, dict[str, Any]] = field(default_factory=dict)
    controls: list[Control] = field(default_factory=list)
    budget: dict[str, Any] | None = None

    def draw(self, name: str, figure: go.Figure) -> None:
        """Put a figure into its place."""
        self.figures[name] = figure.to_json()


def named(label: str) -> dict[str, Any]:
    """The name of an element for those who cannot see it."""
    return {"aria-label": label}


def section(title: str, *children: Component | str | None, lead: str = "", kind: str = "") -> Component:
    """A part of a page with its heading."""
    identity = "title-" + "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    inside: list[Any] = [html.H2(title, id=identity)]
    if lead:
        inside.append(html.P(lead, className="lead"))
    inside += [child for child in children if child is not None]
    by: dict[str, Any] = {"aria-labelledby": identity}
    return html.Section(inside, className=kind, **by)


def place(name: str, label: str, height: int = 120) -> Component:
    """Where a figure will be drawn.

    Args:
        name: Of the figure.
        label: What it shows, for those who cannot see it.
        height: In pixels, before it is drawn.
    """
    return html.Div(id=f"figure-{name}", className="figure", role="img", style={"minHeight": height}, **named(label))


def link(text: Child, address: Address, **changes: object) -> Component:
    """To the same page with other choices, without loading it anew."""
    return html.A(text, href=address.link(**changes), className="inner")


def note(*children: Child) -> Component:
    """What has to be known to read a figure."""
    return html.P(list(children), className="caveat")


def facts(pairs: Sequence[tuple[str, Child]], kind: str = "facts") -> Component:
    """Names and values in a row."""
    return html.Dl([html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs], className=kind)


def chips(address: Address, counted: str) -> Component | None:
    """What is selected, each with a way to undo it; nothing where all is shown."""
    if not address.selects:
        return None
    inside: list[Any] = [html.Span("Selected: ", className="quiet"), html.Strong(counted)]
    if address.box is not None:
        inside.append(link("drawn rectangle \N{MULTIPLICATION SIGN}", address, box=None))
    for pair in address.only:
        rest = [f"{axis}={word}" for axis, word in address.only if (axis, word) != pair]
        inside.append(link(f"{pair[0]} = {pair[1]} \N{MULTIPLICATION SIGN}", address, only=rest))
    inside.append(link("show all", address, box=None, only=None))
    return html.P(inside, className="chips", role="status")


def table(
    page: Page,
    name: str,
    caption: str,
    frame: pd.DataFrame,
    columns: Sequence[str],
    address: Address,
    *,
    heads: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
) -> Component:
    """A table that is sorted by its heads and can be taken away as CSV and JSON.

    Args:
        page: Where it stands; keeps all rows.
        name: Of the table: in links and file names.
        caption: What it shows.
        frame: All rows.
        columns: Those that are shown.
        address: The page's.
        heads: Names of columns that are not usual ones.
        links: Column to the name in a link that a click on a cell sets: ``{"trial": "design"}`` goes to that view.
    """
    page.tables[name] = frame
    shown = [column for column in columns if column in frame.columns]
    names = axis_labels(shown) | headings() | dict(heads or {})
    order, most = address.more.get(f"sort_{name}", ""), _most(address.more.get(f"rows_{name}"))
    ordered = _sorted(frame, order)
    numeric = {column: is_number(frame[column]) for column in shown}
    rows = [
        [
            {
                "text": cell(column, record[column]),
                "href": _href(record, column, address, links or {}),
                "kind": _kind(column, numeric[column], record),
            }
            for column in shown
        ]
        for record in ordered.head(most)[shown].to_dict("records")
    ]
    more = len(frame) - most
    following = address.link(**{f"rows_{name}": most + 8 * _ROWS})
    page.grids[name] = {
        "caption": caption,
        "columns": [_head(column, names[column], numeric[column], order, name, address) for column in shown],
        "rows": rows,
        "counted": f"{min(most, len(frame)):,} of {len(frame):,} rows",
        "more": {"text": f"show {min(more, 8 * _ROWS):,} more", "href": following} if more > 0 else None,
        "files": [
            {"text": kind.upper(), "href": f"data/{name}.{kind}{address.link()}", "file": f"{name}.{kind}"}
            for kind in ("csv", "json")
        ],
    }
    return html.Div(id=f"table-{name}", className="table")


def _most(text: str | None) -> int:
    return max(_ROWS, min(int(text), 2_000)) if text and text.isdecimal() and len(text) < 6 else _ROWS


def _sorted(frame: pd.DataFrame, order: str) -> pd.DataFrame:
    column = order.removeprefix("-")
    if column not in frame.columns:
        return frame
    try:
        return frame.sort_values(column, ascending=not order.startswith("-"), na_position="last", kind="stable")
    except TypeError:  # words and numbers
        words = frame[column].astype(str)
        return frame.loc[words.sort_values(ascending=not order.startswith("-"), kind="stable").index]


def _head(column: str, label: str, numeric: bool, order: str, name: str, address: Address) -> dict[str, Any]:
    here = order.removeprefix("-") == column
    # Numbers are wanted from the top first.
    ways = [f"-{column}", column] if numeric else [column, f"-{column}"]
    following = ways[1] if order == ways[0] else ways[0]
    falling = order.startswith("-")
    arrow = "" if not here else " \N{DOWNWARDS ARROW}" if falling else " \N{UPWARDS ARROW}"
    return {
        "text": label + arrow,
        "href": address.link(**{f"sort_{name}": following}),
        "kind": "number" if numeric else "",
        "title": column,
        "sort": ("descending" if falling else "ascending") if here else None,
    }


def _kind(column: str, numeric: bool, record: Mapping[Any, Any]) -> str:
    if column == "state":
        return f"state {record[column]}" if record[column] in STATES else "state"
    return {"reason": "reason", "key": "code"}.get(column, "number" if numeric else "text")


def _href(record: Mapping[Any, Any], column: str, address: Address, links: Mapping[str, str]) -> str | None:
    if column not in links:
        return None
    if column == "trial":
        return address.link(view=links[column], trial=int(record[column]))
    return address.link(**{links[column]: record[column], "view": None, "trial": None, "box": None, "only": None})


def limit(address: Address, slider: Slider) -> Control:
    """A slider for the largest value of a cost."""
    chosen = address.limits.get(slider.column)
    value = "" if chosen is None or chosen >= slider.high else f"{chosen:.6g}"
    name = f"max_{slider.column}"
    return Control(name, slider.label, "limit", value, low=slider.low, high=slider.high, group="Budget")
