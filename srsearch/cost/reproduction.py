"""The papers' printed costs beside those of the rebuilt networks, each under the convention of its paper.

Published quality stands beside them; and so do networks of which a paper prints quality but no costs, or nothing.
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
"""Set of images to ``psnr`` (dB) and ``ssim``."""

PAPERS = ("pcarn", "csrcnn", "efficiency", "s-lwsr", "prosrn")


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
        quality: What the paper prints of it.
        quality_table: The table that prints it: the row's own, else the one of the paper that prints most of it.
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
        """As one flat record, the figures as numbers, for programs.

        Args:
            other: Count it this way too, in further fields.
        """
        row = self.printed
        found = {
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
            again = self.ours and count(self.ours.design, scale=self.ours.scale, convention=other)
            found["other_convention"] = other.name
            found["other_params"] = again and again.params
            found["other_mult_adds"] = again and again.mult_adds
        return found


@dataclass(frozen=True)
class Unpriced:
    """A network without printed costs.

    Attributes:
        paper: Whose it is, or who compares with it.
        table: The table that prints its quality; None where none does.
        model: Name, as printed there; of a network without any printed figure, the catalogue's.
        scale: Upscaling factor, or None where none is printed.
        network: Its name in the catalogue; None where it is not rebuilt.
        ours: Its cost, counted our way.
        quality: What the table prints.
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
    """The catalogue's name for a network that a paper prints."""
    # What is in brackets after a name tells how it was trained: "ProSRN (2x, 4x)".
    names = {model, re.sub(r" \(.*\)$", "", model)}
    for name in catalogue.names():
        found = catalogue.published(name)
        # CARN and CARN-M are compared with in other papers too; a name such as "Depth" means something in its own only.
        known = found.paper == paper or model in ("CARN", "CARN-M")
        if known and names & set(found.printed):
            return name
    return None


def _design(network: str, scale: int | None) -> tuple[Architecture, int]:
    """The network as its paper prints it, and its scale: the table without a scale is of x4, and of one upsampler."""
    if catalogue.published(network).multi_scale and scale is not None:
        return catalogue.get(network), scale
    return catalogue.get(network, scale or 4), scale or 4


def _agrees(printed: str, value: int, unit: int) -> bool:
    """Whether a value rounds to a printed number of ``unit``s."""
    if not printed:
        return True
    digits = Decimal(printed)
    return (Decimal(value) / unit).quantize(digits, ROUND_HALF_UP) == digits


@functools.cache
def _qualities() -> Mapping[tuple[str, str, str, int | None], Quality]:
    """PSNR and SSIM by paper, table, model and scale, in the order of papers and tables."""
    found: dict[tuple[str, str, str, int | None], dict[str, dict[str, float | None]]] = {}
    for row in printed_quality():
        metric = {"psnr_db": "psnr", "ssim": "ssim"}.get(row.metric)
        if metric:
            sets = found.setdefault((row.paper, row.table, row.model, row.scale), {})
            sets.setdefault(row.dataset, {"psnr": None, "ssim": None})[metric] = row.value
    return found


def _quality(row: PrintedCost) -> tuple[Quality, str | None]:
    """What a paper prints of a network, and in which table: the row's own, else the one that prints most of it."""
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
    """Rebuild a printed row's network, and compare."""
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
    """Every printed cost of the papers with ours, in the order of papers and tables."""
    return tuple(reproduce(row) for row in printed_costs())


@functools.cache
def unpriced() -> tuple[Unpriced, ...]:
    """Every network without a printed cost: those with printed quality, then the rest of the catalogue.

    Quality that `reproductions` has beside a cost is not repeated.
    """
    beside = {(each.printed.paper, each.quality_table, *_model(each.printed)) for each in reproductions()}
    found = []
    for (paper, table, model, scale), quality in _qualities().items():
        if (paper, table, model, scale) not in beside:
            network = _network(paper, model)
            ours = None if network is None else _ours(network, scale)
            found.append(Unpriced(paper, table, model, scale, network, ours, quality))
    both: list[Reproduction | Unpriced] = [*reproductions(), *found]
    known = {(each.network, each.ours and each.ours.scale) for each in both}
    for name in catalogue.names():
        published = catalogue.published(name)
        for scale in published.scales:
            if (name, scale) not in known:
                found.append(Unpriced(published.paper, None, name, scale, name, _ours(name, scale), {}))
    return tuple(found)


def _model(row: PrintedCost) -> tuple[str, int | None]:
    return row.model, row.scale


def _ours(network: str, scale: int | None) -> Cost:
    design, at_scale = _design(network, scale)
    return count(design, scale=at_scale)


def of_paper(name: str) -> str:
    """A paper by name, in any case.

    Raises:
        InputError: Unknown name.
    """
    if name.lower() not in PAPERS:
        raise InputError(f"unknown paper {name!r}; {suggest(name.lower(), PAPERS)}")
    return name.lower()
