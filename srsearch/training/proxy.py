"""Proxy training: the short training that scores a design in a search."""

from __future__ import annotations

import logging
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from srsearch._version import __version__
from srsearch.data import TrainingData
from srsearch.evaluation import Runtime, evaluate
from srsearch.training.checkpoint import Checkpoint
from srsearch.training.recipe import Recipe
from srsearch.training.trainer import Trainer, TrainingFailed

TRAINING_VERSION = 1
"""Increased whenever a change of the code changes a training's numbers; part of an evaluation's identity."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProxyResult:
    """The result of a proxy training.

    Attributes:
        psnr: Mean Y-PSNR in dB over the validation photos, at the last validation.
        ssim: Mean Y-SSIM, 0..1, at the last validation; NaN if the training was stopped early.
        curve: (step, PSNR in dB) of each validation.
        seconds: Duration of training and validation together, including the time before an interruption.
        steps: Steps done.
        stopped: Whether ``report`` ended the training early.
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
    checkpoint: Path | None = None,
) -> ProxyResult:
    """Train a network briefly and validate it on whole photos by the ``common`` protocol.

    On one machine, the same initial network, data, recipe, runtime and seed give the same numbers bit for bit, even if
    the training was interrupted and continued from its checkpoint.

    Args:
        network: Maps (n, c, h, w) to (n, c, scale * h, scale * w), where c is its ``in_channels``: 3 (or no such
            attribute) for RGB in 0..1, 1 for BT.601 luminance divided by 255. It is trained in place and moved to the
            runtime's device.
        data: Photos to train and to validate on. With several scales to train on, batches take turns.
        recipe: The training recipe.
        runtime: Device, precision and threads.
        seed: Seed of the patches, and of any randomness inside the network.
        report: Called with step and PSNR in dB at each validation; a continued training first repeats the call for the
            last validation before the interruption. If it returns False, the training ends there.
        checkpoint: File that is written before each report; if it exists, the training continues from it. At the end it
            holds the trained weights. If it cannot be written, a warning is logged and the training goes on without.

    Raises:
        TrainingFailed: The loss or the network's output is not finite.
    """
    start = time.perf_counter()
    validations = recipe.validation_steps
    with runtime.applied(), torch.random.fork_rng():
        torch.manual_seed(seed)
        trainer = Trainer(network, data.by_scale, recipe, runtime, seed)
        saved = Checkpoint.load(checkpoint) if checkpoint is not None else None
        if saved is not None:
            trainer.restore(saved)
        step, ssim, earlier = trainer.done, math.nan, saved.seconds if saved else 0.0
        curve = list(saved.curve) if saved else []
        if saved is not None and saved.ssim is not None:
            ssim = saved.ssim
        going_on = not curve or report is None or report(*curve[-1])
        while going_on and step < recipe.steps:
            step += 1
            trainer.step(step)
            if step not in validations:
                continue
            last = step == recipe.steps
            if last:
                trainer.finish()
            with trainer.averaged():
                psnr, ssim = _validate(network, data, trainer.runtime, step, with_ssim=last)
            curve.append((step, psnr))
            if checkpoint is not None:
                seconds = earlier + time.perf_counter() - start
                checkpoint = _saved(trainer.state(tuple(curve), seconds, ssim if last else None), checkpoint)
            going_on = report is None or report(step, psnr)
    seconds = earlier + time.perf_counter() - start
    return ProxyResult(curve[-1][1], ssim, tuple(curve), seconds, step, stopped=step < recipe.steps)


def _saved(state: Checkpoint, path: Path) -> Path | None:
    """Save a checkpoint; returns its path, or None if it cannot be written."""
    try:
        state.save(path)
    except OSError as error:
        _log.warning("the checkpoint %s cannot be written; the training goes on without it: %s", path, error)
        return None
    return path


def _validate(
    network: nn.Module, data: TrainingData, runtime: Runtime, step: int, *, with_ssim: bool
) -> tuple[float, float]:
    try:
        quality = evaluate(network, data.validation, data.scale, runtime=runtime, ssim=with_ssim)
    except FloatingPointError as error:
        raise TrainingFailed(f"{error} after step {step}") from error
    return quality.psnr, quality.ssim


def versions() -> dict[str, str]:
    """Return what a training's numbers depend on besides its recipe: versions of the software, and the processor."""
    capabilities = torch.cpu.get_capabilities()
    return {
        "srsearch": __version__,
        "training": str(TRAINING_VERSION),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "cpu": f"{capabilities.get('cpu_name', platform.machine())} {torch.backends.cpu.get_cpu_capability()}",
    }
