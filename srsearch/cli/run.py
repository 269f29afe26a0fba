"""`srsearch run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srsearch.cli.options import (
    MOST,
    FileType,
    FiniteType,
    StepsType,
    WholeType,
    budget_options,
    json_option,
    open_store,
    plugin_option,
    storage_option,
)
from srsearch.cli.pages import write_page
from srsearch.cli.printing import print_json, records
from srsearch.cli.results import at_other_scales, best_rows, photos_of, ranked_front
from srsearch.cli.tables import print_forecast, print_outcome
from srsearch.errors import InputError, WorkError

if TYPE_CHECKING:
    from srsearch.space import Space


@click.command(short_help="Search a space.")
@click.argument("space")
@budget_options
@click.option(
    "--trials",
    type=WholeType(1, MOST),
    help="Total number of evaluations in the study; reused results do not count [default: the space's].",
)
@click.option(
    "--lengths",
    type=StepsType(),
    metavar="STEPS,STEPS,...",
    help="Numbers of training steps, ascending, such as 600,2400,9600: all designs are trained for the first, "
    "promising ones for the later numbers, too [default: the space's, else one length].",
)
@click.option("--minutes", type=FiniteType(min=0, min_open=True), help="Start no new design after this many minutes.")
@click.option(
    "--sampler",
    metavar="NAME",
    help="Sampler that proposes designs: frontier, tpe, nsga2, nsga3, random, qmc, gp, cmaes, or module:Class of your "
    "own [default: the space's].",
)
@click.option(
    "--workers",
    type=WholeType(1, 256),
    help="Number of worker processes [default: the space's, else measured when the study is created].",
)
@click.option(
    "--data", metavar="DIR", help="Folder of training images [default: the space's, usually the built-in photos]."
)
@click.option(
    "--seed", type=WholeType(0, 2**31 - 1), help="Seed of the search and the training [default: the space's]."
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Device to train on; auto takes a GPU if there is one.",
)
@click.option(
    "--evaluator",
    metavar="NAME",
    help="What scores designs: proxy (trains them briefly), synthetic (invents scores), or your own as module:Class "
    "[default: the space's].",
)
@click.option(
    "--start-with",
    type=click.Choice(["none", "catalogue"]),
    help="Designs to evaluate first: none, or the published networks that lie in the space [default: the space's].",
)
@click.option(
    "--inform",
    metavar="STUDY",
    help="Another study in the database; the frontier sampler learns from its results [default: the space's].",
)
@click.option(
    "--early-stopping/--no-early-stopping",
    default=None,
    help="Stop trainings early that look poor for their cost [default: the space's].",
)
@click.option(
    "--replicates",
    type=WholeType(1, MOST),
    default=1,
    metavar="N",
    help="After the search, train the front's designs with more seeds until each has N evaluations.",
)
@click.option(
    "--until-converged", is_flag=True, help="Stop before --trials once the front improves by less than the noise."
)
@click.option(
    "--backend",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Run trainings in local processes or with Ray Tune.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="With --backend ray: running Ray cluster to connect to [default: start Ray on this machine].",
)
@click.option(
    "--cpus-per-trial",
    type=FiniteType(min=0, min_open=True),
    help="With --backend ray: CPUs for each training; 0.5 shares a CPU [default: 1].",
)
@click.option(
    "--gpus-per-trial",
    type=FiniteType(min=0),
    help="With --backend ray: GPUs for each training; 0.5 shares a GPU [default: 1 if the study trains on GPUs].",
)
@click.option(
    "--checkpoints",
    metavar="PLACE",
    help="Folder or URL (s3://...) for checkpoints; share it so that other machines can resume trials "
    "[default: beside the database].",
)
@click.option(
    "--trial-timeout",
    type=FiniteType(min=0, min_open=True),
    metavar="SECONDS",
    help="A trial that takes longer fails, and its worker is replaced [default: no limit].",
)
@click.option("--new", is_flag=True, help="Start a new study even if there is one to continue.")
@click.option(
    "--page",
    type=FileType(),
    help="File for the HTML page [default: dashboards/STUDY.html].",
)
@click.option(
    "--plan",
    is_flag=True,
    help="Estimate the time that the study takes, by measuring for about a minute; train nothing.",
)
@click.option(
    "--gpus", type=WholeType(1, MOST), metavar="N", help="With --plan: number of GPUs that train at the same time."
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@plugin_option
@storage_option
@json_option
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

    Trains designs briefly on photos until the study has its number of trials. Then prints the front and writes it as an
    HTML page. Run the same command again to continue an interrupted study, or with a larger --trials to extend it.
    """
    from srsearch import search
    from srsearch.analysis.ranking import as_measured
    from srsearch.cli.progress import make_progress
    from srsearch.search.executors.lookup import check_backend
    from srsearch.space import Space

    opened = Space.from_yaml(space).with_budget(max_mult_adds=max_mult_adds, max_params=max_params)
    if evaluator is not None:
        opened = opened.with_settings(proxy={"evaluator": evaluator})
    if gpus is not None and not plan:
        raise click.UsageError("--gpus needs --plan; for a Ray cluster, use --gpus-per-trial.")
    check_backend(options["backend"], options["address"], options["cpus_per_trial"], options["gpus_per_trial"])
    if plan:
        _print_plan(opened, gpus, options, quiet=quiet, as_json=as_json)
        return
    result = search.run(opened, store=storage, progress=make_progress(quiet), **options)
    with open_store(storage) as store:
        best = best_rows(store, result.study, None, None)
        frame, ranking = ranked_front(store, result.study)
        frame = at_other_scales(store, store.study(result.study), frame)
        written, trouble = None, None
        try:
            written = write_page(store, result.study, page)
        except (InputError, WorkError) as error:
            trouble = error  # after the results have been printed
        if as_json:
            print_json(
                {
                    "study": result.study,
                    "storage": store.where,
                    "page": None if written is None else str(written),
                    "done": result.done,
                    "exhausted": result.exhausted,
                    "interrupted": result.interrupted,
                    "front": records(as_measured(frame)),
                    "best": records(as_measured(best)),
                }
            )
        else:
            record = store.study(result.study)
            print_outcome(
                result,
                frame,
                ranking,
                best,
                record.recipe["evaluator"],
                store.where,
                written,
                storage,
                photos_of(record),
            )
    if trouble is not None:
        raise trouble
    if result.interrupted:
        sys.exit(130)


def _print_plan(space: Space, gpus: int | None, options: dict[str, Any], *, quiet: bool, as_json: bool) -> None:
    from srsearch.search.forecast import forecast

    if options["data"] is not None:
        space = space.with_settings(proxy={"data": options["data"]})
    if lengths := options["lengths"] or space.search.lengths:
        space = space.with_settings(proxy={"steps": lengths[0]}, search={"lengths": lengths})
    plan = forecast(
        space,
        trials=options["trials"],
        workers=options["workers"],
        gpus=gpus,
        device=options["device"],
        say=lambda message: None if quiet else click.echo(message, err=True),
    )
    print_json(plan.record()) if as_json else print_forecast(plan)
