"""The local executor: worker processes that evaluate what they are sent.

A worker that crashes or is killed costs its trial only: the next trial gets a new process. Workers are spawned, never
forked: torch and open databases do not survive a fork.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Self

from srsearch.errors import InputError
from srsearch.search.evaluators.base import Evaluator
from srsearch.search.events import Broken, Event, Failed, Reported
from srsearch.search.executors.base import event_of
from srsearch.search.executors.evaluation import Job
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
    """Evaluates trials in processes of this machine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: the processes live as long as `execute`."""

    def detect(self, device: str) -> dict[str, Any] | None:
        return None

    def room(self, runtime: Mapping[str, Any]) -> int | None:
        return None

    def check(self, evaluator: Evaluator) -> None:
        evaluator.check_machine()

    def execute(self, session: Session, evaluator: Evaluator, workers: int, *, waits: bool) -> None:
        pool = _Pool(evaluator, workers, waits=waits)
        try:
            with session.interrupts:
                try:
                    _run(session, pool)
                finally:
                    while events := list(pool.events(timeout=0)):
                        session.save_last(events)
        finally:
            pool.close()


class _Pool:
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
        """Give a trial to an idle worker, whose process is started again if it has died."""
        worker = self._workers[index]
        if not worker.process.is_alive():
            worker = self._workers[index] = self._start(index)
        worker.trial = trial
        # A worker that died just now is noticed in `events`.
        with contextlib.suppress(OSError):
            worker.pipe.send(Job(trial.design.to_dict(), trial.seed, checkpoint, self._waits))

    def answer(self, index: int, going_on: bool) -> None:
        """Tell a worker that has reported whether its trial goes on."""
        if self._waits:
            with contextlib.suppress(OSError):
                self._workers[index].pipe.send(going_on)

    def events(self, timeout: float) -> Iterator[Event]:
        """Wait at most ``timeout`` seconds for something to happen; each event is received when it is iterated over."""
        busy = [worker for worker in self._workers if worker.trial is not None]
        ready = wait([each for worker in busy for each in (worker.pipe, worker.process.sentinel)], timeout)
        for worker in busy:
            if worker.pipe in ready or worker.process.sentinel in ready:
                yield from self._received(worker)

    def close(self) -> None:
        """Kill all workers and what they were doing."""
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
        """Events of what a worker has sent, up to a report that it waits for or the end of its trial."""
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
            case "ended":
                yield event_of(content[0], worker.index, trial)
            case "broken":
                yield Broken(worker.index, trial, *content)
            case _:
                yield Failed(worker.index, trial, *content)

    def _message(self, worker: _Worker) -> tuple[Any, ...]:
        """The worker's next message. What it sent before it died comes first; only then its pipe ends."""
        try:
            message: tuple[Any, ...] = worker.pipe.recv()
            return message
        except (EOFError, OSError):
            worker.process.join()
            ended = _death(worker.process.exitcode)
            return ("failed", ended) if worker.ready else ("broken", f"{ended} before it was ready ({GUARD})")


def _run(session: Session, pool: _Pool) -> None:
    while not session.interrupts.pending:
        for worker in pool.idle:
            trial = session.begin(worker)
            if trial is None:
                break
            pool.submit(worker, trial, session.checkpoint(trial))
        if pool.busy:
            for event in pool.events(timeout=0.25):
                going_on = session.handle(event)
                if isinstance(event, Reported):
                    pool.answer(event.worker, going_on)
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
