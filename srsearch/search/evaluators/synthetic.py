"""An evaluator that scores designs by a formula, without training."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from typing import Any

import numpy as np

from srsearch.architecture import Architecture
from srsearch.cost import count
from srsearch.search.evaluators.base import Evaluator, Report, Score


class SyntheticEvaluator(Evaluator):
    """Computes PSNR as a smooth function of Mult-Adds, with small effects of the parts, and noise.

    Use it for tests, for simulations, and to try out a space. Its scores mean nothing for real networks.

    Longer trainings raise the scores, those of large designs more, as they do in real trainings.

    Args:
        seconds: Seconds that each evaluation sleeps; longer trainings sleep longer.
        noise: Standard deviation in dB between seeds.
    """

    RUNGS = (25, 50, 100)
    keeps_checkpoints = True

    def __init__(self, seconds: float = 0.0, noise: float = 0.03) -> None:
        self.seconds = seconds
        self.noise = noise
        self._steps = self.RUNGS[-1]

    @property
    def recipe(self) -> dict[str, Any]:
        length = {} if self._steps == self.RUNGS[-1] else {"steps": self._steps}
        return {"evaluator": "synthetic", "noise": self.noise} | length

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
        cost = count(design)
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
