"""The view of noise: replicates, ties with the best design, and how well rankings agree."""

from __future__ import annotations

import pandas as pd
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.analysis.agreement import rung_agreement, seed_agreement
from srsearch.analysis.ranking import PROBABILITY
from srsearch.dashboard.live.components import Page, chips, empty, place, section, table
from srsearch.dashboard.live.snapshots import Snapshot
from srsearch.dashboard.live.views import ViewContext, budget_controls, selection_controls
from srsearch.dashboard.study_view import CAPTIONS, costs_shown, trainings


def noise(context: ViewContext) -> Page:
    """How much results vary between seeds, and how well early rankings predict final ones."""
    page, snapshot, address = Page(), context.snapshot, context.address
    if not len(snapshot.done):
        page.children.append(empty())
        return page
    page.controls = [*budget_controls(context), *selection_controls(context)]
    page.children += chips(address, context.counted)
    known = snapshot.noise
    if known is None:
        text = "The noise is not known yet: it takes ten different finished designs, or replicates."
    else:
        text = f"Results vary between seeds: {known}. Designs closer together may change places with another seed."
    page.children.append(section("Training noise", html.P(text, role="status")))
    selected = context.selected
    ranking = snapshot.ranking
    tied = ranking.tied(selected)
    measures = [snapshot.quality, *ranking.measured_columns, PROBABILITY, "seeds"]
    page.children.append(
        section(
            "Ties with the best",
            table(
                page,
                "ties",
                "The best selected design within the budget and those tied with it, cheapest first",
                tied,
                ["trial", *measures, *costs_shown(snapshot.study.objectives), *context.varied(tied)],
                address,
                links={"trial": "design"},
            ),
            lead=ranking.ties_text(tied)
            or "A design is tied with the best where a one-sided test at 5 % does not tell the two apart.",
        )
    )
    results = trainings(snapshot.rows, snapshot.study.seed).drop(columns="finished_at")
    results = results[results["trial"].isin(selected["trial"])]
    page.draw("seeds", plots.seeds(results))
    several = results[results.groupby("trial")["psnr"].transform("size") > 1]
    page.draw("rungs", plots.agreement(_rungs(snapshot, selected), title="step"))
    by_seed = seed_agreement(results)
    page.draw("seed-agreement", plots.agreement(by_seed, title="seed"))
    page.children.append(
        section(
            CAPTIONS["seeds"].title,
            place("seeds", height=200),
            None if several.empty else _trainings_table(context, page, several),
        )
    )
    page.children.append(
        html.Div(
            [
                section(
                    CAPTIONS["rungs"].title,
                    place("rungs", height=220),
                    lead=CAPTIONS["rungs"].lead,
                ),
                section(
                    "Rankings by different seeds",
                    place("seed-agreement", "Kendall's tau between rankings by different seeds.", 220),
                    lead="The same designs, trained with two seeds.",
                ),
            ],
            className="pair",
        )
    )
    return page


def _trainings_table(context: ViewContext, page: Page, several: pd.DataFrame) -> Component:
    heads = {"seed": "Seed", "replicate": "Replicate"}
    caption = "Every training of the designs that have several"
    columns = list(several.columns)
    links = {"trial": "design"}
    return table(page, "trainings", caption, several, columns, context.address, heads=heads, links=links)


def _rungs(snapshot: Snapshot, selected: pd.DataFrame) -> pd.DataFrame:
    curves = snapshot.curves
    return rung_agreement(curves[int(number)] for number in selected["trial"] if int(number) in curves)
