"""The views of the live pages, one in a file: each makes a `Page` of an `Occasion`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from srsearch.dashboard.budget import sliders
from srsearch.dashboard.live.address import Address
from srsearch.dashboard.live.components import Control, Option, Page, limit
from srsearch.dashboard.live.snapshots import Snapshot, Watcher
from srsearch.labels import axis_labels, axis_text
from srsearch.objectives import Objective, objective

_MOST_VALUES = 24


@dataclass(frozen=True)
class Occasion:
    """What a view is made of.

    Attributes:
        address: What the link says.
        snapshot: The study.
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
        """How many designs are selected."""
        number = len(self.address.selected(self.snapshot.done))
        return f"{number:,} of {len(self.snapshot.done):,} finished designs"

    @property
    def selection(self) -> tuple[object, ...]:
        """What selects the designs, for `Snapshot.once`."""
        return str(self.address.box), self.address.only

    def varied(self, rows: pd.DataFrame) -> list[str]:
        """The axes in which these rows differ, in the study's order."""
        return [axis for axis in self.snapshot.axes if rows[axis].nunique(dropna=False) > 1]


View = Callable[[Occasion], Page]


def budget_controls(occasion: Occasion) -> list[Control]:
    """Sliders of the budget."""
    return [limit(occasion.address, slider) for slider in sliders(occasion.snapshot.done)]


def measure_controls(occasion: Occasion) -> list[Control]:
    """What stands on the two axes of a figure."""
    done = occasion.snapshot.done
    shown = [objective(name) for name in occasion.snapshot.objectives if done[name].notna().any()]
    return [
        Control("quality", "Up", "select", occasion.quality, _options(shown, costs=False), group="Figure"),
        Control("cost", "Across", "select", occasion.cost, _options(shown, costs=True), group="Figure"),
    ]


def _options(shown: Sequence[Objective], *, costs: bool) -> tuple[Option, ...]:
    return tuple(Option(row.name, row.label) for row in shown if row.is_cost == costs)


def only_control(occasion: Occasion) -> Control | None:
    """A way to show only designs with a value of an axis, for those who do not click into figures."""
    snapshot = occasion.snapshot
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
        return None
    return Control(
        "only", "Show only", "select", "", (Option("", "all designs"), *options), group="Selection", adds=True
    )


def _ordered(column: pd.Series) -> list[object]:
    values = list(column.dropna().unique())
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=str)
