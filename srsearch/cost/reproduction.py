"""The papers' printed costs beside those of the rebuilt networks, each under the convention of its paper."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from srsearch.architecture import Architecture, catalogue
from srsearch.architecture.published import PrintedCost, printed_costs
from srsearch.cost.conventions import (
    CSRCNN,
    EFFICIENCY,
    OURS,
    PCARN,
    PCARN_NO_BIAS,
    PCARN_TABLE_I,
    S_LWSR,
    Convention,
)
from srsearch.cost.count import Cost, count


@dataclass(frozen=True)
class Reproduction:
    """A printed cost and ours.

    Attributes:
        printed: The row of the paper.
        network: The published network's name in the catalogue; None where it is another paper's and not rebuilt.
        convention: How the paper counts.
        paper: Our cost of the network under that convention.
        ours: Under our own.
        match: Whether every printed figure is ours to the printed digit; None where nothing is rebuilt.
        note: What is odd about the row, or why it does not match.
    """

    printed: PrintedCost
    network: str | None
    convention: Convention | None
    paper: Cost | None
    ours: Cost | None
    match: bool | None
    note: str


_NOTES = {
    ("efficiency", "1", "bl", 2): "prints 231.2 where its network has 231.3, which bl-e's 265.3 agrees with",
    ("efficiency", "4", "bl", 2): "prints 961K where Tables 1 and 2 imply 1006K, and 231.2 where its network has 231.3",
    (
        "s-lwsr",
        "II",
        "CARN",
        4,
    ): "65.4G is no cost of CARN under any convention known here; the PCARN paper prints 90.9G",
    (
        "s-lwsr",
        "II",
        "CARN-M",
        4,
    ): "18.3G is no cost of CARN-M under any convention known here; the PCARN paper prints 32.5G",
}
"""Why a row cannot be reproduced."""


def _convention(row: PrintedCost, network: str) -> Convention:
    paper = catalogue.published(network).paper
    if paper == "pcarn":
        if row.table == "I":
            return PCARN_TABLE_I
        mobile = network.endswith("-m")
        return PCARN_NO_BIAS if mobile or (row.paper == "pcarn" and row.table in ("V", "VI")) else PCARN
    return {"efficiency": EFFICIENCY, "csrcnn": CSRCNN, "s-lwsr": S_LWSR}[paper]


def _network(row: PrintedCost) -> str | None:
    """The catalogue's name for a row's network."""
    for name in catalogue.names():
        found = catalogue.published(name)
        # CARN and CARN-M are compared with in other papers too; a name such as "Depth" means something in its own only.
        known = found.paper == row.paper or row.model in ("CARN", "CARN-M")
        if known and row.model in found.printed:
            return name
    return None


def _design(row: PrintedCost, network: str) -> tuple[Architecture, int]:
    found = catalogue.published(network)
    scale = row.scale or 4  # the table without a scale is of x4
    if found.multi_scale and row.scale is not None:
        return catalogue.get(network), scale
    return catalogue.get(network, scale), scale


def _agrees(printed: str, value: int, unit: int) -> bool:
    """Whether a value rounds to a printed number of ``unit``s."""
    if not printed:
        return True
    digits = Decimal(printed)
    return (Decimal(value) / unit).quantize(digits, ROUND_HALF_UP) == digits


def reproduce(row: PrintedCost) -> Reproduction:
    """Rebuild a printed row's network, and compare."""
    network = _network(row)
    if network is None:
        return Reproduction(row, None, None, None, None, None, row.note)
    design, scale = _design(row, network)
    convention = _convention(row, network)
    paper, ours = count(design, scale=scale, convention=convention), count(design, scale=scale, convention=OURS)
    same_params = not row.params or convention.thousands(paper.params) == int(row.params)
    match = same_params and _agrees(row.mult_adds, paper.mult_adds, 10**9)
    why = _NOTES.get((row.paper, row.table, row.model, row.scale or 0), "") if not match else ""
    note = "; ".join(text for text in (row.note, why) if text)
    return Reproduction(row, network, convention, paper, ours, match, note)


@functools.cache
def reproductions() -> tuple[Reproduction, ...]:
    """Every printed cost of the papers with ours, in the order of papers and tables."""
    return tuple(reproduce(row) for row in printed_costs())
