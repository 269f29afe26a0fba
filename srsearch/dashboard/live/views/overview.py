"""The overview: progress, hypervolume, pace, designs in training, full trainings, failures, and all studies."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.analysis.captions import counted_text
from srsearch.analysis.objectives import at_length
from srsearch.analysis.pace import per_hour
from srsearch.dashboard.formats import cell
from srsearch.dashboard.live.components import Page, empty, facts, note, place, section, table
from srsearch.dashboard.live.trainings import add_trainings
from srsearch.dashboard.live.views import ViewContext
from srsearch.dashboard.study_view import (
    CAPTIONS,
    NOTHING_FINISHED,
    hypervolume_text,
    is_synthetic,
    score_warning,
    state_counts,
    trainings,
)
from srsearch.labels import MISSING
from srsearch.objectives import COSTS, OBJECTIVES, unit_suffix
from srsearch.quantity import format_duration

_STUDY_HEADS = {
    "name": "Study",
    "scale": "Scale",
    "complete": "Finished",
    "stopped": "Stopped early",
    "failed": "Failed",
    "infeasible": "Over budget",
    "best_psnr": f"Best {OBJECTIVES['psnr'].axis_title}",
    "created": "Created (UTC)",
}


def overview(context: ViewContext) -> Page:
    """How far the study is, and which other studies the database has."""
    page, snapshot = Page(), context.snapshot
    page.children.append(_figures(context))
    if len(snapshot.done):
        page.draw("hypervolume", plots.hypervolume(snapshot.history))
        ends = trainings(snapshot.rows, snapshot.study.seed)["finished_at"]
        page.draw("rate", plots.rate(per_hour(pd.to_datetime(ends, utc=True))))
        page.children.append(
            html.Div(
                [
                    section(
                        CAPTIONS["hypervolume"].title,
                        place("hypervolume", height=300),
                        lead=hypervolume_text(snapshot.study.objectives),
                    ),
                    section(CAPTIONS["rate"].title, place("rate", height=260)),
                ],
                className="pair",
            )
        )
    else:
        page.children.append(_nothing(snapshot.trials))
    page.children.append(_workers(context, page))
    if records := [record for record in context.watcher.trainings() if record.study == snapshot.study.name]:
        add_trainings(page, "trainings", "Full trainings of its designs", records, context.address)
    if (failed := snapshot.trials[snapshot.trials["state"] == "failed"]).shape[0]:
        page.children.append(_failures(context, page, failed))
    studies = context.watcher.store.studies()
    studies = studies.assign(created=[time.strftime("%Y-%m-%d %H:%M") for time in studies["created_at"]])
    page.children.append(
        section(
            "Studies in this database",
            table(
                page,
                "studies",
                f"All studies in {snapshot.where}",
                studies.drop(columns="created_at").iloc[::-1],
                list(_STUDY_HEADS),
                context.address,
                heads=_STUDY_HEADS,
                links={"name": "study"},
            ),
        )
    )
    return page


def _figures(context: ViewContext) -> Component:
    snapshot = context.snapshot
    states = snapshot.trials["state"].value_counts().to_dict()
    complete, seconds = int(states.get("complete", 0)), snapshot.done["seconds"]
    # Of a search's target, results that were known already are no part, as on the command line.
    known = int(snapshot.done["cached"].sum())
    new = complete - known
    lengths = snapshot.measured.attrs["lengths"]
    # With several lengths, the target counts longer trainings too, by their steps.
    target = None if lengths else (snapshot.study.space.get("search") or {}).get("trials")
    pairs: list[tuple[str, Component | str]] = []
    progress: list[Any] = [html.Strong(f"{new:,}" + (f" of {target:,}" if target else ""))]
    if target:
        progress.append(html.Progress(value=str(min(new, target)), max=str(target)))
    pairs.append(("Designs finished", html.Span(progress)))
    for steps in lengths:
        pairs.append((f"Trained for {steps:,} steps", html.Strong(f"{snapshot.measured[at_length(steps)].count():,}")))
    best = snapshot.done[snapshot.quality].max() if complete else pd.NA
    pairs.append(("Best so far", html.Strong(f"{cell(snapshot.quality, best)}{unit_suffix(snapshot.quality)}")))
    if complete:
        pairs.append(("On the front", html.Strong(f"{len(snapshot.plain_front()):,}")))
        pairs.append(("Hypervolume", html.Strong(f"{snapshot.history['hypervolume'].iloc[-1]:.3f}")))
    pairs.append(("Training time", html.Strong(format_duration(seconds.sum()) if complete else MISSING)))
    others = [f"{count:,} {word}" for _, word, count in state_counts(snapshot.trials)]
    if known:
        others.insert(0, counted_text(new, known))
    return section(
        "Progress",
        facts(pairs, "summary"),
        html.P(", ".join(others), className="quiet") if others else None,
        note(score_warning(snapshot.study)) if is_synthetic(snapshot.study) else None,
    )


def _nothing(trials: pd.DataFrame) -> Component:
    if not len(trials):
        text = "This study has no trials yet. They appear here once `srsearch run` proposes designs."
    else:
        text = f"{NOTHING_FINISHED} Running and failed trials are below."
    return empty([html.Strong("Nothing to show yet. "), text])


def _workers(context: ViewContext, page: Page) -> Component:
    snapshot = context.snapshot
    running = [row for row in snapshot.rows if row.state == "running"]
    dead = set(context.watcher.abandoned(snapshot.study.name)) if running else set()
    alive = [row for row in running if row.number not in dead]
    owners = len({row.owner for row in alive})
    if not running:
        text = "No run is working on this study."
    else:
        text = f"{_number(len(alive), 'design')} in training, by {_number(owners, 'run')}."
        if dead:
            text += f" {len(dead)} more belong to runs that have ended; the next run continues them."
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
                COSTS[0]: [getattr(row, COSTS[0]) for row in running],
            }
        )
        psnr = OBJECTIVES["psnr"]
        heads = {"worker": "Worker", "begun": "Started (UTC)", "step": "Step"}
        heads[psnr.name] = f"{psnr.heading} at that step ({psnr.unit})"
        children.append(
            table(page, "running", "Designs in training", frame, list(frame.columns), context.address, heads=heads)
        )
    return section("In training", *children)


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _failures(context: ViewContext, page: Page, failed: pd.DataFrame) -> Component:
    counts = Counter(str(reason) for reason in failed["reason"])
    example = {str(reason): int(trial) for trial, reason in zip(failed["trial"], failed["reason"], strict=True)}
    frame = pd.DataFrame(
        [(reason, number, example[reason]) for reason, number in counts.most_common()],
        columns=["reason", "number", "trial"],
    )
    heads = {"number": "Trials", "trial": "Latest trial"}
    return section(
        "Failures",
        table(page, "failures", "Why trials failed", frame, list(frame.columns), context.address, heads=heads),
    )
