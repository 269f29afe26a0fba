"""How the cores of this machine are shared: workers with one thread each, or fewer workers with more threads.

More threads make a single training quicker and all of them together, as a rule, slower. Which plan trains the most is
measured on the machine itself: so many processes at once, each training a network of middling size. A study keeps the
plan that it was created with, since results depend on the number of threads.
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
"""What a worker takes: PyTorch, the photos, and a network in training."""

MARGIN = 1.15
"""More threads are worth it where they train more than so many times as much; results depend on them."""

_ALL_SECONDS, _START_SECONDS, _PLAN_SECONDS, _LEAST_SECONDS = 11.5, 8.5, 1.6, 0.4
"""At most so long for everything, for the processes to start, and for one plan; a plan in less says nothing."""

_STEP_SECONDS = 0.2
"""By about so much a plan's last step ends late."""

_BUSY = 0.6
"""Share of the cores that others may use while plans are compared."""

_WARM_UP = 0.25
"""Share of a plan's time that does not count."""


@dataclass(frozen=True)
class Plan:
    """Worker processes, and CPU threads of each."""

    workers: int
    threads: int


Measure = Callable[[Sequence[Plan]], Sequence[float]]
"""Steps per second of all workers together under each plan.

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
    """The plan under which this machine trains the most; one thread each unless another is over 15 % better.

    Measured once for a machine, in less than 12 s, and then remembered in the user's cache folder. Where it cannot be
    measured, one thread each.

    Args:
        cores: Those that may be used.
        device: On ``cuda`` one worker: the GPU is shared by nobody.
        memory: Bytes that are available; by default what the system says.
        say: Told before something is measured.
        measure: By default real trainings in processes.
    """
    if device == "cuda" or cores < 2:
        return Plan(1, 1)
    plans = candidates(cores, available_memory() if memory is None else memory)
    path = platformdirs.user_cache_path("srsearch") / "threads.json"
    key = f"{_machine()}, {cores} cores, at most {plans[0].workers} workers"
    known = _read(path)
    if key in known:
        return known[key]
    say("measuring how many threads a worker should have (once on a machine, a few seconds)")
    try:
        chosen = best(plans, (measure or trained)(plans))
    except WorkError:
        return plans[0]
    _write(path, known | {key: chosen})
    return chosen


def candidates(cores: int, memory: int | None = None) -> list[Plan]:
    """The plans that come into question, one thread first: all cores by workers of 1, 2, 4, ... threads.

    Args:
        cores: Those that may be used.
        memory: Bytes that are available; None where nobody knows.
    """
    most = MOST_WORKERS if memory is None else max(1, min(MOST_WORKERS, memory // WORKER_BYTES))
    threads = [1 << power for power in range(cores.bit_length())]
    return [Plan(min(cores // each, most), each) for each in threads]


def best(plans: Sequence[Plan], rates: Sequence[float]) -> Plan:
    """The first plan, unless another trains more than `MARGIN` times as much: then the one that trains the most."""
    first, most = rates[0], max(rates)
    return plans[rates.index(most)] if most > MARGIN * first else plans[0]


def available_memory() -> int | None:
    """Bytes that new processes may take here, or None where the system does not say."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")))
    with contextlib.suppress(OSError, ValueError):  # a container may have less
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{each}").read_text()) for each in ("max", "current"))
        found.append(max(0, limit - used))
    return min(found, default=None)


def trained(plans: Sequence[Plan]) -> list[float]:
    """What `Measure` says, by trainings in processes that start once and train under each plan in turn.

    Raises:
        WorkError: The machine is busy with other work, a process died, or one did not answer in time.
    """
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > _BUSY * max(plan.workers * plan.threads for plan in plans):
        raise WorkError("threads could not be measured: this machine is busy")
    end = time.monotonic() + _ALL_SECONDS
    rates: list[float] = []
    with _trainers(max(plan.workers for plan in plans)) as pipes:
        _answers(pipes, end - _ALL_SECONDS + _START_SECONDS)
        for plan in plans:
            seconds = min(_PLAN_SECONDS, (end - time.monotonic()) / (len(plans) - len(rates)) - _STEP_SECONDS)
            if seconds < _LEAST_SECONDS:
                raise WorkError("threads could not be measured: this machine is busy")
            at_work = pipes[: plan.workers]
            for pipe in at_work:
                pipe.send((plan.threads, seconds))
            rates.append(sum(_answers(at_work, end)))
    return rates


@contextlib.contextmanager
def _trainers(number: int) -> Iterator[list[Connection]]:
    from srsearch.search.processes import WORKER_NAME, without_signals

    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    try:
        for index in range(number):
            ours, theirs = context.Pipe()
            # The name of a worker: a script that calls `run` without a guard is told so, and does not run in it.
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
    """One number from each process, before a time of the monotonic clock."""
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
    """A process's life: train for as long and with as many threads as it is told, and say how many steps a second."""
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
    """A step of training as the search does it, on noise: a network of 32 channels with 37 convolutions."""
    import numpy as np

    from srsearch.architecture import Architecture, build
    from srsearch.data import Pair, TrainingData
    from srsearch.training import Recipe, Runtime
    from srsearch.training.proxy import Trainer

    rng = np.random.default_rng(0)
    lr, hr = (rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (48, 192))
    noise = (Pair("noise", hr, lr),)
    network = build(Architecture(scales=(4,), channels=32), seed=0)
    data = TrainingData("noise", 4, noise, noise)
    trainer = Trainer(network, data, Recipe(schedule="constant"), Runtime.detect("cpu", threads=1), 0)
    return lambda: trainer.step(1)


def _machine() -> str:
    from srsearch.training import versions

    found = versions()
    return f"{found['cpu']}, torch {found['torch']}"


def _read(path: Path) -> dict[str, Plan]:
    """What has been measured; nothing where it cannot be read."""
    try:
        return {str(key): _plan(**each) for key, each in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _plan(workers: int, threads: int) -> Plan:
    if not all(isinstance(each, int) and each >= 1 for each in (workers, threads)):
        raise ValueError("not a plan")
    return Plan(workers, threads)


def _write(path: Path, plans: dict[str, Plan]) -> None:
    """Keep what has been measured; without a place for it, it is measured again."""
    content = json.dumps({key: asdict(plan) for key, plan in plans.items()}, indent=1)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
