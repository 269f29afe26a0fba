"""A worker process of the local executor. Apart from it, as a worker imports no samplers, tables or databases."""

from __future__ import annotations

import math
import os
import signal
import time
from multiprocessing.connection import Connection

from srsearch.architecture import Architecture
from srsearch.search.checkpoint_copy import Kept, kept
from srsearch.search.evaluators.base import EvaluationFailed, Evaluator, checked_score
from srsearch.search.processes import describe


def work(pipe: Connection, evaluator: Evaluator) -> None:
    """A worker's life: evaluate what comes through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems on which signals cannot be held back
    os.dup2(2, 1)  # what an evaluator prints must not get between the results on standard output
    try:
        evaluator.prepare()
    except Exception as error:
        _send(pipe, ("broken", f"the worker could not start: {describe(error)}"))
        return
    if not _send(pipe, ("ready",)):
        return
    while True:
        try:
            description, seed, checkpoint, waits = pipe.recv()
        except (EOFError, OSError):
            return
        with kept(checkpoint) as own:
            report = _Report(pipe, own, waits)
            ended = _evaluated(evaluator, Architecture.from_dict(description), seed, report)
        if not _send(pipe, ended):
            return


class _Report:
    """What an evaluator calls: sends the point, and gets the answer if there is one to wait for."""

    def __init__(self, pipe: Connection, checkpoint: Kept, waits: bool) -> None:
        self.checkpoint = checkpoint.path
        self._kept = checkpoint
        self.going_on = True
        self._pipe, self._waits = pipe, waits

    def __call__(self, step: int, psnr: float) -> bool:
        # A point that is no number is not worth keeping; whether the evaluation is, its score tells.
        if math.isfinite(psnr) and self.going_on:
            self._kept.send()
            self.going_on = _send(self._pipe, ("reported", int(step), float(psnr)))
            if self.going_on and self._waits:
                try:
                    self.going_on = bool(self._pipe.recv())
                except (EOFError, OSError):  # the main process is gone
                    self.going_on = False
        return self.going_on


def _evaluated(evaluator: Evaluator, design: Architecture, seed: int, report: _Report) -> tuple[object, ...]:
    started = time.monotonic()
    try:
        score = evaluator.evaluate(design, seed, report)
        if not report.going_on:
            return ("stopped",)
        score = checked_score(score)
    except EvaluationFailed as error:
        return ("failed", str(error))
    except Exception as error:  # An evaluator is anybody's code: whatever it raises fails this trial only.
        return ("failed", describe(error))
    return ("finished", score, time.monotonic() - started if score.seconds is None else score.seconds)


def _send(pipe: Connection, message: tuple[object, ...]) -> bool:
    """Whether there was anybody to send it to: without a main process a worker stops."""
    try:
        pipe.send(message)
    except OSError:
        return False
    return True
