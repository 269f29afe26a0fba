"""Proxy training: the short training that scores a design in a search."""

from __future__ import annotations

import logging
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
        curve: (step, PSNR in dB) of each validation. Of a training that went on from the trunk of a shorter one,
            validations before the end of the trunk that the shorter one did not have are left out.
        seconds: Duration of training and validation together, including the time before an interruption and that of
            the trunk.
        steps: Steps done.
        stopped: Whether ``report`` ended the training early.
        begun: Steps that were done before, by an interrupted training or the trunk.
    """

    psnr: float
    ssim: float
    curve: tuple[tuple[int, float], ...]
    seconds: float
    steps: int
    stopped: bool
    begun: int = 0


def train_proxy(
    network: nn.Module,
    data: TrainingData,
    recipe: Recipe,
    runtime: Runtime,
    seed: int,
    report: Callable[[int, float], bool] | None = None,
    checkpoint: Path | None = None,
    trunk: Path | None = None,
) -> ProxyResult:
    """Train a network briefly and validate it on whole photos by the ``common`` protocol.

    On one machine, the same initial network, data, recipe, runtime and seed give the same numbers bit for bit, even if
    the training was interrupted and continued from its checkpoint, or went on from the trunk of a shorter training.

    With the schedule ``wsd``, trainings of one network at several lengths need not repeat each other: give all of them
    the same ``trunk``, and recipes that `Recipe.with_steps` makes from one. The state at the end of the stable phase
    is kept there, and a longer training goes on from it::

        for steps in (600, 2400, 9600):
            results[steps] = train_proxy(build(design, seed=0), data, recipe.with_steps(steps), runtime, 0, trunk=trunk)

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
            holds the trained weights. A checkpoint of a training of another length is not used. If it cannot be
            written, a warning is logged and the training goes on without.
        trunk: File with the longest stable phase of this network, recipe, data, runtime and seed so far. If it has no
            more steps than this training's stable phase, the training goes on from there; at the end of its own stable
            phase it writes the file. A trunk of another recipe, data, runtime or seed, or a damaged one, is not used
            but replaced. Not used by recipes without `Recipe.stable_steps`.

    Raises:
        TrainingFailed: The loss or the network's output is not finite.
    """
    start = time.perf_counter()
    validations = recipe.validation_steps
    with runtime.applied(), torch.random.fork_rng():
        torch.manual_seed(seed)
        trainer = Trainer(network, data.by_scale, recipe, runtime, seed)
        stem = _Trunk(trunk, recipe, data, runtime, seed)
        saved = stem.or_later(_checkpoint(checkpoint, recipe))
        if saved is not None:
            trainer.restore(saved)
        step, begun, ssim, earlier = trainer.done, trainer.done, math.nan, saved.seconds if saved else 0.0
        curve = list(saved.curve) if saved else []
        if saved is not None and saved.ssim is not None:
            ssim = saved.ssim
        going_on = not curve or report is None or report(*curve[-1])
        while going_on and step < recipe.steps:
            step += 1
            trainer.step(step)
            last, validated = step == recipe.steps, step in validations
            if validated:
                with trainer.averaged():
                    psnr, ssim = _validate(network, data, trainer.runtime, step, with_ssim=last)
                curve.append((step, psnr))
            seconds = earlier + time.perf_counter() - start
            if stem.ends_at(step):
                stem.save(trainer.whole_state(tuple(curve), seconds, None))
            if not validated:
                continue
            if last:
                trainer.finish()
            if checkpoint is not None:
                state = trainer.state(tuple(curve), seconds, ssim if last else None)
                checkpoint = _saved(state.with_about({"steps": recipe.steps}), checkpoint)
            going_on = report is None or report(*curve[-1])
    seconds = earlier + time.perf_counter() - start
    return ProxyResult(curve[-1][1], ssim, tuple(curve), seconds, step, stopped=step < recipe.steps, begun=begun)


class _Trunk:
    """The stable phase that trainings of several lengths have in common, as far as it was trained.

    Args:
        path: The file; None: none is kept.
    """

    def __init__(self, path: Path | None, recipe: Recipe, data: TrainingData, runtime: Runtime, seed: int) -> None:
        self._path = path if recipe.stable_steps else None
        self._recipe = recipe
        self._about: dict[str, Any] = {
            "recipe": recipe.trunk_identity(),
            "data": data.fingerprint,
            "runtime": runtime.to_dict(),
            "seed": seed,
        }
        state = Checkpoint.load(self._path) if self._path is not None else None
        self._state = state if state is not None and state.about == self._about else None

    def or_later(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """The state to go on from: that of the trunk, unless the training's own checkpoint is as far."""
        state = self._state
        if state is None or state.step > self._recipe.stable_steps:
            return checkpoint
        if checkpoint is not None and checkpoint.step >= state.step:
            return checkpoint
        return replace(state, curve=self._merged(checkpoint.curve if checkpoint else (), self._recipe.validation_steps))

    def ends_at(self, step: int) -> bool:
        """Whether this is the end of a stable phase that is longer than the one in the file."""
        ends = self._path is not None and step == self._recipe.stable_steps
        return ends and (self._state is None or self._state.step < step)

    def save(self, state: Checkpoint) -> None:
        """Save the state at the end of the stable phase, with all validations of it that are known."""
        assert self._path is not None
        _saved(replace(state, curve=self._merged(state.curve, None), about=self._about), self._path)

    def _merged(
        self, curve: tuple[tuple[int, float], ...], steps: tuple[int, ...] | None
    ) -> tuple[tuple[int, float], ...]:
        """The trunk's validations and others, ascending; only those after some steps, if these are given."""
        both = dict(self._state.curve if self._state else ()) | dict(curve)
        return tuple((step, both[step]) for step in sorted(both) if steps is None or step in steps)


def _checkpoint(path: Path | None, recipe: Recipe) -> Checkpoint | None:
    """The checkpoint of a training of this length; None if there is none."""
    saved = Checkpoint.load(path) if path is not None else None
    return saved if saved is None or saved.about.get("steps", recipe.steps) == recipe.steps else None


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
