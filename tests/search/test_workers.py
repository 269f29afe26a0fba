"""Local workers whose evaluators misbehave, die or build another network: each score belongs to its own design."""

from __future__ import annotations

import subprocess
import sys
import time
from multiprocessing.context import ForkContext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from srsearch.architecture import Architecture
from srsearch.errors import WorkError
from srsearch.search import SyntheticEvaluator, run
from srsearch.search.evaluators.proxy import ProxyEvaluator
from srsearch.search.events import Failed
from srsearch.search.executors import local
from srsearch.search.trial import Trial
from srsearch.space import Space
from srsearch.store import Store
from tests.conftest import SMALL_SPACE, Command
from tests.support.evaluators import Changed, Misbehaving, Silent, Stillborn

SPACE = """\
name: tiny
scale: 4
architecture:
  channels: [8, 16, 24, 32]
  unit: mine
  body: {chain: {blocks: [1, 2, 3]}}
search: {trials: 4, workers: 1, sampler: random}
"""

PLUGIN = """\
from torch import nn
from srsearch.architecture import register
VERSION = 1
print("loaded")
@register("unit")
class Mine(nn.Module):
    \"\"\"A convolution.\"\"\"
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.c = nn.Conv2d(channels, channels, 3, padding=1)
    def forward(self, x):
        return self.c(x)
"""

EDITS = """\
import os, pathlib
from srsearch.search import SyntheticEvaluator
FOLDER = pathlib.Path(__file__).parent  # Ray's workers have a working folder of their own
class Edits(SyntheticEvaluator):
    def evaluate(self, design, seed, report):
        if len(list(FOLDER.glob("mark*"))) == 1:
            plugin = next(FOLDER.glob("a:b/my_parts.py"))
            plugin.write_text(plugin.read_text().replace("VERSION = 1", "VERSION = 2"))
            os._exit(1)
        (FOLDER / "mark").touch()
        return super().evaluate(design, seed, report)
"""


def scores_are_their_designs(store: Store, study: str) -> bool:
    """Whether every finished trial has the score of its own design."""
    trials = store.trials(study)
    done = trials[trials["state"] == "complete"]
    seed = store.study(study).seed
    expected = [
        SyntheticEvaluator().evaluate(Architecture.from_dict(store.description(key)), seed, Silent()).psnr
        for key in done["key"]
    ]
    return bool(expected) and list(done["psnr"]) == expected


def test_an_evaluator_that_misbehaves_fails_its_own_trial_only(small_space: Space, tmp_path: Path) -> None:
    ways = ["fork", "exit", "die", "ctrl-c", "segfault", "unprintable", "controls", "orphan and die", "recursion"]
    ways += ["huge step", "print", "negative step", "killed", "grandchild", "late thread", "sleep"]
    (tmp_path / "ways").mkdir()
    evaluator = Misbehaving(tmp_path / "ways", ways)
    with Store(tmp_path / "s.db") as store:
        result = run(small_space, store=store, evaluator=evaluator, trials=10, workers=1, trial_timeout=3)
        trials = store.trials(result.study)
        reasons = list(trials[trials["state"] == "failed"]["reason"])
        assert [reason.split(":")[0] for reason in reasons[:5]] == [
            "SystemExit",
            "KeyboardInterrupt",
            "Unprintable",
            "RuntimeError",
            "RecursionError",
        ]
        assert reasons[3] == "RuntimeError: red [31m nul half"
        assert all("a step is a number from 0 to" in reason for reason in reasons[5:7])
        assert reasons[7:] == ["the trial took longer than its time limit of 3 s (--trial-timeout)"]
        assert result.done == 10
        assert scores_are_their_designs(store, result.study)
        # The thread reports while the next trial sleeps, which has nothing else to show when it fails.
        assert all(psnr != 99.0 for trial in store.trial_records(result.study) for _, psnr in trial.curve)


def test_a_worker_that_is_killed_before_it_is_ready_is_started_once_more(
    small_space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_VMSTAT", tmp_path / "vmstat")
    (tmp_path / "kills").mkdir()
    with Store(tmp_path / "s.db") as store:
        with pytest.raises(WorkError) as raised:
            run(small_space, store=store, evaluator=Stillborn(tmp_path / "kills", 3), trials=2, workers=1)
        assert str(raised.value) == (
            "the worker process was killed by SIGKILL (the system ran out of memory) before it was ready"
        )
        result = run(small_space, store=store, evaluator=Stillborn(tmp_path / "kills", 3), trials=2, workers=1)
        assert result.done == 2
        assert "failed" not in set(store.trials(result.study)["state"])


def test_a_worker_that_would_score_by_another_recipe_ends_the_run(small_space: Space, tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        with pytest.raises(
            WorkError, match=r"could not start: .* recipe .* another one here \(version\); srsearch or a"
        ):
            run(small_space, store=store, evaluator=Changed(), workers=1)
        assert "failed" not in set(store.trials("small")["state"])


@pytest.mark.long(12)
@pytest.mark.parametrize("backend", ["local", "ray"])
def test_a_worker_with_an_edited_plugin_ends_the_run(tmp_path: Path, srsearch_process: Command, backend: str) -> None:
    """The plugin's path has a colon, and what it prints is no result."""
    if backend == "ray":
        pytest.importorskip("ray", reason="Ray is an extra")
    plugin = tmp_path / "a:b" / "my_parts.py"
    plugin.parent.mkdir()
    plugin.write_text(PLUGIN)
    (tmp_path / "edits.py").write_text(EDITS)
    (tmp_path / "tiny.yaml").write_text(SPACE)
    options = ["--plugin", str(plugin), "--evaluator", "edits:Edits", "--backend", backend]
    ended = srsearch_process("run", "tiny.yaml", *options, "--storage", "s.db", "--quiet")
    assert ended.returncode == 1
    assert "a worker builds another network for trial" in ended.stderr
    assert "loaded" not in ended.stdout
    with Store(tmp_path / "s.db", read_only=True) as store:
        assert (store.trials("tiny")["state"] == "complete").sum() == 1


class _SlowStart(SyntheticEvaluator):
    """Takes a second to be ready, and a minute for each design."""

    def __init__(self) -> None:
        super().__init__(seconds=60)

    def prepare(self) -> None:
        time.sleep(1)


def test_a_time_limit_counts_neither_the_start_of_a_worker_nor_suspended_time(
    small_space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is moved by hand between the looks at a real worker."""
    now = 1000.0
    monkeypatch.setattr(local, "time", SimpleNamespace(monotonic=lambda: now))
    design = small_space.sample(np.random.default_rng(0))
    pool = local._Pool(_SlowStart(), 1, trial_timeout=10)
    try:
        pool.submit(0, Trial(0, design, {}, 0, 0, 3))
        looks = 0
        while not pool._workers[0].ready:
            now, looks = now + 0.9, looks + 1
            assert list(pool.events(0.02)) == []
        assert looks > 12
        for seconds in (3600, *[0.9] * 9):  # of a longer time than a second between two looks, one second counts
            now += seconds
            assert list(pool.events(0)) == []
        now += 0.95
        (event,) = pool.events(0)
        assert isinstance(event, Failed)
        assert event.reason == "the trial took longer than its time limit of 10 s (--trial-timeout)"
    finally:
        pool.close()


def test_a_forked_process_has_the_photos_of_its_parent() -> None:
    plain = SMALL_SPACE | {"proxy": {"data": "builtin", "steps": 1, "batch": 1, "patch": 8}}
    evaluator = ProxyEvaluator(Space.from_dict(plain), None, device="cpu")
    child = ForkContext().Process(target=evaluator.prepare)
    child.start()
    child.join(60)
    assert child.exitcode == 0


def test_forks_beside_other_workers_mix_up_nothing(small_space: Space, tmp_path: Path) -> None:
    (tmp_path / "ways").mkdir()
    evaluator = Misbehaving(tmp_path / "ways", ["fork"] * 6)
    with Store(tmp_path / "s.db") as store:
        result = run(small_space, store=store, evaluator=evaluator, trials=10, workers=2)
        assert result.done == 10
        assert scores_are_their_designs(store, result.study)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-"], "a worker process cannot import <stdin>: put the script in a file"),
        (["-c"], "a worker process cannot find the class Own, which is defined in __main__: put it in a file"),
    ],
)
def test_a_script_without_a_file_is_told_so(
    small_space: Space, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "small.yaml").write_text(small_space.text)
    code = (
        "import srsearch as sr\n"
        "from srsearch.search import SyntheticEvaluator\n"
        "class Own(SyntheticEvaluator): pass\n"
        "if __name__ == '__main__': sr.run('small.yaml', store='s.db', trials=2, evaluator=Own())\n"
    )
    command = [sys.executable, *arguments, *([code] if arguments == ["-c"] else [])]
    ended = subprocess.run(command, cwd=tmp_path, input=code, capture_output=True, text=True, check=False)
    assert message in ended.stderr.splitlines()[-1]
