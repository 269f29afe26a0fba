"""`Proposer`: asks an Optuna sampler for the next design, on an Optuna study that is rebuilt from the database.

All state of a sampler is in the database. A new sampler makes each proposal from the trials so far; its seed depends on
the study's seed and the trial's number. The attributes that a sampler writes to its trial and its study are stored with
the trial and given to the next sampler.
"""

from __future__ import annotations

import copy
import hashlib
import io
import math
import pickle
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from srsearch.errors import InputError
from srsearch.objectives import is_cost, objective
from srsearch.search.processes import describe, one_thread
from srsearch.search.samplers.frontier import FrontierSampler
from srsearch.search.samplers.lookup import SAMPLER_TYPES, check_sampler, sampler_type
from srsearch.search.samplers.optuna_storage import STUDY_NAME, RebuiltStorage
from srsearch.search.samplers.parameters import distributions, encoded, suggest_axes
from srsearch.search.samplers.prior import Observation
from srsearch.space import Candidate, Space
from srsearch.store import TrialRecord
from srsearch.store.rows import check_sampler_state

_REDUNDANT_ATTRIBUTES = ("tpe:relative_params", "gp:relative_params")
"""Attributes that repeat a trial's axes; they are not stored."""


def proposal_seed(study_seed: int, number: int) -> int:
    """The seed of one proposal: 32 bits of a hash of the study's seed and the trial's number."""
    digest = hashlib.sha256(f"{study_seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


@dataclass(frozen=True)
class Acceptance:
    """How many of a sampler's proposals could be evaluated.

    Attributes:
        taken: Proposals that were feasible and new.
        infeasible: Proposals that were over budget or could not be built.
        repeated: Proposals that an earlier trial had made.
    """

    taken: int
    infeasible: int
    repeated: int

    @classmethod
    def of(cls, records: Iterable[TrialRecord]) -> Acceptance:
        """Count a study's trials, without designs that no sampler proposed (published, repaired or random ones)."""
        states = [record.state for record in records if _proposed_by_sampler(record)]
        infeasible, repeated = states.count("infeasible"), states.count("repeated")
        return cls(len(states) - infeasible - repeated, infeasible, repeated)

    @property
    def proposed(self) -> int:
        """Number of proposals."""
        return self.taken + self.infeasible + self.repeated

    @property
    def share(self) -> float:
        """Share of the proposals that were taken, 0..1; NaN before the first proposal."""
        return self.taken / self.proposed if self.proposed else math.nan

    def __str__(self) -> str:
        counts = (self.infeasible, "infeasible"), (self.repeated, "repeated")
        rejected = ", ".join(f"{count} {reason}" for count, reason in counts if count)
        text = f"{self.taken} of {self.proposed} proposals feasible and new"
        return f"{text} ({rejected})" if rejected else text


def _proposed_by_sampler(record: TrialRecord) -> bool:
    return bool(record.sampler_state) and not record.sampler_state.get("repaired", False)


@dataclass(frozen=True)
class _Converted:
    """A record of an ended trial, and the Optuna trial that was made of it."""

    record: TrialRecord
    trial: FrozenTrial

    def is_of(self, record: TrialRecord) -> bool:
        """Whether the record is still the same: another run may have changed the trial of this number."""
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
        sampler: A name of `SAMPLER_TYPES`, or ``module:Class`` of the user's.
        seed: The study's seed.
        reference: The quality from which the study's hypervolume is measured.
        prior: Results of another study, for ``frontier``.

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
        self._type = sampler_type(sampler)
        self._curves = self._type.takes_curves or len(space.objectives) == 1
        self._converted: dict[int, _Converted] = {}

    def propose(self, number: int, history: Sequence[TrialRecord]) -> tuple[Candidate, dict[str, Any]]:
        """Propose the next point, feasible or not.

        Args:
            number: Number of the trial.
            history: All trials before it.

        Returns:
            The point, and the sampler's state to store with the trial.

        Raises:
            InputError: The stored state is not one that a sampler writes, or the user's own sampler failed.
        """
        if self._sampler == "random":
            point = self._space.random_point(np.random.default_rng(proposal_seed(self._seed, number)))
            return point, {"trial": {}, "study": {}}
        with warnings.catch_warnings(), one_thread():
            warnings.simplefilter("ignore")  # Optuna warns of its experimental features at every use.
            previous = optuna.logging.get_verbosity()
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            try:
                return self._propose(number, history)
            finally:
                optuna.logging.set_verbosity(previous)

    def _propose(self, number: int, history: Sequence[TrialRecord]) -> tuple[Candidate, dict[str, Any]]:
        trials = self._trials(history)
        attributes: dict[str, Any] = {}
        for record in history:
            attributes |= record.sampler_state.get("study", {})
        storage = RebuiltStorage(self._directions, trials, attributes)
        study = optuna.load_study(study_name=STUDY_NAME, storage=storage, sampler=self._fresh_sampler(number))
        try:
            chosen = suggest_axes(study.ask(), self._space)
        except Exception as error:  # a sampler of the user's may raise anything, and any on what another one has kept
            if self._sampler in SAMPLER_TYPES and not (attributes or any(trial.system_attrs for trial in trials)):
                raise
            hint = "; what it kept with earlier trials may have been changed" if self._sampler in SAMPLER_TYPES else ""
            raise InputError(f"sampler {self._sampler!r} failed at trial {number}: {describe(error)}{hint}") from error
        written = storage.asked.system_attrs.items()
        state = {
            "trial": {name: value for name, value in written if not name.startswith(_REDUNDANT_ATTRIBUTES)},
            "study": storage.written,
        }
        return self._space.candidate(chosen), state

    def _fresh_sampler(self, number: int) -> BaseSampler:
        """A new sampler for one proposal; ``frontier`` is used again, because its only state is a cache."""
        if self._frontier is not None:
            return self._frontier
        assert self._type.make is not None
        return self._type.make(proposal_seed(self._seed, number), self._seed)

    def _trials(self, history: Sequence[TrialRecord]) -> list[FrozenTrial]:
        """The trials as Optuna's. Ended ones are converted only once."""
        trials: list[FrozenTrial] = []
        for record in history:
            # Samplers do not see repeated proposals: a second result would count twice, a failure against the design.
            if record.state == "repeated":
                continue
            known = self._converted.get(record.number)
            trial = known.trial if known is not None and known.is_of(record) else self._frozen(record)
            if trial.number != len(trials):
                trial = copy.copy(trial)
                trial.number = trial._trial_id = len(trials)
            if record.state != "running" and (known is None or known.trial is not trial):
                self._converted[record.number] = _Converted(record, trial)
            trials.append(trial)
        return trials

    def _frozen(self, record: TrialRecord) -> FrozenTrial:
        """Convert a record into one of Optuna's trials."""
        params = encoded(self._space, record.axes)
        try:
            check_sampler_state(record.sampler_state)
        except ValueError as error:
            raise InputError(
                f"trial {record.number} was changed by hand: {error}; restore a copy of the database"
            ) from None
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
                # PRUNED with constraints, not FAIL: TPE ignores failed trials and would propose the design again.
                violations = self._space.grid.violations(None if record.mult_adds is None else record)
                constraints = {str(index): value for index, value in enumerate(violations)}
                return optuna.trial.create_trial(state=TrialState.PRUNED, constraints=constraints, **common)
            case "stopped":
                return optuna.trial.create_trial(state=TrialState.PRUNED, intermediate_values=curve, **common)
            case "running":
                # Without its curve: proposals must not depend on how much of it has been reported by now.
                return optuna.trial.create_trial(state=TrialState.RUNNING, **common)
            case _:
                return optuna.trial.create_trial(state=TrialState.FAIL, **common)


_OPTIMIZER = "cmawm:optimizer"
"""Prefix of the attributes in which Optuna's CMA-ES sampler stores its pickled optimizer, in chunks of hex digits."""

_OPTIMIZER_CLASSES = frozenset(
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
    """Check the pickled optimizer of Optuna's CMA-ES sampler, because loading a pickle may run any code.

    Raises:
        InputError: The pickle names anything but the classes of such an optimizer, or is damaged.
    """
    chunks = [name for name in attributes if name.startswith(_OPTIMIZER)]
    if not chunks:
        return
    try:
        digits = "".join(attributes[f"{_OPTIMIZER}:{i}"] for i in range(len(chunks)))
        _OptimizerUnpickler(io.BytesIO(bytes.fromhex(digits))).load()
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(f"the state that cmaes stored with a trial is not its optimizer: {error}") from None


class _OptimizerUnpickler(pickle.Unpickler):
    """Refuses all classes that such an optimizer does not need."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _OPTIMIZER_CLASSES:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)
