"""The view of axes: parallel coordinates, effects at equal cost, pairs of axes, importance."""

from __future__ import annotations

import pandas as pd
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.analysis.effects import LEAST_TRIALS, EqualCost, at_equal_cost, interaction
from srsearch.dashboard.live.components import Control, Option, Page, chips, empty, place, section, table
from srsearch.dashboard.live.importance import EVALUATORS, importance, least_share, predicted_share
from srsearch.dashboard.live.views import ViewContext, budget_controls, measure_controls, selection_controls
from srsearch.dashboard.study_view import CAPTIONS, effects_text, strongest_axes
from srsearch.labels import axis_labels


def axes(context: ViewContext) -> Page:
    """What each axis does, among the selected designs within the budget."""
    page, snapshot, address = Page(), context.snapshot, context.address
    if not len(snapshot.done):
        page.children.append(empty())
        return page
    selected, (varied, model, lanes, parallel) = context.selected, _main_figure(context)
    pair = _pair(context, varied)
    page.controls = _controls(context, varied, pair)
    page.children += chips(address, context.counted)
    page.figures["parallel"] = parallel
    left_out = f" The {len(lanes)} axes that matter most are shown." if len(lanes) < len(varied) else ""
    page.children.append(
        section(
            CAPTIONS["parallel"].title,
            place("parallel", height=460),
            lead=f"{CAPTIONS['parallel'].lead} Click on a value to show only the designs that have it.{left_out}",
        )
    )
    if model is None:
        text = f"Effects need at least {LEAST_TRIALS} finished designs that differ from one another."
        page.children.append(empty(text))
        return page
    page.children.append(_effects(context, page, model))
    if pair is not None:
        page.children.append(_together(context, page, selected, model, pair))
    page.children.append(_importance(context, page, selected, varied))
    return page


def _main_figure(context: ViewContext) -> tuple[list[str], EqualCost | None, list[str], str]:
    """The axes that differ, their effects, the axes that are drawn, and the figure of parallel coordinates."""

    def make() -> tuple[list[str], EqualCost | None, list[str], str]:
        selected = context.selected
        varied = context.varied(selected)
        model = at_equal_cost(selected, varied, cost=context.cost, quality=context.quality)
        lanes = strongest_axes(varied, model)
        figure = plots.parallel(selected, lanes, quality=context.quality)
        return varied, model, lanes, str(figure.to_json())

    limits = tuple(context.address.limits.items())
    return context.snapshot.once(("axes", context.cost, context.quality, limits, *context.selection), make)


def _pair(context: ViewContext, varied: list[str]) -> tuple[str, str] | None:
    if len(varied) < 2:
        return None
    first = context.address.chosen("first", varied, varied[0])
    others = [axis for axis in varied if axis != first]
    return first, context.address.chosen("second", others, others[0])


def _controls(context: ViewContext, varied: list[str], pair: tuple[str, str] | None) -> list[Control]:
    labels = axis_labels(varied)
    controls = [*budget_controls(context), *measure_controls(context)]
    if pair is not None:
        options = tuple(Option(axis, labels[axis]) for axis in varied)
        controls.append(Control("first", "First axis", "select", pair[0], options, group="Two axes"))
        controls.append(Control("second", "Second axis", "select", pair[1], options, group="Two axes"))
    chosen = context.address.chosen("importance", EVALUATORS, "")
    options = (Option("", "not computed"), *(Option(name, label) for name, label in EVALUATORS.items()))
    controls.append(Control("importance", "Importance by", "select", chosen, options, group="Importance"))
    return [*controls, *selection_controls(context)]


def _effects(context: ViewContext, page: Page, model: EqualCost) -> Component:
    page.draw("effects", plots.effects(model.effects, quality=context.quality))
    heads = {"axis": "Axis", "value": "Value", "count": "Designs", "effect": "Effect", "error": "Standard error"}
    return section(
        CAPTIONS["effects"].title,
        place("effects", height=300),
        table(
            page,
            "effects",
            "Effects at equal cost",
            model.effects,
            list(model.effects.columns),
            context.address,
            heads=heads,
        ),
        lead=effects_text(model, context.cost),
    )


def _together(
    context: ViewContext, page: Page, selected: pd.DataFrame, model: EqualCost, pair: tuple[str, str]
) -> Component:
    pairs = interaction(selected, model, *pair)
    page.draw("interaction", plots.interaction(pairs, *pair, quality=context.quality))
    labels = axis_labels(context.snapshot.axes)
    heads = {"first": labels[pair[0]], "second": labels[pair[1]], "count": "Designs"}
    heads |= {"together": "At equal cost", "beyond": "Interaction"}
    caption = CAPTIONS["interaction"]
    return section(
        caption.title,
        place("interaction", height=240),
        table(page, "interaction", caption.title, pairs, list(pairs.columns), context.address, heads=heads),
        lead=caption.lead,
    )


def _importance(context: ViewContext, page: Page, selected: pd.DataFrame, varied: list[str]) -> Component:
    chosen = context.address.chosen("importance", EVALUATORS, "")
    lead = (
        "The share of the quality's variance that each axis explains, by Optuna's evaluators. An axis that changes the "
        "cost gets the credit for that, too. It is shown where the axes predict designs that were left out."
    )
    if not chosen:
        return section(
            "Importance", html.P("Choose an evaluator in the sidebar to compute it.", className="quiet"), lead=lead
        )
    share = predicted_share(selected, varied, quality=context.quality)
    number = int(selected[context.quality].notna().sum())
    if share is None or share < least_share(number):
        found = "" if share is None else f": the axes predict {max(share, 0):.0%} of the variance of designs left out"
        text = f"Not shown, because {number} designs are too few to tell{found}."
        return section("Importance", html.P(text, role="status"), lead=lead)
    shares = importance(selected, varied, evaluator=chosen, quality=context.quality)
    page.draw("importance", plots.importance(shares))
    frame = pd.DataFrame({"axis": shares.index, "importance": shares.to_numpy()})
    return section(
        "Importance",
        html.P(f"The axes predict {share:.0%} of the variance of designs left out.", role="status"),
        place("importance", "Importance of the axes, as bars.", 200),
        table(page, "importance", f"By {EVALUATORS[chosen]}", frame, ["axis", "importance"], context.address),
        lead=lead,
    )
