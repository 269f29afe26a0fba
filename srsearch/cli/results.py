"""`srsearch trials`, `front` and `best`: the results of a study."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srsearch.cli.options import (
    MOST,
    USUAL_SIZE,
    FileType,
    WholeType,
    budget_options,
    json_option,
    open_store,
    plugin_option,
    storage_option,
    study_argument,
    study_name,
)
from srsearch.cli.printing import print_json, print_json_rows, records
from srsearch.cli.tables import (
    best_records,
    print_best,
    print_front,
    print_trials,
    print_trust,
    python_lines,
    save_design,
    written_differently,
)
from srsearch.errors import InputError
from srsearch.text import csv_text

if TYPE_CHECKING:
    import pandas as pd

    from srsearch.analysis.ranking import Ranking
    from srsearch.store import Store, StudyRecord


@click.command(short_help="List the trials of a study.")
@study_argument
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@plugin_option
@storage_option
@json_option
def trials(study: str | None, as_csv: bool, storage: str | None, as_json: bool) -> None:
    """List all trials of STUDY (by default the newest study), with their states and reasons."""
    from srsearch.store.changes import last_points

    with open_store(storage) as store:
        name = study_name(store, study)
        frame = store.trials(name)
        reached = {} if as_json or as_csv else last_points(store, name)
    if as_json:
        print_json_rows(frame)
    elif as_csv:
        click.echo(csv_text(frame), nl=False)
    else:
        print_trials(frame, reached)


@click.command(short_help="Show the Pareto front of a study.")
@study_argument
@plugin_option
@storage_option
@json_option
def front(study: str | None, storage: str | None, as_json: bool) -> None:
    """Show the Pareto front of STUDY (by default the newest study), with error bars.

    An error bar is one standard error from training noise, measured on designs that were trained with several seeds, or
    estimated by a model if there are none. A study with several lengths of training is ranked by the PSNR that a model
    predicts after the longest one, with the standard error of the prediction.
    """
    from srsearch.analysis.ranking import as_measured

    with open_store(storage) as store:
        name = study_name(store, study)
        frame, ranking = ranked_front(store, name)
        frame = at_other_scales(store, store.study(name), frame)
    if as_json:
        print_json(records(as_measured(frame)))
    else:
        print_front(frame, errors=ranking.errors_text(frame))


@click.command(short_help="Show or save the best design within limits.")
@study_argument
@budget_options
@click.option("--trial", type=WholeType(0, MOST), metavar="N", help="Take this finished trial instead of the best one.")
@click.option("--save", type=FileType(), metavar="FILE", help="Write the design to a YAML file.")
@plugin_option
@storage_option
@json_option
def best(
    study: str | None,
    max_mult_adds: int | None,
    max_params: int | None,
    trial: int | None,
    save: Path | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Show the design of STUDY (by default the newest study) with the highest PSNR within the limits.

    Also lists the designs whose PSNR differs from it by no more than the training noise, and prints Python that builds
    the design. With --trial, shows that design instead. After several lengths of training, PSNR is predicted for the
    longest one, and designs are listed that the prediction cannot tell from the best.
    """
    with open_store(storage) as store:
        name = study_name(store, study)
        about = store.study(name)
        at = about.space["constraints"]["mult_adds"].get("at", USUAL_SIZE)
        ranking = ranking_of(store, name)
        frame = ranking.trials
        if trial is None:
            designs = ranking.tied_with_best(max_mult_adds, max_params)
        else:
            designs = ranking.with_errors(frame.query("trial == @trial and state == 'complete'").assign(best=True))
        if designs.empty:
            raise InputError(
                f"study {name!r} has no finished design within these limits; `srsearch front {name}` lists what it has"
            )
        designs.attrs = {**frame.attrs, "objectives": list(about.objectives)}
        designs = at_other_scales(store, about, designs)
        winner = next(row for row in records(designs) if row["best"])
        description = store.description(winner["key"])
    if save is not None:
        save_design(save, description, f"Trial {winner['trial']} of study {name}, key {winner['key']}.")
    if as_json:
        print_json(best_records(designs, ranking.noise))
        return
    print_best(designs, ranking.noise, name, storage, ranking)
    print_trust(ranking, designs, about)
    if written_differently({axis: winner[axis] for axis in frame.attrs["axes"]}, description):
        click.echo("\nThe design is written below in its simplest form, which differs from the trial's axes.")
    click.echo(f"\nIn Python:\n\n{python_lines(description)}")
    if save is not None:
        size = "" if at == USUAL_SIZE else f" --at {at}"
        size += f" --scale {about.scale}" if about.scale != about.scales[-1] else ""
        click.echo(f"\nSaved as {save}; see its cost with: srsearch count {save}{size}")
        click.echo(f"next: srsearch train {save} --recipe fast --data {shlex.quote(photos_of(about))}")


def photos_of(study: StudyRecord) -> str:
    """The photographs that a study trains on, as ``--data`` takes them: a folder, or ``builtin``."""
    return str((study.space.get("proxy") or {}).get("data") or study.data.get("source") or "builtin")


def best_rows(store: Store, study: str, max_mult_adds: int | None, max_params: int | None) -> pd.DataFrame:
    """The best design as a frame of one row; without rows if no design is within the limits."""
    from srsearch.analysis import best as best_row

    ranking = ranking_of(store, study)
    frame = ranking.trials
    row = best_row(frame, max_mult_adds=max_mult_adds, max_params=max_params, quality=ranking.quality)
    rows = frame.head(0) if row is None else frame[frame["trial"] == row["trial"]]
    rows.attrs = frame.attrs
    return rows


def ranking_of(store: Store, study: str) -> Ranking:
    """The designs of a study with the quality that ranks them."""
    from srsearch.analysis.ranking import Ranking

    record, trials = store.study(study), store.trials(study)
    printed = None
    if trials.attrs["lengths"]:  # PyTorch need not be imported for the others
        from srsearch.dashboard.study_view import printed_for

        printed = printed_for(record)
    return Ranking.of(trials, record.objectives, record.recipe, printed)


def ranked_front(store: Store, study: str) -> tuple[pd.DataFrame, Ranking]:
    """The front with error bars, and the ranking that it is the front of."""
    ranking = ranking_of(store, study)
    return ranking.front() if ranking.prediction else ranking.with_errors(store.front(study)), ranking


def at_other_scales(store: Store, study: StudyRecord, designs: pd.DataFrame) -> pd.DataFrame:
    """Designs of several scales with their Mult-Adds at the others, as columns such as ``mult_adds_x2``.

    Designs of one scale are returned as they are, and so are those with parts that are not registered here.
    """
    if len(study.scales) == 1 or designs.empty:
        return designs
    from srsearch.architecture import Architecture
    from srsearch.cost import count
    from srsearch.space import Space

    try:
        way = Space.from_dict(study.space).convention
        described = [Architecture.from_dict(store.description(key)) for key in designs["key"]]
        costs = [count(design, scale=study.scale, convention=way).by_scale for design in described]
    except InputError:
        return designs
    columns = {f"mult_adds_x{scale}": [each[scale].mult_adds for each in costs] for scale in study.scales}
    del columns[f"mult_adds_x{study.scale}"]
    counted = designs.assign(**columns)
    counted.attrs = {**designs.attrs, "scale": study.scale}
    return counted
