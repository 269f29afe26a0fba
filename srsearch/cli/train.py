"""`srsearch train` and `srsearch recipes`: training a design in full."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from srsearch.cli.designs import design_named
from srsearch.cli.models import checkpoints_option, model_named
from srsearch.cli.options import (
    FileType,
    FiniteType,
    WholeType,
    check_folder,
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
from srsearch.text import well_formed

if TYPE_CHECKING:
    from srsearch.architecture import Architecture, Network
    from srsearch.store.trainings import TrainingLog
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
@click.option(
    "--log",
    "event_log",
    type=click.Choice(["tensorboard"]),
    help="Write event files for TensorBoard to a folder beside the model file.",
)
@plugin_option
@storage_option
@checkpoints_option
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
    event_log: str | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Train DESIGN by a recipe, and write a model file.

    DESIGN is a published name, a design file, a model file, STUDY:TRIAL, or with --best a study. If the training is
    interrupted, the same command goes on from its checkpoint. `srsearch dashboard` shows how far it is.
    """
    from srsearch.architecture import build
    from srsearch.data.files import named
    from srsearch.evaluation.runtime import Runtime
    from srsearch.training import versions
    from srsearch.training.event_log import EventLog, check_installed
    from srsearch.training.full import bicubic_psnr
    from srsearch.training.full import train as train_fully
    from srsearch.training.processes import started_together
    from srsearch.training.recipe_files import read_recipe
    from srsearch.training.sets import read_sets

    if steps is not None and minutes is not None:
        raise click.UsageError("--steps and --minutes exclude each other.")
    if event_log is not None:
        check_installed()
    chosen = _chosen(design, take_best, scale, storage)
    settings = read_recipe(recipe)
    if steps is not None:
        settings = settings.with_steps(steps)
    scales = _scales(chosen.design, settings)
    file = out if out is not None else Path(f"{chosen.name}.safetensors")
    checkpoint = file.with_name(f"{file.stem}.checkpoint")
    _check_output(file, checkpoint, restart)
    runtime = Runtime.detect(device, threads)
    with _terminable(checkpoint), started_together(runtime.device) as processes, ExitStack() as open_watchers:
        if settings.batch < processes.count:
            raise InputError(f"a batch of {settings.batch} patches cannot be shared by {processes.count} processes")
        say = _say if processes.first else _quiet
        if restart and processes.first:
            checkpoint.unlink(missing_ok=True)
        processes.agreed(0, runtime.device)  # no process looks for the checkpoint before it is gone
        sets = read_sets(data, validation, scales, patch=settings.patch, warn=say)
        network = build(chosen.design, seed=seed)
        start = _start(source, network, storage, say)
        about = {
            "design": chosen.design.to_dict(),
            "recipe": settings.to_dict(),
            "data": sets.about,
            "seed": seed,
            "minutes": minutes,
            "from": source,
        }
        watchers = _Watchers()
        open_watchers.enter_context(_warnings(say))
        if processes.first:
            bicubic = functools.cache(lambda: bicubic_psnr(sets))
            watchers.all.append(open_watchers.enter_context(_display(settings.steps if minutes is None else None)))
            begin = functools.partial(_log, storage, chosen, recipe, about, settings, file, checkpoint.exists())
            watchers.all.append(open_watchers.enter_context(_Recorded(begin, bicubic)))
            if event_log is not None:
                folder = file.with_name(f"{file.stem}.tensorboard")
                events = EventLog(folder, network, sets, settings.runtime(runtime), bicubic)
                watchers.all.append(open_watchers.enter_context(contextlib.closing(events)))
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
            on_step=watchers.step,
            on_validation=watchers.validation,
        )
        if not processes.first:
            return
        skipped = [well_formed(each) for each in (*sets.skipped, *trained.skipped)]
        facts = {
            "source": f"srsearch train {chosen.name} --recipe {recipe}",
            "recipe": {"name": recipe, **settings.to_dict()},
            "data": {**sets.about, **({"skipped": skipped} if skipped else {})},
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
        _save(file, checkpoint, chosen.design, network, facts)
    if skipped:
        _say(f"left out {len(skipped)} images that cannot be used: {named(skipped)}")
    _print_end(file, trained, facts, as_json)


@dataclass(frozen=True)
class _Chosen:
    """What is trained.

    Attributes:
        name: A name for its files.
        design: The design.
        study: The study that it comes from; None: none.
        trial: Number of its trial there.
    """

    name: str
    design: Architecture
    study: str | None = None
    trial: int | None = None


def _chosen(design: str | None, take_best: bool, scale: int | None, storage: str | None) -> _Chosen:
    from srsearch.architecture import Architecture, catalogue, load_model
    from srsearch.architecture.model_file import holds_design
    from srsearch.quantity import parse_natural

    if take_best:
        with open_store(storage) as store:
            study = study_name(store, design)
            rows = best_rows(store, study, None, None)
            if rows.empty:
                raise InputError(f"study {study!r} has no finished design")
            number, key = int(rows.iloc[0]["trial"]), str(rows.iloc[0]["key"])
            return _Chosen(f"{study}-{number}", Architecture.from_dict(store.description(key)), study, number)
    if design is None:
        raise click.UsageError("Missing argument 'DESIGN'.")
    if Path(design).is_file() and holds_design(design):
        model = load_model(design)
        assert model.design is not None
        return _Chosen(f"{model.name}-trained", model.design)
    if scale is None and design in catalogue.names() and catalogue.published(design).multi_scale:
        found = catalogue.get(design)  # all heads
    else:
        found, _, _ = design_named(design, scale, False, storage)
    stem = re.sub(r"[^\w.-]+", "-", Path(design).stem if Path(design).suffix in (".yaml", ".yml") else design)
    name = f"{stem}_x{'x'.join(map(str, found.scales))}"
    of_study, colon, number_text = design.rpartition(":")
    if design in catalogue.names() or not colon or (trial := parse_natural(number_text)) is None:
        return _Chosen(name, found)
    return _Chosen(name, found, of_study, trial)


def _scales(design: Architecture, recipe: Recipe) -> tuple[int, ...]:
    if recipe.scales and len(design.scales) > 1:
        if missing := set(recipe.scales) - set(design.scales):
            raise InputError(f"the recipe trains at x{min(missing)}, and the design upscales by {list(design.scales)}")
        return recipe.scales
    return design.scales


def _check_output(file: Path, checkpoint: Path, restart: bool) -> None:
    check_folder(file)
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


def _log(
    storage: str | None,
    chosen: _Chosen,
    recipe: str,
    about: Mapping[str, Any],
    settings: Recipe,
    file: Path,
    continued: bool,
) -> TrainingLog:
    """Begin to write the training to the database."""
    from srsearch.store import TrainingRecord, content_hash
    from srsearch.store.trainings import TrainingLog

    record = TrainingRecord(
        name=chosen.name,
        key=chosen.design.key,
        description=about["design"],
        recipe={"name": recipe, **about["recipe"]},
        recipe_hash=content_hash(settings.identity()),
        data=about["data"],
        data_fingerprint=content_hash([about["data"][side]["digest"] for side in ("train", "validation")]),
        seed=about["seed"],
        file=str(file.absolute()),
        study=chosen.study,
        trial=chosen.trial,
        minutes=about["minutes"],
    )
    return TrainingLog(storage, record, continued=continued, warn=_say)


def _save(file: Path, checkpoint: Path, design: Architecture, network: Network, facts: dict[str, Any]) -> None:
    from srsearch.architecture import save_model

    try:
        save_model(file, design, network.state_dict(), facts)
    except OSError as error:
        raise WorkError(f"{file}: cannot be written: {error.strerror or error}; {checkpoint} is kept") from None
    except InputError as error:
        raise WorkError(f"the trained weights cannot be kept: {error}") from None
    checkpoint.unlink(missing_ok=True)


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


class _Recorded:
    """Writes the training to the database, from its first step on, and how it ended."""

    def __init__(self, begin: Callable[[], TrainingLog], bicubic: Callable[[], float]) -> None:
        self._begin, self._bicubic = begin, bicubic
        self._log: TrainingLog | None = None

    def step(self, moment: Moment) -> None:
        """Note a step."""
        self._log = self._log or self._begin()
        self._log.reached(moment.step, moment.done, moment.seconds)

    def validation(self, moment: Moment) -> None:
        """Note a validation."""
        from srsearch.store import TrainingPoint

        if self._log is not None and moment.psnr is not None:
            point = TrainingPoint(moment.step, moment.psnr, moment.loss, moment.seconds)
            self._log.validated(point, self._bicubic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from srsearch.training.processes import ProcessLost

        if error is None:
            (self._log or self._begin()).end("done")
        elif self._log is not None and isinstance(error, Exception) and not isinstance(error, ProcessLost):
            self._log.end("failed", str(error) or type(error).__name__)
        elif self._log is not None:
            self._log.end("interrupted")


class _Watchers:
    """Everything that follows the training."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def step(self, moment: Moment) -> None:
        """Tell of a step."""
        for each in self.all:
            each.step(moment)

    def validation(self, moment: Moment) -> None:
        """Tell of a validation."""
        for each in self.all:
            each.validation(moment)


class _Terminated(BaseException):
    """SIGTERM, which batch systems and ``torchrun`` end a process with."""


@contextmanager
def _terminable(checkpoint: Path) -> Iterator[None]:
    """While the context is open, SIGTERM ends the command in order, with a sentence and exit code 143."""

    def end(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _Terminated:
        way = f"goes on from {checkpoint}" if checkpoint.exists() else "begins again: there is no checkpoint yet"
        click.echo(f"srsearch: ended by SIGTERM; the same command {way}", err=True)
        sys.exit(128 + signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def _moment_text(moment: Moment, steps: int | None) -> str:
    total = "" if steps is None else f" of {steps}"
    quality = "" if moment.psnr is None else f", {moment.psnr:.2f} dB"
    loss = "" if moment.loss != moment.loss else f", loss {moment.loss:.4f}"
    return f"step {moment.step}{total}{loss}{quality}"


@contextmanager
def _display(steps: int | None) -> Iterator[_Display]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Display(None, steps)
        return
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[about]}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        yield _Display(progress, steps)


class _Said(logging.Handler):
    """Prints warnings of the training."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        self._say(record.getMessage())


@contextmanager
def _warnings(say: Callable[[str], None]) -> Iterator[None]:
    handler, logger = _Said(say), logging.getLogger("srsearch.training")
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
