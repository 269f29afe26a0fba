"""The view of the front: quality over cost, the best design within a budget, and the selection for all views."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.analysis import pareto_front, standard_errors, tied_with_best
from srsearch.analysis.captions import ties_text
from srsearch.analysis.objectives import costs_of
from srsearch.dashboard.budget import choice, contenders, own_limits
from srsearch.dashboard.formats import STATES, cell, headings
from srsearch.dashboard.live.address import Address
from srsearch.dashboard.live.components import (
    Control,
    Option,
    Page,
    chips,
    empty,
    facts,
    link,
    note,
    place,
    section,
    table,
)
from srsearch.dashboard.live.published import BENCHMARKS, published
from srsearch.dashboard.live.views import ViewContext, budget_controls, measure_controls, selection_controls
from srsearch.dashboard.study_view import (
    NOTHING_FINISHED,
    Caveat,
    axis_values,
    columns_with_values,
    is_synthetic,
    score_warning,
)
from srsearch.labels import axis_labels
from srsearch.objectives import unit_suffix

_REACH = 3.0  # published networks up to so many times the largest cost are shown


def front(context: ViewContext) -> Page:
    """The figure, with the best design within the budget beside it and the tables below."""
    page, snapshot, address = Page(), context.snapshot, context.address
    if not len(snapshot.done):
        page.children.append(empty(f"{NOTHING_FINISHED} The front appears with the first one."))
        return page
    page.controls = _controls(context)
    designs = snapshot.front(context.quality, context.cost)
    selected, heads = context.selected, headings()
    shown = _shown(context)
    page.figures["front"] = _figure(context, designs, shown)
    page.budget = _budget(context, selected)
    page.children += chips(address, context.counted)
    figure = section(
        "The front",
        place(
            "front", f"{heads[context.quality]} over {heads[context.cost]} of all designs, which the tables list.", 520
        ),
        html.P(_caption(context), className="quiet"),
        lead="Every point is a trained design. The line joins those within the budget that no other of them beats. "
        "Draw a rectangle to select designs in all views; click on a point to show its design.",
    )
    cards = html.Div([card for card in (_clicked(context), _card(address)) if card is not None])
    page.children.append(html.Div([figure, cards], className="beside"))
    page.children.append(note(_score_caveat(context, shown)))
    page.children.append(_front_table(context, page, designs))
    page.children.append(_designs_table(context, page, selected))
    return page


def _controls(context: ViewContext) -> list[Control]:
    snapshot, address = context.snapshot, context.address
    axes = snapshot.varied
    labels = axis_labels(axes)
    columns = {axis: labels[axis] for axis in axes} | {"seeds": "number of seeds", "seconds": "training time"}
    options = (Option("", "nothing"), *(Option(name, label) for name, label in columns.items()))
    nets = (Option("", "none"), *(Option(name, name) for name in BENCHMARKS))
    controls = [
        *budget_controls(context),
        *measure_controls(context),
        Control("colour", "Colour by", "select", _column(address, "colour", columns) or "", options, group="Figure"),
        Control("symbol", "Symbol by", "select", _column(address, "symbol", axes) or "", options[:-2], group="Figure"),
        Control("published", "Published networks on", "select", _benchmark(address), nets, group="Figure"),
        Control("rungs", "Show unfinished designs", "check", address.chosen("rungs", ("1",), ""), group="Figure"),
    ]
    return [*controls, *selection_controls(context)]


def _column(address: Address, name: str, valid: dict[str, str] | list[str]) -> str | None:
    return address.chosen(name, valid, "") or None


def _benchmark(address: Address) -> str:
    return address.chosen("published", BENCHMARKS, "")


def _shown(context: ViewContext) -> plots.Browse:
    snapshot, address = context.snapshot, context.address
    axes = [*snapshot.axes, "seeds", "seconds"]
    benchmark = _benchmark(address)
    box = address.box
    here = box is not None and (box.x, box.y) == (context.cost, context.quality)
    selected = frozenset(address.selected(snapshot.done)["trial"]) if address.selects else None
    return plots.Browse(
        colour=_column(address, "colour", axes),
        symbol=_column(address, "symbol", axes),
        selected=selected,
        box=(box.left, box.right, box.low, box.high) if box is not None and here else None,
        marked=address.trial,
        stopped=address.chosen("rungs", ("1",), "") == "1",
        published=published(
            snapshot.study.scale,
            benchmark,
            cost=context.cost,
            quality=context.quality,
            most=_REACH * float(snapshot.done[context.cost].max()),
        )
        if benchmark
        else (),
        benchmark=benchmark,
        told=snapshot.told,
    )


def _figure(context: ViewContext, designs: pd.DataFrame, shown: plots.Browse) -> str:
    """The figure as JSON. It does not depend on the budget, which the page's script draws."""

    cost, quality = context.cost, context.quality

    def make() -> str:
        figure = plots.front(
            context.snapshot.trials,
            designs,
            budget=own_limits(context.snapshot.study.space),
            cost=cost,
            quality=quality,
            browse=shown,
        )
        # Zoom stays while the study grows, and goes when the axes change.
        figure.layout.uirevision = f"{cost} {quality} {shown.benchmark}"
        return str(figure.to_json())

    chosen = (cost, quality, shown.colour, shown.symbol, shown.stopped, shown.benchmark, shown.marked)
    return context.snapshot.once(("front", *chosen, *context.selection), make)


def _caption(context: ViewContext) -> str:
    """How many designs there are, and what the bars mean."""
    snapshot = context.snapshot
    number = len(snapshot.done)
    text = f"{number:,} finished designs."
    if number > plots.MOST_POINTS:
        text += " Where points overlap only one is drawn; selections and tables contain all."
    errors = snapshot.ranking.bars_text(snapshot.plain_front()) if context.quality == snapshot.quality else ""
    return " ".join(filter(None, [text, f"Bars are {errors}." if errors else "", snapshot.ranking.caveat()]))


def _score_caveat(context: ViewContext, shown: plots.Browse) -> Caveat:
    """What the scores must not be compared with, and how to read published networks in the figure."""
    caveat = score_warning(context.snapshot.study)
    if not shown.benchmark or is_synthetic(context.snapshot.study):
        return caveat
    diamonds = (
        f"The diamonds use the right-hand axis: published PSNR on {shown.benchmark}, at the printed cost. It is "
        "another scale, so distances between diamonds and points mean nothing."
    )
    if not shown.published:
        diamonds = f"No paper prints a network of this scale and cost on {shown.benchmark}."
    return Caveat(caveat.heading, f"{caveat.text} {diamonds}")


def _clicked(context: ViewContext) -> Component | None:
    """The card of the design that was clicked on, which the figure marks; None without one."""
    number = context.address.trial
    if number is None or (row := context.snapshot.row(number)) is None:
        return None
    design = context.snapshot.trials[context.snapshot.trials["trial"] == number]
    if not len(design):
        return None
    found, heads, quality = design.iloc[0], headings(), context.quality
    score = f"{cell(quality, found[quality])}{unit_suffix(quality)}" if pd.notna(found[quality]) else STATES[row.state]
    pairs: list[tuple[str, Component | str]] = [
        (heads[name], cell(name, found[name])) for name in costs_of(design.columns) if pd.notna(found[name])
    ]
    return section(
        f"Trial {number}",
        html.P([html.Strong(score), " ", link("Open design", context.address, view="design")], className="score"),
        facts(pairs),
        facts([*axis_values(found, context.snapshot.axes)], "axes"),
        html.P(link("Close", context.address, trial=None)),
        kind="card",
    )


def _card(address: Address) -> Component:
    """The card in which the page's script shows the best selected design within the budget."""
    title = "Best of the selected designs within the budget" if address.selects else "Best within the budget"
    return section(title, html.Div(id="best", role="status"), kind="card")


def _budget(context: ViewContext, selected: pd.DataFrame) -> dict[str, Any]:
    """What the page's script needs to show the best design while a slider moves, and the ties, which it cannot find."""
    snapshot, address, quality = context.snapshot, context.address, context.quality
    noise = snapshot.noise if quality == snapshot.quality else None

    def make() -> dict[str, Any]:
        rows = contenders(address.selected(snapshot.done), quality)
        return choice(rows, snapshot.axes, quality=quality, noise=noise)

    ranking = snapshot.ranking
    if quality == snapshot.quality:
        ties = ranking.ties_text(ranking.tied(selected))
    else:
        ties = ties_text(tied_with_best(selected, noise, quality=quality), noise)
    made = snapshot.once(("choice", quality, *context.selection), make)
    return made | {"limits": dict(address.limits), "ties": ties}


def _front_table(context: ViewContext, page: Page, designs: pd.DataFrame) -> Component:
    shown = context.address.selected(_within(context, designs))
    columns = ["trial", *_measures(shown, context.quality), *context.varied(designs)]
    return section(
        "Designs of the front",
        table(
            page,
            "front",
            "The designs within the budget that no other of them beats, cheapest first",
            shown,
            columns,
            context.address,
            links={"trial": "design"},
        ),
    )


def _within(context: ViewContext, designs: pd.DataFrame) -> pd.DataFrame:
    """The front of the designs within the limits, some of which a dearer design may beat."""
    snapshot, address = context.snapshot, context.address
    if not address.limits:
        return designs
    front = pareto_front(address.within(snapshot.done), [context.quality, context.cost])
    if context.quality != snapshot.quality:
        return front.assign(**{f"{context.quality}_error": standard_errors(front, None)})
    return snapshot.ranking.with_errors(front)


def _designs_table(context: ViewContext, page: Page, selected: pd.DataFrame) -> Component:
    ordered = selected.sort_values(context.quality, ascending=False, kind="stable")
    columns = ["trial", *_measures(ordered, context.quality), "seconds", *context.snapshot.varied]
    return section(
        "All finished designs",
        table(
            page,
            "designs",
            "Selected finished designs within the budget, best first",
            ordered,
            columns,
            context.address,
            links={"trial": "design"},
        ),
    )


def _measures(frame: pd.DataFrame, quality: str) -> list[str]:
    lengths = frame.attrs.get("measured", {})
    names = [quality, f"{quality}_error", *lengths, "seeds", *costs_of(frame.columns)]
    return columns_with_values(frame, names)
