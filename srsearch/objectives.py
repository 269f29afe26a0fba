"""The table of objectives: what can be searched for, which way is better, and how people read it.

The database, the sampler, the tables and the plots read this table and keep no list of their own. A new objective is
one row here and the code that measures it; `srsearch.architecture.register` adds one of your own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from srsearch.errors import InputError, suggest
from srsearch.plugins import load_wanted_plugins
from srsearch.quantity import format_quantity

Direction = Literal["max", "min"]

Measure = Callable[[str, Mapping[str, Any]], float]
"""Takes a design's key and its description as plain data; returns the cost."""


@dataclass(frozen=True)
class Objective:
    """One row of the table.

    Qualities are maximised; they come out of an evaluation. Costs are minimised; they are numbers above zero, known
    exactly before training, and compared by ratio (log10).

    Attributes:
        name: The column in data frames and the word in space files.
        direction: ``max`` for a quality, ``min`` for a cost.
        label: For titles and axes: "Parameters".
        heading: For the head of a table's column: "Params".
        noun: Within a sentence: "parameters".
        unit: Such as "dB"; empty for a count or a share.
        digits: Decimals to show of a quality; costs are shown as 38.3G.
        measure: Computes a cost that the user registered; None for what the database has a column for.
    """

    name: str
    direction: Direction
    label: str
    heading: str
    noun: str
    unit: str = ""
    digits: int = 0
    measure: Measure | None = None

    @property
    def is_cost(self) -> bool:
        """Whether it is a cost; otherwise a quality."""
        return self.direction == "min"

    @property
    def short(self) -> str:
        """Within a line that has little room: "313K params"."""
        return self.heading.lower() if self.noun.islower() else self.heading

    @property
    def axis_title(self) -> str:
        """The label with the unit: "PSNR (dB)"."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def suffix(self) -> str:
        """The unit behind a number, with its space."""
        return f" {self.unit}" if self.unit else ""

    def text(self, value: float) -> str:
        """A value as tables show it, without its unit."""
        return format_quantity(value) if self.is_cost else f"{value:.{self.digits}f}"

    def of(self, trial: Any) -> float | int | None:
        """The value of a `srsearch.store.TrialRecord`; None where it has none.

        Raises:
            InputError: An objective of the user's own gave something else than a number above zero.
        """
        if self.measure is None:
            value: float | int | None = getattr(trial, self.name)
            return value
        return self.measure(trial.key, trial.description) if trial.description else None

    def scaled(self, value: float | None) -> float:
        """A value as samplers see it: a cost as its decimal logarithm; NaN for None."""
        if value is None:
            return math.nan
        return math.log10(value) if self.is_cost else float(value)


_TABLE: dict[str, Objective] = {
    row.name: row
    for row in (
        Objective("psnr", "max", "PSNR", "PSNR", "PSNR", unit="dB", digits=3),
        Objective("ssim", "max", "SSIM", "SSIM", "SSIM", digits=4),
        Objective("mult_adds", "min", "Mult-Adds", "Mult-Adds", "Mult-Adds"),
        Objective("params", "min", "Parameters", "Params", "parameters"),
        Objective("activations", "min", "Activations", "Activations", "activations"),
    )
}

OBJECTIVES: Mapping[str, Objective] = MappingProxyType(_TABLE)
"""Every objective by its name, those that the user registered last."""

QUALITIES: tuple[str, ...] = tuple(name for name, row in _TABLE.items() if not row.is_cost)
"""The qualities: columns of an evaluation."""

COSTS: tuple[str, ...] = tuple(name for name, row in _TABLE.items() if row.is_cost)
"""The costs that srsearch counts: columns of a trial. Costs that the user registered are not among them."""


def objective(name: str) -> Objective:
    """The row of a name.

    Raises:
        InputError: No such objective; says how an objective of one's own is loaded.
    """
    if not registered(name):
        hint = suggest(name, _TABLE)
        raise InputError(f"unknown objective {name!r}; {hint} (load an objective of your own with --plugin FILE)")
    return _TABLE[name]


def registered(name: str) -> bool:
    """Whether there is such an objective; loads installed plugins where it is not known yet."""
    if name not in _TABLE:
        load_wanted_plugins()
    return name in _TABLE


def own_costs(names: Iterable[str]) -> list[Objective]:
    """The objectives among the names that the user registered, which the database has no column for.

    Raises:
        InputError: A name that is no objective.
    """
    return [row for row in map(objective, names) if row.measure is not None]


def add_cost(name: str, measure: Measure, origin: object) -> None:
    """Adds a cost of the user's own to the table; see `srsearch.architecture.register`.

    Args:
        name: Small letters, digits and underscores.
        measure: Computes it.
        origin: Where it is written: what is loaded again from there replaces the row.

    Raises:
        ValueError: The name is taken, or is not a name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"{name!r} is not a name for an objective; use small letters, digits and underscores")
    if name in _COLUMNS or (name in _TABLE and _ORIGINS.get(name) != origin):
        raise ValueError(f"there is an objective or a column named {name!r} already")
    noun = name.replace("_", " ")
    label = noun.capitalize()
    _TABLE[name] = Objective(name, "min", label, label, noun, measure=measure)
    _ORIGINS[name] = origin


_ORIGINS: dict[str, object] = {}

_COLUMNS = frozenset(
    {"trial", "key", "state", "reason", "seeds", "psnr_sd", "psnr_error", "ssim_error"}
    | {"seconds", "cached", "finished_at", "reached", "reached_psnr", "best"}
)
"""Other columns of trials, whose names an objective cannot have."""


def is_cost(name: str) -> bool:
    """Whether a column is a cost; False for a column that is no objective."""
    return name in _TABLE and _TABLE[name].is_cost


def unit_suffix(name: str) -> str:
    """The unit behind a number of a column, with its space; empty for a column that is no objective."""
    return _TABLE[name].suffix if name in _TABLE else ""
