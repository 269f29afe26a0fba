"""The costs and quality that the five papers print, for their own networks and for those that they compare with."""

from __future__ import annotations

import csv
import functools
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass

BENCHMARKS: Mapping[str, int] = {"Set5": 5, "Set14": 14, "B100": 100, "Urban100": 100, "Manga109": 109}
"""The test sets that the papers report on, with their numbers of images."""


@dataclass(frozen=True)
class PrintedCost:
    """A row of a table of costs.

    Attributes:
        paper: ``pcarn``, ``efficiency``, ``csrcnn`` or ``s-lwsr`` (the ProSRN paper prints no costs).
        table: Number of the table, as printed.
        model: Name, as printed.
        scale: Upscaling factor; None if not printed.
        params: Thousands of parameters, as printed; empty if not printed.
        mult_adds: Billions (10^9) of Mult-Adds, as printed; empty if not printed.
        note: A remark on the row.
    """

    paper: str
    table: str
    model: str
    scale: int | None
    params: str
    mult_adds: str
    note: str


@dataclass(frozen=True)
class PrintedQuality:
    """The printed quality of one network on one test set, in one metric.

    Attributes:
        paper: One of the papers of `PrintedCost`, or ``prosrn``.
        table: Number of the table, as printed.
        model: Name, as printed.
        scale: Upscaling factor; None if not printed.
        dataset: The test set, such as ``Set5``.
        metric: ``psnr_db``, ``ssim`` or another metric of the table.
        value: The printed value.
        note: A remark on the value.
    """

    paper: str
    table: str
    model: str
    scale: int | None
    dataset: str
    metric: str
    value: float
    note: str


def _rows(name: str) -> list[dict[str, str]]:
    source = importlib.resources.files(__name__).joinpath(name)
    with source.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _scale(text: str) -> int | None:
    return int(text) if text else None


@functools.cache
def printed_costs() -> tuple[PrintedCost, ...]:
    """All printed costs, in the order of papers and tables."""
    return tuple(
        PrintedCost(
            row["paper"],
            row["table"],
            row["model"],
            _scale(row["scale"]),
            row["params_k"],
            row["mult_adds_g"],
            row["note"],
        )
        for row in _rows("costs.csv")
    )


@functools.cache
def printed_quality() -> tuple[PrintedQuality, ...]:
    """All printed values of quality, in the order of papers and tables."""
    return tuple(
        PrintedQuality(
            row["paper"],
            row["table"],
            row["model"],
            _scale(row["scale"]),
            row["dataset"],
            row["metric"],
            float(row["value"]),
            row["note"],
        )
        for row in _rows("quality.csv")
    )
