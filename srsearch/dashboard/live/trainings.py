"""Full trainings as parts of pages: a table of how far they are, and their curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from dash import html
from dash.development.base_component import Component

from srsearch import plots
from srsearch.dashboard.live.address import Address
from srsearch.dashboard.live.components import Page, named, place, section, table
from srsearch.quantity import format_duration
from srsearch.store import TrainingRecord

_MOST_CURVES = 8
_STATES = {"running": "running", "done": "finished", "failed": "failed", "interrupted": "interrupted"}
_HEADS = {
    "training": "Training",
    "study": "Study",
    "recipe": "Recipe",
    "state": "State",
    "progress": "Progress",
    "left": "Time left",
    "step": "Step",
    "psnr": "PSNR (dB)",
    "bicubic": "Bicubic (dB)",
    "time": "Time so far",
    "begun": "Started (UTC)",
    "file": "Model file",
    "reason": "Remark",
}
GOES_ON = "interrupted: the same command goes on"


def add_trainings(page: Page, name: str, title: str, records: Sequence[TrainingRecord], address: Address) -> None:
    """Add a section with trainings to a page.

    Args:
        page: The page.
        name: The table's name in links and file names; the figure's, too.
        title: The heading.
        records: The trainings, newest first.
        address: The page's address.
    """
    frame = training_frame(records)
    counts: Counter[str] = Counter(record.state for record in records)
    told = [f"{counts[state]:,} {word}" for state, word in _STATES.items() if counts[state]]
    columns = [column for column in frame.columns if column == "training" or frame[column].notna().any()]
    labels = _labels(records[:_MOST_CURVES])
    curves = {label: [(point.step, point.psnr) for point in record.curve] for label, record in labels.items()}
    page.draw(name, plots.training_curves(curves, {label: record.bicubic for label, record in labels.items()}))
    page.children.append(
        section(
            title,
            html.P(f"{', '.join(told)}.", role="status"),
            *[_running(record) for record in records if record.state == "running"],
            table(page, name, title, frame, columns, address, heads=_HEADS),
            place(name, label="PSNR by training step of full trainings, beside bicubic upscaling.", height=340),
        )
    )


def training_frame(records: Sequence[TrainingRecord]) -> pd.DataFrame:
    """One row for each training, for people; the last column is why it failed, or how it goes on."""
    rows = [
        (
            record.name,
            None if record.study is None else f"{record.study}:{record.trial}",
            str(record.recipe.get("name", "")) or None,
            _STATES[record.state],
            f"{record.done:.0%}",
            None if record.seconds_left is None else format_duration(record.seconds_left),
            record.step,
            record.curve[-1].psnr if record.curve else None,
            record.bicubic,
            format_duration(record.seconds),
            None if record.started_at is None else record.started_at.strftime("%Y-%m-%d %H:%M"),
            Path(record.file).name,
            GOES_ON if record.state == "interrupted" else record.reason,
        )
        for record in records
    ]
    return pd.DataFrame(rows, columns=list(_HEADS))


def _running(record: TrainingRecord) -> Component:
    """A bar with the progress of a training, and the time left."""
    left = "" if record.seconds_left is None else f", {format_duration(record.seconds_left)} left"
    steps = record.recipe.get("steps") if record.minutes is None else None
    step = f"step {record.step:,}" + (f" of {steps:,}" if isinstance(steps, int) else "")
    aria: Any = named(f"Progress of {record.name}")
    bar = html.Progress(value=f"{record.done:.4f}", max="1", **aria)
    return html.P([html.Strong(record.name), " ", bar, f" {record.done:.0%}, {step}{left}"], className="training")


def _labels(records: Sequence[TrainingRecord]) -> dict[str, TrainingRecord]:
    """Trainings by names that tell them apart."""
    counts = Counter(record.name for record in records)
    labels: dict[str, TrainingRecord] = {}
    for record in records:
        number, label = 1, record.name
        while label in labels or (number == 1 and counts[record.name] > 1):
            label = f"{record.name} ({number})"
            number += 1
        labels[label] = record
    return labels
