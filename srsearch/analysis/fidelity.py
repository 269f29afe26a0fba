"""Quality after trainings of several lengths: a Gaussian process over designs and lengths.

The model is autoregressive. The PSNR of a design x after the shortest training is a Gaussian process f_0 over axes and
costs (`srsearch.analysis.gaussian_process`). From one length to the next,

    f_l(x) = rho_l f_(l-1)(x) + c_l + b_l log(cost of x) + d_l(x),

where rho_l scales the differences between designs, c_l is what all designs gain, b_l says how much more the costly
ones gain, and the discrepancy d_l is another Gaussian process with the length scales of f_0. c_l and b_l are normal a
priori, so all lengths of all designs are jointly normal: any design may have been trained for any of the lengths.
rho_l, the size of d_l and the noise of a training are maximum a posteriori estimates.

What a paper prints for a network may follow as a last level, with a scale and an offset of its own.

Source: Kennedy, O'Hagan: Predicting the Output from a Complex Computer Code When Fast Approximations Are Available,
Biometrika 87 (2000).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky

from srsearch.analysis.gaussian_process import Array, GaussianProcess, correlations

Whole = npt.NDArray[np.int64]

_SCALE, _SCALE_SPREAD = 0.85, 0.2
"""Mean and standard deviation of the prior of rho_l, for four times as many steps. Differences between designs shrink
as trainings get longer: on a ladder of 22 designs of ``lightweight_x4``, by 0.69 from 600 to 2,400 steps and by 0.83
from there to 9,600."""

_SLOPE, _SLOPE_SPREAD = 0.01, 0.05
"""The same for b_l, in dB for ten times the cost; on the ladder 0.030 and 0.005."""

_OFFSET_SPREAD = 1.0
"""Standard deviation of the prior of c_l in dB: it is hardly known."""

_DISCREPANCY, _DISCREPANCY_SPREAD = math.log(0.01), 1.0
"""Mean and standard deviation of the prior of the logarithm of d_l's standard deviation in dB."""

_NOISE, _NOISE_SPREAD = math.log(0.012), 0.5
"""The same for the noise between seeds of a longer training."""

_PRINTED_SCALE, _PRINTED_SCALE_SPREAD, _PRINTED_SLOPE_SPREAD, _PRINTED_OFFSET_SPREAD = 1.0, 0.3, 0.2, 5.0
_PRINTED_NOISE, _PRINTED_NOISE_SPREAD = math.log(0.03), 0.5
"""The same for what papers print: other photos, other recipes."""

_MOST_FITTED = 160
"""Most observations that the hyperparameters are fitted to."""


@dataclass(frozen=True)
class Points:
    """Designs as inputs of the model.

    Attributes:
        features: (n, d) axes and costs, each column scaled to about 0..1.
        costs: (n,) decimal logarithms of the main cost.
    """

    features: Array
    costs: Array

    def __len__(self) -> int:
        return len(self.costs)

    def take(self, rows: Whole | Sequence[int]) -> Points:
        """Select designs by their positions."""
        chosen = np.asarray(rows, dtype=np.int64)
        return Points(self.features[chosen], self.costs[chosen])

    def followed_by(self, other: Points) -> Points:
        """These designs, then others."""
        return Points(np.concatenate([self.features, other.features]), np.concatenate([self.costs, other.costs]))


@dataclass(frozen=True)
class Measured:
    """Observations.

    Attributes:
        points: (m,) their designs.
        levels: (m,) the length of the training: 0 is the shortest.
        values: (m,) PSNR in dB.
    """

    points: Points
    levels: Whole
    values: Array

    def followed_by(self, points: Points, levels: Whole, values: Array) -> Measured:
        """These observations, then others."""
        return Measured(
            self.points.followed_by(points),
            np.concatenate([self.levels, levels]),
            np.concatenate([self.values, values]),
        )


@dataclass(frozen=True)
class _Prior:
    """The prior of one level above the shortest."""

    scale: float
    scale_spread: float
    slope: float
    slope_spread: float
    offset_spread: float
    noise: float
    noise_spread: float

    @classmethod
    def of_length(cls, ratio: float) -> _Prior:
        """For a training with ``ratio`` times the steps of the one below."""
        power = math.log(ratio, 4)
        return cls(
            _SCALE**power,
            _SCALE_SPREAD,
            _SLOPE * power,
            _SLOPE_SPREAD * max(1.0, power),
            _OFFSET_SPREAD,
            _NOISE,
            _NOISE_SPREAD,
        )

    @classmethod
    def of_print(cls) -> _Prior:
        return cls(
            _PRINTED_SCALE,
            _PRINTED_SCALE_SPREAD,
            0.0,
            _PRINTED_SLOPE_SPREAD,
            _PRINTED_OFFSET_SPREAD,
            _PRINTED_NOISE,
            _PRINTED_NOISE_SPREAD,
        )


@dataclass(frozen=True)
class FidelityModel:
    """A fitted model.

    Attributes:
        process: The process of the shortest training.
        priors: One for each further level.
        centre: The mean of the designs' logarithms of cost.
        scales: (l - 1,) rho of each further level.
        discrepancies: (l - 1,) standard deviations of d in dB.
        noises: (l,) standard deviations of the noise of one training in dB.
        measured: The observations.
        factor: (m, m) lower Cholesky factor of their covariance.
        weights: (m,) inverse of the covariance times the observations without their prior means.
    """

    process: GaussianProcess
    priors: tuple[_Prior, ...]
    centre: float
    scales: Array
    discrepancies: Array
    noises: Array
    measured: Measured
    factor: Array
    weights: Array

    @classmethod
    def fit(
        cls, measured: Measured, groups: Sequence[int], steps: Sequence[int], *, printed: bool = False
    ) -> FidelityModel:
        """Fit the model.

        Args:
            measured: The observations; at least two of the shortest training.
            groups: (d,) group of each feature, for `GaussianProcess.fit`.
            steps: The lengths of training, ascending.
            printed: Whether a last level holds what papers print.
        """
        shortest = np.flatnonzero(measured.levels == 0)
        process = GaussianProcess.fit(measured.points.features[shortest], measured.values[shortest], groups)
        priors = [_Prior.of_length(longer / shorter) for shorter, longer in itertools.pairwise(steps)]
        priors += [_Prior.of_print()] if printed else []
        start = cls(
            process,
            tuple(priors),
            float(measured.points.costs.mean()),
            np.array([prior.scale for prior in priors]),
            np.full(len(priors), math.exp(_DISCREPANCY)),
            np.array([process.noise_deviation, *(math.exp(prior.noise) for prior in priors)]),
            measured,
            np.zeros((0, 0)),
            np.zeros(0),
        )
        return start._with_hyperparameters()._conditioned(measured)

    @property
    def top(self) -> int:
        """The highest level."""
        return len(self.priors)

    def predict(self, points: Points, level: int) -> tuple[Array, Array]:
        """Return (n,) means and (n,) standard deviations of the PSNR in dB at a level, without noise."""
        levels = np.full(len(points), level)
        cross = self._covariance(points, levels, self.measured.points, self.measured.levels)
        means = self._mean(points, levels) + cross @ self.weights
        return means, np.sqrt(np.maximum(self.covariance_of_each(points, level, level), 1e-12))

    def covariance_of_each(self, points: Points, first: int, second: int) -> Array:
        """Return the (n,) posterior covariances of each design at one level with itself at another, in dB^2."""
        known = self.measured
        crosses = [
            self._covariance(points, np.full(len(points), level), known.points, known.levels)
            for level in dict.fromkeys((first, second))
        ]
        explained = np.einsum("ij,ji->i", crosses[0], cho_solve((self.factor, True), crosses[-1].T))
        return np.asarray(self._covariance_of_each(points, first, second) - explained)

    def covariance(self, points: Points, level: int, others: Points, level_of_others: int) -> Array:
        """Return the (n, m) posterior covariances of designs at one level with others at another, in dB^2."""
        own, other = np.full(len(points), level), np.full(len(others), level_of_others)
        known = self.measured
        first = self._covariance(points, own, known.points, known.levels)
        second = self._covariance(others, other, known.points, known.levels)
        prior = self._covariance(points, own, others, other)
        return np.asarray(prior - first @ cho_solve((self.factor, True), second.T))

    def fantasize(self, points: Points, levels: Whole) -> FidelityModel:
        """Return the model after it has also observed its own predictions, for trainings that still run; the
        hyperparameters stay.
        """
        if not len(points):
            return self
        values = np.array([self.predict(points.take([i]), int(level))[0][0] for i, level in enumerate(levels)])
        return self._conditioned(self.measured.followed_by(points, levels, values))

    def without(self, rows: Whole) -> FidelityModel:
        """Return the model without some observations; the hyperparameters stay."""
        left = np.setdiff1d(np.arange(len(self.measured.values)), rows)
        known = self.measured
        return self._conditioned(Measured(known.points.take(left), known.levels[left], known.values[left]))

    def _conditioned(self, measured: Measured) -> FidelityModel:
        covariance = self._covariance(measured.points, measured.levels, measured.points, measured.levels)
        covariance[np.diag_indices_from(covariance)] += self.noises[measured.levels] ** 2 + 1e-9
        factor = cholesky(covariance, lower=True)
        weights = cho_solve((factor, True), measured.values - self._mean(measured.points, measured.levels))
        return replace(self, measured=measured, factor=factor, weights=weights)

    def _chain(self) -> Array:
        """(l, l) what a level takes over from each level below: products of scales."""
        chain = np.eye(self.top + 1)
        for level in range(1, self.top + 1):
            chain[level, :level] = chain[level - 1, :level] * self.scales[level - 1]
        return chain

    def _mean(self, points: Points, levels: Whole) -> Array:
        chain = self._chain()
        means = np.full(len(points), self.process.mean)
        for level, prior in enumerate(self.priors, start=1):
            means = means + chain[levels, level] * prior.slope * (points.costs - self.centre)
        return means

    def _parts(self, points: Points, others: Points) -> list[Array]:
        """The (n, m) prior covariances of f_0 and of what each further level adds."""
        process = self.process
        shape = correlations(points.features, others.features, process.lengths[process.groups])
        parts = [process.scale**2 * process.amplitude * shape]
        slopes = np.outer(points.costs - self.centre, others.costs - self.centre)
        for prior, size in zip(self.priors, self.discrepancies, strict=True):
            parts.append(prior.offset_spread**2 + prior.slope_spread**2 * slopes + size**2 * shape)
        return parts

    def _covariance(self, points: Points, levels: Whole, others: Points, levels_of_others: Whole) -> Array:
        chain = self._chain()
        total = np.zeros((len(points), len(others)))
        for below, part in enumerate(self._parts(points, others)):
            total += np.outer(chain[levels, below], chain[levels_of_others, below]) * part
        return total

    def _covariance_of_each(self, points: Points, first: int, second: int) -> Array:
        """(n,) prior covariances of each design at one level with itself at another."""
        chain = self._chain()
        shares = chain[first] * chain[second]
        process = self.process
        total = np.full(len(points), shares[0] * process.scale**2 * process.amplitude)
        off = (points.costs - self.centre) ** 2
        for below, (prior, size) in enumerate(zip(self.priors, self.discrepancies, strict=True), start=1):
            total += shares[below] * (prior.offset_spread**2 + prior.slope_spread**2 * off + size**2)
        return total

    def _with_hyperparameters(self) -> FidelityModel:
        """The model with the most probable scales, discrepancies and noises of longer trainings.

        Designs with nothing but a short training say nothing about them, and are left out.
        """
        longer = self.measured.levels > 0
        if not longer.any():
            return self
        rows = _informative(self.measured)
        known = Measured(self.measured.points.take(rows), self.measured.levels[rows], self.measured.values[rows])
        count = self.top
        spreads = np.concatenate(
            [
                [prior.scale_spread for prior in self.priors],
                np.full(count, _DISCREPANCY_SPREAD),
                [prior.noise_spread for prior in self.priors],
            ]
        )
        centres = np.concatenate(
            [
                [prior.scale for prior in self.priors],
                np.full(count, _DISCREPANCY),
                [prior.noise for prior in self.priors],
            ]
        )
        parts = self._parts(known.points, known.points)
        # f_0, the offsets and slopes, and the discrepancies depend differently on what is fitted.
        process = self.process
        shape = parts[0] / (process.scale**2 * process.amplitude)
        fixed = [part - size**2 * shape for part, size in zip(parts[1:], self.discrepancies, strict=True)]

        def tried(values: Array) -> FidelityModel:
            noises = np.concatenate([self.noises[:1], np.exp(values[2 * count :])])
            return replace(self, scales=values[:count], discrepancies=np.exp(values[count : 2 * count]), noises=noises)

        def objective(values: Array) -> float:
            model = tried(values)
            chain = model._chain()
            covariance = np.diag(model.noises[known.levels] ** 2 + 1e-9)
            levels = [parts[0], *(f + s**2 * shape for f, s in zip(fixed, model.discrepancies, strict=True))]
            for below, part in enumerate(levels):
                covariance += np.outer(chain[known.levels, below], chain[known.levels, below]) * part
            try:
                factor = cholesky(covariance, lower=True)
            except np.linalg.LinAlgError:
                return 1e10
            off = known.values - model._mean(known.points, known.levels)
            likelihood = 0.5 * off @ cho_solve((factor, True), off) + np.log(np.diag(factor)).sum()
            return float(likelihood + 0.5 * (((values - centres) / spreads) ** 2).sum())

        from scipy.optimize import minimize  # imported here because it takes long to import

        bounds = [(0.0, 2.0)] * count
        bounds += [(math.log(1e-4), math.log(0.3))] * count + [(math.log(1e-3), math.log(0.3))] * count
        result = minimize(objective, centres, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40})
        return tried(result.x if np.isfinite(result.fun) else centres)


def _informative(measured: Measured) -> Whole:
    """Positions of the observations of designs that were trained longer: all, or evenly spaced ones of many."""
    rows = [tuple(row) for row in measured.points.features.tolist()]
    longer = {row for row, level in zip(rows, measured.levels, strict=True) if level > 0}
    chosen = np.array([i for i, row in enumerate(rows) if row in longer], dtype=np.int64)
    if len(chosen) > _MOST_FITTED:
        chosen = chosen[np.linspace(0, len(chosen) - 1, _MOST_FITTED).round().astype(int)]
    return chosen
