"""Gaussian process regression on designs.

It has a Matern 5/2 kernel with one length scale for each axis of the space and each cost (automatic relevance
determination), a constant mean and Gaussian noise. Hyperparameters are maximum a posteriori estimates. It is meant for
a few hundred observations on a CPU. scikit-learn's has no priors, and cannot share one length scale among the columns
of a categorical axis.

Source: Rasmussen, Williams: Gaussian Processes for Machine Learning (2006), chapters 2 and 5. The prior of the length
scales grows with the square root of their number (Hvarfner, Hellsten, Nardi: Vanilla Bayesian Optimization Performs
Great in High Dimensions, ICML 2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, solve_triangular

Array: TypeAlias = npt.NDArray[np.float64]

_JITTER = 1e-8
_MOST_FOR_FIT = 120
"""Most observations that the hyperparameters are fitted to."""

_LENGTH_SPREAD, _NOISE_SPREAD = 1.0, 1.0
"""Standard deviations of the priors of a length scale's logarithm and of the noise variance's logarithm."""

_NOISE_CENTRE = math.log(0.05)
"""Mean of the latter prior; the variance is in units of the observations' variance."""


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted Gaussian process.

    Attributes:
        inputs: (n, d) observed inputs.
        groups: (d,) number of each input column's group; a group has one length scale.
        lengths: (g,) length scales.
        amplitude: Variance of the process, in units of the observations' variance.
        noise: Variance of the common noise, in units of the observations' variance.
        mean: Mean of the observations.
        scale: Standard deviation of the observations.
        factor: (n, n) lower Cholesky factor of the observations' covariance.
        weights: (n,) inverse of the covariance times the standardised observations.
        standard: (n,) standardised observations.
        noises: (n,) variance of each observation's noise, in units of the observations' variance.
    """

    inputs: Array
    groups: npt.NDArray[np.int64]
    lengths: Array
    amplitude: float
    noise: float
    mean: float
    scale: float
    factor: Array
    weights: Array
    standard: Array
    noises: Array

    @classmethod
    def fit(
        cls, inputs: Array, values: Array, groups: Sequence[int], variances: Array | None = None
    ) -> GaussianProcess:
        """Fit a process to observations.

        The hyperparameters are fitted to at most 120 observations, evenly spaced in the given order. Predictions use
        all observations.

        Args:
            inputs: (n, d) inputs, with each column scaled to about 0..1.
            values: (n,) observations.
            groups: (d,) group of each column, numbered from 0.
            variances: (n,) variance of each observation's noise in addition to the common noise, in the square of the
                observations' unit; by default 0.
        """
        codes = np.asarray(groups, dtype=np.int64)
        mean, scale = float(values.mean()), float(values.std()) or 1.0
        standard = (values - mean) / scale
        chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_FOR_FIT)).round().astype(int))
        further = np.zeros(len(values)) if variances is None else variances / scale**2
        lengths, amplitude, noise = _hyperparameters(inputs[chosen], standard[chosen], further[chosen], codes)
        noises = noise + further
        return cls._of(inputs, standard, codes, lengths, amplitude, noises, mean, scale, noise)

    @classmethod
    def _of(
        cls,
        inputs: Array,
        standard: Array,
        groups: npt.NDArray[np.int64],
        lengths: Array,
        amplitude: float,
        noises: Array,
        mean: float,
        scale: float,
        noise: float,
    ) -> GaussianProcess:
        scaled = inputs / lengths[groups]
        covariance = amplitude * _matern(_squared(scaled, scaled))
        covariance[np.diag_indices_from(covariance)] += noises + _JITTER
        factor = cholesky(covariance, lower=True)
        weights = cho_solve((factor, True), standard)
        return cls(inputs, groups, lengths, amplitude, noise, mean, scale, factor, weights, standard, noises)

    def fantasize(self, inputs: Array, values: Array) -> GaussianProcess:
        """Return the process as if it had also observed (m,) values at (m, d) inputs, almost without noise; the
        hyperparameters stay.
        """
        return self._of(
            np.concatenate([self.inputs, inputs]),
            np.concatenate([self.standard, (values - self.mean) / self.scale]),
            self.groups,
            self.lengths,
            self.amplitude,
            np.concatenate([self.noises, np.full(len(inputs), 1e-6)]),
            self.mean,
            self.scale,
            self.noise,
        )

    def predict(self, inputs: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the process, without noise.

        Args:
            inputs: (m, d) inputs.

        Returns:
            (m,) means and (m,) standard deviations, in the observations' unit.
        """
        scaled = inputs / self.lengths[self.groups]
        cross = self.amplitude * _matern(_squared(scaled, self.inputs / self.lengths[self.groups]))
        mean = cross @ self.weights
        explained = solve_triangular(self.factor, cross.T, lower=True)
        variance = np.maximum(self.amplitude - (explained**2).sum(axis=0), 1e-12)
        return self.mean + self.scale * mean, self.scale * np.sqrt(variance)

    def leave_one_out(self) -> tuple[Array, Array]:
        """Return the prediction at each observed input from all other observations, without noise.

        Source: Rasmussen, Williams, equation 5.12.

        Returns:
            (n,) means and (n,) standard deviations, in the observations' unit.
        """
        inverse = cho_solve((self.factor, True), np.eye(len(self.standard)))
        variances = 1 / np.diag(inverse)
        means = self.standard - self.weights * variances
        deviations = np.sqrt(np.maximum(variances - self.noises, 1e-12))
        return self.mean + self.scale * means, self.scale * deviations

    @property
    def noise_deviation(self) -> float:
        """Standard deviation of the common noise, in the observations' unit."""
        return self.scale * math.sqrt(self.noise)


def _hyperparameters(
    inputs: Array, values: Array, further: Array, groups: npt.NDArray[np.int64]
) -> tuple[Array, float, float]:
    """The (g,) length scales, the amplitude and the noise with the largest posterior density."""
    count = int(groups.max()) + 1
    # Squared distances by group are the same for all hyperparameters.
    distances = np.stack([_squared(inputs[:, groups == g], inputs[:, groups == g]) for g in range(count)])
    centre = math.log(math.sqrt(count)) + 0.5 * math.log(0.5)
    start = np.concatenate([np.full(count, centre), [0.0, _NOISE_CENTRE]])

    def objective(logs: Array) -> tuple[float, Array]:
        precision = np.exp(-2 * logs[:count])
        root = np.sqrt(np.tensordot(precision, distances, axes=1) + 1e-20)
        amplitude, noise = math.exp(logs[count]), math.exp(logs[count + 1])
        decay = np.exp(-math.sqrt(5) * root)
        shape = (1 + math.sqrt(5) * root + 5 / 3 * root**2) * decay
        covariance = amplitude * shape
        covariance[np.diag_indices_from(covariance)] += noise + further + _JITTER
        try:
            factor = cholesky(covariance, lower=True)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(logs)
        weights = cho_solve((factor, True), values)
        inverse = cho_solve((factor, True), np.eye(len(values)))
        pull = np.outer(weights, weights) - inverse
        likelihood = 0.5 * values @ weights + np.log(np.diag(factor)).sum()
        slope = amplitude * (5 / 3) * (1 + math.sqrt(5) * root) * decay
        by_length = -0.5 * np.tensordot(distances, pull * slope, axes=2) * precision
        by_amplitude = -0.5 * float((pull * amplitude * shape).sum())
        by_noise = -0.5 * float(np.trace(pull) * noise)
        gradient = np.concatenate([by_length, [by_amplitude, by_noise]])
        off = np.concatenate([(logs[:count] - centre) / _LENGTH_SPREAD, [logs[count] / 1.0]])
        off = np.append(off, (logs[count + 1] - _NOISE_CENTRE) / _NOISE_SPREAD)
        spreads = np.concatenate([np.full(count, _LENGTH_SPREAD), [1.0, _NOISE_SPREAD]])
        return likelihood + 0.5 * float((off**2).sum()), gradient + off / spreads

    from scipy.optimize import minimize  # imported here because it takes long to import

    bounds = [(math.log(0.02), math.log(1e3))] * count + [(math.log(0.05), math.log(50)), (math.log(1e-6), math.log(2))]
    result = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
    logs = result.x if np.isfinite(result.fun) else start
    lengths: Array = np.exp(logs[:count])
    return lengths, math.exp(logs[count]), math.exp(logs[count + 1])


def correlations(first: Array, second: Array, lengths: Array) -> Array:
    """Return the (n, m) correlations of a process between (n, d) and (m, d) inputs, with (d,) length scales."""
    return _matern(_squared(first / lengths, second / lengths))


def _squared(first: Array, second: Array) -> Array:
    """(n, m) squared distances between (n, d) and (m, d) points."""
    squares: Array = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
    return np.asarray(np.maximum(squares, 0.0))


def _matern(squared: Array) -> Array:
    """Matern 5/2 correlations at squared distances."""
    root = np.sqrt(5 * squared)
    correlation: Array = (1 + root + root**2 / 3) * np.exp(-root)
    return correlation
