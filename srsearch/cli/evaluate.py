"""`srsearch evaluate`: a network's PSNR and SSIM on test sets, beside the published figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from srsearch.cli.evaluation_tables import evaluation_csv, evaluation_records, print_evaluation
from srsearch.cli.models import as_option, checkpoints_option, model_named
from srsearch.cli.options import MOST, WholeType, device_option, json_option, plugin_option, storage_option
from srsearch.cli.printing import echo_above, print_json
from srsearch.errors import InputError, WorkError

if TYPE_CHECKING:
    from srsearch.architecture import Model
    from srsearch.cli.evaluation_tables import Evaluated
    from srsearch.data.layouts import Layout
    from srsearch.evaluation.metrics import Protocol
    from srsearch.evaluation.runtime import Runtime
    from srsearch.evaluation.scoring import SetScores


@click.command(short_help="Measure PSNR and SSIM of a network on test sets.")
@click.argument("model")
@click.argument("more", nargs=-1, metavar="[DIR]...")
@click.option("--data", "folders", multiple=True, metavar="DIR", help="Folder of a test set; several may follow.")
@click.option(
    "--scale",
    "scales",
    type=WholeType(1, 16),
    multiple=True,
    metavar="N",
    help="Upscaling factor; may be repeated [default: those of the network for which the folder has LR images].",
)
@click.option(
    "--protocol",
    "protocols",
    type=click.Choice(["common", "pcarn", "matlab"]),
    multiple=True,
    help="How images are quantised; may be repeated [default: common and pcarn].",
)
@click.option("--self-ensemble", is_flag=True, help="Mean over eight flips and rotations, at eight times the cost.")
@click.option(
    "--tile", type=WholeType(16, MOST), metavar="N", help="Upscale in tiles of N LR pixels [default: if needed]."
)
@as_option
@device_option
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@plugin_option
@storage_option
@checkpoints_option
@json_option
def evaluate(
    model: str,
    more: tuple[str, ...],
    folders: tuple[str, ...],
    scales: tuple[int, ...],
    protocols: tuple[str, ...],
    self_ensemble: bool,
    tile: int | None,
    as_network: str | None,
    device: str,
    as_csv: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Measure PSNR and SSIM of MODEL on test sets, with bicubic upscaling and published figures beside them.

    MODEL is a model file, an official file of weights (say which network with --as if it is not recognised),
    STUDY:TRIAL, or `bicubic`.
    """
    import dataclasses

    from srsearch.data.layouts import benchmarks_in, recognise
    from srsearch.evaluation.metrics import protocol_named
    from srsearch.evaluation.runtime import Runtime

    given = (*folders, *more)
    if not given:
        raise click.UsageError("Missing option '--data'; `srsearch data` lists test sets and how to get them.")
    chosen = tuple(protocol_named(name) for name in dict.fromkeys(protocols or ("common", "pcarn")))
    measured = model_named(model, storage=storage, as_network=as_network, scale=None)
    where = [str(each) for folder in given for each in benchmarks_in(folder, _say) or (folder,)]
    layouts = [recognise(folder, scale, _say) for folder in where for scale in _scales(measured, folder, scales)]
    runtime = dataclasses.replace(Runtime.detect(device), precision="fp32")
    results = [_measured(measured, layout, chosen, runtime, self_ensemble, tile) for layout in layouts]
    if as_json:
        print_json(evaluation_records(measured, results, self_ensemble))
    elif as_csv:
        click.echo(evaluation_csv(measured, results), nl=False)
    else:
        print_evaluation(measured, results, self_ensemble)


def _scales(model: Model, folder: str, asked: tuple[int, ...]) -> tuple[int, ...]:
    """The scales at which a folder is evaluated."""
    from srsearch.data.layouts import scales_of

    own = None if model.design is None else model.design.scales
    if asked:
        if own is not None and (wrong := [each for each in asked if each not in own]):
            raise InputError(f"{model.name} does not upscale by {wrong[0]}; its scales: {', '.join(map(str, own))}")
        return tuple(dict.fromkeys(asked))
    there = scales_of(folder)
    if own is None:
        if not there:
            raise InputError(f"{folder} has no LR images that say a scale: give --scale")
        return there
    return tuple(each for each in own if each in there) or own


def _say(message: str) -> None:
    click.echo(f"srsearch: {message}", err=True)


def _measured(
    model: Model, layout: Layout, protocols: tuple[Protocol, ...], runtime: Runtime, ensemble: bool, tile: int | None
) -> Evaluated:
    """The scores on one set, with progress on standard error."""
    from srsearch.cli.evaluation_tables import Evaluated
    from srsearch.evaluation.published import BICUBIC, published_name, published_scores

    for remark in layout.remarks:
        _say(f"{layout.folder}: {remark}")
    scores = _scored(model, layout, protocols, runtime, ensemble, tile)
    name = BICUBIC if model.design is None else published_name(model.design)
    published = (
        () if name is None or layout.benchmark is None else published_scores(name, layout.scale, layout.benchmark)
    )
    return Evaluated(layout, scores, published)


def _scored(
    model: Model, layout: Layout, protocols: tuple[Protocol, ...], runtime: Runtime, ensemble: bool, tile: int | None
) -> SetScores:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from srsearch.evaluation.scoring import score

    network = None if model.design is None else runtime.placed(model.network)
    title = f"{layout.benchmark or layout.folder.name} x{layout.scale}"
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=len(layout.pairs))

        def advance(scores: Any) -> None:
            progress.advance(task)

        def say(message: str) -> None:
            echo_above(progress, f"srsearch: {message}", err=True)

        try:
            return score(
                network,
                layout.read(say),
                layout.scale,
                runtime=runtime,
                protocols=protocols,
                ensemble=ensemble,
                tile=tile,
                warn=say,
                done=advance,
            )
        except FloatingPointError as error:
            raise WorkError(f"{title}: {error}") from None
        except MemoryError as error:
            raise WorkError(f"{title}: {error}") from None
        except ValueError as error:
            if "no images" not in str(error):
                raise
            raise InputError(f"{layout.folder}: no image can be used") from None
