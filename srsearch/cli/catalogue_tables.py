"""Prints the tables of `srsearch catalogue`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from srsearch.analysis.tradeoff import BASELINES, printed_tradeoffs
from srsearch.cli.printing import print_note, print_widest

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from srsearch.architecture.catalogue import Published
    from srsearch.cost import Convention, Cost
    from srsearch.cost.reproduction import Reproduction, Unpriced


def print_published(networks: Sequence[Published]) -> None:
    """Prints the names of published networks; with the names that the papers use if there is room."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def table(*fields: str) -> Table:
        made = Table(box=box.SIMPLE_HEAD)
        for field in fields:
            made.add_column(field, no_wrap=True)
        for each in networks:
            cells = {
                "name": each.name,
                "paper": each.paper,
                "scales": " ".join(map(str, each.scales)),
                "what it is": each.about,
                "as printed": ", ".join(each.printed),
            }
            made.add_row(*(Text(cells[field]) for field in fields))  # blm1-e[rg] is no markup
        return made

    wide = ("name", "paper", "scales", "what it is", "as printed")
    print_widest(table(*wide), table(*wide[:4]), table("name", "scales", "what it is"))
    click.echo("count one with: srsearch count NAME --scale N; in Python: srsearch.catalogue.get(NAME, scale=N)")


def print_catalogue(
    papers: Sequence[str], rows: Sequence[Reproduction], others: Sequence[Unpriced], counted: Convention
) -> None:
    """The published networks by paper and table: printed costs, ours, whether they agree, printed quality.

    Args:
        papers: The papers to show, in order.
        rows: Printed costs, of these papers or more.
        others: Networks without printed costs, of these papers or more.
        counted: The convention of our own figures.
    """
    narrowed = []
    for paper in papers:
        priced: defaultdict[str, list[Reproduction]] = defaultdict(list)
        for row in rows:
            if row.printed.paper == paper:
                priced[row.printed.table].append(row)
        for table, group in priced.items():
            narrowed.append(_print_priced(f"{paper}, Table {table}", group, counted))
        unpriced: defaultdict[str | None, list[Unpriced]] = defaultdict(list)
        for other in others:
            if other.paper == paper:
                unpriced[other.table].append(other)
        for place, group_without in unpriced.items():
            title = f"{paper}, Table {place}: no printed costs" if place else f"{paper}: networks without printed costs"
            narrowed.append(_print_unpriced(title, group_without, counted))
    shown = [row for row in rows if row.printed.paper in papers and row.match is not None]
    if shown:
        matching = sum(row.match is True for row in shown)
        differing = len(shown) - matching
        rest = (
            f"{differing} not: see the notes of {_listed(_place(r) for r in shown if not r.match)}" if differing else ""
        )
        click.echo(
            f"{matching} of {len(shown)} rows of the five papers' networks as printed{'; ' if rest else ''}{rest}"
        )
    click.echo(f"{counted.name}: {counted.about}; all conventions: srsearch count --conventions")
    if any(narrowed):
        click.echo("A wider terminal has room for more columns; --json has everything that has printed costs.")


def _place(row: Reproduction) -> str:
    return f"{row.printed.paper} {row.printed.table}"


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _print_priced(title: str, rows: Sequence[Reproduction], counted: Convention) -> bool:
    """One printed table of costs with what was rebuilt, and notes below. Returns whether columns were left out."""
    printed = [
        ("printed\nparams", [f"{row.printed.params}K" if row.printed.params else "" for row in rows]),
        ("\nMult-Adds", [f"{row.printed.mult_adds}G" if row.printed.mult_adds else "" for row in rows]),
    ]
    rebuilt = [
        ("rebuilt\nparams", [_rebuilt(row)[0] for row in rows]),
        ("\nMult-Adds", [_rebuilt(row)[1] for row in rows]),
    ]
    agrees = [("\nsame", [{True: "yes", False: "no", None: ""}[row.match] for row in rows])]
    own = _own_columns([row.ours for row in rows], counted)
    saved = _saved_columns(rows)
    models = [(row.printed.model, row.printed.scale, row.network is not None) for row in rows]
    qualities = [row.quality for row in rows]
    network = ("network", [f" {row.network or ''}" for row in rows])
    click.secho(title, bold=True)
    narrowed = print_widest(
        _catalogue_table(models, [*printed, *rebuilt, *own, *agrees, *saved, network], qualities, " "),
        _catalogue_table(models, [*printed, *rebuilt, *own, *agrees, *saved], qualities, " "),
        _catalogue_table(models, [*printed, *rebuilt, *own, *agrees, *saved], qualities, "\n"),
        _catalogue_table(models, [*printed, *own, *agrees, *saved], qualities, "\n"),
        _catalogue_table(models, [*printed, *own, *agrees], qualities, "\n"),
        _catalogue_table(models, [*printed, *own, *agrees], [], ""),
    )
    used: defaultdict[str, list[str]] = defaultdict(list)
    notes: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    if saved:
        baseline = BASELINES[rows[0].printed.paper, rows[0].printed.table]
        print_note(f"saved against {baseline}, per 0.01 dB that the network loses in sum over the four sets")
    for row in rows:
        model, scale = row.printed.model, f"x{row.printed.scale}" if row.printed.scale else ""
        if row.convention is not None:
            used[f"rebuilt as {row.convention.name}: {row.convention.about}"].append(model)
        if row.note:
            notes[row.note][model].append(scale)
        if row.quality_table not in (None, row.printed.table):
            notes[f"PSNR and SSIM are those of Table {row.quality_table}"][model].append(scale)
    for text, named in used.items():
        print_note(text + (f" ({_listed(named)})" if len(used) > 1 else ""))
    for text, places in notes.items():
        everywhere = sum(map(len, places.values())) == len(rows)
        named = [f"{model} {', '.join(scales)}".rstrip() for model, scales in places.items()]
        print_note(text if everywhere else f"{'; '.join(named)}: {text}")
    click.echo()
    return narrowed


def _print_unpriced(title: str, rows: Sequence[Unpriced], counted: Convention) -> bool:
    """Networks without printed costs, with ours, and with their quality where it is printed."""
    from srsearch.architecture.catalogue import published

    columns = _own_columns([row.ours for row in rows], counted)
    models = [(row.model, row.scale, row.network is not None) for row in rows]
    qualities = [row.quality for row in rows]
    if any(qualities):
        network = ("network", [f" {row.network or ''}" for row in rows])
        tables = [
            _catalogue_table(models, [*columns, network], qualities, " "),
            _catalogue_table(models, columns, qualities, " "),
            _catalogue_table(models, columns, qualities, "\n"),
            _catalogue_table(models, columns, [], ""),
        ]
    else:
        about = ("what it is", [f" {published(row.model).about}" for row in rows])
        tables = [_catalogue_table(models, [*columns, about], [], "")]
    click.secho(title, bold=True)
    narrowed = print_widest(*tables)
    click.echo()
    return narrowed


_Column: TypeAlias = tuple[str, list[str]]
"""Heading and cells."""


def _catalogue_table(
    models: Sequence[tuple[str, int | None, bool]],
    columns: Sequence[_Column],
    qualities: Sequence[Mapping[str, Any]],
    between: str,
) -> Table:
    """A table of networks.

    Args:
        models: Name, scale, and whether the network is rebuilt.
        columns: Figures; empty columns are left out.
        qualities: PSNR and SSIM by set; none to leave them out.
        between: What stands between PSNR and SSIM.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=0)
    table.add_column("model", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    columns = [column for column in columns if any(cell.strip() for cell in column[1])]
    for heading, _ in columns:
        words = heading in ("network", "what it is")
        fixed = heading != "what it is"
        table.add_column(f" {heading}" if words else heading, justify="left" if words else "right", no_wrap=fixed)
    measured = {name for quality in qualities for name in quality}
    sets = [*(name for name in _SETS if name in measured), *sorted(measured - set(_SETS))]
    for name in sets:
        table.add_column(f" {_SETS.get(name, name)}\n PSNR{between and f'{between} '}SSIM", no_wrap=True)
    scales = [scale or 0 for _, scale, _ in models]
    sections: list[Any] = scales if scales == sorted(scales) else [model for model, _, _ in models]
    if len(set(sections)) == len(models):
        sections = [None] * len(models)
    for place, (model, scale, rebuilt) in enumerate(models):
        quality = [_quality_text(qualities[place].get(name), between) for name in sets]
        figures = (values[place] for _, values in columns)
        last = sections[place] != sections[min(place + 1, len(models) - 1)]
        style = "" if rebuilt else "dim"
        table.add_row(
            Text(model, style), f"x{scale}" if scale else "", *map(_marked, figures), *quality, end_section=last
        )
    return table


def _marked(cell: str) -> Text:
    from rich.text import Text

    return Text(cell, {"yes": "green", "no": "bold red"}.get(cell, ""))


def _rebuilt(row: Reproduction) -> tuple[str, str]:
    """Our figures under the paper's convention, for those that the paper prints."""
    if row.paper is None or row.convention is None:
        return "", ""
    params = f"{row.convention.thousands(row.paper.params)}K" if row.printed.params else ""
    return params, _giga(row.paper.mult_adds) if row.printed.mult_adds else ""


def _own_columns(costs: Sequence[Cost | None], counted: Convention) -> list[_Column]:
    """Our figures, counted again where another convention is wanted."""
    from srsearch.cost import count

    again = [
        cost if cost is None or cost.convention == counted else count(cost.design, scale=cost.scale, convention=counted)
        for cost in costs
    ]
    return [
        (f"{counted.name}\nparams", ["" if cost is None else f"{cost.params:,}" for cost in again]),
        ("\nMult-Adds", ["" if cost is None else _giga(cost.mult_adds) for cost in again]),
    ]


def _saved_columns(rows: Sequence[Reproduction]) -> list[_Column]:
    """What each network saves per 0.01 dB against the baseline of its table, where the paper prints it."""
    known = {(each.cost.table, each.cost.model, each.cost.scale): each for each in printed_tradeoffs()}
    own = [
        known.get((row.printed.table, row.printed.model, row.printed.scale))
        if row.printed.paper == "efficiency"
        else None
        for row in rows
    ]
    if not any(own):
        return []
    return [
        ("per 0.01 dB\nG saved", [f"{each.computed.mult_adds_per_loss:.2f}" if each else "" for each in own]),
        ("\nK saved", [f"{each.computed.params_per_loss:.2f}" if each else "" for each in own]),
    ]


def _giga(mult_adds: int) -> str:
    return f"{mult_adds / 1e9:.2f}G"


_SETS = {"Set5": "Set5", "Set14": "Set14", "B100": "B100", "Urban100": "Urban", "Manga109": "Manga"}


def _quality_text(figures: Mapping[str, float | None] | None, between: str) -> str:
    """PSNR and SSIM of one set, where they are printed."""
    psnr, ssim = (None, None) if figures is None else (figures["psnr"], figures["ssim"])
    texts = ("" if psnr is None else f" {psnr:.2f}", "" if ssim is None else f" {ssim:.4f}".removesuffix("0"))
    return between.strip(" ").join(texts).rstrip()
