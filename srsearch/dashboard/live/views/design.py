"""One design: its diagram, what its parts cost, how its training went, its file and the command that saves it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd
import yaml
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.analysis import best
from srsearch.dashboard.curves import similar_curves
from srsearch.dashboard.diagram import diagram
from srsearch.dashboard.formats import STATES, cell, headings
from srsearch.dashboard.live.components import Control, Option, Page, chips, facts, link, named, place, section, table
from srsearch.dashboard.live.views import Occasion, budget_controls
from srsearch.dashboard.part_costs import bill
from srsearch.labels import MISSING, axis_labels, axis_text
from srsearch.objectives import COSTS, OBJECTIVES, unit_suffix
from srsearch.store.changes import FollowedTrial


def design(occasion: Occasion) -> Page:
    """The design of the link, else the best one."""
    page, snapshot, address = Page([]), occasion.snapshot, occasion.address
    page.controls = [*budget_controls(occasion), *_trial_controls(occasion)]
    number = address.trial
    if number is None:
        winner = best(occasion.selected, quality=occasion.quality)
        number = None if winner is None else int(winner["trial"])
    row = None if number is None else snapshot.row(number)
    if row is None:
        text = "No finished design fits." if number is None else f"This study has no trial {number}."
        page.children.append(
            html.P([text, " ", link("Back to the front", address, view="front", trial=None)], className="nothing")
        )
        return page
    if address.trial is None:
        page.children += [each for each in [chips(address, occasion.counted)] if each is not None]
    description = occasion.watcher.design(row.key) if row.key else None
    page.children.append(_head(occasion, row))
    page.draw("diagram", diagram(description))
    page.children.append(
        section(
            "Diagram",
            place("diagram", "The parts of the network from LR to HR image.", 300),
            lead="Lines above the boxes are results that are added or concatenated further on.",
        )
    )
    costs, around = bill(description, snapshot.study.space)
    points = snapshot.curves.get(row.number, [])
    band, others = _band(occasion, row)
    page.draw("curve", plots.curve(points, band, what=f"{others} designs of similar cost"))
    pair: list[Component] = []
    if costs is not None:
        measure = address.chosen("part_measure", COSTS, COSTS[0])
        page.draw("parts", plots.part_costs(costs, measure=measure))
        pair.append(section("Cost of the parts", place("parts", "Cost of each part, as bars.", 200), lead=around))
    else:
        pair.append(section("Cost of the parts", html.P(around, className="quiet")))
    pair.append(
        section("Learning curve", place("curve", "PSNR by training step, beside designs of similar cost.", 300))
    )
    page.children.append(html.Div(pair, className="pair"))
    page.children.append(_file(occasion, row, description))
    if costs is not None:
        columns = ["kind", "part", "instances", "applications", "params", "mult_adds", "activations"]
        heads = {"kind": "Place", "part": "Part", "instances": "Weights of its own", "applications": "Applied"}
        page.children.append(
            section(
                "Parts",
                table(page, "parts", "Every part with its cost", costs, columns, address, heads=heads),
            )
        )
    return page


def _trial_controls(occasion: Occasion) -> list[Control]:
    numbers = (
        [int(number) for number in occasion.snapshot.plain_front()["trial"]] if len(occasion.snapshot.done) else []
    )
    chosen = occasion.address.trial
    known = [] if chosen is None or chosen in numbers else [Option(str(chosen), f"trial {chosen}")]
    options = (
        Option("", "the best inside the budget"),
        *known,
        *(Option(str(n), f"trial {n}, front") for n in numbers),
    )
    measures = tuple(Option(name, OBJECTIVES[name].label) for name in COSTS)
    measure = occasion.address.chosen("part_measure", COSTS, COSTS[0])
    return [
        Control("trial", "Design", "select", "" if chosen is None else str(chosen), options, group="Design"),
        Control("part_measure", "Parts by", "select", measure, measures, group="Design"),
    ]


def _head(occasion: Occasion, row: FollowedTrial) -> Component:
    snapshot = occasion.snapshot
    state = STATES.get(row.state, row.state)
    frame = snapshot.trials[snapshot.trials["trial"] == row.number]
    values = frame.iloc[0] if len(frame) else None
    heads = headings()
    measured = [
        (heads[name], f"{cell(name, values[name])}{unit_suffix(name)}")
        for name in (*snapshot.objectives, "seeds", "seconds")
        if values is not None and not pd.isna(values[name])
    ]
    labels = axis_labels(snapshot.axes)
    axes = [
        (labels[axis], text)
        for axis in snapshot.axes
        if values is not None and (text := axis_text(values[axis])) != MISSING
    ]
    again = f", the design of trial {row.replicate_of} again with another seed" if row.replicate_of is not None else ""
    reason = f": {row.reason}" if row.reason else ""
    return section(
        f"Trial {row.number}",
        html.P([html.Span(state, className=f"state {row.state}"), f"{reason}{again}"], role="status"),
        facts(measured, "summary"),
        facts(axes, "axes wide"),
    )


def _band(occasion: Occasion, row: FollowedTrial) -> tuple[pd.DataFrame, int]:
    cost = getattr(row, occasion.cost)
    return similar_curves(occasion.snapshot.done, occasion.snapshot.curves, row.number, occasion.cost, cost)


def _file(occasion: Occasion, row: FollowedTrial, description: Mapping[str, Any] | None) -> Component:
    if not description:
        return section("File", html.P("There is none.", className="quiet"))
    study = occasion.snapshot.study.name
    text = yaml.safe_dump(dict(description), sort_keys=False, allow_unicode=True)
    children: list[Component | str | None] = []
    storage = occasion.watcher.where
    origin = row.number if row.replicate_of is None else row.replicate_of
    if row.state == "complete":
        command = (
            f"srsearch best {shlex.quote(study)} --trial {origin} --save design.yaml --storage {shlex.quote(storage)}"
        )
        children.append(html.P(["Save it: ", html.Code(command), _copy(command)], className="next"))
    children += [
        html.Pre(text, tabIndex=0, id="design-yaml", **named("The design as YAML")),
        html.P(_copy(text, "Copy the YAML")),
    ]
    return section("File", *children)


def _copy(text: str, label: str = "Copy") -> Component:
    copied: dict[str, Any] = {"data-copy": text}
    return html.Button(label, type="button", className="copy", **copied)
