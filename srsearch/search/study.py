"""`Study`: the one brain. ``ask`` gives a feasible, new design, ``report`` says whether to go on, ``tell`` ends it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from srsearch.architecture import Architecture, catalogue
from srsearch.architecture.parts import OptionValue
from srsearch.cost import Cost
from srsearch.search.evaluators import Evaluator, Score
from srsearch.search.proposals import Proposer, proposal_seed
from srsearch.space import Candidate, Space
from srsearch.store import EvaluationRecord, State, Store, StudyRecord, TrialRecord

MAX_REJECTED, MAX_REPEATED = 25, 8
"""Proposals of one ask that are turned down, and those among them that are repeats, before a random new feasible design
is taken instead."""

_RANDOM_TRIES = 5_000


@dataclass(frozen=True)
class Trial:
    """A design to be evaluated.

    Attributes:
        number: Its number in the study.
        design: What to evaluate.
        axes: Its values on the axes of the space.
        mult_adds: Under the space's convention.
        params: Trainable parameters.
        seed: Seed of the evaluation.
    """

    number: int
    design: Architecture
    axes: Mapping[str, OptionValue]
    mult_adds: int
    params: int
    seed: int


class Study:
    """A search over one space, kept in a store.

    Args:
        store: Where it is kept; nothing that matters is held elsewhere.
        record: What was fixed when it was created.
        space: The space, under the study's budget.
        evaluator: What scores designs; its recipe, runtime and data are part of each evaluation's identity.
        workers: How many trials are evaluated at a time. Whichever ends first, a proposal knows the results of all
            trials but the ``workers`` - 1 before it: so a search is repeatable with several workers, too.

    Attributes:
        exhausted: Whether `ask` found no new feasible design: there is none, or, in a space too large to enumerate,
            thousands of random ones had all been seen or did not fit.
    """

    def __init__(self, store: Store, record: StudyRecord, space: Space, evaluator: Evaluator, workers: int = 1) -> None:
        self.store = store
        self.record = record
        self.space = space
        self.exhausted = False
        self._unknown = workers - 1
        quality = next(name for name in space.objectives if name in ("psnr", "ssim"))
        self._proposer = Proposer(space, record.sampler, record.seed, record.reference.get(quality))
        self._recipe = evaluator.recipe | {"runtime": evaluator.runtime}
        self._recipe_hash = content_hash(self._recipe)
        self._trials = {trial.number: trial for trial in store.trial_records(record.name)}
        self._first = published_points(space) if space.search.start_with == "catalogue" else []
        self._abandoned = sorted(number for number, trial in self._trials.items() if trial.state == "running")

    @property
    def name(self) -> str:
        """The study's name."""
        return self.record.name

    @property
    def done(self) -> int:
        """Finished evaluations that count: not cached, infeasible, repeated or failed ones."""
        return sum(trial.state == "complete" and not trial.cached for trial in self._trials.values())

    @property
    def running(self) -> int:
        """Trials that are being evaluated."""
        return sum(trial.state == "running" for trial in self._trials.values()) - len(self._abandoned)

    @property
    def ready(self) -> bool:
        """Whether all that the next proposal has to know is known; if not, a trial has to end first."""
        asked = self._asked
        return bool(self._abandoned) or all(trial.state != "running" for trial in asked[: len(asked) - self._unknown])

    def ask(self) -> Trial | None:
        """The next design: feasible and new. A trial that a killed run left behind comes first.

        What the sampler proposes outside the budget, or again, is recorded and not charged.

        Returns:
            The trial, or None where every feasible design of the space has been seen.
        """
        if self._abandoned:
            return self._as_trial(self._trials[self._abandoned.pop(0)])
        proposals: list[TrialRecord] = []
        seen = {trial.key: trial.number for trial in self._asked if trial.key}
        known, number = self._known(), len(self._trials)
        while not proposals or proposals[-1].state != "running":
            repeats = sum(proposal.state == "repeated" for proposal in proposals)
            state: dict[str, Any] = {}
            waiting = next((point for point in self._first if point.design.key not in seen), None)
            if waiting is not None:
                candidate = waiting
            elif len(proposals) < MAX_REJECTED and repeats < MAX_REPEATED:
                candidate, state = self._proposer.propose(number, [*known, *proposals])
            else:
                found = self._random_new(number, seen)
                if found is None:
                    self.exhausted = True
                    return None
                candidate = found
            proposals.append(self._proposal(number, candidate, state, seen))
            number += 1
        self.store.add_trials(self.name, proposals)
        self._trials |= {proposal.number: proposal for proposal in proposals}
        return self._as_trial(proposals[-1])

    def cached(self, trial: Trial) -> EvaluationRecord | None:
        """The evaluation of the same design, recipe, data and seed, if any study of the database has it."""
        return self.store.evaluation(trial.design.key, self._recipe_hash, self.record.data_fingerprint, trial.seed)

    def report(self, trial: Trial, step: int, psnr: float) -> bool:
        """Keep a point of a running trial's curve.

        Returns:
            Whether to go on: always, until there is early stopping.
        """
        self.store.curve_point(self.name, trial.number, step, psnr)
        return True

    def tell(self, trial: Trial, score: Score, seconds: float) -> EvaluationRecord:
        """End a trial with its score, in one transaction.

        Raises:
            WorkError: The store did not take it; nothing has changed, and it may be told again.
        """
        evaluation = EvaluationRecord(
            key=trial.design.key,
            recipe=self._recipe,
            recipe_hash=self._recipe_hash,
            data_fingerprint=self.record.data_fingerprint,
            seed=trial.seed,
            psnr=score.psnr,
            ssim=score.ssim,
            curve=[[step, psnr] for step, psnr in score.curve],
            seconds=seconds,
            versions=dict(score.versions or {}),
        )
        self.finish(trial, evaluation)
        return evaluation

    def finish(self, trial: Trial, evaluation: EvaluationRecord, *, cached: bool = False) -> None:
        """End a trial with an evaluation that is there already."""
        self.store.finish_trial(self.name, trial.number, evaluation, cached=cached)
        self._trials[trial.number] = replace(
            self._trials[trial.number],
            state="complete",
            psnr=evaluation.psnr,
            ssim=evaluation.ssim,
            curve=evaluation.curve,
            seconds=evaluation.seconds,
            cached=cached,
        )

    def fail(self, trial: Trial, reason: str) -> None:
        """End a trial without a score."""
        self.store.fail_trial(self.name, trial.number, reason)
        self._trials[trial.number] = replace(self._trials[trial.number], state="failed", reason=reason)

    @property
    def _asked(self) -> list[TrialRecord]:
        """The trials that were to be evaluated, in order."""
        return [trial for trial in self._trials.values() if trial.state not in ("infeasible", "repeated")]

    def _known(self) -> list[TrialRecord]:
        """The trials as the next proposal may know them: the last ones count as running, whatever became of them."""
        hidden = {trial.number for trial in self._asked[-self._unknown :]} if self._unknown else set()
        return [
            replace(trial, state="running", psnr=None, ssim=None) if trial.number in hidden else trial
            for trial in self._trials.values()
        ]

    def _proposal(
        self, number: int, candidate: Candidate, state: dict[str, Any], seen: Mapping[str, int]
    ) -> TrialRecord:
        key = candidate.design.key
        verdict: State = "running"
        reason: str | None = None
        if candidate.broken is not None:
            verdict, reason = "infeasible", candidate.broken
        elif key in seen:
            verdict, reason = "repeated", f"the same network as trial {seen[key]}"
        cost: Cost | None = candidate.cost
        return TrialRecord(
            number=number,
            key=key,
            axes=candidate.axes,
            state=verdict,
            reason=reason,
            description=candidate.design.to_dict(),
            params=cost.params if cost else None,
            mult_adds=cost.mult_adds if cost else None,
            activations=cost.activations if cost else None,
            psnr=None,
            ssim=None,
            curve=[],
            seconds=None,
            cached=False,
            sampler_state=state,
            started_at=datetime.now(UTC),
            finished_at=None if verdict == "running" else datetime.now(UTC),
        )

    def _random_new(self, number: int, seen: Mapping[str, int]) -> Candidate | None:
        """A random feasible design that has not been seen; None if there is none."""
        rng = np.random.default_rng(proposal_seed(self.record.seed, number))
        feasible = self.space.feasible
        if feasible is not None and len(feasible) <= _RANDOM_TRIES:
            left = [candidate for candidate in feasible if candidate.design.key not in seen]
            return left[int(rng.integers(len(left)))] if left else None
        for _ in range(_RANDOM_TRIES):
            candidate = feasible[int(rng.integers(len(feasible)))] if feasible else self.space.random_point(rng)
            if candidate.broken is None and candidate.design.key not in seen:
                return candidate
        return None

    def _as_trial(self, record: TrialRecord) -> Trial:
        return Trial(
            number=record.number,
            design=Architecture.from_dict(record.description),
            axes=record.axes,
            mult_adds=record.mult_adds or 0,
            params=record.params or 0,
            seed=self.record.seed,
        )


def published_points(space: Space) -> list[Candidate]:
    """The published networks that lie inside a space and its budget, cheapest first."""
    found = {}
    for name in catalogue.names():
        if space.scale in catalogue.published(name).scales:
            point = space.locate(catalogue.get(name, space.scale))
            if point is not None and point.broken is None:
                found[point.design.key] = point
    return sorted(found.values(), key=lambda point: point.cost.mult_adds if point.cost else 0)


def content_hash(plain: Any) -> str:
    """SHA-256 of plain data, independent of the order of keys."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
