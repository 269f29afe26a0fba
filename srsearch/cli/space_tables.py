"""Prints the tables of `srsearch space` and `srsearch count`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from srsearch.cli.printing import alone, design_text, percent, print_table, terminal_width
from srsearch.quantity import format_quantity

if TYPE_CHECKING:
    from srsearch.cost import Convention, Cost
    from srsearch.space import Space, SpaceReport
    from srsearch.space.report import Estimate


def print_spaces(shipped: Mapping[str, str]) -> None:
    """Prints the spaces that come with srsearch."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("space", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for name, about in shipped.items():
        table.add_row(name, about)
    print_table(table)


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
    """Prints every registered part with its options."""
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
        print_table(table)


def print_space(space: Space, report: SpaceReport) -> None:
    """Prints a space: its axes, number of designs and costs."""
    from rich import box
    from rich.table import Table

    from srsearch.labels import axis_labels, axis_text, scales_text

    title = f"{space.name}: axes of the {scales_text(space.scales)} space"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("axis", "values, and share of the designs within the budget", "exists under"):
        table.add_column(heading)
    for axis in space.axes:
        under = f"{axis.condition[0]} = {axis.condition[1]}" if axis.condition else ""
        shares = report.axes[axis.name]
        values = [f"{axis_text(value)} ({percent(shares[value])})" for value in axis.values]
        table.add_row(axis.name, ", ".join(values), under)
    if space.axes:
        print_table(table)
    click.echo(f"combinations:     {report.combinations:,}, {_share_text(report.valid_share)} can be built")
    click.echo(f"distinct designs: {_estimate_text(report.designs)}")
    click.echo(f"budget:           {space.grid.budget_text()}")
    within = _estimate_text(report.feasible_designs)
    click.echo(f"within budget:    {within} designs, {_share_text(report.feasible_share)} of the combinations")
    if report.reason is not None:
        click.echo(f"why none is:      {report.reason}")
    if report.bindings:
        limits = [f"{each.cost} keeps out {percent(each.excludes)}{alone(each, report)}" for each in report.bindings]
        click.echo(f"limits:           {'; '.join(limits)}")
    for name, (low, high) in report.ranges.items():
        click.echo(f"{name + ':':<17} {format_quantity(low)} to {format_quantity(high)} within the budget")
    for scale, (low, high) in report.mult_adds_by_scale.items():
        click.echo(f"{f'at x{scale}:':<17} {format_quantity(low)} to {format_quantity(high)} Mult-Adds")
    if report.examples:
        labels = axis_labels(axis.name for axis in space.axes)
        examples = Table(title="Examples within the budget", title_justify="left", box=box.SIMPLE_HEAD)
        several = len(space.scales) > 1
        for heading in (*(f"Mult-Adds x{scale}" for scale in space.scales), "params") if several else _COSTS:
            examples.add_column(heading, justify="right", no_wrap=True)
        examples.add_column("design", overflow="fold")
        for each in report.examples:
            assert each.cost is not None
            mult_adds = [at.mult_adds for at in each.cost.by_scale.values()] if several else [each.cost.mult_adds]
            costs = [format_quantity(value) for value in (*mult_adds, each.cost.params)]
            examples.add_row(*costs, design_text(each.axes, labels))
        click.echo()
        print_table(examples)


_COSTS = ("Mult-Adds", "params")


def _share_text(share: Estimate) -> str:
    about = f" (estimated, +-{share.error:.1%})" if share.error >= 0.0005 else " (estimated)" if share.error else ""
    return f"{share.value:.1%}{about}"


def _estimate_text(estimate: Estimate) -> str:
    """A number of designs: exact, or rounded to what the estimate supports."""
    if not estimate.error:
        return f"{estimate.value:,.0f}"
    if not estimate.value:
        return f"none seen, at most some {format_quantity(3 * estimate.error, 1)}"
    return f"about {format_quantity(estimate.value, 2)} (+-{format_quantity(estimate.error, 1)})"


def print_cost(name: str, cost: Cost) -> None:
    """Prints a cost by part, and the sums."""
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
    narrow = terminal_width() is not None and (terminal_width() or 0) < 120
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
    print_table(table)
    click.echo(f"{format_quantity(cost.params, 4)} parameters, {format_quantity(cost.mult_adds, 4)} Mult-Adds")
    if len(cost.design.scales) > 1:
        _print_by_scale(cost)
    moved = convention.lr is None and named(convention.name).lr is not None  # to another image, by --at
    if convention.name != "ours" and not moved:
        click.echo(f"{convention.name}: {convention.about}")


def by_scale_record(cost: Cost) -> dict[str, Any]:
    """The cost at each scale of a design with several, for JSON; nothing for a design with one."""
    if len(cost.design.scales) == 1:
        return {}
    return {"by_scale": [dataclasses.asdict(each) for each in cost.by_scale.values()]}


def _print_by_scale(cost: Cost) -> None:
    """Prints what a multi-scale design costs at each of its scales."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("scale", no_wrap=True)
    for heading in ("Mult-Adds", "activations", "params used"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in cost.by_scale.values():
        table.add_row(f"x{each.scale}", f"{each.mult_adds:,}", f"{each.activations:,}", f"{each.params:,}")
    print_table(table)


def image_text(convention: Convention) -> str:
    """The image for which a convention counts, as text."""
    return convention.size_text() if convention.lr else f"{convention.size_text()} output"


def print_conventions(conventions: Iterable[Convention]) -> None:
    """Prints the counting conventions."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("convention", no_wrap=True)
    table.add_column("image", no_wrap=True)
    table.add_column("what it counts")
    for each in conventions:
        table.add_row(each.name, image_text(each), each.about)
    print_table(table)
