"""Optuna's samplers behind one door: ask and tell on a study that is rebuilt from our tables.

No sampler state lives outside SQL: each proposal is drawn by a fresh sampler, seeded by (study seed, trial number),
from the trials so far; the few attributes that a sampler keeps on trials and study are stored with the trial, and put
back.
"""

from __future__ import annotations

import copy
import hashlib
import io
import math
import pickle
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import optuna
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    TPESampler,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from srsearch.errors import InputError, suggest
from srsearch.objectives import is_cost, objective
from srsearch.search.processes import one_thread
from srsearch.search.samplers.frontier import FrontierSampler
from srsearch.search.samplers.optuna_storage import STUDY_NAME, RebuiltStorage
from srsearch.search.samplers.parameters import distributions, encoded, suggest_axes
from srsearch.search.samplers.prior import Observation
from srsearch.space import Candidate, Space
from srsearch.space.schema import Sampler
from srsearch.store import TrialRecord

_POPULATION = 20

_SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {
    "tpe": lambda seed, _: TPESampler(seed=seed, multivariate=True, group=True, warn_independent_sampling=False),
    "nsga2": lambda seed, _: NSGAIISampler(seed=seed, population_size=_POPULATION),
    "nsga3": lambda seed, _: NSGAIIISampler(seed=seed, population_size=_POPULATION),
    # A sequence is one only under one seed.
    "qmc": lambda _, seed: QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
    "gp": lambda seed, _: GPSampler(seed=seed, warn_independent_sampling=False),
    # With a margin: without it, axes of few values soon stand still (Hamano et al., GECCO 2022).
    "cmaes": lambda seed, _: CmaEsSampler(seed=seed, with_margin=True, warn_independent_sampling=False),
}
"""Optuna's samplers by name, made from the proposal's seed and the study's."""

REPAIRED = frozenset({"tpe", "nsga2", "nsga3", "gp", "cmaes"})
"""The samplers that learn: what they propose outside the feasible set tells where to look, so the nearest feasible
design stands in for it. Of those that do not (random, qmc) it would only heap designs at the edge of the budget: for
them a random feasible design stands in. `frontier` proposes feasible designs only."""

_SAID_TWICE = ("tpe:relative_params", "gp:relative_params")
"""What a sampler proposed, which the trial's axes say: there only for samplers that run at the same time."""


def check_sampler(space: Space, name: str) -> None:
    """Whether a sampler can search a space.

    Raises:
        InputError: There is no such sampler, or it cannot; says why, and which can.
    """
    known: tuple[str, ...] = get_args(Sampler)
    if name not in known:
        raise InputError(f"unknown sampler {name!r}; {suggest(name, known)}")
    if name != "cmaes":
        return
    words = [axis.name for axis in space.axes if not axis.ordered]
    conditional = [axis.name for axis in space.axes if axis.condition is not None]
    why = ""
    if len(space.objectives) > 1:
        why = f"it has one objective, this study {len(space.objectives)} ({', '.join(space.objectives)})"
    elif words:
        why = f"all its axes are numbers; {_some(words)} {'is' if len(words) == 1 else 'are'} not"
    elif conditional:
        why = f"all its axes always exist; {_some(conditional)} only under another axis' value"
    elif len(space.axes) < 2:
        why = f"it needs two axes, this space has {len(space.axes)}"
    if why:
        others = ", ".join(each for each in known if each != name)
        raise InputError(f"the sampler cmaes does not apply to {space.name}: {why}; these do: {others}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def proposal_seed(study_seed: int, number: int) -> int:
    """The seed of one proposal, 32 bits."""
    digest = hashlib.sha256(f"{study_seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


@dataclass(frozen=True)
class Acceptance:
    """How much of what a sampler proposed could be evaluated.

    Attributes:
        taken: Feasible and new.
        infeasible: Outside the budget, or not to be built.
        repeated: Seen before.
    """

    taken: int
    infeasible: int
    repeated: int

    @classmethod
    def of(cls, records: Iterable[TrialRecord]) -> Acceptance:
        """Of a study's trials. Designs that no sampler proposed (published, repaired, random) do not count."""
        states = [record.state for record in records if _proposed_by_sampler(record)]
        infeasible, repeated = states.count("infeasible"), states.count("repeated")
        return cls(len(states) - infeasible - repeated, infeasible, repeated)

    @property
    def proposed(self) -> int:
        """All that the sampler proposed."""
        return self.taken + self.infeasible + self.repeated

    @property
    def share(self) -> float:
        """Share of the proposals that were taken; NaN before the first."""
        return self.taken / self.proposed if self.proposed else math.nan

    def __str__(self) -> str:
        turned_down = [f"{n} {what}" for n, what in ((self.infeasible, "infeasible"), (self.repeated, "repeated")) if n]
        text = f"{self.taken} of {self.proposed} proposals feasible and new"
        return f"{text} ({', '.join(turned_down)})" if turned_down else text


def _proposed_by_sampler(record: TrialRecord) -> bool:
    return bool(record.sampler_state) and not record.sampler_state.get("repaired", False)


@dataclass(frozen=True)
class _Kept:
    """A finished record as one of Optuna's trials."""

    record: TrialRecord
    trial: FrozenTrial

    def still(self, record: TrialRecord) -> bool:
        """Whether it is the same trial in the same state: another run may have taken its number."""
        own = self.record
        return own is record or (
            own.state == record.state
            and own.psnr == record.psnr
            and own.ssim == record.ssim
            and own.axes == record.axes
            and len(own.curve) == len(record.curve)
        )


class Proposer:
    """Proposes points of a space.

    Args:
        space: The space.
        sampler: ``frontier``, ``random``, or one of Optuna's: tpe, nsga2, nsga3, qmc, gp, cmaes.
        seed: The study's seed.
        reference: The quality that the study's hypervolume counts from.
        prior: What another study has found, for ``frontier``.

    Raises:
        InputError: The sampler cannot search this space.
    """

    def __init__(
        self,
        space: Space,
        sampler: str,
        seed: int,
        reference: float | None = None,
        prior: Sequence[Observation] = (),
    ) -> None:
        check_sampler(space, sampler)
        self._space = space
        self._sampler = sampler
        self._seed = seed
        self._distributions = distributions(space)
        self._directions = [
            StudyDirection.MINIMIZE if is_cost(name) else StudyDirection.MAXIMIZE for name in space.objectives
        ]
        self._frontier: FrontierSampler | None = None
        if sampler == "frontier":
            self._frontier = FrontierSampler(space, reference=reference, seed=seed, prior=prior)
        # TPE orders pruned trials by their curves, and for that asks a study of several objectives for its only one.
        self._curves = sampler != "tpe" or len(space.objectives) == 1
        self._kept: dict[int, _Kept] = {}

    def propose(self, number: int, history: Sequence[TrialRecord]) -> tuple[Candidate, dict[str, Any]]:
        """The next point, feasible or not.

        Args:
            number: The trial that it is for.
            history: All trials before it.

        Returns:
            The point, and what the sampler wants kept with the trial.

        Raises:
            InputError: What was kept is not what a sampler keeps.
        """
        if self._sampler == "random":
            point = self._space.random_point(np.random.default_rng(proposal_seed(self._seed, number)))
            return point, {"trial": {}, "study": {}}
        with warnings.catch_warnings(), one_thread():
            warnings.simplefilter("ignore")  # Optuna announces what is experimental in it at every use.
            previous = optuna.logging.get_verbosity()
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            try:
                return self._propose(number, history)
            finally:
                optuna.logging.set_verbosity(previous)

    def _propose(self, number: int, history: Sequence[TrialRecord]) -> tuple[Candidate, dict[str, Any]]:
        attributes: dict[str, Any] = {}
        for record in history:
            attributes |= record.sampler_state.get("study", {})
        storage = RebuiltStorage(self._directions, self._trials(history), attributes)
        sampler = self._frontier or _SAMPLERS[self._sampler](proposal_seed(self._seed, number), self._seed)
        study = optuna.load_study(study_name=STUDY_NAME, storage=storage, sampler=sampler)
        chosen = suggest_axes(study.ask(), self._space)
        written = storage.asked.system_attrs.items()
        state = {
            "trial": {name: value for name, value in written if not name.startswith(_SAID_TWICE)},
            "study": storage.written,
        }
        return self._space.candidate(chosen), state

    def _trials(self, history: Sequence[TrialRecord]) -> list[FrozenTrial]:
        """The trials as samplers are told of them; those that are over are made once."""
        trials: list[FrozenTrial] = []
        for record in history:
            # A repeat must neither count twice nor speak against its design: samplers are not told of it.
            if record.state == "repeated":
                continue
            kept = self._kept.get(record.number)
            trial = kept.trial if kept is not None and kept.still(record) else self._frozen(record)
            if trial.number != len(trials):
                trial = copy.copy(trial)
                trial.number = trial._trial_id = len(trials)
            if record.state != "running" and (kept is None or kept.trial is not trial):
                self._kept[record.number] = _Kept(record, trial)
            trials.append(trial)
        return trials

    def _frozen(self, record: TrialRecord) -> FrozenTrial:
        """A trial of ours as one of Optuna's."""
        params = encoded(self._space, record.axes)
        attributes = dict(record.sampler_state.get("trial", {}))
        _check_optimizer(attributes)
        common: dict[str, Any] = {
            "params": params,
            "distributions": {name: self._distributions[name] for name in params},
            "system_attrs": attributes,
        }
        curve = {int(step): float(psnr) for step, psnr in record.curve} if self._curves else {}
        match record.state:
            case "complete":
                values = [row.scaled(row.of(record)) for row in map(objective, self._space.objectives)]
                return optuna.trial.create_trial(
                    state=TrialState.COMPLETE, values=values, intermediate_values=curve, **common
                )
            case "infeasible":
                # PRUNED with its constraints, never FAIL: of a failed trial TPE learns nothing, and proposes it again.
                violations = self._space.grid.violations(None if record.mult_adds is None else record)
                constraints = {str(index): value for index, value in enumerate(violations)}
                return optuna.trial.create_trial(state=TrialState.PRUNED, constraints=constraints, **common)
            case "stopped":
                return optuna.trial.create_trial(state=TrialState.PRUNED, intermediate_values=curve, **common)
            case "running":
                # Without its curve, of which more or less is there by chance.
                return optuna.trial.create_trial(state=TrialState.RUNNING, **common)
            case _:
                return optuna.trial.create_trial(state=TrialState.FAIL, **common)


_OPTIMIZER = "cmawm:optimizer"
"""How the attributes begin in which Optuna keeps it."""

_OPTIMIZER_PARTS = frozenset(
    {
        ("cmaes._cmawm", "CMAwM"),
        ("cmaes._cma", "CMA"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.numeric", "_frombuffer"),
    }
)


def _check_optimizer(attributes: Mapping[str, Any]) -> None:
    """Optuna's CMA-ES keeps its optimizer as a pickle, and loads what it finds: it must be nothing else.

    Raises:
        InputError: It holds something else, which may be a program.
    """
    pieces = [name for name in attributes if name.startswith(_OPTIMIZER)]
    if not pieces:
        return
    try:
        # Put together as Optuna does.
        whole = "".join(attributes[f"{_OPTIMIZER}:{i}"] for i in range(len(pieces)))
        _Inspector(io.BytesIO(bytes.fromhex(whole))).load()
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(f"what the sampler cmaes kept with a trial is no optimizer of its own: {error}") from None


class _Inspector(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _OPTIMIZER_PARTS:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)
