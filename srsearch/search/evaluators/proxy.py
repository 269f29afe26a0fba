"""The default evaluator: proxy training."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from srsearch.architecture import Architecture
from srsearch.errors import InputError
from srsearch.search.evaluators.base import EvaluationFailed, Evaluator, Report, Score
from srsearch.search.evaluators.cores import Plan, measured_plan
from srsearch.space import Space

if TYPE_CHECKING:
    from srsearch.data import TrainingData


class ProxyEvaluator(Evaluator):
    """Scores a design by a short training on photos, then Y-PSNR and Y-SSIM on whole validation photos.

    Designs with several scales are trained at all of them in turn, and scored at the scale of the space's budget.

    Every worker uses one thread, unless a measurement showed that more threads train much faster on this machine.
    """

    keeps_checkpoints = True

    def __init__(self, space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> None:
        from srsearch.training import Recipe, Runtime

        settings = space.proxy.model_dump(exclude={"data", "evaluator"}, exclude_none=True)
        self._recipe = Recipe.from_dict(settings)
        # The study's runtime may only exist on other machines; `check_machine` tests that.
        self._runtime = Runtime.from_dict(runtime) if runtime else Runtime.detect(device=device, threads=1)
        self._source, self._scale = space.proxy.data, space.scale
        self._trained = (space.scale,) if len(space.scales) == 1 else self._recipe.scales or space.scales
        self._fingerprint: str | None = None
        self._data: TrainingData | None = None
        self._carries_data = False
        self._warnings: list[str] = []
        self.warnings = self._warnings

    @classmethod
    def from_space(cls, space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> Evaluator:
        return cls(space, runtime, device=device)

    def __getstate__(self) -> dict[str, Any]:
        # Workers on this machine read the photos themselves, which is faster than sending them through a pipe.
        carried = self._data if self._carries_data else None
        return self.__dict__ | {"_data": carried, "_fingerprint": self.data_fingerprint}

    def with_data(self) -> Evaluator:
        carrying = copy.copy(self)
        carrying._data, carrying._carries_data = self._training_data, True
        return carrying

    def at_length(self, steps: int) -> ProxyEvaluator:
        """Return the evaluator with trainings of another length, by `Recipe.with_steps`.

        With the schedule ``wsd``, a longer training goes on from the end of the stable phase of the longest one so far
        of its design and seed. With any other, it begins at the first step.
        """
        other = copy.copy(self)
        other._recipe = self._recipe.with_steps(steps)
        return other

    def steps_after(self, shorter: int) -> int:
        return self._recipe.steps - self._recipe.with_steps(shorter).stable_steps

    def check_machine(self) -> None:
        from srsearch.evaluation import Runtime

        device = self._runtime.device
        try:
            Runtime.detect(device=device, threads=1)
        except InputError:
            raise InputError(
                f"this study's trainings run on {device}, so that its results are comparable, but PyTorch finds no "
                f"usable {device} here: continue the study on a machine that has one, or start a new study with --new "
                "and another --device"
            ) from None

    @property
    def recipe(self) -> dict[str, Any]:
        from srsearch.training import TRAINING_VERSION

        return {"evaluator": "proxy", "training_version": TRAINING_VERSION, **self._recipe.identity()}

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
                self._source,
                self._scale,
                patch=self._recipe.patch,
                warn=self._warnings.append,
                further=self._trained,
            )
        return self._data

    def prepare(self) -> None:
        import torch

        torch.set_num_threads(self._runtime.threads)
        self.check_machine()
        # Nothing is to be compared in the process that has read the photos, or in one that was forked from it.
        if self._fingerprint is not None and self.data_fingerprint != self._fingerprint:
            raise RuntimeError(f"the photos in {self._source} have changed since the run began")

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        from srsearch.architecture import build
        from srsearch.training import TrainingFailed, train_proxy, versions

        try:
            network = build(design, seed=seed)
            result = train_proxy(
                network,
                self._training_data,
                self._recipe,
                self._runtime,
                seed,
                report,
                report.checkpoint,
                report.trunk if self._recipe.stable_steps else None,
            )
        except TrainingFailed as error:
            raise EvaluationFailed(str(error)) from None
        ssim = None if math.isnan(result.ssim) else result.ssim  # not measured if the training was stopped early
        return Score(result.psnr, ssim, result.curve, versions(), result.seconds)

    @property
    def validation_steps(self) -> tuple[int, ...]:
        """The steps after which a design is validated."""
        return self._recipe.validation_steps

    def timed(self, design: Architecture, seconds: float) -> tuple[float, float]:
        """Measure the seconds of one training step and of one validation.

        Args:
            design: The design to train.
            seconds: Time limit for the steps; after a hundred steps, the limit is one second.

        Raises:
            TrainingFailed: The loss is not finite.
        """
        from srsearch.architecture import build
        from srsearch.evaluation import evaluate
        from srsearch.training.trainer import Trainer

        network = build(design, seed=0)
        with self._runtime.applied():
            trainer = Trainer(network, self._training_data.by_scale, self._recipe, self._runtime, 0)
            turns = len(self._trained)
            for step in range(max(2, turns)):  # warm-up
                trainer.step(1 + step % turns)
            begun, steps = time.perf_counter(), 0
            # Whole rounds through the scales, whose steps take different times.
            while steps < 2 or steps % turns or time.perf_counter() - begun < (seconds if steps < 100 else 1.0):
                trainer.step(1 + steps % turns)  # reads the loss, and so waits for the GPU
                steps += 1
            per_step, begun = (time.perf_counter() - begun) / steps, time.perf_counter()
            evaluate(network, self._training_data.validation, self._scale, runtime=self._runtime, ssim=False)
            return per_step, time.perf_counter() - begun
