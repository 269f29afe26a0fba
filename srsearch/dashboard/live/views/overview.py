"""How far studies are: progress, hypervolume, pace, workers, and what failed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.analysis.pace import per_hour
from srsearch.dashboard.formats import STATES, cell, decibels
from srsearch.dashboard.live.components import Page, facts, note, place, section, table
from srsearch.dashboard.live.views import Occasion
from srsearch.labels import MISSING
from srsearch.quantity import format_duration

_STUDY_HEADS = {
    "name": "Study",
    "scale": "Scale",
    "complete": "Finished",
    "stopped": "Stopped early",
    "failed": "Failed",
    "infeasible": "Over budget",
    "best_psnr": "Best PSNR (dB)",
    "created": "Created (UTC)",
}


def overview(occasion: Occasion) -> Page:
    """All studies, and one of them from its first trial to now."""
    page, snapshot = Page([]), occasion.snapshot
    page.children.append(_figures(occasion))
    if len(snapshot.done):
        page.draw("hypervolume", plots.hypervolume(snapshot.history))
        page.draw("rate", plots.rate(per_hour(snapshot.done["finished_at"])))
        page.children.append(
            html.Div(
                [
                    section(
                        "Hypervolume",
                        place("hypervolume", "Hypervolume of the front after every finished evaluation.", 300),
                        lead="A long flat end says that the search has little left to find.",
                    ),
                    section("Pace", place("rate", "Evaluations finished in an hour, over time.", 260)),
                ],
                className="pair",
            )
        )
    else:
        page.children.append(_nothing(snapshot.trials))
    page.children.append(_workers(occasion, page))
    if (failed := snapshot.trials[snapshot.trials["state"] == "failed"]).shape[0]:
        page.children.append(_failures(occasion, page, failed))
    studies = occasion.watcher.store.studies()
    studies = studies.assign(created=[time.strftime("%Y-%m-%d %H:%M") for time in studies["created_at"]])
    page.children.append(
        section(
            "Studies of this database",
            table(
                page,
                "studies",
                f"All studies in {snapshot.where}",
                studies.drop(columns="created_at").iloc[::-1],
                list(_STUDY_HEADS),
                occasion.address,
                heads=_STUDY_HEADS,
                links={"name": "study"},
            ),
        )
    )
    return page


def _figures(occasion: Occasion) -> Component:
    snapshot = occasion.snapshot
    states = snapshot.trials["state"].value_counts().to_dict()
    complete, seconds = int(states.get("complete", 0)), snapshot.done["seconds"]
    target = (snapshot.study.space.get("search") or {}).get("trials")
    pairs: list[tuple[str, Component | str]] = []
    progress: list[Any] = [html.Strong(f"{complete:,}" + (f" of {target:,}" if target else ""))]
    if target:
        progress.append(html.Progress(value=str(min(complete, target)), max=str(target)))
    pairs.append(("Designs finished", html.Span(progress)))
    best = snapshot.done[snapshot.quality].max() if complete else pd.NA
    pairs.append(("Best so far", html.Strong(f"{cell(snapshot.quality, best)}{decibels(snapshot.quality)}")))
    if complete:
        pairs.append(("On the front", html.Strong(f"{len(snapshot.plain_front()):,}")))
        pairs.append(("Hypervolume", html.Strong(f"{snapshot.history['hypervolume'].iloc[-1]:.3f}")))
    pairs.append(("Training time", html.Strong(format_duration(seconds.sum()) if complete else MISSING)))
    others = [f"{int(states[state]):,} {word}" for state, word in STATES.items() if states.get(state)]
    return section(
        "Progress",
        facts(pairs, "summary"),
        html.P(", ".join(others), className="quiet") if others else None,
        note(html.Strong("Invented scores. "), "This study was made with the synthetic evaluator: nothing was trained.")
        if snapshot.study.recipe.get("evaluator") == "synthetic"
        else None,
    )


def _nothing(trials: pd.DataFrame) -> Component:
    if not len(trials):
        text = "This study has no trials yet. They appear here as soon as `srsearch run` proposes them."
    else:
        text = "No design has finished training yet. What is running and what failed is below."
    return html.P([html.Strong("Nothing to show yet. "), text], className="nothing", role="status")


def _workers(occasion: Occasion, page: Page) -> Component:
    snapshot = occasion.snapshot
    running = [row for row in snapshot.rows if row.state == "running"]
    dead = set(occasion.watcher.abandoned(snapshot.study.name)) if running else set()
    alive = [row for row in running if row.number not in dead]
    owners = len({row.owner for row in alive})
    if not running:
        text = "Nobody works on this study at the moment."
    else:
        text = f"{_number(len(alive), 'design')} in training, by {_number(owners, 'run')}."
        if dead:
            text += (
                f" {_number(len(dead), 'more')} left by runs that have ended; the next run goes on with what is left."
            )
    children: list[Component | str | None] = [html.P(text, role="status")]
    if running:
        curves = snapshot.curves
        reached = [curves[row.number][-1] if row.number in curves else None for row in running]
        frame = pd.DataFrame(
            {
                "trial": [row.number for row in running],
                "worker": ["ended" if row.number in dead else "alive" for row in running],
                "begun": [row.started_at.strftime("%Y-%m-%d %H:%M:%S") for row in running],
                "step": [None if point is None else int(point[0]) for point in reached],
                "psnr": [None if point is None else point[1] for point in reached],
                "mult_adds": [row.mult_adds for row in running],
            }
        )
        heads = {"worker": "Worker", "begun": "Begun (UTC)", "step": "Step reached", "psnr": "PSNR there (dB)"}
        children.append(
            table(page, "running", "Designs in training", frame, list(frame.columns), occasion.address, heads=heads)
        )
    return section("At work", *children)


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 or word == "more" else f"{count} {word}s"


def _failures(occasion: Occasion, page: Page, failed: pd.DataFrame) -> Component:
    counts = Counter(str(reason) for reason in failed["reason"])
    example = {str(reason): int(trial) for trial, reason in zip(failed["trial"], failed["reason"], strict=True)}
    frame = pd.DataFrame(
        [(reason, number, example[reason]) for reason, number in counts.most_common()],
        columns=["reason", "number", "trial"],
    )
    heads = {"number": "Trials", "trial": "Last one"}
    return section(
        "What failed",
        table(page, "failures", "Reasons why trials failed", frame, list(frame.columns), occasion.address, heads=heads),
    )
