"""An evaluator that scores designs by a formula, without training."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from srsearch.architecture import Architecture
from srsearch.cost import count
from srsearch.search.evaluators.base import Evaluator, Report, Score
from srsearch.space import Space


class SyntheticEvaluator(Evaluator):
    """Computes PSNR as a smooth function of Mult-Adds, with small effects of the parts, and noise.

    Use it for tests, for simulations, and to try out a space. Its scores mean nothing for real networks.

    Longer trainings raise the scores, those of large designs more, as they do in real trainings.

    Args:
        seconds: Seconds that each evaluation sleeps; longer trainings sleep longer.
        noise: Standard deviation in dB between seeds.
        scale: The scale whose Mult-Adds the scores of multi-scale designs depend on; None: their largest.
    """

    RUNGS = (25, 50, 100)
    keeps_checkpoints = True

    def __init__(self, seconds: float = 0.0, noise: float = 0.03, scale: int | None = None) -> None:
        self.seconds = seconds
        self.noise = noise
        self.scale = scale
        self._steps = self.RUNGS[-1]

    @classmethod
    def from_space(cls, space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> Evaluator:
        # A class that inherits from this one may have a constructor of its own.
        return cls() if space.scale == space.scales[-1] else cls(scale=space.scale)

    @property
    def recipe(self) -> dict[str, Any]:
        recipe: dict[str, Any] = {"evaluator": "synthetic", "noise": self.noise}
        if self.scale is not None:
            recipe["scale"] = self.scale
        if self._steps != self.RUNGS[-1]:
            recipe["steps"] = self._steps
        return recipe

    @property
    def reference_psnr(self) -> float:
        return 26.0

    @property
    def steps(self) -> int | None:
        return self._steps

    def at_length(self, steps: int) -> Evaluator:
        longer = copy.copy(self)
        longer._steps = steps
        return longer

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        cost = count(design, scale=self.scale or design.scales[-1])
        final = 26 + 0.9 * math.log10(1 + cost.mult_adds / 2e8)
        for kind in ("unit", "block", "body", "upsampler"):
            digest = hashlib.sha256(str(getattr(design, kind)).encode()).digest()
            final += 0.05 * (digest[0] / 255 - 0.5)
        longer = math.log(self._steps / self.RUNGS[-1], 16)
        final += longer * (0.25 + 0.15 * math.log10(cost.mult_adds / 4e9))
        other = [] if self._steps == self.RUNGS[-1] else [self._steps]
        noise = np.random.default_rng([seed, int(design.key[:8], 16), *other])
        final += self.noise * float(noise.standard_normal())
        curve = []
        for rung in self.RUNGS:
            time.sleep(self.seconds * self._steps / self.RUNGS[-1] / len(self.RUNGS))
            share = rung / self.RUNGS[-1]
            curve.append((max(1, round(share * self._steps)), final - 0.8 * (1 - share) ** 2))
            if not report(*curve[-1]):
                break
        return Score(curve[-1][1], None, tuple(curve), {})
