"""Ray Tune as an executor: one machine with several GPUs, or a cluster.

Tune runs what the study asks for. Its `Searcher` and its `TrialScheduler` are bridge to the session that the local
executor drives, too: so a run on Ray makes the decisions that a local one makes for the same order of reports. Nothing
that matters is kept by Ray: a run that was interrupted goes on from the database, as any other.

Tune's own `OptunaSearch` is not used: with several objectives it drops what trials report on the way, tells trials that
were stopped early as complete, and leaves failed ones running in Optuna's study.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import queue
import socket
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from srsearch.errors import InputError, WorkError
from srsearch.quantity import parse_natural
from srsearch.search.evaluators.base import Evaluator, Score
from srsearch.search.evaluators.plain import recipe_of
from srsearch.search.events import Broken, Event, Failed, Reported, Stopped
from srsearch.search.executors.base import event_of
from srsearch.search.executors.evaluation import Job, Outcome, evaluated, prepare, timeout_reason
from srsearch.search.processes import describe
from srsearch.search.session import Session
from srsearch.search.trial import Trial

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial as TuneTrial

_RETRIES = 2
"""How often a trial is restarted from its last rung after its process or node died."""

_CONNECT_SECONDS, _GREETING_SECONDS = 5.0, 30.0
"""Seconds that the head of a cluster may take to accept a connection, and then to say what it is."""

_LOOK_SECONDS = 10.0
"""Seconds between two looks at the nodes while none has room for a task."""

_LONGEST_DEATH = 300
"""Characters of what Ray says of a process that died."""

_OBJECT_BYTES = 512 * 1024**2
"""Bytes of Ray's object store when Ray is started here. Its default is a third of the machine's memory."""

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


class RayExecutor:
    """Evaluates trials with Ray Tune.

    Without an address Ray is started on this machine for the time of `execute`, and this machine answers `detect`,
    `room` and `check` as for local workers.

    Args:
        address: ``HOST:PORT`` of a running cluster, or ``auto``; None: Ray is started on this machine.
        cpus: CPUs that each trial takes; fractions are possible.
        gpus: GPUs that each trial takes; None: one if the study computes on GPUs, else none.
        trial_timeout: Seconds that a trial may take; None: as long as it takes.
    """

    def __init__(
        self, address: str | None, cpus: float, gpus: float | None, trial_timeout: float | None = None
    ) -> None:
        self._address, self._cpus, self._gpus, self._trial_timeout = address, cpus, gpus, trial_timeout
        self._connection = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._address is not None:
            self._connection.enter_context(connected(self._address, cpus=self._cpus, gpus=self._gpus or 0.0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def detect(self, device: str, say: Callable[[str], None]) -> dict[str, Any] | None:
        return None if self._address is None else detected_runtime(device, self._cpus, self._gpus, say)

    def room(self, runtime: Mapping[str, Any]) -> int | None:
        return None if self._address is None else room(self._cpus, self._gpus_of(runtime))

    def check(self, evaluator: Evaluator) -> None:
        if self._address is None:
            evaluator.check_machine()  # on a cluster each worker does, as this machine may be another kind

    def execute(self, session: Session, evaluator: Evaluator, workers: int, *, waits: bool) -> None:
        gpus = self._gpus_of(evaluator.runtime)
        with connected(self._address, cpus=self._cpus, gpus=gpus, least_cpus=math.ceil(workers * self._cpus)):
            bridge = _Bridge(session, waits, self._trial_timeout)
            _tune(bridge, evaluator, workers, self._cpus, gpus)

    def _gpus_of(self, runtime: Mapping[str, Any]) -> float:
        return float(runtime.get("device") == "cuda") if self._gpus is None else self._gpus


def _tune(bridge: _Bridge, evaluator: Evaluator, workers: int, cpus: float, gpus: float) -> None:
    """Let Tune evaluate what the session gives out, until it is over; the evaluator is sent with its data, once.

    Raises:
        WorkError: Ray failed, or the session did.
    """
    with bridge.session.interrupts, tempfile.TemporaryDirectory() as folder:
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the session reports errors
        trainable = tune.with_resources(
            tune.with_parameters(
                Evaluation,
                evaluator=evaluator.with_data(),
                recipe=recipe_of(evaluator),
                timeout=bridge.timeout,
                checkpoints=bridge.session.checkpoint_folder,
            ),
            {"cpu": cpus, "gpu": gpus},
        )
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_StudySearcher(bridge),
                scheduler=_StudyScheduler(bridge),
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
                stop=_StudyStopper(bridge),
                # By default Tune saves at the end of each trial, which takes time and fails on nodes that do
                # not see the folder.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            tuner.fit()
        except ray.exceptions.RayError as error:
            raise bridge.error or WorkError(f"Ray failed: {describe(error)}") from None
        if bridge.error is not None:
            raise bridge.error


@contextlib.contextmanager
def connected(address: str | None, *, cpus: float, gpus: float, least_cpus: int = 0) -> Iterator[None]:
    """A connection to Ray, which is ended where it was made here.

    Args:
        address: ``HOST:PORT`` of a cluster, or ``auto`` for the one that this machine is a node of; None: Ray is
            started on this machine.
        cpus: That a trial takes; parts of one are possible.
        gpus: GPUs that each trial takes.
        least_cpus: That Ray takes this machine for having, where it is started here: as many workers as were asked for
            run on it, however few cores there are, as with the local executor.

    Raises:
        InputError: The cluster does not answer, or has no room for a single trial.
    """
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    if ray.is_initialized():
        _check_room(cpus, gpus)
        yield
        return
    if address is not None:
        check_address(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is not None:
            ray.init(address=address, **quiet)
        else:
            cores = max(least_cpus, os.cpu_count() or 1)
            # Not one that happens to run here, which others may have started.
            ray.init(
                address="local", num_cpus=cores, include_dashboard=False, object_store_memory=_OBJECT_BYTES, **quiet
            )
    except Exception as error:  # Ray raises nearly anything, and `Exception` itself on a busy machine
        if address is None:
            raise InputError(f"Ray cannot be started on this machine: {describe(error)}") from None
        raise InputError(
            f"the Ray cluster at {address} cannot be joined: {describe(error)}. srsearch runs on a node of the cluster "
            "(make this machine one with `ray start --address`), with the same versions of Ray and Python as there; if "
            "`ray start --head` says that the cluster asks for a token, set RAY_AUTH_MODE=token"
        ) from None
    try:
        _check_room(cpus, gpus)
        yield
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """Check in seconds that the head of a Ray cluster answers at an address; Ray itself tries for minutes.

    Raises:
        InputError: It is no address, or nothing of that kind answers there.
    """
    if address in ("auto", "local"):
        return
    if address.startswith("ray://"):
        raise InputError(
            f"--address {address}: trials cannot be run through a Ray client. Start srsearch on a node of the cluster, "
            "with --address auto; `ray job submit` does that from elsewhere"
        )
    host, colon, port = address.rpartition(":")
    if not colon or not host or not 0 < (parse_natural(port) or 0) < 65536:
        raise InputError(f"--address {address!r} is not HOST:PORT, such as 10.0.0.1:6379, nor auto")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS) as connection:
            answers = _speaks_grpc(connection)
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise InputError(
            f"no Ray cluster answers at {address} ({why}): is it running (`ray status` on its head), and is this "
            "the address that `ray start --head` printed?"
        ) from None
    if not answers:
        raise InputError(f"what answers at {address} is not the head of a Ray cluster, whose port is 6379 as a rule")


def _speaks_grpc(connection: socket.socket) -> bool:
    """Whether the other side speaks HTTP/2, as a cluster's head does: its first frame is SETTINGS."""
    if os.environ.get("RAY_USE_TLS", "0") == "1":
        return True
    connection.settimeout(_GREETING_SECONDS)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
    answer = b""
    while len(answer) < 9 and (more := connection.recv(9 - len(answer))):
        answer += more
    return len(answer) == 9 and answer[3] == 4


def _nodes() -> list[dict[str, float]]:
    """The resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _check_room(cpus: float, gpus: float) -> None:
    """Check that some node has room for a trial; Tune would wait for one for ever."""
    nodes = _nodes()
    if any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        return
    most = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes) or "no nodes"
    raise InputError(
        f"no node has room for a trial of {cpus:g} CPUs and {gpus:g} GPUs; there are {most}: ask for less with "
        "--cpus-per-trial and --gpus-per-trial, or start nodes that have as much first"
    )


def room(cpus: float, gpus: float) -> int:
    """How many trials the nodes have room for at a time; at least one."""
    trials = 0
    for node in _nodes():
        fits = [node.get(name, 0) / each for name, each in (("CPU", cpus), ("GPU", gpus)) if each > 0]
        trials += int(min(fits, default=node.get("CPU", 1)) + 1e-6)
    return max(1, trials)


def detected_runtime(device: str, cpus: float, gpus: float | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Detect the runtime on a node of the cluster, because this machine may have no GPU.

    Other runs may use the whole cluster. Then this waits, as long as there are nodes that a trial fits on.

    Args:
        device: ``auto`` takes GPUs if any node has one.
        cpus: CPUs that a trial takes.
        gpus: GPUs that each trial takes; None: one where there are GPUs.
        say: Is told once that this waits.

    Raises:
        InputError: There are no nodes with that device.
        WorkError: Ray failed.
    """
    has_gpu = any(node.get("GPU", 0) > 0 for node in _nodes())
    if device == "auto":
        device = "cuda" if has_gpu and gpus != 0 else "cpu"
    wanted = 0.0 if device == "cpu" else 1.0 if gpus is None else gpus
    _check_room(cpus, wanted)
    task = ray.remote(num_cpus=cpus, num_gpus=wanted)(_detected).remote(device)
    told = False
    while True:
        try:
            runtime: dict[str, Any] = ray.get(task, timeout=_LOOK_SECONDS)
            return runtime
        except ray.exceptions.GetTimeoutError:
            _check_room(cpus, wanted)
            if not told:
                say(f"waiting for a node of the cluster with {cpus:g} CPUs and {wanted:g} GPUs free")
            told = True
        except ray.exceptions.RayTaskError as error:
            raise InputError(f"on a node of the cluster: {describe(error.cause)}") from None
        except ray.exceptions.RayError as error:
            raise WorkError(f"no node of the cluster could be asked for its device: {describe(error)}") from None


def _detected(device: str) -> dict[str, Any]:
    from srsearch.evaluation import Runtime

    return Runtime.detect(device, threads=1).to_dict()


class _Bridge:
    """What Tune's callbacks share: the session, the trials by Tune's id, and the first error."""

    def __init__(self, session: Session, waits: bool, timeout: float | None = None) -> None:
        self.session = session
        self.waits = waits
        self.timeout = timeout
        self.trials: dict[str, Trial] = {}
        self.jobs: dict[str, Job] = {}
        self.deaths: dict[str, str] = {}
        self.again: list[Trial] = []
        self._died: Counter[int] = Counter()
        self.error: Exception | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles what it is given, to restore it later. Nothing is restored here.
        return _Bridge, (None, False)

    def begin(self) -> Trial | None:
        trial: Trial | None = self._guarded(lambda: self.session.begin(len(self.trials)))
        return trial

    def handle(self, event: Event) -> bool:
        return bool(self._guarded(lambda: self.session.handle(event)))

    def job(self, trial: Trial) -> Job:
        """The trial as `Evaluation` receives it: with the name of its checkpoint only.

        Tune writes what it is told about a trial into files that others may read, and a URL may hold a password.
        """
        attempt, design = self._died[trial.number] + 1, trial.design
        checkpoint = self.session.checkpoint(trial)
        name = None if checkpoint is None else checkpoint.rpartition("/")[2]
        return Job(trial.number, attempt, design.key, design.to_dict(), trial.seed, name, self.waits, trial.steps)

    def lost(self, trial: Trial) -> bool:
        """Whether a trial is restarted from its checkpoint after its process or node died."""
        self._died[trial.number] += 1
        retried = self._died[trial.number] <= _RETRIES
        if retried:
            self.again.append(trial)
        return retried

    def _guarded(self, what: Any) -> Any:
        """Note an error, which ends the run, instead of raising it inside Tune's loop."""
        if self.error is not None:
            return None
        try:
            return what()
        except (InputError, WorkError) as error:
            self.error = error
            return None


class _StudySearcher(Searcher):
    """Gives Tune the trials that the study proposes."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__(metric="psnr", mode="max")
        self._bridge = bridge

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        bridge = self._bridge
        trial = bridge.again.pop(0) if bridge.again and not bridge.error else bridge.begin()
        if trial is None:
            finished = cast(dict[str, Any], Searcher.FINISHED)  # a word, whatever the annotation says
            return finished if bridge.error or (bridge.session.over and not bridge.trials) else None
        bridge.trials[trial_id], bridge.jobs[trial_id] = trial, bridge.job(trial)
        return {"job": json.dumps(asdict(bridge.jobs[trial_id]))}  # as text: Tune would make names of what is inside

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        bridge, result = self._bridge, result or {}
        trial, job = bridge.trials.pop(trial_id, None), bridge.jobs.pop(trial_id, None)
        if trial is None or job is None:
            return
        why = bridge.deaths.pop(trial_id, _death(None)) if error else None
        if not error and not _is_of(job, result):
            why = "it sent the result of another trial, or of an earlier attempt"
        if why is None or not bridge.lost(trial):
            bridge.handle(_ended(trial, result, why))

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: all state is in the database."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing."""


def _is_of(job: Job, message: Mapping[str, Any]) -> bool:
    """Whether a message is about the job. One that names no job has nothing of a trial in it."""
    return "of" not in message or tuple(json.loads(message["of"])) == job.identity


def _ended(trial: Trial, result: Mapping[str, Any], error: str | None) -> Event:
    if error is not None:
        return Failed(0, trial, f"its process died {_RETRIES + 1} times; the last time: {error}")
    if "end" not in result:
        return Stopped(0, trial)
    end = json.loads(result["end"])
    if end.get("broken") is not None:
        return Broken(0, trial, end["broken"])
    score: Score | None = None
    if end["score"] is not None:
        curve = tuple((int(step), float(psnr)) for step, psnr in end["score"]["curve"])
        score = Score(**end["score"] | {"curve": curve})
    return event_of(Outcome(score, float(end["seconds"]), end["failure"]), 0, trial)


class _StudyScheduler(FIFOScheduler):
    """Asks the study after each report whether the trial goes on."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bridge = bridge

    def on_trial_result(self, tune_controller: TuneController, trial: TuneTrial, result: dict[str, Any]) -> str:
        ours, job = self._bridge.trials.get(trial.trial_id), self._bridge.jobs.get(trial.trial_id)
        if ours is None or job is None or not _is_of(job, result):
            return str(TrialScheduler.CONTINUE)
        points = json.loads(result.get("points", "[]"))
        going_on = not points or self._bridge.handle(Reported(0, ours, points))
        return str(TrialScheduler.CONTINUE if going_on else TrialScheduler.STOP)

    def on_trial_error(self, tune_controller: TuneController, trial: TuneTrial) -> None:
        with contextlib.suppress(Exception):  # only for a message
            self._bridge.deaths[trial.trial_id] = _death(trial.get_pickled_error())


def _death(error: BaseException | None) -> str:
    """The reason why one of Ray's processes died, in one line."""
    if error is None:
        return "nobody knows why"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, ray.exceptions.RayTaskError):  # the whole traceback; its last line names the error
        return lines[-1][:_LONGEST_DEATH] if lines else type(error).__name__
    node = "".join(f"on the node {line[4:]}: " for line in lines if line.startswith("ip: "))
    _, _, detail = " ".join(lines).rpartition("Worker exit detail: ")  # before it are the ids of the actor
    return f"{node}{detail}"[:_LONGEST_DEATH] or type(error).__name__


class _StudyStopper(tune.Stopper):
    """Renews the leases, and tells Tune when to stop all trials. Tune calls it all the time."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        session = self._bridge.session
        session.beat()
        return session.interrupts.pending or self._bridge.error is not None


class Evaluation(tune.Trainable):
    """A process of Ray that evaluates one design after another.

    The evaluation runs in a thread of its own: it is a call that reports, and Tune wants a step between two reports.
    """

    def setup(
        self,
        config: dict[str, Any],
        evaluator: Evaluator | None = None,
        recipe: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        checkpoints: str | None = None,
    ) -> None:
        assert evaluator is not None
        assert recipe is not None
        self._timeout, self._checkpoints = timeout, checkpoints
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # of the object store
        self._evaluator = evaluator
        self._thread: _Evaluating | None = None
        self._broken: str | None = None
        try:
            prepare(evaluator, recipe)
        except BaseException as error:  # whatever is missing on this node
            self._broken = f"a worker on the node {_node()} could not start: {describe(error)}"
            return
        self._begin(config)

    def step(self) -> dict[str, Any]:
        if self._broken is not None:
            return {"end": json.dumps({"broken": self._broken}), "done": True}
        assert self._thread is not None
        return self._thread.next()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if not self._end():
            os._exit(1)  # a thread cannot be ended: the next trial is begun again in another process
        if self._broken is None:
            self._begin(new_config)
        return True

    def cleanup(self) -> None:
        self._end()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: the evaluator saves its own checkpoints."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Do nothing."""

    def _begin(self, config: Mapping[str, Any]) -> None:
        job = Job(**json.loads(config["job"]))
        if job.checkpoint is not None:
            job = replace(job, checkpoint=f"{self._checkpoints}/{job.checkpoint}")
        self._thread = _Evaluating(self._evaluator, job, self._timeout)
        self._thread.start()

    def _end(self) -> bool:
        """End the evaluation; returns whether it has ended."""
        thread, self._thread = self._thread, None
        return thread is None or thread.give_up()


def _node() -> str:
    return f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"  # type: ignore[no-untyped-call]


class _Evaluating(threading.Thread):
    """One evaluation in its own thread. Tune's steps read its reports."""

    def __init__(self, evaluator: Evaluator, job: Job, timeout: float | None) -> None:
        super().__init__(daemon=True)
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._evaluator, self._job = evaluator, job
        self._told: queue.Queue[tuple[int, float] | dict[str, Any]] = queue.Queue()
        self._answers: queue.Queue[bool] = queue.Queue()
        self._asked = self._given_up = self._late = False

    def next(self) -> dict[str, Any]:
        """Wait for a point or the end, and return everything reported since the last call."""
        if self._asked:
            self._answers.put(True)
        try:
            told = [self._told.get(timeout=self._seconds_left)]
        except queue.Empty:
            self._late = True
            told = [asdict(Outcome(failure=timeout_reason(self._timeout)))]
        with contextlib.suppress(queue.Empty):
            while True:
                told.append(self._told.get_nowait())
        points = [each for each in told if isinstance(each, tuple)]
        self._asked = self._job.waits and bool(points)
        # As text, because Tune would flatten it into names.
        message: dict[str, Any] = {"of": json.dumps(self._job.identity), "points": json.dumps(points)}
        if isinstance(told[-1], dict):
            message |= {"end": json.dumps(told[-1]), "done": True}
        return message

    def give_up(self) -> bool:
        """End it where it is, at its next report; returns whether it has ended."""
        self._given_up = True
        self._answers.put(False)
        self.join(timeout=0 if self._late else 60)
        return not self.is_alive()

    def run(self) -> None:
        outcome = evaluated(self._evaluator, self._job, self._tell)
        if outcome.broken is not None:
            outcome = Outcome(broken=f"on the node {_node()}: {outcome.broken}")
        self._told.put(asdict(outcome))

    @property
    def _seconds_left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _tell(self, step: int, psnr: float) -> bool:
        if self._given_up:
            return False
        self._told.put((step, psnr))
        if self._job.waits:
            self._given_up = not self._answers.get()
        return not self._given_up
