"""The relation between the PSNR at a rung and the PSNR at the end of a training.

The PSNR at a rung cannot be compared between designs as it is: small networks are ahead early and are overtaken later,
and a schedule's high learning rate hides what a network can reach. From the trials that have both values, ridge
regression learns the PSNR at the rung as a linear function of the final PSNR and the costs,

    rung = a + b * final + c' * costs + e,  e normal with variance t^2.

Solved for the final PSNR, this gives a trial that has only reached the rung an observation of its final PSNR,
(rung - a - c' * costs) / b, with standard deviation t / |b|. It is a likelihood, which a model combines with its
expectation of the design. Regressing the final PSNR on the rung would include an expectation already, and the model
would count it twice. If the rung does not predict the end (b is 0 or negative), there is no observation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from srsearch.analysis.gaussian_process import Array

LEAST = 6
"""Finished trials with a value at a rung that its regression needs at least."""

_LEAST_SLOPE = 0.05
"""Least standardised slope b; below it, the rung does not predict the end."""

_SLOPE_PENALTY, _COST_PENALTY = 0.3, 0.01
"""Penalties of the ridge regression on b and c, for standardised values."""

_VAGUE = 3.0
"""An observation whose standard deviation is this many times that of the final PSNR is dropped."""

Curve = Mapping[int, float]
"""PSNR in dB by step."""


@dataclass(frozen=True)
class _Rung:
    intercept: float
    slope: float
    weights: Array
    deviation: float


@dataclass(frozen=True)
class RungModel:
    """The regressions of all rungs.

    Attributes:
        rungs: The regression by step, for rungs that predict the end.
        centre: (k,) mean of the costs.
        spread: (k,) standard deviation of the costs.
        vague: Standard deviation in dB from which on an observation is dropped.
    """

    rungs: Mapping[int, _Rung]
    centre: Array
    spread: Array
    vague: float

    @classmethod
    def fit(cls, finals: Array, curves: Sequence[Curve], costs: Array) -> RungModel:
        """Fit the regressions to finished trials.

        Args:
            finals: (n,) PSNR in dB at the end.
            curves: n curves, without their ends.
            costs: (n, k) logarithms of the costs.
        """
        if len(finals) < LEAST or finals.std() <= 0:
            return cls({}, np.zeros(costs.shape[1]), np.ones(costs.shape[1]), 0.0)
        centre, spread = costs.mean(axis=0), np.where(costs.std(axis=0) > 0, costs.std(axis=0), 1.0)
        scaled = (costs - centre) / spread
        rungs = {}
        for step in sorted({step for curve in curves for step in curve}):
            reached = np.array([step in curve for curve in curves])
            if reached.sum() >= LEAST:
                values = np.array([curve[step] for curve in curves if step in curve])
                rung = _fitted(values, finals[reached], scaled[reached])
                if rung is not None:
                    rungs[step] = rung
        return cls(rungs, centre, spread, _VAGUE * float(finals.std()))

    def predicts(self, step: int) -> bool:
        """Return whether the PSNR at a step predicts the final PSNR."""
        rung = self.rungs.get(step)
        return rung is not None and rung.deviation / rung.slope < self.vague

    def observation(self, curve: Curve, costs: Array) -> tuple[float, float] | None:
        """Return what an unfinished curve tells about its final PSNR.

        Args:
            curve: PSNR in dB by step, so far.
            costs: (k,) logarithms of the costs.

        Returns:
            The observed final PSNR and its standard deviation in dB, from the last rung that predicts the end; None
            if no rung does.
        """
        for step in sorted(curve, reverse=True):
            if self.predicts(step):
                rung = self.rungs[step]
                expected = rung.intercept + float(rung.weights @ ((costs - self.centre) / self.spread))
                return (curve[step] - expected) / rung.slope, rung.deviation / rung.slope
        return None


def _fitted(values: Array, finals: Array, costs: Array) -> _Rung | None:
    """Regression of (n,) values at a rung on (n,) final values and (n, k) costs; None if it predicts nothing."""
    spread = float(values.std())
    finals_spread = float(finals.std())
    if spread <= 0 or finals_spread <= 0:
        return None
    standard = (values - values.mean()) / spread
    design = np.column_stack([np.ones(len(values)), (finals - finals.mean()) / finals_spread, costs])
    penalty = np.diag([1e-6, _SLOPE_PENALTY] + [_COST_PENALTY] * costs.shape[1])
    gain = np.linalg.solve(design.T @ design + penalty, design.T)
    weights = gain @ standard
    if weights[1] < _LEAST_SLOPE:
        return None
    # Leave-one-out residuals: with few trials, the residuals of the fit are too small.
    residuals = (standard - design @ weights) / np.maximum(1 - (design * gain.T).sum(axis=1), 0.05)
    slope = float(weights[1]) * spread / finals_spread
    return _Rung(
        intercept=float(values.mean() + spread * weights[0] - slope * finals.mean()),
        slope=slope,
        weights=np.asarray(spread * weights[2:]),
        deviation=spread * math.sqrt(float((residuals**2).mean())),
    )
