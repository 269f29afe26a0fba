"""Counts the parameters, Mult-Adds and activations of a design exactly, under different conventions."""

from __future__ import annotations

from srsearch.cost.conventions import (
    CSRCNN,
    EFFICIENCY,
    FALSR,
    NTIRE,
    OURS,
    PCARN,
    PCARN_NO_BIAS,
    PCARN_TABLE_I,
    S_LWSR,
    Convention,
    convention,
    convention_names,
)
from srsearch.cost.count import Cost, PartCost, ScaleCost, count

__all__ = [
    "CSRCNN",
    "EFFICIENCY",
    "FALSR",
    "NTIRE",
    "OURS",
    "PCARN",
    "PCARN_NO_BIAS",
    "PCARN_TABLE_I",
    "S_LWSR",
    "Convention",
    "Cost",
    "PartCost",
    "ScaleCost",
    "convention",
    "convention_names",
    "count",
]
