"""`srsearch advise`: what to change in a design of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from srsearch.cli.options import (
    MOST,
    WholeType,
    budget_options,
    json_option,
    open_store,
    plugin_option,
    storage_option,
    study_argument,
    study_name,
)
from srsearch.cli.printing import print_json, print_note, print_widest, records
from srsearch.errors import InputError
from srsearch.labels import axis_labels, axis_text
from srsearch.objectives import OBJECTIVES
from srsearch.quantity import format_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from rich.table import Table

    from srsearch.analysis.advice import Neighbour, Suggestion
    from srsearch.analysis.findings import Comparison
    from srsearch.analysis.tradeoff import Tradeoff
    from srsearch.space import Space
    from srsearch.store import Store


@click.command(short_help="Say which change of a design saves most for the quality that it loses.")
@study_argument
@click.option(
    "--baseline", type=WholeType(0, MOST), metavar="TRIAL", help="The finished trial to change [default: the best one]."
)
@budget_options
@plugin_option
@storage_option
@json_option
def advise(
    study: str | None,
    baseline: int | None,
    max_mult_adds: int | None,
    max_params: int | None,
    storage: str | None,
    as_json: bool,
) -> None:
    """Say what to change in a design of STUDY (by default the newest study) to make it cheaper.

    Each axis value, changed alone, with what it saves: G Mult-Adds and K parameters per 0.01 dB lost, the efficiency
    paper's measure. Costs are exact. The loss is predicted from all finished designs, with its standard error, and
    measured where the study has the changed design. Without --baseline, the best design within the limits is changed.
    """
    from srsearch.analysis import quality_of, retraining_noise
    from srsearch.analysis.advice import knee, suggestions
    from srsearch.analysis.effects import LEAST_TRIALS
    from srsearch.analysis.findings import comparisons
    from srsearch.space import Space

    with open_store(storage) as store:
        name = study_name(store, study)
        about = store.study(name)
        # The changes do not depend on how the study was searched.
        space = Space.from_dict({**about.space, "search": {}})
        quality = quality_of(about.objectives)
        frame, front = store.trials(name), store.front(name)
        row = _baseline(store, name, frame, baseline, (max_mult_adds, max_params), quality)
    noise = retraining_noise(frame, quality)
    rated = suggestions(frame, row, _neighbours(space, frame, row), noise=noise, quality=quality)
    if rated is None:
        raise InputError(
            f"study {name!r} has too few finished designs for advice ({frame[quality].notna().sum()} of the "
            f"{LEAST_TRIALS} needed), or they differ in no axis; train more: srsearch run --trials 30"
        )
    compared = comparisons(frame, quality=quality)
    bend = None if "mult_adds" not in front.columns else knee(front, quality=quality)
    if as_json:
        print_json(
            {
                "study": name,
                "baseline": records(frame[frame["trial"] == row["trial"]])[0],
                "knee": None if bend is None else int(bend["trial"]),
                "changes": [_record(each) for each in rated],
                "findings": [_comparison_record(each) for each in compared],
            }
        )
        return
    _print(rated, row, name, quality, list(frame.attrs["axes"]))
    suffix = OBJECTIVES[quality].suffix
    if bend is not None:
        click.echo(
            f"\nThe knee of the front is trial {bend['trial']}: {OBJECTIVES[quality].text(bend[quality])}{suffix} at "
            f"{format_quantity(bend['mult_adds'])}.\nAbove it, quality costs more than below."
        )
    if compared:
        click.echo("\nThe papers' findings about these axes:")
    for each in compared:
        print_note(
            f"{each.finding.text} ({each.finding.source}: {', '.join(each.finding.printed)}). This study "
            f"{_VERDICTS[each.verdict]}: at equal cost, {each.better} is {each.difference:+.3f} "
            f"\N{PLUS-MINUS SIGN} {each.error:.3f}{suffix} against {each.worse}, from {each.counts[0]} and "
            f"{each.counts[1]} designs."
        )


_VERDICTS = {"agrees": "agrees", "disagrees": "disagrees", "cannot tell": "cannot tell yet"}


def _baseline(
    store: Store,
    name: str,
    frame: pd.DataFrame,
    number: int | None,
    limits: tuple[int | None, int | None],
    quality: str,
) -> pd.Series:
    from srsearch.analysis import best

    if number is None:
        row = best(frame, *limits, quality=quality)
        if row is None:
            raise InputError(f"study {name!r} has no finished design within these limits; see `srsearch front {name}`")
        return row
    rows = frame[(frame["trial"] == number) & frame[quality].notna()]
    if rows.empty:
        raise InputError(f"study {name!r} has no finished trial {number}; `srsearch trials {name}` lists its trials")
    return rows.iloc[0]


def _neighbours(space: Space, frame: pd.DataFrame, row: pd.Series) -> list[Neighbour]:
    """The designs of the space that differ from a row's in one axis; each network once."""
    from srsearch.analysis.advice import Neighbour, changes

    axes = {axis.name: axis for axis in space.axes}
    # pandas gives numpy scalars, and 5.0 for 5 in a column with gaps: take the space's own value.
    own = {name: axis.values[axis.values.index(row[name])] for name, axis in axes.items() if row[name] in axis.values}
    found: dict[str, Neighbour] = {}
    for values, changed in changes(
        own, {name: axis.values for name, axis in axes.items()}, lambda name, chosen: axes[name].exists(chosen)
    ):
        candidate = space.candidate(values)
        if candidate.cost is not None and candidate.design.key != row["key"]:
            cost = candidate.cost
            found.setdefault(
                candidate.design.key, Neighbour(values, changed, candidate.design.key, cost.mult_adds, cost.params)
            )
    return list(found.values())


def _record(suggestion: Suggestion) -> dict[str, Any]:
    each, per_loss = suggestion.neighbour, suggestion.per_loss
    return {
        "changed": dict(each.changed),
        "before": suggestion.before,
        "key": each.key,
        "mult_adds": each.mult_adds,
        "params": each.params,
        "predicted": _tradeoff_record(suggestion.predicted) | {"loss_error": suggestion.error},
        "loss_is_certain": not suggestion.free,
        "mult_adds_saved_g_per_0.01db": None if per_loss is None else per_loss[0],
        "mult_adds_saved_g_per_0.01db_error": None if per_loss is None else per_loss[1],
        "params_saved_k_per_0.01db": None if per_loss is None else suggestion.predicted.params_per_loss,
        "measured": None
        if suggestion.measured is None
        else _tradeoff_record(suggestion.measured) | {"loss_error": suggestion.measured_error},
    }


def _comparison_record(each: Comparison) -> dict[str, Any]:
    return {
        "finding": each.finding.text,
        "source": each.finding.source,
        "axis": each.axis,
        "better": each.better,
        "worse": each.worse,
        "designs": list(each.counts),
        "difference": each.difference,
        "error": each.error,
        "verdict": each.verdict,
    }


def _tradeoff_record(tradeoff: Tradeoff) -> dict[str, Any]:
    return {
        "loss": tradeoff.loss,
        "mult_adds_saved_g": tradeoff.mult_adds,
        "params_saved_k": tradeoff.params,
    }


def _print(rated: list[Suggestion], row: pd.Series, name: str, quality: str, axes: list[str]) -> None:
    suffix = OBJECTIVES[quality].suffix
    click.echo(
        f"Changes of trial {row['trial']} of {name} ({OBJECTIVES[quality].text(row[quality])}{suffix} at "
        f"{format_quantity(row['mult_adds'])}, {format_quantity(row['params'])} parameters), one axis at a time:"
    )
    if not rated:
        click.echo("no value that the study has tried makes this design cheaper")
        return
    labels = axis_labels(axes)
    narrowed = print_widest(*(_table(rated, labels, suffix.strip(), left_out) for left_out in (0, 1, 2, 4)))
    print_note(
        "Predicted from all finished designs by the trend over cost and the effects of the axes, with the standard "
        'error. "no sure loss": the predicted loss is below two standard errors.'
        + (" A wider terminal has room for more columns." if narrowed else "")
    )


def _table(rated: list[Suggestion], labels: Mapping[str, str], unit: str, left_out: int) -> Table:
    """The changes as a table, without the least important columns."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = []
    for each in rated:
        changed = ", ".join(f"{labels[axis]}={axis_text(value)}" for axis, value in each.neighbour.changed.items())
        per_loss = each.per_loss
        rows.append(
            {
                "change": changed + ("" if each.before is None else f" (was {axis_text(each.before)})"),
                "saves\nMult-Adds": f"{each.predicted.mult_adds:.2f}G",
                "\nparams": f"{each.predicted.params:.0f}K",
                f"loses {unit}\npredicted": f"{each.predicted.loss:+.3f} \N{PLUS-MINUS SIGN} {each.error:.3f}",
                "\nmeasured": "" if each.measured is None else f"{each.measured.loss:+.3f}",
                f"saved per 0.01 {unit}\nG Mult-Adds": "no sure loss"
                if per_loss is None
                else f"{per_loss[0]:.2f} \N{PLUS-MINUS SIGN} {per_loss[1]:.2f}",
                "\nK params": "" if per_loss is None else f"{each.predicted.params_per_loss:.1f}",
            }
        )
    by_importance = ["\nK params", "\nmeasured", "\nparams", "saves\nMult-Adds"]
    shown = [heading for heading in rows[0] if heading not in by_importance[:left_out]]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in shown:
        table.add_column(heading, justify="left" if heading == "change" else "right", no_wrap=heading != "change")
    for row in rows:
        table.add_row(*(Text(row[heading]) for heading in shown))
    return table
