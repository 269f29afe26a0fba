"""The effect of each axis on quality at equal cost, and the interaction of two axes.

Large designs are better, so an axis that makes designs larger looks good even if it does nothing else. To separate the
two, the quality is modelled as

    quality = f(log10 cost) + sum over axes of effect(value of the axis) + e,

where f is a polynomial of third degree. The model is fitted by ridge regression with one column for each value of each
axis. An effect is the change in quality that an axis value makes while cost and the other axes are held fixed, relative
to the mean over the trials. For an axis that exists only under some option of another, the mean is taken over the
trials with that option.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from srsearch.analysis.noise import outer_fence
from srsearch.labels import MISSING, axis_text

LEAST_TRIALS = 12
"""Fewest finished designs that the model is fitted to."""

_PENALTY = 1.0  # of the ridge regression: one additional observation of 0 for each effect
_MOST_TRIALS = 20_000
_DEGREE = 3


@dataclass(frozen=True)
class EqualCost:
    """The additive model.

    Attributes:
        effects: One row per value of each axis: ``axis``, ``value`` (as text), ``count`` (trials with it), ``effect``
            and ``error`` (its standard error), the last two in the quality's unit (dB for PSNR).
        residuals: One row per trial in the model: ``axes``, the residual of the cost's trend alone, and ``rest``, the
            residual of the whole model, in the quality's unit.
        explained: The share of the variance at equal cost that the axes explain in designs that the model has not
            seen, 0..1: each design is predicted by the model of all others (leave-one-out). About 0 if the axes have
            no effect, or if there are too few designs to see it.
    """

    effects: pd.DataFrame
    residuals: pd.DataFrame
    explained: float
    _fit: _Fit

    def change(self, before: Change, after: Change) -> tuple[float, float]:
        """Predict by how much the quality differs between two designs.

        Args:
            before: The axes and the cost of one design.
            after: Those of the other.

        Returns:
            The quality after minus the quality before, and its standard error, both in the quality's unit. Without
            the noise of a training: the difference of two means.
        """
        row = self._fit.row(*after) - self._fit.row(*before)
        return float(row @ self._fit.weights), math.sqrt(max(0.0, float(row @ self._fit.covariance @ row)))

    def knows(self, axes: Mapping[str, object], cost: float) -> bool:
        """Whether the trials had each of these values, and whether the cost lies between theirs."""
        low, high = self._fit.costs
        known = {axis for axis, _ in self._fit.columns}
        return low <= cost <= high and all(
            (axis, axis_text(value)) in self._fit.columns for axis, value in axes.items() if axis in known
        )


Change: TypeAlias = tuple[Mapping[str, object], float]
"""A design's values by axis, and its cost."""


@dataclass(frozen=True)
class _Fit:
    """The fitted model: quality = row @ weights."""

    weights: np.ndarray
    covariance: np.ndarray
    columns: Sequence[tuple[str, str]]
    shares: np.ndarray
    costs: tuple[float, float]

    def row(self, axes: Mapping[str, object], cost: float) -> np.ndarray:
        """(k,) the columns of a design."""
        chosen = {(axis, axis_text(value)) for axis, value in axes.items()}
        missing = {axis for axis, _ in self.columns} - axes.keys()
        own = [column in chosen or (column[0] in missing and column[1] == MISSING) for column in self.columns]
        return np.concatenate([_trend(np.array([cost]), self.costs)[0], np.array(own, dtype=np.float64) - self.shares])


def at_equal_cost(
    trials: pd.DataFrame, axes: Sequence[str], *, cost: str = "mult_adds", quality: str = "psnr"
) -> EqualCost | None:
    """Fit the additive model to trials.

    Args:
        trials: One row per design. Rows without quality or cost do not count, nor rows far below all others, whose
            training failed to learn. Of more than 20,000 designs, an evenly spaced part is used.
        axes: The columns of the axes; an axis with the same value in all trials is left out.
        cost: Column of the cost that is held fixed.
        quality: Column of the quality to explain.

    Returns:
        The model; None with fewer than `LEAST_TRIALS` designs, or if there is no axis in which they differ.
    """
    rows = trials[trials[quality].notna() & trials[cost].notna()]
    if len(rows) < LEAST_TRIALS:
        return None
    values = rows[quality].to_numpy(dtype=np.float64)
    learned = np.flatnonzero(values >= outer_fence(values))
    learned = learned[:: max(1, -(-len(learned) // _MOST_TRIALS))]
    rows, values = rows.iloc[learned], values[learned]
    spent = rows[cost].to_numpy(dtype=np.float64)
    costs = float(spent.min()), float(spent.max())
    trend = _trend(spent, costs)
    texts = {axis: _texts(rows[axis]) for axis in axes}
    columns = [(axis, value) for axis, values_of_axis in texts.items() for value in _levels(values_of_axis)]
    if not columns:
        return None
    indicators = np.stack([(texts[axis] == value).astype(np.float64) for axis, value in columns], axis=1)
    counts = indicators.sum(axis=0)
    centred = indicators - counts / len(rows)
    penalty = np.diag([0.0] * trend.shape[1] + [_PENALTY] * len(columns))
    design = np.concatenate([trend, centred], axis=1)
    inverse = np.linalg.pinv(design.T @ design + penalty)
    weights = inverse @ (design.T @ values)
    rest = values - design @ weights
    freedom = max(len(rows) - np.linalg.matrix_rank(design.T @ design, hermitian=True), 1)
    variance = float((rest**2).sum() / freedom)
    contrasts = _contrasts(counts, columns)
    first = trend.shape[1]
    # The ridge is a normal prior about 0, and this is the posterior covariance.
    covariance = contrasts @ (variance * inverse[first:, first:]) @ contrasts.T
    effects = pd.DataFrame(
        {
            "axis": [axis for axis, _ in columns],
            "value": [value for _, value in columns],
            "count": counts.astype(int),
            "effect": contrasts @ weights[first:],
            "error": np.sqrt(np.clip(np.diag(covariance), 0, None)),
        }
    )
    flat = values - trend @ np.linalg.lstsq(trend, values, rcond=None)[0]
    unseen = rest / _unleveraged(design @ inverse, design)
    total = float(((flat / _unleveraged(trend @ np.linalg.pinv(trend.T @ trend), trend)) ** 2).sum())
    explained = max(0.0, 1 - float((unseen**2).sum()) / total) if total > 0 else 0.0
    residuals = pd.DataFrame({"axes": flat, "rest": rest}, index=rows.index)
    fit = _Fit(weights, variance * inverse, columns, counts / len(rows), costs)
    return EqualCost(effects[effects["value"] != MISSING].reset_index(drop=True), residuals, explained, fit)


def interaction(trials: pd.DataFrame, model: EqualCost, first: str, second: str) -> pd.DataFrame:
    """Return the joint effect of two axes at equal cost.

    Args:
        trials: The trials that the model was fitted to.
        model: The result of `at_equal_cost`.
        first: Column of an axis.
        second: Column of another axis.

    Returns:
        One row per pair of values in the trials: ``first``, ``second`` (as text), ``count`` (trials with both),
        ``together`` (mean quality relative to the trend of the cost) and ``beyond`` (the part of it that the additive
        model does not explain), in the quality's unit.
    """
    rows = trials.loc[model.residuals.index]
    frame = pd.DataFrame(
        {
            "first": _texts(rows[first]),
            "second": _texts(rows[second]),
            "together": model.residuals["axes"].to_numpy(),
            "beyond": model.residuals["rest"].to_numpy(),
        }
    )
    frame = frame[(frame["first"] != MISSING) & (frame["second"] != MISSING)]
    pairs = frame.groupby(["first", "second"], sort=False)
    return pairs.agg(count=("together", "size"), together=("together", "mean"), beyond=("beyond", "mean")).reset_index()


def _unleveraged(projected: np.ndarray, design: np.ndarray) -> np.ndarray:
    """(n,) 1 - h, by which a residual is divided to become that of the model of all other rows (PRESS).

    Args:
        projected: (n, k) the design matrix times (X'X + penalty)^-1.
        design: (n, k) the design matrix X.
    """
    leverage = np.einsum("nk,nk->n", projected, design)
    return np.asarray(np.maximum(1 - leverage, 1e-6))


def _trend(cost: np.ndarray, between: tuple[float, float]) -> np.ndarray:
    """(n, 4) powers of the cost's logarithm, scaled so that the limits are -1 and 1; (n, 1) if they are equal."""
    logs = np.log10(np.maximum(cost, 1e-12))
    low, high = (math.log10(max(limit, 1e-12)) for limit in between)
    if low == high:
        return np.ones((len(cost), 1))
    return np.vander(2 * (logs - low) / (high - low) - 1, _DEGREE + 1, increasing=True)


def _texts(column: pd.Series) -> np.ndarray:
    """(n,) values as text; each distinct value is formatted once."""
    codes, values = pd.factorize(column)
    return np.array([*(axis_text(value) for value in values), MISSING], dtype=object)[codes]


def _levels(texts: np.ndarray) -> list[str]:
    """The distinct values of an axis in `level_order`; none if all are the same."""
    levels = sorted(set(texts.tolist()), key=level_order)
    return levels if len(levels) > 1 else []


def level_order(text: str) -> tuple[int, float, str]:
    """Return the sort key of a value: numbers by size, then words by name, then missing values."""
    if text == MISSING:
        return 2, 0.0, ""
    try:
        return 0, float(text), ""
    except ValueError:
        return 1, 0.0, text


def _contrasts(counts: np.ndarray, columns: Sequence[tuple[str, str]]) -> np.ndarray:
    """(k, k) matrix from weights to effects, relative to the mean over the trials that have the axis."""
    result = np.eye(len(columns))
    for axis in dict.fromkeys(axis for axis, _ in columns):
        own = np.array([name == axis and value != MISSING for name, value in columns])
        if counts[own].sum():
            result[np.ix_(own, own)] -= counts[own] / counts[own].sum()
    return result
