"""Names, headings and number formats, for the report and the live pages."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real

import pandas as pd

from srsearch.analysis import at_length
from srsearch.analysis.ranking import MEASURED, PROBABILITY
from srsearch.labels import MISSING, axis_text
from srsearch.objectives import OBJECTIVES, is_cost
from srsearch.quantity import format_quantity

PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
STATES = {
    "complete": "finished",
    "stopped": "stopped early",
    "running": "running",
    "failed": "failed",
    "infeasible": "over budget",
    "repeated": "seen before",
}
_HEADINGS = {
    "trial": "Trial",
    "state": "State",
    "reason": "Reason",
    "key": "Key",
    "psnr_sd": "SD (dB)",
    "seeds": "Seeds",
    "seconds": "Seconds",
    MEASURED: "Shortest training",
    PROBABILITY: "Probability to be the best",
    "reached": "Step",
}
_DIGITS = {"bicubic": 3, "effect": 4, "error": 4, "together": 4, "beyond": 4, "tau": 3, "psnr_sd": 3, "seconds": 1}


def headings(columns: Iterable[str] = ()) -> dict[str, str]:
    """What stands at the head of each column that has a fixed name, with the unit: "PSNR (dB)".

    Args:
        columns: Columns that may be of longer trainings.
    """
    titles = {row.name: f"{row.heading} ({row.unit})" if row.unit else row.heading for row in OBJECTIVES.values()}
    errors = {f"{row.name}_error": PLUS_MINUS for row in OBJECTIVES.values() if not row.is_cost}
    longer = {name: f"After {int(steps):,} steps" for name in columns if (steps := _steps_in(name))}
    return _HEADINGS | titles | errors | longer


def _steps_in(column: str) -> str | None:
    """The steps in the name of a column that `srsearch.analysis.at_length` names."""
    steps = column.removeprefix(at_length(0)[:-1])
    return steps if steps != column and steps.isdecimal() else None


def digits(name: str) -> int | None:
    """Decimals to show of a column; None where it is no measured number. An error has those of its quality."""
    row = OBJECTIVES.get("psnr" if name == MEASURED or _steps_in(name) else name.removesuffix("_error"))
    return row.digits or None if row is not None else _DIGITS.get(name)


def cell(name: str, value: object) -> str:
    """A value as tables show it in the column of this name; a dash where there is none."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return MISSING
    if is_cost(name):
        return format_quantity(float(value))  # type: ignore[arg-type]
    if name == "state":
        return STATES.get(str(value), str(value))
    if name == "key":
        return str(value)[:8]
    shown = digits(name)
    if shown:
        return f"{float(value):.{shown}f}"  # type: ignore[arg-type]
    return f"{value:.4g}" if isinstance(value, float) else axis_text(value)


def is_number(column: pd.Series) -> bool:
    """Whether all values of a column are numbers, so that tables align it to the right."""
    if pd.api.types.is_numeric_dtype(column):
        return not pd.api.types.is_bool_dtype(column)
    values = list(column.dropna().head(200))
    return bool(values) and all(isinstance(value, Real) and not isinstance(value, bool) for value in values)
