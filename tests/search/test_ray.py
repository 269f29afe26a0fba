"""Ray Tune on a real Ray: it makes the same decisions as a local run."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from srsearch.architecture import Architecture
from srsearch.errors import InputError, WorkError
from srsearch.search import Evaluator, Score, SyntheticEvaluator, run
from srsearch.search.evaluators.base import Report
from srsearch.search.progress import SilentProgress
from srsearch.search.session import Goal, Session
from srsearch.search.study import Study
from srsearch.space import Space
from srsearch.store import Store
from tests.conftest import CHECKOUT, SMALL_SPACE, Command
from tests.search.test_search import outcome
from tests.search.test_workers import scores_are_their_designs
from tests.support.evaluators import Changed, Homebound, Misbehaving

pytest.importorskip("ray", reason="Ray is an extra")

SPACE = SMALL_SPACE | {"search": {"trials": 8, "seed": 3, "workers": 1}}


@pytest.fixture(scope="module")
def ray_files() -> Iterator[Path]:
    """A Ray on this machine that several tests share, and the folder with all its files."""
    from srsearch.search.executors.ray_tune import connected

    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # with a short name: Ray has sockets in it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(folder))
        with connected(None, cpus=1, gpus=0):
            yield folder
    shutil.rmtree(folder)


@pytest.mark.long(15)
@pytest.mark.usefixtures("ray_files")
def test_ray_does_what_a_local_run_does(tmp_path: Path) -> None:
    space = Space.from_dict(SPACE)
    here, there = Store(tmp_path / "here.db"), Store(tmp_path / "there.db")
    options: dict[str, Any] = {"trials": 14, "sampler": "frontier", "early_stopping": True}
    run(space, store=here, **options)
    # In pieces, and the middle one on Ray: the study does not know who executes it.
    run(space, store=there, **options | {"trials": 5})
    result = run(space, store=there, backend="ray", **options | {"trials": 12})
    assert result.done == 12
    run(space, store=there, **options)
    assert outcome(here, "small") == outcome(there, "small")


def test_if_ray_is_missing_the_message_names_the_extra(tmp_path: Path) -> None:
    code = "import sys; sys.modules['ray'] = None\nfrom srsearch.cli import main; main(prog_name='srsearch')"
    (tmp_path / "small.yaml").write_text(Space.from_dict(SPACE).text)
    ended = subprocess.run(
        [sys.executable, "-c", code, "run", "small.yaml", "--backend", "ray"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "pip install 'srsearch[ray]'" in ended.stderr


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("no-such-host.invalid:6379", "no Ray cluster answers at no-such-host.invalid:6379"),
        ("somewhere", "is not HOST:PORT"),
        ("ray://127.0.0.1:10001", "cannot be run through a Ray client"),
    ],
)
def test_a_missing_cluster_is_noticed_before_anything_is_written(
    tmp_path: Path, srsearch: Command, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # the Ray of the other tests may run
    (tmp_path / "small.yaml").write_text(Space.from_dict(SPACE).text)
    ended = srsearch("run", "small.yaml", "--backend", "ray", "--address", address)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "studies").exists()


def test_an_address_that_is_not_a_ray_cluster_is_refused() -> None:
    from srsearch.search.executors.ray_tune import check_address

    with socket.create_server(("127.0.0.1", 0)) as other:

        def serve() -> None:
            with other.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
                connection.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(InputError, match="is not the head of a Ray cluster"):
            check_address(f"127.0.0.1:{other.getsockname()[1]}")


@pytest.mark.long(15)
@pytest.mark.usefixtures("ray_files")
def test_a_cluster_that_cannot_run_a_trial_is_refused_at_once_and_a_busy_one_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No node has room for a trial; or a worker cannot start, and the message names its node; or other runs use all."""
    import ray

    from srsearch.search.executors import ray_tune

    space = Space.from_dict(SPACE)
    with Store(tmp_path / "s.db") as store:
        for options, asked in (
            ({"cpus_per_trial": 4096}, "4096 CPUs and 0 GPUs"),
            ({"gpus_per_trial": 64}, "1 CPUs and 64 GPUs"),
        ):
            with pytest.raises(InputError, match=f"no node has room for a trial of {asked}; there are .* CPUs"):
                run(space, store=store, backend="ray", evaluator=SyntheticEvaluator(), **options)  # type: ignore[arg-type]
        with pytest.raises(WorkError, match=rf"on the node .*{socket.gethostname()}.* no photos in /data/photos"):
            run(space, store=store, backend="ray", evaluator=Homebound())
        with pytest.raises(WorkError, match=rf"on the node .*{socket.gethostname()}.* is another one here \(version\)"):
            run(space, store=store, backend="ray", evaluator=Changed())
        assert ray.is_initialized()

        monkeypatch.setattr(ray_tune, "_LOOK_SECONDS", 0.2)
        monkeypatch.setattr(ray_tune, "_detected", lambda device: {"device": device})
        others = ray.remote(num_cpus=int(ray.cluster_resources()["CPU"]))(lambda: time.sleep(1.5))
        told: list[str] = []
        others.remote()
        assert ray_tune.detected_runtime("auto", 1.0, None, told.append) == {"device": "cpu"}
        assert told == ["waiting for a node of the cluster with 1 CPUs and 0 GPUs free"]

        # The trial is still there, and is trained where the photos are.
        assert run(space, store=store, evaluator=Homebound.elsewhere()).done == 8


@pytest.mark.long(30)
def test_an_evaluator_that_misbehaves_does_on_ray_as_it_does_here(tmp_path: Path, ray_files: Path) -> None:
    (tmp_path / "ways").mkdir()
    ways = ["exit", "fork", "ctrl-c", "die", "segfault", "print", "killed", "grandchild", "late thread", "sleep"]
    evaluator = Misbehaving(tmp_path / "ways", ways)
    evaluator.keeps_checkpoints = True
    with Store(tmp_path / "s.db") as store:
        options: dict[str, Any] = {"evaluator": evaluator, "trials": 6, "workers": 1, "trial_timeout": 8}
        options["checkpoints"] = "memory://key:hunter2@bucket/folder"
        result = run(Space.from_dict(SPACE), store=store, backend="ray", **options)
        trials = store.trials(result.study)
        assert list(trials[trials["state"] == "failed"]["reason"]) == [
            "SystemExit: 3",
            "KeyboardInterrupt",
            "the trial took longer than its time limit of 8 s (--trial-timeout)",
        ]
        assert result.done == 6
        assert scores_are_their_designs(store, result.study)
        assert all(psnr != 99.0 for trial in store.trial_records(result.study) for _, psnr in trial.curve)
    written = [path for path in ray_files.rglob("*") if path.is_file()]
    assert any("experiment_state" in path.name for path in written)
    assert not any(b"hunter2" in path.read_bytes() for path in written)


class _Early(SyntheticEvaluator):
    """Scores that another attempt must not have."""

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        report(25, 99.0)
        return Score(99.0)


def test_a_second_attempt_takes_nothing_that_the_first_one_sends(tmp_path: Path) -> None:
    """The bridge to Tune, with evaluations in threads as in Ray's processes."""
    from srsearch.search.executors import ray_tune

    space, evaluator = Space.from_dict(SPACE), SyntheticEvaluator()
    controller: Any = None
    with Store(tmp_path / "s.db") as store:
        run(space, store=store, trials=1)
        study = Study(store, store.study("small"), space, evaluator)
        bridge = ray_tune._Bridge(Session(study, evaluator, SilentProgress(), Goal(2)), waits=False)
        searcher, scheduler = ray_tune._StudySearcher(bridge), ray_tune._StudyScheduler(bridge)

        def evaluated(name: str, evaluator: Evaluator, of: str) -> dict[str, Any]:
            """Evaluates a trial of Tune's; what it sends arrives as of another one."""
            thread = ray_tune._Evaluating(evaluator, jobs[name], None)
            thread.start()
            message: dict[str, Any] = {}
            while "end" not in message:
                message = thread.next()
                scheduler.on_trial_result(controller, SimpleNamespace(trial_id=of), message)  # type: ignore[arg-type]
            return message

        def begun(name: str) -> ray_tune.Job:
            suggested = searcher.suggest(name)
            assert suggested is not None
            return ray_tune.Job(**json.loads(suggested["job"]))

        jobs = {"first": begun("first")}
        searcher.on_trial_complete("first", error=True)
        jobs["second"] = begun("second")
        late = evaluated("first", _Early(), of="second")
        assert store.trial_records("small")[-1].curve == ()
        searcher.on_trial_complete("second", late)  # is begun again
        jobs["third"] = begun("third")
        searcher.on_trial_complete("third", evaluated("third", evaluator, of="third"))
        assert [(job.trial, job.attempt) for job in jobs.values()] == [(jobs["first"].trial, n) for n in (1, 2, 3)]
        assert study.done == 2
        assert scores_are_their_designs(store, "small")


def test_why_a_process_of_ray_died_names_the_node_and_memory() -> None:
    import ray
    from ray.core.generated.common_pb2 import ActorDiedErrorContext

    from srsearch.search.executors.ray_tune import _death

    detail = (  # of Ray 2.5x, for a process that Linux has killed
        "Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the "
        "process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the "
        "worker crashed unexpectedly due to SIGSEGV or another unexpected error."
    )
    context = ActorDiedErrorContext(
        class_name="ResourceTrainable",
        actor_id=bytes(16),
        pid=18462,
        ray_namespace="a2f1a1e8-5a55-4b6b-8f4f-0123456789ab",
        node_ip_address="10.0.0.7",
        error_message=f"The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker "
        f"exit detail: {detail}",
    )
    death = _death(ray.exceptions.ActorDiedError(context))
    assert death.startswith("on the node 10.0.0.7: Worker unexpectedly exits")
    assert "killed by the OOM killer due to high memory usage" in death


def test_the_documented_cluster_is_one_for_rays_launcher() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    plain = yaml.safe_load((CHECKOUT / "docs" / "ray-cluster.yaml").read_text())
    ready = prepare_config(plain)
    validate_config(ready)
    assert ready["available_node_types"]["worker"]["resources"]["GPU"] == 1
