"""The evaluation of one trial, the same for every executor.

A worker process imports this module, so it imports no samplers, tables or databases.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from srsearch.architecture import Architecture
from srsearch.search.checkpoint_copy import Kept, kept
from srsearch.search.evaluators.base import MAX_SCORE, EvaluationFailed, Evaluator, Score, checked_score
from srsearch.search.processes import describe


@dataclass(frozen=True)
class Job:
    """A trial in the form in which workers receive it.

    Attributes:
        design: The architecture as plain data.
        seed: Seed of the evaluation.
        checkpoint: Path or URL of the trial's checkpoint; None: it has none.
        waits: Whether the trial waits after each report until it is told whether to go on.
    """

    design: Mapping[str, Any]
    seed: int
    checkpoint: str | None
    waits: bool


@dataclass(frozen=True)
class Outcome:
    """How an evaluation ended: with a score, with a failure, or, where both are None, stopped when told to.

    Attributes:
        score: In plain finite numbers.
        seconds: How long the evaluation took.
        failure: Why there is no score.
    """

    score: Score | None = None
    seconds: float = 0.0
    failure: str | None = None


Tell = Callable[[int, float], bool]
"""Sends a step and the PSNR in dB there to the study; returns whether the trial goes on."""


def evaluated(evaluator: Evaluator, job: Job, tell: Tell) -> Outcome:
    """Evaluate a design, from its checkpoint if there is one.

    An evaluator is anybody's code: whatever exception it raises fails this trial and no other.

    Args:
        evaluator: Has been prepared in this process.
        job: What to evaluate.
        tell: Called for every finite point that the evaluator reports.
    """
    started = time.monotonic()
    try:
        with kept(job.checkpoint) as checkpoint:
            report = _Report(checkpoint, tell)
            score = evaluator.evaluate(Architecture.from_dict(job.design), job.seed, report)
        if not report.going_on:
            return Outcome()
        checked = checked_score(score)
    except EvaluationFailed as error:
        return Outcome(failure=str(error))
    except Exception as error:
        return Outcome(failure=describe(error))
    seconds = time.monotonic() - started if checked.seconds is None else checked.seconds
    return Outcome(checked, seconds)


class _Report:
    """The `Report` that an evaluator calls: copies the checkpoint to where it is kept, then tells the point."""

    def __init__(self, checkpoint: Kept, tell: Tell) -> None:
        self.checkpoint = checkpoint.path
        self.going_on = True
        self._kept = checkpoint
        self._tell = tell

    def __call__(self, step: int, psnr: float) -> bool:
        # Only points that could be scores are sent. Whether the evaluation is worth keeping, its score tells.
        if abs(psnr) <= MAX_SCORE and self.going_on:
            self._kept.send()
            self.going_on = self._tell(int(step), float(psnr))
        return self.going_on
