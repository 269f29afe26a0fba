"""Exact parameters, Mult-Adds and activations of a design, and the conventions they are counted under."""

from __future__ import annotations

from srsearch.cost.conventions import (
    OURS,
    PCARN,
    PCARN_NO_BIAS,
    PCARN_TABLE_I,
    Convention,
    convention,
    convention_names,
)
from srsearch.cost.count import Cost, PartCost, count

__all__ = [
    "OURS",
    "PCARN",
    "PCARN_NO_BIAS",
    "PCARN_TABLE_I",
    "Convention",
    "Cost",
    "PartCost",
    "convention",
    "convention_names",
    "count",
]
