"""The store on real files and a real PostgreSQL server: committed changes survive whatever happens."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine, create_engine, event

import srsearch
import srsearch.analysis
import srsearch.store.frames
from srsearch.errors import InputError, WorkError
from srsearch.store import (
    EvaluationRecord,
    Store,
    StudyRecord,
    TrainingPoint,
    TrainingRecord,
    TrialRecord,
    content_hash,
    schema,
    statements,
)
from srsearch.store.tables import Base
from srsearch.store.trainings import TrainingLog, trainings
from tests.support import many_trials
from tests.support.postgresql import server_or_skip
from tests.support.unprivileged import unprivileged

STUDY = StudyRecord(
    name="lightweight_x4",
    space={"constraints": {"mult_adds": {"max": "40G"}, "params": {"max": 800_000}}, "scale": 4},
    space_text="name: lightweight_x4\n# äöü\n",
    space_hash="5" * 64,
    scale=4,
    objectives=("psnr", "mult_adds"),
    sampler="tpe",
    seed=2**62,
    recipe={"steps": 300, "runtime": {"threads": 2}},
    data={"source": "builtin", "train": ["astronaut"], "validation": ["chelsea"]},
    data_fingerprint="d" * 64,
    reference={"psnr": 26.5, "mult_adds": 40e9},
    created_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
)


def proposal(number: int, state: Any = "running", **changes: Any) -> TrialRecord:
    """A trial with an architecture that no other trial has."""
    trial = TrialRecord(
        number=number,
        key=hashlib.sha256(str(number).encode()).hexdigest(),
        axes={"channels": 16 + 8 * (number % 3), "unit": "conv", "body.cascade.share": number % 2 == 0},
        state=state,
        description={"channels": 16 + 8 * (number % 3), "body": {"cascade": {"groups": 3}}, "number": number},
        params=100_000 + number,
        mult_adds=10**10 + number * 10**9,
        activations=2**40,
        sampler_state={"trial": {"tpe:relative_params": "{}"}},
        started_at=STUDY.created_at,
    )
    return replace(trial, **changes)


def evaluated(trial: TrialRecord, psnr: float = 28.0, **changes: Any) -> EvaluationRecord:
    """A finished training of a trial."""
    assert trial.key is not None
    record = EvaluationRecord(
        key=trial.key,
        recipe={"steps": 300},
        recipe_hash=content_hash({"steps": 300}),
        data_fingerprint=STUDY.data_fingerprint,
        seed=7,
        psnr=psnr,
        ssim=0.8125,
        curve=((100, 26.1), (300, psnr)),
        seconds=12.5,
        versions={"torch": "2.13.0"},
    )
    return replace(record, **changes)


def fill(store: Store, name: str = STUDY.name) -> None:
    """A study with trials 0 and 1 complete, 2 infeasible, 3 repeated, 4 failed, 5 running, 6 without a key."""
    store.create_study(replace(STUDY, name=name))
    trials = [proposal(number) for number in range(7)]
    trials[2] = replace(trials[2], state="infeasible", reason="43G Mult-Adds, 40G allowed", mult_adds=43 * 10**9)
    trials[3] = replace(trials[0], number=3, state="repeated", reason="trial 0 again")
    trials[5] = replace(trials[5], axes={**trials[5].axes, "unit": "bottleneck", "unit.bottleneck.reduction": 2})
    trials[6] = TrialRecord(6, None, {"channels": 17}, "infeasible", "17 channels cannot be grouped by 2")
    store.add_trials(name, trials)
    store.finish_trial(name, 0, evaluated(trials[0], 28.0))
    store.finish_trial(name, 1, evaluated(trials[1], 28.5))
    store.keep_curve(name, 4, [(100, 20.0)])
    store.fail_trial(name, 4, "loss is NaN at step 101 \x00\ud800 <script>alert('%s')</script>")
    store.keep_curve(name, 5, [(100, 23.0), (200, 24.0)])
    store.keep_curve(name, 5, [(100, 23.0), (200, 24.5)])


def in_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start Python in another process, with this module as ``tests`` and a store opened at the first argument."""
    folders = [str(Path(srsearch.__file__).parents[1])]
    prelude = "import itertools, os, random, signal, sys, time\nfrom tests.store.test_store import *\n"
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    """Wait for a process to succeed and return its output."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """All files with their modification time and a hash."""
    return {
        path.name: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in folder.iterdir()
    }


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="srsearch-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server for the tests, on a socket."""
    pytest.importorskip("psycopg")
    yield from (server.url for server in server_or_skip())


# One database


def check_round_trip(store: Store, reopened: Callable[[], Store]) -> None:
    """Everything is read as it was written, even through a new connection."""
    fill(store)
    with reopened() as again:
        assert again.study(STUDY.name) == STUDY
        assert again.study_names() == [STUDY.name]
        trials = again.trial_records(STUDY.name)
        assert [trial.number for trial in trials] == list(range(7))
        expected = replace(
            proposal(0),
            state="complete",
            psnr=28.0,
            ssim=0.8125,
            curve=((100, 26.1), (300, 28.0)),
            seconds=12.5,
            finished_at=trials[0].finished_at,
        )
        assert trials[0] == expected
        assert trials[0].finished_at is not None
        assert list(trials[0].axes) == list(expected.axes)
        assert trials[5].curve == ((100, 23.0), (200, 24.5))
        assert trials[5].finished_at is None
        assert trials[4].state == "failed"
        assert trials[4].curve == ((100, 20.0),)
        assert trials[4].reason == r"loss is NaN at step 101 \x00\ud800 <script>alert('%s')</script>"
        assert trials[6].key is None
        assert trials[6].description == {}
        check_changes(store, again, trials)
        assert trials[6].started_at is not None
        record = evaluated(proposal(1), 28.5)
        assert again.evaluation(record.key, record.recipe_hash, record.data_fingerprint, record.seed) == record
        assert again.evaluation(record.key, record.recipe_hash, record.data_fingerprint, 8) is None


def check_frames(store: Store) -> None:
    """The data frames have their columns, types and rows. Expects the study of `fill`."""
    frame = store.trials(STUDY.name)
    axes = ["channels", "unit", "body.cascade.share", "unit.bottleneck.reduction"]
    measures = ["psnr", "ssim", "seeds", "psnr_sd", "mult_adds", "params", "activations", "seconds", "cached"]
    measures.append("finished_at")
    assert list(frame.columns) == ["trial", "key", "state", "reason", *measures, *axes]
    assert frame.attrs["axes"] == axes
    assert [str(kind) for kind in frame.dtypes[axes]] == ["Int64", "string", "boolean", "Int64"]
    assert frame["unit.bottleneck.reduction"].isna().tolist() == [True] * 5 + [False, True]
    assert frame["psnr"].dtype == "Float64"
    assert frame["psnr"].isna().sum() == 5
    assert frame["activations"][0] == 2**40
    assert store.front(STUDY.name)["trial"].tolist() == [0, 1]
    assert store.front(STUDY.name, objectives=["psnr"])["trial"].tolist() == [1]
    pd.testing.assert_frame_equal(store.front(STUDY.name), srsearch.analysis.pareto_front(frame, STUDY.objectives))
    (study,) = store.studies().to_dict("records")
    assert study == {
        "name": STUDY.name,
        "scale": 4,
        "complete": 2,
        "stopped": 0,
        "failed": 1,
        "infeasible": 2,
        "best_psnr": 28.5,
        "created_at": pd.Timestamp(STUDY.created_at),
    }


def check_studies(store: Store) -> None:
    """Hostile names, renaming and deleting; evaluations outlive their study. Expects the study of `fill`."""
    hostile = [
        "'; DROP TABLE sr_studies; --",
        '"><script>alert(1)</script>',
        "100 % %s %(x)s :x",
        "Größe x4 日本語 🙂",
        "a/../b",
    ]
    for name in hostile:
        store.create_study(replace(STUDY, name=name))
        store.add_trials(name, [proposal(0, reason=name, axes={name: name, "psnr": 1})])
        assert store.study(name).name == name
        frame = store.trials(name)
        assert frame.attrs["axes"] == [name, "axes.psnr"]
        assert frame[name].tolist() == [name]
    assert store.study_names() == [STUDY.name, *hostile]
    with pytest.raises(InputError, match="already"):
        store.create_study(STUDY)
    with pytest.raises(InputError, match="already"):
        store.rename_study(STUDY.name, hostile[0])
    for bad in ("", " x", "a\nb", "x" * 201, "nul\x00"):
        with pytest.raises(InputError, match="cannot be a study's name"):
            store.create_study(replace(STUDY, name=bad))
    store.rename_study(STUDY.name, "renamed")
    assert len(store.trials("renamed")) == 7
    with pytest.raises(InputError, match="did you mean 'renamed'"):
        store.study("renamd")
    for name in ["renamed", *hostile]:
        store.delete_study(name)
    assert store.studies().empty
    assert store.study_names() == []
    with pytest.raises(InputError, match="has none yet"):
        store.trials("renamed")
    record = evaluated(proposal(0))
    assert store.evaluation(record.key, record.recipe_hash, record.data_fingerprint, record.seed) == record


def check_changes(store: Store, reading: Store, trials: list[TrialRecord]) -> None:
    """Reading changed trials gives the same as reading all. Leaves the study of `fill` as it was."""
    name = STUDY.name
    as_opened = {each.number: each for each in trials[:5]}
    then_running = {number: replace(each, state="running", psnr=None, curve=()) for number, each in as_opened.items()}
    known, new = trials[:5], [replace(each, description={}) for each in trials[5:]]
    assert reading.changed_trials(name, then_running, after=4) == known + new
    assert [reading.description(each.key or "") for each in trials] == [each.description for each in trials]
    assert reading.changed_trials(name, {5: trials[5]}, after=6) == [trials[5]]
    assert reading.changed_trials(name, {5: replace(trials[5], state="stopped")}, after=6) == [trials[5]]
    store.keep_curve(name, 5, [(100, 23.5)], cleared_step=100, stop=True)
    (stopped,) = reading.changed_trials(name, {5: trials[5]}, after=6)
    assert (
        stopped
        == reading.trial_records(name)[5]
        == replace(trials[5], state="stopped", curve=((100, 23.5),), cleared_step=100)
    )
    assert reading.changed_trials(name, {5: stopped}, after=6) == []
    assert store.take_up(name, stopped, "somebody")
    store.keep_curve(name, 5, trials[5].curve, cleared_step=0)
    store.release(name, "somebody")


def check_transactions(store: Store) -> None:
    """A change happens completely or not at all. Expects the study of `fill`."""
    before = store.trial_records(STUDY.name)
    with pytest.raises(WorkError, match="another process"):
        store.add_trials(STUDY.name, [proposal(7), proposal(5)])
    with pytest.raises(WorkError, match="trial 0 of study 'lightweight_x4' is complete, not running"):
        store.finish_trial(STUDY.name, 0, evaluated(proposal(0)))
    with pytest.raises(ValueError, match="architecture"):
        store.finish_trial(STUDY.name, 5, evaluated(proposal(1)))
    with pytest.raises(InputError, match="no trial 99"):
        store.fail_trial(STUDY.name, 99, "no such trial")
    with pytest.raises(ValueError, match="not finite"):
        evaluated(proposal(5), float("nan"))
    assert store.trial_records(STUDY.name) == before
    # Another study that comes to the same design finds the evaluation; the first one counts.
    store.create_study(replace(STUDY, name="second"))
    store.add_trials("second", [proposal(0)])
    store.finish_trial("second", 0, evaluated(proposal(0), 99.0), cached=True)
    (trial,) = store.trial_records("second")
    assert trial.cached
    assert trial.psnr == 28.0
    store.delete_study("second")


def test_a_store_in_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a #1 %20?.db"
    with Store(path) as store:
        check_round_trip(store, lambda: Store(path, read_only=True))
        check_frames(store)
        check_transactions(store)
        check_trainings(store, path)
        check_studies(store)


def test_a_store_in_postgresql(postgres: str, tmp_path: Path) -> None:
    processes = [in_python("Store(sys.argv[1]).close()", postgres) for _ in range(3)]
    for process in processes:
        finished(process)
    with Store(postgres) as store:
        assert "secret" not in store.where
        assert "***" in store.where
        check_round_trip(store, lambda: Store(postgres, read_only=True))
        check_frames(store)
        check_transactions(store)
        check_trainings(store, postgres)
        check_studies(store)
        with pytest.raises(InputError, match="reading only"):
            Store(postgres, read_only=True).create_study(STUDY)
        with Store(tmp_path / "laptop.db") as laptop:
            fill(laptop)
            laptop.copy_study(STUDY.name, store, name="copied")
            store.copy_study("copied", laptop)
            assert laptop.trial_records("copied") == laptop.trial_records(STUDY.name)
        check_migrated(postgres)


def check_trainings(store: Store, url: str | Path) -> None:
    """A training is found again by the next process that goes on with it, and keeps its curve up to the checkpoint."""
    told: list[str] = []
    design = proposal(0)
    record = TrainingRecord(
        "n", str(design.key), design.description, {"steps": 9}, "r", {}, "d", 2**40, "/m", STUDY.name, trial=0
    )
    for loss, state in ((0.5, "interrupted"), (0.25, "done")):
        log = TrainingLog(str(url), record, continued=state == "done", warn=told.append)
        for step in (3, 6) if state == "interrupted" else (6, 9):
            log.reached(step, step / 9, 2.0 * step)
            log.validated(TrainingPoint(step, 30.0 + step, loss, 2.0 * step), 28.0)
        log.end(state)  # type: ignore[arg-type]
    assert told == []
    (read,) = trainings(store, STUDY.name)
    assert (read.state, read.step, read.done, read.seed, read.trial) == ("done", 9, 1.0, 2**40, 0)
    assert [(point.step, point.loss) for point in read.curve] == [(3, 0.5), (6, 0.25), (9, 0.25)]
    assert read.bicubic == 28.0
    assert read.started_at is not None
    assert read.finished_at is not None
    # One that begins again ends the one before with the same file; what fails says why.
    TrainingLog(str(url), replace(record, seed=1), continued=False, warn=told.append).end("interrupted")
    TrainingLog(str(url), replace(record, study="gone"), continued=False, warn=told.append).end("failed", "a\0b")
    failed, before, _ = trainings(store)
    assert (failed.study, failed.trial, failed.state, failed.reason) == (None, None, "failed", "a\\x00b")
    assert (before.state, before.reason) == ("failed", "begun again from the first step")
    assert told == []


def test_a_store_in_memory() -> None:
    with Store("sqlite://") as store:
        fill(store)
        check_frames(store)


def check_migrated(url: str) -> None:
    """The migrations create the tables that the code declares."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == schema.REVISIONS[-1]
    engine.dispose()


def test_migrations_create_the_declared_tables(tmp_path: Path) -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    Store(tmp_path / "x.db").close()
    check_migrated(f"sqlite:///{tmp_path / 'x.db'}")
    config = Config()
    config.set_main_option("script_location", "srsearch.store:migrations")
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(revisions)) == schema.REVISIONS


def test_the_default_database_is_in_the_folder_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="run `srsearch run` first"):
        Store(read_only=True)
    assert list(tmp_path.iterdir()) == []
    with Store() as store:
        assert store.where == str(tmp_path / "studies" / "srsearch.db")
    with Store("sqlite:///studies/srsearch.db", read_only=True) as store:
        assert store.study_names() == []


# Several processes


def test_several_processes_open_and_write_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    code = """
name = sys.argv[2]
with Store(sys.argv[1]) as store:
    store.create_study(replace(STUDY, name=name))
    for number in range(40):
        store.add_trials(name, [proposal(number)])
        store.keep_curve(name, number, [(100, 25.0)])
        store.finish_trial(name, number, evaluated(proposal(number), seed=number % 2))
"""
    names = ["one", "two", "three"]
    for process in [in_python(code, str(path), name) for name in names]:
        finished(process)
    with Store(path, read_only=True) as store:
        assert sorted(store.study_names()) == sorted(names)
        for name in names:
            assert store.trials(name)["state"].tolist() == ["complete"] * 40
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM sr_evaluations").fetchone() == (40,)


def test_reading_works_while_writers_start_and_end(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    with Store(path) as store:
        store.create_study(STUDY)
    code = """
for number in range(60):
    with Store(sys.argv[1]) as store:
        store.add_trials(STUDY.name, [proposal(5 * number + step) for step in range(5)])
"""
    writer = in_python(code, str(path))
    seen = [0]
    with Store(path, read_only=True) as store:
        while writer.poll() is None:
            numbers = store.trials(STUDY.name)["trial"].tolist()
            assert numbers == list(range(len(numbers)))
            assert len(numbers) % 5 == 0
            seen.append(len(numbers))
        finished(writer)
        assert len(store.trials(STUDY.name)) == 300
    assert seen == sorted(seen)
    assert len(set(seen)) > 3


def test_fifty_kills_lose_nothing_finished(tmp_path: Path) -> None:
    """A writer is killed fifty times, mostly between BEGIN and the end of COMMIT."""
    path = tmp_path / "s.db"
    code = """
with Store(sys.argv[1]) as store:
    store.create_study(STUDY)
moments, told = random.Random(3), []
for _ in range(50):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        store = Store(sys.argv[1])
        for number in itertools.count(len(store.trial_records(STUDY.name))):
            store.add_trials(STUDY.name, [proposal(number)])
            store.finish_trial(STUDY.name, number, evaluated(proposal(number)))
            os.write(writing, f"{number}\\n".encode())
    os.close(writing)
    with os.fdopen(reading) as lines:
        told.append(int(lines.readline()))
        time.sleep(moments.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        told += [int(line) for line in lines.read().split()]
    os.waitpid(child, 0)
print(*told)
"""
    told = [int(number) for number in finished(in_python(code, str(path))).split()]
    with Store(path) as store:
        complete = {trial.number for trial in store.trial_records(STUDY.name) if trial.state == "complete"}
    assert set(told) <= complete
    assert len(told) >= 50
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_killed_writer_loses_nothing_committed(tmp_path: Path) -> None:
    path = tmp_path / "killed.db"
    code = """
store = Store(sys.argv[1])
store.create_study(STUDY)
for number in range(100_000):
    store.add_trials(STUDY.name, [proposal(number)])
    store.finish_trial(STUDY.name, number, evaluated(proposal(number)))
    print(number, flush=True)
"""
    writer = in_python(code, str(path))
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(25)]
    writer.kill()
    told += [int(line) for line in writer.stdout.read().split()]
    writer.communicate()
    log = Path(f"{path}-wal")
    assert log.stat().st_size > 0
    before = contents(tmp_path)
    with Store(path, read_only=True) as store:
        trials = store.trials(STUDY.name)
    after = contents(tmp_path)
    index = before.pop("killed.db-shm"), after.pop("killed.db-shm")
    assert before == after
    assert index
    complete = trials["state"].eq("complete").sum()
    assert complete >= len(told)
    assert trials["trial"].tolist() == list(range(len(trials)))
    # The database copied with its log but not the log's index, as backups do.
    copied = tmp_path / "copy"
    copied.mkdir()
    for file in (path, log):
        shutil.copy(file, copied)
    before = contents(copied)
    with Store(copied / path.name, read_only=True) as store:
        pd.testing.assert_frame_equal(store.trials(STUDY.name), trials)
    assert contents(copied) == before
    with Store(path) as store:
        store.add_trials(STUDY.name, [proposal(len(trials))])
        store.fail_trial(STUDY.name, len(trials), "going on")
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# What can be wrong with the database


def test_reading_changes_nothing_and_needs_no_permission(open_folder: Path) -> None:
    path = open_folder / "published.db"
    with Store(path) as store:
        fill(store)
    with Store(path) as writer:
        # While somebody is writing, and when nobody is.
        with Store(path, read_only=True) as store:
            check_frames(store)
        writer.close()
    path.chmod(0o444)
    open_folder.chmod(0o555)
    before = contents(open_folder)
    assert list(before) == ["published.db"]

    def read() -> list[int]:
        with Store(path, read_only=True) as store:
            store.trials(STUDY.name)
            return [int(number) for number in store.front(STUDY.name)["trial"]]

    assert unprivileged(read) == [0, 1]
    assert contents(open_folder) == before
    with Store(path, read_only=True) as store, pytest.raises(InputError, match="opened for reading only"):
        store.delete_study(STUDY.name)


def test_a_stale_log_is_read_in_a_read_only_folder(open_folder: Path) -> None:
    path = open_folder / "killed.db"
    code = "store = Store(sys.argv[1])\nfill(store)\nos.kill(os.getpid(), signal.SIGKILL)"
    killed = in_python(code, str(path))
    killed.communicate(timeout=60)
    assert killed.returncode == -9
    for file in open_folder.iterdir():
        file.chmod(0o444)
    open_folder.chmod(0o555)
    before = contents(open_folder)
    assert len(before) == 3

    def read() -> int:
        with Store(path, read_only=True) as store:
            return len(store.trials(STUDY.name))

    assert unprivileged(read) == 7
    assert contents(open_folder) == before


def test_read_only_files_and_folders_are_refused_for_writing(open_folder: Path) -> None:
    path = open_folder / "x.db"
    Store(path).close()
    path.chmod(0o444)
    for where, mode in (
        (path, 0o777),
        (path, 0o555),
        (open_folder / "new.db", 0o555),
        (open_folder / "a" / "b.db", 0o555),
    ):
        open_folder.chmod(mode)
        error = unprivileged(lambda where=where: Store(where))
        assert isinstance(error, InputError), error
        assert str(open_folder) in str(error)
        assert "read-only" in str(error) or "cannot make the folder" in str(error)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_not_a_database_is_refused(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("This is not a database, whatever its name may say. " * 100)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"notes\.txt is not a database"):
        Store(path, read_only=read_only)
    assert contents(tmp_path) == before
    with pytest.raises(InputError, match=r"cannot (open|read)"):
        Store(tmp_path, read_only=read_only)


def test_reading_an_empty_or_foreign_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(InputError, match="is empty"):
        Store(tmp_path / "empty.db", read_only=True)
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE studies (x)")
    with pytest.raises(InputError, match="holds no studies"):
        Store(tmp_path / "other.db", read_only=True)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_database_is_refused_and_not_changed(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "newer.db"
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE srsearch_version SET version_num = '9000'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"newer srsearch \(its tables are version 9000.*upgrade srsearch"):
        Store(path, read_only=read_only)
    assert path.read_bytes() == before


def _finish_many(store: Store, finished_ones: list[int]) -> None:
    for number in range(10_000):
        store.add_trials(STUDY.name, [proposal(number)])
        store.finish_trial(STUDY.name, number, evaluated(proposal(number)))
        finished_ones.append(number)


def test_a_full_disk_loses_nothing_and_the_store_keeps_working(tmp_path: Path) -> None:
    pages = 1_000_000

    def limit(connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(Engine, "checkout", limit)
    try:
        with Store(tmp_path / "full.db") as store:
            store.create_study(STUDY)
            pages = 1  # SQLite takes the present size for it: not a page more
            finished_ones: list[int] = []
            with pytest.raises(WorkError, match=r"disk is full.*Nothing that was finished is lost"):
                _finish_many(store, finished_ones)
            number = len(finished_ones)
            with Store(tmp_path / "full.db", read_only=True) as reader:
                done = reader.trials(STUDY.name)
            assert done["state"].eq("complete").sum() == number
            pages = 1_000_000
            if len(done) == number:
                store.add_trials(STUDY.name, [proposal(number)])
            store.finish_trial(STUDY.name, number, evaluated(proposal(number)))
            assert store.trials(STUDY.name)["state"].eq("complete").sum() == number + 1
    finally:
        event.remove(Engine, "checkout", limit)


def test_a_lock_that_is_never_released_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srsearch.store.sqlite.BUSY_SECONDS", 0.2)
    monkeypatch.setattr("srsearch.store.transactions.AWAY_SECONDS", 0.5)
    with Store(tmp_path / "locked.db") as store:
        store.create_study(STUDY)
        other = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WorkError, match="is locked by another process"):
            store.add_trials(STUDY.name, [proposal(0)])
        assert store.study_names() == [STUDY.name]
        other.execute("ROLLBACK")
        other.close()
        store.add_trials(STUDY.name, [proposal(0)])


@pytest.mark.parametrize("how", ["BEGIN IMMEDIATE", "PRAGMA locking_mode=EXCLUSIVE"])
def test_a_lock_is_waited_for_with_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """As that of a process which is stopped in its transaction, or of a database browser."""
    monkeypatch.setattr("srsearch.store.sqlite.BUSY_SECONDS", 0.2)
    path = tmp_path / "locked.db"
    said: list[str] = []
    with Store(path) as store:
        store.create_study(STUDY)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute(how)
    if how.startswith("PRAGMA"):
        other.execute("BEGIN EXCLUSIVE")
        other.execute("COMMIT")  # and keeps the lock until it is closed
    ending = threading.Timer(2.0, other.close)
    ending.start()
    with Store(path) as store:  # says it to the log
        store.say = said.append
        ending.join()
        again = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        again.execute("BEGIN IMMEDIATE")
        ending = threading.Timer(2.0, again.close)
        ending.start()
        store.add_trials(STUDY.name, [proposal(0)])
    assert len(said) == len(caplog.messages) == 1
    assert "is locked by another process" in said[0]
    assert "waiting up to 180 s for it" in caplog.messages[0]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "not a database URL"),
        ("postgresql://user:hunter2@host:port/x", "not a database URL"),
        ("postgress://user:hunter2@host/x", "unknown kind of database 'postgress'.*did you mean 'postgresql'"),
        ("mysql://user:hunter2@host/x", "needs the package"),
        ("postgresql+psycopg://user:hunter2@localhost:1/x?connect_timeout=2", "failed: "),
        ("sqlite:///x.db?mode=ro", "takes no options"),
    ],
)
def test_invalid_urls_are_refused(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        Store(url)
    assert "hunter2" not in str(raised.value)


# Import and speed


def test_reading_imports_no_slow_modules() -> None:
    code = """
import sys
import srsearch.store
print([name for name in ("torch", "optuna", "pandas", "alembic", "scipy", "plotly") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=_package_path())
    assert run.stdout == "[]\n"


def _package_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(srsearch.__file__).parents[1])}


def test_twenty_thousand_trials_are_read_fast() -> None:
    with Store("sqlite://") as store:
        store.create_study(STUDY)
        store.add_trials(STUDY.name, [proposal(number) for number in range(20_000)])
        frame = store.trials(STUDY.name)
        assert len(frame) == 20_000
        assert frame["channels"].dtype == "Int64"


# Optuna


@contextmanager
def exported(tmp_path: Path) -> Iterator[tuple[Any, str]]:
    """The exported study of `fill`, loaded by Optuna, and its database."""
    import optuna

    url = f"sqlite:///{tmp_path / 'optuna' / 'o.db'}"
    with Store(tmp_path / "ours.db") as store:
        fill(store)
        assert store.export_optuna(STUDY.name, url, choices={"unit": ["conv", "bottleneck"]}) == 5
        with pytest.raises(InputError, match=r"there is an Optuna study 'lightweight_x4'.*give another name"):
            store.export_optuna(STUDY.name, url)
        assert store.export_optuna(STUDY.name, url, name="again") == 5
        yield optuna.load_study(study_name=STUDY.name, storage=url), url


def test_optuna_reads_the_export(tmp_path: Path) -> None:
    from optuna.distributions import CategoricalDistribution, IntDistribution
    from optuna.study import StudyDirection

    with exported(tmp_path) as (study, _):
        assert study.directions == [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
        assert study.metric_names == ["psnr", "mult_adds"]
        trials = {trial.user_attrs["trial"]: trial for trial in study.trials}
        assert {number: trial.state.name for number, trial in trials.items()} == {
            0: "COMPLETE",
            1: "COMPLETE",
            2: "PRUNED",
            4: "FAIL",
            6: "PRUNED",
        }
        assert trials[1].values == [28.5, 11 * 10**9]
        assert trials[1].params == {"channels": 24, "unit": "conv", "body.cascade.share": False}
        # 16, 24, 32 of the grid and the 17 of an invalid proposal are not evenly spaced.
        assert trials[1].distributions["channels"] == CategoricalDistribution((16, 17, 24, 32))
        assert trials[1].distributions["unit"] == CategoricalDistribution(("conv", "bottleneck"))
        assert trials[1].intermediate_values == {100: 26.1, 300: 28.5}
        assert trials[1].user_attrs["description"]["number"] == 1
        assert trials[1].user_attrs["key"] == proposal(1).key
        assert trials[2].constraints["mult_adds.max"] == pytest.approx(0.075)
        assert trials[2].constraints["valid"] == 0
        assert trials[6].constraints["valid"] == 1
        assert all(value <= 0 for value in trials[1].constraints.values())
        assert trials[4].user_attrs["reason"].startswith("loss is NaN")
        assert {trial.user_attrs["trial"] for trial in study.best_trials} == {0, 1}
        assert trials[0].datetime_start == STUDY.created_at.astimezone().replace(tzinfo=None)
    from srsearch.store.optuna_export import _distribution

    assert _distribution([4, 2, 6]) == IntDistribution(2, 6, step=2)
    assert _distribution([3]) == IntDistribution(3, 3)
    assert _distribution([True, False]) == CategoricalDistribution((True, False))


def test_the_export_may_be_in_the_same_database(tmp_path: Path) -> None:
    import optuna

    with Store(tmp_path / "ours.db") as store:
        fill(store)
        store.export_optuna(STUDY.name, tmp_path / "ours.db")
        check_frames(store)
        study = optuna.load_study(study_name=STUDY.name, storage=f"sqlite:///{tmp_path / 'ours.db'}")
        assert len(study.trials) == 5
    with Store(tmp_path / "ours.db") as store:
        check_frames(store)


def test_optuna_dashboard_shows_the_export(tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    with exported(tmp_path) as (study, url):
        application = dashboard.wsgi(url)

        def get(path: str) -> Any:
            status: list[str] = []
            environment = {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": path,
                "SERVER_NAME": "localhost",
                "SERVER_PORT": "80",
                "wsgi.url_scheme": "http",
                "QUERY_STRING": "",
                "wsgi.input": io.BytesIO(),
                "wsgi.errors": sys.stderr,
            }
            body = b"".join(application(environment, lambda line, _headers, *_: status.append(line)))
            assert status[0].startswith("200"), body
            return json.loads(body)

        assert {each["study_name"] for each in get("/api/studies")["study_summaries"]} == {STUDY.name, "again"}
        detail = get(f"/api/studies/{study._study_id}")
        assert detail["objective_names"] == ["psnr", "mult_adds"] or detail["metric_names"] == ["psnr", "mult_adds"]
        infeasible = [trial for trial in detail["trials"] if max(trial["constraints"]) > 0]
        assert {trial["state"] for trial in infeasible} == {"Pruned"}
        assert len(infeasible) == 2


def test_no_statement_has_more_values_than_a_database_accepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def few(connection: sqlite3.Connection, _: object) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 100)

    with Store(tmp_path / "many.db") as store:
        many_trials.write(store, 300)
        objectives = ("psnr", "ssim", "mult_adds", "params", "activations")
        front = store.front("many", objectives=objectives)
    assert len(front) > 25
    monkeypatch.setattr(statements, "MOST_VALUES", 20)
    event.listen(Engine, "connect", few)
    try:
        with Store(tmp_path / "many.db", read_only=True) as store, Store(tmp_path / "copy.db") as copy:
            pd.testing.assert_frame_equal(store.front("many", objectives=objectives), front)
            assert store.copy_study("many", copy) == 300
            assert len(copy.trials("many")) == 300
    finally:
        event.remove(Engine, "connect", few)
