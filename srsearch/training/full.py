"""Full training: from a design's first weights, or those of another network, to a model."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srsearch.errors import InputError, WorkError
from srsearch.evaluation import Quality, Runtime, bicubic_quality, evaluate
from srsearch.files import UNFINISHED
from srsearch.training.checkpoint import Checkpoint
from srsearch.training.processes import ALONE, Processes
from srsearch.training.recipe import Recipe
from srsearch.training.sets import TrainingSets
from srsearch.training.trainer import Trainer, TrainingFailed

_VALIDATIONS = 20
"""How often a training is validated, at equal distances."""

_VALIDATION_SHARE = 0.05
"""Largest share of the time for validations in a training that ends by time; more are left out."""

_CHECKPOINT_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Moment:
    """Where a training is.

    Attributes:
        step: Steps done.
        done: Share of the training that is done, 0 to 1.
        seconds: Time so far, with that before interruptions.
        loss: Loss of the last step.
        psnr: Mean PSNR in dB of the last validation; None before the first.
        learning_rate: Learning rate of the last step.
    """

    step: int
    done: float
    seconds: float
    loss: float
    psnr: float | None
    learning_rate: float = 0.0


@dataclass(frozen=True)
class Trained:
    """The result of a full training; the network has the final weights.

    Attributes:
        steps: Steps done.
        seconds: Duration with validation, including the time before interruptions.
        curve: (step, mean PSNR in dB over the scales) of each validation.
        quality: PSNR and SSIM on the validation images at the end, by scale.
        skipped: Images that turned out to be damaged, and why.
    """

    steps: int
    seconds: float
    curve: tuple[tuple[int, float], ...]
    quality: Mapping[int, Quality]
    skipped: Mapping[str, str]


def train(
    network: nn.Module,
    sets: TrainingSets,
    recipe: Recipe,
    runtime: Runtime,
    seed: int,
    *,
    checkpoint: Path,
    about: Mapping[str, Any],
    minutes: float | None = None,
    start: Mapping[str, Tensor] | None = None,
    processes: Processes = ALONE,
    on_step: Callable[[Moment], None] = lambda moment: None,
    on_validation: Callable[[Moment], None] = lambda moment: None,
) -> Trained:
    """Train a network in full. An interrupted training goes on from its checkpoint, on the CPU bit for bit.

    Args:
        network: The network, with its first weights.
        sets: Images, by scale; the batches take turns between the scales.
        recipe: The recipe.
        runtime: Device, precision and threads.
        seed: Seed of the patches.
        checkpoint: File that is written every minute and at each validation, whole or not at all, and read at the
            beginning if it is there. It is left there at the end.
        about: What identifies the training, as plain data; a checkpoint of another is refused.
        minutes: The training takes that long, whatever the recipe's number of steps; its schedule follows the time.
        start: Tensors to begin with instead of the network's own; those that do not fit are passed over.
        processes: The processes that train together.
        on_step: Called after each step.
        on_validation: Called after each validation, while the network has the weights that were validated; and once
            for a continued training, with a loss that is NaN.

    Raises:
        InputError: The checkpoint is damaged, or of another training.
        WorkError: The loss or the network's output is not finite, or a single patch does not fit the GPU's memory.
    """
    begun = time.perf_counter()
    saved = _checkpoint(checkpoint, about)
    # By default all GPUs are touched, by each of the processes that share them.
    gpus = [torch.cuda.current_device()] if runtime.device == "cuda" else []
    with runtime.applied(), torch.random.fork_rng(gpus):
        torch.manual_seed(seed)
        trainer = Trainer(network, sets.train, recipe, runtime, seed, processes, start=start)
        if saved is not None:
            trainer.restore(saved)
        earlier = 0.0 if saved is None else saved.seconds
        curve = [] if saved is None else list(saved.curve)
        written, written_at = trainer.done if saved is not None else None, time.perf_counter()

        def now(done: float) -> Moment:
            seconds = earlier + time.perf_counter() - begun
            psnr = curve[-1][1] if curve else None
            return Moment(trainer.done, done, seconds, trainer.loss, psnr, trainer.learning_rate)

        def share() -> float:
            if minutes is None:
                return trainer.done / recipe.steps
            seconds = earlier + time.perf_counter() - begun
            return min(1.0, processes.agreed(seconds, trainer.runtime.device) / (60 * minutes))

        done, measured = share(), 0.0
        if curve:
            on_validation(now(done))
        try:
            while done < 1:
                before = done
                trainer.step(trainer.done + 1, None if minutes is None else done)
                done = share()
                on_step(now(done))
                due = done < 1 and int(done * _VALIDATIONS) > int(before * _VALIDATIONS)
                if minutes is not None and measured > _VALIDATION_SHARE * now(done).seconds:
                    due = False
                if due and processes.first:
                    started = time.perf_counter()
                    with trainer.averaged():
                        quality = _validated(network, sets, trainer, with_ssim=False)
                        curve.append((trainer.done, _mean(quality)))
                        measured += time.perf_counter() - started
                        on_validation(now(done))
                if processes.first and (due or time.perf_counter() - written_at > _CHECKPOINT_SECONDS):
                    written_at = time.perf_counter()
                    if not trainer.is_finite():
                        raise TrainingFailed(f"the weights are not finite after step {trainer.done}")
                    state = trainer.whole_state(tuple(curve), now(done).seconds, None)
                    written = trainer.done if _saved(state, about, checkpoint, written) else written
            trainer.finish()
            quality = _validated(network, sets, trainer, with_ssim=True) if processes.first else {}
        except TrainingFailed as error:
            raise WorkError(f"{error}; {_last(checkpoint, written)}") from None
        except torch.OutOfMemoryError:
            raise WorkError("a single patch does not fit the GPU's memory; take smaller patches") from None
        if quality:
            curve.append((trainer.done, _mean(quality)))
            on_validation(now(1.0))
    return Trained(trainer.done, now(1.0).seconds, tuple(curve), quality, trainer.skipped)


def bicubic_psnr(sets: TrainingSets) -> float:
    """PSNR in dB of bicubic upscaling on the validation images: the mean over the scales, as in `Moment`."""
    return _mean({scale: bicubic_quality(pairs, scale, ssim=False) for scale, pairs in sets.validation.items()})


def fitting(network: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Which of a network's tensors another's can fill: their keys; and for each of the others, why not."""
    fits, misfits = [], []
    for key, tensor in network.state_dict().items():
        if key not in tensors:
            misfits.append(f"{key} (not there)")
        elif tensors[key].shape != tensor.shape:
            misfits.append(f"{key} ({list(tensors[key].shape)} there, {list(tensor.shape)} here)")
        else:
            fits.append(key)
    return fits, misfits


def _validated(network: nn.Module, sets: TrainingSets, trainer: Trainer, *, with_ssim: bool) -> dict[int, Quality]:
    try:
        return {
            scale: evaluate(network, pairs, scale, runtime=trainer.runtime, ssim=with_ssim)
            for scale, pairs in sets.validation.items()
        }
    except FloatingPointError as error:
        raise TrainingFailed(f"{error} after step {trainer.done}") from None


def _mean(quality: Mapping[int, Quality]) -> float:
    return sum(each.psnr for each in quality.values()) / len(quality)


def _checkpoint(path: Path, about: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint to go on from; None if there is none.

    Raises:
        InputError: It is damaged, or of another training; says what differs.
    """
    for unfinished in path.parent.glob(f"{path.name[:48]}.*{UNFINISHED}"):
        unfinished.unlink(missing_ok=True)  # a process was killed while it wrote
    if not path.exists():
        return None
    saved = Checkpoint.load(path)
    if saved is None:
        raise InputError(f"{path}: is damaged, or not a checkpoint; --restart begins from the first step")
    differences = _differences(saved.about, about)
    if differences:
        raise InputError(
            f"{path}: is the checkpoint of another training: {'; '.join(differences)}. Give another --out, or "
            "--restart to begin from the first step"
        )
    return saved


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], where: str = "") -> list[str]:
    """What differs between two nested mappings, as ``key: old -> new``."""
    told = []
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            told += _differences(before, after, f"{where}{key}.")
        elif before != after:
            told.append(f"{where}{key}: {before} -> {after}")
    return told


def _saved(state: Checkpoint, about: Mapping[str, Any], path: Path, before: int | None) -> bool:
    """Save a checkpoint. Returns whether it was written."""
    try:
        state.with_about(about).save(path)
    except OSError as error:
        kept = "there is none yet" if before is None else f"that of step {before} is kept"
        _log.warning(
            "the checkpoint %s of step %d cannot be written: %s; %s", path, state.step, error.strerror or error, kept
        )
        return False
    return True


def _last(path: Path, step: int | None) -> str:
    if step is None:
        return "there is no checkpoint yet; lower the learning rate"
    return f"the last good checkpoint is {path} of step {step}; lower the learning rate and start --from a model"
