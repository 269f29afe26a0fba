"""Prints results of studies: tables for people, records for JSON."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srsearch.cli.options import PLUGINS
from srsearch.cli.printing import (
    design_text,
    parts,
    plain,
    print_table,
    print_widest,
    records,
    terminal_width,
    without_password,
)
from srsearch.errors import WorkError
from srsearch.files import write_whole
from srsearch.objectives import OBJECTIVES, Objective
from srsearch.quantity import format_duration, format_quantity
from srsearch.text import printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table
    from rich.text import Text

    from srsearch.analysis import Noise
    from srsearch.analysis.ranking import Ranking
    from srsearch.search import RunResult
    from srsearch.search.forecast import Forecast
    from srsearch.store import StudyRecord


def save_design(path: Path, description: Mapping[str, Any], comment: str) -> None:
    """Write a design file.

    Raises:
        WorkError: The file cannot be written.
    """
    import yaml

    try:
        write_whole(path, f"# {comment}\n" + yaml.safe_dump(plain(description), sort_keys=False))
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


def written_differently(axes: Mapping[str, Any], description: Mapping[str, Any]) -> bool:
    """Return whether a design's description, which is canonical, has another value than the trial on some axis.

    Fields that the description leaves out because they have their defaults do not count.

    Args:
        axes: The trial's values; None for an axis that it does not have.
        description: The description of its design.
    """
    paths = {axis: axis.split(".") for axis, value in axes.items() if value is not None}
    return any(path[0] in description and _described(description, path) != axes[axis] for axis, path in paths.items())


def _described(description: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The value at a path such as ``unit.grouped.groups``; the name of a part with options stands for the part."""
    value: Any = description
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return next(iter(value)) if isinstance(value, Mapping) and len(value) == 1 else value


_MOST_TIES = 12


def print_front(frame: pd.DataFrame, *, errors: str = "") -> None:
    """A front as a table; with the axes that differ among its rows, and with error bars where the noise is known.

    Args:
        frame: The front as `srsearch.store.Store.front` gives it; ``psnr_error`` or ``ssim_error``, where it has such a
            column, is the standard error of that quality.
        errors: Explains the errors.
    """
    if frame.empty:
        click.echo("No design has been evaluated yet.")
        return
    if errors:
        click.echo(f"\N{PLUS-MINUS SIGN}: {errors}\n")
    _print_designs(frame)


def print_best(
    frame: pd.DataFrame, noise: Noise | None, study: str, storage: str | None, ranking: Ranking | None = None
) -> None:
    """Prints the best design, and the designs tied with it.

    Args:
        frame: As `srsearch.analysis.tied_with_best` gives it, with standard errors as in `print_front`.
        noise: The training noise within which designs are tied.
        study: For the next command.
        storage: The database as it was given on the command line, for the next command.
        ranking: The ranking that the frame is from; None: by measured quality.
    """
    from srsearch.analysis.captions import standard_error_text, ties_text

    winner = frame[frame["best"]]
    predicted = ranking is not None and ranking.prediction is not None
    if ranking is not None:
        errors, ties = ranking.errors_text(winner), ranking.ties_text(frame)
    else:
        errors = "" if noise is None else standard_error_text(noise, winner)
        ties = ties_text(frame, noise)
    print_front(winner, errors=errors)
    if _several_seeds(winner):
        click.echo(f"Its {OBJECTIVES[_quality(frame)].heading} is the mean of {winner['seeds'].iloc[0]} seeds.")
    if not ties:
        return
    click.echo(f"\n{ties} Cheapest first:\n")
    if not predicted and not _several_seeds(frame):
        frame = frame.drop(columns=f"{_quality(frame)}_error")  # the same for all, and just said
    shown = frame[[place < _MOST_TIES or best for place, best in enumerate(frame["best"])]]
    _print_designs(shown)
    if len(shown) < len(frame):
        click.echo(f"and {len(frame) - len(shown)} more; --json has them all")
    if not frame["best"].iloc[0]:
        command = f"srsearch best {shlex.quote(study)}{_same_options(storage)} --trial {frame['trial'].iloc[0]}"
        click.echo(f"\nTo look at the cheapest: {printable(command)}")


def print_trust(ranking: Ranking, tied: pd.DataFrame, study: StudyRecord) -> None:
    """Says how far the ranking can be trusted, and which command makes it more certain.

    Args:
        ranking: The ranking.
        tied: The best design within a budget, and those tied with it.
        study: The study.
    """
    steps = study.recipe.get("steps")
    if study.recipe.get("evaluator") != "proxy" or not isinstance(steps, int):
        return
    lengths = ranking.prediction.lengths if ranking.prediction is not None else (steps, 4 * steps, 16 * steps)
    space = shlex.quote(str(study.space.get("name", "SPACE")))
    command = f"srsearch run {space} --lengths {','.join(map(str, lengths))} --minutes 30"
    if ranking.all_tied(tied):
        click.echo(
            "\nEverything on the front from half its cost on is tied with it: longer trainings decide, "
            f"for example: {command}"
        )
    elif ranking.prediction is None:
        click.echo(
            f"\nRankings after {steps:,} steps are only a sign of those after full training (docs/trust.md); to train "
            f"the promising designs longer: {command}"
        )


def best_records(frame: pd.DataFrame, noise: Noise | None) -> list[dict[str, Any]]:
    """The best design, then what is tied with it, cheapest first; the arguments are those of `print_best`."""
    from srsearch.analysis.ranking import as_measured

    ordered = as_measured(frame.sort_values("best", ascending=False, kind="stable"))
    known = {
        "noise": None if noise is None else noise.deviation,
        "noise_source": None if noise is None else noise.source,
    }
    return [row | {"tied": not row.pop("best")} | known for row in records(ordered)]


def _print_designs(frame: pd.DataFrame) -> None:
    print_table(front_table(frame, terminal_width()))


def front_table(frame: pd.DataFrame, width: int | None = None) -> Table:
    """Designs as a table: what was measured, costs, and the axes in which the designs differ.

    Args:
        frame: One row per design, in the order to show, with the columns of `srsearch.store.Store.front`.
        width: Characters that the table may take. Axes for which there is no room are counted in the last head. None
            shows all of them.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from srsearch.labels import MISSING

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    measures, axes = _measures(frame), _axis_columns(frame)
    for head in measures:
        table.add_column(head, justify="right", no_wrap=True)
    shown = _fitting(measures, axes, width)
    for label, cells in shown.items():
        numbers = all(cell == MISSING or cell.replace(".", "", 1).replace("-", "", 1).isdigit() for cell in cells)
        table.add_column(Text(label), justify="right" if numbers else "left", no_wrap=True)
    if len(shown) < len(axes):
        table.add_column(Text(f"+{len(axes) - len(shown)}", style="dim"), no_wrap=True)
    reached = _values(frame[_quality(frame)])
    highest = max((value for value in reached if value is not None), default=None)
    for place, value in enumerate(reached):
        cells = [column[place] for column in (*measures.values(), *shown.values())]
        table.add_row(*map(Text, cells), style="bold green" if value == highest else "")
    return table


def _axis_columns(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The axes in which designs differ: heads and cells."""
    from srsearch.analysis import differing_axes
    from srsearch.labels import axis_labels, axis_text

    axes = list(frame.attrs.get("axes", []))
    labels = axis_labels(axes)
    varied = differing_axes(frame, axes) if len(frame) > 1 else axes
    return {printable(labels[axis]): [printable(axis_text(value)) for value in frame[axis]] for axis in varied}


def _fitting(
    measures: Mapping[str, list[str]], axes: Mapping[str, list[str]], width: int | None
) -> dict[str, list[str]]:
    """As many axes, in their order, as fit beside the measures."""
    from rich.cells import cell_len

    if width is None:
        return dict(axes)
    # Between two columns there are two characters.
    room = width - sum(2 + max(map(cell_len, [head, *cells])) for head, cells in measures.items()) + 2
    widths = [2 + max(map(cell_len, [label, *cells])) for label, cells in axes.items()]
    for count in range(len(axes), 0, -1):
        rest = len(axes) - count
        if sum(widths[:count]) + (2 + len(f"+{rest}") if rest else 0) <= room:
            return dict(list(axes.items())[:count])
    return {}


def _measures(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The columns before the axes: heads and cells."""
    objectives = frame.attrs.get("objectives", [])
    columns = {"Trial": [str(number) for number in frame["trial"]]}
    shorter: Mapping[str, int] = {n: s for n, s in frame.attrs.get("measured", {}).items() if n in frame.columns}
    for row in (row for row in OBJECTIVES.values() if not row.is_cost):
        if row.name == "psnr" or row.name in objectives:
            columns["Predicted" if row.name == "psnr" and shorter else row.heading] = _texts(frame[row.name], row)
        error = f"{row.name}_error"
        if row.name == _quality(frame) and error in frame.columns and frame[error].notna().any():
            columns["\N{PLUS-MINUS SIGN}"] = _texts(frame[error], row)
        if row.name == "psnr":
            columns |= {f"{steps:,} steps": _texts(frame[name], row) for name, steps in shorter.items()}
    if _several_seeds(frame):
        columns["Seeds"] = ["" if value is None else str(value) for value in _values(frame["seeds"])]
    for row in (row for row in OBJECTIVES.values() if row.is_cost):
        if row.name in ("mult_adds", "params") or row.name in objectives:
            scale = frame.attrs.get("scale") if row.name == "mult_adds" else None  # of several
            columns[row.heading if scale is None else f"{row.heading} x{scale}"] = _texts(frame[row.name], row)
        for name in frame.columns if row.name == "mult_adds" else ():
            if str(name).startswith("mult_adds_x"):
                columns[str(name).removeprefix("mult_adds_")] = _texts(frame[name], row)
    if "probability" in frame.columns and len(frame) > 1:
        columns["P(best)"] = ["" if value is None else f"{value:.0%}" for value in _values(frame["probability"])]
    if "best" in frame.columns and len(frame) > 1:
        columns[""] = ["best" if best else "" for best in frame["best"]]
    return columns


def _texts(column: pd.Series, row: Objective) -> list[str]:
    return ["" if value is None else row.text(value) for value in _values(column)]


def _values(column: pd.Series) -> list[Any]:
    """The values of a column; None where one is missing."""
    return [plain(value) for value in column.astype(object).where(column.notna(), None)]


def _several_seeds(frame: pd.DataFrame) -> bool:
    from srsearch.analysis.captions import several_seeds

    return several_seeds(frame)


def _quality(frame: pd.DataFrame) -> str:
    from srsearch.analysis import quality_of

    return quality_of(frame.attrs.get("objectives", []))


def _same_options(storage: str | None) -> str:
    """The options of this command that the next one needs, too: its database and its plugins."""
    database = "" if storage is None else without_password(storage)
    context = click.get_current_context(silent=True)
    given = [("--storage", database)] if database else []
    given += [("--plugin", str(path)) for path in (context.meta.get(PLUGINS, ()) if context else ())]
    return "".join(f" {option} {shlex.quote(value)}" for option, value in given)


def print_outcome(
    result: RunResult,
    front: pd.DataFrame,
    ranking: Ranking,
    best: pd.DataFrame,
    evaluator: str,
    where: str,
    page: Path | None,
    storage: str | None,
    data: str,
) -> None:
    """Prints the end of a run: the front, the best design, where the results are, and the next commands.

    Args:
        result: The result of the run.
        front: Its front with error bars.
        ranking: The ranking that it is the front of.
        best: The best design as one row; empty if there is none.
        evaluator: Name of the evaluator that scored the designs.
        where: Printable address of the database.
        page: The page; None if it could not be written.
        storage: The database as it was given on the command line, for the next command.
        data: The photographs of the search, for the next command.
    """
    print_front(front, errors=ranking.errors_text(front))
    if not best.empty:
        row = best.iloc[0]
        predicted = "" if ranking.prediction is None else f", as predicted {ranking.prediction.what}"
        click.echo(
            f"\nBest within the budget: trial {row['trial']} with {row['psnr']:.2f} dB{predicted}, "
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
    click.echo(f"\ndatabase: {printable(where)}")
    if page is not None:
        click.echo(f"page:     {page}")
    if not best.empty:
        options = _same_options(storage)
        if evaluator == "proxy":
            trained_on = shlex.quote(data)
            click.echo(f"next:     srsearch train {result.study} --best --recipe fast --data {trained_on}{options}")
        click.echo(f"save it:  srsearch best {result.study}{options} --save best.yaml")


def print_trials(frame: pd.DataFrame, reached: Mapping[int, Sequence[float]]) -> None:
    """Prints one line for each trial.

    Args:
        frame: As `srsearch.store.Store.trials` gives it.
        reached: By number of a running or stopped trial, its last step and the PSNR there.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    headings = ("trial", "state", "PSNR", "Mult-Adds", "params", "design (reason)")
    rows = _trial_cells(frame, reached)
    if terminal_width() is None or len(frame) > _MOST_DRAWN:
        lines = _plain_lines(headings, [tuple(printable(str(cell)) for cell in row) for row in rows])
        while some := list(itertools.islice(lines, _MOST_DRAWN)):
            click.echo("\n".join(some))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in headings[:-1]:
        table.add_column(heading, justify="left" if heading == "state" else "right", no_wrap=True)
    table.add_column(headings[-1], overflow="fold")
    for cells in rows:
        begun = " at " in str(cells[2])
        table.add_row(*cells[:2], Text(str(cells[2]), style="dim" if begun else ""), *cells[3:])
    print_table(table)


def _trial_cells(frame: pd.DataFrame, reached: Mapping[int, Sequence[float]]) -> Iterator[tuple[str | Text, ...]]:
    """The cells of `print_trials`, row by row."""
    from srsearch.labels import axis_labels

    axes = list(frame.attrs.get("axes", []))
    labels = axis_labels(axes)
    for row in (row for part in parts(frame) for row in records(part)):
        psnr = "" if row["psnr"] is None else f"{row['psnr']:.3f}"
        if row["trial"] in reached:
            step, so_far = reached[row["trial"]]
            psnr = f"{so_far:.3f} at {step:.0f}"
        costs = ["" if row[name] is None else format_quantity(row[name]) for name in ("mult_adds", "params")]
        state = "cached" if row["cached"] else row["state"]
        design = design_text({axis: row[axis] for axis in axes if row[axis] is not None}, labels)
        yield str(row["trial"]), state, psnr, *costs, _with_reason(design, row["reason"])


_MOST_DRAWN = 2_000
"""Rows that rich lays out in a second; of more it would make a terminal wait for minutes."""


def _plain_lines(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table of trials as `print_table` prints them in a pipe, a hundred times as fast."""
    from rich import cells

    def cell_len(text: str) -> int:
        return len(text) if text.isascii() else cells.cell_len(text)

    widths = [max(map(cell_len, (row[place] for row in (headings, *rows)))) for place in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        spaces = [" " * (width - cell_len(cell)) for width, cell in zip(widths, cells, strict=True)]
        placed = [
            cell + space if heading in ("state", headings[-1]) else space + cell
            for heading, space, cell in zip(headings, spaces, cells, strict=True)
        ]
        return ("  " + "   ".join(placed)).rstrip()

    yield ""
    yield line(headings)
    yield " " + "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * (sum(widths) + 3 * len(widths) - 1)
    yield from map(line, rows)
    yield ""


def _with_reason(design: Text, reason: str | None) -> Text:
    return design.append(f"  ({reason})", style="dim") if reason else design


def print_studies(frame: pd.DataFrame, where: str) -> None:
    """Prints the studies in a database."""
    from rich import box
    from rich.table import Table

    if frame.empty:
        click.echo(f"there is no study in {printable(where)}")
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
    print_table(table)


def print_forecast(forecast: Forecast) -> None:
    """Prints a forecast: the measurements, the time of one training, and that of the study."""
    from rich import box
    from rich.table import Table

    from srsearch.labels import scales_text

    unit = "GPU hours" if forecast.on_gpus else "core hours"
    at_once = f"{forecast.processes} at a time" if forecast.processes > 1 else "one at a time"
    click.echo(f"Measured on this machine's {forecast.device}, {forecast.precision}, {at_once}:\n")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for head in ("Mult-Adds", "step", "validation"):
        table.add_column(head, justify="right", no_wrap=True)
    for each in forecast.measured:
        table.add_row(format_quantity(each.mult_adds), f"{1000 * each.step:.1f} ms", f"{1000 * each.validation:.0f} ms")
    print_widest(table)
    if forecast.scale is not None:
        click.echo(
            f"Steps at {scales_text(forecast.scales)} take turns; Mult-Adds and validations are at x{forecast.scale}."
        )
    mean, low, high = forecast.seconds
    click.echo(
        f"\nA training of {forecast.steps} steps: {format_duration(mean)} on average over {forecast.space}'s feasible "
        f"designs, {format_duration(low)} to {format_duration(high)} for nine in ten."
    )
    click.echo(
        f"{forecast.trials} trainings: {forecast.device_hours:.2g} {unit}; with {forecast.at_once} at a time "
        f"{format_duration(3600 * forecast.hours)}."
    )
    if forecast.gpus_wanted and not forecast.on_gpus:
        click.echo(
            "\nThis machine has no GPU, so these are hours of its CPU cores. For GPU hours, run the same command on a "
            "machine with the GPU that you will use."
        )
