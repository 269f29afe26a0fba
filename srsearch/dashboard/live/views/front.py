"""The front: quality over cost, the best design inside a budget, and selections that all views follow."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.analysis import tied_with_best
from srsearch.dashboard.budget import choice, contenders, own_limits
from srsearch.dashboard.formats import cell, headings
from srsearch.dashboard.live.address import Address
from srsearch.dashboard.live.components import (
    Control,
    Option,
    Page,
    chips,
    note,
    place,
    section,
    table,
)
from srsearch.dashboard.live.published import BENCHMARKS, published
from srsearch.dashboard.live.views import Occasion, budget_controls, measure_controls, only_control
from srsearch.labels import axis_labels

_REACH = 3.0  # published networks up to so many times the largest cost are shown


def front(occasion: Occasion) -> Page:
    """The figure, the best design inside the budget beside it, the front's designs below."""
    page, snapshot, address = Page([]), occasion.snapshot, occasion.address
    if not len(snapshot.done):
        page.children.append(
            html.P("No design has finished training yet; the front appears with the first.", className="nothing")
        )
        return page
    page.controls = _controls(occasion)
    found = snapshot.front(occasion.quality, occasion.cost)
    selected, heads = occasion.selected, headings()
    shown = _shown(occasion)
    page.figures["front"] = _figure(occasion, found, shown)
    page.budget = _budget(occasion, selected)
    page.children += [each for each in [chips(address, occasion.counted)] if each is not None]
    figure = section(
        "The front",
        place(
            "front",
            f"{heads[occasion.quality]} over {heads[occasion.cost]} of all designs; the tables have them.",
            520,
        ),
        html.P(_caption(occasion), className="quiet"),
        lead="Every point is a design that was trained. The line joins those that no other beats. Draw a rectangle to "
        "select designs in all views; click on a point to look at it.",
    )
    page.children.append(html.Div([figure, _card()], className="beside"))
    page.children.append(_scale_note(occasion, shown))
    page.children.append(_front_table(occasion, page, found))
    page.children.append(_designs_table(occasion, page, selected))
    return page


def _controls(occasion: Occasion) -> list[Control]:
    snapshot, address = occasion.snapshot, occasion.address
    axes = snapshot.varied
    labels = axis_labels(axes)
    columns = {axis: labels[axis] for axis in axes} | {"seeds": "number of seeds", "seconds": "training time"}
    options = (Option("", "nothing"), *(Option(name, label) for name, label in columns.items()))
    nets = (Option("", "none"), *(Option(name, name) for name in BENCHMARKS))
    controls = [
        *budget_controls(occasion),
        *measure_controls(occasion),
        Control("colour", "Colour by", "select", _column(address, "colour", columns) or "", options, group="Figure"),
        Control("symbol", "Symbol by", "select", _column(address, "symbol", axes) or "", options[:-2], group="Figure"),
        Control("published", "Published networks on", "select", _benchmark(address), nets, group="Figure"),
        Control("rungs", "Show rungs reached", "check", address.chosen("rungs", ("1",), ""), group="Figure"),
    ]
    only = only_control(occasion)
    return [*controls, only] if only else controls


def _column(address: Address, name: str, valid: dict[str, str] | list[str]) -> str | None:
    return address.chosen(name, valid, "") or None


def _benchmark(address: Address) -> str:
    return address.chosen("published", BENCHMARKS, "")


def _shown(occasion: Occasion) -> plots.Browse:
    snapshot, address = occasion.snapshot, occasion.address
    axes = [*snapshot.axes, "seeds", "seconds"]
    benchmark = _benchmark(address)
    box = address.box
    here = box is not None and (box.x, box.y) == (occasion.cost, occasion.quality)
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
            cost=occasion.cost,
            quality=occasion.quality,
            most=_REACH * float(snapshot.done[occasion.cost].max()),
        )
        if benchmark
        else (),
        benchmark=benchmark,
        told=snapshot.told,
    )


def _figure(occasion: Occasion, found: pd.DataFrame, shown: plots.Browse) -> str:
    """The same inside any budget: the page's script shows that."""

    cost, quality = occasion.cost, occasion.quality

    def make() -> str:
        figure = plots.front(
            occasion.snapshot.trials,
            found,
            budget=own_limits(occasion.snapshot.study.space),
            cost=cost,
            quality=quality,
            browse=shown,
        )
        # Zoom stays while the study grows, and goes when the axes change.
        figure.layout.uirevision = f"{cost} {quality} {shown.benchmark}"
        return str(figure.to_json())

    chosen = (cost, quality, shown.colour, shown.symbol, shown.stopped, shown.benchmark, shown.marked)
    return occasion.snapshot.once(("front", *chosen, *occasion.selection), make)


def _caption(occasion: Occasion) -> str:
    """How many points there are, and what the bars mean."""
    snapshot = occasion.snapshot
    number = len(snapshot.done)
    text = f"{number:,} finished designs."
    if number > plots.MOST_POINTS:
        text += " Of those that lie on one another one is drawn; selections and tables have all."
    if occasion.quality == snapshot.quality and snapshot.noise is not None:
        text += f" Bars are one standard error of the {headings()[occasion.quality]} ({snapshot.noise})."
    return text


def _scale_note(occasion: Occasion, shown: plots.Browse) -> Component:
    study = occasion.snapshot.study
    if study.recipe.get("evaluator") == "synthetic":
        return note(html.Strong("These scores are invented: "), "the synthetic evaluator trains nothing.")
    steps = study.recipe.get("steps")
    text = (
        f"These networks were trained briefly{f' ({steps} steps)' if steps else ''} and scored on this study's photos. "
        "Published PSNR is of networks trained in full, on other photos: it is another scale, and neither the figures "
        "nor the distances between them can be compared."
    )
    if shown.benchmark:
        text += f" The diamonds stand on the right scale, that of {shown.benchmark}, at their printed cost."
        text += "" if shown.published else " Of this scale and cost none is printed."
    return note(html.Strong("Proxy PSNR and published PSNR. "), text)


def _card() -> Component:
    """Where the page's script tells the best design inside the budget and the selection."""
    return section("Best inside the budget", html.Div(id="best", role="status"), kind="card")


def _budget(occasion: Occasion, selected: pd.DataFrame) -> dict[str, Any]:
    """For the page's script, which tells the best design while a slider moves; and the ties, which it does not know."""
    snapshot, address, quality = occasion.snapshot, occasion.address, occasion.quality
    noise = snapshot.noise if quality == snapshot.quality else None

    def make() -> dict[str, Any]:
        rows = contenders(address.selected(snapshot.done), quality)
        return choice(rows, snapshot.axes, quality=quality, noise=noise)

    tied = tied_with_best(selected, noise, quality=quality)
    ties = _ties(tied) if len(tied) > 1 else ""
    made = snapshot.once(("choice", quality, *occasion.selection), make)
    return made | {"limits": dict(address.limits), "ties": ties}


def _ties(tied: pd.DataFrame) -> str:
    cheapest = tied.iloc[0]
    others = len(tied) - 1
    text = f"Tied with {others} other design{'s' if others > 1 else ''} within the noise"
    if cheapest["best"]:
        return f"{text}; of them it is the cheapest."
    return (
        f"{text}; the cheapest is trial {cheapest['trial']} with {cell('mult_adds', cheapest['mult_adds'])} Mult-Adds."
    )


def _front_table(occasion: Occasion, page: Page, found: pd.DataFrame) -> Component:
    kept = occasion.address.within(occasion.address.selected(found))
    columns = ["trial", *_measures(kept, occasion.quality), *occasion.varied(found)]
    return section(
        "Designs of the front",
        table(
            page,
            "front",
            "The designs that no other beats, cheapest first",
            kept,
            columns,
            occasion.address,
            links={"trial": "design"},
        ),
    )


def _designs_table(occasion: Occasion, page: Page, selected: pd.DataFrame) -> Component:
    ordered = selected.sort_values(occasion.quality, ascending=False, kind="stable")
    columns = ["trial", *_measures(ordered, occasion.quality), "seconds", *occasion.snapshot.varied]
    return section(
        "All finished designs",
        table(
            page,
            "designs",
            "Finished designs of the selection inside the budget, best first",
            ordered,
            columns,
            occasion.address,
            links={"trial": "design"},
        ),
    )


def _measures(frame: pd.DataFrame, quality: str) -> list[str]:
    names = [quality, f"{quality}_error", "seeds", "mult_adds", "params", "activations"]
    several = "seeds" in frame.columns and bool((frame["seeds"] > 1).any())
    return [
        name for name in names if name in frame.columns and frame[name].notna().any() and (name != "seeds" or several)
    ]
