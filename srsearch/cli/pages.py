"""`srsearch report` and `srsearch dashboard`."""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srsearch.cli.options import (
    FileType,
    WholeType,
    json_option,
    open_store,
    plugin_option,
    storage_option,
    study_argument,
    study_name,
)
from srsearch.cli.printing import print_json
from srsearch.errors import WorkError
from srsearch.text import printable

if TYPE_CHECKING:
    from srsearch.store import Store


@click.command(short_help="Write a study as one HTML page.")
@study_argument
@click.option(
    "--output", "-o", "target", type=FileType(dir_okay=True), help="File to write [default: dashboards/STUDY.html]."
)
@plugin_option
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


@click.command(short_help="Serve live pages of the studies in a database.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; any other than this machine's own needs --token.",
)
@click.option(
    "--port",
    type=WholeType(0, 65535),
    default=8050,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option("--token", metavar="WORD", help="Password that everybody must give to open the pages.")
@plugin_option
@storage_option
def dashboard(host: str, port: int, token: str | None, storage: str | None) -> None:
    """Serve web pages that follow the studies in a database while they run. The database is only read.

    By default only this machine can open the pages. To let others in, set --host, and a --token that they must give.

    A --plugin FILE can add views of your own.
    """
    from srsearch.dashboard.live.server import serve

    serve(storage, host, port, token, lambda text: click.echo(text, err=True))


def write_page(store: Store, study: str, path: Path | None) -> Path:
    """Write a study's page to ``path``, by default into ``dashboards/``, where no page of another study is replaced.

    Raises:
        WorkError: The page cannot be written there.
    """
    from srsearch.dashboard.report import write_report

    target = path or Path("dashboards") / f"{_file_name(study)}.html"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        own = target if path else _not_anothers(target, store, study)
        if own != target:
            text = f"{target} is the page of another study and is left alone; this study's page is {own}"
            click.echo(printable(text), err=True)
        return write_report(store, study, own)
    except OSError as error:
        raise WorkError(f"the page cannot be written to {target}: {error.strerror}; everything else is saved") from None


def _not_anothers(target: Path, store: Store, study: str) -> Path:
    """The path, or the next one with a number, that does not exist or has a page of this study."""
    from srsearch.dashboard.report import page_identity, study_identity

    own = study_identity(store, store.study(study))
    names = itertools.chain([target], (target.with_name(f"{target.stem}-{n}.html") for n in itertools.count(2)))
    return next(each for each in names if not each.is_file() or page_identity(each) == own)


def _file_name(study: str) -> str:
    """The study's name as a file's; other names than a space's own get a digest, so that no two share a page."""
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", study):
        return study
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", study).lstrip(".")[:80] or "study"
    return f"{name}-{hashlib.sha256(study.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
