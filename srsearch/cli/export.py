"""`srsearch export`: a model in the formats of other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srsearch.cli.models import as_option, checkpoints_option, model_named, scale_of
from srsearch.cli.options import FileType, WholeType, check_folder, json_option, plugin_option, storage_option
from srsearch.cli.printing import print_json
from srsearch.errors import InputError

if TYPE_CHECKING:
    from srsearch.architecture import Model

SUFFIXES = {"safetensors": ".safetensors", "onnx": ".onnx", "torchscript": ".pt"}
"""The formats with their suffixes."""

HUB_FILES = ("config.json", "model.safetensors", "README.md")
"""The files in a folder of a model hub."""


@click.command(short_help="Export a model to ONNX, TorchScript, safetensors or a model hub.")
@click.argument("model")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(SUFFIXES)),
    help="Format of the file [default: safetensors, without --hub].",
)
@click.option("--out", type=FileType(), metavar="FILE", help="The file [default: named after MODEL, in this folder].")
@click.option("--scale", type=WholeType(1, 16), metavar="N", help="Upscaling factor, for a model with several.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="Numbers of an ONNX file.",
)
@click.option("--hub", type=FileType(dir_okay=True), metavar="DIR", help="Write a folder as model hubs have it.")
@click.option(
    "--card",
    "cards",
    type=click.Choice(["readme", "openmodeldb"]),
    multiple=True,
    help="Also write README.md, or the entry of OpenModelDB, beside the file; may be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@as_option
@plugin_option
@storage_option
@checkpoints_option
@json_option
def export(
    model: str,
    form: str | None,
    out: Path | None,
    scale: int | None,
    precision: str,
    hub: Path | None,
    cards: tuple[str, ...],
    overwrite: bool,
    as_network: str | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Export MODEL: a model file, official weights, or STUDY:TRIAL.

    An ONNX or TorchScript file takes images of any height and width. It is first run on images of odd and tiny sizes
    and compared with the network; if it differs, nothing is written.
    """
    chosen = model_named(model, storage=storage, as_network=as_network, scale=scale)
    if chosen.design is None:
        raise InputError(f"{model} has no weights to export")
    form = form or (None if hub is not None else "safetensors")
    if form is None and (out is not None or cards):
        raise InputError("--out and --card are about the file of --format: say which format")
    if precision == "fp16" and form != "onnx":
        raise InputError("--precision fp16 is for --format onnx")
    at = scale_of(chosen, scale) if form in ("onnx", "torchscript") or "openmodeldb" in cards else None
    file = None if form is None else out or Path(_file_name(chosen, form, at, precision))
    if file is not None:
        check_folder(file)
    planned = [] if file is None else [file, *(_card_file(file, card) for card in cards)]
    planned += [] if hub is None else [hub / name for name in HUB_FILES]
    _check_free(planned, overwrite)
    differs = None
    if file is not None:
        differs = _write(chosen, file, str(form), at, precision)
        for card in cards:
            _write_card(chosen, file, at, card)
    if hub is not None:
        _write_hub(chosen, hub)
    if as_json:
        print_json({"files": [str(each) for each in planned], "largest_difference": differs})
        return
    for each in planned:
        checked = (
            f" (differs from the network by at most {differs:.1e})" if each == file and differs is not None else ""
        )
        click.echo(f"{each}{checked}")


def _file_name(model: Model, form: str, scale: int | None, precision: str) -> str:
    assert model.design is not None
    several = f"_x{scale}" if scale is not None and len(model.design.scales) > 1 else ""
    half = "_fp16" if precision == "fp16" else ""
    return f"{model.name}{several}{half}{SUFFIXES[form]}"


def _write(model: Model, file: Path, form: str, scale: int | None, precision: str) -> float | None:
    """Writes the file. Returns its largest difference from the network, where it is checked."""
    from srsearch.architecture import save_model
    from srsearch.export.onnx_file import export_onnx
    from srsearch.export.torchscript import export_torchscript

    if form == "safetensors":
        assert model.design is not None
        save_model(file, model.design, model.network.state_dict(), model.facts)
        return None
    assert scale is not None
    if form == "torchscript":
        return export_torchscript(file, model, scale)
    half = precision == "fp16"
    return export_onnx(file, model, scale, "fp16" if half else "fp32", lambda line: click.echo(line, err=True))


def _write_card(model: Model, file: Path, scale: int | None, card: str) -> None:
    from srsearch.export.card import model_card
    from srsearch.export.openmodeldb import openmodeldb_entry
    from srsearch.files import write_whole

    if card == "readme":
        write_whole(_card_file(file, card), model_card(model, [file.name]))
    else:
        assert scale is not None
        entry = openmodeldb_entry(model, scale, [file])
        write_whole(_card_file(file, card), json.dumps(entry, indent=2) + "\n")


def _write_hub(model: Model, folder: Path) -> None:
    try:
        from srsearch.export.hub import export_hub
    except ImportError:
        raise InputError("--hub needs the package huggingface_hub: pip install 'srsearch[hub]'") from None
    export_hub(folder, model)


def _card_file(file: Path, card: str) -> Path:
    return file.with_name("README.md") if card == "readme" else file.with_suffix(".json")


def _check_free(files: list[Path], overwrite: bool) -> None:
    """Finds files that would be lost, before anything is written.

    Raises:
        InputError: A file exists.
    """
    existing = [str(file) for file in files if file.exists()]
    if existing and not overwrite:
        raise InputError(f"{', '.join(existing)}: exists; --overwrite replaces it")
