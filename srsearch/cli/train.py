"""`srsearch train` and `srsearch recipes`: training a design in full."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srsearch.cli.designs import design_named
from srsearch.cli.models import model_named
from srsearch.cli.options import (
    FileType,
    FiniteType,
    WholeType,
    device_option,
    json_option,
    open_store,
    plugin_option,
    storage_option,
    study_name,
)
from srsearch.cli.printing import print_json, print_table
from srsearch.cli.results import best_rows
from srsearch.errors import InputError, WorkError

if TYPE_CHECKING:
    from srsearch.architecture import Architecture, Network
    from srsearch.training import Recipe
    from srsearch.training.full import Moment, Trained


@click.command(short_help="List the training recipes, or print one.")
@click.argument("recipe", required=False)
@json_option
def recipes(recipe: str | None, as_json: bool) -> None:
    """List the training recipes that come with srsearch, or print RECIPE (a name or a file), checked."""
    from rich import box
    from rich.table import Table

    from srsearch.training.recipe_files import find_recipe, read_recipe, shipped_recipes

    if recipe is not None:
        checked = read_recipe(recipe)
        if as_json:
            print_json(checked.to_dict())
        else:
            click.echo(find_recipe(recipe).read_text(encoding="utf-8"), nl=False)
        return
    shipped = shipped_recipes()
    if as_json:
        print_json({name: {"about": about, **read_recipe(name).to_dict()} for name, about in shipped.items()})
        return
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for name, about in shipped.items():
        table.add_row(name, about)
    print_table(table)


@click.command(short_help="Train a design in full.")
@click.argument("design", required=False)
@click.option(
    "--best", "take_best", is_flag=True, help="DESIGN is a study [default: the newest]: train its best design."
)
@click.option("--scale", type=WholeType(2, 16), help="Upscaling factor of a published network [default: all of them].")
@click.option(
    "--recipe",
    default="fast",
    show_default=True,
    metavar="R",
    help="Recipe: a name (see `srsearch recipes`) or a file.",
)
@click.option("--data", required=True, metavar="DIR", help="Folder of training images, or `builtin`.")
@click.option("--validation", metavar="DIR", help="Folder to validate on [default: some of the training images].")
@click.option("--from", "source", metavar="MODEL", help="Begin with the weights of this model, as far as they fit.")
@click.option("--steps", type=WholeType(1, 10**8), metavar="N", help="Number of steps [default: the recipe's].")
@click.option(
    "--minutes", type=FiniteType(min=0, min_open=True), metavar="N", help="Train for this long instead of by steps."
)
@click.option("--seed", type=WholeType(0, 2**31 - 1), default=0, show_default=True, help="Seed of weights and patches.")
@device_option
@click.option("--threads", type=WholeType(1, 1024), help="CPU threads [default: the cores].")
@click.option("--out", type=FileType(), metavar="FILE", help="The model file [default: named after the design].")
@click.option("--restart", is_flag=True, help="Begin from the first step, and replace the model file if there is one.")
@plugin_option
@storage_option
@json_option
def train(
    design: str | None,
    take_best: bool,
    scale: int | None,
    recipe: str,
    data: str,
    validation: str | None,
    source: str | None,
    steps: int | None,
    minutes: float | None,
    seed: int,
    device: str,
    threads: int | None,
    out: Path | None,
    restart: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Train DESIGN by a recipe, and write a model file.

    DESIGN is a published name, a design file, a model file, STUDY:TRIAL, or with --best a study. If the training is
    interrupted, the same command goes on from its checkpoint.
    """
    from srsearch.architecture import build, save_model
    from srsearch.evaluation.runtime import Runtime
    from srsearch.training import versions
    from srsearch.training.full import train as train_fully
    from srsearch.training.processes import started_together
    from srsearch.training.recipe_files import read_recipe
    from srsearch.training.sets import read_sets

    if steps is not None and minutes is not None:
        raise click.UsageError("--steps and --minutes exclude each other.")
    name, architecture = _design(design, take_best, scale, storage)
    settings = read_recipe(recipe)
    if steps is not None:
        settings = settings.with_steps(steps)
    scales = _scales(architecture, settings)
    file = out if out is not None else Path(f"{name}.safetensors")
    checkpoint = file.with_name(f"{file.stem}.checkpoint")
    _check_output(file, checkpoint, restart)
    runtime = Runtime.detect(device, threads)
    with started_together(runtime.device) as processes:
        if settings.batch < processes.count:
            raise InputError(f"a batch of {settings.batch} patches cannot be shared by {processes.count} processes")
        say = _say if processes.first else _quiet
        if restart and processes.first:
            checkpoint.unlink(missing_ok=True)
        processes.agreed(0, runtime.device)  # no process looks for the checkpoint before it is gone
        sets = read_sets(data, validation, scales, patch=settings.patch, warn=say)
        network = build(architecture, seed=seed)
        start = _start(source, network, storage, say)
        about = {
            "design": architecture.to_dict(),
            "recipe": settings.to_dict(),
            "data": sets.about,
            "seed": seed,
            "minutes": minutes,
            "from": source,
        }
        with _warnings(), _display(processes.first, settings.steps if minutes is None else None) as display:
            trained = train_fully(
                network,
                sets,
                settings,
                runtime,
                seed,
                checkpoint=checkpoint,
                about=about,
                minutes=minutes,
                start=start,
                processes=processes,
                on_step=display.step,
                on_validation=display.validation,
            )
        if not processes.first:
            return
    facts = {
        "source": f"srsearch train {name} --recipe {recipe}",
        "recipe": {"name": recipe, **settings.to_dict()},
        "data": sets.about,
        "results": _results(trained, validation or "validation", sets.about["validation"]["images"]),
        "steps": trained.steps,
        "seconds": round(trained.seconds, 1),
        "minutes": minutes,
        "seed": seed,
        "from": source,
        "processes": processes.count,
        "runtime": settings.runtime(runtime).to_dict(),
        "curve": [list(point) for point in trained.curve],
        "versions": versions(),
    }
    try:
        save_model(file, architecture, network.state_dict(), facts)
    except OSError as error:
        raise WorkError(f"{file}: cannot be written: {error.strerror or error}; {checkpoint} is kept") from None
    except InputError as error:
        raise WorkError(f"the trained weights cannot be kept: {error}") from None
    checkpoint.unlink(missing_ok=True)
    _print_end(file, trained, facts, as_json)


def _design(design: str | None, take_best: bool, scale: int | None, storage: str | None) -> tuple[str, Architecture]:
    """The design and a name for its files."""
    from srsearch.architecture import Architecture, catalogue, load_model
    from srsearch.architecture.model_file import holds_design

    if take_best:
        with open_store(storage) as store:
            study = study_name(store, design)
            rows = best_rows(store, study, None, None)
            if rows.empty:
                raise InputError(f"study {study!r} has no finished design")
            number, key = int(rows.iloc[0]["trial"]), str(rows.iloc[0]["key"])
            return f"{study}-{number}", Architecture.from_dict(store.description(key))
    if design is None:
        raise click.UsageError("Missing argument 'DESIGN'.")
    if Path(design).is_file() and holds_design(design):
        model = load_model(design)
        assert model.design is not None
        return f"{model.name}-trained", model.design
    if scale is None and design in catalogue.names() and catalogue.published(design).multi_scale:
        named = catalogue.get(design)  # all heads
    else:
        named, _, _ = design_named(design, scale, False, storage)
    stem = re.sub(r"[^\w.-]+", "-", Path(design).stem if Path(design).suffix in (".yaml", ".yml") else design)
    return f"{stem}_x{'x'.join(map(str, named.scales))}", named


def _scales(design: Architecture, recipe: Recipe) -> tuple[int, ...]:
    if recipe.scales and len(design.scales) > 1:
        if missing := set(recipe.scales) - set(design.scales):
            raise InputError(f"the recipe trains at x{min(missing)}, and the design upscales by {list(design.scales)}")
        return recipe.scales
    return design.scales


def _check_output(file: Path, checkpoint: Path, restart: bool) -> None:
    if not file.resolve().parent.is_dir():
        raise InputError(f"{file}: there is no folder {str(file.parent)!r}")
    if file.exists() and not checkpoint.exists() and not restart:
        raise InputError(f"{file} exists: its training is finished. Give another --out, or --restart to replace it")


def _start(source: str | None, network: Network, storage: str | None, say: Any) -> dict[str, Any] | None:
    """The tensors of the model to begin with; says which of the network's are not among them."""
    from srsearch.training.full import fitting

    if source is None:
        return None
    tensors = dict(model_named(source, storage=storage).network.state_dict())
    fits, misfits = fitting(network, tensors)
    if not fits:
        raise InputError(f"--from {source}: none of its tensors fits this design")
    say(f"took over {len(fits)} of {len(fits) + len(misfits)} tensors from {source}")
    if misfits:
        say(f"not taken over, and trained from their first values: {', '.join(misfits)}")
    return {key: tensors[key] for key in fits}


def _results(trained: Trained, name: str, images: int) -> list[dict[str, Any]]:
    return [
        {
            "set": Path(name).name or name,
            "scale": scale,
            "protocol": "common",
            "psnr": each.psnr,
            "ssim": each.ssim,
            "images": images,
        }
        for scale, each in trained.quality.items()
    ]


def _print_end(file: Path, trained: Trained, facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        told = {name: facts[name] for name in ("results", "steps", "seconds", "seed", "curve")}
        print_json({"model": str(file), **told})
        return
    for row in facts["results"]:
        click.echo(f"{row['set']} x{row['scale']}: {row['psnr']:.2f} dB, SSIM {row['ssim']:.4f}")
    click.echo(f"Saved as {file} after {trained.steps} steps, {trained.seconds / 60:.1f} minutes.")
    click.echo(f"Measure it on a test set: srsearch evaluate {shlex.quote(str(file))} --data DIR")


class _Display:
    """Progress on standard error: a bar on a terminal, else a line at each validation."""

    def __init__(self, progress: Any, steps: int | None) -> None:
        self._progress, self._steps = progress, steps
        self._task = None if progress is None else progress.add_task("training", total=1.0, about="")

    def step(self, moment: Moment) -> None:
        """Show a step."""
        if self._progress is not None:
            self._progress.update(self._task, completed=moment.done, about=_moment_text(moment, self._steps))

    def validation(self, moment: Moment) -> None:
        """Show a validation."""
        if self._progress is None:
            _say(_moment_text(moment, self._steps))


class _Silent(_Display):
    """Shows nothing: another process prints."""

    def __init__(self) -> None:
        super().__init__(None, None)

    def validation(self, moment: Moment) -> None:
        """Show nothing."""


def _moment_text(moment: Moment, steps: int | None) -> str:
    total = "" if steps is None else f" of {steps}"
    quality = "" if moment.psnr is None else f", {moment.psnr:.2f} dB"
    loss = "" if moment.loss != moment.loss else f", loss {moment.loss:.4f}"
    return f"step {moment.step}{total}{loss}{quality}"


@contextmanager
def _display(first: bool, steps: int | None) -> Iterator[_Display]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not first or not console.is_terminal:
        yield _Display(None, steps) if first else _Silent()
        return
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[about]}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        yield _Display(progress, steps)


class _Said(logging.Handler):
    """Prints warnings of the training on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        _say(record.getMessage())


@contextmanager
def _warnings() -> Iterator[None]:
    handler, logger = _Said(logging.WARNING), logging.getLogger("srsearch.training")
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _say(message: str) -> None:
    click.echo(message, err=True)


def _quiet(message: str) -> None:
    """Print nothing: another process prints."""
