"""A sampler and an evaluator that suspend their run, once each. Importing this shortens the time that runs wait."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from optuna.samplers import RandomSampler

from srsearch.architecture import Architecture
from srsearch.search import Score, SyntheticEvaluator
from srsearch.search.evaluators.base import Report
from srsearch.store import leases, locks

locks.SILENT_SECONDS = 2.0
leases.HEARTBEAT_SECONDS, leases.LEASE_SECONDS = 0.5, 3.0

CHOOSING, TRAINING = "suspended while it chooses", "suspended while it trains"
"""Files of the working folder that are made when a run is suspended."""


def _suspend(mark: str, *processes: int) -> None:
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return
    for process in processes:
        os.kill(process, signal.SIGSTOP)


class SuspendingSampler(RandomSampler):
    """Suspends the run when it proposes for the third time."""

    proposals = 0

    def infer_relative_search_space(self, *arguments: Any) -> dict[str, Any]:
        SuspendingSampler.proposals += 1
        if SuspendingSampler.proposals == 3:
            _suspend(CHOOSING, os.getpid())
        return super().infer_relative_search_space(*arguments)


class Suspending(SyntheticEvaluator):
    """Suspends the run and its worker, as Ctrl-Z does, in the worker's third evaluation."""

    evaluations = 0

    def __init__(self) -> None:
        super().__init__(seconds=0.2)

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        self.evaluations += 1
        if self.evaluations == 3:
            _suspend(TRAINING, os.getppid(), os.getpid())
        return super().evaluate(design, seed, report)
