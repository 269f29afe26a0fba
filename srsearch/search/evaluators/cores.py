"""How the cores of this machine are shared: workers with one thread each, or fewer workers with more threads.

More threads make a single training faster and, as a rule, all of them together slower. Which plan trains the most is
measured on the machine itself: the plan's processes run at once, each training a medium-sized network. A study keeps
the plan that it was created with, because results depend on the number of threads.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import platformdirs

from srsearch.errors import WorkError
from srsearch.files import write_whole

MOST_WORKERS = 16
WORKER_BYTES = 600_000_000
"""Memory of a worker: PyTorch, the photos, and a network in training."""

MARGIN = 1.15
"""Factor by which a plan has to train faster than one thread per worker to be chosen."""

_ALL_SECONDS, _START_SECONDS, _PLAN_SECONDS, _LEAST_SECONDS = 11.5, 8.5, 1.6, 0.4
"""Most time for everything, for starting the processes and for one plan; least time for one plan."""

_STEP_SECONDS = 0.2
"""Typical delay until a plan's last step ends."""

_BUSY = 0.6
"""System load per core above which plans are not compared."""

_WARM_UP = 0.25
"""Share of a plan's time before its steps are counted."""


@dataclass(frozen=True)
class Plan:
    """A number of worker processes, and the number of CPU threads of each."""

    workers: int
    threads: int


Measure = Callable[[Sequence[Plan]], Sequence[float]]
"""A function that measures the steps per second of all workers together under each plan.

Raises:
    WorkError: They could not be measured.
"""


def measured_plan(
    cores: int,
    device: str = "cpu",
    *,
    memory: int | None = None,
    say: Callable[[str], None] = lambda message: None,
    measure: Measure | None = None,
) -> Plan:
    """Return the plan under which this machine trains the most.

    The plan is one thread per worker unless another plan is over 15 % better. It is measured once per machine, in less
    than 12 s, and saved in the user's cache folder. If it cannot be measured, it is one thread per worker.

    Args:
        cores: Number of usable cores.
        device: With ``cuda`` the plan is one worker, because trainings do not share a GPU.
        memory: Available bytes; by default what the system reports.
        say: Receives a message before something is measured.
        measure: Measures plans; by default `trained`.
    """
    if device == "cuda" or cores < 2:
        return Plan(1, 1)
    plans = candidates(cores, available_memory() if memory is None else memory)
    path = platformdirs.user_cache_path("srsearch") / "threads.json"
    key = f"{_machine()}, {cores} cores, at most {plans[0].workers} workers"
    known = _read(path)
    if key in known:
        return known[key]
    say("measuring how many threads a worker should use (once per machine, a few seconds)")
    try:
        chosen = best(plans, (measure or trained)(plans))
    except WorkError:
        return plans[0]
    _write(path, known | {key: chosen})
    return chosen


def candidates(cores: int, memory: int | None = None) -> list[Plan]:
    """List the plans to compare: workers of 1, 2, 4, ... threads on all cores, as many as fit into memory.

    Args:
        cores: Number of usable cores.
        memory: Available bytes; None if unknown.
    """
    most = MOST_WORKERS if memory is None else max(1, min(MOST_WORKERS, memory // WORKER_BYTES))
    threads = [1 << power for power in range(cores.bit_length())]
    return [Plan(min(cores // each, most), each) for each in threads]


def best(plans: Sequence[Plan], rates: Sequence[float]) -> Plan:
    """Return the fastest plan if it is more than `MARGIN` times as fast as the first one, else the first.

    Args:
        plans: The plans.
        rates: Steps per second under each.
    """
    fastest = max(rates)
    return plans[rates.index(fastest)] if fastest > MARGIN * rates[0] else plans[0]


def available_memory() -> int | None:
    """Return the bytes that new processes can use, or None if the system does not report it."""
    available = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        available.append(1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")))
    with contextlib.suppress(OSError, ValueError):  # a container may have less
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        available.append(max(0, limit - used))
    return min(available, default=None)


def trained(plans: Sequence[Plan]) -> list[float]:
    """Measure plans by real trainings, in processes that start once and train under each plan in turn.

    Args:
        plans: The plans to compare.

    Returns:
        Steps per second of all workers together under each plan.

    Raises:
        WorkError: The machine is busy with other work, a process died, or one did not answer in time.
    """
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > _BUSY * max(plan.workers * plan.threads for plan in plans):
        raise WorkError("threads could not be measured: this machine is busy with other work")
    end = time.monotonic() + _ALL_SECONDS
    rates: list[float] = []
    with _trainers(max(plan.workers for plan in plans)) as pipes:
        _answers(pipes, end - _ALL_SECONDS + _START_SECONDS)
        for plan in plans:
            seconds = min(_PLAN_SECONDS, (end - time.monotonic()) / (len(plans) - len(rates)) - _STEP_SECONDS)
            if seconds < _LEAST_SECONDS:
                raise WorkError("threads could not be measured: this machine is busy with other work")
            workers = pipes[: plan.workers]
            for pipe in workers:
                pipe.send((plan.threads, seconds))
            rates.append(sum(_answers(workers, end)))
    return rates


@contextlib.contextmanager
def _trainers(number: int) -> Iterator[list[Connection]]:
    from srsearch.search.processes import WORKER_NAME, without_signals

    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    try:
        for index in range(number):
            ours, theirs = context.Pipe()
            # With a worker's name, a script that calls `run` without a guard gets an error, and does not run again.
            process = context.Process(target=_train, args=(theirs,), name=f"{WORKER_NAME}measured-{index}", daemon=True)
            with without_signals():
                process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        yield pipes
    except OSError as error:
        raise WorkError(f"threads could not be measured: {error}") from None
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join(timeout=1)
        for pipe in pipes:
            pipe.close()


def _answers(pipes: Sequence[Connection], end: float) -> list[float]:
    """One number from each process, by the time ``end`` of the monotonic clock."""
    answers: list[float] = []
    waiting = list(pipes)
    while waiting:
        ready = wait(waiting, max(0.0, end - time.monotonic()))
        if not ready:
            raise WorkError("threads could not be measured: no answer in time")
        for pipe in [pipe for pipe in waiting if pipe in ready]:
            try:
                answers.append(float(pipe.recv()))
            except (EOFError, OSError):
                raise WorkError("threads could not be measured: a process died") from None
            waiting.remove(pipe)
    return answers


def _train(pipe: Connection) -> None:
    """Run in each process: train with the threads and seconds that come through the pipe; send steps per second."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    step = _step()
    torch.set_num_threads(1)
    step()
    pipe.send(0.0)
    with contextlib.suppress(EOFError, OSError):
        while True:
            threads, seconds = pipe.recv()
            torch.set_num_threads(threads)
            _steps_per_second(step, _WARM_UP * seconds)
            pipe.send(_steps_per_second(step, (1 - _WARM_UP) * seconds))


def _steps_per_second(step: Callable[[], None], seconds: float) -> float:
    start, steps = time.monotonic(), 0
    while time.monotonic() < start + seconds:
        step()
        steps += 1
    return steps / (time.monotonic() - start)


def _step() -> Callable[[], None]:
    """A training step like those of a search, on noise, with a network of 32 channels and 37 convolutions."""
    import numpy as np

    from srsearch.architecture import Architecture, build
    from srsearch.data import Pair, TrainingData
    from srsearch.training import Recipe, Runtime
    from srsearch.training.trainer import Trainer

    rng = np.random.default_rng(0)
    lr, hr = (rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (48, 192))
    noise = (Pair("noise", hr, lr),)
    network = build(Architecture(scales=(4,), channels=32), seed=0)
    data = TrainingData("noise", 4, noise, noise)
    trainer = Trainer(network, {4: data.train}, Recipe(schedule="constant"), Runtime.detect("cpu", threads=1), 0)
    return lambda: trainer.step(1)


def _machine() -> str:
    from srsearch.training import versions

    current = versions()
    return f"{current['cpu']}, torch {current['torch']}"


def _read(path: Path) -> dict[str, Plan]:
    """The plans measured before, by machine; empty if the file cannot be read."""
    try:
        return {str(key): _plan(**each) for key, each in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _plan(workers: int, threads: int) -> Plan:
    if not all(isinstance(each, int) and each >= 1 for each in (workers, threads)):
        raise ValueError("not a plan")
    return Plan(workers, threads)


def _write(path: Path, plans: dict[str, Plan]) -> None:
    """Save the measured plans; if that fails, the next study measures again."""
    content = json.dumps({key: asdict(plan) for key, plan in plans.items()}, indent=1)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
