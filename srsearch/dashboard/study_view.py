"""What the report and the live pages both say about a study: computed once, worded once. No Dash, no torch."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from srsearch.analysis.captions import several_seeds
from srsearch.analysis.effects import EqualCost
from srsearch.analysis.objectives import costs_of
from srsearch.dashboard.budget import LIMITED
from srsearch.dashboard.crops import SIDE, Picture, Place, Source, references, upscaled
from srsearch.dashboard.formats import STATES, TIMES
from srsearch.errors import InputError
from srsearch.labels import MISSING, axis_labels, axis_text, scales_text
from srsearch.objectives import COSTS, objective
from srsearch.plugins import plugin_files
from srsearch.store import StudyRecord, TrialRecord
from srsearch.store.changes import FollowedTrial

MOST_AXES = 9
"""How many axes fit into a figure of parallel coordinates."""

TRAINING_COLUMNS = ["trial", "key", "seed", "psnr", "replicate", "finished_at"]

NOTHING_FINISHED = "No design has finished training yet."


@dataclass(frozen=True)
class Caption:
    """The words around a figure.

    Attributes:
        title: Its heading.
        label: What it shows, for screen readers.
        lead: How to read it; may be empty.
    """

    title: str
    label: str
    lead: str = ""


CAPTIONS: Mapping[str, Caption] = {
    "diagram": Caption(
        "Diagram",
        "The parts of the network, from LR to HR image.",
        "Lines above the boxes are results that are added or concatenated further on.",
    ),
    "parts": Caption("Cost of the parts", "Cost of each part, as bars."),
    "curve": Caption(
        "Learning curve",
        "PSNR by training step, beside designs of similar cost.",
        "The band shows designs of similar cost.",
    ),
    "parallel": Caption(
        "Designs across the axes",
        "Parallel coordinates of the designs, coloured by quality.",
        "Each line is a design, coloured by its quality.",
    ),
    "effects": Caption("Effect of each value at equal cost", "Effect of each value of each axis at equal cost."),
    "interaction": Caption(
        "Two axes together",
        "Quality at equal cost for each pair of values of two axes.",
        "Mean quality relative to designs of the same cost. Hover for the interaction that neither axis explains.",
    ),
    "rungs": Caption(
        "Rankings at the rungs",
        "Kendall's tau between rankings at the steps of the training.",
        "Kendall's \N{GREEK SMALL LETTER TAU} between the rankings of finished designs at two steps: 1 is the same "
        "order, 0 is no relation. It shows how early a bad design can be recognised.",
    ),
    "seeds": Caption(
        "Designs trained with several seeds",
        "PSNR of every training of designs that have several.",
        "Every training, and the mean of each design.",
    ),
    "rate": Caption("Pace", "Evaluations finished per hour, over time."),
    "hypervolume": Caption("Hypervolume", "Hypervolume of the front after every finished evaluation."),
}
"""By the name of the figure."""


@dataclass(frozen=True)
class Caveat:
    """Something a reader must know before comparing numbers: a bold heading and a text."""

    heading: str
    text: str


def is_synthetic(study: StudyRecord) -> bool:
    """Whether the scores were invented by the synthetic evaluator."""
    return study.recipe.get("evaluator") == "synthetic"


def scales_title(study: StudyRecord) -> str:
    """The upscaling factors of a study as its title has them, with multiplication signs."""
    return scales_text(study.scales).replace("x", TIMES)


def scale_caveat(study: StudyRecord) -> str:
    """Which of several scales the numbers are for; empty for a study of one scale."""
    if len(study.scales) == 1:
        return ""
    return (
        f" The networks were trained at {scales_title(study)} in turns. PSNR, Mult-Adds and activations are those at "
        f"{TIMES}{study.scale}."
    )


def score_warning(study: StudyRecord) -> Caveat:
    """What the study's scores must not be compared with."""
    if is_synthetic(study):
        return Caveat(
            "These scores are invented.",
            "This study used the synthetic evaluator, which is for trying things out: nothing was trained.",
        )
    steps = study.recipe.get("steps")
    return Caveat(
        "How to read the PSNR.",
        f"These networks were trained briefly{f' ({steps} steps)' if steps else ''}, to tell designs apart, and scored "
        "on the luma of this study's validation photos. The figures cannot be compared with published PSNR, which is "
        "measured on other photos after full training. Train a design in full before you judge it."
        f"{scale_caveat(study)}",
    )


def pictures_warning(study: StudyRecord) -> Caveat:
    """What the pictures do not show."""
    steps = study.recipe.get("steps")
    return Caveat(
        "Briefly trained networks.",
        f"They were trained {f'for {steps} steps' if steps else 'briefly'} to tell designs apart. Full training "
        "improves them a lot and may change their order. The PSNR is that of the crop shown, not of all photos.",
    )


def printed_for(study: StudyRecord) -> pd.DataFrame | None:
    """The published networks in a study's space with their printed PSNR, for `srsearch.analysis.ranking`."""
    from srsearch.search.published import printed_in
    from srsearch.space import Space

    try:
        printed = printed_in(Space.from_dict(study.space))
    except InputError:  # it has parts that are not registered here
        return None
    return None if printed is None else printed.frame()


def main_cost(objectives: Iterable[str]) -> str:
    """The cost on x axes: the first among the objectives, else Mult-Adds."""
    return next(iter(costs_of(objectives)), COSTS[0])


def costs_shown(objectives: Iterable[str]) -> list[str]:
    """The costs in cards and tables: those that have a slider, and those among the objectives."""
    return costs_of([*LIMITED, *objectives])


def state_counts(trials: pd.DataFrame) -> list[tuple[str, str, int]]:
    """State, its name for people, and how many trials are in it; states without trials are left out."""
    counts = trials["state"].value_counts().to_dict()
    return [(state, text, int(counts[state])) for state, text in STATES.items() if counts.get(state)]


def columns_with_values(frame: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """Those of the columns that have any value; ``seeds`` only where a design has several."""
    known = [name for name in names if name in frame.columns and frame[name].notna().any()]
    return [name for name in known if name != "seeds" or several_seeds(frame)]


def ranked_axes(model: EqualCost) -> list[str]:
    """The axes, from the one with the largest spread of effects at equal cost to the smallest."""
    spread = model.effects.groupby("axis")["effect"].agg(lambda values: values.max() - values.min())
    return list(spread.sort_values(ascending=False).index)


def strongest_axes(axes: Sequence[str], model: EqualCost | None) -> list[str]:
    """At most `MOST_AXES` of the axes: those with the largest effects, in the order given."""
    if model is None or len(axes) <= MOST_AXES:
        return list(axes[:MOST_AXES])
    strongest = set(ranked_axes(model)[:MOST_AXES])
    return [axis for axis in axes if axis in strongest]


def effects_text(model: EqualCost, cost: str) -> str:
    """How to read the figure of effects at equal cost."""
    return (
        f"What a value adds to designs with the same {objective(cost).noun} and the same other axes, relative to the "
        f"mean. Bars are two standard errors. The axes explain {model.explained:.0%} of the differences between "
        "designs of equal cost that the model has not seen."
    )


def hypervolume_text(objectives: Sequence[str]) -> str:
    """What the hypervolume is, its unit, and how to read its curve."""
    rows = [objective(name) for name in objectives]
    units = [row.unit or row.noun for row in rows if not row.is_cost]
    units += [f"powers of ten of {row.noun}" for row in rows if row.is_cost]
    what = {1: "the gain", 2: "the area below the front"}.get(len(objectives), "the volume below the front")
    start = ", counted from bicubic upscaling" if "psnr" in objectives else ""
    return (
        f"The hypervolume is {what}, in {' times '.join(units)}{start}. When it stays flat, the search "
        "has little left to find."
    )


def evaluated_seed(trial: TrialRecord | FollowedTrial, study_seed: int) -> int:
    """The seed that a trial was trained with."""
    seed = trial.seed if isinstance(trial, TrialRecord) else trial.evaluated_seed
    return study_seed if seed is None else seed


def trainings(trials: Iterable[TrialRecord | FollowedTrial], study_seed: int) -> pd.DataFrame:
    """Every finished training of the study's own length, replicates too.

    Returns:
        Columns ``trial`` (the design's), ``key``, ``seed``, ``psnr``, ``replicate`` (whether it is one) and
        ``finished_at``.
    """
    rows = [
        (
            trial.number if trial.replicate_of is None else trial.replicate_of,
            trial.key,
            evaluated_seed(trial, study_seed),
            trial.psnr,
            trial.replicate_of is not None,
            trial.finished_at,
        )
        for trial in trials
        if trial.state == "complete" and trial.psnr is not None and trial.steps is None
    ]
    return pd.DataFrame(rows, columns=TRAINING_COLUMNS)


def axis_values(row: Mapping[Any, Any] | pd.Series, axes: Sequence[str]) -> list[tuple[str, str]]:
    """The label and the value of each axis that a design takes."""
    return [(label, text) for axis, label in axis_labels(axes).items() if (text := axis_text(row[axis])) != MISSING]


def design_yaml(description: Mapping[str, Any]) -> str:
    """A design as the YAML of a design file."""
    text: str = yaml.safe_dump(
        _plain(description), sort_keys=False, default_flow_style=False, width=34, allow_unicode=True
    )
    return text


def _plain(value: object) -> object:
    """Mappings and sequences of any type as dictionaries and lists, which YAML writes without tags."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def save_command(study: str, *, trial: int | None = None, storage: str | None = None) -> str:
    """The command that writes a design to a file, with the plugins of this process: the best one, or a trial's."""
    chosen = "" if trial is None else f" --trial {trial}"
    database = "" if storage is None else f" --storage {shlex.quote(storage)}"
    plugins = "".join(f" --plugin {shlex.quote(_from_here(file))}" for file in plugin_files())
    return f"srsearch best {shlex.quote(study)}{chosen} --save design.yaml{database}{plugins}"


def _from_here(file: str) -> str:
    """A path relative to the working directory, where the file is inside it."""
    here = Path.cwd()
    return str(Path(file).relative_to(here)) if Path(file).is_relative_to(here) else file


@dataclass(frozen=True)
class Shot:
    """A crop of a photo as one network, bicubic upscaling, or the original shows it.

    Attributes:
        name: ``HR``, ``bicubic`` or ``trial 3``.
        picture: The crop.
        trial: Number of the design; None for HR and bicubic.
    """

    name: str
    picture: Picture
    trial: int | None = None

    @property
    def described(self) -> str:
        """The picture in words, for screen readers."""
        psnr = "" if self.picture.psnr is None else f", {self.picture.psnr:.2f} dB"
        return f"{SIDE} LR pixels of the photo by {self.name}{psnr}"


@dataclass(frozen=True)
class SavedNetwork:
    """A finished design whose weights were saved.

    Attributes:
        trial: Its number.
        path: The checkpoint.
        description: The design as plain JSON.
    """

    trial: int
    path: Path
    description: Mapping[str, Any]


def shots(source: Source, place: Place, networks: Iterable[SavedNetwork]) -> tuple[list[Shot], list[tuple[str, str]]]:
    """HR, bicubic, and what each network makes of the crop; then the names of those that failed, and why.

    Raises:
        InputError: The photos are not here.
    """
    made = [Shot(name, picture) for name, picture in zip(("HR", "bicubic"), references(source, place), strict=True)]
    failed = []
    for network in networks:
        name = f"trial {network.trial}"
        try:
            made.append(Shot(name, upscaled(network.path, network.description, source, place), network.trial))
        except InputError as error:  # weights that cannot be read
            failed.append((name, str(error)))
    return made, failed
