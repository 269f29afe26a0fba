"""Several processes on one study, killed processes, and stopped trials that are continued."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import Double, create_engine, literal, text, update

from srsearch.analysis import pareto_front
from srsearch.errors import InputError
from srsearch.search import SyntheticEvaluator, opening, run, study
from srsearch.search.checkpoint_copy import Kept
from srsearch.search.checkpoints import Checkpoints
from srsearch.search.evaluators.proxy import ProxyEvaluator
from srsearch.search.executors.evaluation import Job, evaluated
from srsearch.search.opening import find_or_create
from srsearch.search.progress import Progress, SilentProgress
from srsearch.search.study import Study
from srsearch.space import Space
from srsearch.store import Store, leases, statements
from srsearch.store.tables import TrialRow
from srsearch.training import Trainer
from tests.conftest import SMALL_SPACE, WIDE_SPACE
from tests.search.test_search import outcome, start_forked, wait_for
from tests.support.evaluators import Silent, Slow
from tests.support.forked import Forked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(Space.from_dict(WIDE_SPACE).text)
    return tmp_path


@contextmanager
def killed_at_the_end(*processes: subprocess.Popen[str] | Forked) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def kill(process: subprocess.Popen[str] | Forked, *, with_workers: bool) -> None:
    """Kill the main process, or its workers with it, so that it does not notice their end."""
    if with_workers:
        process.send_signal(signal.SIGSTOP)
        for worker in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                worker.send_signal(signal.SIGKILL)
    process.kill()


@pytest.mark.long(9)
def test_two_runs_share_a_study(folder: Path) -> None:
    both = [start_forked(folder, "--trials", "12") for _ in range(2)]
    with killed_at_the_end(*both):
        messages = [process.communicate(timeout=300)[1] for process in both]
        assert [process.returncode for process in both] == [0, 0], messages
    with Store(folder / "s.db", read_only=True) as store:
        assert store.study_names() == ["small"]
        trials = store.trial_records("small")
    assert [trial.number for trial in trials] == list(range(len(trials)))
    complete = [trial.key for trial in trials if trial.state == "complete"]
    assert len(complete) == len(set(complete)) == 12
    assert all(trial.state != "running" for trial in trials)
    told = [sum("/12] trial" in line for line in message.splitlines()) for message in messages]
    assert sum(told) == 12
    assert min(told) > 0


@pytest.mark.long(18)
def test_trials_of_a_killed_run_are_continued_by_the_other_at_once(folder: Path) -> None:
    first = start_forked(folder, "--trials", "4", evaluator="Slower")
    with killed_at_the_end(first):
        wait_for(folder, 1, first)
        second = start_forked(folder, "--trials", "4", evaluator="Slower")
        with killed_at_the_end(second):
            time.sleep(1.5)
            first.kill()
            first.communicate()
            _, messages = second.communicate(timeout=120)
            assert second.returncode == 0, messages
    with Store(folder / "s.db", read_only=True) as store:
        states = Counter(trial.state for trial in store.trial_records("small"))
    assert states["complete"] == 4
    assert states["running"] == 0


@pytest.mark.long(22)
@pytest.mark.parametrize(("early_stopping", "most"), [("--no-early-stopping", 6), ("--early-stopping", 4)])
def test_kills_at_any_moment_change_nothing(folder: Path, early_stopping: str, most: int) -> None:
    moments = random.Random(11)
    options = ("--trials", "14", "--sampler", "frontier", early_stopping)
    kills = 0
    while kills < most:
        process = start_forked(folder, *options, evaluator="Slow")
        with killed_at_the_end(process):
            deadline = time.monotonic() + 120
            while not (folder / "s.db").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(moments.uniform(1.0, 4.0))
            if process.poll() is not None:
                break
            kill(process, with_workers=moments.random() < 0.5)
            kills += 1
    last = start_forked(folder, *options, evaluator="Slow")
    with killed_at_the_end(last):
        _, messages = last.communicate(timeout=300)
        assert last.returncode == 0, messages
    whole = Store(folder / "whole.db")
    evaluator = Slow()
    evaluator.seconds = 0.0  # the scores are the same
    run(
        Space.from_dict(WIDE_SPACE),
        store=whole,
        evaluator=evaluator,
        trials=14,
        sampler="frontier",
        early_stopping=early_stopping == "--early-stopping",
    )
    assert outcome(Store(folder / "s.db"), "small") == outcome(whole, "small")
    assert kills >= 3


def make_study(store: Store, space: Space) -> Study:
    run(space, store=store, trials=1, evaluator=SyntheticEvaluator())
    return Study(store, store.study("small"), space, SyntheticEvaluator())


def test_leases_of_other_hosts_end_by_the_databases_clock(tmp_path: Path) -> None:
    space = Space.from_dict(WIDE_SPACE)
    path = tmp_path / "s.db"
    with Store(path) as store:
        mine, other = make_study(store, space), Study(store, store.study("small"), space, SyntheticEvaluator())
        trial = other.ask()
        assert trial is not None
        engine = create_engine(f"sqlite:///{path}")

        def set_lease(owner: str, seconds_ago: float) -> None:
            with engine.begin() as connection:
                connection.execute(
                    text("UPDATE sr_trials SET owner = :owner, heartbeat = :then WHERE number = :number"),
                    {"owner": owner, "then": time.time() - seconds_ago, "number": trial.number},
                )

        # A process of this host that is alive keeps its trial, whatever the clocks say: they may have been set.
        for seconds in (1e6, -1e6):
            set_lease(other._owner, seconds)
            assert store.abandoned("small") == []
        set_lease("elsewhere:1:1:x", leases.LEASE_SECONDS / 2)
        assert store.abandoned("small") == []
        with pytest.raises(InputError, match="is being run by another process"):
            store.delete_study("small")
        set_lease("elsewhere:1:1:x", leases.LEASE_SECONDS * 2)
        assert store.abandoned("small") == [trial.number]
        taken = mine.ask()
        assert taken is not None
        assert (taken.number, taken.design) == (trial.number, trial.design)
        # The process that was taken for dead is alive: the first result counts, and the second changes nothing.
        score = SyntheticEvaluator().evaluate(trial.design, trial.seed, Silent())
        other.tell(trial, score, 1.0)
        mine.tell(taken, score, 2.0)
        (record,) = [each for each in store.trial_records("small") if each.number == trial.number]
        assert (record.state, record.seconds) == ("complete", 1.0)
        other.close()
        mine.close()
        store.delete_study("small")


def test_a_clock_that_is_set_to_another_time_ends_no_lease_of_a_living_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / "s.db", time.time()
    with Store(path) as store:
        study = make_study(store, Space.from_dict(WIDE_SPACE))
        trial = study.ask()
        assert trial is not None

        def heartbeat(then: float) -> None:
            with store._transactions.write() as connection:
                changed = update(TrialRow).where(TrialRow.number == trial.number)
                connection.execute(changed.values(owner="elsewhere:1:1:x", heartbeat=then))

        elapsed = 0.0
        monkeypatch.setattr(leases.time, "monotonic", lambda: elapsed)
        monkeypatch.setattr(statements, "clock", lambda dialect: literal(now, Double()))
        for hours in (5, -9):
            heartbeat(now)
            assert store.abandoned("small") == []
            now += hours * 3600
            elapsed += leases.HEARTBEAT_SECONDS
            assert store.abandoned("small") == []  # it had no time to say by the new clock that it is alive
            heartbeat(now)
            elapsed += 3 * leases.HEARTBEAT_SECONDS
            now += 3 * leases.HEARTBEAT_SECONDS
            assert store.abandoned("small") == []
        heartbeat(now + 5 * 3600)  # it died before the clock was set back, and would be waited for for hours
        assert store.abandoned("small") == [trial.number]
        study.close()


def test_a_run_whose_clock_is_set_back_keeps_the_order_of_events(
    small_space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        back = timedelta()

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) - cls.back

    class SetBack(SilentProgress):
        def trial_finished(self, number: int, *others: Any) -> None:
            Clock.back = timedelta(hours=5 if number < 6 else -5 if number < 9 else 50)

    for module in (study, opening):
        monkeypatch.setattr(module, "datetime", Clock)
    with Store(tmp_path / "s.db") as store, Store(tmp_path / "whole.db") as whole:
        run(small_space, store=store, trials=12, progress=SetBack())
        run(small_space, store=store, trials=2, new=True)
        Clock.back = timedelta()
        run(small_space, store=whole, trials=12)
        assert outcome(store, "small") == outcome(whole, "small")
        records = store.trial_records("small")
        begun = [trial.started_at for trial in records]
        assert begun == sorted(begun)
        assert all(trial.started_at <= trial.finished_at for trial in records)
        assert max(begun) - min(begun) > timedelta(hours=4)
        first, second = map(store.study, ("small", "small-2"))
        assert second.created_at > max(first.created_at, *(trial.finished_at for trial in records))


def test_a_process_number_that_is_used_again_holds_no_lease(tmp_path: Path) -> None:
    host, process, started, _ = leases.new_owner().split(":")
    assert process == str(os.getpid())
    assert leases.is_void(f"{host}:{process}:{int(started) - 5}:x", 0.0)
    assert leases.is_void(f"{host}:4194999:1:x", 0.0)
    parent = os.getppid()
    assert not leases.is_void(f"{host}:{parent}:{leases._started(parent)}:x", 1e9)


@pytest.mark.long(12)
def test_a_stopped_training_continues_from_its_checkpoint(
    tmp_path: Path, small_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real trainings: a design that is stopped early and continued has the score of an uninterrupted training."""
    monkeypatch.setattr(study, "MAX_ASIDE", 1000)
    plain = SMALL_SPACE | {
        "architecture": SMALL_SPACE["architecture"] | {"channels": [4, 6, 8], "unit": "conv"},
        "proxy": {"data": str(small_photos), "steps": 16, "batch": 1, "patch": 8, "learning_rate": 0.01},
        "search": {"trials": 12, "seed": 3, "workers": 1, "sampler": "random"},
    }
    space = Space.from_dict(plain)
    store = Store(tmp_path / "s.db")
    result = run(space, store=store, trials=12, early_stopping=True)
    trials = store.trial_records(result.study)
    folders = list((tmp_path / "s.db.checkpoints").iterdir())
    done = store.trials(result.study)
    behind = pareto_front(done[~done["key"].isin(result.front["key"])], result.front.attrs["objectives"])
    front = {str(key)[:24] for key in (*result.front["key"], *behind["key"])}
    stopped = {str(trial.key)[:24] for trial in trials if trial.state == "stopped"}
    assert stopped
    assert {path.name.partition("-")[0] for path in folders[0].iterdir()} == front | stopped
    steps = {trial.number: [step for step, _ in trial.curve] for trial in trials if trial.curve}
    assert all(steps[trial.number] == [2, 4, 8, 16] for trial in trials if trial.state == "complete")
    assert all(steps[trial.number][-1] < 16 for trial in trials if trial.state == "stopped")
    whole = Store(tmp_path / "whole.db")
    run(space, store=whole, trials=1000)
    expected = {
        trial.key: (trial.psnr, trial.ssim, trial.curve)
        for trial in whole.trial_records("small")
        if trial.state == "complete"
    }
    again = run(space, store=store, trials=1000, early_stopping=True)
    assert again.exhausted
    ended = store.trial_records(result.study)
    assert {trial.state for trial in ended} <= {"complete", "infeasible", "repeated"}
    for trial in ended:
        if trial.state == "complete":
            assert (trial.psnr, trial.ssim, trial.curve) == expected[trial.key]


def test_replicates_reduce_the_standard_error_of_the_front(tmp_path: Path) -> None:
    space = Space.from_dict(WIDE_SPACE)
    store = Store(tmp_path / "s.db")
    result = run(space, store=store, trials=8, replicates=3)
    assert result.done == 8
    assert (result.front["seeds"] == 3).all()
    assert (result.front["psnr_sd"] > 0).all()
    trials = store.trial_records("small")
    for row in result.front.itertuples():
        again = [trial for trial in trials if row.trial in (trial.number, trial.replicate_of)]
        assert len({trial.seed for trial in again}) == 3
        assert row.psnr == pytest.approx(sum(trial.psnr or 0 for trial in again) / 3)
    # Nothing is left to do; and with more trials the search goes on as if there had been no replicates.
    assert len(store.trial_records("small")) == len(trials)
    assert run(space, store=store, trials=8, replicates=3).done == 8
    assert len(store.trial_records("small")) == len(trials)
    assert run(space, store=store, trials=10).done == 10


def test_longer_trainings_share_a_trunk_at_a_url(
    tmp_path: Path, small_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = {"data": str(small_photos), "steps": 10, "batch": 1, "patch": 8, "schedule": "wsd", "decay": 0.2}
    space = Space.from_dict(SMALL_SPACE | {"proxy": proxy})
    evaluator = ProxyEvaluator.from_space(space, None, device="cpu")
    with Store(tmp_path / "s.db") as store:
        record, _ = find_or_create(store, space, evaluator, Progress(), new=False, at_once=1)
        checkpoints = Checkpoints(store, record, f"file://{tmp_path / 'far'}")
    folder = Path(checkpoints.folder.removeprefix("file://"))
    steps: list[int] = []
    take = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda self, step: (steps.append(step), take(self, step)))
    design = space.sample(np.random.default_rng(0))
    short, long = (checkpoints.place(design.key, 3, length) for length in (None, 20))
    job = Job(0, 1, design.key, design.to_dict(), 3, short, waits=False)
    assert evaluated(evaluator, job, lambda step, psnr: True).score is not None
    steps.clear()
    longer = evaluator.at_length(20)
    outcome = evaluated(longer, replace(job, checkpoint=long), lambda step, psnr: True)
    assert steps == [*range(9, 21)]
    assert longer.steps_after(10) == len(steps)
    scratch = evaluated(longer, replace(job, checkpoint=None), lambda step, psnr: True)
    assert outcome.score is not None
    assert scratch.score is not None
    assert outcome.score.psnr == scratch.score.psnr
    names = {path.rpartition("/")[2] for path in (short, long)}
    trunk = f"{design.key[:24]}-3-trunk.pt"
    assert {path.name for path in folder.iterdir()} == {*names, trunk}
    (folder / f"{trunk}.part").touch()  # one that is being written
    (folder / "0123-3-trunk.pt").touch()
    checkpoints.keep(lambda: [long])
    assert {path.name for path in folder.iterdir()} == {Path(long).name, trunk, f"{trunk}.part"}


def test_a_checkpoint_at_a_url_is_whole_whatever_interrupts_its_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, local = tmp_path / "far" / "key-0.pt", tmp_path / "near"
    local.mkdir()
    with monkeypatch.context() as patch:

        def put_half(self: LocalFileSystem, source: str, to: str, **_: object) -> None:
            Path(to).write_bytes(Path(source).read_bytes()[:3])
            raise OSError("connection lost")

        copy = Kept(f"file://{target}", local)
        assert copy.path is not None
        copy.path.write_bytes(b"first")
        copy.send()
        patch.setattr(LocalFileSystem, "put_file", put_half)
        copy.path.write_bytes(b"second")
        copy.send()
        assert target.read_bytes() == b"first"
    copy.send()
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert target.read_bytes() == b"second"
