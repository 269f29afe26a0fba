"""The ``srsearch`` command and its exit codes.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed while working, 2 wrong
input, 130 interrupted.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from typing import Any, NoReturn

import click

from srsearch import __version__
from srsearch.cli.advise import advise
from srsearch.cli.compare import compare
from srsearch.cli.data import data
from srsearch.cli.evaluate import evaluate
from srsearch.cli.export import export
from srsearch.cli.options import STORAGE
from srsearch.cli.pages import dashboard, report
from srsearch.cli.results import best, front, trials
from srsearch.cli.run import run
from srsearch.cli.spaces import catalogue, count, space
from srsearch.cli.streams import print_anything
from srsearch.cli.studies import studies
from srsearch.cli.train import recipes, train
from srsearch.cli.trust import trust
from srsearch.cli.upscale import upscale
from srsearch.errors import InputError, WorkError
from srsearch.text import printable_lines


class _Commands(click.Group):
    """Turns errors into messages and exit codes, without a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        print_anything()
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # of --help and --version, which are no commands
            _end(error)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for before, given in itertools.pairwise(["", *args]):
            # `--data "$NOT_SET"`: an empty path would be the current folder.
            empty = given.removesuffix("=") if re.fullmatch(r"--[a-z-]+=", given) else before if given == "" else None
            if empty is not None:
                raise click.UsageError(f"{empty if empty.startswith('-') else 'An argument'} is empty.", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (InputError, WorkError) as error:
            click.echo(printable_lines(f"srsearch: {error}"), err=True)
            sys.exit(2 if isinstance(error, InputError) else 1)
        except KeyboardInterrupt:
            click.echo("srsearch: interrupted", err=True)
            sys.exit(130)
        except BrokenPipeError:
            # The reader of a pipe, such as `head`, has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except (click.ClickException, click.exceptions.Exit, click.Abort):  # wrong options, --help
            raise
        except OSError as error:
            _end(error)
        except Exception:
            from srsearch.search.damage import damage

            reason = damage(ctx.meta[STORAGE]) if STORAGE in ctx.meta else None
            if reason is None:
                raise
            click.echo(f"srsearch: {reason}", err=True)
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order in which you use them


def _end(error: OSError) -> NoReturn:
    """End the command with the message of a file that cannot be written."""
    # Standard output and unfinished temporary files have no name.
    where = error.filename or "the output, or a temporary file (TMPDIR), cannot be written"
    click.echo(printable_lines(f"srsearch: {where}: {error.strerror or error}"), err=True)
    sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="srsearch")
def main() -> None:
    """Find the best super-resolution network under a compute budget.

    Start with `srsearch run lightweight_x4`.
    """


for _each in (
    run,
    space,
    count,
    catalogue,
    trials,
    front,
    best,
    advise,
    train,
    trust,
    recipes,
    data,
    evaluate,
    compare,
    upscale,
    export,
    report,
    dashboard,
    studies,
):
    main.add_command(_each)
