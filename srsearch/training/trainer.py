"""`Trainer`: trains a network step by step, in the search's short trainings and in full ones."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from srsearch.architecture import Network, upscale_bicubic
from srsearch.architecture.colour import luma
from srsearch.architecture.network import initialise
from srsearch.data import Pair, Photo, make_pair
from srsearch.data.cache import CachedPatchSampler
from srsearch.evaluation import Runtime, is_luminance
from srsearch.training.checkpoint import Checkpoint
from srsearch.training.processes import ALONE, Processes
from srsearch.training.recipe import Recipe

_log = logging.getLogger(__name__)


class TrainingFailed(Exception):
    """A training gave no usable network, for example because the loss was NaN. The message says at which step."""


class Trainer:
    """Trains a network step by step: holds the network, its optimizer and the patch samplers.

    Args:
        network: Maps (n, c, h, w) to (n, c, scale * h, scale * w); see `train_proxy`. It is trained in place and moved
            to the runtime's device.
        pairs: Pairs to train on, by scale. With several scales, batches take turns. The network is called with
            ``scale=`` if they are several, or if it has several.
        recipe: The training recipe.
        runtime: Device, precision and threads; the recipe may change precision and memory format.
        seed: Seed of the patches.
        processes: The processes that share each batch. Every one of them has a trainer with the same arguments.
        start: Tensors to begin with instead of those that are drawn; what does not fit is passed over.

    Attributes:
        done: Steps done.
        runtime: The runtime that the network is trained with.
        loss: Loss of the last step.
        skipped: Images that turned out to be damaged, and why.
    """

    def __init__(
        self,
        network: nn.Module,
        pairs: Mapping[int, Sequence[Pair]],
        recipe: Recipe,
        runtime: Runtime,
        seed: int,
        processes: Processes = ALONE,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.runtime = recipe.runtime(runtime)
        if recipe.initialisation != "uniform_1" and isinstance(network, Network):
            initialise(network, recipe.initialisation)
        own = network.state_dict()
        with torch.no_grad():
            for key, tensor in (start or {}).items():
                if key in own and own[key].shape == tensor.shape:
                    own[key].copy_(tensor)
        self._network = self.runtime.placed(network).train()
        self._luminance = is_luminance(network)
        self._recipe, self._processes = recipe, processes
        self._several = len(pairs) > 1 or len(getattr(network, "scales", ())) > 1
        self._all_levels = recipe.levels != "last" or bool(recipe.curriculum)
        if self._all_levels and not isinstance(network, Network):
            raise ValueError("a loss on levels needs a network with levels (srsearch.architecture.Network)")
        call: Any = network.outputs if self._all_levels and isinstance(network, Network) else network
        self._call = torch.compile(call) if recipe.compile else call
        self.skipped: dict[str, str] = {}
        self._images = len({pair.name for each in pairs.values() for pair in each})
        self._samplers = {
            scale: CachedPatchSampler(
                at_sizes(each, recipe.hr_scales, scale, recipe.patch),
                recipe.patch,
                recipe.batch,
                scale,
                seed,
                self.runtime.device,
                augmentation=recipe.augmentation,
                part=(processes.number, processes.count),
                skip=self._skip,
            )
            for scale, each in pairs.items()
        }
        self._optimizer = recipe.make_optimizer(network)
        self._weights: list[Tensor] = [each for each in network.parameters() if each.requires_grad]
        self._average = [each.detach().clone() for each in self._weights] if recipe.ema else []
        self._parts = 1
        self.done, self.loss = 0, math.nan

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def state(self, curve: tuple[tuple[int, float], ...], seconds: float, ssim: float | None) -> Checkpoint:
        """Return the state for `restore`; at the end of the training, the network's weights only."""
        network = self._network.state_dict()
        if self.done == self._recipe.steps:
            return Checkpoint(self.done, seconds, curve, network, ssim)
        return self.whole_state(curve, seconds, ssim)

    def whole_state(self, curve: tuple[tuple[int, float], ...], seconds: float, ssim: float | None) -> Checkpoint:
        """Return everything that `restore` needs to go on, whatever the number of steps."""
        states = [sampler.state for sampler in self._samplers.values()]
        return Checkpoint(
            self.done,
            seconds,
            curve,
            self._network.state_dict(),
            ssim,
            self._optimizer.state_dict(),
            states[0] if len(states) == 1 else torch.stack(states),
            torch.random.get_rng_state(),
            average=list(self._average),
        )

    def restore(self, state: Checkpoint) -> None:
        """Continue from the state of another trainer with the same network, recipe and seed."""
        self._network.load_state_dict(state.network)
        self.done = state.step
        if state.patches is not None and state.random is not None:
            self._optimizer.load_state_dict(state.optimizer)
            states = state.patches.reshape(len(self._samplers), -1)
            for sampler, each in zip(self._samplers.values(), states, strict=True):
                sampler.state = each.clone()  # torch reads the state from the start of its memory
            torch.random.set_rng_state(state.random)
            for mine, saved in zip(self._average, state.average, strict=True):
                mine.copy_(saved)

    def step(self, step: int, done: float | None = None) -> None:
        """Update the weights once.

        Args:
            step: The step's number, from 1.
            done: Share of the training that is done, 0 to 1; None: by the number of steps.

        Raises:
            TrainingFailed: The loss is not finite.
            torch.OutOfMemoryError: Not even a single patch fits the GPU's memory.
        """
        recipe = self._recipe
        scales = list(self._samplers)
        scale = scales[(step - 1) % len(scales)]
        lr, hr = self._samplers[scale].next()
        if self._luminance:
            lr, hr = luma(lr), luma(hr)
        share = (step - 0.5) / recipe.steps if done is None else done
        self._backward(lr, hr, scale, step, share)
        if recipe.clip_gradients:
            nn.utils.clip_grad_norm_(self._weights, recipe.clip_gradients)
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate_after(share)
        self._optimizer.step()
        if self._average:
            decay = min(recipe.ema, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(self._average, self._weights, 1 - decay)
        self.done = step

    def _skip(self, name: str, reason: str) -> None:
        if name not in self.skipped:  # its other scales say the same
            self.skipped[name] = reason
            _log.warning("skipped %s: %s; that makes %d of %d images", name, reason, len(self.skipped), self._images)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """While the context is open, the network has the averaged weights, if the recipe asks for an average."""
        if not self._average:
            yield
            return
        last = [each.detach().clone() for each in self._weights]
        self._set(self._average)
        try:
            yield
        finally:
            self._set(last)

    def finish(self) -> None:
        """Give the network the averaged weights for good, if the recipe asks for an average."""
        self._set(self._average)

    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(each.isfinite().all()) for each in self._weights)

    def _set(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for weight, value in zip(self._weights if values else [], values, strict=True):
                weight.copy_(value)

    def _backward(self, lr: Tensor, hr: Tensor, scale: int, step: int, done: float) -> None:
        """Compute the gradients of a batch. If the GPU's memory is too small, the batch goes through in parts."""
        while True:
            self._optimizer.zero_grad(set_to_none=True)
            try:
                total = self._gradients(lr, hr, scale, step, done)
                break
            except torch.OutOfMemoryError:
                if self._parts >= len(lr):
                    raise
                self._parts *= 2
            torch.cuda.empty_cache()
            _log.warning(
                "the GPU's memory is too small for a batch of %d patches: from step %d on it goes through the network "
                "in %d parts, with the same gradients",
                len(lr),
                step,
                self._parts,
            )
        self.loss = self._processes.sum_gradients(self._weights, total)
        if not math.isfinite(self.loss):
            raise TrainingFailed(f"the loss is {self.loss} at step {step} of {self._recipe.steps}")

    def _gradients(self, lr: Tensor, hr: Tensor, scale: int, step: int, done: float) -> float:
        """Add the gradients of a batch, part by part. Returns the loss of this process's share of the whole batch."""
        total = 0.0
        for small, large in zip(lr.chunk(self._parts), hr.chunk(self._parts), strict=True):
            loss = self._loss(small, large, scale, step, done)
            if len(small) < self._recipe.batch:
                loss = loss * (len(small) / self._recipe.batch)
            total += loss.item()
            if not math.isfinite(total):
                break  # all processes learn it when they sum
            loss.backward()  # type: ignore[no-untyped-call]
        return total

    def _loss(self, lr: Tensor, hr: Tensor, scale: int, step: int, done: float) -> Tensor:
        loss = self._recipe.loss_at(step, done)
        arguments = {"scale": scale} if self._several else {}
        with self.runtime.autocast():
            output: Any = self._call(self.runtime.placed(lr), **arguments)
        hr = self.runtime.placed(hr)
        if not self._all_levels:
            return loss(output.float(), hr)
        images = chosen_levels([each.float() for each in output], lr.shape[-1], self._recipe, done)
        return torch.stack([loss(each, shrunk(hr, each.shape[-1])) for each in images]).sum()


def chosen_levels(images: Sequence[Tensor], side: int, recipe: Recipe, done: float) -> list[Tensor]:
    """The outputs of a network with levels that the loss is computed on.

    Args:
        images: The output of each level.
        side: Width of the LR image.
        recipe: Its ``levels``, ``curriculum`` and ``fade`` decide.
        done: Share of the training that is done.
    """
    begins = [0.0, *recipe.curriculum]
    begins += [begins[-1]] * (len(images) - len(begins))
    active = [image for image, begin in zip(images, begins, strict=False) if done >= begin]
    if recipe.fade and len(active) > 1:
        begin = begins[len(active) - 1]
        share = min(1.0, (done - begin) / recipe.fade)
        if share < 1:
            before = active[-2]
            factor = active[-1].shape[-1] // before.shape[-1]
            active[-1] = share * active[-1] + (1 - share) * upscale_bicubic(before, factor)
    if recipe.levels == "all":
        return active
    chosen = [each for each in active if recipe.levels != "last" and each.shape[-1] // side in recipe.levels]
    return chosen or active[-1:]


def shrunk(hr: Tensor, side: int) -> Tensor:
    """HR patches (n, c, s, s) by bicubic downscaling, so that they have a width; themselves if they have it."""
    if hr.shape[-1] == side:
        return hr
    return F.interpolate(hr, size=(side, side), mode="bicubic", antialias=True)


def at_sizes(pairs: Sequence[Pair], sizes: Sequence[float], scale: int, patch: int) -> list[Pair]:
    """Pairs, and pairs of their HR images at other sizes that still hold a patch (CSRCNN's offline augmentation)."""
    added = []
    for size in sizes:
        for pair in pairs:
            height, width = (int(side * size) for side in pair.hr.shape[:2])
            if min(height, width) < patch * scale or pair.damage() is not None:
                continue
            resized = Image.fromarray(pair.hr).resize((width, height), Image.Resampling.BICUBIC)
            added.append(make_pair(Photo(f"{pair.name} x {size:g}", np.array(resized)), scale))
    return [*pairs, *added]
