"""What a study will take, from a measurement of less than a minute on this machine.

A few feasible designs, from the cheapest to the most expensive, train for some steps and are validated once. Seconds
per step and per validation are lines over Mult-Adds, fitted to that; what a training takes is read from them for many
random feasible designs. Nothing is written, and no study is made.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from srsearch.architecture import Architecture
from srsearch.errors import InputError, WorkError
from srsearch.search.evaluators.base import Evaluator
from srsearch.search.evaluators.lookup import evaluator_for
from srsearch.search.evaluators.proxy import ProxyEvaluator
from srsearch.space import Space

DRAWN = 1000
"""Random feasible designs over which a training's cost is averaged."""

_MEASURED = (0.0, 1.0, 0.5, 0.25, 0.75)
"""Of the designs in the order of their cost, those that are measured, the most telling first; all if there is time."""

_SECONDS, _DESIGN_SECONDS = 40.0, 4.0
"""How long everything may take once it has begun, and one design's steps."""

_START_SECONDS = 120.0

_BUSY = 0.5
"""Share of the cores that others may use."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measurement:
    """What a design took.

    Attributes:
        mult_adds: Under the space's convention.
        step: Seconds of a step of training.
        validation: Seconds of a validation on all photos.
    """

    mult_adds: int
    step: float
    validation: float


@dataclass(frozen=True)
class Forecast:
    """What a study will take.

    Attributes:
        space: Its name.
        trials: How many trainings.
        steps: Of each.
        device: ``cpu`` or ``cuda``, on which it was measured.
        precision: Likewise.
        processes: How many trained at the same time while it was measured.
        measured: What was measured, cheapest first.
        seconds: Of one training: mean over random feasible designs, and the 5th and 95th percentile.
        at_once: Trainings at a time: GPUs, or CPU workers of one thread.
        gpus_wanted: Whether GPUs were asked about.
    """

    space: str
    trials: int
    steps: int
    device: str
    precision: str
    processes: int
    measured: tuple[Measurement, ...]
    seconds: tuple[float, float, float]
    at_once: int
    gpus_wanted: bool = False

    @property
    def device_hours(self) -> float:
        """GPU hours, or hours of a CPU core."""
        return self.trials * self.seconds[0] / 3600

    @property
    def hours(self) -> float:
        """On the clock, with so many trainings at a time; the last ones end one after another."""
        rounds = self.trials / self.at_once
        return max(rounds, 1.0) * self.seconds[0] / 3600

    @property
    def on_gpus(self) -> bool:
        """Whether what was measured are GPUs."""
        return self.device == "cuda"

    def record(self) -> dict[str, Any]:
        """Plain data."""
        mean, low, high = self.seconds
        return {
            "space": self.space,
            "trials": self.trials,
            "steps": self.steps,
            "device": self.device,
            "precision": self.precision,
            "measured": [asdict(each) for each in self.measured],
            "seconds_per_trial": {"mean": mean, "p5": low, "p95": high},
            "at_once": self.at_once,
            "gpu_hours": self.device_hours if self.on_gpus else None,
            "core_hours": None if self.on_gpus else self.device_hours,
            "hours": self.hours,
        }


def forecast(
    space: Space,
    *,
    trials: int | None = None,
    workers: int | None = None,
    gpus: int | None = None,
    device: str = "auto",
    say: Callable[[str], None] = lambda message: None,
) -> Forecast:
    """What a study of a space will take.

    Args:
        space: The space, under its budget.
        trials: Trainings; by default the space's.
        workers: CPU workers; by default the cores of this machine.
        gpus: GPUs, one training on each; by default one, where there are any.
        device: ``auto``, ``cpu`` or ``cuda``: what this machine is measured with.
        say: Told before something takes time.

    Raises:
        InputError: The space is not scored by proxy training, or the device is not here.
        WorkError: A training failed.
    """
    from srsearch.evaluation.runtime import usable_cores

    evaluator = evaluator_for(space, None, device=device)
    if not isinstance(evaluator, ProxyEvaluator) or evaluator.steps is None:
        raise InputError(
            f"--plan measures trainings; the evaluator {space.proxy.evaluator!r} trains nothing it knows of"
        )
    on_gpu = evaluator.runtime["device"] == "cuda"
    at_once = (gpus or 1) if on_gpu else (workers or usable_cores())
    processes = 1 if on_gpu else min(at_once, usable_cores())
    drawn = _drawn(space)
    chosen = [drawn[round(share * (len(drawn) - 1))] for share in _MEASURED]
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > _BUSY * usable_cores():
        say("this machine is busy with other work: what is measured now is slower than it would be")
    say(f"measuring {len({key for key, _ in chosen})} designs on {evaluator.runtime['device']}, less than a minute")
    measured = _measured(evaluator, chosen, processes)
    costs = np.array([mult_adds for mult_adds, _ in drawn], dtype=np.float64)
    known = np.array([each.mult_adds for each in measured], dtype=np.float64)
    steps = line(known, np.array([each.step for each in measured]))
    validations = line(known, np.array([each.validation for each in measured]))
    how_often = len(evaluator.validation_steps)
    seconds = evaluator.steps * steps(costs) + how_often * validations(costs)
    low, high = np.percentile(seconds, [5, 95])
    return Forecast(
        space=space.name,
        trials=trials or space.search.trials,
        steps=evaluator.steps,
        device=evaluator.runtime["device"],
        precision=evaluator.runtime["precision"],
        processes=processes,
        measured=tuple(sorted(measured, key=lambda each: each.mult_adds)),
        seconds=(float(seconds.mean()), float(low), float(high)),
        at_once=at_once,
        gpus_wanted=gpus is not None,
    )


def line(costs: Array, seconds: Array) -> Callable[[Array], Array]:
    """Seconds over Mult-Adds: a fixed part and one in proportion, neither below nothing, by least squares.

    The squares are divided by the seconds: what takes long varies more, and counts more in the mean.

    Args:
        costs: (n,) Mult-Adds.
        seconds: (n,) above 0.
    """
    from scipy.optimize import nnls

    scale = costs.max()
    weights = 1 / np.sqrt(seconds)
    rows = np.stack([np.ones_like(costs), costs / scale], axis=1) * weights[:, None]
    (fixed, slope), _ = nnls(rows, seconds * weights)
    return lambda asked: np.asarray(fixed + slope * asked / scale)


def _drawn(space: Space) -> list[tuple[int, Architecture]]:
    """Mult-Adds and designs, random and feasible, cheapest first."""
    rng = np.random.default_rng(0)
    feasible = space.feasible
    found: list[tuple[int, Architecture]] = []
    if feasible is not None:
        for index in rng.choice(len(feasible), size=min(DRAWN, len(feasible)), replace=False):
            candidate = feasible[int(index)]
            found.append((candidate.cost.mult_adds if candidate.cost else 0, candidate.design))
    else:
        from srsearch.cost import count

        for _ in range(DRAWN):
            design = space.sample(rng)
            found.append((count(design, convention=space.convention).mult_adds, design))
    return sorted(found, key=lambda each: (each[0], each[1].key))


def _measured(
    evaluator: ProxyEvaluator, chosen: Sequence[tuple[int, Architecture]], processes: int
) -> list[Measurement]:
    """Measurements of as many of the designs as there is time for; each the mean over processes that train at once."""
    jobs = [design.to_dict() for _, design in chosen]
    with _pool(processes) as pool:
        try:
            answers = pool.starmap_async(_timed, [(evaluator, jobs)] * processes, chunksize=1).get(
                _SECONDS + _START_SECONDS
            )
        except multiprocessing.TimeoutError:
            raise WorkError("the measurement did not end in time: this machine is busy") from None
    told = min(map(len, answers))
    return [
        Measurement(chosen[i][0], *(float(np.mean([answer[i][part] for answer in answers])) for part in (0, 1)))
        for i in range(told)
    ]


@contextmanager
def _pool(processes: int) -> Iterator[Any]:
    from srsearch.search.processes import without_signals

    with without_signals():
        pool = multiprocessing.get_context("spawn").Pool(processes)
    try:
        yield pool
    finally:
        pool.terminate()
        pool.join()


def _timed(evaluator: Evaluator, jobs: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """A process's work: seconds of a step and of a validation of each design, as long as there is time."""
    assert isinstance(evaluator, ProxyEvaluator)
    evaluator.prepare()
    begun, found = time.perf_counter(), list[tuple[float, float]]()
    for job in jobs:
        if len(found) >= 2 and time.perf_counter() - begun > _SECONDS / 2:
            break  # two points make a line, and the others may be as slow as these
        found.append(evaluator.timed(Architecture.from_dict(job), _DESIGN_SECONDS))
    return found
