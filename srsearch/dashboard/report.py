"""The report: a study as one self-contained HTML file that needs no network and no server.

Text from the database (names, reasons, axis values) is escaped by Jinja or written as JSON inside a data block. The
page's content security policy refuses everything that is not in the file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from srsearch import plots
from srsearch.analysis import (
    Noise,
    best,
    differing_axes,
    hypervolume_history,
    hypervolume_steps,
    quality_of,
)
from srsearch.analysis.agreement import rung_agreement
from srsearch.analysis.captions import counted_text, several_seeds
from srsearch.analysis.effects import at_equal_cost, interaction
from srsearch.analysis.pace import per_hour
from srsearch.analysis.ranking import Ranking
from srsearch.dashboard.budget import LIMITED, choice, contenders, output_size, own_limits, sliders
from srsearch.dashboard.colours import css_colours
from srsearch.dashboard.crops import Place, evenly, photos, source_of
from srsearch.dashboard.curves import similar_curves
from srsearch.dashboard.diagram import diagram
from srsearch.dashboard.formats import PLUS_MINUS, STATES, TIMES, cell, headings, is_number
from srsearch.dashboard.part_costs import bill
from srsearch.dashboard.study_view import (
    CAPTIONS,
    NOTHING_FINISHED,
    TRAINING_COLUMNS,
    SavedNetwork,
    Shot,
    axis_values,
    columns_with_values,
    costs_shown,
    design_yaml,
    effects_text,
    evaluated_seed,
    hypervolume_text,
    main_cost,
    pictures_warning,
    printed_for,
    ranked_axes,
    save_command,
    scales_title,
    score_warning,
    shots,
    state_counts,
    strongest_axes,
    trainings,
)
from srsearch.dashboard.templates import TEMPLATES
from srsearch.dashboard.vendored import plotly_js
from srsearch.errors import InputError, WorkError
from srsearch.files import write_whole
from srsearch.labels import MISSING, axis_labels, axis_text
from srsearch.objectives import QUALITIES, is_cost, objective, own_costs
from srsearch.plots._theme import exchange
from srsearch.quantity import format_duration, format_quantity
from srsearch.search.checkpoints import Checkpoints
from srsearch.store.changes import FollowedTrial, all_trials
from srsearch.text import well_formed

if TYPE_CHECKING:
    from srsearch.store import Curve, Store, StudyRecord

_MOST_SHOTS = 4


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows.

    Attributes:
        study: The study as it was created.
        where: A printable name of its database, without password and folder.
        trials: Every trial, as `Store.trials` gives them (``attrs["axes"]`` names the axis columns).
        front: The non-dominated rows.
        history: Columns ``evaluation``, ``trial``, ``hypervolume``.
        best_design: The best design's description (plain JSON); None before one has finished.
        noise: The training noise; None where it is unknown.
        ranking: How the designs are ranked; None: by their measured quality.
        reached: The last step and its PSNR of running and stopped trials, by number.
        curves: (step, PSNR) pairs of the trials that have any, by number.
        results: Every finished training, as `srsearch.dashboard.study_view.trainings` gives them.
        identity: Tells the study from all others, of other databases as well; empty: the page does not say it.
        shots: A crop of a photo: HR, bicubic upscaling, and designs of the front; empty where no weights are saved.
    """

    study: StudyRecord
    where: str
    trials: pd.DataFrame
    front: pd.DataFrame
    history: pd.DataFrame
    best_design: Mapping[str, Any] | None
    noise: Noise | None = None
    ranking: Ranking | None = None
    reached: Mapping[int, Sequence[float]] = field(default_factory=dict)
    curves: Mapping[int, Curve] = field(default_factory=dict)
    results: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=TRAINING_COLUMNS))
    identity: str = ""
    shots: Sequence[Shot] = ()


def write_report(store: Store, study: str, path: Path) -> Path:
    """Write the report of ``study`` to ``path``, whole or not at all, and return the path.

    Raises:
        InputError: No such study, or ``path`` is a folder.
        WorkError: The file cannot be written (full disk, no permission).
    """
    page = well_formed(render_report(_gather(store, study)))
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of the HTML file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page)
    except OSError as error:
        raise WorkError(f"the report cannot be written to {path}: {error.strerror or error}") from error
    return path


_BEGUN = ("running", "stopped")
_MOST_ROWS = 5_000
"""Trials in the page's table; with hundreds of thousands no browser would open it."""


_IDENTITY = "srsearch-study"
"""Name of the element of a page that has the identity of its study."""


def study_identity(store: Store, record: StudyRecord) -> str:
    """Return what tells a study from all others: a digest of its database, name and time of creation."""
    parts = (store.where, record.name, record.created_at.isoformat())
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def page_identity(path: Path) -> str | None:
    """Return the identity of the study whose page a file is; None if the file is no page that says so."""
    with path.open("rb") as file:
        head = file.read(4096).decode("utf-8", "replace")
    found = re.search(rf'<meta name="{_IDENTITY}" content="(\w+)">', head)
    return found and found.group(1)


def _gather(store: Store, study: str) -> ReportData:
    record = store.study(study)
    measured = store.trials(study)
    printed = printed_for(record) if measured.attrs["lengths"] else None
    ranking = Ranking.of(measured, record.objectives, record.recipe, printed)
    trials, front = ranking.trials, ranking.front() if ranking.prediction else store.front(study)
    # Drawn alike; with many trials, those that change nothing would only make the page larger.
    volumes = hypervolume_history if len(trials) <= _MOST_ROWS else hypervolume_steps
    history = (
        volumes(trials, record.objectives, record.reference)
        if len(front)
        else pd.DataFrame(columns=["evaluation", "trial", "hypervolume"])
    )
    winner = best(front, quality=quality_of(record.objectives))
    rows = all_trials(store, study)
    parsed: list[Curve] = json.loads(f"[{','.join(row.curve or '[]' for row in rows)}]")
    curves = {row.number: curve for row, curve in zip(rows, parsed, strict=True) if curve}
    return ReportData(
        study=record,
        where=store.where if store.path is None else store.path.name,  # readers of the report do not have these folders
        trials=trials,
        front=front,
        history=history,
        best_design=None if winner is None else store.description(str(winner["key"])),
        noise=ranking.noise,
        ranking=ranking,
        identity=study_identity(store, record),
        reached={row.number: curves[row.number][-1] for row in rows if row.state in _BEGUN and row.number in curves},
        curves=curves,
        results=trainings(rows, record.seed),
        shots=_shots(store, record, front, {row.number: row for row in rows}),
    )


def _shots(
    store: Store, study: StudyRecord, front: pd.DataFrame, trials: Mapping[int, FollowedTrial]
) -> Sequence[Shot]:
    """The middle of the first photo by networks of the front; empty where no weights or no photos are here."""
    saved = Checkpoints(store, study)
    designs = [trial for number in front["trial"] if (trial := trials[int(number)]).key]
    networks = [
        SavedNetwork(trial.number, path, store.description(str(trial.key)))
        for trial in designs
        if (path := saved.path(str(trial.key), evaluated_seed(trial, study.seed))).is_file()
    ]
    if not networks:
        return []
    source = source_of(study)
    try:
        made, _ = shots(source, Place(next(iter(photos(source)))), evenly(networks, _MOST_SHOTS))
    except InputError:  # the photos are not here
        return []
    return made if len(made) > 2 else []


def render_report(data: ReportData) -> str:
    """The page as text. It can be made before any trial has finished."""
    axes = [name for name in data.trials.attrs.get("axes", []) if name in data.trials.columns]
    done = data.trials[data.trials["state"] == "complete"]
    if data.ranking is None:
        data = replace(data, ranking=Ranking(data.trials, tuple(data.study.objectives), data.noise, None))
    ranking = data.ranking
    assert ranking is not None
    data = replace(data, front=ranking.with_errors(data.front))
    varied = differing_axes(data.front, axes) if len(data.front) else []
    searched = differing_axes(data.trials, axes) if len(data.trials) else []
    views = _views(data, done, searched)
    return TEMPLATES.get_template("report.html").render(
        views=views.texts,
        shown=views.figures,
        study=data.study,
        scales=scales_title(data.study),
        where=data.where,
        identity=data.identity,
        identity_name=_IDENTITY,
        summary=_summary(data, done),
        best=_best_card(data, axes),
        trials_caption=_trials_caption(data),
        front=_table(data.front, varied, _front_measures(data)),
        trials=_table(data.trials.tail(_MOST_ROWS), searched, _trial_measures(data), data.reached),
        failed=data.trials[data.trials["state"] == "failed"][["trial", "reason"]].to_dict("records"),
        states=state_counts(data.trials),
        settings=_settings(data.study),
        captions=CAPTIONS,
        nothing_finished=NOTHING_FINISHED,
        score_warning=score_warning(data.study),
        pictures_warning=pictures_warning(data.study),
        shots=data.shots,
        errors=ranking.bars_text(data.front),
        predicted=ranking.caveat(),
        volume=hypervolume_text(data.study.objectives),
        figures=_script_json(_figures(data, varied, views.figures)),
        sliders=sliders(done) if len(done) else [],
        budget=_script_json(_choice(data, done, searched)),
        palette=_script_json(exchange()),
        plotly=Markup(plotly_js()),
        colours=Markup(css_colours()),
    )


@dataclass(frozen=True)
class _Views:
    """The figures beside the front by name, and the texts that go with them."""

    figures: dict[str, go.Figure] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


def _views(data: ReportData, done: pd.DataFrame, searched: list[str]) -> _Views:
    """The figures that the live pages also have, where there is enough to show."""
    views = _Views()
    if not len(done):
        return views
    _add_design_views(views, data, done)
    _add_axes_views(views, data, done, searched)
    ends = pd.to_datetime(data.results["finished_at"], utc=True)
    if len(pace := per_hour(ends)):
        views.figures["rate"] = plots.rate(pace)
    agreement = rung_agreement(data.curves[int(n)] for n in done["trial"] if int(n) in data.curves)
    if len(agreement):
        views.figures["rungs"] = plots.agreement(agreement, title="step")
    if len(data.results) and data.results["trial"].duplicated().any():
        views.figures["seeds"] = plots.seeds(data.results)
    return views


def _add_design_views(views: _Views, data: ReportData, done: pd.DataFrame) -> None:
    """Figures of the best design."""
    row = best(data.front, quality=quality_of(data.study.objectives))
    if row is None or not data.best_design:
        return
    number, cost = int(row["trial"]), _cost(data)
    views.figures["diagram"] = diagram(data.best_design)
    parts, views.texts["parts"] = bill(data.best_design, data.study.space)
    if parts is not None:
        views.figures["parts"] = plots.part_costs(parts)
    if number in data.curves:
        band, others = similar_curves(done, data.curves, number, cost, float(row[cost]))
        views.figures["curve"] = plots.curve(data.curves[number], band, what=f"{others} designs of similar cost")


def _add_axes_views(views: _Views, data: ReportData, done: pd.DataFrame, searched: list[str]) -> None:
    quality, cost = quality_of(data.study.objectives), _cost(data)
    model = at_equal_cost(done, searched, cost=cost, quality=quality)
    if model is None:
        return
    views.figures["parallel"] = plots.parallel(done, strongest_axes(searched, model), quality=quality)
    views.figures["effects"] = plots.effects(model.effects, quality=quality)
    views.texts["effects"] = effects_text(model, cost)
    ranked = ranked_axes(model)
    if len(ranked) > 1:
        pairs = interaction(done, model, ranked[0], ranked[1])
        views.figures["interaction"] = plots.interaction(pairs, ranked[0], ranked[1], quality=quality)


def _cost(data: ReportData) -> str:
    return main_cost(data.study.objectives)


def _choice(data: ReportData, done: pd.DataFrame, searched: Sequence[str]) -> dict[str, Any]:
    """What the page's script needs to show the best design within any budget."""
    quality = quality_of(data.study.objectives)
    return choice(contenders(done, quality), searched, quality=quality, noise=data.noise)


def _figures(data: ReportData, varied: list[str], more: Mapping[str, go.Figure]) -> dict[str, object]:
    cost = _cost(data)
    quality = quality_of(data.study.objectives)
    limits = own_limits(data.study.space)
    shown = plots.front(data.trials, data.front, budget=limits, cost=cost, quality=quality, browse=plots.Browse())
    figures: dict[str, go.Figure] = {
        "front": shown.update_layout(dragmode="zoom"),
        "hypervolume": plots.hypervolume(data.history),
        "axes": plots.axes(data.front, varied, cost=cost),
        **more,
    }
    # Plotly's own JSON turns NaN into null and arrays into lists; the page reads it back unchanged.
    return {name: json.loads(figure.to_json()) for name, figure in figures.items()}


def _script_json(value: object) -> Markup:
    """JSON for a script block, escaped so that nothing in it can end the block or open a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _summary(data: ReportData, done: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The key figures at the top of the page: value, name, and a detail."""
    counts = data.trials["state"].value_counts().to_dict()
    limits = own_limits(data.study.space)
    budget = " · ".join(f"{format_quantity(most)} {objective(name).short}" for name, most in limits.items())
    over_budget = int(counts.get("infeasible", 0))
    known = int(done["cached"].sum())
    failed = _plural(int(counts.get("failed", 0)), "failed") or "none failed"
    stopped = _plural(int(counts.get("stopped", 0)), "stopped early")
    rows = [
        (str(len(done) - known), "designs trained", ", ".join(filter(None, (failed, stopped)))),
        (str(len(data.front)), "on the front", f"of {counted_text(len(done) - known, known)}"),
        (format_duration(data.trials["seconds"].sum()), "training time", _time_per_design(done)),
        (budget or "none", "budget", _output_text(data.study.space)),
    ]
    if over_budget:
        rows.append((f"{over_budget:,}", "over budget", "rejected by cost, never trained"))
    return rows


def _output_text(space: Mapping[str, Any]) -> str:
    size = output_size(space)
    return f"for an output of {size.replace('x', TIMES)}" if size else ""


def _time_per_design(done: pd.DataFrame) -> str:
    mean = done["seconds"].mean()
    return "" if pd.isna(mean) else f"{format_duration(mean)} per design"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count else ""


@dataclass(frozen=True)
class _Best:
    """The best design, ready to print."""

    trial: int
    key: str
    score: str
    unit: str
    error: str
    gain: str | None
    ties: str
    facts: list[tuple[str, str]]
    axes: list[tuple[str, str]]
    yaml: str
    command: str


def _best_card(data: ReportData, axes: list[str]) -> _Best | None:
    quality = quality_of(data.study.objectives)
    row = best(data.front, quality=quality)
    if row is None:
        return None
    bicubic = data.study.reference.get("psnr")
    gain = f"{row['psnr'] - bicubic:+.2f} dB over bicubic ({bicubic:.2f} dB)" if bicubic else None
    error = cell(f"{quality}_error", row.get(f"{quality}_error"))
    seeds = f" (mean of {row['seeds']} seeds)" if several_seeds(row.to_frame().T) else ""
    heads = headings()
    shown = [*costs_shown(data.study.objectives), *QUALITIES]
    ranking = data.ranking
    assert ranking is not None
    facts = [(heads[name], cell(name, row.get(name))) for name in shown if name != quality]
    lengths = columns_with_values(row.to_frame().T, ranking.measured_columns)
    facts += [(headings(lengths)[name], f"{cell(name, row[name])} dB") for name in lengths]
    return _Best(
        trial=int(row["trial"]),
        key=str(row.get("key", "")),
        score=cell(quality, row[quality]),
        unit=objective(quality).unit or objective(quality).noun,
        error=seeds if error == MISSING else f"{PLUS_MINUS} {error}{seeds}",
        gain=gain,
        ties=ranking.ties_text(ranking.tied_with_best()),
        facts=facts,
        axes=axis_values(row, axes),
        yaml=design_yaml(data.best_design) if data.best_design else "",
        command=save_command(data.study.name),
    )


def _trial_measures(data: ReportData) -> list[str]:
    """The columns of the table of all trials before the axes."""
    lengths = [] if data.ranking is None else data.ranking.measured_columns
    return ["psnr", *lengths, *LIMITED, *(row.name for row in own_costs(data.study.objectives)), "seconds"]


def _front_measures(data: ReportData) -> list[str]:
    """The columns of the front's table before its axes."""
    qualities = [f"{name}{end}" for name in QUALITIES for end in ("", "_error")]
    qualities += [] if data.ranking is None else data.ranking.measured_columns
    return columns_with_values(data.front, [*qualities, "seeds", *costs_shown(data.study.objectives)])


@dataclass(frozen=True)
class _Column:
    """A column: its heading, its full name, and whether it holds numbers."""

    label: str
    path: str
    number: bool


@dataclass(frozen=True)
class _Row:
    """A row: the trial's number and state, and for each column the text shown and the value to sort by."""

    trial: int
    state: str
    state_text: str
    reason: str
    key: str
    cells: list[tuple[str, str]]


@dataclass(frozen=True)
class _Table:
    columns: list[_Column]
    rows: list[_Row]


def _trials_caption(data: ReportData) -> str:
    many = len(data.trials)
    which = "Every trial in the order it was proposed"
    if many > _MOST_ROWS:
        which = f"The last {_MOST_ROWS:,} of {many:,} trials in the order they were proposed (trials --csv has all)"
    return f"{which}, with the axes in which trials differ"


def _table(
    frame: pd.DataFrame, axes: list[str], measures: Sequence[str], reached: Mapping[int, Sequence[float]] | None = None
) -> _Table:
    labels, heads = axis_labels(axes), headings(measures)
    columns = [_Column(heads[name], name, True) for name in measures]
    columns += [_Column(labels[name], name, is_number(frame[name])) for name in axes]
    names = [*measures, *axes]
    rows = [_row(record, names, (reached or {}).get(int(record["trial"]))) for record in frame.to_dict("records")]
    return _Table(columns, rows)


def _row(record: Mapping[Any, Any], names: Sequence[str], reached: Sequence[float] | None) -> _Row:
    shown = {name: (cell(name, record[name]), _order(record[name])) for name in names}
    if reached is not None:
        # Sorted with trials without PSNR: an intermediate PSNR cannot be compared with a final one.
        shown["psnr"] = (f"{reached[1]:.3f} at {reached[0]:.0f}", "")
    state = str(record.get("state", "complete"))
    reason = record.get("reason")
    return _Row(
        trial=int(record["trial"]),
        state=state,
        state_text=STATES.get(state, state),
        reason="" if pd.isna(reason) else str(reason),
        key=str(record.get("key", ""))[:8],
        cells=list(shown.values()),
    )


def _order(value: object) -> str:
    """The value that the page sorts by: the exact number or the text; an empty one sorts last."""
    return "" if axis_text(value) == MISSING else str(value)


def _settings(study: StudyRecord) -> list[tuple[str, str]]:
    """How the study was made: names and values."""
    rows = [
        ("Objectives", ", ".join(study.objectives)),
        ("Sampler", f"{study.sampler}, seed {study.seed}"),
        ("Space", study.space_hash[:12]),
        ("Data fingerprint", study.data_fingerprint[:12]),
    ]
    rows += [(f"Data: {name}", text) for name, text in _flat(study.data)]
    rows += [(f"Recipe: {name}", text) for name, text in _flat(study.recipe)]
    rows += [(f"Reference: {name}", text) for name, text in _flat(study.reference)]
    return rows


def _flat(values: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name} ")
        elif isinstance(value, list | tuple):
            more = f", and {len(value) - 12} more" if len(value) > 12 else ""
            yield before + name, ", ".join(map(str, value[:12])) + more
        else:
            yield before + name, format_quantity(float(value)) if is_cost(name) else axis_text(value)
