"""The local executor: worker processes that evaluate what they are sent.

A worker that crashes or is killed costs its trial only: the next trial gets a new process. Workers are spawned, never
forked: torch and open databases do not survive a fork.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeAlias

from srsearch.architecture import Architecture
from srsearch.search.evaluators import EvaluationFailed, Evaluator, Score
from srsearch.search.study import Trial


@dataclass(frozen=True)
class Reported:
    """A point of a running trial's curve."""

    worker: int
    trial: Trial
    step: int
    psnr: float


@dataclass(frozen=True)
class Finished:
    """A trial ended with a score."""

    worker: int
    trial: Trial
    score: Score
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A trial ended without one. ``broken`` says that the worker itself could not start."""

    worker: int
    trial: Trial
    reason: str
    broken: bool = False


Event: TypeAlias = Reported | Finished | Failed


@dataclass
class _Worker:
    index: int
    process: BaseProcess
    pipe: Connection
    trial: Trial | None = None
    started: float = 0.0


class LocalExecutor:
    """Worker processes on this machine.

    Args:
        evaluator: Sent to every worker.
        workers: How many processes.
    """

    def __init__(self, evaluator: Evaluator, workers: int) -> None:
        self._evaluator = evaluator
        self._context = multiprocessing.get_context("spawn")
        self._workers = [self._start(index) for index in range(workers)]

    @property
    def idle(self) -> list[int]:
        """Workers without a trial."""
        return [worker.index for worker in self._workers if worker.trial is None]

    @property
    def busy(self) -> bool:
        """Whether any worker has a trial."""
        return len(self.idle) < len(self._workers)

    def submit(self, index: int, trial: Trial) -> None:
        """Give a trial to an idle worker, in a new process if the last one died."""
        worker = self._workers[index]
        if not worker.process.is_alive():
            worker = self._workers[index] = self._start(index)
        worker.trial, worker.started = trial, time.monotonic()
        # A worker that died just now is noticed in `events`.
        with contextlib.suppress(OSError):
            worker.pipe.send((trial.design.to_dict(), trial.seed))

    def events(self, timeout: float) -> list[Event]:
        """What happened, waiting for it at most ``timeout`` seconds."""
        busy = [worker for worker in self._workers if worker.trial is not None]
        ready = wait([each for worker in busy for each in (worker.pipe, worker.process.sentinel)], timeout)
        # What a worker sent before it died is still read: the pipe comes before the death notice.
        return [self._receive(worker) for worker in busy if worker.pipe in ready or worker.process.sentinel in ready]

    def close(self) -> None:
        """End all workers at once; what they were doing is given up."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def _start(self, index: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._evaluator), name=f"srsearch-worker-{index}", daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(index, process, ours)

    def _receive(self, worker: _Worker) -> Event:
        trial = worker.trial
        assert trial is not None
        try:
            kind, *content = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            worker.trial = None
            return Failed(worker.index, trial, _death(worker.process.exitcode))
        if kind == "reported":
            return Reported(worker.index, trial, *content)
        worker.trial = None
        if kind == "finished":
            return Finished(worker.index, trial, *content)
        return Failed(worker.index, trial, *content)


def _death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = " (the system may have run out of memory)" if name == "SIGKILL" else ""
        return f"the worker process was killed by {name}{hint}"
    return f"the worker process ended with exit code {exit_code}"


def _work(pipe: Connection, evaluator: Evaluator) -> None:
    """A worker's life: evaluate what comes through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process decides.
    try:
        evaluator.prepare()
    except Exception as error:
        _send(pipe, ("failed", f"the worker could not start: {describe(error)}", True))
        return
    while True:
        try:
            description, seed = pipe.recv()
        except (EOFError, OSError):
            return
        if not _send(pipe, _evaluated(pipe, evaluator, Architecture.from_dict(description), seed)):
            return


def _evaluated(pipe: Connection, evaluator: Evaluator, design: Architecture, seed: int) -> tuple[object, ...]:
    def report(step: int, psnr: float) -> bool:
        return _send(pipe, ("reported", step, psnr))

    started = time.monotonic()
    try:
        score = evaluator.evaluate(design, seed, report)
    except EvaluationFailed as error:
        return ("failed", str(error))
    except Exception as error:  # An evaluator is anybody's code: whatever it raises fails this trial only.
        return ("failed", describe(error))
    if not math.isfinite(score.psnr):
        return ("failed", f"the evaluator gave a PSNR of {score.psnr}")
    return ("finished", score, time.monotonic() - started)


def _send(pipe: Connection, message: tuple[object, ...]) -> bool:
    """Whether there was anybody to send it to: without a main process a worker stops."""
    try:
        pipe.send(message)
    except OSError:
        return False
    return True


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
