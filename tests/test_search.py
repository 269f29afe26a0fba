"""The search: what it proposes, that it repeats, and that no fault loses a finished evaluation."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from srsearch.errors import InputError, WorkError
from srsearch.search import Study, SyntheticEvaluator, run, running
from srsearch.search.evaluators import evaluator_type
from srsearch.space import Space
from srsearch.store import Store
from tests.conftest import CHECKOUT, Command
from tests.evaluators import Hopeless, Slow, Troubled, Unready

SAMPLERS = ("tpe", "nsga2", "random", "qmc", "gp")


def outcome(store: Store, study: str) -> list[tuple[Any, ...]]:
    """What a repeatable search must repeat, in order."""
    return [
        (t.number, t.key, t.state, t.reason, t.psnr, tuple(map(tuple, t.curve))) for t in store.trial_records(study)
    ]


def settled(space: Space, **search: object) -> Space:
    return space.with_settings(search=search)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_only_new_feasible_designs_are_evaluated_and_charged(small_space: Space, tmp_path: Path, sampler: str) -> None:
    store = Store(tmp_path / "s.db")
    result = run(small_space, store=store, sampler=sampler, trials=11)
    trials = store.trials(result.study)
    evaluated = trials[trials["state"] == "complete"]
    assert len(evaluated) == result.done == 11
    assert evaluated["key"].is_unique
    assert (evaluated["mult_adds"] <= 3_000_000_000).all()
    rejected = trials[trials["state"] != "complete"]
    assert set(rejected["state"]) <= {"infeasible", "repeated"}
    assert rejected["psnr"].isna().all()
    assert rejected["reason"].notna().all()


def test_the_whole_space_is_found_and_then_the_search_ends(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    result = run(small_space, store=store, trials=1000)
    assert result.exhausted
    assert small_space.feasible is not None
    evaluated = {trial.key for trial in store.trial_records(result.study) if trial.state == "complete"}
    assert evaluated == {candidate.design.key for candidate in small_space.feasible}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_in_pieces_equals_one_in_one_go(small_space: Space, tmp_path: Path, sampler: str) -> None:
    space = settled(small_space, sampler=sampler)
    last = 11 if sampler == "gp" else 14  # a Gaussian process takes seconds for each proposal after the first ten
    whole, pieces = Store(tmp_path / "whole.db"), Store(tmp_path / "pieces.db")
    run(space, store=whole, trials=last)
    for trials in (1, 2, 9, last):
        result = run(space, store=pieces, trials=trials)
        assert result.done == trials
    assert outcome(whole, "small") == outcome(pieces, "small")
    pd.testing.assert_frame_equal(
        whole.front("small").drop(columns="seconds"), pieces.front("small").drop(columns="seconds")
    )


def test_another_seed_searches_otherwise(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    first, second = run(small_space, store=store, seed=1), run(small_space, store=store, seed=2)
    assert (first.study, second.study) == ("small", "small-2")
    assert [o[1] for o in outcome(store, "small")] != [o[1] for o in outcome(store, "small-2")]


def test_the_budget_is_part_of_a_studys_identity(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    assert run(small_space, store=store).study == "small"
    tighter = small_space.with_budget(max_mult_adds=2_000_000_000)
    assert run(tighter, store=store).study == "small-2"
    assert run(small_space, store=store, trials=11).study == "small"
    assert run(tighter, store=store).study == "small-2"
    assert run(small_space, store=store, new=True).study == "small-3"
    # The newest of equal studies is the one that goes on.
    assert run(small_space, store=store).study == "small-3"


def test_what_was_evaluated_is_used_again_and_not_charged(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    run(small_space, store=store, trials=10)
    again = run(small_space, store=store, trials=3, new=True)
    trials = store.trials(again.study)
    assert again.done == 3
    assert trials["cached"].sum() == 10
    first = store.trials("small").set_index("key")["psnr"].dropna()
    reused = trials[trials["cached"]].set_index("key")["psnr"]
    assert reused.to_dict() == first.to_dict()


def test_troubled_designs_fail_alone(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    result = run(small_space, store=store, evaluator=Troubled(), trials=1000)
    trials = store.trials(result.study)
    failed = trials[trials["state"] == "failed"]
    reasons = set(failed["reason"])
    assert reasons == {
        "the evaluator gave a PSNR of nan",
        "the loss was NaN at step 7",
        "MemoryError",
        "the worker process was killed by SIGKILL (the system may have run out of memory)",
    }
    assert small_space.feasible is not None
    assert result.done == len(small_space.feasible) - len(failed)


def test_a_search_in_which_all_fails_ends(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with pytest.raises(
        WorkError, match=r"first 8 designs of this run all failed.*RuntimeError: no kernel image is available"
    ):
        run(small_space, store=store, evaluator=Hopeless())
    assert (store.trials("small")["state"] == "failed").sum() == 8


def test_a_worker_that_cannot_start_ends_the_search(small_space: Space, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="the worker could not start: OSError: the photos are gone"):
        run(small_space, store=Store(tmp_path / "s.db"), evaluator=Unready())


def test_several_workers_share_the_work(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    result = run(small_space, store=store, workers=2, trials=12)
    trials = store.trials(result.study)
    evaluated = trials[trials["state"] == "complete"]
    assert len(evaluated) == 12
    assert evaluated["key"].is_unique


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A run of the small space in another process."""
    command = [sys.executable, "-c", "from srsearch.cli import main; main(prog_name='srsearch')", "run", "small.yaml"]
    return subprocess.Popen(
        [*command, "--evaluator", "tests.evaluators:Slow", "--storage", "s.db", *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path, small_space: Space) -> Path:
    (tmp_path / "small.yaml").write_text(small_space.text)
    return tmp_path


def finished(folder: Path) -> int:
    try:
        with Store(folder / "s.db", read_only=True) as store:
            return sum(t.state == "complete" for name in store.study_names() for t in store.trial_records(name))
    except InputError:
        return 0  # not there yet


def wait_for(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while finished(folder) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the run does not get on"
        time.sleep(0.05)


def test_kill_at_any_moment_loses_nothing_and_changes_nothing(folder: Path, small_space: Space) -> None:
    moments = random.Random(5)
    for count in (1, 4, 6):
        process = start(folder, "--trials", "8")
        wait_for(folder, count, process)
        time.sleep(moments.uniform(0, 0.4))
        process.kill()
        process.communicate()
        assert finished(folder) >= count
    process = start(folder, "--trials", "8")
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 0, messages
    assert "small" in messages
    whole = Store(folder / "whole.db")
    run(small_space, store=whole, evaluator=Slow(), trials=8)
    assert outcome(Store(folder / "s.db"), "small") == outcome(whole, "small")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_the_same_command_continues(folder: Path, sent: signal.Signals) -> None:
    process = start(folder, "--trials", "5")
    wait_for(folder, 2, process)
    process.send_signal(sent)
    printed, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert "the same command continues" in messages
    assert "Best within the budget" in printed
    before = finished(folder)
    assert before >= 2
    process = start(folder, "--trials", "5")
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 0
    assert f"{before} of 5" in messages or f"[{before + 1}/5]" in messages
    assert finished(folder) == 5


def test_a_study_is_run_by_one_process_at_a_time(folder: Path) -> None:
    first = start(folder, "--trials", "30")
    wait_for(folder, 1, first)
    second = start(folder, "--trials", "30")
    _, messages = second.communicate(timeout=60)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert second.returncode == 2
    assert "is being run by another process" in messages


def test_a_full_disk_loses_no_finished_evaluation(
    small_space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SAVE_PATIENCE", 0.2)
    monkeypatch.setattr(running.tempfile, "gettempdir", lambda: str(tmp_path))
    store = Store(tmp_path / "s.db")
    run(small_space, store=store, trials=3)
    told = Study.tell
    full = WorkError("the disk is full")

    def refused(self: Study, *arguments: Any, **options: Any) -> Any:
        raise full

    monkeypatch.setattr(Study, "tell", refused)
    with pytest.raises(
        WorkError, match=r"the disk is full\nthe finished evaluation of trial \d+ is kept in .*; the next run"
    ):
        run(small_space, store=store, trials=4)
    assert [t.state for t in store.trial_records("small")].count("running") == 1
    monkeypatch.setattr(Study, "tell", told)
    # What is taken up is not evaluated again: an evaluator that fails for all would show.
    with pytest.raises(WorkError, match="all failed"):
        run(small_space, store=store, evaluator=_same_study(Hopeless()), trials=5)
    assert (store.trials("small")["state"] == "complete").sum() == 4
    whole = Store(tmp_path / "whole.db")
    run(small_space, store=whole, trials=4)
    assert outcome(store, "small")[: len(outcome(whole, "small"))] == outcome(whole, "small")


def _same_study(evaluator: SyntheticEvaluator) -> SyntheticEvaluator:
    """An evaluator that says of itself that it is the ordinary synthetic one."""
    assert evaluator.recipe == SyntheticEvaluator().recipe
    return evaluator


def test_evaluators_by_name() -> None:
    assert evaluator_type("synthetic") is SyntheticEvaluator
    for name, message in {
        "synthetik": "did you mean 'synthetic'",
        "no_such_module:Thing": "cannot be loaded: No module named",
        "tests.evaluators:Missing": "cannot be loaded",
        "tests.evaluators:NotOne": "not a subclass",
    }.items():
        with pytest.raises(InputError, match=message):
            evaluator_type(name)


def test_the_command_prints_one_json_document(folder: Path, srsearch: Command) -> None:
    ended = srsearch("run", "small.yaml", "--trials", "4", "--json")
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout)
    assert printed["study"] == "small"
    assert printed["done"] == 4
    assert {"key", "trial", "psnr", "mult_adds", "params", "channels"} <= set(printed["front"][0])
    assert Path(folder / printed["page"]).stat().st_size > 10**6
