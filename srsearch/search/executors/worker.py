"""A worker process of the local executor. It imports no samplers, tables or databases, so that it starts quickly."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from srsearch.search.evaluators.base import Evaluator
from srsearch.search.executors.evaluation import Job, evaluated, prepare
from srsearch.search.processes import describe


def work(pipe: Connection, evaluator: Evaluator, recipe: Mapping[str, Any]) -> None:
    """Evaluate the jobs that come through the pipe until it closes.

    Args:
        pipe: To the main process.
        evaluator: Scores the designs.
        recipe: The evaluator's recipe in the main process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for systems on which signals cannot be held back
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=pipe.close)  # a child writes nothing, and does not keep the pipe open
    os.dup2(2, 1)  # what an evaluator prints must not get between the results on standard output
    try:
        prepare(evaluator, recipe)
    except BaseException as error:
        _send(pipe, ("broken", f"the worker could not start: {describe(error)}"))
        return
    if not _send(pipe, ("ready",)):
        return
    while True:
        try:
            job: Job = pipe.recv()
        except (EOFError, OSError):
            return
        outcome = evaluated(evaluator, job, _Teller(pipe, job))
        if not _send(pipe, ("ended", job.identity, outcome)):
            return


class _Teller:
    """Sends a trial's points through the pipe, and waits for the answer where the trial waits."""

    def __init__(self, pipe: Connection, job: Job) -> None:
        self._pipe, self._job = pipe, job

    def __call__(self, step: int, psnr: float) -> bool:
        if not _send(self._pipe, ("reported", self._job.identity, step, psnr)):
            return False
        if not self._job.waits:
            return True
        try:
            return bool(self._pipe.recv())
        except (EOFError, OSError):  # the main process is gone
            return False


def _send(pipe: Connection, message: tuple[object, ...]) -> bool:
    """Send to the main process; returns whether it is still there."""
    try:
        pipe.send(message)
    except OSError:
        return False
    return True
