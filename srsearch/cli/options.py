"""Options that several commands share, and the objects that they name."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from srsearch.errors import InputError

if TYPE_CHECKING:
    from srsearch.store import Store


USUAL_SIZE = "1280x720"


class QuantityType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """A count with an optional suffix: 40G, 800K."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from srsearch.quantity import parse_quantity

        try:
            return parse_quantity(value)
        except InputError as error:
            self.fail(str(error), param, ctx)


class WholeType(click.IntRange):
    """A whole number in a range, in the digits that space files and links take, too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value).isascii():  # Python's own `int` knows digits of all scripts
            self.fail(f"{value!r} is not a whole number; write it with the digits 0 to 9.", param, ctx)
        return super().convert(value, param, ctx)


class StepsType(click.ParamType[Any]):
    """Ascending numbers of training steps with commas between them."""

    name = "steps"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        from srsearch.quantity import parse_natural

        if isinstance(value, tuple):
            return value
        steps = [parse_natural(each.strip()) for each in str(value).split(",")]
        numbers = [each for each in steps if each]
        if len(numbers) < len(steps) or numbers != sorted(set(numbers)):
            self.fail(f"{value!r} is not a list of ascending numbers of steps, such as 600,2400,9600.", param, ctx)
        return tuple(numbers)


class FiniteType(click.FloatRange):
    """A number in a range; "nan" is in none, and "inf" is no setting."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value).isascii():
            self.fail(f"{value!r} is not a number; write it with the digits 0 to 9.", param, ctx)
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


MOST = 10**7
"""The largest number of anything that an option counts."""


class FileType(click.Path):
    """The path of a file; ``~`` is the home folder, which shells leave alone after ``--option=``."""

    def __init__(self, *, dir_okay: bool = False) -> None:
        super().__init__(path_type=Path, dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(Path(value).expanduser(), param, ctx)


def check_folder(file: Path) -> None:
    """Find out that a file cannot be written before the work that it is to hold.

    Raises:
        InputError: Its folder does not exist.
    """
    if not file.resolve().parent.is_dir():
        raise InputError(f"{file}: there is no folder {str(file.parent)!r}")


CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def together(*options: Callable[[CommandT], CommandT]) -> Callable[[CommandT], CommandT]:
    """Combines several options into one decorator."""
    return lambda command: functools.reduce(lambda inner, option: option(inner), reversed(options), command)


PLUGINS = "srsearch.plugins"
"""Where a context's ``meta`` has the plugin files of the command."""


def _load_plugin(ctx: click.Context, param: click.Parameter, paths: tuple[Path, ...]) -> None:
    ctx.meta[PLUGINS] = paths
    if paths:
        from srsearch.architecture import load_plugin

        for path in paths:
            load_plugin(path)


plugin_option = click.option(
    "--plugin",
    type=FileType(dir_okay=True),
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_load_plugin,
    metavar="FILE",
    help="Python file that registers parts, objectives, losses, schedules or views of yours; may be repeated.",
)
device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
STORAGE = "srsearch.storage"
"""Where a context's ``meta`` has the database of the command, once its options are known."""


def _note_storage(ctx: click.Context, param: click.Parameter, storage: str | None) -> str | None:
    ctx.meta[STORAGE] = storage or ctx.meta.get(STORAGE)
    return storage


storage_option = click.option(
    "--storage",
    callback=_note_storage,
    metavar="URL",
    help="Database: SQLAlchemy URL or SQLite file [default: $SRSEARCH_STORAGE, else studies/srsearch.db].",
)
study_argument = click.argument("study", required=False)
budget_options = together(
    click.option(
        "--max-mult-adds", type=QuantityType(), metavar="N", help="Largest number of Mult-Adds per image, such as 30G."
    ),
    click.option("--max-params", type=QuantityType(), metavar="N", help="Largest number of parameters, such as 500K."),
)


def open_store(storage: str | None, *, write: bool = False, must_exist: bool = False) -> Store:
    """Opens the store that ``--storage`` names.

    Args:
        storage: The option's value; None: the value before the subcommand of `srsearch studies`, else the
            default.
        write: Open for writing.
        must_exist: Raise an error, instead of creating the database, if it is missing.
    """
    from srsearch.store import Store

    storage = group_option("storage") if storage is None else storage
    if must_exist:
        Store(storage, read_only=True).close()
    return Store(storage, read_only=not write)


def group_option(option: str) -> Any:
    """The value of an option that was written before the subcommand."""
    return (click.get_current_context().obj or {}).get(option)


def study_name(store: Store, study: str | None) -> str:
    """The name of the study: the one given, else that of the newest study."""
    if study is not None:
        store.study(study)  # raises an error that lists the studies
        return study
    names = store.study_names()
    if not names:
        raise InputError(f"there is no study in {store.where}; `srsearch run lightweight_x4` makes one")
    return max(names, key=lambda name: store.study(name).created_at)
