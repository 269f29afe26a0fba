"""What commands print: tables for people, JSON for programs. Data frames in, text out."""

from __future__ import annotations

import io
import json
import shlex
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from srsearch.errors import WorkError
from srsearch.quantity import format_quantity

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table
    from rich.text import Text

    from srsearch.analysis import Noise
    from srsearch.architecture.catalogue import Published
    from srsearch.cost import Convention, Cost
    from srsearch.cost.reproduction import Reproduction, Unpriced
    from srsearch.search import RunResult
    from srsearch.search.forecast import Forecast
    from srsearch.space import Space, SpaceReport
    from srsearch.space.report import Binding, Estimate


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, allow_nan=False, default=plain))


def plain(value: Any) -> Any:
    """Mappings and sequences of any kind as dictionaries and lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if hasattr(value, "item"):  # a numpy scalar
        return value.item()
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries; what a row does not have is None."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): plain(value) for name, value in row.items()} for row in rows]


def save_design(path: Path, description: Mapping[str, Any], comment: str) -> None:
    """Write a design file.

    Raises:
        WorkError: The file cannot be written.
    """
    import yaml

    try:
        path.write_text(f"# {comment}\n" + yaml.safe_dump(plain(description), sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror}") from None


def python_lines(description: Mapping[str, Any]) -> str:
    """Python that builds a design's network."""
    fields = "\n".join(f"    {name!r}: {value!r}," for name, value in plain(description).items())
    return (
        "import srsearch as sr\n\n"
        f"design = sr.Architecture.from_dict({{\n{fields}\n}})\n"
        "network = sr.build(design)  # (n, c, h, w) in 0..1 -> (n, c, scale * h, scale * w)"
    )


def indented(text: str) -> str:
    """Lines two to the right."""
    return "".join(f"  {line}" for line in text.splitlines(keepends=True))


def without_password(url: str) -> str:
    """A database URL, or the path of a file, as it may be shown."""
    from sqlalchemy import make_url

    if "://" not in url:
        return url
    return make_url(url).render_as_string(hide_password=True)


_QUALITIES = {"psnr": ("PSNR", ".3f"), "ssim": ("SSIM", ".4f")}
"""Head and format."""

_MOST_TIES = 12


def print_front(frame: pd.DataFrame, noise: Noise | None = None) -> None:
    """A front as a table; with the axes that differ among its rows, and with error bars where the noise is known.

    Args:
        frame: The front as `srsearch.store.Store.front` gives it; ``psnr_error`` or ``ssim_error``, where it has such a
            column, is the standard error of that quality.
        noise: What the errors come from.
    """
    if frame.empty:
        click.echo("No design has been evaluated yet.")
        return
    if noise is not None:
        of_several = ", divided by the square root of its seeds" if _several_seeds(frame) else ""
        name = _QUALITIES[_quality(frame)][0]
        click.echo(f"\N{PLUS-MINUS SIGN}: one standard error of the {name}, {noise}{of_several}\n")
    _print_designs(frame)


def print_best(frame: pd.DataFrame, noise: Noise | None, study: str, storage: str | None) -> None:
    """The best design, and what is tied with it.

    Args:
        frame: As `srsearch.analysis.tied_with_best` gives it, with standard errors as in `print_front`.
        noise: What makes them ties.
        study: For the next command.
        storage: The database as it was given on the command line, for the next command.
    """
    winner = frame[frame["best"]]
    print_front(winner, noise)
    if _several_seeds(winner):
        click.echo(f"Its {_QUALITIES[_quality(frame)][0]} is the mean of {winner['seeds'].iloc[0]} seeds.")
    if noise is None or len(frame) == 1:
        return
    click.echo(f"\nTied with it within the noise ({noise}), cheapest first:\n")
    if not _several_seeds(frame):
        frame = frame.drop(columns=f"{_quality(frame)}_error")  # the same for all, and just said
    shown = frame[[place < _MOST_TIES or best for place, best in enumerate(frame["best"])]]
    _print_designs(shown)
    if len(shown) < len(frame):
        click.echo(f"and {len(frame) - len(shown)} more; --json has them all")
    if not frame["best"].iloc[0]:
        command = f"srsearch best {shlex.quote(study)}{_storage_option(storage)} --trial {frame['trial'].iloc[0]}"
        click.echo(f"\nThe cheapest of them may be what you want: {command}")


def best_records(frame: pd.DataFrame, noise: Noise | None) -> list[dict[str, Any]]:
    """The best design, then what is tied with it, cheapest first; the arguments are those of `print_best`."""
    ordered = frame.sort_values("best", ascending=False, kind="stable")
    known = {
        "noise": None if noise is None else noise.deviation,
        "noise_source": None if noise is None else noise.source,
    }
    return [row | {"tied": not row.pop("best")} | known for row in records(ordered)]


def _print_designs(frame: pd.DataFrame) -> None:
    """Designs as a table: what was measured, costs, and as many of the axes that differ as there is room for."""
    from srsearch.analysis import differing_axes

    axes = list(frame.attrs.get("axes", []))
    varied = differing_axes(frame, axes) if len(frame) > 1 else axes
    _print_widest(*(_designs_table(frame, varied[:room], len(varied) - room) for room in range(len(varied), -1, -1)))


def _designs_table(frame: pd.DataFrame, axes: Sequence[str], left_out: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from srsearch.labels import MISSING, axis_labels, axis_text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    measures = _measures(frame)
    for head in measures:
        table.add_column(head, justify="right", no_wrap=True)
    labels = axis_labels(frame.attrs.get("axes", []))
    words = {axis: [axis_text(value) for value in frame[axis]] for axis in axes}
    for axis, cells in words.items():
        numbers = all(cell == MISSING or cell.replace(".", "", 1).isdigit() for cell in cells)
        table.add_column(Text(labels[axis]), justify="right" if numbers else "left", no_wrap=True)
    if left_out:
        table.add_column(Text(f"+{left_out}", style="dim"), no_wrap=True)
    reached = _values(frame[_quality(frame)])
    highest = max((value for value in reached if value is not None), default=None)
    for place, value in enumerate(reached):
        cells = [column[place] for column in (*measures.values(), *words.values())]
        table.add_row(*map(Text, cells), style="bold green" if value == highest else "")
    return table


def _measures(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The columns of a table of designs before its axes: heads and cells."""
    objectives = frame.attrs.get("objectives", [])
    columns = {"Trial": [str(number) for number in frame["trial"]]}
    for name, (head, digits) in _QUALITIES.items():
        if name == "psnr" or name in objectives:
            columns[head] = _cells(frame[name], digits)
        if name == _quality(frame) and f"{name}_error" in frame.columns and frame[f"{name}_error"].notna().any():
            columns["\N{PLUS-MINUS SIGN}"] = _cells(frame[f"{name}_error"], digits)
    if _several_seeds(frame):
        columns["Seeds"] = _cells(frame["seeds"], "d")
    for name, head in {"mult_adds": "Mult-Adds", "params": "Params", "activations": "Activations"}.items():
        if name != "activations" or name in objectives:
            columns[head] = ["" if value is None else format_quantity(value) for value in _values(frame[name])]
    if "best" in frame.columns and len(frame) > 1:
        columns[""] = ["best" if best else "" for best in frame["best"]]
    return columns


def _cells(column: pd.Series, digits: str) -> list[str]:
    return ["" if value is None else f"{value:{digits}}" for value in _values(column)]


def _values(column: pd.Series) -> list[Any]:
    """What a column holds; None for what is not known."""
    return [plain(value) for value in column.astype(object).where(column.notna(), None)]


def _several_seeds(frame: pd.DataFrame) -> bool:
    return "seeds" in frame.columns and bool((frame["seeds"] > 1).any())


def _quality(frame: pd.DataFrame) -> str:
    from srsearch.analysis import quality_of

    return quality_of(frame.attrs.get("objectives", []))


def _storage_option(storage: str | None) -> str:
    """The database of this command, for the next."""
    shown = "" if storage is None else without_password(storage)
    return f" --storage {shlex.quote(shown)}" if shown else ""


def print_outcome(
    result: RunResult,
    front: pd.DataFrame,
    noise: Noise | None,
    best: pd.DataFrame,
    evaluator: str,
    where: str,
    page: Path | None,
    storage: str | None,
) -> None:
    """What a run ends with: the front, the best design, where things are, what to do next.

    Args:
        result: What the run left.
        front: Its front with error bars.
        noise: What they come from.
        best: One row, or none.
        evaluator: What scored the designs.
        where: The database.
        page: The page, if it could be written.
        storage: The database as it was given on the command line, for the next command.
    """
    print_front(front, noise)
    if not best.empty:
        row = best.iloc[0]
        click.echo(
            f"\nBest within the budget: trial {row['trial']} with {row['psnr']:.2f} dB, "
            f"{format_quantity(int(row['mult_adds']))} Mult-Adds, {format_quantity(int(row['params']))} parameters."
        )
        if evaluator == "proxy":
            click.echo(
                "These networks are briefly trained: PSNR compares them with each other, not with published ones."
            )
        elif evaluator == "synthetic":
            click.echo("These scores are invented, to try things out: nothing was trained.")
    if result.exhausted:
        click.echo("Every feasible design of the space has been evaluated.")
    click.echo(f"\ndatabase: {where}")
    if page is not None:
        click.echo(f"page:     {page}")
    if not best.empty:
        click.echo(f"next:     srsearch best {result.study}{_storage_option(storage)} --save best.yaml")


def print_spaces(shipped: Mapping[str, str]) -> None:
    """The spaces that come with srsearch."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("space", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for name, about in shipped.items():
        table.add_row(name, about)
    _print(table)


def part_records() -> dict[str, list[dict[str, Any]]]:
    """Every registered part by kind: name, what it is, options with their defaults, slots."""
    from srsearch.architecture.registry import KINDS, part_types

    return {
        kind: [
            {
                "name": name,
                "about": (part.module.__doc__ or "").partition("\n")[0].replace("``", ""),
                "options": {option.name: option.default for option in part.options.values()},
                "slots": list(part.slots),
            }
            for name, part in part_types(kind).items()
        ]
        for kind in KINDS
    }


def print_parts(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Every registered part with its options."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from srsearch.labels import axis_text

    for kind, parts in records.items():
        table = Table(title=f"{kind}s" if kind not in ("levels", "body", "entry") else kind, box=box.SIMPLE_HEAD)
        table.title_justify = "left"
        table.add_column("name", no_wrap=True)
        table.add_column("what it is", overflow="fold", ratio=3)
        table.add_column("options and their defaults", overflow="fold", ratio=2)
        for part in parts:
            options = ", ".join(f"{name}: {axis_text(value)}" for name, value in part["options"].items())
            table.add_row(part["name"], Text(part["about"]), options)
        _print(table)


def print_space(space: Space, report: SpaceReport) -> None:
    """A space: its axes, how many designs, what they cost."""
    from rich import box
    from rich.table import Table

    from srsearch.labels import axis_labels, axis_text

    table = Table(title=f"{space.name}: axes of the x{space.scale} space", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("axis", "values, and share of the designs within the budget", "exists under"):
        table.add_column(heading)
    for axis in space.axes:
        under = f"{axis.condition[0]} = {axis.condition[1]}" if axis.condition else ""
        shares = report.axes[axis.name]
        values = [f"{axis_text(value)} ({_percent(shares[value])})" for value in axis.values]
        table.add_row(axis.name, ", ".join(values), under)
    if space.axes:
        _print(table)
    click.echo(f"combinations:     {report.combinations:,}, {_share_text(report.valid_share)} can be built")
    click.echo(f"distinct designs: {_estimate_text(report.designs)}")
    click.echo(f"budget:           {space.budget_text()}")
    within = _estimate_text(report.feasible_designs)
    click.echo(f"within budget:    {within} designs, {_share_text(report.feasible_share)} of the combinations")
    if report.reason is not None:
        click.echo(f"why none is:      {report.reason}")
    if report.bindings:
        said = [f"{each.cost} keeps out {_percent(each.excludes)}{_alone(each, report)}" for each in report.bindings]
        click.echo(f"what binds:       {'; '.join(said)}")
    for name, (low, high) in report.ranges.items():
        click.echo(f"{name + ':':<17} {format_quantity(low)} to {format_quantity(high)} within the budget")
    if report.examples:
        labels = axis_labels(axis.name for axis in space.axes)
        examples = Table(title="Examples within the budget", title_justify="left", box=box.SIMPLE_HEAD)
        for heading in ("Mult-Adds", "params"):
            examples.add_column(heading, justify="right", no_wrap=True)
        examples.add_column("design", overflow="fold")
        for each in report.examples:
            assert each.cost is not None
            costs = (format_quantity(each.cost.mult_adds), format_quantity(each.cost.params))
            examples.add_row(*costs, _design_text(each.axes, labels))
        click.echo()
        _print(examples)


def _alone(binding: Binding, report: SpaceReport) -> str:
    """What a limit keeps out that no other does, where there are others."""
    return f" of the designs ({_percent(binding.alone)} by itself)" if len(report.bindings) > 1 else " of the designs"


def _share_text(share: Estimate) -> str:
    about = f" (estimated, +-{share.error:.1%})" if share.error >= 0.0005 else " (estimated)" if share.error else ""
    return f"{share.value:.1%}{about}"


def _percent(share: float) -> str:
    """A share for people; what is little is not nothing."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def _estimate_text(estimate: Estimate) -> str:
    """A number of designs: exact, or to as many digits as are known."""
    if not estimate.error:
        return f"{estimate.value:,.0f}"
    if not estimate.value:
        return f"none seen, at most some {format_quantity(3 * estimate.error, 1)}"
    return f"about {format_quantity(estimate.value, 2)} (+-{format_quantity(estimate.error, 1)})"


def print_cost(name: str, cost: Cost) -> None:
    """A cost per part, and the sums."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from srsearch.cost import convention as named

    convention = cost.convention
    table = Table(
        box=box.SIMPLE_HEAD,
        title=Text(f"{name}: x{cost.scale}, {image_text(convention)}, convention {convention.name!r}"),
        title_justify="left",
        show_footer=True,
    )
    table.add_column("part", "whole network", overflow="fold")
    narrow = _width() is not None and (_width() or 0) < 120
    lines = cost.lines
    rows = [
        ("instances", "", [line.instances for line in lines]),
        ("applications", "", [line.applications for line in lines]),
        ("params", f"{cost.params:,}", [line.params for line in lines]),
        ("Mult-Adds", f"{cost.mult_adds:,}", [line.mult_adds for line in lines]),
        ("activations", f"{cost.activations:,}", [line.activations for line in lines]),
    ]
    shown = [row for row in rows if not narrow or row[0] in ("params", "Mult-Adds")]
    for heading, total, _ in shown:
        table.add_column(heading, total, justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for place, line in enumerate(lines):
        share = f"{line.mult_adds / cost.mult_adds:.0%}" if cost.mult_adds else ""
        part = Text(f"{line.kind}: {line.part}")
        table.add_row(part, *(f"{values[place]:,}" for _, _, values in shown), share)
    _print(table)
    click.echo(f"{format_quantity(cost.params, 4)} parameters, {format_quantity(cost.mult_adds, 4)} Mult-Adds")
    moved = convention.lr is None and named(convention.name).lr is not None  # to another image, by --at
    if convention.name != "ours" and not moved:
        click.echo(f"{convention.name}: {convention.about}")


def image_text(convention: Convention) -> str:
    """The image that a convention counts for."""
    return convention.size_text() if convention.lr else f"{convention.size_text()} output"


def print_conventions(conventions: Iterable[Convention]) -> None:
    """The ways of counting, one in a line."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("convention", no_wrap=True)
    table.add_column("image", no_wrap=True)
    table.add_column("what it counts")
    for each in conventions:
        table.add_row(each.name, image_text(each), each.about)
    _print(table)


def print_published(networks: Sequence[Published]) -> None:
    """The names of published networks, one in a line; with those that the papers print where there is room."""
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
    _print_widest(table(*wide), table(*wide[:4]), table("name", "scales", "what it is"))
    click.echo("count one with: srsearch count NAME --scale N; in Python: srsearch.catalogue.get(NAME, scale=N)")


def print_catalogue(
    papers: Sequence[str], rows: Sequence[Reproduction], others: Sequence[Unpriced], counted: Convention
) -> None:
    """The published networks by paper and table: printed costs, ours, whether they agree, printed quality.

    Args:
        papers: Those to show, in order.
        rows: Printed costs, of these papers or more.
        others: Networks without printed costs, likewise.
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
    models = [(row.printed.model, row.printed.scale, row.network is not None) for row in rows]
    qualities = [row.quality for row in rows]
    network = ("network", [f" {row.network or ''}" for row in rows])
    click.secho(title, bold=True)
    narrowed = _print_widest(
        _catalogue_table(models, [*printed, *rebuilt, *own, *agrees, network], qualities, " "),
        _catalogue_table(models, [*printed, *rebuilt, *own, *agrees], qualities, " "),
        _catalogue_table(models, [*printed, *rebuilt, *own, *agrees], qualities, "\n"),
        _catalogue_table(models, [*printed, *own, *agrees], qualities, "\n"),
        _catalogue_table(models, [*printed, *own, *agrees], [], ""),
    )
    used: defaultdict[str, list[str]] = defaultdict(list)
    notes: defaultdict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        model, scale = row.printed.model, f"x{row.printed.scale}" if row.printed.scale else ""
        if row.convention is not None:
            used[f"rebuilt as {row.convention.name}: {row.convention.about}"].append(model)
        if row.note:
            notes[row.note][model].append(scale)
        if row.quality_table not in (None, row.printed.table):
            notes[f"PSNR and SSIM are those of Table {row.quality_table}"][model].append(scale)
    for text, named in used.items():
        _print_note(text + (f" ({_listed(named)})" if len(used) > 1 else ""))
    for text, places in notes.items():
        everywhere = sum(map(len, places.values())) == len(rows)
        named = [f"{model} {', '.join(scales)}".rstrip() for model, scales in places.items()]
        _print_note(text if everywhere else f"{'; '.join(named)}: {text}")
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
    narrowed = _print_widest(*tables)
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
    found = {name for quality in qualities for name in quality}
    sets = [*(name for name in _SETS if name in found), *sorted(found - set(_SETS))]
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
    """Our figures under the paper's convention, as far as the paper prints any."""
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


def _giga(mult_adds: int) -> str:
    return f"{mult_adds / 1e9:.2f}G"


_SETS = {"Set5": "Set5", "Set14": "Set14", "B100": "B100", "Urban100": "Urban", "Manga109": "Manga"}


def _quality_text(figures: Mapping[str, float | None] | None, between: str) -> str:
    """PSNR and SSIM of one set, as far as they are printed."""
    psnr, ssim = (None, None) if figures is None else (figures["psnr"], figures["ssim"])
    texts = ("" if psnr is None else f" {psnr:.2f}", "" if ssim is None else f" {ssim:.4f}".removesuffix("0"))
    return between.strip(" ").join(texts).rstrip()


def _print_widest(*tables: Table) -> bool:
    """The first table that fits, else the last. Returns whether it has fewer columns than the first."""
    from rich.console import Console

    width, endless = _width(), Console(width=1000)
    fitting = (each for each in tables if width is None or endless.measure(each).maximum <= width)
    chosen = next(fitting, tables[-1])
    _print(chosen)
    return len(chosen.columns) < len(tables[0].columns)


def _print_note(text: str) -> None:
    click.echo(textwrap.fill(text, _width() or 1000, initial_indent="  ", subsequent_indent="    "))


def print_trials(frame: pd.DataFrame, reached: Mapping[int, Sequence[float]]) -> None:
    """Every trial in one line.

    Args:
        frame: As `srsearch.store.Store.trials` gives it.
        reached: Of running and stopped trials the last step and its PSNR, by number.
    """
    from rich import box
    from rich.table import Table

    from srsearch.labels import axis_labels

    axes = list(frame.attrs.get("axes", []))
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("trial", "state", "PSNR", "Mult-Adds", "params"):
        table.add_column(heading, justify="left" if heading == "state" else "right", no_wrap=True)
    labels = axis_labels(axes)
    table.add_column("design (reason)", overflow="fold")
    for row in records(frame):
        psnr = "" if row["psnr"] is None else f"{row['psnr']:.3f}"
        if row["trial"] in reached:
            step, so_far = reached[row["trial"]]
            psnr = f"[dim]{so_far:.3f} at {step:.0f}[/dim]"
        costs = ["" if row[name] is None else format_quantity(row[name]) for name in ("mult_adds", "params")]
        state = "cached" if row["cached"] else row["state"]
        design = _design_text({axis: row[axis] for axis in axes if row[axis] is not None}, labels)
        table.add_row(str(row["trial"]), state, psnr, *costs, _with_reason(design, row["reason"]))
    _print(table)


def _with_reason(design: Text, reason: str | None) -> Text:
    return design.append(f"  ({reason})", style="dim") if reason else design


def _design_text(axes: Mapping[str, Any], labels: Mapping[str, str]) -> Text:
    """A design in words: its values on the axes."""
    from rich.text import Text

    from srsearch.labels import axis_text

    return Text(" ".join(f"{labels[name]}={axis_text(value)}" for name, value in axes.items()))


def print_studies(frame: pd.DataFrame, where: str) -> None:
    """The studies of a database."""
    from rich import box
    from rich.table import Table

    if frame.empty:
        click.echo(f"there is no study in {where}")
        return
    table = Table(title=where, title_justify="left", box=box.SIMPLE_HEAD)
    for name in frame.columns:
        table.add_column(
            str(name).replace("_", " "),
            justify="left" if name in ("name", "created_at") else "right",
            no_wrap=name == "name",
        )
    for row in records(frame):
        row["created_at"] = str(row["created_at"])[:16].replace("T", " ")
        table.add_row(*(f"{v:.3f}" if isinstance(v, float) else "" if v is None else str(v) for v in row.values()))
    _print(table)


def _width() -> int | None:
    """Columns of the terminal; None where standard output is none, and nothing has to fit."""
    from rich.console import Console

    console = Console()
    return console.width if console.is_terminal else None


def _print(table: Table) -> None:
    from rich.console import Console

    if _width() is not None:
        Console().print(table)
        return
    wide = Console(width=1000, file=io.StringIO())
    with wide.capture() as captured:
        wide.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines()))


def print_forecast(found: Forecast) -> None:
    """What a study will take: what was measured, a training, the whole."""
    from rich import box
    from rich.table import Table

    unit = "GPU hours" if found.on_gpus else "core hours"
    at_once = f"{found.processes} at a time" if found.processes > 1 else "one at a time"
    click.echo(f"Measured on this machine's {found.device}, {found.precision}, {at_once}:\n")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for head in ("Mult-Adds", "step", "validation"):
        table.add_column(head, justify="right", no_wrap=True)
    for each in found.measured:
        table.add_row(format_quantity(each.mult_adds), f"{1000 * each.step:.1f} ms", f"{1000 * each.validation:.0f} ms")
    _print_widest(table)
    mean, low, high = found.seconds
    click.echo(
        f"\nA training of {found.steps} steps: {duration(mean)} on average over {found.space}'s feasible designs, "
        f"{duration(low)} to {duration(high)} for nine of ten."
    )
    click.echo(
        f"{found.trials} trainings: {found.device_hours:.2g} {unit}; with {found.at_once} at a time "
        f"{duration(3600 * found.hours)}."
    )
    if found.gpus_wanted and not found.on_gpus:
        click.echo(
            "\nThere is no GPU here to measure: these are hours of this machine's CPU cores. Run the same on a machine "
            "with the GPU that you mean."
        )


def duration(seconds: float) -> str:
    """A time for people: seconds, minutes, hours or days."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}" if seconds >= 10 * size else f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
