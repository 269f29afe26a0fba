"""One study as one self-contained HTML file: no network, no server, light and dark.

What comes from the database (names, reasons, axis values) is written by Jinja's autoescape or as JSON inside a data
block; the page's content security policy refuses everything that is not in the file.
"""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
import plotly.graph_objects as go
import yaml
from markupsafe import Markup

from srsearch import plots
from srsearch.analysis import (
    Noise,
    best,
    differing_axes,
    hypervolume_history,
    quality_of,
    retraining_noise,
    standard_errors,
    tied_with_best,
)
from srsearch.analysis.agreement import rung_agreement
from srsearch.analysis.effects import at_equal_cost, interaction
from srsearch.analysis.pace import per_hour
from srsearch.dashboard.budget import choice, contenders, own_limits, sliders
from srsearch.dashboard.crops import Picture, Place, described, evenly, photos, references, source_of, upscaled
from srsearch.dashboard.curves import similar_curves
from srsearch.dashboard.diagram import diagram
from srsearch.dashboard.formats import PLUS_MINUS, STATES, TIMES, digits, duration, headings
from srsearch.dashboard.part_costs import bill
from srsearch.dashboard.vendored import plotly_js
from srsearch.errors import InputError, WorkError
from srsearch.labels import MISSING, axis_labels, axis_text
from srsearch.objectives import COSTS, OBJECTIVES, QUALITIES, is_cost, objective
from srsearch.plots._theme import DARK, LIGHT, exchange
from srsearch.quantity import format_quantity
from srsearch.search.checkpoints import Checkpoints
from srsearch.text import well_formed

if TYPE_CHECKING:
    from srsearch.store import Curve, Store, StudyRecord, TrialRecord

_MOST_LANES = 9
_MOST_SHOTS = 4

_RESULTS = ["trial", "key", "seed", "psnr", "finished_at"]


@dataclass(frozen=True)
class Shot:
    """A picture with its name."""

    name: str
    picture: Picture

    @property
    def described(self) -> str:
        """For those who cannot see it."""
        return described(self.name, self.picture)


@dataclass(frozen=True)
class ReportData:
    """All a report shows.

    Attributes:
        study: The study as it was created.
        where: A printable name of its database (never with a password, nor with a folder).
        trials: Every trial, as `Store.trials` gives them (``attrs["axes"]`` names the axis columns).
        front: The rows nothing dominates.
        history: ``evaluation``, ``trial``, ``hypervolume``.
        best_design: The best design's description (plain JSON), None before one has finished.
        noise: What another seed would change; None where that is unknown.
        reached: Of running and stopped trials the last step and its PSNR, by number.
        curves: (step, PSNR) of the trials that have any, by number.
        results: Every finished training: ``trial`` (of the design), ``key``, ``seed``, ``psnr``, ``finished_at``.
        shots: A piece of a photo: HR, bicubic upscaling, and designs of the front whose weights are kept; none where
            there are no weights.
    """

    study: StudyRecord
    where: str
    trials: pd.DataFrame
    front: pd.DataFrame
    history: pd.DataFrame
    best_design: Mapping[str, Any] | None
    noise: Noise | None = None
    reached: Mapping[int, Sequence[float]] = field(default_factory=dict)
    curves: Mapping[int, Curve] = field(default_factory=dict)
    results: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_RESULTS))
    shots: Sequence[Shot] = ()


def write_report(store: Store, study: str, path: Path) -> Path:
    """Write the report of ``study`` to ``path``, whole or not at all, and return where it is.

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
        _replace(path, page)
    except OSError as error:
        raise WorkError(f"the report cannot be written to {path}: {error.strerror or error}") from error
    return path


def _replace(path: Path, text: str) -> None:
    """Write beside ``path``, then take its place: a reader never sees half a page."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)  # can only be read by setting it
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes files that only their owner can read
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _gather(store: Store, study: str) -> ReportData:
    record, trials, front = store.study(study), store.trials(study), store.front(study)
    history = (
        hypervolume_history(trials, record.objectives, record.reference)
        if len(front)
        else pd.DataFrame(columns=["evaluation", "trial", "hypervolume"])
    )
    row = best(front, quality=quality_of(record.objectives))
    known = store.trial_records(study)
    return ReportData(
        study=record,
        where=store.where if store.path is None else store.path.name,  # a colleague has no use for our folders
        trials=trials,
        front=front,
        history=history,
        best_design=next((t.description for t in known if row is not None and t.number == row["trial"]), None),
        noise=retraining_noise(trials, quality_of(record.objectives)),
        reached={t.number: t.curve[-1] for t in known if t.state in ("running", "stopped") and t.curve},
        curves={t.number: t.curve for t in known if t.curve},
        results=_results(known, record.seed),
        shots=_shots(store, record, front, {t.number: t for t in known}),
    )


def _shots(store: Store, study: StudyRecord, front: pd.DataFrame, known: Mapping[int, TrialRecord]) -> list[Shot]:
    """The middle of the first photo, where there are weights and photos."""
    designs = [trial for number in front["trial"] if (trial := known[int(number)]).key]
    place = Checkpoints(store, study)
    seeds = {trial.number: study.seed if trial.seed is None else trial.seed for trial in designs}
    paths = {trial.number: place.path(str(trial.key), seeds[trial.number]) for trial in designs}
    kept = evenly([trial for trial in designs if paths[trial.number].is_file()], _MOST_SHOTS)
    if not kept:
        return []
    source = source_of(study)
    shots = []
    try:
        piece = Place(next(iter(photos(source))))
        shots = [Shot(name, made) for name, made in zip(("HR", "bicubic"), references(source, piece), strict=True)]
    except InputError:  # photos that are not here
        return []
    for trial in kept:
        with suppress(InputError):  # weights that cannot be read
            made = upscaled(paths[trial.number], trial.description, source, piece)
            shots.append(Shot(f"trial {trial.number}", made))
    return shots if len(shots) > 2 else []


def _results(known: Sequence[TrialRecord], seed: int) -> pd.DataFrame:
    rows = [
        (
            t.number if t.replicate_of is None else t.replicate_of,
            t.key,
            seed if t.seed is None else t.seed,
            t.psnr,
            t.finished_at,
        )
        for t in known
        if t.state == "complete" and t.psnr is not None
    ]
    return pd.DataFrame(rows, columns=_RESULTS)


def render_report(data: ReportData) -> str:
    """The page as text. With no finished trial it says so, and shows what there is."""
    axes = [name for name in data.trials.attrs.get("axes", []) if name in data.trials.columns]
    done = data.trials[data.trials["state"] == "complete"]
    errors = {f"{quality_of(data.study.objectives)}_error": standard_errors(data.front, data.noise)}
    data = replace(data, front=data.front.assign(**errors))
    varied = differing_axes(data.front, axes) if len(data.front) else []
    searched = differing_axes(data.trials, axes) if len(data.trials) else []
    views = _views(data, done, searched)
    return _TEMPLATES.get_template("report.html").render(
        views=views.words,
        shown=views.figures,
        study=data.study,
        where=data.where,
        summary=_summary(data, done),
        best=_best_card(data, axes),
        front=_table(data.front, varied, _front_measures(data)),
        trials=_table(data.trials, searched, ("psnr", "mult_adds", "params", "seconds"), data.reached),
        failed=data.trials[data.trials["state"] == "failed"][["trial", "reason"]].to_dict("records"),
        states=_state_counts(data.trials),
        settings=_settings(data.study),
        steps=data.study.recipe.get("steps"),
        shots=data.shots,
        errors=_errors_text(data),
        volume=_volume_text(data.study.objectives),
        figures=_script_json(_figures(data, varied, views.figures)),
        sliders=sliders(done) if len(done) else [],
        budget=_script_json(_choice(data, done, searched)),
        palette=_script_json(exchange(LIGHT, DARK)),
        plotly=Markup(plotly_js()),
        light=asdict(LIGHT),
        dark=asdict(DARK),
    )


@dataclass(frozen=True)
class _Views:
    """What there is beside the front: figures by the name of their place, and what is said of each."""

    figures: dict[str, go.Figure] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)


def _views(data: ReportData, done: pd.DataFrame, searched: list[str]) -> _Views:
    """The views that the live pages have too, where there is enough to show."""
    views = _Views()
    if not len(done):
        return views
    _add_design_views(views, data, done)
    _add_axes_views(views, data, done, searched)
    ends = pd.to_datetime(data.results["finished_at"], utc=True)
    if len(found := per_hour(ends)):
        views.figures["rate"] = plots.rate(found)
    agreement = rung_agreement(data.curves[int(n)] for n in done["trial"] if int(n) in data.curves)
    if len(agreement):
        views.figures["rungs"] = plots.agreement(agreement, title="step")
    if len(data.results) and data.results["trial"].duplicated().any():
        views.figures["seeds"] = plots.seeds(data.results)
    return views


def _add_design_views(views: _Views, data: ReportData, done: pd.DataFrame) -> None:
    """Of the best design."""
    row = best(data.front, quality=quality_of(data.study.objectives))
    if row is None or not data.best_design:
        return
    number, cost = int(row["trial"]), _cost(data)
    views.figures["diagram"] = diagram(data.best_design)
    parts, views.words["parts"] = bill(data.best_design, data.study.space)
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
    spread = model.effects.groupby("axis")["effect"].agg(lambda values: values.max() - values.min())
    telling = list(spread.sort_values(ascending=False).index)
    lanes = [axis for axis in searched if axis in telling[:_MOST_LANES]]
    views.figures["parallel"] = plots.parallel(done, lanes, quality=quality)
    views.figures["effects"] = plots.effects(model.effects, quality=quality)
    views.words["effects"] = (
        f"What a value adds to designs with the same {objective(cost).noun} and the same other axes, relative to the "
        "mean. "
        f"Bars are two standard errors. The axes explain {model.explained:.0%} of what designs of equal cost differ by."
    )
    if len(telling) > 1:
        found = interaction(done, model, telling[0], telling[1])
        views.figures["interaction"] = plots.interaction(found, telling[0], telling[1], quality=quality)


def _cost(data: ReportData) -> str:
    return next(filter(is_cost, data.study.objectives), "mult_adds")


def _choice(data: ReportData, done: pd.DataFrame, searched: Sequence[str]) -> dict[str, Any]:
    """What the page's script tells of the best design inside any budget."""
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
    # As Plotly writes them (NaN to null, arrays to lists), so that the page reads them back unchanged.
    return {name: json.loads(figure.to_json()) for name, figure in figures.items()}


def _script_json(value: object) -> Markup:
    """JSON for a script block: nothing in it can end the block or open a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _output_size(space: Mapping[str, Any]) -> str | None:
    limit = (space.get("constraints") or {}).get("mult_adds")
    at = limit.get("at") if isinstance(limit, Mapping) else None
    if isinstance(at, Sequence) and not isinstance(at, str):
        at = "x".join(str(side) for side in at)
    return str(at).replace("x", TIMES) if at else None


def _summary(data: ReportData, done: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The figures at the head of the page: value, what it is, what more there is to say."""
    counts = data.trials["state"].value_counts().to_dict()
    limits = own_limits(data.study.space)
    budget = " · ".join(f"{format_quantity(most)} {objective(name).short}" for name, most in limits.items())
    spared = int(counts.get("infeasible", 0))
    failed = _plural(int(counts.get("failed", 0)), "failed") or "none failed"
    stopped = _plural(int(counts.get("stopped", 0)), "stopped early")
    rows = [
        (str(len(done)), "designs trained", ", ".join(filter(None, (failed, stopped)))),
        (str(len(data.front)), "on the front", f"of {len(done)} trained"),
        (duration(data.trials["seconds"].sum()), "training time", f"{duration(done['seconds'].mean())} a design"),
        (budget or "none", "budget", f"for an output of {size}" if (size := _output_size(data.study.space)) else ""),
    ]
    if spared:
        rows.append((f"{spared:,}", "over budget", "told by cost alone, never trained"))
    return rows


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count else ""


def _errors_text(data: ReportData) -> str:
    """What the bars in the figure mean; nothing where there are none."""
    if data.noise is None:
        return ""
    of_several = ", divided by the square root of a design's seeds" if _several_seeds(data.front) else ""
    return f"one standard error of the {objective(data.noise.quality).noun} ({data.noise}{of_several})"


def _several_seeds(frame: pd.DataFrame) -> bool:
    return "seeds" in frame.columns and bool((frame["seeds"] > 1).any())


def _volume_text(objectives: Sequence[str]) -> str:
    """What the hypervolume is, and its unit."""
    rows = [objective(name) for name in objectives]
    units = [row.unit or row.noun for row in rows if not row.is_cost]
    units += [f"powers of ten of {row.noun}" for row in rows if row.is_cost]
    what = {1: "the gain", 2: "the area below the front"}.get(len(objectives), "the volume below the front")
    start = ", counted from bicubic upscaling" if "psnr" in objectives else ""
    return f"{what}, in {' times '.join(units)}{start}"


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
    labels = axis_labels(axes)
    bicubic = data.study.reference.get("psnr")
    gain = f"{row['psnr'] - bicubic:+.2f} dB over bicubic ({bicubic:.2f} dB)" if bicubic else None
    error = _cell(f"{quality}_error", row)
    seeds = f" (mean of {row['seeds']} seeds)" if _several_seeds(row.to_frame().T) else ""
    heads = headings()
    own = [name for name in data.study.objectives if is_cost(name) and name not in COSTS]
    shown = ("mult_adds", "params", *own, *QUALITIES)
    facts = [(heads[name], _cell(name, row)) for name in shown if name != quality]
    return _Best(
        trial=int(row["trial"]),
        key=str(row.get("key", "")),
        score=_cell(quality, row),
        unit=objective(quality).unit or objective(quality).noun,
        error=seeds if error == MISSING else f"{PLUS_MINUS} {error}{seeds}",
        gain=gain,
        ties=_ties_text(data, quality),
        facts=facts,
        axes=[(labels[name], text) for name in axes if (text := axis_text(row[name])) != MISSING],
        yaml=_yaml(data.best_design) if data.best_design else "",
        command=f"srsearch best {shlex.quote(data.study.name)} --save design.yaml",
    )


def _ties_text(data: ReportData, quality: str) -> str:
    """How many designs cannot be told from the best, and the cheapest of them; nothing where there are none."""
    tied = tied_with_best(data.trials, data.noise, quality=quality)
    others = tied[~tied["best"]]
    if others.empty:
        return ""
    cheapest = tied.iloc[0]
    number = f"{len(others)} other design{'s' if len(others) > 1 else ''}"
    which = (
        "of them it is the cheapest"
        if cheapest["best"]
        else f"the cheapest is trial {cheapest['trial']} with {_cell('mult_adds', cheapest)} Mult-Adds"
    )
    return f"Tied with {number} within the noise ({data.noise}); {which}."


def _yaml(design: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(_plain(design), sort_keys=False, default_flow_style=False, width=34, allow_unicode=True)
    return text


def _plain(value: object) -> object:
    """Mappings and sequences as YAML writes them without tags."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _front_measures(data: ReportData) -> list[str]:
    """The columns of the front's table before its axes: those that say something."""
    front = data.front
    qualities = [f"{name}{end}" for name in QUALITIES for end in ("", "_error")]
    costs = [name for name in OBJECTIVES if name in ("mult_adds", "params", *data.study.objectives) and is_cost(name)]
    known = [name for name in (*qualities, "seeds", *costs) if name in front.columns and front[name].notna().any()]
    return [name for name in known if name != "seeds" or _several_seeds(front)]


@dataclass(frozen=True)
class _Column:
    """A column's head, its full name where the head is short for it, and whether it holds numbers."""

    label: str
    path: str
    number: bool


@dataclass(frozen=True)
class _Row:
    """A trial's number and state, and for each column what is shown and what it is sorted by."""

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


def _table(
    frame: pd.DataFrame, axes: list[str], measures: Sequence[str], reached: Mapping[int, Sequence[float]] | None = None
) -> _Table:
    labels, heads = axis_labels(axes), headings()
    columns = [_Column(heads[name], name, True) for name in measures]
    columns += [_Column(labels[name], name, _numeric(frame[name])) for name in axes]
    names = [*measures, *axes]
    rows = [_row(record, names, (reached or {}).get(int(record["trial"]))) for record in frame.to_dict("records")]
    return _Table(columns, rows)


def _numeric(column: pd.Series) -> bool:
    values = list(column.dropna())
    return bool(values) and all(isinstance(value, Real) and not isinstance(value, bool) for value in values)


def _row(record: Mapping[Any, Any], names: Sequence[str], reached: Sequence[float] | None) -> _Row:
    shown = {name: (_cell(name, record), _order(record[name])) for name in names}
    if reached is not None:
        # Sorted with those that have no PSNR: what a design had on the way is not what it would have reached.
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


def _cell(name: str, record: Mapping[Any, Any] | pd.Series) -> str:
    value = record.get(name)
    if value is None or pd.isna(value):
        return MISSING
    if is_cost(name):
        return format_quantity(float(value))
    shown = digits(name)
    return f"{float(value):.{shown}f}" if shown else axis_text(value)


def _order(value: object) -> str:
    """What the page sorts by: the exact number, or the word; empty sorts last."""
    return "" if axis_text(value) == MISSING else str(value)


def _state_counts(trials: pd.DataFrame) -> list[tuple[str, str, int]]:
    counts = trials["state"].value_counts().to_dict()
    return [(state, text, int(counts[state])) for state, text in STATES.items() if counts.get(state)]


def _settings(study: StudyRecord) -> list[tuple[str, str]]:
    """How the study was made, as rows of a table."""
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


_TEMPLATES = jinja2.Environment(
    # What the report shares with the live pages is among their assets.
    loader=jinja2.ChoiceLoader(
        [jinja2.PackageLoader("srsearch.dashboard", "page"), jinja2.PackageLoader("srsearch.dashboard.live", "assets")]
    ),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
