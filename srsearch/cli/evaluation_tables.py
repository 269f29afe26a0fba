"""Prints scores on test sets: tables for people, records for JSON, rows for CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from srsearch.cli.printing import fits, print_table
from srsearch.literature import BENCHMARKS
from srsearch.text import printable, well_formed

if TYPE_CHECKING:
    from rich.table import Table

    from srsearch.architecture import Model
    from srsearch.data.layouts import Layout
    from srsearch.evaluation.published import PublishedScore
    from srsearch.evaluation.scoring import Score, SetScores


_LONGEST_NAME = 10
"""Characters of a model's name in the head of a column, which is as wide; the line on the cost has every name."""


@dataclass(frozen=True)
class Evaluated:
    """The scores on a set, and what papers print for the same network, scale and set."""

    layout: Layout
    scores: SetScores
    published: tuple[PublishedScore, ...]

    @property
    def title(self) -> str:
        return self.layout.benchmark or well_formed(self.layout.folder.resolve().name)

    @property
    def complete(self) -> bool:
        """Whether these are all images of a test set that papers report on."""
        return BENCHMARKS.get(self.layout.benchmark or "") == len(self.scores.images)

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(self.scores.images[0].scores)


def print_evaluation(model: Model, results: Sequence[Evaluated], ensemble: bool) -> None:
    """Prints a table for each set, with what papers print below it, and the cost of the network."""
    for result in results:
        click.echo(printable(f"{result.layout}"))
        click.echo()
        for number, table in enumerate(_tables(model, result)):
            if number:
                click.echo()
            print_table(table)
        for line in _published_lines(result):
            click.echo(f"  {line}")
        if result.layout.benchmark and not result.complete:
            usual = BENCHMARKS[result.layout.benchmark]
            click.echo(
                f"  {result.title} has {usual} images: means over {len(result.scores.images)} compare with no paper"
            )
        click.echo()
    for line in _cost_lines(model, results, ensemble):
        click.echo(line)
    network = sum(result.scores.network_seconds for result in results)
    metrics = sum(result.scores.metric_seconds for result in results)
    click.echo(f"{network:.1f} s in the network, {metrics:.1f} s for PSNR, SSIM and bicubic upscaling")


def _tables(model: Model, result: Evaluated) -> list[Table]:
    """One table, or one for each protocol where the terminal is too narrow."""
    together = _table(model, result, result.protocols)
    if fits(together):
        return [together]
    return [_table(model, result, (protocol,)) for protocol in result.protocols]


def _table(model: Model, result: Evaluated, protocols: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("Image", overflow="fold")
    table.add_column("HR size", justify="right", no_wrap=True)
    name = printable(model.name)
    sources = ["bicubic"] if model.design is None else [name if len(name) <= _LONGEST_NAME else "network", "bicubic"]
    for protocol in protocols:
        for source in sources:
            for metric in ("PSNR", "SSIM"):
                head = f"{metric}\n{protocol}" + (f"\n{source}" if len(sources) > 1 else "")
                table.add_column(Text(head, justify="right"), justify="right", no_wrap=True)

    def cells(scores: Any, bicubic: Any, digits: int) -> list[str]:
        texts = []
        for protocol in protocols:
            for each in [bicubic] if model.design is None else [scores, bicubic]:
                score = each(protocol)
                texts += [_psnr(score.psnr, digits), _ssim(score.ssim)]
        return texts

    last = len(result.scores.images) - 1
    for place, image in enumerate(result.scores.images):
        row = cells(image.scores.__getitem__, image.bicubic.__getitem__, 2)
        table.add_row(
            Text(printable(well_formed(image.name))), f"{image.width}x{image.height}", *row, end_section=place == last
        )
    table.add_row("mean", "", *cells(result.scores.mean, result.scores.bicubic, 3), style="bold")
    return table


def _psnr(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}" if value < 100 else "equal"


def _ssim(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _published_lines(result: Evaluated) -> list[str]:
    """What papers print, and how far the protocol that is nearest to the paper's own differs from it."""
    lines = []
    for row in result.published:
        protocol = "pcarn" if row.paper == "pcarn" and "pcarn" in result.protocols else result.protocols[0]
        printed = f"{row.psnr:.2f}" + (f" / {row.ssim:.4f}" if row.ssim is not None else "")
        line = f"published: {printed} ({row.paper}, Table {row.table}, {row.model})"
        if result.complete and row.psnr is not None:
            line += f"; ours by {protocol}: {result.scores.mean(protocol).psnr - row.psnr:+.2f} dB"
        lines.append(line)
    return lines


def _cost_lines(model: Model, results: Sequence[Evaluated], ensemble: bool) -> list[str]:
    from srsearch.cost import count
    from srsearch.evaluation.ensemble import PASSES
    from srsearch.quantity import format_quantity

    if model.design is None:
        return []
    lines = []
    for scale in sorted({result.layout.scale for result in results}):
        cost = count(model.design, scale=scale)
        text = f"{printable(model.name)} x{scale}: {format_quantity(cost.params)} parameters"
        mult_adds = f"{format_quantity(cost.mult_adds)} Mult-Adds for an image of 1280x720"
        if ensemble:
            mult_adds = (
                f"{format_quantity(PASSES * cost.mult_adds)} Mult-Adds for an image of 1280x720: self-ensemble is "
                f"{PASSES} times {format_quantity(cost.mult_adds)}"
            )
        lines.append(f"{text}, {mult_adds}")
    return lines


def evaluation_records(model: Model, results: Sequence[Evaluated], ensemble: bool) -> dict[str, Any]:
    """The scores as plain data."""
    from srsearch.cost import count
    from srsearch.evaluation.ensemble import PASSES

    def scores(named: Any, protocols: Sequence[str]) -> dict[str, Any]:
        return {name: _plain(named(name)) for name in protocols}

    return {
        "model": well_formed(model.name),
        "key": None if model.design is None else model.design.key,
        "self_ensemble": ensemble,
        "sets": [
            {
                "set": result.title,
                "benchmark": result.layout.benchmark,
                "folder": well_formed(str(result.layout.folder)),
                "layout": result.layout.kind,
                "scale": result.layout.scale,
                "lr": "files" if result.layout.has_lr else "bicubic",
                "mult_adds": None
                if model.design is None
                else count(model.design, scale=result.layout.scale).mult_adds * (PASSES if ensemble else 1),
                "mean": scores(result.scores.mean, result.protocols),
                "bicubic": scores(result.scores.bicubic, result.protocols),
                "published": [vars(row) for row in result.published],
                "complete": result.complete,
                "remarks": list(result.layout.remarks),
                "images": [
                    {
                        "name": well_formed(image.name),
                        "width": image.width,
                        "height": image.height,
                        "tile": image.tile,
                        "scores": scores(image.scores.__getitem__, result.protocols),
                        "bicubic": scores(image.bicubic.__getitem__, result.protocols),
                    }
                    for image in result.scores.images
                ],
                "network_seconds": result.scores.network_seconds,
                "metric_seconds": result.scores.metric_seconds,
            }
            for result in results
        ],
    }


def _plain(score: Score) -> dict[str, float | None]:
    return {"psnr": _number(score.psnr), "ssim": _number(score.ssim)}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def evaluation_csv(model: Model, results: Sequence[Evaluated]) -> str:
    """The scores as comma-separated values: a row for each image and protocol, and for each mean."""
    import pandas as pd

    from srsearch.text import csv_text

    rows = []
    for result in results:
        for protocol in result.protocols:
            named = [
                *((image.name, image.scores[protocol], image.bicubic[protocol]) for image in result.scores.images),
                ("mean", result.scores.mean(protocol), result.scores.bicubic(protocol)),
            ]
            for name, score, bicubic in named:
                rows.append(
                    {
                        "model": model.name,
                        "set": result.title,
                        "scale": result.layout.scale,
                        "protocol": protocol,
                        "image": name,
                        "psnr": score.psnr,
                        "ssim": score.ssim,
                        "bicubic_psnr": bicubic.psnr,
                        "bicubic_ssim": bicubic.ssim,
                    }
                )
    return csv_text(pd.DataFrame(rows))
