"""`srsearch data`: what image sets there are, caches for training, downloads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srsearch.cli.options import FileType, WholeType, group_option, json_option
from srsearch.cli.printing import echo_above, print_json, print_table, terminal_width
from srsearch.text import printable, well_formed

if TYPE_CHECKING:
    from rich.progress import Progress

    from srsearch.data.fetch import ImageSet

_FOLDER = Path("data")
"""Where sets are fetched to by default."""

scales_option = click.option(
    "--scale", "scales", type=WholeType(2, 16), multiple=True, metavar="N", help="Upscaling factor; may be repeated."
)


@click.group(invoke_without_command=True, short_help="List, fetch and prepare images for training and tests.")
@json_option
@click.pass_context
def data(ctx: click.Context, as_json: bool) -> None:
    """List the image sets that can be fetched; recognise folders, fetch sets, and prepare them for training."""
    ctx.obj = {"as_json": as_json}
    if ctx.invoked_subcommand is None:
        _list_sets(as_json)


@data.command("list", short_help="List image sets, or say what folders hold.")
@click.argument("folders", nargs=-1, metavar="[DIR]...")
@scales_option
@json_option
def list_(folders: tuple[str, ...], scales: tuple[int, ...], as_json: bool) -> None:
    """Say which layout the images in each DIR have, and what is left out. Without DIR, list the sets to fetch."""
    from srsearch.data.cache_index import cache_of
    from srsearch.data.layouts import benchmarks_in, recognise, scales_of

    as_json = as_json or bool(group_option("as_json"))
    if not folders:
        _list_sets(as_json)
        return
    folders = tuple(str(each) for folder in folders for each in benchmarks_in(folder, _say) or (folder,))
    layouts = [recognise(folder, scale, _say) for folder in folders for scale in scales or scales_of(folder) or (4,)]
    if as_json:
        print_json(
            [
                {
                    "folder": well_formed(str(layout.folder)),
                    "layout": layout.kind,
                    "benchmark": layout.benchmark,
                    "scale": layout.scale,
                    "images": len(layout.pairs),
                    "lr": "files" if layout.has_lr else "bicubic",
                    "remarks": list(layout.remarks),
                    "cache": None if (cache := cache_of(layout.folder)) is None else well_formed(str(cache)),
                }
                for layout in layouts
            ]
        )
        return
    for layout in layouts:
        click.echo(printable(str(layout)))
        for remark in layout.remarks:
            click.echo(f"  {printable(remark)}")
    for folder in folders:
        if (cache := cache_of(folder)) is not None:
            click.echo(printable(f"{folder}: prepared for training in {cache}"))


@data.command(short_help="Decode a folder's images once, so that training opens them at once.")
@click.argument("folder", metavar="DIR")
@scales_option
@click.option("--to", "cache", type=FileType(dir_okay=True), metavar="DIR", help="The cache [default: DIR/.srsearch].")
@click.option("--threads", type=WholeType(1, 1024), metavar="N", help="Threads [default: the number of cores].")
@json_option
def prepare(folder: str, scales: tuple[int, ...], cache: Path | None, threads: int | None, as_json: bool) -> None:
    """Decode the images of DIR into a few large files that `srsearch train` maps into memory.

    Prepared again, it verifies what is there by its hash, and goes on where it was interrupted. The scales are those
    of the LR images in DIR, else x4.
    """
    from srsearch.data import cache as caches
    from srsearch.data.cache_index import HIDDEN
    from srsearch.data.layouts import check_one_set, recognise, scales_of

    check_one_set(folder, "srsearch data prepare")
    chosen = tuple(sorted(set(scales))) or scales_of(folder) or (4,)
    layouts = [recognise(folder, scale, _say) for scale in chosen]
    for layout in layouts:
        _say(str(layout))
        for remark in layout.remarks:
            _say(f"  {remark}")
    target = Path(folder).expanduser() / HIDDEN if cache is None else cache
    planned = caches.plan(layouts, target)
    _say(
        f"{planned.images} images become {planned.bytes / 1e9:.2f} GB in {target}; {planned.free / 1e9:.1f} GB are free"
    )
    with _progress() as progress:
        task = progress.add_task("decoding", total=planned.images)
        made = caches.prepare(
            layouts,
            target,
            threads=threads or _cores(),
            done=lambda images, total: progress.update(task, completed=images, total=total),
        )
    for each in made.skipped:
        _say(f"skipped {each}")
    if as_json or group_option("as_json"):
        print_json(
            {
                "cache": well_formed(str(made.folder)),
                "scales": list(chosen),
                "images": made.images,
                "bytes": made.bytes,
                "decoded": made.decoded,
                "reused": made.reused,
                "skipped": list(made.skipped),
            }
        )
        return
    skipped = f", {len(made.skipped)} skipped" if made.skipped else ""
    click.echo(
        printable(
            f"{made.folder}: {made.images} images, {made.bytes / 1e9:.2f} GB; {made.decoded} decoded, "
            f"{made.reused} verified{skipped}"
        )
    )


@data.command(short_help="Download an image set from its own home.")
@click.argument("name", metavar="SET")
@click.option("--to", "into", type=FileType(dir_okay=True), default=_FOLDER, show_default=True, metavar="DIR")
@scales_option
@json_option
def fetch(name: str, into: Path, scales: tuple[int, ...], as_json: bool) -> None:
    """Download SET and unpack it: div2k, set5, set14, b100, urban100 or manga109.

    An interrupted download goes on when you run the command again. For div2k, --scale also fetches the LR images at
    that scale; without it, they are made from the HR images.
    """
    from srsearch.data import fetch as fetching

    chosen = fetching.image_set(name)
    _say(f"{chosen.folder}: {chosen.about}. Licence: {chosen.licence}. From {chosen.home}")
    done = []
    with _progress(in_bytes=True) as progress:
        tasks: dict[str, Any] = {}

        def say(message: str) -> None:
            echo_above(progress, printable(f"srsearch: {message}"), err=True)

        def received(archive: fetching.Archive, count: int, total: int | None) -> None:
            if archive.name not in tasks:
                tasks[archive.name] = progress.add_task(archive.name, total=total)
            progress.update(tasks[archive.name], completed=count, total=total)

        for each in fetching.fetch(chosen, into, scales=scales, progress=received, warn=say):
            done.append(each)
            if not each.files:
                say(f"{each.archive.name}: was fetched before")
            elif each.archive.sha256 is None:
                say(f"{each.archive.name}: no checksum is published; its SHA-256 is {each.sha256}")
    folder = into / chosen.folder
    if as_json or group_option("as_json"):
        print_json(
            {
                "set": chosen.name,
                "folder": well_formed(str(folder)),
                "licence": chosen.licence,
                "archives": [{"url": each.archive.url, "sha256": each.sha256, "files": each.files} for each in done],
            }
        )
    else:
        click.echo(
            printable(
                f"{folder}: {sum(each.files for each in done)} images; what they are: srsearch data list {folder}"
            )
        )


def _list_sets(as_json: bool) -> None:
    from srsearch.data.fetch import SETS

    if as_json:
        print_json(
            [
                {
                    "name": each.name,
                    "about": each.about,
                    "size": each.size,
                    "licence": each.licence,
                    "home": each.home,
                    "fetched": _is_there(each),
                }
                for each in SETS.values()
            ]
        )
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for head in ("Set", "What it is", "Download", "Licence", "Here"):
        table.add_column(head, no_wrap=terminal_width() is None)
    for each in SETS.values():
        here = str(_FOLDER / each.folder) if _is_there(each) else ""
        table.add_row(*map(Text, (each.name, each.about, each.size or "on request", each.licence, here)))
    print_table(table)
    click.echo("\nfetch one with: srsearch data fetch SET; without any, trainings use the photographs called builtin")


def _is_there(each: ImageSet) -> bool:
    return (_FOLDER / each.folder).is_dir()


def _progress(*, in_bytes: bool = False) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    counts = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(),)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *counts,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _say(message: str) -> None:
    click.echo(printable(f"srsearch: {message}"), err=True)
