"""`Study`: the one brain. ``ask`` gives a feasible, new design, ``report`` says whether to go on, ``tell`` ends it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from srsearch.analysis import Convergence, converged, quality_of, retraining_noise
from srsearch.architecture import Architecture, catalogue
from srsearch.cost import Cost
from srsearch.errors import InputError, WorkError
from srsearch.objectives import is_cost, own_costs
from srsearch.search.checkpoints import Checkpoints
from srsearch.search.evaluators.base import Evaluator, Score
from srsearch.search.evaluators.plain import recipe_of, runtime_of, steps_of
from srsearch.search.ledger import Ledger
from srsearch.search.model.stopping import EarlyStopping
from srsearch.search.processes import one_thread
from srsearch.search.samplers.lookup import sampler_type
from srsearch.search.samplers.prior import Observation, observations_from
from srsearch.search.samplers.proposer import Acceptance, Proposer, proposal_seed
from srsearch.search.trial import Trial
from srsearch.space import Candidate, Space
from srsearch.store import (
    EndedElsewhere,
    EvaluationRecord,
    State,
    Store,
    StudyRecord,
    TrialRecord,
    content_hash,
    leases,
)

MAX_REJECTED, MAX_REPEATED = 25, 8
"""Proposals of one ask that are turned down, and those among them that are repeats, before another design stands in."""

MAX_ASIDE = 24
"""Checkpoints of trials that are set aside: of the last so many."""

_RANDOM_TRIES = 5_000
_LOOK_SECONDS = 1.0
"""How often a process looks for trials whose process has died, while there are new designs."""


class Study:
    """A search over one space, kept in a store.

    Any number of processes may work on one study, each with a `Study` of its own. What one asks for is leased to it
    while it calls `heartbeat` now and then; the trials of one that died are taken up by whoever asks next.

    Args:
        store: Where it is kept; nothing that matters is held elsewhere.
        record: What was fixed when it was created.
        space: The space, under the study's budget.
        evaluator: What scores designs; its recipe, runtime and data are part of each evaluation's identity.
        workers: How many trials are evaluated at a time. With several, whichever ends first, a proposal knows the
            results of all trials but the 2 ``workers`` - 1 before it: so a search is repeatable with several workers,
            too, as long as no other process works on it and no design is stopped early. As many as that, as designs
            differ in how long they take: with ``workers`` - 1 a fifth of the workers' time (two workers) to half of
            it (eight) was spent waiting for the longest training, so it is a twentieth to a seventh.
        checkpoints: A folder or a URL where evaluations are kept while they go on; None: beside the database.

    Attributes:
        exhausted: Whether `ask` found no new feasible design: there is none, or, in a space too large to enumerate,
            thousands of random ones had all been seen or did not fit.
        checkpoints: Where evaluations are kept while they go on.
    """

    def __init__(
        self,
        store: Store,
        record: StudyRecord,
        space: Space,
        evaluator: Evaluator,
        workers: int = 1,
        checkpoints: str | None = None,
    ) -> None:
        self.store = store
        self.record = record
        self.space = space
        self.exhausted = False
        self.checkpoints = Checkpoints(store, record, checkpoints) if evaluator.keeps_checkpoints else None
        self._unknown = 2 * workers - 1 if workers > 1 else 0
        quality = next(name for name in space.objectives if not is_cost(name))
        self._proposer = Proposer(space, record.sampler, record.seed, record.reference.get(quality), self._prior())
        self._stopping: EarlyStopping | None = None
        if space.search.early_stopping and (steps := steps_of(evaluator)):
            self._stopping = EarlyStopping(space, steps=steps, seed=record.seed, reference=record.reference.get("psnr"))
        self._recipe = recipe_of(evaluator) | {"runtime": runtime_of(evaluator)}
        self._recipe_hash = content_hash(self._recipe)
        self._trials = Ledger(record.objectives)
        self._first = published_points(space) if space.search.start_with == "catalogue" else []
        self._owner = leases.new_owner()
        self._given_out: set[int] = set()
        self._looked = -math.inf
        self._unsure = True
        self.refresh()

    @property
    def name(self) -> str:
        """The study's name."""
        return self.record.name

    @property
    def done(self) -> int:
        """Finished evaluations that count: not cached, infeasible, repeated, stopped or failed ones, no replicates."""
        return self._trials.done

    @property
    def running(self) -> int:
        """Designs that are being evaluated, by whomever."""
        return sum(trial.replicate_of is None for trial in self._trials.running)

    @property
    def replicating(self) -> int:
        """Replicates that are being evaluated, by whomever."""
        return sum(trial.replicate_of is not None for trial in self._trials.running)

    @property
    def elsewhere(self) -> int:
        """Trials that other processes evaluate."""
        return sum(trial.owner != self._owner for trial in self._trials.running)

    @property
    def waits(self) -> bool:
        """Whether trials have to wait after each report until they know whether to go on."""
        return self._stopping is not None

    @property
    def ready(self) -> bool:
        """Whether all that the next proposal has to know is known; if not, a trial has to end first."""
        if self._stopping is not None or self.elsewhere:
            return True
        hidden = self._hidden()
        return all(trial.number in hidden for trial in self._trials.running if trial.replicate_of is None)

    def close(self) -> None:
        """Gives back what is not finished, for whoever works on the study next."""
        with contextlib.suppress(InputError, WorkError):  # nobody is misled: our heartbeats end in any case
            self.store.release(self.name, self._owner)
        leases.retire(self._owner)

    def refresh(self) -> None:
        """Learn what other processes have done."""
        if self._unsure:
            self._trials = Ledger(self.record.objectives, self.store.trial_records(self.name))
            self._unsure = False
            return
        for record in self.store.changed_trials(self.name, self._trials.open, after=self._trials.last):
            self._trials.put(record)

    def heartbeat(self) -> None:
        """Say that this process still works on its trials; at least every `leases.LEASE_SECONDS`."""
        self.store.heartbeat(self.name, self._owner)

    def ask(self, limit: int | None = None) -> Trial | None:
        """What to evaluate next. A trial that a killed run left behind comes first, from its last rung; then, with
        early stopping, one that was set aside and has become worth continuing; else a new feasible design.

        What the sampler proposes outside the budget, or again, is recorded and not charged.

        Args:
            limit: The total of finished evaluations that is wanted: no more are begun than are missing.

        Returns:
            The trial, or None where there are enough, or where every feasible design of the space has been seen.
        """
        with self._alone():
            trial = self._left_behind()
            if trial is None and (limit is None or self.done + self.running < limit):
                trial = self._promoted() or self._new() or self._any_stopped()
                self.exhausted = trial is None
            for row in own_costs(self.space.objectives):
                if trial is not None and row.measure is not None:
                    row.measure(trial.design.key, trial.design.to_dict())  # a design without this cost is not trained
        return self._given(trial)

    def replicate(self, seeds: int) -> Trial | None:
        """The next design of the front that is to be evaluated with another seed.

        Args:
            seeds: How many evaluations each design of the front is to have.

        Returns:
            The trial, or None where they have them, or are getting them.
        """
        with self._alone():
            trial = self._left_behind() or self._next_replicate(seeds)
        return self._given(trial)

    def cached(self, trial: Trial) -> EvaluationRecord | None:
        """The evaluation of the same design, recipe, data and seed, if any study of the database has it."""
        return self.store.evaluation(trial.design.key, self._recipe_hash, self.record.data_fingerprint, trial.seed)

    def report(self, trial: Trial, step: int, psnr: float, before: Sequence[tuple[int, float]] = ()) -> bool:
        """Keep a point of a running trial's curve.

        Args:
            trial: As it was asked for.
            step: Of its training.
            psnr: What it has reached there.
            before: Points that came before this one, and have not been reported.

        Returns:
            Whether to go on. If not, the trial is set aside already; it may be asked for again.
        """
        record = self._trials[trial.number]
        if step <= record.cleared_step:
            return True  # told again, after an interruption
        stopping = self._stopping if trial.replicate_of is None else None
        if stopping is not None:
            self.refresh()
        curve = {int(step): psnr for step, psnr in record.curve} | dict(before) | {step: psnr}
        record = replace(record, curve=tuple(sorted(curve.items())))
        self._trials.put(record)
        if stopping is None or step >= stopping.steps:
            self.store.keep_curve(self.name, trial.number, record.curve)
            return True
        with one_thread():
            going_on = stopping.goes_on(trial.number, self._trials.proposals)
        cleared_step = step if going_on else None
        self.store.keep_curve(self.name, trial.number, record.curve, cleared_step=cleared_step, stop=not going_on)
        stopped = replace(record, state="stopped", owner=None)
        self._trials.put(replace(record, cleared_step=step) if going_on else stopped)
        return going_on

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
        try:
            self.store.finish_trial(self.name, trial.number, evaluation, cached=cached)
        except EndedElsewhere:  # it was taken for dead and taken up by another process, which was quicker
            self.refresh()
            return
        self._trials.put(
            replace(
                self._trials[trial.number],
                state="complete",
                psnr=evaluation.psnr,
                ssim=evaluation.ssim,
                curve=evaluation.curve,
                seconds=evaluation.seconds,
                cached=cached,
                finished_at=datetime.now(UTC),
                owner=None,
            )
        )

    def fail(self, trial: Trial, reason: str) -> None:
        """End a trial without a score."""
        try:
            self.store.fail_trial(self.name, trial.number, reason)
        except EndedElsewhere:
            self.refresh()
            return
        self._trials.put(replace(self._trials[trial.number], state="failed", reason=reason, owner=None))

    def checkpoint(self, trial: Trial) -> str | None:
        """Where the trial's evaluation keeps what it needs to go on: a path, or a URL."""
        return None if self.checkpoints is None else self.checkpoints.place(trial.design.key, trial.seed)

    def front(self) -> pd.DataFrame:
        """The front as this process knows it: `Store.front`, without asking."""
        return self._trials.front()

    def tidy(self) -> None:
        """Remove the checkpoints that nobody needs any more. The weights of the designs on the front stay, and of the
        next best ones, which further seeds may bring there.
        """
        if self.checkpoints is not None:
            self.checkpoints.keep(self._wanted)

    def convergence(self) -> Convergence:
        """Whether the front still rises more than the noise of a training."""
        trials = self.store.trials(self.name)
        noise = retraining_noise(trials, quality_of(self.record.objectives))
        return converged(trials, self.record.objectives, self.record.reference, noise)

    def _wanted(self) -> list[str]:
        assert self.checkpoints is not None
        self.refresh()
        stopped = [trial.number for trial in self._trials.open.values() if trial.state == "stopped"][-MAX_ASIDE:]
        running = [trial.number for trial in self._trials.running]
        wanted = [self._trials[number] for number in (*running, *stopped, *self._trials.layers(2))]
        return [self.checkpoints.place(trial.key, self._seed(trial)) for trial in wanted if trial.key]

    def _prior(self) -> list[Observation]:
        """What the study that is to inform this one had found when this one was created."""
        if self.space.search.inform is None:
            return []
        return observations_from(self.store, self.space.search.inform, self.space, before=self.record.created_at)

    @property
    def acceptance(self) -> Acceptance:
        """How much of what the sampler proposed was feasible and new."""
        return Acceptance.of(self._trials.proposals)

    def _hidden(self) -> set[int]:
        """The last trials, of whose results the next proposal knows nothing."""
        if self._stopping is not None or not self._unknown or self.elsewhere:
            return set()
        return set(self._trials.asked[-self._unknown :])

    def _known(self) -> list[TrialRecord]:
        """The trials as the next proposal may know them: those hidden count as running, whatever became of them."""
        hidden = self._hidden()
        return [
            replace(trial, state="running", psnr=None, ssim=None) if trial.number in hidden else trial
            for trial in self._trials.proposals
        ]

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While this process chooses, no other one does; it knows what they have chosen."""
        record = self.record
        try:
            with self.store.exclusive(f"{record.space_hash} {record.created_at.isoformat()}", wait=300):
                self.refresh()
                yield
        except BaseException:
            self._unsure = True  # whether what was chosen has been kept, only the store knows
            raise

    def _left_behind(self) -> Trial | None:
        """The first trial whose process died, if this one gets it."""
        for trial in self._trials.running:
            # Leased, and then the connection was lost before anybody knew.
            if trial.owner == self._owner and trial.number not in self._given_out:
                return self._as_trial(trial)
        # It takes a look at all that is running, and others die seldom.
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return None
        found = next(filter(None, map(self._taken_up, self.store.abandoned(self.name))), None)
        self._looked = now if found is None else -math.inf
        return found

    def _taken_up(self, number: int) -> Trial | None:
        record = self._trials[number]
        if not self.store.take_up(self.name, record, self._owner):
            return None
        cleared_step = record.curve[-1][0] if record.state == "stopped" and record.curve else record.cleared_step
        record = replace(record, state="running", owner=self._owner, cleared_step=int(cleared_step))
        self._trials.put(record)
        return self._as_trial(record)

    def _next_replicate(self, seeds: int) -> Trial | None:
        """The first design of the front that has been tried with fewer seeds than it is to have."""
        for original in map(int, self.front()["trial"]):
            tried = 1 + len(self._trials.replicates(original))
            if tried < seeds:
                record = replace(
                    self._trials[original],
                    number=self._trials.last + 1,
                    description=self._description(self._trials[original]),
                    state="running",
                    psnr=None,
                    ssim=None,
                    curve=(),
                    seconds=None,
                    cached=False,
                    sampler_state={},
                    started_at=datetime.now(UTC),
                    finished_at=None,
                    replicate_of=original,
                    seed=self.record.seed + tried,
                    cleared_step=0,
                    owner=self._owner,
                )
                return self._added([record])
        return None

    def _promoted(self) -> Trial | None:
        """A trial that was set aside and is better continued than a new one begun."""
        if self._stopping is None:
            return None
        with one_thread():
            number = self._stopping.promoted(self._trials.last + 1, self._trials.proposals, self._continuable())
        return None if number is None else self._taken_up(number)

    def _any_stopped(self) -> Trial | None:
        """Where nothing is new any more: what was set aside and is best."""
        left = sorted(self._continuable(), key=lambda number: -self._trials[number].curve[-1][1])
        return next(filter(None, map(self._taken_up, left)), None)

    def _continuable(self) -> list[int]:
        """The trials that were set aside and can go on where they were."""
        if self.checkpoints is None:
            return []
        stopped = [t for t in self._trials.open.values() if t.state == "stopped" and t.key and t.curve]
        return [t.number for t in stopped if self.checkpoints.has(t.key or "", self._seed(t))]

    def _new(self) -> Trial | None:
        """A design that is feasible and new; None where none was found."""
        proposals: list[TrialRecord] = []
        seen = self._trials.keys
        known, number = self._known(), self._trials.last + 1
        while not proposals or proposals[-1].state != "running":
            repeats = sum(proposal.state == "repeated" for proposal in proposals)
            state: dict[str, Any] = {}
            waiting = next((point for point in self._first if point.design.key not in seen), None)
            if waiting is not None:
                candidate = waiting
            elif len(proposals) < MAX_REJECTED and repeats < MAX_REPEATED:
                candidate, state = self._proposer.propose(number, [*known, *proposals])
            else:
                found, state = self._stand_in(number, seen, proposals[-1])
                if found is None:
                    return None
                candidate = found
            proposals.append(self._proposal(number, candidate, state, seen))
            number += 1
        return self._added(proposals, candidate.design)

    def _added(self, records: Sequence[TrialRecord], design: Architecture | None = None) -> Trial:
        """Records of which the last one is to be evaluated here, in the store."""
        self.store.add_trials(self.name, records)
        for record in records:
            self._trials.put(record)
        return self._as_trial(records[-1], design)

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
            owner=self._owner if verdict == "running" else None,
        )

    def _stand_in(
        self, number: int, seen: Mapping[str, int], turned_down: TrialRecord
    ) -> tuple[Candidate | None, dict[str, Any]]:
        """A feasible new design in place of proposals that are not: the nearest one, where the sampler learns.

        Returns:
            The design, and what is kept for the sampler: it takes a repaired proposal for its own.
        """
        if sampler_type(self.record.sampler).learns:
            rng = np.random.default_rng(proposal_seed(self.record.seed, number))
            found = self.space.repaired(turned_down.axes, rng, seen)
            if found is not None:
                return found, {**turned_down.sampler_state, "repaired": True}
        return self._random_new(number, seen), {}

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

    def _given(self, trial: Trial | None) -> Trial | None:
        """A trial that is to be evaluated here, once it is sure that it is."""
        if trial is not None:
            self._given_out.add(trial.number)
        return trial

    def _as_trial(self, record: TrialRecord, design: Architecture | None = None) -> Trial:
        return Trial(
            number=record.number,
            design=design or Architecture.from_dict(self._description(record)),
            axes=record.axes,
            mult_adds=record.mult_adds or 0,
            params=record.params or 0,
            seed=self._seed(record),
            replicate_of=record.replicate_of,
            curve=record.curve,
        )

    def _description(self, record: TrialRecord) -> Mapping[str, Any]:
        """Of the design; of trials that another process has proposed it is not known here."""
        return record.description or self.store.description(record.key or "")

    def _seed(self, record: TrialRecord) -> int:
        return self.record.seed if record.seed is None else record.seed


def published_points(space: Space) -> list[Candidate]:
    """The published networks that lie inside a space and its budget, cheapest first."""
    found = {}
    for name in catalogue.names():
        if space.scale in catalogue.published(name).scales:
            point = space.locate(catalogue.get(name, space.scale))
            if point is not None and point.broken is None:
                found[point.design.key] = point
    return sorted(found.values(), key=lambda point: point.cost.mult_adds if point.cost else 0)
