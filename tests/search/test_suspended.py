"""Runs that are suspended (Ctrl-Z, a closed laptop) while another run needs their locks and trials."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from srsearch.search import run
from srsearch.space import Space
from srsearch.store import Store
from tests.conftest import WIDE_SPACE
from tests.search.test_search import outcome, start_forked
from tests.search.test_sharing import killed_at_the_end
from tests.support.postgresql import server_or_skip
from tests.support.suspended import CHOOSING, TRAINING

SAMPLER, EVALUATOR = "tests.support.suspended:SuspendingSampler", "tests.support.suspended:Suspending"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "s.db")
        return
    pytest.importorskip("psycopg")
    for server in server_or_skip():
        yield server.url


def wait_for(mark: Path) -> None:
    deadline = time.monotonic() + 120
    while not mark.exists():
        assert time.monotonic() < deadline, f"no run was {mark.name}"
        time.sleep(0.05)


@pytest.mark.long(18)
def test_a_suspended_run_is_overtaken_and_goes_on_when_it_wakes_up(database: str, tmp_path: Path) -> None:
    """The first run is suspended while it chooses; the second one, which has gone on, with its worker in a trial."""
    (tmp_path / "small.yaml").write_text(Space.from_dict(WIDE_SPACE).text)
    options = ("--trials", "8", "--sampler", SAMPLER, "--storage", database)
    first = start_forked(tmp_path, *options, evaluator=EVALUATOR)
    with killed_at_the_end(first):
        wait_for(tmp_path / CHOOSING)
        second = start_forked(tmp_path, *options, evaluator=EVALUATOR)
        with killed_at_the_end(second):
            wait_for(tmp_path / TRAINING)
            first.send_signal(signal.SIGCONT)
            _, messages = first.communicate(timeout=120)
            assert first.returncode == 0, messages
            for process in (*psutil.Process(second.pid).children(recursive=True), second):  # as `fg` does
                process.send_signal(signal.SIGCONT)
            _, messages = second.communicate(timeout=120)
            assert second.returncode == 0, messages
    with Store(database, read_only=True) as store, Store(tmp_path / "whole.db") as whole:
        run(Space.from_dict(WIDE_SPACE), store=whole, trials=8, sampler="optuna.samplers:RandomSampler")
        assert outcome(store, "small") == outcome(whole, "small")
        assert store.front("small")[["trial", "psnr"]].equals(whole.front("small")[["trial", "psnr"]])
