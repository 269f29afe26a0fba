"""The short training by which the search judges a design."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import srsearch
from srsearch.architecture.colour import luma
from srsearch.data import PatchSampler, TrainingData
from srsearch.evaluation import Runtime, evaluate, is_luminance
from srsearch.training.recipe import Recipe

TRAINING_VERSION = 1
"""Raised whenever the same training gives other numbers; part of an evaluation's identity."""

_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "l2": F.mse_loss}


class TrainingFailed(Exception):
    """A training gave nothing usable, such as a loss that is not a number. The message says at which step."""


@dataclass(frozen=True)
class ProxyResult:
    """What a proxy training found.

    Attributes:
        psnr: On the validation photos, in dB; of the last validation.
        ssim: Likewise; NaN if it was stopped early.
        curve: Step and PSNR of each validation.
        seconds: Of training and validation together.
        steps: Steps done.
        stopped: Whether ``report`` ended it early.
    """

    psnr: float
    ssim: float
    curve: tuple[tuple[int, float], ...]
    seconds: float
    steps: int
    stopped: bool


def train_proxy(
    network: nn.Module,
    data: TrainingData,
    recipe: Recipe,
    runtime: Runtime,
    seed: int,
    report: Callable[[int, float], bool] | None = None,
) -> ProxyResult:
    """Train a network briefly and validate it on whole photos by the ``common`` protocol.

    On one machine, the same initial network, data, recipe, runtime and seed give the same numbers, bit for bit.

    Args:
        network: (n, c, h, w) to (n, c, scale * h, scale * w), where c is its ``in_channels``: 3 (or no such attribute)
            for RGB in 0..1, 1 for BT.601 luminance over 255. Trained in place, moved to the runtime's device.
        data: Photos to train on and to validate with.
        recipe: What to do.
        runtime: Where and how to compute.
        seed: Of the patches, and of any randomness inside the network.
        report: Told step and PSNR at each validation; ``False`` ends the training there.

    Raises:
        TrainingFailed: The loss or the network's output is not finite.
    """
    start = time.perf_counter()
    validations = recipe.validation_steps
    curve: list[tuple[int, float]] = []
    with runtime.applied(), torch.random.fork_rng():
        torch.manual_seed(seed)
        trainer = Trainer(network, data, recipe, runtime, seed)
        for step in range(1, recipe.steps + 1):
            trainer.step(step)
            if step not in validations:
                continue
            last = step == recipe.steps
            psnr, ssim = _validate(network, data, runtime, step, with_ssim=last)
            curve.append((step, psnr))
            going_on = report is None or report(step, psnr)
            if last or not going_on:
                break
    return ProxyResult(psnr, ssim, tuple(curve), time.perf_counter() - start, step, stopped=not last)


class Trainer:
    """A network, its optimizer and its patches."""

    def __init__(self, network: nn.Module, data: TrainingData, recipe: Recipe, runtime: Runtime, seed: int) -> None:
        self._network = runtime.placed(network).train()
        self._luminance = is_luminance(network)
        self._recipe, self._runtime = recipe, runtime
        self._sampler = PatchSampler(data.train, recipe.patch, recipe.batch, data.scale, seed, runtime.device)
        self._loss = _LOSSES[recipe.loss]
        self._optimizer = torch.optim.Adam(network.parameters(), recipe.learning_rate, fused=True)

    def step(self, step: int) -> None:
        """One update of the weights; steps are counted from 1."""
        lr, hr = self._sampler.next()
        if self._luminance:
            lr, hr = luma(lr), luma(hr)
        with self._runtime.autocast():
            sr = self._network(self._runtime.placed(lr))
        loss = self._loss(sr.float(), self._runtime.placed(hr))
        if not math.isfinite(loss.item()):
            raise TrainingFailed(f"the loss is {loss.item()} at step {step} of {self._recipe.steps}")
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate_at(step)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()


def _validate(
    network: nn.Module, data: TrainingData, runtime: Runtime, step: int, *, with_ssim: bool
) -> tuple[float, float]:
    try:
        quality = evaluate(network, data.validation, data.scale, runtime=runtime, ssim=with_ssim)
    except FloatingPointError as error:
        raise TrainingFailed(f"{error} after step {step}") from error
    return quality.psnr, quality.ssim


def versions() -> dict[str, str]:
    """What else decides a training's numbers: versions of the software, and the processor."""
    capabilities = torch.cpu.get_capabilities()
    return {
        "srsearch": srsearch.__version__,
        "training": str(TRAINING_VERSION),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "cpu": f"{capabilities.get('cpu_name', platform.machine())} {torch.backends.cpu.get_cpu_capability()}",
    }
