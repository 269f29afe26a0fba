"""`Study`, which makes every decision of a search: ``ask`` gives a new feasible design, ``report`` says whether its
training goes on, ``tell`` stores its score.
"""

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
from srsearch.architecture import Architecture
from srsearch.cost import Cost
from srsearch.errors import InputError, WorkError
from srsearch.objectives import is_cost, own_costs
from srsearch.search.checkpoints import Checkpoints
from srsearch.search.evaluators.base import Evaluator, Score
from srsearch.search.evaluators.plain import recipe_of, runtime_of, steps_of
from srsearch.search.ledger import Ledger
from srsearch.search.model.lengths import LengthChooser, Longer, Offer, Offers, Seconds
from srsearch.search.model.stopping import EarlyStopping
from srsearch.search.processes import one_thread
from srsearch.search.published import printed_in, published_points
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
    undisturbed,
)

MAX_REJECTED, MAX_REPEATED = 25, 8
"""Rejected proposals of one `Study.ask`, and repeats among them, after which a substitute design is evaluated."""

MAX_ASIDE = 24
"""Stopped trials whose checkpoints are kept: the most recent ones."""

ROUNDING = 1e-9
"""What a sum of trainings of different lengths may be off."""

_RANDOM_TRIES = 5_000
_LOOK_SECONDS = 1.0
"""Least time between two searches for trials whose process has died."""


class Study:
    """A search over one space, saved in a store.

    Any number of processes may work on one study, each with its own `Study`. A process holds a lease on the trials
    that it asked for, and renews it by calling `heartbeat`. When a process dies, the next one that calls `ask`
    continues its trials.

    Args:
        store: Holds everything that has to survive the process.
        record: What was fixed when the study was created.
        space: The space, under the study's budget.
        evaluator: Scores designs; its recipe, runtime and data are part of each evaluation's identity.
        workers: How many trials are evaluated at a time. With several workers, a proposal ignores the results of the
            last 2 ``workers`` - 1 trials, whichever of them has finished. So a search with several workers is
            repeatable, as long as no other process works on it and no design is stopped early. Ignoring only
            ``workers`` - 1 trials would be enough for that, but trainings differ in length: workers spent a fifth
            (two workers) to half (eight) of their time waiting for the longest one, instead of a twentieth to a
            seventh.
        checkpoints: A folder or a URL for the checkpoints of unfinished evaluations; None: beside the database.

    Attributes:
        exhausted: Whether the last `ask` found no new feasible design: none is left, or, in a space too large to
            enumerate, thousands of random designs were all seen before or infeasible.
        checkpoints: The checkpoints of unfinished evaluations; None if the evaluator writes none.
        deadline: Of the monotonic clock; with several lengths, no longer training is begun that would end after it, and
            what is done next depends on seconds instead of steps. None: without a time limit.
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
        self.deadline: float | None = None
        self._evaluator = evaluator
        self._recipes: dict[int | None, tuple[dict[str, Any], str]] = {}
        self._prices: dict[int, float] = {}
        self._lengths: LengthChooser | None = None
        if len(space.search.lengths or ()) > 1:
            printed = printed_in(space)
            self._lengths = LengthChooser(
                space,
                space.search.lengths or (),
                record.seed,
                record.reference.get("psnr"),
                () if printed is None else printed.axes,
            )
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
        """Number of finished evaluations; cached, infeasible, repeated, stopped and failed trials, replicates and
        longer trainings do not count.
        """
        return self._trials.done

    @property
    def known(self) -> int:
        """Number of finished designs with a cached evaluation; replicates and longer trainings do not count."""
        return self._trials.known

    @property
    def spent(self) -> float:
        """The finished evaluations, with longer trainings, in trainings of the study's own length."""
        longer = (self._trials[number] for by_steps in self._trials.longer.values() for number in by_steps.values())
        trained = (trial.number for trial in longer if trial.state == "complete" and not trial.cached)
        return self.done + sum(map(self._price, trained))

    def affords(self, price: float, limit: float | None) -> bool:
        """Whether another training, in trainings of the study's own length, keeps the study within its total."""
        if limit is None:
            return True
        begun = sum(self._price(trial.number) for trial in self._trials.running if not trial.is_replicate)
        return self.spent + begun + price <= limit + ROUNDING

    @property
    def running(self) -> int:
        """Number of designs that are being evaluated, by any process; replicates do not count."""
        return sum(not trial.is_replicate for trial in self._trials.running)

    @property
    def replicating(self) -> int:
        """Number of replicates that are being evaluated, by any process."""
        return sum(trial.is_replicate for trial in self._trials.running)

    @property
    def elsewhere(self) -> int:
        """Number of trials that other processes evaluate."""
        return sum(trial.owner != self._owner for trial in self._trials.running)

    @property
    def waits(self) -> bool:
        """Whether a trial has to wait after each report for the answer whether to go on."""
        return self._stopping is not None

    @property
    def ready(self) -> bool:
        """Whether the next proposal can be made; if not, it needs the result of a trial that is still running."""
        if self._stopping is not None or self.elsewhere:
            return True
        hidden = self._hidden()
        return all(trial.number in hidden for trial in self._trials.running if not trial.is_replicate)

    def close(self) -> None:
        """Release the unfinished trials, so that another process can continue them."""
        with contextlib.suppress(InputError, WorkError):  # if this fails, the leases expire without our heartbeats
            self.store.release(self.name, self._owner)
        leases.retire(self._owner)

    def refresh(self) -> None:
        """Read what other processes have changed."""
        if self._unsure:
            # A study may have hundreds of thousands of trials; their descriptions take more room than all else.
            described = own_costs(self.record.objectives)
            stored = self.store.trial_records(self.name) if described else self.store.changed_trials(self.name, {}, -1)
            self._trials = Ledger(self.record.objectives, stored)
            self._unsure = False
            return
        for record in self.store.changed_trials(self.name, self._trials.open, after=self._trials.last):
            self._trials.put(record)

    def heartbeat(self) -> None:
        """Renew the leases of this process's trials; call it at least every `leases.LEASE_SECONDS`."""
        self.store.heartbeat(self.name, self._owner)

    def ask(self, limit: int | None = None) -> Trial | None:
        """Choose what to evaluate next.

        A trial that a killed run left behind comes first, from its last rung; then, with early stopping, a stopped
        trial that has become worth continuing; else a new feasible design, or, with several lengths, a longer training
        of a finished one if that is expected to gain more. Proposals that are over the budget or were
        made before are recorded, but do not count as evaluations.

        Args:
            limit: Total number of finished evaluations wanted (`spent`); no more are started than are missing.

        Returns:
            The trial, or None if there are enough, or if every feasible design of the space has been seen.
        """
        return self._given(undisturbed(lambda: self._chosen(limit)))

    def replicate(self, seeds: int) -> Trial | None:
        """Choose the next design of the front to evaluate with another seed.

        Args:
            seeds: Number of evaluations wanted for each design of the front.

        Returns:
            The trial, or None if every design has that many evaluations, finished or running.
        """
        return self._given(undisturbed(lambda: self._chosen_again(seeds)))

    def cached(self, trial: Trial) -> EvaluationRecord | None:
        """Look up an evaluation of the same design, recipe, data and seed in all studies of the database."""
        _, recipe_hash = self._recipe(trial.steps)
        return self.store.evaluation(trial.design.key, recipe_hash, self.record.data_fingerprint, trial.seed)

    def report(self, trial: Trial, step: int, psnr: float, before: Sequence[tuple[int, float]] = ()) -> bool:
        """Save a point of a running trial's curve.

        Args:
            trial: The trial, from `ask` or `replicate`.
            step: Training step.
            psnr: PSNR in dB after that step.
            before: Earlier (step, PSNR) points that have not been reported yet.

        Returns:
            Whether to go on. If not, the trial is already recorded as stopped, and `ask` may return it again later; or
            another process took it over while this one was suspended.
        """
        record = self._trials[trial.number]
        if step <= record.cleared_step:
            return True  # reported before an interruption, and now again
        stopping = self._stopping if trial.replicate_of is None else None
        if stopping is not None:
            self.refresh()
        curve = {int(step): psnr for step, psnr in record.curve} | dict(before) | {step: psnr}
        record = replace(record, curve=tuple(sorted(curve.items())))
        self._trials.put(record)
        if stopping is None or step >= stopping.steps:
            return self._kept(record)
        with one_thread():
            going_on = stopping.goes_on(trial.number, self._trials.proposals)
        if not self._kept(record, cleared_step=step if going_on else None, stop=not going_on):
            return False
        stopped = replace(record, state="stopped", owner=None)
        self._trials.put(replace(record, cleared_step=step) if going_on else stopped)
        return going_on

    def _kept(self, record: TrialRecord, *, cleared_step: int | None = None, stop: bool = False) -> bool:
        """Save the curve of a running trial; False if another process took it over, as this one was suspended."""
        try:
            self.store.keep_curve(
                self.name, record.number, record.curve, cleared_step=cleared_step, stop=stop, owner=self._owner
            )
        except EndedElsewhere:
            self.refresh()
            return False
        return True

    def tell(self, trial: Trial, score: Score, seconds: float) -> EvaluationRecord:
        """Finish a trial with its score, in one transaction.

        Args:
            trial: The trial, from `ask` or `replicate`.
            score: The evaluator's score.
            seconds: Time that the evaluation took.

        Raises:
            WorkError: The store could not be written; nothing has changed, and you may call this again.
        """
        recipe, recipe_hash = self._recipe(trial.steps)
        evaluation = EvaluationRecord(
            key=trial.design.key,
            recipe=recipe,
            recipe_hash=recipe_hash,
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
        """Finish a trial with an evaluation record.

        Args:
            trial: The trial, from `ask` or `replicate`.
            evaluation: The evaluation of its design.
            cached: Whether the evaluation is reused from an earlier trial.
        """
        now = self._now()
        try:
            self.store.finish_trial(self.name, trial.number, evaluation, cached=cached, at=now)
        except EndedElsewhere:  # our lease had expired; another process took the trial over and finished first
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
                finished_at=now,
                owner=None,
            )
        )

    def fail(self, trial: Trial, reason: str) -> None:
        """Record that a trial failed, with the reason."""
        try:
            self.store.fail_trial(self.name, trial.number, reason, owner=self._owner, at=self._now())
        except EndedElsewhere:
            self.refresh()
            return
        self._trials.put(replace(self._trials[trial.number], state="failed", reason=reason, owner=None))

    def _now(self) -> datetime:
        """The time, but never before that of an earlier event of the study: the clock may have been set back."""
        now, latest = datetime.now(UTC), self._trials.latest
        return now if latest is None else max(now, latest)

    def checkpoint(self, trial: Trial) -> str | None:
        """Return the path or URL of the trial's checkpoint; None if the evaluator writes none."""
        return None if self.checkpoints is None else self.checkpoints.place(trial.design.key, trial.seed, trial.steps)

    def front(self) -> pd.DataFrame:
        """Return the front as this process knows it: `Store.front` without a query."""
        return self._trials.front()

    def tidy(self) -> None:
        """Remove the checkpoints that are no longer needed.

        The weights of the designs on the front stay, and those of the second front, because further seeds may move
        designs between the two; so do those of all longer trainings, and the trunks that these may go on from.
        """
        if self.checkpoints is not None:
            self.checkpoints.keep(self._wanted)

    def convergence(self) -> Convergence:
        """Compute whether the front still rises by more than training noise."""
        trials = self.store.trials(self.name)
        noise = retraining_noise(trials, quality_of(self.record.objectives))
        return converged(trials, self.record.objectives, self.record.reference, noise)

    def _wanted(self) -> list[str]:
        assert self.checkpoints is not None
        self.refresh()
        stopped = [trial.number for trial in self._trials.open.values() if trial.state == "stopped"][-MAX_ASIDE:]
        running = [trial.number for trial in self._trials.running]
        longer = [number for by_steps in self._trials.longer.values() for number in by_steps.values()]
        wanted = [self._trials[number] for number in (*running, *stopped, *self._trials.layers(2), *longer)]
        places = [self.checkpoints.place(trial.key, self._seed(trial), trial.steps) for trial in wanted if trial.key]
        return places + self._trunks()

    def _trunks(self) -> list[str]:
        """The trunks from which longer trainings may go on: those of all designs without the longest one."""
        lengths = self.space.search.lengths or ()
        if self.checkpoints is None or len(lengths) < 2:
            return []
        shorter = [
            trial
            for trial in self._trials
            if trial.state == "complete" and lengths[-1] not in self._trials.longer.get(trial.number, {})
        ]
        return [self.checkpoints.trunk(trial.key, self._seed(trial)) for trial in shorter if trial.key]

    def _prior(self) -> list[Observation]:
        """Results that the informing study had when this study was created."""
        if self.space.search.inform is None:
            return []
        return observations_from(self.store, self.space.search.inform, self.space, before=self.record.created_at)

    @property
    def acceptance(self) -> Acceptance:
        """The shares of the sampler's proposals that were feasible and new."""
        return Acceptance.of(self._trials.proposals)

    def _hidden(self) -> set[int]:
        """Numbers of the last trials, whose results the next proposal ignores."""
        if self._stopping is not None or not self._unknown or self.elsewhere:
            return set()
        hidden, since = set(), 0.0
        longest = max(map(self._price, self._trials.asked), default=1.0) if self._trials.longer else 1.0
        for number in reversed(self._trials.asked):
            if since >= self._unknown * longest:
                break
            price = self._price(number)
            if since < self._unknown * price:  # a longer training is out of sight for as much longer
                hidden.add(number)
            since += price
        return hidden

    def _known(self) -> list[TrialRecord]:
        """The trials as the sampler sees them: the hidden ones count as running, even if they have ended."""
        return self._as_seen(self._trials.proposals)

    def _as_seen(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        hidden = self._hidden()
        return [
            replace(trial, state="running", psnr=None, ssim=None, seconds=None) if trial.number in hidden else trial
            for trial in trials
        ]

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Holds the study's lock, with the trials of all other processes read: one process chooses at a time."""
        record = self.record
        try:
            with self.store.exclusive(f"{record.space_hash} {record.created_at.isoformat()}", wait=300):
                self.refresh()
                yield
        except BaseException:
            self._unsure = True  # the choice may or may not have been saved: read the store again
            raise

    def _chosen(self, limit: int | None) -> Trial | None:
        """What `ask` returns, chosen while no other process chooses."""
        with self._exclusive():
            trial = self._left_behind()
            if trial is None and self.affords(1.0, limit):
                trial = self._promoted() or self._next_training(limit) or self._any_stopped()
                self.exhausted = trial is None
            for row in own_costs(self.space.objectives):
                if trial is not None and row.measure is not None:
                    row.measure(trial.design.key, trial.design.to_dict())  # a design without this cost is not trained
        return trial

    def _chosen_again(self, seeds: int) -> Trial | None:
        """What `replicate` returns."""
        with self._exclusive():
            return self._left_behind() or self._next_replicate(seeds)

    def _left_behind(self) -> Trial | None:
        """The first trial whose process died, if this process gets its lease."""
        for trial in self._trials.running:
            # The lease was saved, but the connection was lost before `ask` returned.
            if trial.owner == self._owner and trial.number not in self._given_out:
                return self._as_trial(trial)
        # The query reads all running trials, and processes die seldom.
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return None
        abandoned = next(filter(None, map(self._taken_over, self.store.abandoned(self.name))), None)
        self._looked = now if abandoned is None else -math.inf
        return abandoned

    def _taken_over(self, number: int) -> Trial | None:
        """A trial that is running in a dead process or stopped, leased to this one; None if another was quicker."""
        record = self._trials[number]
        if not self.store.take_up(self.name, record, self._owner):
            return None
        cleared_step = record.curve[-1][0] if record.state == "stopped" and record.curve else record.cleared_step
        record = replace(record, state="running", owner=self._owner, cleared_step=int(cleared_step))
        self._trials.put(record)
        return self._as_trial(record)

    def _next_replicate(self, seeds: int) -> Trial | None:
        """The first design of the front that has fewer than ``seeds`` evaluations."""
        for original in map(int, self.front()["trial"]):
            tried = 1 + len(self._trials.replicates(original))
            if tried < seeds:
                return self._added([self._evaluated_again(self._trials[original], seed=self.record.seed + tried)])
        return None

    def _evaluated_again(
        self, original: TrialRecord, *, seed: int | None = None, steps: int | None = None
    ) -> TrialRecord:
        """A new trial of a finished one's design, with another seed or in a longer training."""
        return replace(
            original,
            number=self._trials.last + 1,
            description=self._description(original),
            state="running",
            psnr=None,
            ssim=None,
            curve=(),
            seconds=None,
            cached=False,
            sampler_state={},
            started_at=self._now(),
            finished_at=None,
            replicate_of=original.number,
            seed=seed,
            steps=steps,
            cleared_step=0,
            owner=self._owner,
        )

    def _promoted(self) -> Trial | None:
        """A stopped trial that is expected to gain more than a new design."""
        if self._stopping is None:
            return None
        with one_thread():
            number = self._stopping.promoted(self._trials.last + 1, self._trials.proposals, self._continuable())
        return None if number is None else self._taken_over(number)

    def _next_training(self, limit: int | None) -> Trial | None:
        """A new design, or a longer training of a known one, whichever is expected to gain more."""
        if self._lengths is None:
            return self._new()
        known = self._known()
        longer = self._as_seen([self._trials[n] for each in self._trials.longer.values() for n in each.values()])
        with one_thread():
            choice = self._lengths.choose(self._trials.last + 1, known, longer, self._offers(known, longer, limit))
        if isinstance(choice, Longer):
            return self._longer(choice)
        if choice is not None:
            candidate = self.space.candidate(choice)
            proposal = self._proposal(self._trials.last + 1, candidate, {"trial": {}, "study": {}}, self._trials.keys)
            if proposal.state == "running":
                return self._added([proposal], candidate.design)
        return self._new()

    def _offers(self, known: Sequence[TrialRecord], longer: Sequence[TrialRecord], limit: int | None) -> Offers:
        """The longer trainings that fit into what is left of the trials and of the time, with their prices."""
        lengths = self.space.search.lengths or ()
        seconds: Seconds | None = None
        if self.deadline is not None:
            seconds = Seconds.of([(trial, trial.steps or lengths[0]) for trial in (*known, *longer)])
        at_most = None if self.deadline is None else self.deadline - time.monotonic()
        # A design waits for the result of a longer training that has begun, and gets none after one that failed.
        blocked = {trial.replicate_of for trial in longer if trial.state != "complete"}
        done: dict[int, int] = {}
        for trial in longer:
            if trial.replicate_of is not None and trial.steps is not None:
                done[trial.replicate_of] = max(trial.steps, done.get(trial.replicate_of, 0))
        offers = []
        for trial in known:
            if trial.state != "complete" or trial.number in blocked:
                continue
            before = done.get(trial.number, lengths[0])
            for steps in (each for each in lengths if each > before):
                to_train = self._at(steps).steps_after(before)
                price = to_train / lengths[0]
                takes = None if seconds is None else seconds.of_training(trial.mult_adds or 0, to_train)
                if self.affords(price, limit) and (takes is None or at_most is None or takes <= at_most):
                    offers.append(Offer(trial.number, steps, price if takes is None else takes))
        total = float(limit) if at_most is None and limit is not None else at_most
        return Offers(tuple(offers), lengths[0], total, seconds)

    def _longer(self, choice: Longer) -> Trial:
        """A longer training of a finished design."""
        original = self._trials[choice.trial]
        return self._added([self._evaluated_again(original, steps=choice.steps)])

    def _at(self, steps: int | None) -> Evaluator:
        """The evaluator with a training of that many steps; None: the study's own."""
        return self._evaluator if steps is None else self._evaluator.at_length(steps)

    def _recipe(self, steps: int | None) -> tuple[dict[str, Any], str]:
        """Recipe and runtime of an evaluation, and their hash."""
        if steps not in self._recipes:
            recipe = recipe_of(self._at(steps)) | {"runtime": runtime_of(self._evaluator)}
            self._recipes[steps] = recipe, content_hash(recipe)
        return self._recipes[steps]

    def _steps(self, number: int) -> float:
        """The steps that a longer training had to do: none that shorter ones before it had done."""
        trial = self._trials[number]
        own = steps_of(self._evaluator) or 1
        if trial.steps is None or trial.replicate_of is None:
            return float(own)
        before = [
            steps
            for steps, other in self._trials.longer.get(trial.replicate_of, {}).items()
            if other < number and self._trials[other].state == "complete"
        ]
        return float(self._at(trial.steps).steps_after(max(before, default=own)))

    def _price(self, number: int) -> float:
        """A training in trainings of the study's own length."""
        if self._trials[number].steps is None:
            return 1.0
        if number not in self._prices:
            self._prices[number] = self._steps(number) / (steps_of(self._evaluator) or 1)
        return self._prices[number]

    def _any_stopped(self) -> Trial | None:
        """The stopped trial with the highest PSNR; for when no new design is left."""
        best_first = sorted(self._continuable(), key=lambda number: -self._trials[number].curve[-1][1])
        return next(filter(None, map(self._taken_over, best_first)), None)

    def _continuable(self) -> list[int]:
        """Numbers of the stopped trials that have a checkpoint."""
        if self.checkpoints is None:
            return []
        stopped = [t for t in self._trials.open.values() if t.state == "stopped" and t.key and t.curve]
        return [t.number for t in stopped if self.checkpoints.has(t.key or "", self._seed(t))]

    def _new(self) -> Trial | None:
        """A feasible new design; None if none was found."""
        proposals: list[TrialRecord] = []
        seen = self._trials.keys
        known, number = self._known(), self._trials.last + 1
        while not proposals or proposals[-1].state != "running":
            repeats = sum(proposal.state == "repeated" for proposal in proposals)
            state: dict[str, Any] = {}
            published = next((point for point in self._first if point.design.key not in seen), None)
            if published is not None:
                candidate = published
            elif len(proposals) < MAX_REJECTED and repeats < MAX_REPEATED:
                candidate, state = self._proposer.propose(number, [*known, *proposals])
            else:
                substitute, state = self._substitute(number, seen, proposals[-1])
                if substitute is None:
                    return None
                candidate = substitute
            proposals.append(self._proposal(number, candidate, state, seen))
            number += 1
        return self._added(proposals, candidate.design)

    def _added(self, records: Sequence[TrialRecord], design: Architecture | None = None) -> Trial:
        """Save new records; the last one is the trial to evaluate."""
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
        now = self._now()
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
            started_at=now,
            finished_at=None if verdict == "running" else now,
            owner=self._owner if verdict == "running" else None,
        )

    def _substitute(
        self, number: int, seen: Mapping[str, int], rejected: TrialRecord
    ) -> tuple[Candidate | None, dict[str, Any]]:
        """A feasible new design to replace rejected proposals: the nearest one if the sampler learns, else random.

        Returns:
            The design, and the sampler's state to save with it: a sampler treats a repaired proposal as its own.
        """
        if sampler_type(self.record.sampler).learns:
            rng = np.random.default_rng(proposal_seed(self.record.seed, number))
            repaired = self.space.repaired(rejected.axes, rng, seen)
            if repaired is not None:
                return repaired, {**rejected.sampler_state, "repaired": True}
        return self._random_new(number, seen), {}

    def _random_new(self, number: int, seen: Mapping[str, int]) -> Candidate | None:
        """A random feasible design that has not been seen; None if there is none."""
        rng = np.random.default_rng(proposal_seed(self.record.seed, number))
        feasible = self.space.feasible
        if feasible is not None and len(feasible) <= _RANDOM_TRIES:
            unseen = [candidate for candidate in feasible if candidate.design.key not in seen]
            return unseen[int(rng.integers(len(unseen)))] if unseen else None
        for _ in range(_RANDOM_TRIES):
            candidate = feasible[int(rng.integers(len(feasible)))] if feasible else self.space.random_point(rng)
            if candidate.broken is None and candidate.design.key not in seen:
                return candidate
        return None

    def _given(self, trial: Trial | None) -> Trial | None:
        """Remember that a trial is evaluated by this process, once its lease is saved."""
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
            steps=record.steps,
            curve=record.curve,
        )

    def _description(self, record: TrialRecord) -> Mapping[str, Any]:
        """The design's description, read from the store if another process proposed the trial."""
        return record.description or self.store.description(record.key or "")

    def _seed(self, record: TrialRecord) -> int:
        return self.record.seed if record.seed is None else record.seed
