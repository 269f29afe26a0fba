"""Ray Tune as an executor: one machine with several GPUs, or a cluster.

Tune runs what the study asks for. Its `Searcher` and its `TrialScheduler` are doors to the session that the local
executor drives, too: so a run on Ray makes the decisions that a local one makes for the same order of reports. Nothing
that matters is kept by Ray: a run that was interrupted goes on from the database, as any other.

Tune's own `OptunaSearch` is not used: with several objectives it drops what trials report on the way, tells trials that
were stopped early as complete, and leaves failed ones running in Optuna's study.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from srsearch.architecture import Architecture
from srsearch.errors import InputError, WorkError
from srsearch.search.evaluators import EvaluationFailed, Evaluator, Score, checked_score
from srsearch.search.events import Event, Failed, Finished, Reported, Stopped
from srsearch.search.local import describe
from srsearch.search.session import Session
from srsearch.search.study import Trial

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial as TuneTrial

_RETRIES = 2
"""How often a trial is begun again, from its last rung, after its process or its node died."""

_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "100000000",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


def run_ray(
    session: Session,
    evaluator: Evaluator,
    *,
    workers: int | None,
    cpus: float,
    gpus: float,
    address: str | None,
) -> None:
    """Executes a session with Ray Tune, until it is over.

    Args:
        session: What gives out trials, and keeps what comes back.
        evaluator: Put into Ray's object store once, with its data.
        workers: Trials at a time; None: as many as the cluster has room for.
        cpus: That each trial takes; parts of one are possible.
        gpus: Likewise.
        address: Of a cluster; None: Ray is started on this machine.

    Raises:
        InputError: The cluster cannot be reached, or has no room for a single trial.
        WorkError: Tune failed, or the session did.
    """
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    with _cluster(address, workers, cpus, gpus), session.interrupts, tempfile.TemporaryDirectory() as folder:
        _check_room(cpus, gpus)
        doors = _Doors(session)
        trainable = tune.with_resources(
            tune.with_parameters(Evaluation, evaluator=evaluator.with_data()), {"cpu": cpus, "gpu": gpus}
        )
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_Asking(doors),
                scheduler=_Deciding(doors),
                num_samples=-1,
                max_concurrent_trials=workers,
                reuse_actors=True,
                trial_name_creator=lambda trial: str(trial.trial_id),
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name="srsearch",
                storage_path=folder,
                verbose=0,
                stop=_Ending(doors),
                failure_config=tune.FailureConfig(max_failures=_RETRIES),
            ),
        )
        try:
            tuner.fit()
        except ray.exceptions.RayError as error:
            raise doors.trouble or WorkError(f"Ray failed: {describe(error)}") from None
        if doors.trouble is not None:
            raise doors.trouble


@contextlib.contextmanager
def _cluster(address: str | None, workers: int | None, cpus: float, gpus: float) -> Iterator[None]:
    """A connection to Ray, which is ended where it was made here."""
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "include_dashboard": False}
    try:
        if address is not None:
            del quiet["include_dashboard"]
            ray.init(address=address, **quiet)
        elif workers is not None:
            # As many as were asked for, however few cores there are: as the local executor does.
            needed = max(workers * cpus, os.cpu_count() or 1)
            ray.init(num_cpus=int(needed + 0.999), **quiet)
        else:
            ray.init(**quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        where = f"the Ray cluster at {address}" if address else "Ray on this machine"
        raise InputError(f"{where} cannot be reached: {describe(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_room(cpus: float, gpus: float) -> None:
    """Whether any node has room for a trial: Tune would wait for one for ever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        return
    most = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes) or "no nodes"
    raise InputError(f"no node has room for a trial of {cpus:g} CPUs and {gpus:g} GPUs; there are {most}")


class _Doors:
    """What Tune's parts share: the session, which trial of ours is which of Tune's, and what went wrong."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.trials: dict[str, Trial] = {}
        self.trouble: Exception | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune saves what it is given, for a restoring that is not needed here.
        return _Doors, (None,)

    def begin(self) -> Trial | None:
        trial: Trial | None = self._guarded(lambda: self.session.begin(len(self.trials)))
        return trial

    def handle(self, event: Event) -> bool:
        return bool(self._guarded(lambda: self.session.handle(event)))

    def _guarded(self, what: Any) -> Any:
        """What goes wrong ends the run, not Tune's loop in the middle."""
        if self.trouble is not None:
            return None
        try:
            return what()
        except (InputError, WorkError) as error:
            self.trouble = error
            return None


class _Asking(Searcher):
    """Tune asks, the study answers."""

    def __init__(self, doors: _Doors) -> None:
        super().__init__(metric="psnr", mode="max")
        self._doors = doors

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        doors = self._doors
        trial = doors.begin()
        if trial is None:
            finished = cast(dict[str, Any], Searcher.FINISHED)  # a word, whatever the annotation says
            return finished if doors.trouble or doors.session.over else None
        doors.trials[trial_id] = trial
        path = doors.session.checkpoint(trial)
        job = {
            "design": trial.design.to_dict(),
            "seed": trial.seed,
            "checkpoint": None if path is None else str(path.absolute()),
        }
        return {"job": json.dumps(job)}  # as text: Tune would make names of what is inside

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        trial = self._doors.trials.pop(trial_id, None)
        if trial is not None:
            self._doors.handle(_ended(trial, result or {}, error))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what there is to know is in the database."""

    def restore(self, checkpoint_path: str) -> None:
        """Likewise."""


def _ended(trial: Trial, result: Mapping[str, Any], error: bool) -> Event:
    if error:
        return Failed(0, trial, f"its process died {_RETRIES + 1} times (the system may have run out of memory)")
    if "end" not in result:
        return Stopped(0, trial)
    end = json.loads(result["end"])
    if "failed" in end:
        return Failed(0, trial, end["failed"])
    curve = tuple((int(step), float(psnr)) for step, psnr in end["score"]["curve"])
    return Finished(0, trial, Score(**end["score"] | {"curve": curve}), float(end["seconds"]))


class _Deciding(FIFOScheduler):
    """A trial reports, the study says whether it goes on."""

    def __init__(self, doors: _Doors) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._doors = doors

    def on_trial_result(self, tune_controller: TuneController, trial: TuneTrial, result: dict[str, Any]) -> str:
        ours = self._doors.trials.get(trial.trial_id)
        if ours is None or "step" not in result:
            return str(TrialScheduler.CONTINUE)
        going_on = self._doors.handle(Reported(0, ours, result["step"], result["psnr"]))
        return str(TrialScheduler.CONTINUE if going_on else TrialScheduler.STOP)


class _Ending(tune.Stopper):
    """Asked all the time: tells others that we are alive, and Tune when to give up what is running."""

    def __init__(self, doors: _Doors) -> None:
        self._doors = doors

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        session = self._doors.session
        session.beat()
        return session.interrupts.pending or self._doors.trouble is not None


class Evaluation(tune.Trainable):
    """A process of Ray's that evaluates one design after another.

    The evaluation runs in a thread of its own: it is a call that reports, and Tune wants a step between two reports.
    """

    def setup(self, config: dict[str, Any], evaluator: Evaluator | None = None) -> None:
        assert evaluator is not None
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # of the object store
        self._evaluator = evaluator
        self._thread: _Evaluating | None = None
        evaluator.prepare()
        self._begin(config)

    def step(self) -> dict[str, Any]:
        assert self._thread is not None
        return self._thread.next()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._end()
        self._begin(new_config)
        return True

    def cleanup(self) -> None:
        self._end()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the evaluator keeps what it needs itself."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Likewise."""

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._thread = _Evaluating(self._evaluator, **json.loads(config["job"]))
        self._thread.start()

    def _end(self) -> None:
        if self._thread is not None:
            self._thread.give_up()
            self._thread = None


class _Evaluating(threading.Thread):
    """One evaluation; itself what the evaluator reports to."""

    def __init__(self, evaluator: Evaluator, design: dict[str, Any], seed: int, checkpoint: str | None) -> None:
        super().__init__(daemon=True)
        self._evaluator, self._design, self._seed = evaluator, design, seed
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self._answers: queue.Queue[bool] = queue.Queue()
        self._asked = False

    def next(self) -> dict[str, Any]:
        """The next report, or the end."""
        if self._asked:
            self._answers.put(True)
        message = self._told.get()
        self._asked = "step" in message
        return message

    def give_up(self) -> None:
        """Ends it where it is: before its next report."""
        self._answers.put(False)
        self.join(timeout=60)

    def run(self) -> None:
        started = time.monotonic()
        try:
            score = checked_score(self._evaluator.evaluate(Architecture.from_dict(self._design), self._seed, self))
            seconds = time.monotonic() - started if score.seconds is None else score.seconds
            end: dict[str, Any] = {"score": asdict(score), "seconds": seconds}
        except EvaluationFailed as error:
            end = {"failed": str(error)}
        except Exception as error:  # anybody's code: whatever it raises fails this trial only
            end = {"failed": describe(error)}
        # As text: Tune makes names of what is inside.
        self._told.put({"end": json.dumps(end), "done": True})

    def __call__(self, step: int, psnr: float) -> bool:
        self._told.put({"step": int(step), "psnr": float(psnr)})
        return self._answers.get()
