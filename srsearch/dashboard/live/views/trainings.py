"""The trainings: all full trainings in the database, those that run and those that have ended."""

from __future__ import annotations

from srsearch.dashboard.live.components import Page, empty
from srsearch.dashboard.live.trainings import add_trainings
from srsearch.dashboard.live.views import ViewContext


def trainings(context: ViewContext) -> Page:
    """All full trainings in the database, newest first."""
    page, records = Page(), context.watcher.trainings()
    if not records:
        command = f"srsearch train {context.snapshot.study.name} --best --recipe fast --data DIR"
        page.children.append(empty(f"No design has been trained in full yet. `{command}` trains the best one."))
        return page
    add_trainings(page, "trainings", "Full trainings in this database", records, context.address)
    return page
