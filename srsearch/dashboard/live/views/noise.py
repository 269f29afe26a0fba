"""How far results can be believed: replicates, ties at the top, and rankings compared with themselves."""

from __future__ import annotations

import pandas as pd
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.analysis import tied_with_best
from srsearch.analysis.agreement import rung_agreement, seed_agreement
from srsearch.dashboard.live.components import Page, chips, place, section, table
from srsearch.dashboard.live.snapshots import Snapshot
from srsearch.dashboard.live.views import Occasion, budget_controls, only_control


def noise(occasion: Occasion) -> Page:
    """What another seed would change, and what the rungs tell of the end."""
    page, snapshot, address = Page([]), occasion.snapshot, occasion.address
    if not len(snapshot.done):
        page.children.append(html.P("No design has finished training yet.", className="nothing"))
        return page
    only = only_control(occasion)
    page.controls = [*budget_controls(occasion), *([only] if only else [])]
    page.children += [each for each in [chips(address, occasion.counted)] if each is not None]
    known = snapshot.noise
    if known is None:
        text = "The noise is not known yet: ten different finished designs are needed, or replicates."
    else:
        text = f"One training's {known}: designs that are no further apart cannot be told from one another."
    page.children.append(section("What another seed would change", html.P(text, role="status")))
    selected = occasion.selected
    tied = tied_with_best(selected, known, quality=snapshot.quality)
    page.children.append(
        section(
            "Ties at the top",
            table(
                page,
                "ties",
                "The best of the selection inside the budget and those that cannot be told from it, cheapest first",
                tied,
                ["trial", snapshot.quality, "seeds", "mult_adds", "params", *occasion.varied(tied)],
                address,
                links={"trial": "design"},
            ),
            lead="A design is tied unless it lies below the best by more than an equally good one does once in twenty.",
        )
    )
    results = trainings(snapshot)
    results = results[results["trial"].isin(selected["trial"])]
    page.draw("seeds", plots.seeds(results))
    several = results[results.groupby("trial")["psnr"].transform("size") > 1]
    page.draw("rungs", plots.agreement(_rungs(snapshot, selected), title="step"))
    by_seed = seed_agreement(results)
    page.draw("seed-agreement", plots.agreement(by_seed, title="seed"))
    page.children.append(
        section(
            "Designs trained with several seeds",
            place("seeds", "PSNR of every training of designs that have several.", 200),
            None if several.empty else _trainings_table(occasion, page, several),
        )
    )
    page.children.append(
        html.Div(
            [
                section(
                    "Rankings at the rungs",
                    place("rungs", "Kendall's tau between rankings at the steps of the training.", 220),
                    lead="Kendall's \N{GREEK SMALL LETTER TAU} between what finished designs had at two steps: "
                    "1 is the same order, 0 is none. It says how much early stopping can know.",
                ),
                section(
                    "Rankings by different seeds",
                    place("seed-agreement", "Kendall's tau between rankings by different seeds.", 220),
                    lead="The same designs, trained again.",
                ),
            ],
            className="pair",
        )
    )
    return page


def _trainings_table(occasion: Occasion, page: Page, several: pd.DataFrame) -> Component:
    heads = {"seed": "Seed", "replicate": "Replicate"}
    caption = "Every training of designs that have several"
    columns = list(several.columns)
    links = {"trial": "design"}
    return table(page, "trainings", caption, several, columns, occasion.address, heads=heads, links=links)


def trainings(snapshot: Snapshot) -> pd.DataFrame:
    """Every finished training: ``trial`` (of the design), ``key``, ``seed``, ``psnr``, and whether a ``replicate``."""
    rows = [
        (
            row.number if row.replicate_of is None else row.replicate_of,
            row.key,
            row.evaluated_seed,
            row.psnr,
            row.replicate_of is not None,
        )
        for row in snapshot.rows
        if row.state == "complete" and row.psnr is not None
    ]
    return pd.DataFrame(rows, columns=["trial", "key", "seed", "psnr", "replicate"])


def _rungs(snapshot: Snapshot, selected: pd.DataFrame) -> pd.DataFrame:
    curves = snapshot.curves
    return rung_agreement(curves[int(number)] for number in selected["trial"] if int(number) in curves)
