"""`srsearch trust`: how far the rankings of a study can be trusted."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from srsearch.cli.options import json_option, open_store, plugin_option, storage_option, study_argument, study_name
from srsearch.cli.printing import print_json, print_widest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from srsearch.analysis.trust import Agreement, Calibration


@click.command(short_help="Say how far a study's rankings can be trusted.")
@study_argument
@plugin_option
@storage_option
@json_option
def trust(study: str | None, storage: str | None, as_json: bool) -> None:
    """Say how far the rankings of STUDY (by default the newest study) can be trusted.

    Compares the rankings of its designs by short and by long trainings, by costs, and by different seeds: Kendall's
    tau, the same of what cost does not explain, the same among designs of similar cost, and how many of the best fifth
    are found. Also says how many of the longest trainings lie within the intervals of their predictions.
    """
    from srsearch.analysis.predicted import observations
    from srsearch.analysis.trust import agreements, calibration, seed_agreements
    from srsearch.dashboard.study_view import trainings
    from srsearch.store.changes import all_trials

    with open_store(storage) as store:
        name = study_name(store, study)
        record, frame = store.study(name), store.trials(name)
        results = trainings(all_trials(store, name), record.seed)
    steps = record.recipe.get("steps")
    steps = steps if isinstance(steps, int) else None
    found = agreements(frame, steps)
    found += seed_agreements(results, frame.set_index("trial")["mult_adds"])
    observed = observations(frame, steps)
    calibrated = None if observed is None else calibration(observed)
    if as_json:
        print_json(
            {
                "study": name,
                "agreement": [asdict(each) for each in found],
                "calibration": None if calibrated is None else asdict(calibrated),
            }
        )
    else:
        _print(found, calibrated)


def _print(found: Sequence[Agreement], calibrated: Calibration | None) -> None:
    if not found:
        click.echo(
            "Nothing to compare yet: it takes six designs with trainings of two lengths (srsearch run --lengths), or "
            "with two seeds (--replicates)."
        )
        return
    click.echo("Agreement of rankings, with 90 % bootstrap intervals over the designs:\n")
    print_widest(
        *(_table(found, between, left_out) for between, left_out in ((" ", 0), ("\n", 0), ("\n", 1), ("\n", 2)))
    )
    if calibrated is not None:
        half, most = calibrated.within_50, calibrated.within_90
        click.echo(
            f"\nPredictions after {calibrated.steps:,} steps, each of {calibrated.designs} designs without its own "
            f"longer trainings: off by {calibrated.error:.3f} dB (root mean square), {half:.0%} of the scores in the "
            f"50 % intervals, {most:.0%} in the 90 % intervals."
        )


def _table(found: Sequence[Agreement], between: str, left_out: int) -> Table:
    """The agreements as a table.

    Args:
        found: The agreements.
        between: What stands between a value and its interval.
        left_out: Number of the last columns that are left out.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    measures = ("tau", "tau given cost", "tau at similar cost", "best fifth found")
    shown = len(measures) - left_out
    for head in ("Ranking by", "against", "Designs", *measures[:shown]):
        table.add_column(head, no_wrap=head not in measures)
    for each in found:
        values = (each.tau, each.partial_tau, each.tau_within_bands, each.top_recall)
        cells = (str(value).replace(" (", f"{between}(") for value in values[:shown])
        table.add_row(each.ranking, each.against, str(each.designs), *cells)
    return table
