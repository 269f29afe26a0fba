"""Optuna's samplers behind one door: ask and tell on an in-memory study that is rebuilt from our tables.

No sampler state lives outside SQL: each proposal is drawn by a fresh sampler, seeded by (study seed, trial number),
from the trials so far; the few attributes that a sampler keeps on trials and study are stored with the trial, and put
back.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from srsearch.architecture.parts import OptionValue
from srsearch.space import Axis, Candidate, Space
from srsearch.store import TrialRecord

_POPULATION = 20

_SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {
    "tpe": lambda seed, _: TPESampler(seed=seed, multivariate=True, group=True, warn_independent_sampling=False),
    "nsga2": lambda seed, _: NSGAIISampler(seed=seed, population_size=_POPULATION),
    "random": lambda seed, _: RandomSampler(seed=seed),
    # A sequence is one only under one seed.
    "qmc": lambda _, seed: QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
    "gp": lambda seed, _: GPSampler(seed=seed, warn_independent_sampling=False),
}
"""Samplers by name, made from the proposal's seed and the study's."""


def proposal_seed(study_seed: int, number: int) -> int:
    """The seed of one proposal, 32 bits."""
    digest = hashlib.sha256(f"{study_seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


class Proposer:
    """Proposes points of a space.

    Args:
        space: The space.
        sampler: Which of Optuna's samplers: tpe, nsga2, random, qmc, gp.
        seed: The study's seed.
    """

    def __init__(self, space: Space, sampler: str, seed: int) -> None:
        self._space = space
        self._make_sampler = _SAMPLERS[sampler]
        self._seed = seed
        self._distributions = {axis.name: _distribution(axis) for axis in space.axes}
        self._axes = {axis.name: axis for axis in space.axes}
        self._violations: dict[int, tuple[float, ...]] = {}

    def propose(self, number: int, history: Sequence[TrialRecord]) -> tuple[Candidate, dict[str, Any]]:
        """The next point, feasible or not.

        Args:
            number: The trial that it is for.
            history: All trials before it.

        Returns:
            The point, and what the sampler wants kept with the trial.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna announces what is experimental in it at every use.
            previous = optuna.logging.get_verbosity()
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            try:
                return self._propose(number, history)
            finally:
                optuna.logging.set_verbosity(previous)

    def _propose(self, number: int, history: Sequence[TrialRecord]) -> tuple[Candidate, dict[str, Any]]:
        storage = optuna.storages.InMemoryStorage()
        objectives = self._space.objectives
        study = optuna.create_study(
            storage=storage,
            study_name="rebuilt",
            sampler=self._make_sampler(proposal_seed(self._seed, number), self._seed),
            directions=["maximize" if name in ("psnr", "ssim") else "minimize" for name in objectives],
        )
        study_id = storage.get_study_id_from_name("rebuilt")
        for record in history:
            # A repeat must neither count twice nor speak against its design: samplers are not told of it.
            if record.state != "repeated":
                study.add_trial(self._frozen(record))
        kept: Mapping[str, Any] = next(
            (record.sampler_state["study"] for record in reversed(history) if record.sampler_state), {}
        )
        for name, value in kept.items():
            storage.set_study_system_attr(study_id, name, value)
        trial = study.ask()
        chosen: dict[str, OptionValue] = {}
        for axis in self._space.axes:
            if axis.exists(chosen):
                chosen[axis.name] = _suggest(trial, axis)
        state = {
            "trial": dict(
                storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)).system_attrs
            ),
            "study": dict(storage.get_study_system_attrs(study_id)),
        }
        return self._space.candidate(chosen), state

    def _frozen(self, record: TrialRecord) -> FrozenTrial:
        """A trial of ours as one of Optuna's."""
        params = {name: self._index(name, value) for name, value in record.axes.items()}
        attributes = dict(record.sampler_state.get("trial", {})) if record.sampler_state else {}
        common: dict[str, Any] = {
            "params": params,
            "distributions": {name: self._distributions[name] for name in params},
            "system_attrs": attributes,
        }
        if record.state == "complete":
            values = [objective_value(name, getattr(record, name)) for name in self._space.objectives]
            return optuna.trial.create_trial(state=TrialState.COMPLETE, values=values, **common)
        if record.state == "infeasible":
            # PRUNED with its constraints, never FAIL: of a failed trial TPE learns nothing, and proposes it again.
            if record.number not in self._violations:
                self._violations[record.number] = self._space.candidate(record.axes).violations
            violations = self._violations[record.number]
            constraints = {str(index): value for index, value in enumerate(violations)}
            return optuna.trial.create_trial(state=TrialState.PRUNED, constraints=constraints, **common)
        if record.state == "running":
            return optuna.trial.create_trial(state=TrialState.RUNNING, **common)
        return optuna.trial.create_trial(state=TrialState.FAIL, **common)

    def _index(self, name: str, value: OptionValue) -> Any:
        axis = self._axes[name]
        return axis.values.index(value) if axis.ordered else value


def objective_value(name: str, value: float | int | None) -> float:
    """A result as samplers see it: costs as their decimal logarithm."""
    if value is None:
        return math.nan
    return float(value) if name in ("psnr", "ssim") else math.log10(value)


def _distribution(axis: Axis) -> BaseDistribution:
    # Ordered values by their position: samplers then know that 24 lies between 16 and 32.
    return IntDistribution(0, len(axis.values) - 1) if axis.ordered else CategoricalDistribution(axis.values)


def _suggest(trial: optuna.Trial, axis: Axis) -> OptionValue:
    if axis.ordered:
        return axis.values[trial.suggest_int(axis.name, 0, len(axis.values) - 1)]
    return cast(OptionValue, trial.suggest_categorical(axis.name, axis.values))
