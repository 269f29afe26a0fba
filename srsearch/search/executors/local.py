"""The local executor: worker processes that evaluate what they are sent.

A worker that crashes or is killed costs its trial only: the next trial gets a new process. Workers are spawned, never
forked: torch and open databases do not survive a fork.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from srsearch.errors import InputError
from srsearch.search.evaluators.base import Evaluator
from srsearch.search.events import Broken, Event, Failed, Finished, Reported, Stopped
from srsearch.search.executors.worker import work
from srsearch.search.processes import GUARD, WORKER_NAME, describe, without_signals
from srsearch.search.session import Session
from srsearch.search.trial import Trial


@dataclass
class _Worker:
    index: int
    process: BaseProcess
    pipe: Connection
    trial: Trial | None = None
    ready: bool = False


class LocalExecutor:
    """Worker processes on this machine.

    Args:
        evaluator: Sent to every worker.
        workers: How many processes.
        waits: Whether a trial waits after each report until it is told whether to go on (`answer`).

    Raises:
        InputError: The evaluator cannot be sent to a process.
    """

    def __init__(self, evaluator: Evaluator, workers: int, *, waits: bool = False) -> None:
        self._evaluator = evaluator
        self._waits = waits
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

    def submit(self, index: int, trial: Trial, checkpoint: str | None = None) -> None:
        """Give a trial to an idle worker, in a new process if the last one died; it goes on from its checkpoint."""
        worker = self._workers[index]
        if not worker.process.is_alive():
            worker = self._workers[index] = self._start(index)
        worker.trial = trial
        # A worker that died just now is noticed in `events`.
        with contextlib.suppress(OSError):
            worker.pipe.send((trial.design.to_dict(), trial.seed, checkpoint, self._waits))

    def answer(self, index: int, going_on: bool) -> None:
        """Tell a worker that has reported whether its trial goes on."""
        if self._waits:
            with contextlib.suppress(OSError):
                self._workers[index].pipe.send(going_on)

    def events(self, timeout: float) -> Iterator[Event]:
        """What happened, waiting for it at most ``timeout`` seconds; each event is taken when it is asked for."""
        busy = [worker for worker in self._workers if worker.trial is not None]
        ready = wait([each for worker in busy for each in (worker.pipe, worker.process.sentinel)], timeout)
        for worker in busy:
            if worker.pipe in ready or worker.process.sentinel in ready:
                yield from self._received(worker)

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
            target=work, args=(theirs, self._evaluator), name=f"{WORKER_NAME}{index}", daemon=True
        )
        try:
            with without_signals():
                process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(f"the evaluator cannot be sent to a worker process: {describe(error)}") from None
        theirs.close()
        return _Worker(index, process, ours)

    def _received(self, worker: _Worker) -> Iterator[Event]:
        """What a worker has sent, up to a report that it waits for or the end of its trial."""
        trial, points = worker.trial, list[tuple[int, float]]()
        assert trial is not None
        while (message := self._message(worker))[0] == "reported":
            points.append((message[1], message[2]))
            if self._waits or not worker.pipe.poll():
                break
        if points:
            yield Reported(worker.index, trial, points)
        kind, *content = message
        if kind == "ready":
            worker.ready = True
        if kind in ("ready", "reported"):
            return
        worker.trial = None
        match kind:
            case "finished":
                yield Finished(worker.index, trial, *content)
            case "stopped":
                yield Stopped(worker.index, trial)
            case "broken":
                yield Broken(worker.index, trial, *content)
            case _:
                yield Failed(worker.index, trial, *content)

    def _message(self, worker: _Worker) -> tuple[Any, ...]:
        """The next one; what a worker sent before it died comes first: only then its pipe is at an end."""
        try:
            message: tuple[Any, ...] = worker.pipe.recv()
            return message
        except (EOFError, OSError):
            worker.process.join()
            ended = _death(worker.process.exitcode)
            return ("failed", ended) if worker.ready else ("broken", f"{ended} before it was ready ({GUARD})")


def run_local(session: Session, evaluator: Evaluator, workers: int, *, waits: bool) -> None:
    """Executes a session with processes of this machine, until it is over."""
    executor = LocalExecutor(evaluator, workers, waits=waits)
    try:
        with session.interrupts:
            try:
                _run(session, executor)
            finally:
                while events := list(executor.events(timeout=0)):
                    session.save_last(events)
    finally:
        executor.close()


def _run(session: Session, executor: LocalExecutor) -> None:
    while not session.interrupts.pending:
        for worker in executor.idle:
            trial = session.begin(worker)
            if trial is None:
                break
            executor.submit(worker, trial, session.checkpoint(trial))
        if executor.busy:
            for event in executor.events(timeout=0.25):
                going_on = session.handle(event)
                if isinstance(event, Reported):
                    executor.answer(event.worker, going_on)
        elif session.over:
            return
        else:
            session.wait_for_others()
        session.beat()


def _death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = " (the system may have run out of memory)" if name == "SIGKILL" else ""
        return f"the worker process was killed by {name}{hint}"
    return f"the worker process ended with exit code {exit_code}"
