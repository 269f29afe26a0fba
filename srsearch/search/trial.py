"""`Trial`: a design to evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from srsearch.architecture import Architecture
from srsearch.architecture.registry import OptionValue
from srsearch.store import Curve


@dataclass(frozen=True)
class Trial:
    """A design to evaluate.

    Attributes:
        number: The trial's number in the study.
        design: The design.
        axes: The design's values on the axes of the space.
        mult_adds: Mult-Adds under the space's convention.
        params: Trainable parameters.
        seed: Seed of the evaluation.
        replicate_of: Number of the trial that evaluated the same design with another seed, or in a shorter training;
            None for a new design.
        steps: Training steps of a longer training; None: the study's own.
        curve: (step, PSNR in dB) pairs that were reached before an interruption or an early stop.
    """

    number: int
    design: Architecture
    axes: Mapping[str, OptionValue]
    mult_adds: int
    params: int
    seed: int
    replicate_of: int | None = None
    steps: int | None = None
    curve: Curve = ()
