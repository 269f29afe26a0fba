"""The building blocks of pages: sections, places for figures, tables, controls. Nothing here reads a database."""

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
from srsearch.dashboard.study_view import CAPTIONS, NOTHING_FINISHED, Caveat
from srsearch.labels import axis_labels
from srsearch.plots._theme import template

_ROWS = 15
_PLOTLY_BACKGROUND = "white"  # of Plotly's default template

Child = Component | str


@dataclass(frozen=True)
class Option:
    """One choice: its value in the link, and the label that people read."""

    value: str
    label: str


@dataclass(frozen=True)
class Control:
    """A form element beside the page, drawn by the page's script as a native element of the browser.

    Attributes:
        name: Its name in the link.
        label: The text before it.
        kind: ``select``, ``check``, or ``limit``: a slider over the logarithm of a count.
        value: The value in the link; empty where nothing was chosen.
        options: The choices of a select.
        low: The smallest count of a slider.
        high: The largest count of a slider, which means no limit.
        group: The heading under which controls of one group stand together.
        adds: Whether a choice is added to those already in the link under this name, instead of replacing them.
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
        """The control as JSON types, for the page's script."""
        return asdict(self)


@dataclass
class Page:
    """The content of a view.

    Attributes:
        children: Components from top to bottom.
        figures: Figures as JSON, by the name of their place.
        tables: All rows of each table by name, for downloads.
        grids: The rows of each table that are shown, for the page's script.
        controls: Form elements at the side.
        budget: What the page's script needs to find the best design within any budget; None on pages that do not
            show it.
    """

    children: list[Component] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    grids: dict[str, dict[str, Any]] = field(default_factory=dict)
    controls: list[Control] = field(default_factory=list)
    budget: dict[str, Any] | None = None

    def draw(self, name: str, figure: go.Figure) -> None:
        """Draw a figure at the `place` of that name, in the pages' colours unless it has a template of its own."""
        if figure.layout.template.layout.paper_bgcolor == _PLOTLY_BACKGROUND:
            figure.update_layout(template=template())
        self.figures[name] = figure.to_json()


def named(label: str) -> dict[str, Any]:
    """The name of an element for screen readers."""
    return {"aria-label": label}


def section(title: str, *children: Component | str | None, lead: str = "", kind: str = "") -> Component:
    """A part of a page with a heading, a lead below it, and its content."""
    identity = "title-" + "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    inside: list[Any] = [html.H2(title, id=identity)]
    if lead:
        inside.append(html.P(lead, className="lead"))
    inside += [child for child in children if child is not None]
    by: dict[str, Any] = {"aria-labelledby": identity}
    return html.Section(inside, className=kind, **by)


def place(name: str, label: str = "", height: int = 120) -> Component:
    """The place where `Page.draw` puts the figure of this name.

    Args:
        name: The figure's name.
        label: What the figure shows, for screen readers; by default that of `CAPTIONS`.
        height: Height in pixels until it is drawn.
    """
    aria = named(label or CAPTIONS[name].label)
    return html.Div(id=f"figure-{name}", className="figure", role="img", style={"minHeight": height}, **aria)


def link(text: Child, address: Address, **changes: object) -> Component:
    """A link to the same page with other choices, which does not reload it."""
    return html.A(text, href=address.link(**changes), className="inner")


def note(caveat: Caveat) -> Component:
    """A caveat as a paragraph that stands out."""
    return html.P([html.Strong(f"{caveat.heading} "), caveat.text], className="caveat")


def empty(text: Child | Sequence[Child] = NOTHING_FINISHED) -> Component:
    """What a page says where it has nothing to show."""
    return html.P(text, className="nothing", role="status")


def facts(pairs: Sequence[tuple[str, Child]], kind: str = "facts") -> Component:
    """Pairs of names and values in a row."""
    return html.Dl([html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs], className=kind)


def chips(address: Address, counted: str) -> list[Component]:
    """The selection, with a link to undo each part of it; empty where all designs are shown."""
    if not address.selects:
        return []
    inside: list[Any] = [html.Span("Selected: ", className="quiet"), html.Strong(counted)]
    if address.box is not None:
        inside.append(link("drawn rectangle \N{MULTIPLICATION SIGN}", address, box=None))
    for pair in address.only:
        rest = [f"{axis}={word}" for axis, word in address.only if (axis, word) != pair]
        inside.append(link(f"{pair[0]} = {pair[1]} \N{MULTIPLICATION SIGN}", address, only=rest))
    inside.append(link("show all", address, box=None, only=None))
    return [html.P(inside, className="chips", role="status")]


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
    """A table that readers sort by clicking on its headings and download as CSV or JSON.

    Args:
        page: The page of the table, which keeps all its rows.
        name: The table's name in links and file names.
        caption: What the table shows.
        frame: All rows.
        columns: The columns to show.
        address: The page's address.
        heads: Headings of columns that `formats.headings` does not have.
        links: Columns whose cells are links: ``{"trial": "design"}`` opens that view with the trial of the row, any
            other column sets the choice of this name in the link.
    """
    page.tables[name] = frame
    shown = [column for column in columns if column in frame.columns]
    names = axis_labels(shown) | headings(shown) | dict(heads or {})
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
    except TypeError:  # text mixed with numbers
        words = frame[column].astype(str)
        return frame.loc[words.sort_values(ascending=not order.startswith("-"), kind="stable").index]


def _head(column: str, label: str, numeric: bool, order: str, name: str, address: Address) -> dict[str, Any]:
    here = order.removeprefix("-") == column
    # A first click sorts numbers from the largest, and text from A.
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
    """The slider that limits a cost."""
    chosen = address.limits.get(slider.column)
    value = "" if chosen is None or chosen >= slider.high else f"{chosen:.6g}"
    name = f"max_{slider.column}"
    return Control(name, slider.label, "limit", value, low=slider.low, high=slider.high, group="Budget")
