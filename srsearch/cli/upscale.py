"""`srsearch upscale`: image files through a model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srsearch.cli.models import as_option, checkpoints_option, model_named, scale_of
from srsearch.cli.options import (
    MOST,
    FileType,
    QuantityType,
    WholeType,
    device_option,
    json_option,
    plugin_option,
    storage_option,
)
from srsearch.cli.printing import echo_above, print_json
from srsearch.errors import InputError, WorkError
from srsearch.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from srsearch.export.upscaling import Upscaler

FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP"}
"""The values of ``--format``, and Pillow's names of them."""


@dataclass(frozen=True)
class _Task:
    """An image file, and where its upscaled image goes: the path without suffix."""

    image: Path
    target: Path


@click.command(short_help="Upscale images with a model.")
@click.argument("model")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=FileType(dir_okay=True))
@click.option(
    "--out", type=FileType(dir_okay=True), metavar="DIR", help="Folder of the results [default: beside IMAGE]."
)
@click.option("--scale", type=WholeType(1, 16), metavar="N", help="Upscaling factor, for a model with several.")
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), help="Kind of the results [default: IMAGE's own].")
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option(
    "--tile",
    type=WholeType(16, MOST),
    metavar="N",
    help="Upscale in tiles of N x N pixels [default: where memory is too small for the whole image].",
)
@click.option(
    "--memory",
    type=QuantityType(),
    metavar="BYTES",
    help="Memory for the network's work, such as 4G, by estimate [default: half of what is free].",
)
@device_option
@as_option
@plugin_option
@storage_option
@checkpoints_option
@json_option
def upscale(
    model: str,
    images: tuple[Path, ...],
    out: Path | None,
    scale: int | None,
    kind: str | None,
    overwrite: bool,
    tile: int | None,
    memory: int | None,
    device: str,
    as_network: str | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Upscale each IMAGE with MODEL: a model file, official weights, STUDY:TRIAL, or bicubic.

    The result of photo.png is photo_x4.png in the same folder or in DIR. An IMAGE may be a folder: the results of all
    images in it go to FOLDER_x4 or DIR. 16 bits, transparency, colour profiles and EXIF data are kept, and the image is
    turned upright.
    """
    from srsearch.evaluation import Runtime
    from srsearch.export.upscaling import Upscaler

    chosen = model_named(model, storage=storage, as_network=as_network, scale=scale)
    factor = scale_of(chosen, scale)
    tasks = _tasks(images, out, factor)
    suffix = None if kind is None else f".{kind}"
    _check_targets(tasks, suffix, overwrite)
    records, failed = list[dict[str, Any]](), 0
    with _progress() as progress:

        def warn(message: str) -> None:
            echo_above(progress, f"srsearch: {message}", err=True)

        runtime = Runtime.detect(device)
        upscaler = Upscaler(chosen.network, factor, runtime=runtime, tile=tile, memory=memory, warn=warn)
        bar = progress.add_task("", total=len(tasks))
        for number, task in enumerate(tasks):

            def part(share: float, before: int = number) -> None:
                progress.update(bar, completed=before + share)

            progress.update(bar, description=printable(task.image.name))
            try:
                record = _upscaled(task, upscaler, factor, kind, overwrite, part)
            except InputError as error:
                if len(tasks) == 1:
                    raise
                failed += 1
                warn(str(error))
                continue
            except FloatingPointError as error:
                raise WorkError(f"{task.image}: {error}; the model is damaged, or its training failed") from None
            finally:
                part(1)
            records.append(record)
            if not as_json:
                echo_above(progress, _line(record))
    if as_json:
        print_json(records)
    if failed:
        raise WorkError(f"{failed} of {len(tasks)} images could not be upscaled")


def _upscaled(
    task: _Task, upscaler: Upscaler, scale: int, kind: str | None, overwrite: bool, part: Callable[[float], None]
) -> dict[str, Any]:
    """Upscales one image, and says what was done."""
    from srsearch.data.decoding import UnusablePhotoError
    from srsearch.export.pictures import SUFFIXES, read_picture, write_picture, written_kind
    from srsearch.files import whole

    began = time.monotonic()
    try:
        picture = read_picture(task.image)
        height, width = picture.colour.shape[:2]
        large = (scale * width, scale * height)
        chosen = written_kind(picture if kind is None else replace(picture, kind=FORMATS[kind]), large)
        if kind is not None and chosen != FORMATS[kind]:
            raise UnusablePhotoError(f"{kind} cannot hold {width * scale}x{height * scale} pixels or transparency")
        suffix = task.image.suffix if chosen == picture.kind else SUFFIXES[chosen]
        target = task.target.with_name(task.target.name + suffix)
        if target.exists() and not overwrite:
            raise InputError(f"{target} exists; --overwrite replaces it")
        result = upscaler(picture, part)
    except (UnusablePhotoError, MemoryError) as error:
        raise InputError(f"{task.image}: {error}") from None
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole(target) as file:
        write_picture(file, result, chosen)
    return {
        "image": str(task.image),
        "result": str(target),
        "width": large[0],
        "height": large[1],
        "seconds": round(time.monotonic() - began, 3),
        "notes": list(picture.notes),
    }


def _tasks(images: tuple[Path, ...], out: Path | None, scale: int) -> list[_Task]:
    """The image files, those in folders too.

    Raises:
        InputError: There is no such file, a folder without images, or two images with the same result.
    """
    tasks: list[_Task] = []
    for image in images:
        if image.is_dir():
            tasks += _tasks_in(image, out, scale)
        elif image.exists():
            tasks.append(_Task(image, (image.parent if out is None else out) / f"{image.stem}_x{scale}"))
        else:
            raise InputError(f"there is no image {str(image)!r}")
    return tasks


def _tasks_in(folder: Path, out: Path | None, scale: int) -> list[_Task]:
    from srsearch.data.files import image_files

    place = folder.resolve()
    root = place.with_name(f"{place.name}_x{scale}") if out is None else out
    inside = root.resolve()
    found = {name: file for name, file in image_files(folder, _warn).items() if inside not in file.resolve().parents}
    return [_Task(file, (root / name).with_name(f"{file.stem}_x{scale}")) for name, file in found.items()]


def _check_targets(tasks: list[_Task], suffix: str | None, overwrite: bool) -> None:
    """Finds results that would be lost before anything is upscaled.

    Raises:
        InputError: Two images have the same result, or it exists.
    """
    by_target: dict[Path, Path] = {}
    existing: list[str] = []
    for task in tasks:
        target = task.target.resolve().with_name(task.target.name + (suffix or task.image.suffix))
        if target in by_target:
            raise InputError(f"{by_target[target]} and {task.image} have the same result, {target}: use two folders")
        by_target[target] = task.image
        if target.exists():
            existing.append(f"{task.target}{target.suffix}")
    if existing and not overwrite:
        several = len(existing) > 1
        exist = f" and {len(existing) - 1} more results exist" if several else " exists"
        them = "them" if several else "it"
        raise InputError(f"{existing[0]}{exist}; --overwrite replaces {them}, --out puts the results elsewhere")


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _line(record: dict[str, Any]) -> str:
    notes = "".join(f"; {note}" for note in record["notes"])
    size = f"{record['width']}x{record['height']}"
    return printable(f"{record['image']} -> {record['result']} ({size}, {record['seconds']:.1f} s{notes})")


def _warn(message: str) -> None:
    click.echo(f"srsearch: {message}", err=True)
