"""`srsearch compare`: one image by several models, side by side."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srsearch.cli.models import as_option, checkpoints_option, model_named
from srsearch.cli.options import (
    FileType,
    WholeType,
    check_folder,
    device_option,
    json_option,
    plugin_option,
    storage_option,
)
from srsearch.cli.printing import print_json
from srsearch.errors import InputError
from srsearch.text import printable

if TYPE_CHECKING:
    from srsearch.architecture import Model
    from srsearch.data.bicubic import Pixels
    from srsearch.export.comparison import Box


@click.command(short_help="Show an image by several models side by side.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--image", required=True, type=FileType(), metavar="FILE", help="The original (HR) image.")
@click.option("--scale", type=WholeType(2, 16), metavar="N", help="Upscaling factor, for models with several.")
@click.option(
    "--crop",
    metavar="LEFT,TOP,WIDTH,HEIGHT",
    help="What to show, in pixels of the image [default: where bicubic upscaling is worst].",
)
@click.option(
    "--out", type=FileType(), metavar="NAME", help="Write NAME.png and NAME.html [default: compare_ and the image's]."
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@device_option
@as_option
@plugin_option
@storage_option
@checkpoints_option
@json_option
def compare(
    models: tuple[str, ...],
    image: Path,
    scale: int | None,
    crop: str | None,
    out: Path | None,
    overwrite: bool,
    device: str,
    as_network: str | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Downscale an image, upscale it by each MODEL, and show crops beside the original and bicubic upscaling.

    Writes a picture and a page with zoom and wipe. PSNR is measured on the whole image.
    """
    from srsearch.dashboard.comparison import comparison_page
    from srsearch.data.decoding import UnusablePhotoError
    from srsearch.evaluation import Runtime
    from srsearch.export import comparison
    from srsearch.files import whole, write_whole

    if not image.exists():
        raise InputError(f"there is no image {str(image)!r}")
    name = out or Path(f"compare_{image.stem}")
    picture, page = (name.with_name(f"{name.name}{suffix}") for suffix in (".png", ".html"))
    check_folder(page)
    existing = [str(file) for file in (picture, page) if file.exists()]
    if existing and not overwrite:
        raise InputError(f"{', '.join(existing)}: exists; --overwrite replaces it, --out names others")
    chosen = [model_named(each, storage=storage, as_network=as_network, scale=scale) for each in models]
    factor = _common_scale(chosen, scale)
    try:
        hr = comparison.read_original(image, factor)
    except UnusablePhotoError as error:
        raise InputError(f"{image}: {error}") from None
    asked = None if crop is None else _box(crop, hr)
    named = list(zip(_names(models, chosen), chosen, strict=True))
    box, shown = comparison.compare(hr, named, factor, asked, Runtime.detect(device), _say)
    content = io.BytesIO()
    comparison.sheet(shown).save(content, "PNG")
    with whole(picture) as file:
        file.write(content.getbuffer())
    write_whole(page, comparison_page(image.name, factor, box, shown))
    if as_json:
        scores: list[dict[str, Any]] = [{"model": each.name, "psnr": each.psnr} for each in shown if each.psnr]
        where = [box.left, box.top, box.width, box.height]
        print_json({"image": str(image), "scale": factor, "crop": where, "scores": scores, "files": [picture, page]})
        return
    for each in shown:
        if each.psnr is not None:
            click.echo(f"{each.psnr:6.2f} dB  {printable(each.name)}")
    click.echo(f"{picture}\n{page}")


def _common_scale(models: list[Model], scale: int | None) -> int:
    """The scale that all models have: the one given, else the only one.

    Raises:
        InputError: There is none, or there are several.
    """
    if scale is not None:
        return scale
    common: set[int] = set.intersection(*(set(getattr(model.network, "scales", ())) for model in models))
    if not common:
        each = "; ".join(f"{model.name}: {', '.join(map(str, model.network.scales))}" for model in models)  # type: ignore[arg-type]
        raise InputError(f"the models have no scale in common ({each})")
    if len(common) > 1:
        raise InputError(
            f"the models upscale by {', '.join(f'x{each}' for each in sorted(common))}: choose with --scale"
        )
    return common.pop()


def _names(texts: tuple[str, ...], models: list[Model]) -> list[str]:
    """A name of its own for each model: that of its file, or what was typed where two are called the same."""
    short = [model.name for model in models]
    names = short if len({*short, "HR", "bicubic"}) == len(short) + 2 else list(texts)
    return [
        f"{name} ({number})" if names.count(name) > 1 or name in ("HR", "bicubic") else name
        for number, name in enumerate(names, 1)
    ]


def _box(text: str, hr: Pixels) -> Box:
    from srsearch.export.comparison import Box

    height, width = hr.shape[:2]
    match = re.fullmatch(r"([0-9]{1,6}),([0-9]{1,6}),([0-9]{1,6}),([0-9]{1,6})", text)
    if match is None:
        raise InputError(f"--crop {text}: write LEFT,TOP,WIDTH,HEIGHT, such as 100,80,128,128")
    box = Box(*map(int, match.groups()))
    if min(box.width, box.height) < 1 or box.left + box.width > width or box.top + box.height > height:
        raise InputError(f"--crop {text}: does not lie in the image, which has {width}x{height} pixels")
    return box


def _say(message: str) -> None:
    click.echo(f"srsearch: {message}", err=True)
