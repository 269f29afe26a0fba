"""How cores are shared among workers: possible plans, the choice, and that rates are measured once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import platformdirs
import pytest

from srsearch.errors import WorkError
from srsearch.search.evaluators import cores as threads
from srsearch.search.evaluators.cores import MOST_WORKERS, Plan, available_memory, best, candidates, measured_plan

GB = 10**9


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "srsearch" / "threads.json"


class Measured:
    """Stands for a measurement; returns given rates by threads."""

    def __init__(self, rates: dict[int, float]) -> None:
        self.rates = rates
        self.times = 0

    def __call__(self, plans: Sequence[Plan]) -> list[float]:
        self.times += 1
        return [self.rates.get(plan.threads, 0.0) for plan in plans]


@pytest.mark.parametrize(
    ("cores", "memory", "expected"),
    [
        (1, None, [(1, 1)]),
        (2, None, [(2, 1), (1, 2)]),
        (6, None, [(6, 1), (3, 2), (1, 4)]),
        (8, 3 * GB, [(5, 1), (4, 2), (2, 4), (1, 8)]),
        (8, 10**8, [(1, 1), (1, 2), (1, 4), (1, 8)]),
        (64, 10**12, [(16, 1), (16, 2), (16, 4), (8, 8), (4, 16), (2, 32), (1, 64)]),
    ],
)
def test_every_plan_fits_cores_and_memory(cores: int, memory: int | None, expected: list[tuple[int, int]]) -> None:
    plans = candidates(cores, memory)
    assert plans == [Plan(*each) for each in expected]
    assert all(plan.workers <= MOST_WORKERS and plan.workers * plan.threads <= cores for plan in plans)


def test_more_threads_need_a_clear_gain() -> None:
    plans = candidates(8)
    assert best(plans, [10, 11.4, 11, 4]) == Plan(8, 1)
    assert best(plans, [10, 11.4, 11.6, 4]) == Plan(2, 4)


def test_measurements_are_cached_for_the_machine(cache: Path) -> None:
    measure = Measured({1: 10, 2: 15})
    said: list[str] = []
    for _ in range(2):
        assert measured_plan(4, memory=64 * GB, measure=measure, say=said.append) == Plan(2, 2)
    assert measure.times == len(said) == 1
    # Other cores, or memory for fewer workers, is another machine.
    assert measured_plan(8, memory=64 * GB, measure=measure) == Plan(4, 2)
    assert measured_plan(4, memory=GB, measure=Measured({1: 10, 4: 30})) == Plan(1, 4)
    assert measured_plan(4, memory=64 * GB, measure=Measured({})) == Plan(2, 2)
    assert len(json.loads(cache.read_text())) == 3
    assert [path.name for path in cache.parent.iterdir()] == ["threads.json"]


@pytest.mark.parametrize("content", ["", "[1]", '{"a": 3}', '{"a": {"workers": 0, "threads": 1}}', "\x00"])
def test_a_broken_cache_is_replaced(cache: Path, content: str) -> None:
    cache.parent.mkdir()
    cache.write_text(content)
    assert measured_plan(4, memory=64 * GB, measure=Measured({1: 1, 4: 2})) == Plan(1, 4)
    assert measured_plan(4, memory=64 * GB, measure=Measured({})) == Plan(1, 4)


def test_nothing_is_measured_without_a_choice(cache: Path) -> None:
    measure = Measured({})
    assert measured_plan(1, measure=measure) == measured_plan(16, "cuda", measure=measure) == Plan(1, 1)
    assert measure.times == 0
    assert not cache.exists()


def test_a_failed_measurement_or_cache_does_not_stop_the_search(cache: Path) -> None:
    def broken(plans: Sequence[Plan]) -> list[float]:
        raise WorkError("a process died")

    assert measured_plan(4, memory=64 * GB, measure=broken) == Plan(4, 1)
    assert not cache.exists()
    cache.parent.write_text("a file where the folder should be")
    assert measured_plan(4, memory=64 * GB, measure=Measured({1: 1, 2: 2})) == Plan(2, 2)


def test_real_trainings_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (100.0, 100.0, 100.0))
    with pytest.raises(WorkError, match="this machine is busy"):
        threads.trained([Plan(2, 1), Plan(1, 2)])
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(threads, "_ALL_SECONDS", 200.0)
    monkeypatch.setattr(threads, "_START_SECONDS", 150.0)
    rates = threads.trained([Plan(2, 1), Plan(1, 2)])
    assert len(rates) == 2
    assert all(rate > 0 for rate in rates)
    monkeypatch.setattr(threads, "_START_SECONDS", 0.0)
    with pytest.raises(WorkError, match="no answer in time"):
        threads.trained([Plan(1, 1)])


def test_the_memory_of_this_machine_is_known() -> None:
    memory = available_memory()
    assert memory is None or 10**7 < memory < 10**14
