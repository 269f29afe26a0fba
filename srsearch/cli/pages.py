"""`srsearch report` and `srsearch dashboard`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srsearch.cli.options import json_option, open_store, plugin_option, storage_option, study_argument, study_name
from srsearch.cli.printing import print_json
from srsearch.errors import WorkError

if TYPE_CHECKING:
    from srsearch.store import Store


@click.command(short_help="Write a study as one HTML page.")
@study_argument
@click.option(
    "--output", "-o", "target", type=click.Path(path_type=Path), help="The file [default: dashboards/STUDY.html]."
)
@storage_option
@json_option
def report(study: str | None, target: Path | None, storage: str | None, as_json: bool) -> None:
    """Write STUDY (by default the newest study) as one HTML page that needs no network."""
    with open_store(storage) as store:
        written = write_page(store, study_name(store, study), target)
    if as_json:
        print_json({"page": str(written)})
    else:
        click.echo(f"page: {written}")


@click.command(short_help="Live pages of the studies of a database.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; any other needs --token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8050, show_default=True, help="0 takes a free one.")
@click.option("--token", metavar="WORD", help="A word that visitors must know to open the pages.")
@plugin_option
@storage_option
def dashboard(host: str, port: int, token: str | None, storage: str | None) -> None:
    """Serve pages that follow the studies of a database while they run. Nothing is written to it.

    By default only this machine can open them. With --host others can, too, if they know the --token.

    A --plugin FILE can add views of your own.
    """
    from srsearch.dashboard.live.server import serve

    serve(storage, host, port, token, lambda text: click.echo(text, err=True))


def write_page(store: Store, study: str, path: Path | None) -> Path:
    """Write a study's page to ``path``, by default into ``dashboards/``.

    Raises:
        WorkError: It cannot be written there.
    """
    from srsearch.dashboard.report import write_report

    # A study of somebody else's database may be called anything.
    target = path or Path("dashboards") / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', study).lstrip('.') or 'study'}.html"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return write_report(store, study, target)
    except OSError as error:
        raise WorkError(f"the page cannot be written to {target}: {error.strerror}; everything else is saved") from None
