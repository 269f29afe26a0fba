"""A forecast of a study's duration, from measuring for less than a minute on this machine.

A few feasible designs, from the cheapest to the most expensive, train for some steps and are validated once. Seconds
per step and per validation are fitted as lines over Mult-Adds. The two lines give the duration of a training for many
random feasible designs. Nothing is written, and no study is created.
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
"""Positions (0 to 1) of the measured designs in the order of cost, the most informative first; the last ones are
measured only if there is time.
"""

_SECONDS, _DESIGN_SECONDS = 40.0, 4.0
"""Time limits for all measurements, and for the training steps of one design."""

_START_SECONDS = 120.0
"""Time limit for the processes to start."""

_BUSY = 0.5
"""System load per core above which you are warned that the machine is busy."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measurement:
    """The measured times of a design.

    Attributes:
        mult_adds: Mult-Adds under the space's convention.
        step: Seconds per training step.
        validation: Seconds per validation on all photos.
    """

    mult_adds: int
    step: float
    validation: float


@dataclass(frozen=True)
class Forecast:
    """The expected duration of a study.

    Attributes:
        space: Name of the space.
        trials: Number of trainings.
        steps: Training steps of each.
        device: Device of the measurement, ``cpu`` or ``cuda``.
        precision: Precision of the measurement.
        processes: Number of processes that trained at the same time during the measurement.
        measured: The measured designs, cheapest first.
        seconds: Seconds per training: mean over random feasible designs, 5th and 95th percentile.
        at_once: Trainings at a time: GPUs, or CPU workers of one thread.
        gpus_wanted: Whether the forecast was asked for a number of GPUs.
        scale: Of several scales, the one that Mult-Adds are at and that is validated; None for designs of one scale.
        scales: All scales of the designs, whose steps take turns.
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
    scale: int | None = None
    scales: tuple[int, ...] = ()

    @property
    def device_hours(self) -> float:
        """Hours of GPUs, or of CPU cores, for all trainings."""
        return self.trials * self.seconds[0] / 3600

    @property
    def hours(self) -> float:
        """Wall-clock hours with ``at_once`` trainings at a time; at least one training."""
        rounds = self.trials / self.at_once
        return max(rounds, 1.0) * self.seconds[0] / 3600

    @property
    def on_gpus(self) -> bool:
        """Whether a GPU was measured."""
        return self.device == "cuda"

    def record(self) -> dict[str, Any]:
        """Return the forecast as plain data, for JSON."""
        mean, low, high = self.seconds
        return {
            "space": self.space,
            **({} if self.scale is None else {"scale": self.scale, "scales": list(self.scales)}),
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
    """Forecast how long a study of a space will take.

    Args:
        space: The space, under its budget.
        trials: Number of trainings; by default the space's.
        workers: Number of CPU workers; by default the cores of this machine.
        gpus: Number of GPUs, with one training on each; by default one if this machine has any.
        device: Device to measure on: ``auto``, ``cpu`` or ``cuda``.
        say: Receives a message before something takes time.

    Raises:
        InputError: The space is not scored by proxy training, or this machine lacks the device.
        WorkError: A training failed, or the measurement took too long.
    """
    from srsearch.evaluation.runtime import usable_cores

    evaluator = evaluator_for(space, None, device=device)
    if not isinstance(evaluator, ProxyEvaluator) or evaluator.steps is None:
        raise InputError(
            f"--plan measures trainings; the evaluator {space.proxy.evaluator!r} trains nothing that it can measure"
        )
    on_gpu = evaluator.runtime["device"] == "cuda"
    at_once = (gpus or 1) if on_gpu else (workers or usable_cores())
    processes = 1 if on_gpu else min(at_once, usable_cores())
    drawn = _drawn(space)
    chosen = [drawn[round(share * (len(drawn) - 1))] for share in _MEASURED]
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > _BUSY * usable_cores():
        say("this machine is busy with other work, so the estimate will be too slow")
    say(f"measuring {len({key for key, _ in chosen})} designs on {evaluator.runtime['device']}, less than a minute")
    measured = _measured(evaluator, chosen, processes)
    costs = np.array([mult_adds for mult_adds, _ in drawn], dtype=np.float64)
    known = np.array([each.mult_adds for each in measured], dtype=np.float64)
    steps = line(known, np.array([each.step for each in measured]))
    validations = line(known, np.array([each.validation for each in measured]))
    seconds = evaluator.steps * steps(costs) + len(evaluator.validation_steps) * validations(costs)
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
        scale=space.scale if len(space.scales) > 1 else None,
        scales=space.scales,
    )


def line(costs: Array, seconds: Array) -> Callable[[Array], Array]:
    """Fit seconds over Mult-Adds by least squares: a constant and a slope, neither of them negative.

    The squares are divided by the seconds, because longer times vary more.

    Args:
        costs: (n,) Mult-Adds.
        seconds: (n,) seconds, above 0.

    Returns:
        A function from (m,) Mult-Adds to (m,) seconds.
    """
    from scipy.optimize import nnls

    scale = costs.max()
    weights = 1 / np.sqrt(seconds)
    rows = np.stack([np.ones_like(costs), costs / scale], axis=1) * weights[:, None]
    (fixed, slope), _ = nnls(rows, seconds * weights)
    return lambda asked: np.asarray(fixed + slope * asked / scale)


def _drawn(space: Space) -> list[tuple[int, Architecture]]:
    """Random feasible designs, each with its Mult-Adds, cheapest first."""
    rng = np.random.default_rng(0)
    feasible = space.feasible
    drawn: list[tuple[int, Architecture]] = []
    if feasible is not None:
        for index in rng.choice(len(feasible), size=min(DRAWN, len(feasible)), replace=False):
            candidate = feasible[int(index)]
            drawn.append((candidate.cost.mult_adds if candidate.cost else 0, candidate.design))
    else:
        from srsearch.cost import count

        for _ in range(DRAWN):
            design = space.sample(rng)
            drawn.append((count(design, scale=space.scale, convention=space.convention).mult_adds, design))
    return sorted(drawn, key=lambda each: (each[0], each[1].key))


def _measured(
    evaluator: ProxyEvaluator, chosen: Sequence[tuple[int, Architecture]], processes: int
) -> list[Measurement]:
    """Measurements of as many designs as there is time for, each the mean over processes that train at once."""
    jobs = [design.to_dict() for _, design in chosen]
    with _pool(processes) as pool:
        try:
            answers = pool.starmap_async(_timed, [(evaluator, jobs)] * processes, chunksize=1).get(
                _SECONDS + _START_SECONDS
            )
        except multiprocessing.TimeoutError:
            raise WorkError("the measurement timed out: this machine is busy with other work") from None
    return [
        Measurement(chosen[i][0], *(float(np.mean([answer[i][part] for answer in answers])) for part in (0, 1)))
        for i in range(min(map(len, answers)))
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
    """Run in each process: seconds per step and per validation of each design, until the time is up."""
    assert isinstance(evaluator, ProxyEvaluator)
    evaluator.prepare()
    begun, times = time.perf_counter(), list[tuple[float, float]]()
    for job in jobs:
        if len(times) >= 2 and time.perf_counter() - begun > _SECONDS / 2:
            break  # two points make a line, and the next designs may be as slow as these
        times.append(evaluator.timed(Architecture.from_dict(job), _DESIGN_SECONDS))
    return times
