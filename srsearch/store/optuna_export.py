"""Exports a study to Optuna's database, for optuna-dashboard and Optuna's own analyses. Optuna is imported only here.

States become: complete -> COMPLETE; stopped -> PRUNED; failed -> FAIL; infeasible -> PRUNED with a constraint above
zero, because Optuna's TPE proposes the parameters of FAIL trials again and again.

Three kinds of trials are not exported: running ones, which would never end in Optuna's database, and repeated ones and
replicates, which have an earlier trial's design and which Optuna would take for further results.

Optuna numbers its trials itself. The study's number of a trial is in ``user_attrs["trial"]``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import DBAPIError

from srsearch.analysis import directions
from srsearch.errors import InputError, WorkError
from srsearch.objectives import objective
from srsearch.quantity import parse_quantity
from srsearch.store.credentials import without_passwords
from srsearch.store.diagnosis import explanation
from srsearch.store.place import Place
from srsearch.store.records import Axis, StudyRecord, TrialRecord
from srsearch.store.sqlite import refuse_many_names

_STATES = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "infeasible": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def export(
    study: StudyRecord,
    trials: Sequence[TrialRecord],
    place: Place,
    name: str,
    choices: Mapping[str, Sequence[Axis]],
) -> int:
    """Write a study as a new one of Optuna's, completely or not at all.

    Args:
        study: The study.
        trials: All its trials.
        place: Optuna's database.
        name: Name of the new study.
        choices: By axis, the values that the space has for it.

    Returns:
        The number of trials that were written.

    Raises:
        InputError: The database cannot be opened, or has a study of this name.
        WorkError: Writing failed.
    """
    exported = [trial for trial in trials if trial.state in _STATES and trial.replicate_of is None]
    axis_distributions = _distributions(exported, choices)
    limits = _limits(study)
    frozen = [_frozen(trial, study, axis_distributions, _constraints(trial, limits)) for trial in exported]
    with _quiet():
        storage = _open(place)
        try:
            study_directions = [
                StudyDirection.MAXIMIZE if direction == "max" else StudyDirection.MINIMIZE
                for direction in directions(study.objectives).values()
            ]
            target = optuna.create_study(study_name=name, storage=storage, directions=study_directions)
        except optuna.exceptions.DuplicatedStudyError as error:
            raise InputError(f"there is an Optuna study {name!r} in {place} already; give another name") from error
        try:
            target.set_metric_names(list(study.objectives))
            _describe(target, study)
            target.add_trials(frozen)
        except BaseException as error:
            # A part of a study would look like a complete one.
            optuna.delete_study(study_name=name, storage=storage)
            if isinstance(error, optuna.exceptions.StorageInternalError):
                text = without_passwords(str(error.__cause__ or error), place.url)
                raise WorkError(f"writing the Optuna study to {place} failed: {text}") from error
            raise
        finally:
            storage.engine.dispose()
    return len(frozen)


def _open(place: Place) -> optuna.storages.RDBStorage:
    """Open Optuna's database, and create it where there is none.

    Raises:
        InputError: It cannot be opened.
    """
    try:
        if place.path is not None:
            refuse_many_names(place.path)
            place.path.parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.RDBStorage(place.url.render_as_string(hide_password=False))
    except InputError:
        raise
    except Exception as error:  # its class depends on the driver and on Optuna
        if isinstance(error, DBAPIError) and getattr(error.orig, "sqlite_errorname", "") == "SQLITE_FULL":
            raise explanation(place, error, opening=True) from None
        first = str(error).strip().splitlines()[:1]
        text = without_passwords(first[0], place.url) if first else type(error).__name__
        raise InputError(f"cannot open {place} for Optuna: {text}") from None


def _describe(target: optuna.Study, study: StudyRecord) -> None:
    """Write what identifies the study into Optuna's user attributes."""
    for name, value in {
        "scale": study.scale,
        "sampler": study.sampler,
        "seed": study.seed,
        "data_fingerprint": study.data_fingerprint,
        "space_hash": study.space_hash,
    }.items():
        target.set_user_attr(name, value)


def _frozen(
    trial: TrialRecord,
    study: StudyRecord,
    axis_distributions: Mapping[str, BaseDistribution],
    constraints: Mapping[str, float],
) -> FrozenTrial:
    """Convert a trial into one of Optuna's."""
    frozen = create_trial(
        state=_STATES[trial.state],
        values=_values(trial, study.objectives) if trial.state == "complete" else None,
        params=dict(trial.axes),
        distributions={name: axis_distributions[name] for name in trial.axes},
        user_attrs=_attributes(trial),
        # Optuna 5 reads constraints by name; optuna-dashboard 0.21 reads the list under this key.
        system_attrs={"constraints": list(constraints.values())},
        intermediate_values={int(step): float(psnr) for step, psnr in trial.curve},
        constraints=dict(constraints),
    )
    # Optuna stores local times without a time zone.
    started, finished = trial.started_at, trial.finished_at or trial.started_at
    if started is not None and finished is not None:
        finished = max(started, finished)  # the clock may have been set back, before times were kept in order
        frozen.datetime_start = started.astimezone().replace(tzinfo=None)
        frozen.datetime_complete = finished.astimezone().replace(tzinfo=None)
    return frozen


def _values(trial: TrialRecord, objectives: Sequence[str]) -> list[float]:
    values = [objective(name).of(trial) for name in objectives]
    return [math.nan if value is None else float(value) for value in values]


def _attributes(trial: TrialRecord) -> dict[str, Any]:
    names = ("key", "params", "mult_adds", "activations", "psnr", "ssim", "seconds", "cached", "reason")
    values = {"trial": trial.number} | {name: getattr(trial, name) for name in names}
    values["description"] = dict(trial.description)
    return {name: value for name, value in values.items() if value is not None}


def _limits(study: StudyRecord) -> dict[str, tuple[str, int]]:
    """The column and the limit of each constraint of the space, by a name such as ``mult_adds.max``."""
    limits = {}
    for column, bounds in (study.space.get("constraints") or {}).items():
        for bound in ("min", "max"):
            if isinstance(bounds, Mapping) and bounds.get(bound) is not None:
                limits[f"{column}.{bound}"] = column, parse_quantity(bounds[bound])
    return limits


def _constraints(trial: TrialRecord, limits: Mapping[str, tuple[str, int]]) -> dict[str, float]:
    """Optuna's constraint values of a trial: above zero where the constraint is violated.

    A limit's value is the difference to the limit, divided by it. ``valid`` is 1 for an infeasible trial that violates
    no limit, because its combination of axes is invalid. All trials have all names: Optuna's samplers compare trials by
    them.
    """
    violations = {}
    for name, (column, limit) in limits.items():
        count = getattr(trial, column, None)
        excess = 0.0 if count is None else count / limit - 1.0
        violations[name] = -excess if name.endswith("min") else excess
    over_a_limit = any(violation > 0 for violation in violations.values())
    violations["valid"] = 1.0 if trial.state == "infeasible" and not over_a_limit else 0.0
    return violations


def _distributions(trials: Sequence[TrialRecord], choices: Mapping[str, Sequence[Axis]]) -> dict[str, BaseDistribution]:
    """The distribution of each axis: over its choices, and other values that a trial has."""
    values: dict[str, list[Axis]] = {name: list(given) for name, given in choices.items()}
    for trial in trials:
        for name, value in trial.axes.items():
            known = values.setdefault(name, [])
            if not any(value == other and type(value) is type(other) for other in known):
                known.append(value)
    return {name: _distribution(known) for name, known in values.items() if known}


def _distribution(values: list[Axis]) -> BaseDistribution:
    """Evenly spaced integers keep their order for Optuna; all other values are categories."""
    integers = sorted(value for value in values if isinstance(value, int) and not isinstance(value, bool))
    if len(integers) == len(values):
        steps = {after - before for before, after in pairwise(integers)}
        if len(steps) <= 1:
            return IntDistribution(integers[0], integers[-1], step=max(steps, default=1))
        return CategoricalDistribution(integers)
    numbers = sorted(value for value in values if isinstance(value, int | float) and not isinstance(value, bool))
    return CategoricalDistribution(numbers if len(numbers) == len(values) else values)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's log and its warnings about experimental features."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
