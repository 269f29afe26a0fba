"""`Trial`: a design to be evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from srsearch.architecture import Architecture
from srsearch.architecture.registry import OptionValue
from srsearch.store import Curve


@dataclass(frozen=True)
class Trial:
    """A design to be evaluated.

    Attributes:
        number: Its number in the study.
        design: What to evaluate.
        axes: Its values on the axes of the space.
        mult_adds: Under the space's convention.
        params: Trainable parameters.
        seed: Seed of the evaluation.
        replicate_of: Number of the trial that evaluated the same design with another seed; None: a new design.
        curve: (step, PSNR) pairs that an earlier process or an earlier start has reached.
    """

    number: int
    design: Architecture
    axes: Mapping[str, OptionValue]
    mult_adds: int
    params: int
    seed: int
    replicate_of: int | None = None
    curve: Curve = ()
