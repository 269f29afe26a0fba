"""Compares the costs that papers print with those of the rebuilt networks, each under the convention of its paper.

Published quality is listed with them. Networks without a printed cost are listed separately (`unpriced`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeAlias

from srsearch.architecture import Architecture, catalogue
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
from srsearch.errors import InputError, suggest
from srsearch.literature import PrintedCost, printed_costs, printed_quality

Quality: TypeAlias = Mapping[str, Mapping[str, float | None]]
"""``psnr`` (dB) and ``ssim`` by test set; None if not printed."""

PAPERS = ("pcarn", "csrcnn", "efficiency", "s-lwsr", "prosrn")


@dataclass(frozen=True)
class Reproduction:
    """A printed cost and the cost of the rebuilt network.

    Attributes:
        printed: The row of the paper's table.
        network: Name of the network in the catalogue; None if it comes from another paper and is not rebuilt.
        convention: The paper's convention; None if the network is not rebuilt.
        paper: Our count of the network under the paper's convention.
        ours: Our count under our own convention.
        match: Whether ours agrees with all printed numbers to the last printed digit; None if nothing is rebuilt.
        note: A remark on the row, or the reason why it does not match.
        quality: The quality that the paper prints for the network.
        quality_table: The table with the quality: the row's own, else the paper's table that prints most of it.
    """

    printed: PrintedCost
    network: str | None
    convention: Convention | None
    paper: Cost | None
    ours: Cost | None
    match: bool | None
    note: str
    quality: Quality
    quality_table: str | None

    def record(self, other: Convention | None = None) -> dict[str, Any]:
        """The comparison as a flat record for JSON, with printed costs as numbers.

        Args:
            other: Adds a count under this convention in further fields.
        """
        row = self.printed
        record = {
            "paper": row.paper,
            "table": row.table,
            "model": row.model,
            "scale": row.scale,
            "printed_params_k": _number(row.params),
            "printed_mult_adds_g": _number(row.mult_adds),
            "convention": self.convention and self.convention.name,
            "paper_params": self.paper and self.paper.params,
            "paper_mult_adds": self.paper and self.paper.mult_adds,
            "params": self.ours and self.ours.params,
            "mult_adds": self.ours and self.ours.mult_adds,
            "match": self.match,
            "note": self.note,
            "network": self.network,
            "quality": self.quality,
            "quality_table": self.quality_table,
        }
        if other is not None:
            cost = self.ours and count(self.ours.design, scale=self.ours.scale, convention=other)
            record["other_convention"] = other.name
            record["other_params"] = cost and cost.params
            record["other_mult_adds"] = cost and cost.mult_adds
        return record


@dataclass(frozen=True)
class Unpriced:
    """A network without printed costs.

    Attributes:
        paper: The paper that presents the network or compares with it.
        table: The table that prints its quality; None if there is none.
        model: The printed name, or the name in the catalogue if nothing is printed.
        scale: Upscaling factor; None if none is printed.
        network: Name in the catalogue; None if it is not rebuilt.
        ours: Its cost under our convention; None if it is not rebuilt.
        quality: The quality that the table prints.
    """

    paper: str
    table: str | None
    model: str
    scale: int | None
    network: str | None
    ours: Cost | None
    quality: Quality


_NOTES = {
    ("efficiency", "1", "bl", 2): "prints 231.2 where its network has 231.3, which bl-e's 265.3 agrees with",
    ("efficiency", "4", "bl", 2): "prints 231.2 where its network has 231.3",
    ("s-lwsr", "II", "CARN", 4): "not its Mult-Adds but the weights of its x4 network times LR pixels, "
    "with the exit alone on HR pixels: 65.39",
    ("s-lwsr", "II", "CARN-M", 4): "not its Mult-Adds but the weights of its x4 network times LR pixels, "
    "with the exit alone on HR pixels and shared weights once: 18.33",
}
"""Why a row cannot be reproduced."""

_FRACTIONS = "at x8 its strides leave half pixels, which are counted as halves: 0.002 % below the real positions"


def _number(printed: str) -> int | float | None:
    if not printed:
        return None
    return float(printed) if "." in printed else int(printed)


def _convention(row: PrintedCost, network: str) -> Convention:
    paper = catalogue.published(network).paper
    if paper == "pcarn":
        if row.table == "I":
            return PCARN_TABLE_I
        mobile = network.endswith("-m")
        return PCARN_NO_BIAS if mobile or (row.paper == "pcarn" and row.table in ("V", "VI")) else PCARN
    return {"efficiency": EFFICIENCY, "csrcnn": CSRCNN, "s-lwsr": S_LWSR}[paper]


def _network(paper: str, model: str) -> str | None:
    """The name in the catalogue of a network that a paper prints; None if it is not rebuilt."""
    # Parentheses after a name say how the network was trained: "ProSRN (2x, 4x)".
    names = {model, re.sub(r" \(.*\)$", "", model)}
    for name in catalogue.names():
        network = catalogue.published(name)
        # Other papers print CARN and CARN-M, too. A name such as "Depth" has a meaning in its own paper only.
        may_print = network.paper == paper or model in ("CARN", "CARN-M")
        if may_print and names & set(network.printed):
            return name
    return None


def _design(network: str, scale: int | None) -> tuple[Architecture, int]:
    """The design of a printed network, and its scale. Rows without a scale are x4 networks with one upsampler."""
    if catalogue.published(network).multi_scale and scale is not None:
        return catalogue.get(network), scale
    return catalogue.get(network, scale or 4), scale or 4


def _agrees(printed: str, value: int, unit: int) -> bool:
    """Whether a value, in multiples of ``unit``, rounds to the printed number."""
    if not printed:
        return True
    digits = Decimal(printed)
    return (Decimal(value) / unit).quantize(digits, ROUND_HALF_UP) == digits


@functools.cache
def _qualities() -> Mapping[tuple[str, str, str, int | None], Quality]:
    """PSNR and SSIM by paper, table, model and scale, in the order of papers and tables."""
    qualities: dict[tuple[str, str, str, int | None], dict[str, dict[str, float | None]]] = {}
    for row in printed_quality():
        metric = {"psnr_db": "psnr", "ssim": "ssim"}.get(row.metric)
        if metric:
            sets = qualities.setdefault((row.paper, row.table, row.model, row.scale), {})
            sets.setdefault(row.dataset, {"psnr": None, "ssim": None})[metric] = row.value
    return qualities


def _quality(row: PrintedCost) -> tuple[Quality, str | None]:
    """The quality that a paper prints for a network, and its table: the row's own, else the one with most test sets."""
    tables = {
        table: quality
        for (paper, table, model, scale), quality in _qualities().items()
        if (paper, model, scale) == (row.paper, row.model, row.scale)
    }
    if not tables:
        return {}, None
    table = row.table if row.table in tables else max(tables, key=lambda each: len(tables[each]))
    return tables[table], table


def reproduce(row: PrintedCost) -> Reproduction:
    """Rebuild the network of a printed row and compare the costs."""
    network = _network(row.paper, row.model)
    quality = _quality(row)
    if network is None:
        return Reproduction(row, None, None, None, None, None, row.note, *quality)
    design, scale = _design(network, row.scale)
    convention = _convention(row, network)
    paper, ours = count(design, scale=scale, convention=convention), count(design, scale=scale, convention=OURS)
    same_params = not row.params or convention.thousands(paper.params) == int(row.params)
    match = same_params and _agrees(row.mult_adds, paper.mult_adds, 10**9)
    why = _NOTES.get((row.paper, row.table, row.model, row.scale or 0), "") if not match else ""
    if catalogue.published(network).paper == "csrcnn" and scale == 8:
        why = _FRACTIONS
    note = "; ".join(text for text in (row.note, why) if text)
    return Reproduction(row, network, convention, paper, ours, match, note, *quality)


@functools.cache
def reproductions() -> tuple[Reproduction, ...]:
    """All printed costs compared with ours, in the order of papers and tables."""
    return tuple(reproduce(row) for row in printed_costs())


@functools.cache
def unpriced() -> tuple[Unpriced, ...]:
    """All networks without a printed cost: those with printed quality, then the rest of the catalogue.

    Quality that `reproductions` lists with a cost is not repeated.
    """
    beside = {(each.printed.paper, each.quality_table, *_model(each.printed)) for each in reproductions()}
    networks = []
    for (paper, table, model, scale), quality in _qualities().items():
        if (paper, table, model, scale) not in beside:
            network = _network(paper, model)
            ours = None if network is None else _ours(network, scale)
            networks.append(Unpriced(paper, table, model, scale, network, ours, quality))
    both: list[Reproduction | Unpriced] = [*reproductions(), *networks]
    known = {(each.network, each.ours and each.ours.scale) for each in both}
    for name in catalogue.names():
        published = catalogue.published(name)
        for scale in published.scales:
            if (name, scale) not in known:
                networks.append(Unpriced(published.paper, None, name, scale, name, _ours(name, scale), {}))
    return tuple(networks)


def _model(row: PrintedCost) -> tuple[str, int | None]:
    return row.model, row.scale


def _ours(network: str, scale: int | None) -> Cost:
    design, at_scale = _design(network, scale)
    return count(design, scale=at_scale)


def of_paper(name: str) -> str:
    """Check the name of a paper, written in any case, and return it in lower case.

    Raises:
        InputError: Unknown name.
    """
    if name.lower() not in PAPERS:
        raise InputError(f"unknown paper {name!r}; {suggest(name.lower(), PAPERS)}")
    return name.lower()
