"""An evaluator that scores designs by a formula, without training."""

from __future__ import annotations

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

    Args:
        seconds: Seconds that each evaluation sleeps.
        noise: Standard deviation in dB between seeds.
        scale: The scale whose Mult-Adds the scores of multi-scale designs depend on; None: their largest.
    """

    RUNGS = (25, 50, 100)
    keeps_checkpoints = True

    def __init__(self, seconds: float = 0.0, noise: float = 0.03, scale: int | None = None) -> None:
        self.seconds = seconds
        self.noise = noise
        self.scale = scale

    @classmethod
    def from_space(cls, space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> Evaluator:
        return cls(scale=None if space.scale == space.scales[-1] else space.scale)

    @property
    def recipe(self) -> dict[str, Any]:
        recipe = {"evaluator": "synthetic", "noise": self.noise}
        return recipe if self.scale is None else recipe | {"scale": self.scale}

    @property
    def reference_psnr(self) -> float:
        return 26.0

    @property
    def steps(self) -> int | None:
        return self.RUNGS[-1]

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        cost = count(design, scale=self.scale or design.scales[-1])
        final = 26 + 0.9 * math.log10(1 + cost.mult_adds / 2e8)
        for kind in ("unit", "block", "body", "upsampler"):
            digest = hashlib.sha256(str(getattr(design, kind)).encode()).digest()
            final += 0.05 * (digest[0] / 255 - 0.5)
        noise = np.random.default_rng([seed, int(design.key[:8], 16)])
        final += self.noise * float(noise.standard_normal())
        curve = []
        for step in self.RUNGS:
            time.sleep(self.seconds / len(self.RUNGS))
            curve.append((step, final - 0.8 * (1 - step / self.RUNGS[-1]) ** 2))
            if not report(*curve[-1]):
                break
        return Score(curve[-1][1], None, tuple(curve), {})
