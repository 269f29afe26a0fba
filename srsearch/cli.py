"""The ``srsearch`` command: parses, calls, prints. Imports what a command needs when it runs.

Results go to standard output, all else to standard error. Exit codes: 0 done, 1 failed while working, 2 wrong input,
130 interrupted.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from srsearch import __version__, output
from srsearch.errors import InputError, WorkError

if TYPE_CHECKING:
    import pandas as pd

    from srsearch.analysis import Noise
    from srsearch.architecture import Architecture
    from srsearch.space import Space
    from srsearch.store import Store


_USUAL_SIZE = "1280x720"


class _Quantity(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions of click
    """A count with an optional suffix: 40G, 800K."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from srsearch.quantity import parse_quantity

        try:
            return parse_quantity(value)
        except InputError as error:
            self.fail(str(error), param, ctx)


class _Commands(click.Group):
    """Turns our errors into messages and exit codes, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (InputError, WorkError) as error:
            click.echo(f"srsearch: {error}", err=True)
            sys.exit(2 if isinstance(error, InputError) else 1)
        except KeyboardInterrupt:
            click.echo("srsearch: interrupted", err=True)
            sys.exit(130)
        except BrokenPipeError:
            # The reader of a pipe, such as `head`, has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except OSError as error:
            click.echo(f"srsearch: {error.filename or ''}: {error.strerror or error}", err=True)
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of a user's way, not of the alphabet


_Command = TypeVar("_Command", bound=Callable[..., Any])


def _options(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    return lambda command: functools.reduce(lambda inner, option: option(inner), reversed(options), command)


def _load_plugin(ctx: click.Context, param: click.Parameter, paths: tuple[Path, ...]) -> None:
    if paths:
        from srsearch.architecture import load_plugin

        for path in paths:
            load_plugin(path)


_plugin = click.option(
    "--plugin",
    type=click.Path(path_type=Path),
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_load_plugin,
    metavar="FILE",
    help="Python file that registers parts of your own; may be given again.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
_storage = click.option(
    "--storage", metavar="URL", help="SQLAlchemy URL or SQLite file [default: studies/srsearch.db]."
)
_study = click.argument("study", required=False)
_budget = _options(
    click.option("--max-mult-adds", type=_Quantity(), metavar="N", help="At most N Mult-Adds per image, such as 30G."),
    click.option("--max-params", type=_Quantity(), metavar="N", help="At most N parameters, such as 500K."),
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="srsearch")
def main() -> None:
    """Find the best super-resolution network under a compute budget.

    Start with `srsearch run lightweight_x4`.
    """


@main.command(short_help="Search a space.")
@click.argument("space")
@_budget
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help="Finished evaluations in the whole study, without known ones [default: the space's].",
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Start no new design after this time.")
@click.option("--sampler", help="frontier, tpe, nsga2, nsga3, random, qmc, gp or cmaes [default: the space's].")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="Worker processes [default: the space's, else measured when the study is created].",
)
@click.option(
    "--data", metavar="DIR", help="Folder of training images [default: the space's, photos that come with srsearch]."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), help="Seed of the search and the training [default: the space's]."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--evaluator", metavar="NAME", help="proxy, synthetic, or module:Class of your own [default: the space's]."
)
@click.option(
    "--start-with",
    type=click.Choice(["none", "catalogue"]),
    help="Evaluate the published networks inside the space first [default: the space's].",
)
@click.option(
    "--inform",
    metavar="STUDY",
    help="Another study of the database, whose results inform the sampler frontier [default: the space's].",
)
@click.option(
    "--early-stopping/--no-early-stopping",
    default=None,
    help="Set designs aside that promise little for their cost [default: the space's].",
)
@click.option(
    "--replicates",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="At the end, train the front's designs with other seeds until each has N evaluations.",
)
@click.option("--until-converged", is_flag=True, help="End before --trials, once the front rises less than its noise.")
@click.option(
    "--backend",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Processes of this machine, or Ray Tune.",
)
@click.option("--address", metavar="HOST:PORT", help="A running Ray cluster [default: Ray is started here].")
@click.option(
    "--cpus-per-trial", type=click.FloatRange(min=0), default=1.0, show_default=True, help="Of a Ray cluster."
)
@click.option(
    "--gpus-per-trial",
    type=click.FloatRange(min=0),
    help="Of a Ray cluster; 0.5 shares a GPU [default: 1 where the study computes on GPUs].",
)
@click.option(
    "--checkpoints",
    metavar="PLACE",
    help="Folder or URL (s3://...) where other machines find what trials need to go on [default: beside the database].",
)
@click.option("--new", is_flag=True, help="Start another study instead of continuing one.")
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the page [default: dashboards/STUDY.html].",
)
@click.option("--plan", is_flag=True, help="Only say what the study will take, from a measurement of a minute.")
@click.option("--gpus", type=click.IntRange(min=1), metavar="N", help="With --plan: GPUs that train at the same time.")
@click.option("--quiet", is_flag=True, help="No progress.")
@_plugin
@_storage
@_json
def run(
    space: str,
    max_mult_adds: int | None,
    max_params: int | None,
    evaluator: str | None,
    page: Path | None,
    quiet: bool,
    storage: str | None,
    as_json: bool,
    plan: bool,
    gpus: int | None,
    **options: Any,
) -> None:
    """Search SPACE: a YAML file, or the name of a space that comes with srsearch.

    Designs are trained briefly on photos until the study has its number of trials; the front of the best is printed and
    written as a page. The same command continues a study that was interrupted, or with a larger --trials extends it.
    """
    from srsearch import search
    from srsearch.search.progress import make_progress
    from srsearch.space import Space

    opened = Space.from_yaml(space).with_budget(max_mult_adds=max_mult_adds, max_params=max_params)
    if evaluator is not None:
        opened = opened.with_settings(proxy={"evaluator": evaluator})
    if gpus is not None and not plan:
        raise click.UsageError("--gpus belongs to --plan; a Ray cluster is told --gpus-per-trial.")
    if plan:
        _print_plan(opened, gpus, options, quiet=quiet, as_json=as_json)
        return
    result = search.run(opened, store=storage, progress=make_progress(quiet), **options)
    with _open_store(storage) as store:
        best = _best_rows(store, result.study, None, None)
        frame, noise = _front(store, result.study)
        written, trouble = None, None
        try:
            written = _write_page(store, result.study, page)
        except (InputError, WorkError) as error:
            trouble = error  # after the results have been printed
        if as_json:
            output.print_json(
                {
                    "study": result.study,
                    "storage": store.where,
                    "page": None if written is None else str(written),
                    "done": result.done,
                    "exhausted": result.exhausted,
                    "interrupted": result.interrupted,
                    "front": output.records(frame),
                    "best": output.records(best),
                }
            )
        else:
            evaluator = store.study(result.study).recipe["evaluator"]
            output.print_outcome(result, frame, noise, best, evaluator, store.where, written, storage)
    if trouble is not None:
        raise trouble
    if result.interrupted:
        sys.exit(130)


@main.command(short_help="What a space holds, before any training.")
@click.argument("space", required=False)
@_budget
@click.option("--parts", is_flag=True, help="List every part with its options.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of space files, for editors.")
@_plugin
@_json
def space(
    space: str | None,
    max_mult_adds: int | None,
    max_params: int | None,
    parts: bool,
    schema: bool,
    as_json: bool,
) -> None:
    """Show what SPACE holds, before any training; without SPACE, the spaces that come with srsearch."""
    from srsearch import space as spaces

    if schema:
        output.print_json(spaces.json_schema())
    elif parts:
        records = output.part_records()
        output.print_json(records) if as_json else output.print_parts(records)
    elif space is None:
        shipped = {name: spaces.Space.from_yaml(name).about for name in spaces.shipped_spaces()}
        output.print_json(shipped) if as_json else output.print_spaces(shipped)
    else:
        opened = spaces.Space.from_yaml(space).with_budget(max_mult_adds=max_mult_adds, max_params=max_params)
        report = opened.report()
        if as_json:
            axes = [{"name": a.name, "values": list(a.values), "under": a.condition} for a in opened.axes]
            output.print_json(
                {"name": opened.name, "scale": opened.scale, "budget": opened.budget, "axes": axes, **report.to_dict()}
            )
        else:
            output.print_space(opened, report)


@main.command(short_help="Parameters and Mult-Adds of a design.")
@click.argument("design", required=False)
@click.option("--scale", type=int, help="Upscaling factor, for a published name or a multi-scale design.")
@click.option("--multi-scale", is_flag=True, help="For a published name: with the upsamplers for x2, x3 and x4.")
@click.option("--convention", default="ours", show_default=True, help="How to count: ours, or another's way.")
@click.option(
    "--at", metavar="WxH", help="Size of the HR image [default: the convention's; of STUDY:TRIAL the study's]."
)
@click.option("--verify", is_flag=True, help="Build the network too, and compare with fvcore's count of it.")
@click.option("--conventions", is_flag=True, help="List the conventions.")
@_plugin
@_storage
@_json
def count(
    design: str | None,
    scale: int | None,
    multi_scale: bool,
    convention: str,
    at: str | None,
    verify: bool,
    conventions: bool,
    storage: str | None,
    as_json: bool,
) -> None:
    """Parameters and Mult-Adds of DESIGN: a published name, a design file, or STUDY:TRIAL."""
    import dataclasses

    from srsearch import cost as costs
    from srsearch.quantity import parse_output_size

    if conventions:
        found = [costs.convention(name) for name in costs.convention_names()]
        if as_json:
            output.print_json([{"name": c.name, "image": output.image_text(c), "about": c.about} for c in found])
        else:
            output.print_conventions(found)
        return
    if design is None:
        raise click.UsageError("Missing argument 'DESIGN'.")
    way = costs.convention(convention)
    described, at_scale, usual = _design(design, scale, multi_scale, storage)
    # A study's image, unless the convention fixes the LR image.
    size = at or (usual if way.lr is None else None)
    if size is not None:
        way = way.at(parse_output_size(size))
    counted = costs.count(described, scale=at_scale, convention=way)
    checked = []
    if verify:
        from srsearch.cost.verify import verify as verified

        checked = [verified(described, each, way) for each in described.scales]
    if as_json:
        width, height = way.output if way.lr is None else (side * counted.scale for side in way.lr)
        output.print_json(
            {
                "key": described.key,
                "scale": counted.scale,
                "convention": convention,
                "output": f"{width}x{height}",
                "params": counted.params,
                "mult_adds": counted.mult_adds,
                "activations": counted.activations,
                "parts": [dataclasses.asdict(line) for line in counted.lines],
                **({"verified": [each.record() for each in checked]} if verify else {}),
            }
        )
    else:
        output.print_cost(design, counted)
        for each in checked:
            if each.agrees:
                click.echo(str(each))
    wrong = [str(each) for each in checked if not each.agrees]
    if wrong:
        raise WorkError("; ".join(wrong))


@main.command(short_help="The published networks: printed figures and ours.")
@click.option("--paper", metavar="NAME", help="Of this paper only: pcarn, csrcnn, efficiency, s-lwsr or prosrn.")
@click.option("--convention", metavar="NAME", help="Count our own figures this way [default: ours].")
@click.option("--names", is_flag=True, help="Only the names of the networks, one in a line.")
@_json
def catalogue(paper: str | None, convention: str | None, names: bool, as_json: bool) -> None:
    """The networks of five papers, rebuilt: their printed costs beside ours, and their printed quality.

    A network is rebuilt under the convention that its paper counts under, and counted our way too. Others that the
    papers compare with are not rebuilt.
    """
    from srsearch import cost as costs
    from srsearch.architecture import catalogue as networks
    from srsearch.cost import reproduction

    papers = reproduction.PAPERS if paper is None else (reproduction.of_paper(paper),)
    counted = costs.convention("ours" if convention is None else convention)
    if names:
        found = [each for name in networks.names() if (each := networks.published(name)).paper in papers]
        if as_json:
            about = ("name", "paper", "scales", "multi_scale", "printed", "about")
            output.print_json([{field: getattr(each, field) for field in about} for each in found])
        else:
            output.print_published(found)
        return
    rows = [row for row in reproduction.reproductions() if row.printed.paper in papers]
    if as_json:
        output.print_json([row.record(None if convention is None else counted) for row in rows])
    else:
        output.print_catalogue(papers, rows, reproduction.unpriced(), counted)


@main.command(short_help="Every trial of a study.")
@_study
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@_storage
@_json
def trials(study: str | None, as_csv: bool, storage: str | None, as_json: bool) -> None:
    """Every trial of STUDY (by default the newest study), with its state and why it has it."""
    with _open_store(storage) as store:
        name = _study_name(store, study)
        frame = store.trials(name)
        begun = frame["state"].isin(("running", "stopped"))
        records = store.trial_records(name) if begun.any() and not (as_json or as_csv) else []
    if as_json:
        output.print_json(output.records(frame))
    elif as_csv:
        click.echo(frame.to_csv(index=False), nl=False)
    else:
        output.print_trials(frame, {r.number: r.curve[-1] for r in records if r.curve and begun[r.number]})


@main.command(short_help="The Pareto front of a study.")
@_study
@_storage
@_json
def front(study: str | None, storage: str | None, as_json: bool) -> None:
    """The Pareto front of STUDY (by default the newest study), with error bars.

    They are what another seed would change: from designs trained with several seeds, else as a model estimates it.
    """
    with _open_store(storage) as store:
        frame, noise = _front(store, _study_name(store, study))
    if as_json:
        output.print_json(output.records(frame))
    else:
        output.print_front(frame, noise)


@main.command(short_help="The best design within limits, as a file and as Python.")
@_study
@_budget
@click.option("--trial", type=click.IntRange(min=0), metavar="N", help="This finished trial instead of the best.")
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write the design as a YAML file."
)
@_storage
@_json
def best(
    study: str | None,
    max_mult_adds: int | None,
    max_params: int | None,
    trial: int | None,
    save: Path | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """The design of STUDY (by default the newest study) with the highest PSNR within the limits; or any by --trial.

    Designs that cannot be told from the best one, because another seed may change as much, are listed beside it.
    """
    from srsearch.analysis import quality_of, retraining_noise, tied_with_best

    with _open_store(storage) as store:
        name = _study_name(store, study)
        about = store.study(name)
        at = about.space["constraints"]["mult_adds"].get("at", _USUAL_SIZE)
        quality = quality_of(about.objectives)
        frame = store.trials(name)
        noise = retraining_noise(frame, quality)
        if trial is None:
            found = tied_with_best(frame, noise, max_mult_adds, max_params, quality=quality)
        else:
            found = frame.query("trial == @trial and state == 'complete'").assign(best=True)
        if found.empty:
            raise InputError(
                f"study {name!r} has no finished design within these limits; `srsearch front {name}` lists what it has"
            )
        found = _with_errors(found, noise, quality)
        found.attrs = {**frame.attrs, "objectives": list(about.objectives)}
        number = int(found.loc[found["best"], "trial"].iloc[0])
        record = next(trial for trial in store.trial_records(name) if trial.number == number)
    if save is not None:
        output.save_design(save, record.description, f"Trial {number} of study {name}, key {record.key}.")
    if as_json:
        output.print_json(output.best_records(found, noise))
        return
    output.print_best(found, noise, name, storage)
    click.echo(f"\nIn Python:\n\n{output.python_lines(record.description)}")
    if save is not None:
        size = "" if at == _USUAL_SIZE else f" --at {at}"
        click.echo(f"\nSaved as {save}; see its cost with: srsearch count {save}{size}")


@main.command(short_help="Write a study as one HTML page.")
@_study
@click.option(
    "--output", "-o", "target", type=click.Path(path_type=Path), help="The file [default: dashboards/STUDY.html]."
)
@_storage
@_json
def report(study: str | None, target: Path | None, storage: str | None, as_json: bool) -> None:
    """Write STUDY (by default the newest study) as one HTML page that needs no network."""
    with _open_store(storage) as store:
        written = _write_page(store, _study_name(store, study), target)
    if as_json:
        output.print_json({"page": str(written)})
    else:
        click.echo(f"page: {written}")


@main.command(short_help="Live pages of the studies of a database.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need --token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8050, show_default=True, help="0 takes a free one.")
@click.option("--token", metavar="WORD", help="Asked of everybody who opens the pages.")
@_plugin
@_storage
def dashboard(host: str, port: int, token: str | None, storage: str | None) -> None:
    """Serve pages that follow the studies of a database, also while they run. Nothing is written to it.

    Only this machine can open them, unless --host says otherwise; then --token keeps others out.
    """
    from srsearch.dashboard.live.server import serve

    serve(storage, host, port, token, lambda text: click.echo(text, err=True))


@main.group(invoke_without_command=True, short_help="List, show, copy, rename, delete or export studies.")
@_storage
@_json
@click.pass_context
def studies(ctx: click.Context, storage: str | None, as_json: bool) -> None:
    """List the studies of a database; show, copy, rename, delete or export one."""
    ctx.obj = {"storage": storage, "as_json": as_json}  # `studies --storage URL show NAME` is as good as at the end
    if ctx.invoked_subcommand is None:
        with _open_store(storage) as store:
            frame, where = store.studies(), store.where
        if as_json:
            output.print_json(output.records(frame))
        else:
            output.print_studies(frame, where)


@studies.command()
@click.argument("study")
@_storage
@_json
def show(study: str, storage: str | None, as_json: bool) -> None:
    """What STUDY was made with: space, budget, recipe, data, seed."""
    import dataclasses

    with _open_store(storage) as store:
        plain = output.plain(dataclasses.asdict(store.study(study)) | {"storage": store.where})
    if as_json or _of_group("as_json"):
        output.print_json(plain)
    else:
        import yaml

        # The space as it was searched, with the options of the command line; not the text of its file.
        del plain["space_text"]
        click.echo(yaml.safe_dump(plain, sort_keys=False), nl=False)


@studies.command()
@click.argument("study")
@click.argument("new_name")
@_storage
def rename(study: str, new_name: str, storage: str | None) -> None:
    """Give STUDY another name."""
    with _open_store(storage, write=True, must_exist=True) as store:
        store.rename_study(study, new_name)
    click.echo(f"{study} is now {new_name}", err=True)


@studies.command()
@click.argument("study")
@click.argument("url")
@click.option("--name", help="Its name there [default: the same].")
@_storage
def copy(study: str, url: str, name: str | None, storage: str | None) -> None:
    """Copy STUDY with its trials and evaluations to the database at URL, which is made where there is none.

    Evaluations that are there already are not doubled: copying brings databases together.
    """
    from srsearch.store import Store

    with _open_store(storage) as store, Store(url) as target:
        if store.where == target.where and (name or study) == study:
            raise InputError(f"{study!r} is in {store.where} already; give it another --name")
        number = store.copy_study(study, target, name=name)
        click.echo(f"{name or study} with {number} trials is in {target.where}", err=True)


@studies.command()
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--checkpoints", metavar="PLACE", help="As it was given to `srsearch run`.")
@_storage
def delete(study: str, yes: bool, checkpoints: str | None, storage: str | None) -> None:
    """Delete STUDY with its trials and checkpoints; evaluations stay, and are used again by other studies."""
    from srsearch.search.checkpoints import Checkpoints

    with _open_store(storage, write=True, must_exist=True) as store:
        count_of = len(store.trial_records(study))
        if not yes:
            click.confirm(f"Delete {study!r} with {count_of} trials from {store.where}?", abort=True, err=True)
        record = store.study(study)
        store.delete_study(study)
        Checkpoints(store, record, checkpoints).remove()
    click.echo(f"{study} is deleted", err=True)


@studies.command("export-optuna")
@click.argument("study")
@click.argument("url")
@click.option("--name", help="Its name there [default: the study's].")
@_storage
def export_optuna(study: str, url: str, name: str | None, storage: str | None) -> None:
    """Write STUDY as an Optuna study to URL, for `optuna-dashboard URL` and Optuna's own tools."""
    from srsearch.space import Space

    with _open_store(storage) as store:
        axes = Space.from_dict(store.study(study).space).axes
        store.export_optuna(study, url, name=name, choices={axis.name: axis.values for axis in axes})
    shown = output.without_password(url if "://" in url else f"sqlite:///{url}")
    click.echo(f"{name or study} is in {shown}; look at it with: optuna-dashboard {shown}", err=True)


def _open_store(storage: str | None, *, write: bool = False, must_exist: bool = False) -> Store:
    from srsearch.store import Store

    storage = storage or _of_group("storage")
    if must_exist:
        Store(storage, read_only=True).close()
    return Store(storage, read_only=not write)


def _of_group(option: str) -> Any:
    """An option that was written before the subcommand."""
    return (click.get_current_context().obj or {}).get(option)


def _study_name(store: Store, study: str | None) -> str:
    """The study that is meant: the named one, else the newest."""
    if study is not None:
        store.study(study)  # unknown: says what there is
        return study
    names = store.study_names()
    if not names:
        raise InputError(f"there is no study in {store.where}; `srsearch run lightweight_x4` makes one")
    return max(names, key=lambda name: store.study(name).created_at)


def _best_rows(store: Store, study: str, max_mult_adds: int | None, max_params: int | None) -> pd.DataFrame:
    """The best design as a frame of one row, or of none."""
    from srsearch.analysis import best as best_row
    from srsearch.analysis import quality_of

    frame = store.trials(study)
    quality = quality_of(store.study(study).objectives)
    row = best_row(frame, max_mult_adds=max_mult_adds, max_params=max_params, quality=quality)
    found = frame.head(0) if row is None else frame[frame["trial"] == row["trial"]]
    found.attrs = frame.attrs
    return found


def _front(store: Store, study: str) -> tuple[pd.DataFrame, Noise | None]:
    """The front with error bars, and the noise that they come from."""
    from srsearch.analysis import quality_of, retraining_noise

    quality = quality_of(store.study(study).objectives)
    noise = retraining_noise(store.trials(study), quality)
    return _with_errors(store.front(study), noise, quality), noise


def _with_errors(frame: pd.DataFrame, noise: Noise | None, quality: str) -> pd.DataFrame:
    """The frame with the standard error of the quality, ``psnr_error`` or ``ssim_error``."""
    from srsearch.analysis import standard_errors

    return frame.assign(**{f"{quality}_error": standard_errors(frame, noise)})


def _design(
    design: str, scale: int | None, multi_scale: bool, storage: str | None
) -> tuple[Architecture, int | None, str | None]:
    """What DESIGN names, the scale to count it at, and the size of its study's output."""
    from srsearch.architecture import Architecture, catalogue
    from srsearch.space import read_design

    if design not in catalogue.names():
        study, colon, number = design.rpartition(":")
        if colon and number.isdigit():
            with _open_store(storage) as store:
                at = store.study(study).space["constraints"]["mult_adds"].get("at")
                records = {trial.number: trial for trial in store.trial_records(study)}
            if int(number) not in records:
                raise InputError(f"study {study!r} has no trial {number}; its trials are 0 to {len(records) - 1}")
            return Architecture.from_dict(records[int(number)].description), scale, at
        if Path(design).suffix in (".yaml", ".yml") or Path(design).is_file():
            return read_design(design), scale, None
    found = catalogue.published(design)  # unknown: says what there is
    if multi_scale and not found.multi_scale:
        raise InputError(f"{found.name} is not published with several upsamplers: leave out --multi-scale")
    if scale is None and len(found.scales) > 1:
        raise InputError(f"say at which scale: srsearch count {shlex.quote(design)} --scale 4")
    at_scale = found.scales[0] if scale is None else scale
    return catalogue.get(design, None if multi_scale else at_scale), at_scale, None


def _print_plan(space: Space, gpus: int | None, options: dict[str, Any], *, quiet: bool, as_json: bool) -> None:
    from srsearch.search.forecast import forecast

    if options["data"] is not None:
        space = space.with_settings(proxy={"data": options["data"]})
    found = forecast(
        space,
        trials=options["trials"],
        workers=options["workers"],
        gpus=gpus,
        device=options["device"],
        say=lambda message: None if quiet else click.echo(message, err=True),
    )
    output.print_json(found.record()) if as_json else output.print_forecast(found)


def _write_page(store: Store, study: str, path: Path | None) -> Path:
    from srsearch.dashboard.report import write_report

    # A study of somebody else's database may be called anything.
    target = path or Path("dashboards") / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', study).lstrip('.') or 'study'}.html"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return write_report(store, study, target)
    except OSError as error:
        raise WorkError(f"the page cannot be written to {target}: {error.strerror}; everything else is saved") from None
