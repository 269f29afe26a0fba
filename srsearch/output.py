"""What commands print: tables for people, JSON for programs. Data frames in, text out."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srsearch.errors import WorkError
from srsearch.quantity import format_quantity

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table
    from rich.text import Text

    from srsearch.cost import Cost
    from srsearch.search import RunResult
    from srsearch.space import Space, SpaceReport


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
        "network = sr.build(design)  # (n, 3, h, w) RGB in 0..1 -> (n, 3, scale * h, scale * w)"
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


def print_front(frame: pd.DataFrame) -> None:
    """A front as a table; with the axes that differ among its rows."""
    from srsearch.analysis import differing_axes
    from srsearch.search.progress import front_table

    if frame.empty:
        click.echo("No design has been evaluated yet.")
        return
    axes = list(frame.attrs.get("axes", []))
    _print(front_table(frame, differing_axes(frame, axes) if len(frame) > 1 else axes, width=_width()))


def print_outcome(
    result: RunResult, best: pd.DataFrame, evaluator: str, where: str, page: Path | None, storage: str | None
) -> None:
    """What a run ends with: the front, the best design, where things are, what to do next.

    Args:
        result: What the run left.
        best: One row, or none.
        evaluator: What scored the designs.
        where: The database.
        page: The page, if it could be written.
        storage: The database as it was given on the command line, for the next command.
    """
    print_front(result.front)
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
    shown = "" if storage is None else without_password(storage)
    option = f" --storage {shlex.quote(shown)}" if shown else ""
    click.echo(f"\ndatabase: {where}")
    if page is not None:
        click.echo(f"page:     {page}")
    if not best.empty:
        click.echo(f"next:     srsearch best {result.study}{option} --save best.yaml")


def print_space(space: Space, report: SpaceReport) -> None:
    """A space: its axes, how many designs, what they cost."""
    from rich import box
    from rich.table import Table

    from srsearch.labels import axis_labels, axis_text

    table = Table(title=f"{space.name}: axes of the x{space.scale} space", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("axis", "values", "exists under"):
        table.add_column(heading)
    for axis in space.axes:
        under = f"{axis.condition[0]} = {axis.condition[1]}" if axis.condition else ""
        table.add_row(axis.name, ", ".join(map(axis_text, axis.values)), under)
    _print(table)
    about = "" if report.exact else f" (estimated, +-{report.share_error:.1%})"
    click.echo(f"combinations:     {report.combinations:,}")
    if report.exact:
        click.echo(f"distinct designs: {report.designs:,}")
    click.echo(f"budget:           {space.budget_text()}")
    within = f"{report.feasible_designs:,} distinct designs, " if report.exact else ""
    click.echo(f"can be built:     {report.valid_share:.1%} of the combinations{about}")
    click.echo(f"within budget:    {within}{report.feasible_share:.1%} of the combinations{about}")
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


def print_cost(name: str, cost: Cost, at: str) -> None:
    """A cost per part, and the sums."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{name}: x{cost.scale}, {at} output, convention {cost.convention.name!r}",
        title_justify="left",
        show_footer=True,
    )
    table.add_column("part", "whole network", overflow="fold")
    narrow = _width() is not None and (_width() or 0) < 120
    rows = [
        ("instances", "", [line.instances for line in cost.lines]),
        ("applications", "", [line.applications for line in cost.lines]),
        ("params", f"{cost.params:,}", [line.params for line in cost.lines]),
        ("Mult-Adds", f"{cost.mult_adds:,}", [line.mult_adds for line in cost.lines]),
        ("activations", f"{cost.activations:,}", [line.activations for line in cost.lines]),
    ]
    shown = [row for row in rows if not narrow or row[0] in ("params", "Mult-Adds")]
    for heading, total, _ in shown:
        table.add_column(heading, total, justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for place, line in enumerate(cost.lines):
        share = f"{line.mult_adds / cost.mult_adds:.0%}" if cost.mult_adds else ""
        table.add_row(f"{line.kind}: {line.part}", *(f"{values[place]:,}" for _, _, values in shown), share)
    _print(table)
    click.echo(f"{format_quantity(cost.params, 4)} parameters, {format_quantity(cost.mult_adds, 4)} Mult-Adds")


def print_trials(frame: pd.DataFrame) -> None:
    """Every trial in one line."""
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
