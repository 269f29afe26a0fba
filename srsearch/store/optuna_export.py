"""Exports a study to Optuna's database, for optuna-dashboard and Optuna's own analyses. Optuna is imported only here.

States: complete -> COMPLETE; infeasible -> PRUNED with a constraint above zero (as FAIL, Optuna's TPE would come back
to it again and again); stopped -> PRUNED; failed -> FAIL. Left out are running trials, which would never end there,
repeated ones and replicates: they are an earlier trial's design again, and Optuna would take them for worse ones. Our
number is in ``user_attrs["trial"]``.
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
    """Writes the study; see `Store.export_optuna`."""
    kept = [trial for trial in trials if trial.state in _STATES and trial.replicate_of is None]
    spread = _distributions(kept, choices)
    limits = _limits(study)
    frozen = [_frozen(trial, study, spread, _constraints(trial, limits)) for trial in kept]
    with _quiet():
        storage = _open(place)
        try:
            ways = [
                StudyDirection.MAXIMIZE if way == "max" else StudyDirection.MINIMIZE
                for way in directions(study.objectives).values()
            ]
            target = optuna.create_study(study_name=name, storage=storage, directions=ways)
        except optuna.exceptions.DuplicatedStudyError as error:
            raise InputError(f"there is an Optuna study {name!r} in {place} already; give another name") from error
        try:
            target.set_metric_names(list(study.objectives))
            _describe(target, study)
            target.add_trials(frozen)
        except BaseException as error:
            # All or nothing: half a study would look like a whole one.
            optuna.delete_study(study_name=name, storage=storage)
            if isinstance(error, optuna.exceptions.StorageInternalError):
                text = without_passwords(str(error.__cause__ or error), place.url)
                raise WorkError(f"writing the Optuna study to {place} failed: {text}") from error
            raise
        finally:
            storage.engine.dispose()
    return len(frozen)


def _open(place: Place) -> optuna.storages.RDBStorage:
    try:
        if place.path is not None:
            refuse_many_names(place.path)
            place.path.parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.RDBStorage(place.url.render_as_string(hide_password=False))
    except InputError:
        raise
    except Exception as error:  # what comes here depends on the driver and on Optuna
        if isinstance(error, DBAPIError) and getattr(error.orig, "sqlite_errorname", "") == "SQLITE_FULL":
            raise explanation(place, error, opening=True) from None
        first = str(error).strip().splitlines()[:1]
        text = without_passwords(first[0], place.url) if first else type(error).__name__
        raise InputError(f"cannot open {place} for Optuna: {text}") from None


def _describe(target: optuna.Study, study: StudyRecord) -> None:
    for name, value in {
        "scale": study.scale,
        "sampler": study.sampler,
        "seed": study.seed,
        "data_fingerprint": study.data_fingerprint,
        "space_hash": study.space_hash,
    }.items():
        target.set_user_attr(name, value)


def _frozen(
    trial: TrialRecord, study: StudyRecord, spread: Mapping[str, BaseDistribution], constraints: Mapping[str, float]
) -> FrozenTrial:
    frozen = create_trial(
        state=_STATES[trial.state],
        values=_values(trial, study.objectives) if trial.state == "complete" else None,
        params=dict(trial.axes),
        distributions={name: spread[name] for name in trial.axes},
        user_attrs=_attributes(trial),
        # Optuna 5 reads constraints by name, optuna-dashboard 0.21 the older list under this key.
        system_attrs={"constraints": list(constraints.values())},
        intermediate_values={int(step): float(psnr) for step, psnr in trial.curve},
        constraints=dict(constraints),
    )
    # Optuna keeps local times without a zone.
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
    """The space's constraints by name, such as ``mult_adds.max``, with their column and count."""
    limits = {}
    for column, bounds in (study.space.get("constraints") or {}).items():
        for bound in ("min", "max"):
            if isinstance(bounds, Mapping) and bounds.get(bound) is not None:
                limits[f"{column}.{bound}"] = column, parse_quantity(bounds[bound])
    return limits


def _constraints(trial: TrialRecord, limits: Mapping[str, tuple[str, int]]) -> dict[str, float]:
    """How far each limit is missed, as a share of it, and ``valid``; above zero means broken.

    The same names for every trial: Optuna's samplers compare trials by them.
    """
    missed = {}
    for name, (column, limit) in limits.items():
        count = getattr(trial, column, None)
        share = 0.0 if count is None else count / limit - 1.0
        missed[name] = -share if name.endswith("min") else share
    broken = any(share > 0 for share in missed.values())
    # Infeasible for a reason that is no count: an invalid combination.
    missed["valid"] = 1.0 if trial.state == "infeasible" and not broken else 0.0
    return missed


def _distributions(trials: Sequence[TrialRecord], choices: Mapping[str, Sequence[Axis]]) -> dict[str, BaseDistribution]:
    """What each axis can be: the given choices, and whatever else was tried."""
    values: dict[str, list[Axis]] = {name: list(given) for name, given in choices.items()}
    for trial in trials:
        for name, value in trial.axes.items():
            seen = values.setdefault(name, [])
            if not any(value == other and type(value) is type(other) for other in seen):
                seen.append(value)
    return {name: _distribution(seen) for name, seen in values.items() if seen}


def _distribution(values: list[Axis]) -> BaseDistribution:
    """Evenly spaced integers as such, which keeps their order for Optuna; anything else as categories."""
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
    """Without Optuna's messages for developers."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
