"""`Recipe`: everything about a training that is neither network, data nor machine.

Losses and schedules are functions with a name: srsearch's, or your own (`srsearch.architecture.register`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from torch import Tensor
from torch.nn import functional as F

from srsearch.architecture.registry import LARGEST_INT
from srsearch.errors import InputError, suggest
from srsearch.extensions import extensions

Optimizer = Literal["adam"]

_OPTIMIZERS = ("adam",)
_VERSION_1 = frozenset({"steps", "batch", "patch", "learning_rate", "schedule", "optimizer", "loss", "rungs"})
"""The fields of the first version, which are always part of the identity."""

_BOUNDS = {"steps": (1, 10**8), "batch": (1, LARGEST_INT), "patch": (8, 4096)}
"""The smallest and the largest value, as in space files."""

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
            along cosines; ``constant``; or one of your own.
        optimizer: ``adam``.
        loss: ``l1``, ``l2``, or one of your own, on the network's output (RGB, or luminance).
        rungs: Shares of the steps, between 0 and 1, after which the network is validated and early stopping decides.
            Neither the schedule nor the result depends on them.

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

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"recipe: {name}: {value!r} is not a whole number of at least {least}")
            if value > most:
                raise InputError(f"recipe: {name} is above {most}")
        if not _is_number(self.learning_rate) or not 0 < self.learning_rate <= 1:
            raise InputError(f"recipe: learning_rate: {self.learning_rate!r} is not a number above 0 and at most 1")
        if self.optimizer not in _OPTIMIZERS:
            raise InputError(f"recipe: unknown optimizer {self.optimizer!r}: {suggest(self.optimizer, _OPTIMIZERS)}")
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

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data, for JSON."""
        return asdict(self) | {"rungs": list(self.rungs)}

    def identity(self) -> dict[str, Any]:
        """Return everything that a training's results depend on, as plain data for hashing.

        The fields of version 1 are always included. A later field is left out if it has its default, so that adding an
        option does not invalidate saved evaluations. A loss or schedule of your own adds the digest of its source.
        """
        plain = self.to_dict()
        later = {field.name: field.default for field in fields(self) if field.name not in _VERSION_1}
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
    def loss_function(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss function; it maps the network's images and the HR images, (n, c, h, w) each, to a scalar."""
        return _function("loss", self.loss)

    @property
    def validation_steps(self) -> tuple[int, ...]:
        """The steps after which the network is validated, ascending; the last is ``steps``."""
        return tuple(sorted({max(1, round(rung * self.steps)) for rung in self.rungs} | {self.steps}))

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 1: the schedule's value in the middle of the step."""
        return self.learning_rate * float(_function("schedule", self.schedule)((step - 0.5) / self.steps))


def _one_cycle(done: float) -> float:
    """Rises along a cosine from 0.1 to 1 during the warm-up, then falls along another to 0.001.

    Source: Smith, Topin: Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates (2017).
    """
    if done < _WARM_UP:
        return 0.55 - 0.45 * math.cos(math.pi * done / _WARM_UP)
    return 0.5005 + 0.4995 * math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))


_OURS: dict[str, dict[str, Callable[..., Any]]] = {
    "loss": {"l1": F.l1_loss, "l2": F.mse_loss},
    "schedule": {"one_cycle": _one_cycle, "constant": lambda done: 1.0},
}


def _function(kind: str, name: str) -> Callable[..., Any]:
    return _OURS[kind][name] if name in _OURS[kind] else extensions(kind)[name].function


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
