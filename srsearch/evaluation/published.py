"""What the papers print for a network on a test set, to be shown beside our own figures."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from srsearch.architecture import Architecture, catalogue
from srsearch.literature import printed_quality

BICUBIC = "bicubic"


@dataclass(frozen=True)
class PublishedScore:
    """The printed PSNR and SSIM of a network on a test set.

    Attributes:
        paper: The paper, such as ``pcarn``.
        table: Number of its table.
        model: Name of the network in the table.
        psnr: PSNR in dB; None if not printed.
        ssim: SSIM; None if not printed, or if the paper computes another measure under that name.
    """

    paper: str
    table: str
    model: str
    psnr: float | None
    ssim: float | None


_NOT_SSIM = frozenset({"prosrn"})
"""Papers whose column SSIM is not the standard measure."""


def published_scores(network: str, scale: int, benchmark: str) -> tuple[PublishedScore, ...]:
    """The printed scores of a network on a test set; those of its own paper first.

    Args:
        network: A name of the catalogue, or ``bicubic``.
        scale: Upscaling factor.
        benchmark: The test set, such as ``Set5``.

    Raises:
        InputError: The catalogue has no such network.
    """
    if network == BICUBIC:
        own, names = "", frozenset({"Bicubic"})
    else:
        entry = catalogue.published(network)
        own, names = entry.paper, frozenset(entry.printed)
    values: defaultdict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for row in printed_quality():
        if row.model in names and row.scale == scale and row.dataset == benchmark:
            values[row.paper, row.table, row.model][row.metric] = row.value
    scores = [
        PublishedScore(paper, table, model, found.get("psnr_db"), None if paper in _NOT_SSIM else found.get("ssim"))
        for (paper, table, model), found in values.items()
        if "psnr_db" in found
    ]
    return tuple(sorted(scores, key=lambda score: score.paper != own))


def published_name(design: Architecture) -> str | None:
    """The name of the published network that a design is, at any of its scales; None if it is none."""
    return _names().get(design.key)


@cache
def _names() -> dict[str, str]:
    names: dict[str, str] = {}
    for name in catalogue.names():
        entry = catalogue.published(name)
        for scale in (*entry.scales, *((None,) if entry.multi_scale else ())):
            names.setdefault(catalogue.get(name, scale).key, name)
    return names
