"""The search: its proposals, its repeatability, and that no fault loses a finished evaluation."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from srsearch.analysis import converged, retraining_noise
from srsearch.architecture import catalogue
from srsearch.errors import InputError, WorkError
from srsearch.search import Study, SyntheticEvaluator, run, session
from srsearch.search.evaluators.base import Score
from srsearch.search.evaluators.lookup import evaluator_type
from srsearch.search.events import Finished
from srsearch.search.opening import find_or_create
from srsearch.search.progress import Progress, SilentProgress
from srsearch.search.samplers.frontier import STARTUP
from srsearch.space import Space, shipped_spaces
from srsearch.store import Store
from tests.conftest import CHECKOUT, SMALL_SPACE, WIDE_SPACE, Command
from tests.support import forked
from tests.support.commands import PROGRAM
from tests.support.evaluators import Constant, Hopeless, Odd, Silent, Slow, Troubled, Unready
from tests.support.forked import Forked

FIRST_MODELLED = STARTUP + 1
"""Trials of a search in which the last is proposed by the model."""

SAMPLERS = ("frontier", "tpe", "nsga2", "nsga3", "random", "qmc", "gp")


def outcome(store: Store, study: str) -> list[tuple[Any, ...]]:
    """Everything that a repeatable search must repeat, in order."""
    return [
        (t.number, t.key, t.state, t.reason, t.psnr, tuple(map(tuple, t.curve))) for t in store.trial_records(study)
    ]


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_space_that_comes_along_is_searched_as_it_stands(name: str, tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        result = run(name, store=store, evaluator="synthetic", trials=FIRST_MODELLED, workers=1)
        states = store.trials(name)["state"].tolist()
    assert result.done == FIRST_MODELLED
    assert "failed" not in states


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


def test_cmaes_searches_a_space_whose_axes_are_numbers(small_space: Space, tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        with pytest.raises(InputError, match="cmaes does not apply to small: it has one objective, this study 2"):
            run(small_space, store=store, sampler="cmaes")
        assert store.study_names() == []
        plain = SMALL_SPACE | {"objectives": ["psnr"], "search": {"sampler": "cmaes", "trials": 9}}
        plain["architecture"] = {
            "channels": [8, 12, 16, 20],
            "body": {"cascade": {"groups": [1, 2, 3], "blocks": [1, 2, 3]}},
        }
        assert run(Space.from_dict(plain | {"name": "numbers"}), store=store).done == 9
        with pytest.raises(InputError, match="random cannot be informed"):
            run(small_space, store=store, sampler="random", inform="numbers")


def test_the_whole_space_is_found_and_then_the_search_ends(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    result = run(small_space, store=store, trials=1000)
    assert result.exhausted
    assert small_space.feasible is not None
    evaluated = {trial.key for trial in store.trial_records(result.study) if trial.state == "complete"}
    assert evaluated == {candidate.design.key for candidate in small_space.feasible}


def test_a_copied_study_continues_in_another_folder(small_space: Space, tmp_path: Path) -> None:
    space = settled(small_space, sampler="frontier")
    here, there = Store(tmp_path / "here.db"), Store(tmp_path / "there.db")
    name = run(space, store=here, trials=9).study
    run(settled(small_space, sampler="random", seed=9), store=there, trials=4)
    assert here.copy_study(name, there, name="copied") == len(here.trial_records(name))
    assert outcome(there, "copied") == outcome(here, name)
    assert here.study(name).reference == there.study("copied").reference
    with pytest.raises(InputError, match="already"):
        here.copy_study(name, there, name="copied")
    there.rename_study("small", "other")
    there.rename_study("copied", "small")
    assert run(space, store=there, trials=12).study == "small"
    run(space, store=here, trials=12)
    assert outcome(there, "small") == outcome(here, name)
    # With the study came its evaluations: the same search finds them, and does not evaluate again.
    there.copy_study("other", here)
    again = run(settled(small_space, sampler="random", seed=9), store=here, trials=2)
    assert sum(trial.cached for trial in here.trial_records(again.study)) >= 4


def test_published_networks_inside_the_space_come_first(tmp_path: Path) -> None:
    groups = [4, 8, 64]
    plain = {
        "name": "pcarn",
        "scale": 4,
        "architecture": {
            "channels": [32, 64],
            "unit": {"grouped": {"groups": groups}},
            "block": "efficient_residual",
            "body": {"cascade": {"share": ["none", "group"]}},
            "upsampler": {"pixel_shuffle": {"groups": groups}},
        },
        "constraints": {"mult_adds": {"max": "30G"}},
        "proxy": {"evaluator": "synthetic"},
        "search": {"sampler": "random", "workers": 2},
    }
    store = Store(tmp_path / "s.db")
    space = Space.from_dict(plain)
    run(space, store=store, trials=2, start_with="catalogue")
    result = run(space, store=store, trials=6, start_with="catalogue")
    published = {
        catalogue.get(name, 4).key: name for name in catalogue.names() if 4 in catalogue.published(name).scales
    }
    evaluated = [published.get(t.key or "") for t in store.trial_records(result.study) if t.state == "complete"]
    # Cheapest first; pcarn-m, which is pcarn-g4r, is over the budget. Sharing costs no Mult-Adds.
    assert set(evaluated[:2]) == {"pcarn-g64", "pcarn-g64r"}
    assert set(evaluated[2:4]) == {"pcarn-g8", "pcarn-g8r"}
    assert evaluated[4:] == [None, None]


@pytest.mark.parametrize(
    "sampler",  # without nsga3, which is nsga2's kin
    ["frontier", "tpe", "nsga2", "random", "qmc", pytest.param("gp", marks=pytest.mark.long(12))],
)
def test_a_search_in_pieces_equals_one_in_one_go(small_space: Space, tmp_path: Path, sampler: str) -> None:
    space = settled(small_space, sampler=sampler)
    last = 11 if sampler == "gp" else 14  # a Gaussian process takes seconds for each proposal after the first ten
    whole, pieces = Store(tmp_path / "whole.db"), Store(tmp_path / "pieces.db")
    run(space, store=whole, trials=last)
    for trials in (1, 2, 9, last):
        result = run(space, store=pieces, trials=trials)
        assert result.done == trials
    assert outcome(whole, "small") == outcome(pieces, "small")
    first, second = (store.front("small").drop(columns=["seconds", "finished_at"]) for store in (whole, pieces))
    pd.testing.assert_frame_equal(first, second)


def test_another_seed_evaluates_other_designs(small_space: Space, tmp_path: Path) -> None:
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


def test_known_evaluations_are_reused_and_not_charged(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    run(small_space, store=store, trials=10)
    again = run(small_space, store=store, trials=3, new=True)
    trials = store.trials(again.study)
    assert again.done == 3
    assert trials["cached"].sum() == 10
    first = store.trials("small").set_index("key")["psnr"].dropna()
    reused = trials[trials["cached"]].set_index("key")["psnr"]
    assert reused.to_dict() == first.to_dict()


def test_a_design_that_fails_does_not_end_the_search(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    result = run(small_space, store=store, evaluator=Troubled(), trials=1000)
    trials = store.trials(result.study)
    failed = trials[trials["state"] == "failed"]
    reasons = set(failed["reason"])
    killed = "the worker process was killed by SIGKILL (the system may have run out of memory)"
    assert reasons == {
        "the evaluator gave PSNR nan",
        "the loss was NaN at step 7",
        "MemoryError: there was not enough memory",
        f"{killed}; the first time: {killed}",
    }
    assert small_space.feasible is not None
    assert result.done == len(small_space.feasible) - len(failed)


def test_an_invalid_score_fails_its_trial_only(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    result = run(small_space, store=store, evaluator=Odd(), trials=1000)
    trials = store.trials(result.study)
    assert set(trials[trials["state"] == "failed"]["reason"]) == {
        "the evaluator gave SSIM nan",
        "the evaluator gave PSNR inf",
        "the evaluator gave float, not a Score",
        "ValueError: could not convert string to float: 'high'",
    }
    assert result.done > 5


def test_an_objective_that_is_not_measured_fails_the_trial(small_space: Space, tmp_path: Path) -> None:
    plain = small_space.to_dict() | {"objectives": ["ssim", "mult_adds"]}
    with pytest.raises(WorkError, match="gave no SSIM, which is an objective"):
        run(Space.from_dict(plain), store=Store(tmp_path / "s.db"))


def test_a_search_whose_trials_all_fail_ends(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with pytest.raises(
        WorkError, match=r"first 8 designs of this run all failed.*RuntimeError: no kernel image is available"
    ):
        run(small_space, store=store, evaluator=Hopeless())
    assert (store.trials("small")["state"] == "failed").sum() == 8


def test_a_worker_that_cannot_start_ends_the_search_and_fails_no_trial(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    with pytest.raises(WorkError, match="the worker could not start: OSError: the photos are gone"):
        run(small_space, store=store, evaluator=Unready())
    assert "failed" not in set(store.trials("small")["state"])


def test_a_script_without_a_main_guard_gets_an_explanation(folder: Path) -> None:
    script = folder / "script.py"
    script.write_text("import srsearch as sr\nsr.run('small.yaml', store='s.db', trials=2)\n")
    ended = subprocess.run(
        [sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert "if __name__ == '__main__':" in ended.stderr.splitlines()[-1]
    with Store(folder / "s.db", read_only=True) as store:
        assert "failed" not in set(store.trials("small")["state"])
    script.write_text(
        "import srsearch as sr\nif __name__ == '__main__':\n    print(sr.run('small.yaml', trials=2).done)\n"
    )
    ended = subprocess.run(
        [sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.stdout == "2\n"


@pytest.mark.parametrize("sampler", ["frontier", "tpe"])
@pytest.mark.parametrize("objectives", [["psnr", "mult_adds"], ["ssim", "psnr", "params", "activations"]])
def test_an_objective_that_is_constant(tmp_path: Path, sampler: str, objectives: list[str]) -> None:
    space = Space.from_dict(SMALL_SPACE | {"objectives": objectives})
    with Store(tmp_path / "s.db") as store:
        result = run(
            space,
            store=store,
            evaluator=Constant(),
            sampler=sampler,
            trials=14,
            workers=1,
            early_stopping=True,
            until_converged=True,
            replicates=2,
        )
        assert result.done == 14
        assert (result.front["psnr"] == 30.0).all()
        assert (result.front["seeds"] == 2).all()


def test_a_search_ends_once_it_has_converged(tmp_path: Path) -> None:
    space = Space.from_dict(WIDE_SPACE).with_settings(search={"sampler": "random"})
    said: list[str] = []
    progress = Progress()
    progress.message = said.append  # type: ignore[method-assign]
    options: dict[str, Any] = {"evaluator": SyntheticEvaluator(), "trials": 300, "workers": 1, "until_converged": True}
    with Store(tmp_path / "s.db") as store:
        result = run(space, store=store, progress=progress, **options)
        assert 40 <= result.done < 300
        trials, record = store.trials(result.study), store.study(result.study)
        noise = retraining_noise(trials)
        assert converged(trials, record.objectives, record.reference, noise).converged
        before = trials[: trials.index[trials["state"] == "complete"][-1]]
        assert not converged(before, record.objectives, record.reference, retraining_noise(before)).converged
        assert [text for text in said if text.startswith("converged: the front rose by")]
        assert run(space, store=store, **options).done == result.done


def test_a_changed_space_file_is_not_mixed_with_the_old_study(folder: Path, srsearch: Command) -> None:
    options = ("run", "small.yaml", "--trials", "2", "--quiet", "--json")
    assert json.loads(srsearch(*options).stdout)["study"] == "small"
    text = (folder / "small.yaml").read_text()
    changed = Space.from_dict(SMALL_SPACE | {"constraints": {"mult_adds": {"max": "2G"}}}).text
    (folder / "small.yaml").write_text(changed)
    refused = srsearch(*options)
    assert refused.returncode == 2
    assert "small.yaml has changed since study 'small' was made" in refused.stderr
    assert "constraints.mult_adds.max: 3G -> 2G" in refused.stderr
    assert "--new" in refused.stderr
    assert json.loads(srsearch(*options, "--new").stdout)["study"] == "small-2"
    assert json.loads(srsearch(*options).stdout)["study"] == "small-2"
    (folder / "small.yaml").write_text(text)
    assert json.loads(srsearch(*options).stdout)["study"] == "small"
    other = srsearch("run", "small.yaml", "--trials", "2", "--seed", "5")
    assert "another study than small" in other.stderr
    assert "search.seed: 3 -> 5" in other.stderr


def test_another_study_informs_the_sampler(tmp_path: Path) -> None:
    space = Space.from_dict(SMALL_SPACE)
    with Store(tmp_path / "s.db") as store:
        first = run(space, store=store, trials=12, sampler="random")
        plain = run(space, store=store, trials=10, sampler="frontier", evaluator=Slow())
        informed = run(space, store=store, trials=10, sampler="frontier", evaluator=Slow(), inform=first.study)
        assert informed.study != plain.study
        assert [o[1] for o in outcome(store, informed.study)] != [o[1] for o in outcome(store, plain.study)]
        with pytest.raises(InputError, match="no study 'nobody'"):
            run(space, store=store, sampler="frontier", inform="nobody")


def test_several_workers_share_the_work(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    result = run(small_space, store=store, workers=2, trials=12)
    trials = store.trials(result.study)
    evaluated = trials[trials["state"] == "complete"]
    assert len(evaluated) == 12
    assert evaluated["key"].is_unique


@pytest.mark.parametrize("seed", range(3))
def test_with_several_workers_the_proposals_do_not_depend_on_who_ends_first(seed: int) -> None:
    """A long training delays the others only when they are several trials ahead."""
    space, evaluator = settled(Space.from_dict(WIDE_SPACE), sampler="tpe"), SyntheticEvaluator()
    rng = random.Random(seed)
    proposed, ahead = list[list[str]](), 0
    for first in (True, False):
        with Store("sqlite://") as store:
            run(space, store=store, trials=1, evaluator=evaluator)
            study = Study(store, store.study(space.name), space, evaluator, workers=2)
            busy, keys = list[Any](), list[str]()
            for _ in range(24):
                while len(busy) < 2 and study.ready:
                    trial = study.ask()
                    assert trial is not None
                    busy.append(trial)
                    keys.append(trial.design.key)
                ended = busy.pop(0 if first else rng.randrange(len(busy)))
                ahead = max([ahead, *(keys.index(ended.design.key) - keys.index(t.design.key) for t in busy)])
                study.tell(ended, evaluator.evaluate(ended.design, 0, Silent()), 0.0)
            proposed.append(keys)
            study.close()
    assert ahead == 3
    assert proposed[0][:24] == proposed[1][:24]


def options_of(evaluator: str) -> list[str]:
    """The command that runs the small space with an evaluator of `tests.support.evaluators`, or of another module."""
    evaluator = evaluator if ":" in evaluator else f"tests.support.evaluators:{evaluator}"
    return ["run", "small.yaml", "--evaluator", evaluator, "--storage", "s.db"]


def start(folder: Path, *options: str, evaluator: str = "Slow") -> subprocess.Popen[str]:
    """Start a run of the small space in another process."""
    return subprocess.Popen(
        [*PROGRAM, *options_of(evaluator), *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_forked(folder: Path, *options: str, evaluator: str = "Slow") -> Forked:
    """Start a run like `start`, in a process that need not import anything first."""
    return forked.command(folder, *options_of(evaluator), *options, env={"PYTHONPATH": str(CHECKOUT)})


@pytest.fixture
def folder(tmp_path: Path, small_space: Space) -> Path:
    (tmp_path / "small.yaml").write_text(small_space.text)
    return tmp_path


def finished(folder: Path) -> int:
    """The number of finished trials, read without opening a `Store`, which costs much when done again and again."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{folder / 's.db'}?mode=ro", uri=True)) as database:
            (count,) = database.execute("SELECT count(*) FROM sr_trials WHERE state = 'complete'").fetchone()
            return int(count)
    except sqlite3.OperationalError:
        return 0  # not there yet


def wait_for(folder: Path, count: int, process: subprocess.Popen[str] | Forked) -> None:
    end = time.monotonic() + 120
    while finished(folder) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the run does not get on"
        time.sleep(0.05)


@pytest.mark.long(15)
def test_a_kill_at_any_moment_loses_and_changes_nothing(folder: Path, small_space: Space) -> None:
    moments = random.Random(5)
    for count in (1, 6):
        process = start_forked(folder, "--trials", "8")
        wait_for(folder, count, process)
        time.sleep(moments.uniform(0, 0.4))
        process.kill()
        process.communicate()
        assert finished(folder) >= count
    process = start_forked(folder, "--trials", "8")
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 0, messages
    assert "small" in messages
    whole = Store(folder / "whole.db")
    run(small_space, store=whole, evaluator=Slow(), trials=8)
    assert outcome(Store(folder / "s.db"), "small") == outcome(whole, "small")


@pytest.mark.long(9)
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
    process = start_forked(folder, "--trials", "5")
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 0
    assert f"{before} of 5" in messages or f"[{before + 1}/5]" in messages
    assert finished(folder) == 5


@contextlib.contextmanager
def no_room(path: Path) -> Iterator[None]:
    """Inside this context, the disk is full for SQLite as soon as the database has to grow."""
    with sqlite3.connect(path) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()

    def connected(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(Engine, "connect", connected)
    try:
        yield
    finally:
        event.remove(Engine, "connect", connected)


def test_a_really_full_disk_ends_the_run_and_loses_nothing(
    small_space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PATIENCE", 0.2)
    path = tmp_path / "s.db"
    with Store(path) as store:
        run(small_space, store=store, trials=3)
        before = outcome(store, "small")
    with no_room(path), Store(path) as store, pytest.raises(WorkError, match="full"):
        run(small_space, store=store, trials=1000)
    with Store(path) as store:
        assert outcome(store, "small")[: len(before)] == before
        run(small_space, store=store, trials=14)
        whole = Store(tmp_path / "whole.db")
        run(small_space, store=whole, trials=14)
        assert outcome(store, "small")[: len(outcome(whole, "small"))] == outcome(whole, "small")


def test_an_evaluation_that_cannot_be_stored_is_kept_for_the_next_run(
    small_space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PATIENCE", 0.2)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    store = Store(tmp_path / "s.db")
    run(small_space, store=store, trials=3)
    told = Study.tell

    def refused(self: Study, *arguments: Any, **options: Any) -> Any:
        raise WorkError("the disk is full")

    monkeypatch.setattr(Study, "tell", refused)
    with pytest.raises(
        WorkError, match=r"the disk is full\nthe finished evaluation of trial \d+ is kept in .*; the next run"
    ):
        run(small_space, store=store, trials=4)
    monkeypatch.setattr(Study, "tell", told)
    store.close()
    (tmp_path / "s.db").rename(tmp_path / "renamed.db")
    store = Store(tmp_path / "renamed.db")
    # What is taken up is not evaluated again: an evaluator that fails for all would show.
    with pytest.raises(WorkError, match="all failed"):
        run(small_space, store=store, evaluator=_same_study(Hopeless()), trials=5)
    assert (store.trials("small")["state"] == "complete").sum() == 4
    whole = Store(tmp_path / "whole.db")
    run(small_space, store=whole, trials=4)
    assert outcome(store, "small")[: len(outcome(whole, "small"))] == outcome(whole, "small")


class Warned(SilentProgress):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def test_a_database_that_is_cut_off_is_not_waited_for(small_space: Space, tmp_path: Path) -> None:
    path, evaluator, progress = tmp_path / "s.db", SyntheticEvaluator(), Warned()
    with Store(path) as store:
        record, _ = find_or_create(store, small_space, evaluator, progress, new=False, at_once=1)
        study = Study(store, record, small_space, evaluator)
        recorder = session.Session(study, evaluator, progress, session.Goal(2))
        trial = recorder.begin(0)
        assert trial is not None
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        os.truncate(path, 5000)
        with pytest.raises(WorkError, match=r"is damaged .*\.recover\nthe finished evaluation of trial 0 is kept"):
            recorder.handle(Finished(0, trial, Score(30.0), 1.0))
    assert not any("trying again" in warning for warning in progress.warnings)


def test_a_database_that_is_deleted_in_the_middle_ends_the_run(folder: Path) -> None:
    process = start_forked(folder, "--trials", "30")
    wait_for(folder, 2, process)
    (folder / "s.db").unlink()
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 1, messages
    assert "its file was deleted or replaced" in messages
    assert "Traceback" not in messages
    (rescued,) = folder.glob("s.rescued-*.db")
    assert str(rescued) in messages
    with Store(rescued, read_only=True) as store:
        before = outcome(store, "small")
        assert sum(trial.state == "complete" for trial in store.trial_records("small")) >= 2
    with Store(rescued) as store:
        run(Space.from_yaml(str(folder / "small.yaml")), store=store, trials=len(before) + 2)
        finished_before = [trial for trial in before if trial[1] == "complete"]
        assert all(trial in outcome(store, "small") for trial in finished_before)


def _same_study(evaluator: SyntheticEvaluator) -> SyntheticEvaluator:
    """Check that an evaluator has the recipe of the ordinary synthetic one, so that the study is the same."""
    assert evaluator.recipe == SyntheticEvaluator().recipe
    return evaluator


def test_evaluators_are_found_by_name() -> None:
    assert evaluator_type("synthetic") is SyntheticEvaluator
    for name, message in {
        "synthetik": "did you mean 'synthetic'",
        "no_such_module:Thing": "cannot be loaded: No module named",
        "tests.support.evaluators:Missing": "cannot be loaded",
        "tests.support.evaluators:NotOne": "not a subclass",
        ":Thing": "cannot be loaded",
    }.items():
        with pytest.raises(InputError, match=message):
            evaluator_type(name)


def test_an_evaluator_that_cannot_be_constructed_or_pickled_is_refused(small_space: Space, tmp_path: Path) -> None:
    demanding = small_space.with_settings(proxy={"evaluator": "tests.support.evaluators:Demanding"})
    with pytest.raises(InputError, match=r"cannot be made: .*needed"):
        run(demanding, store=Store(tmp_path / "s.db"))

    class Local(SyntheticEvaluator):
        pass

    with pytest.raises(InputError, match="cannot be sent to a worker process"):
        run(small_space, store=Store(tmp_path / "s.db"), evaluator=Local())


def test_the_command_prints_one_json_document(folder: Path, srsearch: Command) -> None:
    ended = srsearch("run", "small.yaml", "--trials", "4", "--json")
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout)
    assert printed["study"] == "small"
    assert printed["done"] == 4
    assert {"key", "trial", "psnr", "mult_adds", "params", "channels"} <= set(printed["front"][0])
    assert Path(folder / printed["page"]).stat().st_size > 10**6
