"""Scale: the store under many workers, large studies, Ray's overhead, and a simulated cluster.

python -m benchmarks cluster

Figures that other work on the machine can disturb are medians; the simulation counts the sampler's processor time.
"""

from __future__ import annotations

import argparse
import heapq
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from sqlalchemy import insert, select

from benchmarks import record
from benchmarks.replay import BICUBIC, SPACE, STEPS
from benchmarks.sharing import Instant, seconds_of_steps
from benchmarks.surrogate import recorded, steps_of, surrogate
from srsearch.analysis import hypervolume_history
from srsearch.search import Score, Study, run
from srsearch.search.progress import SilentProgress
from srsearch.search.samplers.proposer import Proposer
from srsearch.space import Space
from srsearch.store import EvaluationRecord, Store, TrialRecord
from srsearch.store.rows import trial_values
from srsearch.store.tables import ArchitectureRow, EvaluationRow, TrialRow
from tests.support.postgresql import Server

_CONNECTED, _CYCLES = 32, 60
_LARGE, _DESIGNS = 100_000, 4_000
"""Trials of a large study, and distinct designs among them; repeated designs get made-up keys."""

_WORKERS = {1: 120, 8: 120, 64: 256, 512: 1024}
"""Numbers of virtual workers, and how many trainings each simulation has."""


class Timed(SilentProgress):
    """Notes when trials end."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.ends: list[float] = []

    def trial_finished(self, *args: Any, **kwargs: Any) -> None:
        self.ends.append(time.perf_counter())

    @property
    def gap(self) -> float:
        """Median seconds between the ends of trials whose evaluations take no time."""
        return float(np.median(np.diff(self.ends)))

    @property
    def start(self) -> float:
        """Seconds until the first trial has ended."""
        return self.ends[0] - self.begun


def _random_space(sampler: str = "random") -> Space:
    return Space.from_yaml("mobile_x4").with_settings(search={"sampler": sampler})


def _cycle(url: str, space: Space, ready: Barrier, cycles: int) -> None:
    with Store(url) as store:
        study = Study(store, store.study(space.name), space, Instant())
        ready.wait()
        for _ in range(cycles):
            trial = study.ask()
            assert trial is not None
            study.report(trial, 50, 27.0)
            study.tell(trial, Score(28.0 + trial.mult_adds / 1e11), 0.0)
        ready.wait()
        study.close()


def throughput(url: str, processes: int, cycles: int) -> float:
    """Measure the cycles of ask, report and tell per second, for all processes together, on PostgreSQL."""
    space = _random_space()
    with Store(url) as store:
        run(space, store=store, trials=1, workers=1, evaluator=Instant())
    space.sample(np.random.default_rng(0))  # all costs are known then
    # Forked, unlike everywhere else: importing PyTorch in so many processes would take minutes and 10 GB.
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(processes + 1)
    workers = [context.Process(target=_cycle, args=(url, space, ready, cycles)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    ready.wait(600)
    begun = time.perf_counter()
    ready.wait(600)
    seconds = time.perf_counter() - begun
    for worker in workers:
        worker.join()
    with Store(url, read_only=True) as store:
        trials = store.trial_records(space.name)
    complete = [trial.key for trial in trials if trial.state == "complete"]
    assert len(set(complete)) == len(complete) == processes * cycles + 1
    assert [trial.number for trial in trials] == list(range(len(trials)))
    rate = processes * cycles / seconds
    print(f"PostgreSQL, {processes} connected processes: {rate:.0f} cycles of ask, report and tell a second")
    return rate


def large(url: str | Path, trials: int) -> tuple[float, float]:
    """Measure the seconds of an ask with ``frontier`` and of a front, in a study with many finished trials."""
    space = _random_space("frontier")
    feasible, rng = space.feasible, np.random.default_rng(0)
    assert feasible is not None
    with Store(url) as store:
        run(space, store=store, trials=1, workers=1, evaluator=Instant())
        study = store.study(space.name)
        store.delete_study(space.name)
        candidates = [feasible[int(i)] for i in rng.permutation(len(feasible))[: min(trials, _DESIGNS)]]
        records, evaluations = [], {}
        for number in range(trials):
            candidate = candidates[number % len(candidates)]
            assert candidate.cost is not None
            key = candidate.design.key if number < len(candidates) else f"{number:064x}"
            psnr = 26 + np.log10(candidate.cost.mult_adds / 1e8) + 0.3 * rng.random()
            evaluations[number] = EvaluationRecord(key, {}, "0" * 64, "none", 0, float(psnr))
            costs = {name: getattr(candidate.cost, name) for name in ("params", "mult_adds", "activations")}
            description = candidate.design.to_dict()
            records.append(TrialRecord(number, key, candidate.axes, "complete", description=description, **costs))
        store.create_study(study)
        _insert(store, study.name, records, evaluations)
        del records, evaluations
        begun = time.perf_counter()
        opened = Study(store, study, space, Instant())
        opening = time.perf_counter() - begun
        medians = seconds_of_steps(opened, rounds=3, front=lambda: store.front(space.name))
    shown = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in medians.items())
    kind = "SQLite" if isinstance(url, Path) else "PostgreSQL"
    print(f"{kind}, {trials} finished trials ({len(candidates)} designs), frontier: {shown}; opening {opening:.1f} s")
    return medians["ask"], medians["front"]


def _insert(store: Store, study: str, records: Sequence[TrialRecord], evaluations: dict[int, EvaluationRecord]) -> None:
    """Insert many trials at once."""
    now = datetime.now(UTC)
    with store._transactions.write() as connection:
        study_id = store._study_id(connection, study)
        known = set(connection.execute(select(ArchitectureRow.key)).scalars())
        new = {each.key: dict(each.description) for each in records if each.key not in known}
        rows = [{"key": key, "description": description} for key, description in new.items()]
        connection.execute(insert(ArchitectureRow), rows)
        plain = [
            {name: getattr(each, name) for name in EvaluationRecord.__slots__} | {"id": 1000 + n, "created_at": now}
            for n, each in evaluations.items()
        ]
        for row in plain:
            row |= {"recipe": {}, "versions": {}, "curve": [[50, 27.0], [100, row["psnr"]]]}
        connection.execute(insert(EvaluationRow), plain)
        trials = [trial_values(study_id, each) | {"evaluation_id": 1000 + each.number} for each in records]
        connection.execute(insert(TrialRow), trials)


def overhead(folder: Path, trials: int = 80) -> tuple[float, float, float]:
    """Measure the seconds per trial besides its evaluation, locally and on Ray with one worker, and Ray's start."""
    space = _random_space()
    local, on_ray = Timed(), Timed()
    with Store(folder / "local.db") as store:
        run(space, store=store, trials=trials, workers=1, evaluator=Instant(), progress=local)
    with Store(folder / "ray.db") as store:
        on_ray.begun = time.perf_counter()
        run(space, store=store, trials=trials, workers=1, evaluator=Instant(), progress=on_ray, backend="ray")
    print(
        f"overhead of a trial: {1000 * local.gap:.1f} ms locally, {1000 * on_ray.gap:.1f} ms on Ray, whose first "
        f"trial has ended {on_ray.start:.1f} s after the start"
    )
    return local.gap, on_ray.gap, on_ray.start


def simulated(workers: Sequence[int], sampler: str = "frontier") -> None:
    """Simulate a search by virtual workers on the surrogate of the recorded trainings, with their recorded durations.

    The sampler proposes one design after another, in the processor time that it takes here, and free workers wait for
    their turn. The hypervolume is that of the true qualities, as in the replay.
    """
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = Space.from_yaml(SPACE)
    frame = recorded(record.TABLE, space)
    trainings, _ = surrogate(frame, space, steps_of(frame, STEPS))
    slope, fixed = np.polyfit(frame["mult_adds"].to_numpy(float), frame["seconds"].to_numpy(float), 1)
    seconds = np.maximum(fixed + slope * trainings.mult_adds, 1.0)
    outcomes = trainings.outcomes(0)
    for each in workers:
        done, asked, waited = _simulated(space, trainings, outcomes, seconds, each, _WORKERS[each], sampler)
        _print_simulation(trainings, seconds, each, done, asked, waited)


def _simulated(
    space: Space, trainings: Any, outcomes: Any, seconds: Any, workers: int, trials: int, sampler: str
) -> tuple[list[tuple[float, int]], list[float], float]:
    """Time and index of each finished design, seconds of each proposal, and total time that workers waited for them."""
    proposer = Proposer(space, sampler, 0, BICUBIC)
    history: list[TrialRecord] = []
    running: list[tuple[float, int, int]] = []  # end, number, index
    free = [0.0] * workers
    heapq.heapify(free)
    seen: set[int] = set()
    done: list[tuple[float, int]] = []
    asked: list[float] = []
    sampler_free, waited = 0.0, 0.0
    rng = np.random.default_rng(0)
    while len(done) < trials:
        if free and len(seen) < trials:
            idle = heapq.heappop(free)
            now = max(idle, sampler_free)
            while running and running[0][0] <= now:
                _end(heapq.heappop(running), history, outcomes, done, free)
            begun = time.process_time()
            index = None
            for _ in range(8):
                candidate, _ = proposer.propose(len(history), history)
                index = trainings.index.get(candidate.design.key) if candidate.broken is None else None
                if index is not None and index not in seen:
                    break
            else:
                index = int(rng.choice([i for i in range(len(seconds)) if i not in seen]))
                candidate = trainings.candidates[index]
            asked.append(time.process_time() - begun)
            sampler_free = now + asked[-1]
            waited += sampler_free - idle
            seen.add(index)
            cost = candidate.cost
            record_ = TrialRecord(
                len(history),
                candidate.design.key,
                candidate.axes,
                "running",
                params=cost.params,
                mult_adds=cost.mult_adds,
                activations=cost.activations,
            )
            heapq.heappush(running, (sampler_free + float(seconds[index]), len(history), index))
            history.append(record_)
        else:
            _end(heapq.heappop(running), history, outcomes, done, free)
    return done, asked, waited


def _end(
    ended: tuple[float, int, int], history: list[TrialRecord], outcomes: Any, done: list[Any], free: list[float]
) -> None:
    moment, number, index = ended
    history[number] = replace(history[number], state="complete", psnr=float(outcomes[index, -1]))
    done.append((moment, index))
    heapq.heappush(free, moment)


def _print_simulation(
    trainings: Any, seconds: Any, workers: int, done: Sequence[tuple[float, int]], asked: Sequence[float], waited: float
) -> None:
    designs = [index for _, index in done]
    rows = pd.DataFrame({"psnr": trainings.truth[designs], "mult_adds": trainings.mult_adds[designs]})
    reference = {"psnr": BICUBIC, "mult_adds": float(trainings.space.budget["mult_adds"])}
    volumes = hypervolume_history(rows, ["psnr", "mult_adds"], reference)["hypervolume"].to_numpy()
    work = np.cumsum(seconds[designs])
    marks = sorted({15, 30, 60, 120, 256, 512, 1024} & set(range(len(done) + 1)) | {len(done)})
    shown = ", ".join(
        f"{n}: {volumes[n - 1]:.3f} at {done[n - 1][0]:.0f} s ({work[n - 1]:.0f} s of work)" for n in marks
    )
    busy = sum(asked) / done[-1][0]
    print(
        f"{workers:>4} virtual workers: trainings: hypervolume at simulated time: {shown}\n"
        f"     a proposal takes {1000 * float(np.median(asked)):.0f} ms (at most {1000 * max(asked):.0f}); the sampler "
        f"is at work {100 * busy:.0f} % of the time; workers wait for it {100 * waited / (waited + work[-1]):.1f} %"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if a limit is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", choices=["store", "large", "overhead", "simulated", []], help="default: all"
    )
    parser.add_argument("--workers", type=int, nargs="*", default=list(_WORKERS), help="virtual ones")
    given = parser.parse_args(arguments)
    parts = given.parts or ["store", "large", "overhead", "simulated"]
    if hasattr(os, "getloadavg"):
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    missed = False
    with tempfile.TemporaryDirectory() as name:
        if "store" in parts:
            server = Server(durable=True)
            try:
                missed |= throughput(server.url, _CONNECTED, _CYCLES) < 200
            finally:
                server.remove()
        if "large" in parts:
            server = Server()
            try:
                for place in (Path(name) / "large.db", server.url):
                    missed |= max(large(place, _LARGE)) >= 1.0
            finally:
                server.remove()
        if "overhead" in parts:
            local, on_ray, start = overhead(Path(name))
            missed |= local >= 0.02 or on_ray >= 0.1 or start >= 15
    if "simulated" in parts:
        simulated(given.workers)
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
