"""Names, headings and number formats, for the report and the live pages."""

from __future__ import annotations

from numbers import Real

import pandas as pd

from srsearch.labels import MISSING, axis_text
from srsearch.quantity import format_quantity

PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
COSTS = ("mult_adds", "params", "activations")
STATES = {
    "complete": "finished",
    "stopped": "stopped early",
    "running": "running",
    "failed": "failed",
    "infeasible": "over budget",
    "repeated": "seen before",
}
HEADS = {
    "trial": "Trial",
    "state": "State",
    "reason": "Reason",
    "key": "Key",
    "psnr": "PSNR (dB)",
    "psnr_error": PLUS_MINUS,
    "psnr_sd": "SD (dB)",
    "ssim": "SSIM",
    "ssim_error": PLUS_MINUS,
    "seeds": "Seeds",
    "mult_adds": "Mult-Adds",
    "params": "Params",
    "activations": "Activations",
    "seconds": "Seconds",
    "reached": "Step",
}
NAMES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "mult_adds": "Mult-Adds",
    "params": "parameters",
    "activations": "activations",
}
_DIGITS = {
    "effect": 4,
    "error": 4,
    "together": 4,
    "beyond": 4,
    "tau": 3,
    "psnr": 3,
    "psnr_error": 3,
    "psnr_sd": 3,
    "ssim": 4,
    "ssim_error": 4,
    "seconds": 1,
}


def cell(name: str, value: object) -> str:
    """A value as tables show it in the column of this name; a dash where there is none."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return MISSING
    if name in COSTS:
        return format_quantity(float(value))  # type: ignore[arg-type]
    if name == "state":
        return STATES.get(str(value), str(value))
    if name == "key":
        return str(value)[:8]
    digits = _DIGITS.get(name)
    if digits:
        return f"{float(value):.{digits}f}"  # type: ignore[arg-type]
    return f"{value:.4g}" if isinstance(value, float) else axis_text(value)


def is_number(column: pd.Series) -> bool:
    """Whether all values of a column are numbers, so that tables align it to the right."""
    if pd.api.types.is_numeric_dtype(column):
        return not pd.api.types.is_bool_dtype(column)
    values = list(column.dropna().head(200))
    return bool(values) and all(isinstance(value, Real) and not isinstance(value, bool) for value in values)


def decibels(quality: str) -> str:
    """The unit to write after a quality, with a space before it; empty for SSIM."""
    return " dB" if quality == "psnr" else ""
