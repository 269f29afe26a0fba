"""The local executor: worker processes that evaluate what they are sent.

A worker that crashes or is killed is started again, and its trial is tried once more from its checkpoint. Workers are
spawned, never forked: torch and open databases do not survive a fork.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from srsearch.errors import InputError
from srsearch.search.evaluators.base import Evaluator
from srsearch.search.evaluators.plain import recipe_of
from srsearch.search.events import Broken, Event, Failed, Reported
from srsearch.search.executors.base import event_of
from srsearch.search.executors.evaluation import Job, timeout_reason
from srsearch.search.executors.worker import work
from srsearch.search.processes import GUARD, WORKER_NAME, describe, without_signals
from srsearch.search.session import Session
from srsearch.search.trial import Trial

_EXIT_SECONDS = 5.0
"""How long a worker that has closed its pipe may take to end."""

_VMSTAT = Path("/proc/vmstat")

_LONGEST_LOOK = 1.0
"""Seconds that seldom pass between two looks at the workers, unless this process is suspended."""


@dataclass
class _Worker:
    index: int
    process: BaseProcess
    pipe: Connection
    trial: Trial | None = None
    job: Job | None = None
    ready: bool = False
    began: float = 0.0
    memory_kills: int = 0
    first_death: str | None = None
    false_start: bool = False


class LocalExecutor:
    """Evaluates trials in processes of this machine.

    Args:
        trial_timeout: Seconds that a trial may take; None: as long as it takes.
    """

    def __init__(self, trial_timeout: float | None = None) -> None:
        self._trial_timeout = trial_timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: the processes live as long as `execute`."""

    def detect(self, device: str, say: Callable[[str], None]) -> dict[str, Any] | None:
        return None

    def room(self, runtime: Mapping[str, Any]) -> int | None:
        return None

    def check(self, evaluator: Evaluator) -> None:
        evaluator.check_machine()

    def execute(self, session: Session, evaluator: Evaluator, workers: int, *, waits: bool) -> None:
        pool = _Pool(evaluator, workers, waits=waits, trial_timeout=self._trial_timeout)
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
        trial_timeout: Seconds after which a trial fails and its process is killed; None: never.

    Raises:
        InputError: The evaluator cannot be sent to a process.
    """

    def __init__(
        self, evaluator: Evaluator, workers: int, *, waits: bool = False, trial_timeout: float | None = None
    ) -> None:
        self._evaluator, self._recipe = evaluator, recipe_of(evaluator)
        self._waits = waits
        self._timeout = trial_timeout
        _check_importable(evaluator)
        self._looked = time.monotonic()
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
            worker = self._restarted(worker)
        worker.trial = trial
        worker.first_death = None
        design = trial.design
        job = Job(trial.number, 1, design.key, design.to_dict(), trial.seed, checkpoint, self._waits, steps=trial.steps)
        self._send(worker, job)

    def answer(self, index: int, going_on: bool) -> None:
        """Tell a worker that has reported whether its trial goes on. One that does not wait for that is killed."""
        worker = self._workers[index]
        if self._waits:
            with contextlib.suppress(OSError):
                worker.pipe.send(going_on)
        elif not going_on:
            self._kill(worker)

    def events(self, timeout: float) -> Iterator[Event]:
        """Wait at most ``timeout`` seconds for something to happen; each event is received when it is iterated over."""
        busy = [worker for worker in self._workers if worker.trial is not None]
        ready = wait([each for worker in busy for each in (worker.pipe, worker.process.sentinel)], timeout)
        self._look(busy)
        for worker in busy:
            if worker.pipe in ready or worker.process.sentinel in ready:
                yield from self._received(worker)
            elif self._timeout is not None and worker.ready and time.monotonic() - worker.began > self._timeout:
                yield self._timed_out(worker)

    def _look(self, busy: Sequence[_Worker]) -> None:
        """No trial's time passes while this process is suspended (Ctrl-Z) or waits for the database."""
        now = time.monotonic()
        for worker in busy:
            worker.began += max(0.0, now - max(self._looked, worker.began) - _LONGEST_LOOK)
        self._looked = now

    def close(self) -> None:
        """Kill all workers and what they were doing."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def _send(self, worker: _Worker, job: Job) -> None:
        worker.job, worker.began, worker.memory_kills = job, time.monotonic(), _memory_kills()
        with contextlib.suppress(OSError):  # a worker that died just now is noticed in `events`
            worker.pipe.send(job)

    def _restarted(self, worker: _Worker) -> _Worker:
        """A new process in the place of one that has ended."""
        worker.pipe.close()
        new = self._workers[worker.index] = self._start(worker.index)
        return new

    def _timed_out(self, worker: _Worker) -> Event:
        """Kill a worker, and with it the trial that takes too long."""
        trial = worker.trial
        assert trial is not None
        self._kill(worker)
        return Failed(worker.index, trial, timeout_reason(self._timeout))

    def _kill(self, worker: _Worker) -> None:
        worker.process.kill()
        worker.process.join()
        worker.trial = None

    def _tried_again(self, worker: _Worker, death: str | None, *, false_start: bool = False) -> None:
        """Give the trial of a worker that has died to a new process, which begins at the checkpoint."""
        trial, job = worker.trial, worker.job
        assert job is not None
        worker = self._restarted(worker)
        worker.trial, worker.first_death, worker.false_start = trial, death, false_start
        self._send(worker, replace(job, attempt=job.attempt + 1))

    def _start(self, index: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work, args=(theirs, self._evaluator, self._recipe), name=f"{WORKER_NAME}{index}", daemon=True
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
            points.append((message[2], message[3]))
            if self._waits or not worker.pipe.poll():
                break
        if points:
            yield Reported(worker.index, trial, points)
            if worker.trial is None:  # killed by the answer
                return
        kind, *content = message
        if kind == "ready":
            worker.ready, worker.began = True, time.monotonic()
        if kind in ("ready", "reported", "foreign"):
            return
        if kind == "died" and worker.first_death is None:
            self._tried_again(worker, content[0])
            return
        if kind == "killed" and not worker.false_start:
            self._tried_again(worker, worker.first_death, false_start=True)
            return
        worker.trial = None
        match kind:
            case "ended":
                yield event_of(content[1], worker.index, trial)
            case "broken" | "killed":
                yield Broken(worker.index, trial, *content)
            case _:
                yield Failed(worker.index, trial, f"{content[0]}; the first time: {worker.first_death}")

    def _message(self, worker: _Worker) -> tuple[Any, ...]:
        """The worker's next message. What it sent before it died comes first; only then its pipe ends."""
        try:
            message: tuple[Any, ...] = worker.pipe.recv()
            assert worker.job is not None
            if message[0] in ("reported", "ended") and message[1] != worker.job.identity:
                return ("foreign",)  # of no use to the trial that runs
            return message
        except (EOFError, OSError):
            worker.process.join(_EXIT_SECONDS)
            worker.process.kill()  # an evaluator may have closed the pipe and gone on
            worker.process.join()
            code = worker.process.exitcode
            death = _death(code, out_of_memory=_memory_kills() > worker.memory_kills)
            if worker.ready:
                return ("died", death)
            kind = "killed" if code is not None and code < 0 else "broken"
            return (kind, f"{death} before it was ready{_advice(code)}")


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


def _check_importable(evaluator: Evaluator) -> None:
    """Check that a new process can import what the main one runs: it imports the script, and the evaluator's class.

    Raises:
        InputError: The script has no file, as standard input, ``python -c`` and notebooks have none.
    """
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is not None and script.startswith("<"):
        raise InputError(f"a worker process cannot import {script}: put the script in a file and run that")
    if script is None and type(evaluator).__module__ == "__main__":
        raise InputError(
            f"a worker process cannot find the class {type(evaluator).__qualname__}, which is defined in __main__: put "
            "it in a file of its own and import it from there"
        )


def _memory_kills() -> int:
    """How many processes Linux has killed since it booted because memory had run out; 0 where that is not known."""
    try:
        lines = _VMSTAT.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _advice(exit_code: int | None) -> str:
    """What to do about a worker that could not start, where importing the main script may be why."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    if exit_code != 1:  # no uncaught exception
        return ""
    try:
        guarded = script is None or b"__name__" in Path(script).read_bytes()
    except OSError:
        guarded = True
    return "; what it printed above says why" if guarded else f" ({GUARD})"


def _death(exit_code: int | None, *, out_of_memory: bool) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        why = "the system ran out of memory" if out_of_memory else "the system may have run out of memory"
        return f"the worker process was killed by {name}{f' ({why})' if name == 'SIGKILL' else ''}"
    return f"the worker process ended with exit code {exit_code}"
