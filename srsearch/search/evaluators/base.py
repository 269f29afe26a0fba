"""Evaluators: what a design is scored by. Proxy training by default; your own by subclassing `Evaluator`."""

from __future__ import annotations

import abc
import copy
import dataclasses
import hashlib
import importlib
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from srsearch.architecture import Architecture
from srsearch.cost import count
from srsearch.errors import InputError, nearest
from srsearch.search.evaluators.cores import Plan, measured_plan
from srsearch.space import Space

if TYPE_CHECKING:
    from srsearch.data import TrainingData


class Report(Protocol):
    """``report(step, psnr)`` while a design is evaluated; False says that the evaluation has to stop there.

    Attributes:
        checkpoint: Where an evaluator may keep what it needs to go on after that step, before it reports it; if there
            is a file, the evaluation was stopped or interrupted there. None: nowhere.
    """

    checkpoint: Path | None

    def __call__(self, step: int, psnr: float) -> bool:
        """Whether to go on."""


class EvaluationFailed(Exception):
    """A design could not be scored, such as training that gave NaN: the trial fails with this reason, nothing else."""


@dataclass(frozen=True)
class Score:
    """What an evaluation found.

    Attributes:
        psnr: Y-PSNR in dB over the validation photos.
        ssim: Y-SSIM, 0..1, or None where it was not measured.
        curve: (step, PSNR) pairs on the way.
        versions: What results depend on beside the recipe, by name.
        seconds: How long it took, also before an interruption; None: as long as the call.
    """

    psnr: float
    ssim: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    versions: Mapping[str, str] | None = None
    seconds: float | None = None


def checked_score(score: object) -> Score:
    """A score in plain finite numbers.

    Raises:
        EvaluationFailed: It is none.
    """
    if not isinstance(score, Score):
        raise EvaluationFailed(f"the evaluator gave {type(score).__name__}, not a Score")
    plain = Score(
        psnr=float(score.psnr),
        ssim=None if score.ssim is None else float(score.ssim),
        curve=tuple((int(step), float(psnr)) for step, psnr in score.curve),
        versions={str(name): str(value) for name, value in (score.versions or {}).items()},
        seconds=None if score.seconds is None else float(score.seconds),
    )
    for name, value in [("PSNR", plain.psnr), ("SSIM", plain.ssim), *(("PSNR", psnr) for _, psnr in plain.curve)]:
        if value is not None and not math.isfinite(value):
            raise EvaluationFailed(f"the evaluator gave {name} {value}")
    return plain


class Evaluator(abc.ABC):
    """Scores designs. Made in the main process, then sent (pickled) to every worker process.

    Subclass it to search by something else than proxy training, and name the class in the space
    (``proxy: {evaluator: "my_module:MyEvaluator"}``) or give an instance to `srsearch.run`. Scores are kept and used
    again by `recipe`, which names the class: put a version of your own there, to be raised when its scores change.

    Attributes:
        warnings: What the user should know of the data or the settings.
        keeps_checkpoints: Whether it goes on from ``report.checkpoint``: then designs that were stopped early may be
            continued.

    Example:
        >>> class Smallest(Evaluator):
        ...     def evaluate(self, design, seed, report):
        ...         return Score(psnr=30 - design.channels / 10)
    """

    warnings: Sequence[str] = ()
    keeps_checkpoints: bool = False

    @classmethod
    def from_space(cls, space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> Evaluator:
        """The evaluator for a space.

        Args:
            space: Its ``proxy`` section says how to evaluate.
            runtime: What `runtime` was when the study was created; None for a new study.
            device: ``auto``, ``cpu`` or ``cuda``; only for a new study.
        """
        return cls()

    @property
    def recipe(self) -> dict[str, Any]:
        """What scores depend on besides design, data and seed, as plain data: part of an evaluation's identity."""
        return {"evaluator": f"{type(self).__module__}:{type(self).__qualname__}"}

    @property
    def runtime(self) -> dict[str, Any]:
        """How it runs on this machine, chosen once for a study: part of an evaluation's identity, not of a study's."""
        return {}

    @property
    def data_fingerprint(self) -> str:
        """Identifies the data that scores are measured on, in at most 64 characters."""
        return "none"

    @property
    def data(self) -> dict[str, Any]:
        """The data, described for people, as plain data."""
        return {}

    @property
    def reference_psnr(self) -> float:
        """What costs nothing: the PSNR of bicubic upscaling, where the hypervolume starts."""
        return 0.0

    @property
    def steps(self) -> int | None:
        """The last step that is reported, for showing progress."""
        return None

    def plan(self, workers: int | None, say: Callable[[str], None]) -> Plan:
        """How a new study shares this machine, kept with the study; may change `runtime`.

        Args:
            workers: Worker processes, where the user has said so.
            say: Told before something takes time.
        """
        from srsearch.evaluation.runtime import usable_cores

        return Plan(workers or min(usable_cores(), 4), 1)

    def with_data(self) -> Evaluator:
        """The evaluator as it is sent to other machines, with the data it needs."""
        return self

    def check_machine(self) -> None:  # noqa: B027  (most evaluators run anywhere)
        """Whether this machine has what `runtime` demands, such as a GPU.

        Raises:
            InputError: It has not.
        """

    def prepare(self) -> None:  # noqa: B027  (most evaluators have nothing to prepare)
        """Called once in every worker before the first evaluation."""

    @abc.abstractmethod
    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        """Score one design. The same design and seed must give the same score.

        Raises:
            EvaluationFailed: It could not be scored; any other exception fails the trial as well.
        """


class ProxyEvaluator(Evaluator):
    """Short training on photos, then Y-PSNR and Y-SSIM on whole validation photos.

    Every worker computes with one thread, unless it was measured that more of them train much more on this machine.
    """

    keeps_checkpoints = True

    def __init__(self, space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> None:
        from srsearch.training import Recipe, Runtime

        settings = space.proxy.model_dump(exclude={"data", "evaluator"}, exclude_none=True)
        self._recipe = Recipe.from_dict(settings)
        # What a study demands may be on other machines than this one: see `check_machine`.
        self._runtime = Runtime.from_dict(runtime) if runtime else Runtime.detect(device=device, threads=1)
        self._source, self._scale = space.proxy.data, space.scale
        self._fingerprint: str | None = None
        self._data: TrainingData | None = None
        self._carries_data = False
        self._warnings: list[str] = []
        self.warnings = self._warnings

    @classmethod
    def from_space(cls, space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> Evaluator:
        return cls(space, runtime, device=device)

    def __getstate__(self) -> dict[str, Any]:
        # Workers read the photos themselves: quicker than sending them, and nothing large goes through a pipe.
        carried = self._data if self._carries_data else None
        return self.__dict__ | {"_data": carried, "_fingerprint": self.data_fingerprint}

    def with_data(self) -> Evaluator:
        carrying = copy.copy(self)
        carrying._data, carrying._carries_data = self._training_data, True
        return carrying

    def check_machine(self) -> None:
        from srsearch.evaluation import Runtime

        device = self._runtime.device
        try:
            Runtime.detect(device=device, threads=1)
        except InputError:
            raise InputError(
                f"the study computes on {device}, so that its results can be compared, and PyTorch finds no usable one "
                "here: continue it where there is one, or begin another study with --new and another --device"
            ) from None

    @property
    def recipe(self) -> dict[str, Any]:
        from srsearch.training import TRAINING_VERSION

        return {"evaluator": "proxy", "training_version": TRAINING_VERSION, **self._recipe.to_dict()}

    @property
    def runtime(self) -> dict[str, Any]:
        return self._runtime.to_dict()

    @property
    def data_fingerprint(self) -> str:
        return self._training_data.fingerprint

    @property
    def data(self) -> dict[str, Any]:
        return self._training_data.description

    @property
    def reference_psnr(self) -> float:
        from srsearch.evaluation import bicubic_quality

        return bicubic_quality(self._training_data.validation, self._scale).psnr

    @property
    def steps(self) -> int | None:
        return self._recipe.steps

    def plan(self, workers: int | None, say: Callable[[str], None]) -> Plan:
        from srsearch.evaluation.runtime import usable_cores

        if workers is not None:
            return Plan(workers, self._runtime.threads)
        plan = measured_plan(usable_cores(), self._runtime.device, say=say)
        self._runtime = dataclasses.replace(self._runtime, threads=plan.threads)
        return plan

    @property
    def _training_data(self) -> TrainingData:
        from srsearch.data import load_training_data

        if self._data is None:
            self._data = load_training_data(
                self._source, self._scale, patch=self._recipe.patch, warn=self._warnings.append
            )
        return self._data

    def prepare(self) -> None:
        import torch

        torch.set_num_threads(self._runtime.threads)
        self.check_machine()
        if self.data_fingerprint != self._fingerprint:
            raise RuntimeError(f"the photos in {self._source} have changed since the run began")

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        from srsearch.architecture import build
        from srsearch.training import TrainingFailed, train_proxy, versions

        try:
            network = build(design, seed=seed)
            kept = report.checkpoint
            result = train_proxy(network, self._training_data, self._recipe, self._runtime, seed, report, kept)
        except TrainingFailed as error:
            raise EvaluationFailed(str(error)) from None
        ssim = None if math.isnan(result.ssim) else result.ssim  # not measured where the training was stopped early
        return Score(result.psnr, ssim, result.curve, versions(), result.seconds)

    @property
    def validation_steps(self) -> tuple[int, ...]:
        """After which a design is validated."""
        return self._recipe.validation_steps

    def timed(self, design: Architecture, seconds: float) -> tuple[float, float]:
        """Seconds of one step of training and of one validation.

        Args:
            design: What to train.
            seconds: At most so long for the steps; a second is enough for a hundred.

        Raises:
            TrainingFailed: The loss is not finite.
        """
        from srsearch.architecture import build
        from srsearch.evaluation import evaluate
        from srsearch.training.proxy import Trainer

        network = build(design, seed=0)
        with self._runtime.applied():
            trainer = Trainer(network, self._training_data, self._recipe, self._runtime, 0)
            for _ in range(2):  # what happens once
                trainer.step(1)
            begun, steps = time.perf_counter(), 0
            while steps < 2 or time.perf_counter() - begun < (seconds if steps < 100 else 1.0):
                steps += 1
                trainer.step(1)  # which waits for the loss, on a GPU too
            per_step, begun = (time.perf_counter() - begun) / steps, time.perf_counter()
            evaluate(network, self._training_data.validation, self._scale, runtime=self._runtime, ssim=False)
            return per_step, time.perf_counter() - begun


class SyntheticEvaluator(Evaluator):
    """A stand-in without training: PSNR as a smooth function of the cost, with small effects of the parts and noise.

    For tests, for trying out a space, and for simulations. Its scores say nothing about real networks.

    Args:
        seconds: How long each evaluation pretends to take.
        noise: Standard deviation in dB between seeds.
    """

    RUNGS = (25, 50, 100)
    keeps_checkpoints = True

    def __init__(self, seconds: float = 0.0, noise: float = 0.03) -> None:
        self.seconds = seconds
        self.noise = noise

    @property
    def recipe(self) -> dict[str, Any]:
        return {"evaluator": "synthetic", "noise": self.noise}

    @property
    def reference_psnr(self) -> float:
        return 26.0

    @property
    def steps(self) -> int | None:
        return self.RUNGS[-1]

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        cost = count(design)
        final = 26 + 0.9 * math.log10(1 + cost.mult_adds / 2e8)
        for kind in ("unit", "block", "body", "upsampler"):
            digest = hashlib.sha256(str(getattr(design, kind)).encode()).digest()
            final += 0.05 * (digest[0] / 255 - 0.5)
        noise = np.random.default_rng([seed, int(design.key[:8], 16)])
        final += self.noise * float(noise.standard_normal())
        curve = []
        for step in self.RUNGS:
            time.sleep(self.seconds / len(self.RUNGS))
            curve.append((step, final - 0.8 * (1 - step / self.RUNGS[-1]) ** 2))
            if not report(*curve[-1]):
                break
        return Score(curve[-1][1], None, tuple(curve), {})


_EVALUATORS: dict[str, type[Evaluator]] = {"proxy": ProxyEvaluator, "synthetic": SyntheticEvaluator}


def evaluator_for(space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> Evaluator:
    """The evaluator that a space names; the arguments are those of `Evaluator.from_space`.

    Raises:
        InputError: No such evaluator, or it cannot be made for this space.
    """
    found = evaluator_type(space.proxy.evaluator)
    try:
        return found.from_space(space, runtime, device=device)
    except TypeError as error:
        raise InputError(
            f"evaluator {space.proxy.evaluator!r} cannot be made: {error}; see Evaluator.from_space"
        ) from None


def evaluator_type(name: str) -> type[Evaluator]:
    """``proxy``, ``synthetic``, or a class of the user's as ``module:Class``, importable from the working directory.

    Raises:
        InputError: No such evaluator.
    """
    if name in _EVALUATORS:
        return _EVALUATORS[name]
    module_name, colon, class_name = name.partition(":")
    if not colon:
        raise InputError(f"unknown evaluator {name!r}; {nearest(name, _EVALUATORS)}, or module:Class of your own")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # anything may go wrong in somebody's module
        raise InputError(f"evaluator {name!r} cannot be loaded: {error}") from None
    if not (isinstance(found, type) and issubclass(found, Evaluator)):
        raise InputError(f"evaluator {name!r} is not a subclass of srsearch.search.Evaluator")
    return found
