"""What a training does, apart from the network, the data and the machine. A recipe never changes the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from srsearch.errors import InputError, suggest

Schedule = Literal["one_cycle", "constant"]
Loss = Literal["l1", "l2"]
Optimizer = Literal["adam"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "schedule": ("one_cycle", "constant"),
    "optimizer": ("adam",),
    "loss": ("l1", "l2"),
}
_LEAST = {"steps": 1, "batch": 1, "patch": 8}
_WARM_UP = 0.15
"""Share of the steps in which one_cycle's learning rate rises."""


@dataclass(frozen=True)
class Recipe:
    """A training recipe.

    The defaults come from single runs of three x4 designs (4 to 19 G Mult-Adds), in dB on the built-in photos:
    200 steps of 8 patches of 32 pixels gave 27.53, 27.70, 27.59 at 1e-3 and 27.62, 27.75, 27.71 at 2e-3; 650 steps of
    4 patches of 24 pixels, in similar time, 27.69, 27.81, 27.79 at 2e-3 and 27.69, 27.77, 27.78 at 3e-3.

    Attributes:
        steps: Updates of the weights.
        batch: Patches in a step.
        patch: Side of an LR patch in pixels.
        learning_rate: Of the optimizer; the highest of the schedule.
        schedule: ``one_cycle`` rises from a tenth and falls to nearly nothing, along cosines; or ``constant``.
        optimizer: ``adam``.
        loss: ``l1`` or ``l2``, on RGB.
        rungs: Shares of the steps after which the network is validated, besides the end: there early stopping decides.
            Neither the schedule nor the result depends on them.

    Raises:
        InputError: A value is out of range.
    """

    steps: int = 600
    batch: int = 4
    patch: int = 24
    learning_rate: float = 2e-3
    schedule: Schedule = "one_cycle"
    optimizer: Optimizer = "adam"
    loss: Loss = "l1"
    rungs: tuple[float, ...] = (0.125, 0.25, 0.5)

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"recipe: {name}: {value!r} is not a whole number of at least {least}")
        if not _is_number(self.learning_rate) or not 0 < self.learning_rate <= 1:
            raise InputError(f"recipe: learning_rate: {self.learning_rate!r} is not a number above 0 and at most 1")
        for name, valid in _CHOICES.items():
            value = getattr(self, name)
            if value not in valid:
                raise InputError(f"recipe: unknown {name} {value!r}: {suggest(str(value), valid)}")
        if not isinstance(self.rungs, list | tuple) or not all(
            _is_number(rung) and 0 < rung < 1 for rung in self.rungs
        ):
            raise InputError(f"recipe: rungs: {self.rungs!r} is not a list of numbers between 0 and 1")
        object.__setattr__(self, "rungs", tuple(sorted({float(rung) for rung in self.rungs})))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self) | {"rungs": list(self.rungs)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The inverse of :meth:`to_dict`; what is left out has its default.

        Raises:
            InputError: An unknown name or a wrong value.
        """
        names = [field.name for field in fields(cls)]
        for name in values:
            if name not in names:
                raise InputError(f"recipe: unknown key {name!r}: {suggest(str(name), names)}")
        return cls(**values)

    @property
    def validation_steps(self) -> tuple[int, ...]:
        """The steps after which the network is validated, ascending; the last is ``steps``."""
        return tuple(sorted({max(1, round(rung * self.steps)) for rung in self.rungs} | {self.steps}))

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 1."""
        return self.learning_rate * _SCHEDULES[self.schedule]((step - 0.5) / self.steps)


def _one_cycle(done: float) -> float:
    """Rises from 0.1 to 1 during the warm-up, then falls to 0.001 (Smith and Topin 2017), along cosines."""
    if done < _WARM_UP:
        return 0.55 - 0.45 * math.cos(math.pi * done / _WARM_UP)
    return 0.5005 + 0.4995 * math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))


_SCHEDULES: dict[str, Callable[[float], float]] = {"one_cycle": _one_cycle, "constant": lambda done: 1.0}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
