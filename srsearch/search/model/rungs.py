"""What a PSNR at a rung says of the PSNR at the end.

At a rung, small networks are ahead that will be overtaken, and a schedule's high learning rate hides what a network can
do. So a rung's values cannot be compared with each other as they are. From the trials that have both, the value at the
rung is learnt as a linear function of the final one and the costs,

    rung = a + b * final + c' * costs + e,  e normal with variance t^2,

by ridge regression. Read backwards, a trial that has only the rung has an observation of its final PSNR, (rung - a - c'
* costs) / b, whose standard deviation is t / |b|: a likelihood, to be combined with what a model expects of the design.
A regression of the final value on the rung would contain an expectation of its own, which the model would then count
twice. Where the rung says nothing of the end (b is nought or worse), there is no observation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from srsearch.analysis.gaussian_process import Array

LEAST = 6
"""Finished trials with a rung before anything is learnt of it."""

_LEAST_SLOPE = 0.05
_SLOPE_PENALTY, _COST_PENALTY = 0.3, 0.01
"""Of the ridge regression, on standardised values: the strength of the belief that a weight is nought."""

_VAGUE = 3.0
"""Observations with a deviation of so many standard deviations of the final values are none."""

Curve = Mapping[int, float]
"""PSNR by step."""


@dataclass(frozen=True)
class _Rung:
    intercept: float
    slope: float
    weights: Array
    deviation: float


@dataclass(frozen=True)
class RungModel:
    """What each rung says of the end.

    Attributes:
        rungs: By step, those that say something.
        centre: (k,) mean of the costs.
        spread: (k,) their standard deviation.
        vague: The deviation from which an observation is none.
    """

    rungs: Mapping[int, _Rung]
    centre: Array
    spread: Array
    vague: float

    @classmethod
    def fit(cls, finals: Array, curves: Sequence[Curve], costs: Array) -> RungModel:
        """Learn from finished trials.

        Args:
            finals: (n,) PSNR at the end.
            curves: n curves, without the end.
            costs: (n, k) logarithms.
        """
        if len(finals) < LEAST or finals.std() <= 0:
            return cls({}, np.zeros(costs.shape[1]), np.ones(costs.shape[1]), 0.0)
        centre, spread = costs.mean(axis=0), np.where(costs.std(axis=0) > 0, costs.std(axis=0), 1.0)
        scaled = (costs - centre) / spread
        rungs = {}
        for step in sorted({step for curve in curves for step in curve}):
            there = np.array([step in curve for curve in curves])
            if there.sum() >= LEAST:
                values = np.array([curve[step] for curve in curves if step in curve])
                found = _fitted(values, finals[there], scaled[there])
                if found is not None:
                    rungs[step] = found
        return cls(rungs, centre, spread, _VAGUE * float(finals.std()))

    def says(self, step: int) -> bool:
        """Whether a rung says anything of the end."""
        rung = self.rungs.get(step)
        return rung is not None and rung.deviation / rung.slope < self.vague

    def observation(self, curve: Curve, costs: Array) -> tuple[float, float] | None:
        """What a curve says of its end.

        Args:
            curve: PSNR by step, so far.
            costs: (k,) logarithms.

        Returns:
            The final PSNR observed, and its standard deviation, by the last rung that says something; or None.
        """
        for step in sorted(curve, reverse=True):
            if self.says(step):
                rung = self.rungs[step]
                expected = rung.intercept + float(rung.weights @ ((costs - self.centre) / self.spread))
                return (curve[step] - expected) / rung.slope, rung.deviation / rung.slope
        return None


def _fitted(values: Array, finals: Array, costs: Array) -> _Rung | None:
    """A rung's regression on the final values (n,) and the costs (n, k); None where it says nothing of the end."""
    spread = float(values.std())
    finals_spread = float(finals.std())
    if spread <= 0 or finals_spread <= 0:
        return None
    standard = (values - values.mean()) / spread
    design = np.column_stack([np.ones(len(values)), (finals - finals.mean()) / finals_spread, costs])
    penalty = np.diag([1e-6, _SLOPE_PENALTY] + [_COST_PENALTY] * costs.shape[1])
    gain = np.linalg.solve(design.T @ design + penalty, design.T)
    found = gain @ standard
    if found[1] < _LEAST_SLOPE:
        return None
    # Residuals of left-out values: with few trials, those of the fit are too small.
    missed = (standard - design @ found) / np.maximum(1 - (design * gain.T).sum(axis=1), 0.05)
    slope = float(found[1]) * spread / finals_spread
    return _Rung(
        intercept=float(values.mean() + spread * found[0] - slope * finals.mean()),
        slope=slope,
        weights=np.asarray(spread * found[2:]),
        deviation=spread * math.sqrt(float((missed**2).mean())),
    )
