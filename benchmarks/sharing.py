"""Eight processes on one SQLite file while two readers poll it, and the time of a study besides its trainings.

python -m benchmarks sharing
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from srsearch.architecture import Architecture
from srsearch.search import Score, Study, SyntheticEvaluator, run
from srsearch.search.evaluators.base import Report
from srsearch.space import Space
from srsearch.store import EvaluationRecord, Store, TrialRecord

_PROCESSES, _READERS, _TRIALS = 8, 2, 2000


class Instant(SyntheticEvaluator):
    """Scores at once, so that only the study takes time."""

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        psnr = 28 + int(design.key[:6], 16) / 2**24
        for step in self.RUNGS:
            report(step, psnr)
        return Score(psnr)


def _work(path: Path) -> None:
    space = Space.from_yaml("mobile_x4").with_settings(search={"sampler": "random", "trials": _TRIALS})
    space.sample(np.random.default_rng(0))  # as `run` does before it opens a study: all costs are known then
    with Store(path) as store:
        study = Study(store, store.study(space.name), space, Instant())
        while (trial := study.ask(_TRIALS)) is not None:
            study.report(trial, 50, 27.0)
            study.tell(trial, Score(28.0 + trial.mult_adds / 1e11), 0.0)
        study.close()


def _poll(path: Path, ended: Event) -> None:
    seen = 0
    while not ended.is_set():
        with Store(path, read_only=True) as store:
            now = len(store.trials("mobile_x4"))
        assert now >= seen, "a trial has vanished"
        seen = now


def _shared(folder: Path) -> bool:
    """Whether every trial of many processes is saved exactly once."""
    path = folder / "shared.db"
    space = Space.from_yaml("mobile_x4").with_settings(search={"sampler": "random"})
    with Store(path) as store:
        run(space, store=store, trials=1, evaluator=Instant())
    context = multiprocessing.get_context("spawn")
    ended = context.Event()
    readers = [context.Process(target=_poll, args=(path, ended)) for _ in range(_READERS)]
    workers = [context.Process(target=_work, args=(path,)) for _ in range(_PROCESSES)]
    begun = time.perf_counter()
    for process in (*readers, *workers):
        process.start()
    for process in workers:
        process.join()
    seconds = time.perf_counter() - begun
    ended.set()
    for process in readers:
        process.join()
    with Store(path, read_only=True) as store:
        trials = store.trial_records("mobile_x4")
    complete = Counter(trial.key for trial in trials if trial.state == "complete")
    whole = (
        all(process.exitcode == 0 for process in (*readers, *workers))
        and [trial.number for trial in trials] == list(range(len(trials)))
        and sum(complete.values()) == len(complete) == _TRIALS
    )
    print(
        f"{_PROCESSES} processes, {_READERS} readers, one SQLite file: {_TRIALS} trials in {seconds:.0f} s "
        f"({_TRIALS / seconds:.0f}/s); {'none lost, none doubled' if whole else 'NOT ALL THERE ONCE'}"
    )
    return whole


def _filled(path: Path, finished: int) -> tuple[Store, Space]:
    """A store with a study that has ``finished`` trials, and its space."""
    space = Space.from_yaml("mobile_x4").with_settings(search={"sampler": "frontier"})
    store = Store(path)
    run(space, store=store, trials=1, evaluator=Instant())
    known = {trial.key for trial in store.trial_records("mobile_x4")}
    feasible, rng = space.feasible, np.random.default_rng(0)
    assert feasible is not None
    records: list[TrialRecord] = []
    evaluations: dict[int, EvaluationRecord] = {}
    for index in rng.permutation(len(feasible)):
        candidate = feasible[int(index)]
        if candidate.design.key in known or candidate.cost is None:
            continue
        number = len(records)
        evaluations[number] = EvaluationRecord(candidate.design.key, {}, "0" * 64, "none", 0, 26 + rng.random())
        records.append(
            TrialRecord(
                number=number,
                key=candidate.design.key,
                axes=candidate.axes,
                state="complete",
                description=candidate.design.to_dict(),
                params=candidate.cost.params,
                mult_adds=candidate.cost.mult_adds,
                activations=candidate.cost.activations,
            )
        )
        if len(records) == finished:
            break
    record = store.study("mobile_x4")
    store.delete_study("mobile_x4")
    store.create_study(record, parts=[(records, evaluations)])
    return store, space


def seconds_of_steps(study: Study, *, rounds: int, front: Callable[[], object] | None = None) -> dict[str, float]:
    """The median seconds of ask, report and tell, and of a front where one is asked for, each time on a new trial.

    One more round comes first and fills caches.
    """
    taken: dict[str, list[float]] = {name: [] for name in ("ask", "report", "tell", *(["front"] if front else []))}
    for round_ in range(rounds + 1):
        moments = [time.perf_counter()]
        trial = study.ask()
        assert trial is not None
        moments.append(time.perf_counter())
        study.report(trial, 50, 27.0)
        moments.append(time.perf_counter())
        study.tell(trial, Score(27.5), 0.0)
        moments.append(time.perf_counter())
        if front:
            front()
            moments.append(time.perf_counter())
        if round_:
            for name, seconds in zip(taken, np.diff(moments), strict=True):
                taken[name].append(float(seconds))
    return {name: float(np.median(each)) for name, each in taken.items()}


def _overhead(folder: Path, finished: int) -> float:
    """Print the times of ask, report and tell; returns the seconds of an ask."""
    store, space = _filled(folder / f"{finished}.db", finished)
    study = Study(store, store.study("mobile_x4"), space, Instant())
    medians = seconds_of_steps(study, rounds=5)
    shown = ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in medians.items())
    print(f"{finished:>6} finished trials, frontier: {shown}")
    return medians["ask"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 if trials are lost or a limit is missed."""
    with tempfile.TemporaryDirectory() as name:
        whole = _shared(Path(name))
        asked = ((100, 0.5), (1000, 0.5), (10_000, 1.0))
        slow = [_overhead(Path(name), finished) >= limit for finished, limit in asked]
    return int(not whole or any(slow))
