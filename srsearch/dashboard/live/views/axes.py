"""What the axes of the space do: parallel coordinates, effects at equal cost, two axes together, importance."""

from __future__ import annotations

import pandas as pd
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.analysis.effects import LEAST_TRIALS, EqualCost, at_equal_cost, interaction
from srsearch.dashboard.live.components import Control, Option, Page, chips, place, section, table
from srsearch.dashboard.live.importance import EVALUATORS, importance
from srsearch.dashboard.live.views import Occasion, budget_controls, measure_controls, only_control
from srsearch.labels import axis_labels
from srsearch.objectives import objective

_MOST_AXES = 9


def axes(occasion: Occasion) -> Page:
    """The axes, over the designs of the selection inside the budget."""
    page, snapshot, address = Page([]), occasion.snapshot, occasion.address
    if not len(snapshot.done):
        page.children.append(html.P("No design has finished training yet.", className="nothing"))
        return page
    selected, (varied, model, lanes, parallel) = occasion.selected, _alone(occasion)
    pair = _pair(occasion, varied)
    page.controls = _controls(occasion, varied, pair)
    page.children += [each for each in [chips(address, occasion.counted)] if each is not None]
    page.figures["parallel"] = parallel
    left_out = f" The {len(lanes)} axes that matter most are shown." if len(lanes) < len(varied) else ""
    page.children.append(
        section(
            "Designs across the axes",
            place("parallel", "Parallel coordinates of the designs, coloured by quality.", 460),
            lead=f"A line is a design. Click on a value to show only the designs that have it.{left_out}",
        )
    )
    if model is None:
        text = f"At least {LEAST_TRIALS} finished designs that differ are needed to tell effects apart."
        page.children.append(html.P(text, className="nothing", role="status"))
        return page
    page.children.append(_effects(occasion, page, model))
    if pair is not None:
        page.children.append(_together(occasion, page, selected, model, pair))
    page.children.append(_importance(occasion, page, selected, varied))
    return page


def _alone(occasion: Occasion) -> tuple[list[str], EqualCost | None, list[str], str]:
    """What does not depend on the two axes: those that differ, their effects, those that are drawn, and the drawing."""

    def make() -> tuple[list[str], EqualCost | None, list[str], str]:
        selected = occasion.selected
        varied = occasion.varied(selected)
        model = at_equal_cost(selected, varied, cost=occasion.cost, quality=occasion.quality)
        lanes = _telling(varied, model)
        figure = plots.parallel(selected, lanes, quality=occasion.quality)
        return varied, model, lanes, str(figure.to_json())

    limits = tuple(occasion.address.limits.items())
    return occasion.snapshot.once(("axes", occasion.cost, occasion.quality, limits, *occasion.selection), make)


def _pair(occasion: Occasion, varied: list[str]) -> tuple[str, str] | None:
    if len(varied) < 2:
        return None
    first = occasion.address.chosen("first", varied, varied[0])
    others = [axis for axis in varied if axis != first]
    return first, occasion.address.chosen("second", others, others[0])


def _controls(occasion: Occasion, varied: list[str], pair: tuple[str, str] | None) -> list[Control]:
    labels = axis_labels(varied)
    controls = [*budget_controls(occasion), *measure_controls(occasion)]
    if pair is not None:
        options = tuple(Option(axis, labels[axis]) for axis in varied)
        controls.append(Control("first", "First axis", "select", pair[0], options, group="Two axes"))
        controls.append(Control("second", "Second axis", "select", pair[1], options, group="Two axes"))
    chosen = occasion.address.chosen("importance", EVALUATORS, "")
    options = (Option("", "not computed"), *(Option(name, label) for name, label in EVALUATORS.items()))
    controls.append(Control("importance", "Importance by", "select", chosen, options, group="Importance"))
    only = only_control(occasion)
    return [*controls, only] if only else controls


def _telling(varied: list[str], model: EqualCost | None) -> list[str]:
    """At most nine axes: those with the largest effects, in the study's order."""
    if model is None or len(varied) <= _MOST_AXES:
        return varied[:_MOST_AXES]
    spread = model.effects.groupby("axis")["effect"].agg(lambda values: values.max() - values.min())
    kept = set(spread.sort_values(ascending=False).head(_MOST_AXES).index)
    return [axis for axis in varied if axis in kept]


def _effects(occasion: Occasion, page: Page, model: EqualCost) -> Component:
    page.draw("effects", plots.effects(model.effects, quality=occasion.quality))
    heads = {"axis": "Axis", "value": "Value", "count": "Designs", "effect": "Effect", "error": "Standard error"}
    cost = objective(occasion.cost).noun
    return section(
        "Effect of each value at equal cost",
        place("effects", "Effect of each value of each axis on the quality at equal cost.", 300),
        table(
            page,
            "effects",
            "Effects at equal cost",
            model.effects,
            list(model.effects.columns),
            occasion.address,
            heads=heads,
        ),
        lead=f"What a value adds to designs with the same {cost} and the same other axes, relative to the mean: what "
        "it does beyond making designs larger. Bars are two standard errors. The axes explain "
        f"{model.explained:.0%} of what designs of equal cost differ by.",
    )


def _together(
    occasion: Occasion, page: Page, selected: pd.DataFrame, model: EqualCost, pair: tuple[str, str]
) -> Component:
    found = interaction(selected, model, *pair)
    page.draw("interaction", plots.interaction(found, *pair, quality=occasion.quality))
    labels = axis_labels(occasion.snapshot.axes)
    heads = {"first": labels[pair[0]], "second": labels[pair[1]], "count": "Designs"}
    heads |= {"together": "At equal cost", "beyond": "Beyond both alone"}
    return section(
        "Two axes together",
        place("interaction", "Quality at equal cost for each pair of values of two axes.", 240),
        table(page, "interaction", "Two axes together", found, list(found.columns), occasion.address, heads=heads),
        lead="Mean quality relative to designs of the same cost. Hovering tells what of it neither axis does alone.",
    )


def _importance(occasion: Occasion, page: Page, selected: pd.DataFrame, varied: list[str]) -> Component:
    chosen = occasion.address.chosen("importance", EVALUATORS, "")
    lead = "By Optuna's evaluators: how much of the quality's variance an axis explains, with the cost it brings along."
    if not chosen:
        return section(
            "Importance", html.P("Choose an evaluator at the side to compute it.", className="quiet"), lead=lead
        )
    shares = importance(selected, varied, evaluator=chosen, quality=occasion.quality)
    page.draw("importance", plots.importance(shares))
    frame = pd.DataFrame({"axis": shares.index, "importance": shares.to_numpy()})
    return section(
        "Importance",
        place("importance", "Importance of the axes, as bars.", 200),
        table(page, "importance", f"By {EVALUATORS[chosen]}", frame, ["axis", "importance"], occasion.address),
        lead=lead,
    )
