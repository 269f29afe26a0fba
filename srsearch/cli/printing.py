"""Prints JSON, tables and notes, as wide as the terminal."""

from __future__ import annotations

import io
import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, ConsoleOptions
    from rich.progress import Progress
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

    from srsearch.space import SpaceReport
    from srsearch.space.report import Binding


def print_widest(*tables: Table) -> bool:
    """Prints the first table that fits, else the last. Returns whether it has fewer columns than the first."""
    chosen = next(filter(fits, tables), tables[-1])
    print_table(chosen)
    return len(chosen.columns) < len(tables[0].columns)


def fits(table: Table) -> bool:
    """Whether the terminal, if there is one, is as wide as a table."""
    from rich.console import Console

    width = terminal_width()
    return width is None or Console(width=1000).measure(table).maximum <= width


def percent(share: float) -> str:
    """A share in per cent; ``<1%`` where rounding would give zero."""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def echo_above(progress: Progress, text: str, *, err: bool = False) -> None:
    """Prints a line while a progress bar is shown: the bar is taken away, and drawn again below the line.

    Rich redirects ``sys.stdout`` for this, but click writes to the stream behind it, in the line of the bar.
    """
    if not progress.disable:
        progress.stop()
    click.echo(text, err=err)
    if not progress.disable:
        progress.start()


def print_json(document: Any) -> None:
    """Prints one JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, allow_nan=False, default=plain))


def print_json_rows(frame: pd.DataFrame) -> None:
    """Prints the rows of a frame as `print_json` prints `records`, but a part at a time: there may be many."""
    separator = "[\n"
    for part in parts(frame):
        rows = part.astype(object)
        # The encoder that is fast does not indent, but writes any separators.
        texts = [
            json.dumps(row, separators=(",\n    ", ": "), allow_nan=False, default=plain)
            for row in rows.where(rows.notna(), None).to_dict("records")
        ]
        click.echo(separator + ",\n".join(f"  {{\n    {text[1:-1]}\n  }}" for text in texts), nl=False)
        separator = ",\n"
    click.echo("\n]" if len(frame) else "[]")


_PART = 2_000
"""Rows that are in memory as text at a time."""


def parts(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The frame in pieces of a few rows."""
    for start in range(0, len(frame), _PART):
        yield frame.iloc[start : start + _PART]


def plain(value: Any) -> Any:
    """Mappings and sequences of any kind as dictionaries and lists."""
    if value is None or type(value) in (str, int, float, bool):  # a table of trials has millions
        return value
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
    """Rows as dictionaries; missing values are None."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): plain(value) for name, value in row.items()} for row in rows]


def indented(text: str) -> str:
    """The text with every line indented by two spaces."""
    return "".join(f"  {line}" for line in text.splitlines(keepends=True))


def without_password(url: str) -> str:
    """A database URL, or the path of a file, as it may be shown."""
    from sqlalchemy import make_url

    from srsearch.store.credentials import shown

    return shown(make_url(url)) if "://" in url else url


def alone(binding: Binding, report: SpaceReport) -> str:
    """The rest of a sentence on a limit: with the share that no other limit keeps out, if there are other limits."""
    if len(report.bindings) == 1:
        return " of the designs"
    return f" of the designs ({percent(binding.alone)} that no other limit keeps out)"


def print_note(text: str) -> None:
    """Prints a remark, wrapped to the terminal."""
    click.echo(textwrap.fill(text, terminal_width() or 1000, initial_indent="  ", subsequent_indent="    "))


def design_text(axes: Mapping[str, Any], labels: Mapping[str, str]) -> Text:
    """A design as text: its value on each axis."""
    from rich.text import Text

    from srsearch.labels import axis_text

    return Text(" ".join(f"{labels[name]}={axis_text(value)}" for name, value in axes.items()))


def terminal_width() -> int | None:
    """Columns of the terminal, or the variable ``COLUMNS``; None in a pipe without it, where lines have any length."""
    from rich.console import Console

    console = Console()
    given = os.environ.get("COLUMNS", "")
    return console.width if console.is_terminal or (given.isdecimal() and int(given) > 0) else None


def print_table(table: Table) -> None:
    """Prints a table on standard output, within `terminal_width`; without one as wide as the table needs."""
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        console.print(_Inert(table))
        return
    plain_text = Console(width=terminal_width() or 1000, file=io.StringIO())
    with plain_text.capture() as captured:
        plain_text.print(_Inert(table))
    click.echo("\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines()))


class _Inert:
    """A table whose texts cannot move the cursor or set colours, wherever they come from."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for segment in console.render(self._table, options):
            # Control characters have no width, so columns stay in line without them.
            text = "".join(char for char in segment.text if char == "\n" or char.isprintable())
            yield segment if segment.control else Segment(text, segment.style)
