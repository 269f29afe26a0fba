"""The evaluation of one trial, the same for every executor.

A worker process imports this module, so it imports no samplers, tables or databases.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srsearch.architecture import Architecture
from srsearch.errors import InputError
from srsearch.search.checkpoint_copy import Kept, kept
from srsearch.search.evaluators.base import MAX_SCORE, EvaluationFailed, Evaluator, Score, checked_score
from srsearch.search.evaluators.plain import recipe_of
from srsearch.search.processes import describe, one_line

_MAX_STEP = 2**53
"""The largest step: every JSON reader and every float still holds it exactly."""


@dataclass(frozen=True)
class Job:
    """A trial in the form in which workers receive it.

    Attributes:
        trial: Number of the trial in the study.
        attempt: Which start of the trial this is, from 1.
        key: The design's key, as the study proposed it.
        design: The architecture as plain data.
        seed: Seed of the evaluation.
        checkpoint: Path or URL of the trial's checkpoint; None: it has none.
        waits: Whether the trial waits after each report until it is told whether to go on.
        steps: Training steps of a longer training; None: the evaluator's own.
    """

    trial: int
    attempt: int
    key: str
    design: Mapping[str, Any]
    seed: int
    checkpoint: str | None
    waits: bool
    steps: int | None = None

    @property
    def identity(self) -> tuple[int, int, str]:
        """What every message about the job carries: its result is taken for no other one."""
        return self.trial, self.attempt, self.key


@dataclass(frozen=True)
class Outcome:
    """How an evaluation ended: with a score, with a failure, broken, or, where all are None, stopped when told to.

    Attributes:
        score: In plain finite numbers.
        seconds: How long the evaluation took.
        failure: Why there is no score.
        broken: Why this process cannot evaluate what the study proposes; the trial has not been looked at.
    """

    score: Score | None = None
    seconds: float = 0.0
    failure: str | None = None
    broken: str | None = None


_SAME_CODE = "srsearch or a plugin has changed since the run began, or is another version here"

_NAME = "evaluator"
"""Of a recipe; a class of the user's script is in another module in a worker."""


def prepare(evaluator: Evaluator, recipe: Mapping[str, Any]) -> None:
    """Prepare a worker process for an evaluator, which must score there as it does in the main process.

    Args:
        evaluator: As it arrived here.
        recipe: Its recipe in the main process, in plain data.

    Raises:
        RuntimeError: The recipe is another one here; says in what. Besides, whatever the evaluator raises.
    """
    evaluator.prepare()
    here = recipe_of(evaluator)
    others = [name for name in sorted({*here, *recipe}) if name != _NAME and here.get(name) != recipe.get(name)]
    if others:
        raise RuntimeError(f"the recipe of the trainings is another one here ({', '.join(others)}); {_SAME_CODE}")


Tell = Callable[[int, float], bool]
"""Sends a step and the PSNR in dB there to the study; returns whether the trial goes on."""


def evaluated(evaluator: Evaluator, job: Job, tell: Tell) -> Outcome:
    """Evaluate a design, from its checkpoint if there is one.

    An evaluator is anybody's code: whatever it raises, `SystemExit` too, fails this trial and no other. A child that it
    forks, and that returns from the evaluation like its parent, ends here.

    Args:
        evaluator: Has been prepared in this process.
        job: What to evaluate.
        tell: Called for every finite point that the evaluator reports.
    """
    started = time.monotonic()
    try:
        design = Architecture.from_dict(job.design)
        key = design.key
    except InputError as error:
        return Outcome(broken=f"a worker cannot build the design of trial {job.trial}: {one_line(error)}; {_SAME_CODE}")
    if key != job.key:
        return Outcome(
            broken=f"a worker builds another network for trial {job.trial} than the study proposed "
            f"(key {key[:12]}, not {job.key[:12]}); {_SAME_CODE}"
        )
    try:
        with kept(job.checkpoint) as checkpoint:
            report = _Report(checkpoint, tell)
            try:
                scorer = evaluator if job.steps is None else evaluator.at_length(job.steps)
                score = scorer.evaluate(design, job.seed, report)
            finally:
                report.close()
        if not report.going_on:
            return Outcome()
        checked = checked_score(score)
        for step, _ in checked.curve:
            _check_step(step)
    except EvaluationFailed as error:
        return Outcome(failure=one_line(error))
    except BaseException as error:
        return Outcome(failure=describe(error))
    seconds = time.monotonic() - started if checked.seconds is None else checked.seconds
    return Outcome(checked, seconds)


def timeout_reason(seconds: float | None) -> str:
    """Why a trial that takes too long fails."""
    return f"the trial took longer than its time limit of {seconds:g} s (--trial-timeout)"


class _Report:
    """The `Report` that an evaluator calls: copies the checkpoint to where it is kept, then tells the point."""

    def __init__(self, checkpoint: Kept, tell: Tell) -> None:
        self.checkpoint = checkpoint.path
        self.going_on = True
        self._kept = checkpoint
        self._tell = tell
        self._process = os.getpid()
        self._closed = False
        self._lock = threading.Lock()  # threads of an evaluator may report, too

    @property
    def trunk(self) -> Path | None:
        return self._kept.trunk

    def __call__(self, step: int, psnr: float) -> bool:
        if os.getpid() != self._process:  # a child of the worker: its parent reports
            return True
        _check_step(step)
        with self._lock:
            if self._closed:
                return False
            # Only points that could be scores are sent. Whether the evaluation is worth keeping, its score tells.
            if abs(psnr) <= MAX_SCORE and self.going_on:
                self._kept.send()
                self.going_on = self._tell(int(step), float(psnr))
            return self.going_on

    def close(self) -> None:
        """End the evaluation: what a thread reports later is dropped, and a forked child goes no further."""
        if os.getpid() != self._process:
            os._exit(0)
        with self._lock:
            self._closed = True


def _check_step(step: float) -> None:
    if not 0 <= step <= _MAX_STEP:
        raise EvaluationFailed(f"the evaluator reported step {step}; a step is a number from 0 to {_MAX_STEP}")
