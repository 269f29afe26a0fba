"""One study on a real Ray cluster of two nodes and a real PostgreSQL server, while processes of both are killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from srsearch.analysis import pareto_front
from srsearch.architecture import Architecture
from srsearch.search import run
from srsearch.space import Space
from srsearch.store import Store
from tests.conftest import CHECKOUT, SMALL_SPACE
from tests.search.test_forecast import PLAIN
from tests.search.test_sharing import Silent
from tests.support.evaluators import Brief
from tests.support.postgresql import Server, server_or_skip

pytest.importorskip("ray", reason="Ray is an extra")
pytest.importorskip("psycopg", reason="PostgreSQL is an extra")

TRIALS = 80

SPACE: dict[str, Any] = SMALL_SPACE | {
    "name": "fake",
    "architecture": {
        "channels": [8, 12, 16, 20, 24, 28, 32],
        "unit": ["conv", {"grouped": {"groups": [2, 4]}}],
        "block": ["residual", "efficient_residual"],
        "body": {"cascade": {"groups": [2, 3], "blocks": [1, 2, 3], "fusion": ["none", "local", "global", "both"]}},
    },
    "constraints": {"mult_adds": {"max": "20G"}},
    "search": {"trials": TRIALS, "seed": 3, "sampler": "random"},
}


@pytest.fixture
def server() -> Iterator[Server]:
    yield from server_or_skip()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    node = {"num_cpus": 3, "object_store_memory": 100 * 1024**2, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=node, shutdown_at_exit=False)
    try:
        yield found
    finally:
        found.shutdown()


def begin(folder: Path, space: dict[str, Any], address: str, url: str, *options: str) -> subprocess.Popen[str]:
    """Start `srsearch run` on the cluster in a new process."""
    (folder / f"{space['name']}.yaml").write_text(Space.from_dict(space).text)
    code = "from srsearch.cli import main; main(prog_name='srsearch')"
    command = ["run", f"{space['name']}.yaml", "--backend", "ray", "--address", address, "--storage", url, *options]
    return subprocess.Popen(
        [sys.executable, "-c", code, *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )


def ended(process: subprocess.Popen[str], seconds: float = 300) -> str:
    """Wait for a process to succeed and return its standard error."""
    try:
        _, messages = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, messages
    return messages


def wait_for(server: Server, complete: int, process: subprocess.Popen[str]) -> None:
    """Wait until this number of trials is complete."""
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        rows = server.sql("SELECT count(*) FROM sr_trials WHERE state = 'complete'", check=False)
        if rows and rows[0][0] >= complete:
            return
        time.sleep(0.1)
    pytest.fail(f"{complete} trials were not reached: {process.communicate(timeout=10)}")


def worker(node: Any) -> psutil.Process:
    """A process on a node of the cluster that is evaluating a trial."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    deadline = time.monotonic() + 120
    names: list[str] = []
    while time.monotonic() < deadline:
        names.clear()
        for child in raylet.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                names.append(" ".join(child.cmdline())[:40])
                if names[-1].startswith("ray::Evaluation"):
                    return child
        time.sleep(0.02)
    pytest.fail(f"the node has no worker: {names}")


@pytest.mark.long(60)
def test_nothing_is_lost_when_workers_nodes_and_the_server_die(server: Server, cluster: Any, tmp_path: Path) -> None:
    second = cluster.add_node(num_cpus=3, object_store_memory=100 * 1024**2)
    shared = tmp_path / "checkpoints"
    both = cluster.address, server.url, "--checkpoints", f"file://{shared}", "--device", "cpu"
    real = begin(tmp_path, PLAIN | {"name": "real"}, *both, "--workers", "2", "--trials", "2")
    fake = begin(tmp_path, SPACE, *both, "--workers", "4", "--evaluator", "tests.support.evaluators:Brief")
    wait_for(server, 12, fake)
    worker(cluster.head_node).kill()
    wait_for(server, 28, fake)
    cluster.remove_node(second, allow_graceful=False)
    wait_for(server, 44, fake)
    server.stop(crash=True)
    time.sleep(1)
    server.start()
    messages = ended(fake)
    ended(real)
    assert list(shared.glob("*/*.pt"))

    with Store(server.url) as store, Store(tmp_path / "here.db") as here:
        states = Counter(trial.state for trial in store.trial_records("real"))
        assert states == {"complete": 2}
        trials = store.trial_records("fake")
        assert [trial.number for trial in trials] == list(range(len(trials)))
        complete = [trial for trial in trials if trial.state == "complete"]
        assert len(complete) == TRIALS, messages
        assert len({trial.key for trial in complete}) == TRIALS
        assert {trial.state for trial in trials} <= {"complete", "infeasible", "repeated"}
        assert server.sql("SELECT count(*) FROM sr_evaluations") == [(TRIALS + 2,)]
        # What one process would have found of the same designs.
        evaluator = Brief()
        evaluator.seconds = 0.0
        for trial in complete:
            score = evaluator.evaluate(Architecture.from_dict(trial.description), 3, Silent())
            assert (trial.psnr, trial.curve) == (score.psnr, score.curve)
        store.copy_study("fake", here)
        result = run(Space.from_dict(SPACE), store=here, evaluator=evaluator, trials=TRIALS)
        assert result.front["key"].tolist() == store.front("fake")["key"].tolist()
        alone = pareto_front(here.trials("fake"), ["psnr", "mult_adds"])
        assert alone["key"].tolist() == store.front("fake")["key"].tolist()
