"""The views of the live pages, one per file. A view is a function from a `ViewContext` to a `Page`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from srsearch.dashboard.budget import sliders
from srsearch.dashboard.live.address import Address
from srsearch.dashboard.live.components import Control, Option, limit
from srsearch.dashboard.live.snapshots import Snapshot, Watcher
from srsearch.labels import axis_labels, axis_text
from srsearch.objectives import Objective, objective

_MOST_VALUES = 24


@dataclass(frozen=True)
class ViewContext:
    """What a view shows.

    Attributes:
        address: The choices in the link: study, budget, selection, and all others.
        snapshot: The study: its trials, front, curves and noise.
        watcher: The database, for what a snapshot does not hold.
    """

    address: Address
    snapshot: Snapshot
    watcher: Watcher

    @property
    def cost(self) -> str:
        """The column on x axes."""
        chosen = self.address.cost
        return chosen if chosen in self.snapshot.objectives else self.snapshot.cost

    @property
    def quality(self) -> str:
        """The column on y axes."""
        return self.address.quality or self.snapshot.quality

    @property
    def selected(self) -> pd.DataFrame:
        """The finished designs of the selection, inside the budget."""
        return self.address.within(self.address.selected(self.snapshot.done))

    @property
    def counted(self) -> str:
        """How many designs are selected, in words."""
        number = len(self.address.selected(self.snapshot.done))
        return f"{number:,} of {len(self.snapshot.done):,} finished designs"

    @property
    def selection(self) -> tuple[object, ...]:
        """What `Snapshot.once` needs to tell selections apart."""
        return str(self.address.box), self.address.only

    def varied(self, rows: pd.DataFrame) -> list[str]:
        """The axes in which these rows differ, in the study's order."""
        return [axis for axis in self.snapshot.axes if rows[axis].nunique(dropna=False) > 1]


def budget_controls(context: ViewContext) -> list[Control]:
    """Sliders of the budget."""
    return [limit(context.address, slider) for slider in sliders(context.snapshot.done)]


def measure_controls(context: ViewContext) -> list[Control]:
    """The choice of what the two axes of a figure show."""
    done = context.snapshot.done
    shown = [objective(name) for name in context.snapshot.objectives if done[name].notna().any()]
    return [
        Control("quality", "Vertical axis", "select", context.quality, _options(shown, costs=False), group="Figure"),
        Control("cost", "Horizontal axis", "select", context.cost, _options(shown, costs=True), group="Figure"),
    ]


def _options(shown: Sequence[Objective], *, costs: bool) -> tuple[Option, ...]:
    return tuple(Option(row.name, row.label) for row in shown if row.is_cost == costs)


def selection_controls(context: ViewContext) -> list[Control]:
    """A list of axis values to select designs by, which also works without clicking into figures."""
    snapshot = context.snapshot
    options = snapshot.once(
        "values",
        lambda: [
            Option(f"{axis}={axis_text(value)}", f"{label} = {axis_text(value)}")
            for axis, label in axis_labels(snapshot.axes).items()
            if axis in snapshot.varied
            for value in _ordered(snapshot.done[axis])[:_MOST_VALUES]
        ],
    )
    if not options:
        return []
    choices = (Option("", "all designs"), *options)
    return [Control("only", "Show only", "select", "", choices, group="Selection", adds=True)]


def _ordered(column: pd.Series) -> list[object]:
    values = list(column.dropna().unique())
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=str)
