"""The view of one design: diagram, cost of its parts, learning curve, file, and the command that saves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.analysis import best
from srsearch.dashboard.curves import similar_curves
from srsearch.dashboard.diagram import diagram
from srsearch.dashboard.formats import STATES, cell, headings
from srsearch.dashboard.live.components import (
    Control,
    Option,
    Page,
    chips,
    empty,
    facts,
    link,
    named,
    place,
    section,
    table,
)
from srsearch.dashboard.live.views import ViewContext, budget_controls
from srsearch.dashboard.part_costs import bill
from srsearch.dashboard.study_view import CAPTIONS, axis_values, design_yaml, save_command
from srsearch.objectives import COSTS, OBJECTIVES, unit_suffix
from srsearch.store.changes import FollowedTrial


def design(context: ViewContext) -> Page:
    """The design named in the link, by default the best one within the budget."""
    page, snapshot, address = Page(), context.snapshot, context.address
    page.controls = [*budget_controls(context), *_trial_controls(context)]
    number = address.trial
    if number is None:
        winner = best(context.selected, quality=context.quality)
        number = None if winner is None else int(winner["trial"])
    row = None if number is None else snapshot.row(number)
    if row is None:
        text = (
            "No finished design fits the budget and the selection."
            if number is None
            else f"This study has no trial {number}."
        )
        page.children.append(empty([text, " ", link("Back to the front", address, view="front", trial=None)]))
        return page
    if address.trial is None:
        page.children += chips(address, context.counted)
    description = context.watcher.design(row.key) if row.key else None
    page.children.append(_head(context, row))
    page.draw("diagram", diagram(description))
    page.children.append(
        section(
            CAPTIONS["diagram"].title,
            place("diagram", height=300),
            lead=CAPTIONS["diagram"].lead,
        )
    )
    costs, total = bill(description, snapshot.study.space)
    points = snapshot.curves.get(row.number, [])
    band, others = _band(context, row)
    page.draw("curve", plots.curve(points, band, what=f"{others} designs of similar cost"))
    pair: list[Component] = []
    if costs is not None:
        measure = address.chosen("part_measure", COSTS, COSTS[0])
        page.draw("parts", plots.part_costs(costs, measure=measure))
        pair.append(section(CAPTIONS["parts"].title, place("parts", height=200), lead=total))
    else:
        pair.append(section(CAPTIONS["parts"].title, html.P(total, className="quiet")))
    pair.append(section(CAPTIONS["curve"].title, place("curve", height=300), lead=CAPTIONS["curve"].lead))
    page.children.append(html.Div(pair, className="pair"))
    page.children.append(_file(context, row, description))
    if costs is not None:
        columns = ["kind", "part", "instances", "applications", *COSTS]
        heads = {"kind": "Place", "part": "Part", "instances": "Instances", "applications": "Applications"}
        page.children.append(
            section(
                "Parts",
                table(page, "parts", "Every part and its cost", costs, columns, address, heads=heads),
            )
        )
    return page


def _trial_controls(context: ViewContext) -> list[Control]:
    numbers = [int(number) for number in context.snapshot.plain_front()["trial"]] if len(context.snapshot.done) else []
    chosen = context.address.trial
    known = [] if chosen is None or chosen in numbers else [Option(str(chosen), f"trial {chosen}")]
    options = (
        Option("", "the best within the budget"),
        *known,
        *(Option(str(n), f"trial {n}, front") for n in numbers),
    )
    measures = tuple(Option(name, OBJECTIVES[name].label) for name in COSTS)
    measure = context.address.chosen("part_measure", COSTS, COSTS[0])
    return [
        Control("trial", "Design", "select", "" if chosen is None else str(chosen), options, group="Design"),
        Control("part_measure", "Parts by", "select", measure, measures, group="Design"),
    ]


def _head(context: ViewContext, row: FollowedTrial) -> Component:
    snapshot = context.snapshot
    state = STATES.get(row.state, row.state)
    frame = snapshot.trials[snapshot.trials["trial"] == row.number]
    values = frame.iloc[0] if len(frame) else None
    heads = headings()
    measured = [
        (heads[name], f"{cell(name, values[name])}{unit_suffix(name)}")
        for name in (*snapshot.objectives, "seeds", "seconds")
        if values is not None and not pd.isna(values[name])
    ]
    if values is not None:
        lengths = [name for name in snapshot.ranking.measured_columns if not pd.isna(values[name])]
        measured += [(headings(lengths)[name], f"{cell(name, values[name])} dB") for name in lengths]
    axes = [] if values is None else axis_values(values, snapshot.axes)
    how = "with another seed" if row.steps is None else f"in a training of {row.steps:,} steps"
    again = f", the design of trial {row.replicate_of} {how}" if row.replicate_of is not None else ""
    reason = f": {row.reason}" if row.reason else ""
    return section(
        f"Trial {row.number}",
        html.P([html.Span(state, className=f"state {row.state}"), f"{reason}{again}"], role="status"),
        facts(measured, "summary"),
        facts(axes, "axes wide"),
    )


def _band(context: ViewContext, row: FollowedTrial) -> tuple[pd.DataFrame, int]:
    snapshot, cost = context.snapshot, context.cost
    original = row.number if row.replicate_of is None else row.replicate_of
    counted = snapshot.trials.loc[snapshot.trials["trial"] == original, cost].dropna()
    value = float(counted.iloc[0]) if len(counted) else None
    return similar_curves(snapshot.done, snapshot.curves, row.number, cost, value)


def _file(context: ViewContext, row: FollowedTrial, description: Mapping[str, Any] | None) -> Component:
    if not description:
        return section("File", html.P("This trial has no design to save.", className="quiet"))
    study = context.snapshot.study.name
    text = design_yaml(description)
    children: list[Component | str | None] = []
    storage = context.watcher.where
    origin = row.number if row.replicate_of is None else row.replicate_of
    if row.state == "complete":
        command = save_command(study, trial=origin, storage=storage)
        children.append(html.P(["Save it: ", html.Code(command), _copy(command)], className="next"))
    children += [
        html.Pre(text, tabIndex=0, id="design-yaml", **named("The design as YAML")),
        html.P(_copy(text, "Copy the YAML")),
    ]
    return section("File", *children)


def _copy(text: str, label: str = "Copy") -> Component:
    copied: dict[str, Any] = {"data-copy": text}
    return html.Button(label, type="button", className="copy", **copied)
