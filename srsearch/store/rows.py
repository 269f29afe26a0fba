"""Rows of the tables as records, and records as rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from srsearch.store.records import ENDED, Curve, EvaluationRecord, StudyRecord, TrialRecord, content_hash

TRIAL_FIELDS = TrialRecord.__slots__
"""The columns that `trial_record` and `changed_record` read, in their order."""

CONSTANT_FIELDS = (
    *("number", "key", "axes", "description", "params", "mult_adds", "activations"),
    *("sampler_state", "started_at", "replicate_of", "seed", "steps"),
)
"""What never changes about a trial; `changed_record` does not read it."""


def study_record(row: Row[Any]) -> StudyRecord:
    """The record of a row whose columns are named like the fields of a `StudyRecord`.

    Raises:
        ValueError: A value that srsearch never writes: the database is damaged.
    """
    values = dict(row._mapping)
    check_study(values)
    values["objectives"] = tuple(values["objectives"])
    return StudyRecord(**values)


def check_study(values: Mapping[str, Any]) -> None:
    """Checks the columns of a study that are JSON.

    Raises:
        ValueError: A value that srsearch never writes: the database is damaged.
    """
    for name in ("space", "recipe", "data", "reference"):
        if not isinstance(values[name], Mapping):
            raise ValueError(f"{name} is not a mapping")
    objectives = values["objectives"]
    if not (isinstance(objectives, list) and objectives and all(isinstance(name, str) for name in objectives)):
        raise ValueError("objectives is not a list of names")
    if len(set(objectives)) < len(objectives):
        raise ValueError("objectives has a name twice")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values["reference"].values()):
        raise ValueError("reference is not of numbers")


def check_sampler_state(state: Any) -> None:
    """Checks what is stored of a sampler with a trial.

    Raises:
        ValueError: It is nothing that a `Proposer` writes.
    """
    if not isinstance(state, Mapping) or not set(state) <= {"trial", "study", "repaired"}:
        raise ValueError("the state of a sampler is not what srsearch writes")
    if not all(isinstance(state.get(name, {}), Mapping) for name in ("trial", "study")):
        raise ValueError("the state of a sampler is no mapping")


def changes_by_hand(record: StudyRecord, evaluation: EvaluationRecord | None) -> list[str]:
    """What somebody has changed in a study's row: it contradicts itself, or what was evaluated.

    Args:
        record: The study.
        evaluation: One that was made for it; None: there is none.
    """
    changes = []
    said = record.space | record.space.get("search", {})
    if len(record.scales) > 1:  # the row has the one that the budget is for
        said |= {"scale": record.space.get("constraints", {}).get("scale", record.scales[-1])}
    for name in ("scale", "objectives", "sampler", "seed"):
        value = getattr(record, name)
        value = list(value) if isinstance(value, tuple) else value
        if name in said and said[name] != value:
            changes.append(f"its {name} is {value!r}, {said[name]!r} in its space")
    if evaluation is not None and content_hash(evaluation.recipe) == evaluation.recipe_hash:
        ours, theirs = ({**recipe, "runtime": None} for recipe in (record.recipe, evaluation.recipe))
        for name in sorted({*ours, *theirs}):
            if ours.get(name) != theirs.get(name):
                changes.append(
                    f"{name} of its recipe is {ours.get(name)!r}, and {theirs.get(name)!r} in that of its evaluations"
                )
    return changes


def study_values(record: StudyRecord) -> dict[str, Any]:
    """The columns of a study's row."""
    values = {name: getattr(record, name) for name in StudyRecord.__slots__}
    values["objectives"] = list(record.objectives)
    return _plain(values)


def trial_record(row: Row[Any]) -> TrialRecord:
    """The record of a row with the columns `TRIAL_FIELDS`."""
    return _trial_record(_trial_fields(row))


def changed_record(before: TrialRecord, row: Row[Any]) -> TrialRecord:
    """A record brought up to date with a row of `statements.changes`."""
    return _trial_record(_trial_fields(row) | {name: getattr(before, name) for name in CONSTANT_FIELDS})


def _trial_fields(row: Row[Any]) -> dict[str, Any]:
    # A row's own mapping takes twice as long, and a study may have a hundred thousand rows.
    return dict(zip(TRIAL_FIELDS, row, strict=True))


def _trial_record(fields: dict[str, Any]) -> TrialRecord:
    fields["description"] = fields["description"] or {}
    fields["curve"] = _curve(fields["curve"])
    return TrialRecord(**fields)


def trial_values(study_id: int, trial: TrialRecord) -> dict[str, Any]:
    """The columns of a trial's row, except those of its evaluation and of its lease."""
    started = trial.started_at or datetime.now(UTC)
    return {
        "study_id": study_id,
        "number": trial.number,
        "key": trial.key,
        "state": trial.state,
        "reason": None if trial.reason is None else storable(trial.reason),
        "axes": dict(trial.axes),
        "params": trial.params,
        "mult_adds": trial.mult_adds,
        "activations": trial.activations,
        "curve": points(trial.curve),
        "cached": trial.cached,
        "sampler_state": dict(trial.sampler_state),
        "started_at": started,
        "finished_at": trial.finished_at or started if trial.state in ENDED else None,
        "replicate_of": trial.replicate_of,
        "seed": trial.seed,
        "steps": trial.steps,
        "cleared_step": trial.cleared_step,
    }


def evaluation_record(row: Row[Any]) -> EvaluationRecord:
    """The record of a row that has a column for each field of an `EvaluationRecord`."""
    values = {name: getattr(row, name) for name in EvaluationRecord.__slots__}
    values["curve"] = _curve(values["curve"])
    return EvaluationRecord(**values)


def checked_evaluation(row: Row[Any]) -> EvaluationRecord:
    """As `evaluation_record`, for evaluations that go to another database.

    Raises:
        ValueError: The recipe is not the one that was hashed: the database is damaged.
    """
    record = evaluation_record(row)
    if content_hash(record.recipe) != record.recipe_hash:
        raise ValueError(f"the recipe of the evaluation of {record.key[:8]} does not match its hash")
    return record


def evaluation_values(record: EvaluationRecord) -> dict[str, Any]:
    """The columns of an evaluation's row."""
    values = {name: getattr(record, name) for name in EvaluationRecord.__slots__}
    values["curve"] = points(record.curve)
    return {**_plain(values), "created_at": datetime.now(UTC)}


def points(curve: Curve) -> list[list[float]]:
    """A curve as JSON: lists of step and PSNR."""
    return [[step, psnr] for step, psnr in curve]


def storable(text: str) -> str:
    """Text that every database accepts: messages of exceptions may hold surrogates and null characters."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def _curve(points: Sequence[Sequence[float]]) -> Curve:
    return tuple(map(tuple, points))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with every mapping as a dictionary, which JSON needs."""
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
