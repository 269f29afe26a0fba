"""`Recipe`: everything about a training that is neither network, data nor machine.

Losses and schedules are functions with a name: srsearch's, or your own (`srsearch.architecture.register`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from srsearch.architecture.network import SCHEMES
from srsearch.architecture.registry import LARGEST_INT
from srsearch.errors import InputError, suggest
from srsearch.evaluation import Runtime
from srsearch.extensions import extensions

Optimizer = Literal["adam", "adamw", "sgd"]
Augmentation = Literal["dihedral", "flip", "none"]
RecipePrecision = Literal["auto", "bf16", "fp32"]
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]

_VERSION_1 = frozenset({"steps", "batch", "patch", "learning_rate", "schedule", "optimizer", "loss", "rungs"})
"""The fields of the first version, which are always part of the identity."""

_BOUNDS = {
    "steps": (1, 10**8),
    "batch": (1, LARGEST_INT),
    "patch": (8, 4096),
    "halve_every": (0, 10**8),
    "warm_up": (0, 10**8),
}
"""The smallest and the largest value, as in space files."""

_SHARES = {
    "alternate_from": 1.0,
    "fade": 1.0,
    "weight_decay": 1.0,
    "clip_gradients": 1e6,
    "charbonnier_epsilon": 1.0,
    "decay": 1.0,
}
"""Numbers from zero up to a limit."""

_BELOW_ONE = ("momentum", "ema")

_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adam", "adamw", "sgd"),
    "augmentation": ("dihedral", "flip", "none"),
    "initialisation": tuple(SCHEMES),
    "precision": ("auto", "bf16", "fp32"),
}

_LISTS = ("rungs", "halve_at", "hr_scales", "curriculum", "scales")

_WARM_UP = 0.15
"""Share of the steps during which one_cycle's learning rate rises."""


@dataclass(frozen=True)
class Recipe:
    """A training recipe.

    The defaults come from single runs of three x4 designs (4 to 19 G Mult-Adds), in dB on the built-in photos:
    200 steps of 8 patches of 32 pixels gave 27.53, 27.70, 27.59 at 1e-3 and 27.62, 27.75, 27.71 at 2e-3; 650 steps of
    4 patches of 24 pixels, in similar time, 27.69, 27.81, 27.79 at 2e-3 and 27.69, 27.77, 27.78 at 3e-3.

    Attributes:
        steps: Updates of the weights.
        batch: Patches per step.
        patch: Side of an LR patch in pixels.
        learning_rate: The optimizer's learning rate at the highest point of the schedule.
        schedule: ``one_cycle``, which rises from a tenth of the learning rate to all of it and falls to a thousandth,
            along cosines; ``constant``; ``cosine``, which falls to zero along half a cosine; ``halving``; ``wsd``
            (warm-up, stable, decay), which is constant until it falls to zero at the end, so that a longer training
            can go on from the end of the stable phase of a shorter one; or one of your own.
        optimizer: ``adam`` or ``adamw`` with beta 0.9 and 0.999, or ``sgd``.
        loss: ``l1``, ``l2``, ``charbonnier``, or one of your own, on the network's output (RGB, or luminance).
        rungs: Shares of the steps, between 0 and 1, after which the network is validated and early stopping decides.
            Neither the schedule nor the result depends on them.
        halve_at: The steps after which ``halving`` halves the learning rate.
        halve_every: The steps between two halvings; 0: none but those of ``halve_at``.
        warm_up: Steps during which the learning rate is raised linearly from zero, as a factor on the schedule.
        decay: Share of the steps at the end during which ``wsd`` lets the learning rate fall.
        momentum: Momentum of ``sgd``.
        weight_decay: Weight decay: added to the gradient, except with ``adamw``.
        clip_gradients: Largest norm of the gradient of all weights; 0: any.
        ema: Decay of a moving average of the weights, which is validated and kept instead of the last weights. It
            rises to this value during the first steps. 0: no average.
        charbonnier_epsilon: The constant e in the Charbonnier loss, the mean of sqrt(z^2 + e^2).
        alternate_from: Share of the steps after which L2 and L1 take turns as the loss; 1: never.
        levels: For networks with levels: ``last``, the loss is that of the last output; ``all``, the sum over the
            outputs of all levels; or the factors of the outputs, such as (2, 4). HR images of lower levels are made by
            bicubic downscaling.
        curriculum: Shares of the steps after which the second, third, ... level joins the training. Empty: all levels
            are trained from the beginning.
        fade: Share of the steps during which the output of a level that joins is faded in, from the upscaled output of
            the level before.
        initialisation: How the first weights are drawn, a name in `srsearch.architecture.network.SCHEMES`.
        augmentation: ``dihedral``, all eight flips and rotations; ``flip``, left to right; ``none``.
        hr_scales: Sizes, between 0 and 1, at which the HR photos are used besides their own.
        scales: Scales that the batches of a multi-scale design alternate between; empty: all of the design's.
        precision: ``bf16``, ``fp32``, or ``auto``, that of the runtime.
        channels_last: Whether channels may be innermost in memory.
        compile: Whether the network is compiled by ``torch.compile``.

    Raises:
        InputError: A value is out of range.
    """

    steps: int = 600
    batch: int = 4
    patch: int = 24
    learning_rate: float = 2e-3
    schedule: str = "one_cycle"
    optimizer: Optimizer = "adam"
    loss: str = "l1"
    rungs: tuple[float, ...] = (0.125, 0.25, 0.5)
    halve_at: tuple[int, ...] = ()
    halve_every: int = 0
    warm_up: int = 0
    decay: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_gradients: float = 0.0
    ema: float = 0.0
    charbonnier_epsilon: float = 1e-6
    alternate_from: float = 1.0
    levels: str | tuple[int, ...] = "last"
    curriculum: tuple[float, ...] = ()
    fade: float = 0.0
    initialisation: str = "uniform_1"
    augmentation: Augmentation = "dihedral"
    hr_scales: tuple[float, ...] = ()
    scales: tuple[int, ...] = ()
    precision: RecipePrecision = "auto"
    channels_last: bool = True
    compile: bool = False

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"recipe: {name}: {value!r} is not a whole number of at least {least}")
            if value > most:
                raise InputError(f"recipe: {name} is above {most}")
        if not _is_number(self.learning_rate) or not 0 < self.learning_rate <= 1:
            raise InputError(f"recipe: learning_rate: {self.learning_rate!r} is not a number above 0 and at most 1")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"recipe: unknown {name} {value!r}: {suggest(str(value), choices)}")
        for kind, ours in _OURS.items():
            name, own = getattr(self, kind), extensions(kind)
            for taken in ours.keys() & own.keys():
                raise InputError(f"recipe: srsearch already has a {kind} {taken!r}; register yours under another name")
            if name not in ours and name not in own:
                hint = suggest(str(name), [*ours, *own])
                raise InputError(f"recipe: unknown {kind} {name!r}: {hint} (load one of your own with --plugin FILE)")
        if not isinstance(self.rungs, list | tuple) or not all(
            _is_number(rung) and 0 < rung < 1 for rung in self.rungs
        ):
            raise InputError(f"recipe: rungs: {self.rungs!r} is not a list of numbers between 0 and 1")
        object.__setattr__(self, "rungs", tuple(sorted({float(rung) for rung in self.rungs})))
        self._check_later()

    def _check_later(self) -> None:
        """Check the fields that came after version 1."""
        for name, most in _SHARES.items():
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value <= most:
                raise InputError(f"recipe: {name}: {value!r} is not a number from 0 to {most:g}")
        for name in _BELOW_ONE:
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < 1:
                raise InputError(f"recipe: {name}: {value!r} is not a number from 0 to below 1")
        for name in ("channels_last", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"recipe: {name}: {getattr(self, name)!r} is not true or false")
        for name in _LISTS:
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or not all(_is_number(each) for each in value):
                raise InputError(f"recipe: {name}: {value!r} is not a list of numbers")
            object.__setattr__(self, name, tuple(value))
        for name in ("halve_at", "scales"):
            if not all(isinstance(each, int) and each >= 1 for each in getattr(self, name)):
                raise InputError(f"recipe: {name}: {list(getattr(self, name))!r} is not a list of whole numbers")
        if not all(0 < each < 1 for each in self.hr_scales):
            raise InputError(f"recipe: hr_scales: {list(self.hr_scales)!r} is not a list of numbers between 0 and 1")
        if not all(0 <= each <= 1 for each in self.curriculum) or list(self.curriculum) != sorted(self.curriculum):
            raise InputError(f"recipe: curriculum: {list(self.curriculum)!r} is not a list of ascending shares")
        if isinstance(self.levels, list | tuple):
            object.__setattr__(self, "levels", tuple(self.levels))
            if not self.levels or not all(isinstance(each, int) and each >= 2 for each in self.levels):
                raise InputError(f"recipe: levels: {list(self.levels)!r} is not a list of factors")
        elif self.levels not in ("last", "all"):
            raise InputError(f"recipe: levels: {self.levels!r} is not last, all or a list of factors")
        if self.loss == "charbonnier" and self.charbonnier_epsilon == 0:
            raise InputError("recipe: charbonnier_epsilon: must be above 0")
        halvings = bool(self.halve_at or self.halve_every)
        if (self.schedule == "halving") != halvings:
            raise InputError("recipe: the schedule halving and its steps, halve_at or halve_every, belong together")
        if self.schedule != "wsd" and self.decay != type(self).decay:
            raise InputError(f"recipe: decay: only the schedule wsd has a decay, not {self.schedule}")

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data, for JSON."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    def identity(self) -> dict[str, Any]:
        """Return everything that a training's results depend on, as plain data for hashing.

        The fields of version 1 are always included. A later field is left out if it has its default, so that adding an
        option does not invalidate saved evaluations. A loss or schedule of your own adds the digest of its source.
        """
        plain = self.to_dict()
        later = {field.name: _plain(field.default) for field in fields(self) if field.name not in _VERSION_1}
        plain = {name: value for name, value in plain.items() if name not in later or value != later[name]}
        own = {kind: extensions(kind).get(getattr(self, kind)) for kind in _OURS}
        digests = {kind: function.digest for kind, function in own.items() if function is not None}
        return plain | ({"digests": digests} if digests else {})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Make a recipe from what :meth:`to_dict` returns; missing fields have their defaults.

        Raises:
            InputError: A name is unknown or a value is wrong.
        """
        names = [field.name for field in fields(cls)]
        for name in values:
            if name not in names:
                raise InputError(f"recipe: unknown key {name!r}: {suggest(str(name), names)}")
        return cls(**values)

    @property
    def loss_function(self) -> Loss:
        """The loss function; it maps the network's images and the HR images, (n, c, h, w) each, to a scalar."""
        function = _function("loss", self.loss)
        if self.loss == "charbonnier":
            return lambda sr, hr: function(sr, hr, self.charbonnier_epsilon)
        return function

    def loss_at(self, step: int, done: float) -> Loss:
        """The loss function of a step, counted from 1, when that share of the training is done."""
        if done < self.alternate_from or self.alternate_from == 1:
            return self.loss_function
        return _function("loss", "l2" if step % 2 else "l1")

    def with_steps(self, steps: int) -> Recipe:
        """The recipe at another length.

        Everything that is counted in steps is stretched, except the warm-up of ``wsd``: trainings of all lengths have
        the same one, and their stable phases are the same training, as far as each of them goes.
        """
        ratio = steps / self.steps
        return replace(
            self,
            steps=steps,
            halve_at=tuple(max(1, round(each * ratio)) for each in self.halve_at),
            halve_every=max(1, round(self.halve_every * ratio)) if self.halve_every else 0,
            warm_up=self.warm_up if self.schedule == "wsd" else round(self.warm_up * ratio),
        )

    @property
    def stable_steps(self) -> int:
        """Steps of ``wsd`` before the decay, warm-up included.

        Trainings of all lengths have these steps in common, so a longer one can go on after them. 0 if there are none:
        with another schedule, and with options that are counted in shares of the steps.
        """
        if self.schedule != "wsd" or self.alternate_from < 1 or self.curriculum or self.fade:
            return 0
        return self.steps - round(self.decay * self.steps)

    def trunk_identity(self) -> dict[str, Any]:
        """Everything that the stable steps depend on, as plain data: `identity` without length, decay and rungs."""
        return {name: value for name, value in self.identity().items() if name not in ("steps", "decay", "rungs")}

    def runtime(self, runtime: Runtime) -> Runtime:
        """A runtime with the recipe's precision and memory format."""
        precision = runtime.precision if self.precision == "auto" else self.precision
        return replace(runtime, precision=precision, channels_last=runtime.channels_last and self.channels_last)

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of a network's weights."""
        weights = [each for each in network.parameters() if each.requires_grad]
        if self.optimizer == "sgd":
            # The fused SGD fails on weights that get their first gradient later than others, as levels that join do.
            return torch.optim.SGD(
                weights, self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay, foreach=True
            )
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return kind(weights, self.learning_rate, weight_decay=self.weight_decay, fused=True)

    @property
    def validation_steps(self) -> tuple[int, ...]:
        """The steps after which the network is validated, ascending; the last is ``steps``."""
        return tuple(sorted({max(1, round(rung * self.steps)) for rung in self.rungs} | {self.steps}))

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 1: the schedule's value in the middle of the step."""
        return self.learning_rate_after((step - 0.5) / self.steps)

    def learning_rate_after(self, done: float) -> float:
        """Return the learning rate when a share of the training, 0 to 1, is done."""
        step = done * self.steps
        if self.schedule == "wsd":
            step = round(step, 6)  # to the last bit the same step at every length
            rate = self.learning_rate * _decayed(step, self.steps, round(self.decay * self.steps))
        elif self.schedule == "halving":
            halvings = sum(step >= each for each in self.halve_at)
            halvings += int(step // self.halve_every) if self.halve_every else 0
            rate = self.learning_rate * 0.5**halvings
        else:
            rate = self.learning_rate * float(_function("schedule", self.schedule)(done))
        return rate * min(1.0, step / self.warm_up) if self.warm_up else rate


def _one_cycle(done: float) -> float:
    """Rises along a cosine from 0.1 to 1 during the warm-up, then falls along another to 0.001.

    Source: Smith, Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates (2017).
    """
    if done < _WARM_UP:
        return 0.55 - 0.45 * math.cos(math.pi * done / _WARM_UP)
    return 0.5005 + 0.4995 * math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))


def _decayed(step: float, steps: int, decay: int) -> float:
    """1 until the last ``decay`` steps, then 1 - sqrt(x), where x is the share of the decay that is done.

    Source: Hu et al.: MiniCPM (2024), for the schedule; Hagele et al.: Scaling Laws and Compute-Optimal Training Beyond
    Fixed Training Durations (2024), for the shape of the decay.
    """
    into = step - (steps - decay)
    return 1.0 if into <= 0 else 1 - math.sqrt(min(1.0, into / decay))


def _charbonnier(sr: Tensor, hr: Tensor, epsilon: float) -> Tensor:
    """The mean of sqrt(z^2 + e^2), a differentiable L1. Source: the ProSRN paper, Eq. 2."""
    return ((sr - hr).square() + epsilon**2).sqrt().mean()


_OURS: dict[str, dict[str, Callable[..., Any]]] = {
    "loss": {"l1": F.l1_loss, "l2": F.mse_loss, "charbonnier": _charbonnier},
    "schedule": {
        "one_cycle": _one_cycle,
        "constant": lambda done: 1.0,
        "cosine": lambda done: 0.5 + 0.5 * math.cos(math.pi * min(done, 1)),
        "halving": lambda done: 1.0,  # the halvings are counted in steps
        "wsd": lambda done: 1.0,  # so is the decay
    },
}


def _function(kind: str, name: str) -> Callable[..., Any]:
    return _OURS[kind][name] if name in _OURS[kind] else extensions(kind)[name].function


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
