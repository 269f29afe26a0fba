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
from typing import Any

import optuna
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial, TrialState

from srsearch.search.frontier import FrontierSampler
from srsearch.search.parameters import distributions, encoded, suggest_axes
from srsearch.space import Candidate, Space
from srsearch.store import TrialRecord

_POPULATION = 20

_SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {
    "tpe": lambda seed, _: TPESampler(seed=seed, multivariate=True, group=True, warn_independent_sampling=False),
    "nsga2": lambda seed, _: NSGAIISampler(seed=seed, population_size=_POPULATION),
    "nsga3": lambda seed, _: NSGAIIISampler(seed=seed, population_size=_POPULATION),
    "random": lambda seed, _: RandomSampler(seed=seed),
    # A sequence is one only under one seed.
    "qmc": lambda _, seed: QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
    "gp": lambda seed, _: GPSampler(seed=seed, warn_independent_sampling=False),
}
"""Optuna's samplers by name, made from the proposal's seed and the study's."""


def proposal_seed(study_seed: int, number: int) -> int:
    """The seed of one proposal, 32 bits."""
    digest = hashlib.sha256(f"{study_seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


class Proposer:
    """Proposes points of a space.

    Args:
        space: The space.
        sampler: ``frontier``, or one of Optuna's: tpe, nsga2, nsga3, random, qmc, gp.
        seed: The study's seed.
        reference: The quality that the study's hypervolume counts from.
    """

    def __init__(self, space: Space, sampler: str, seed: int, reference: float | None = None) -> None:
        self._space = space
        self._sampler = sampler
        self._seed = seed
        self._distributions = distributions(space)
        self._frontier = FrontierSampler(space, reference=reference, seed=seed) if sampler == "frontier" else None
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
            sampler=self._make_sampler(number),
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
        chosen = suggest_axes(trial, self._space)
        state = {
            "trial": dict(
                storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)).system_attrs
            ),
            "study": dict(storage.get_study_system_attrs(study_id)),
        }
        return self._space.candidate(chosen), state

    def _make_sampler(self, number: int) -> BaseSampler:
        return self._frontier or _SAMPLERS[self._sampler](proposal_seed(self._seed, number), self._seed)

    def _frozen(self, record: TrialRecord) -> FrozenTrial:
        """A trial of ours as one of Optuna's."""
        params = encoded(self._space, record.axes)
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


def objective_value(name: str, value: float | int | None) -> float:
    """A result as samplers see it: costs as their decimal logarithm."""
    if value is None:
        return math.nan
    return float(value) if name in ("psnr", "ssim") else math.log10(value)
