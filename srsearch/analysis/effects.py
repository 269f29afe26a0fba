"""What each axis does to the quality of designs of equal cost, and what two axes do together.

Large designs are better, so an axis that makes designs larger looks good whatever else it does. Here the quality is
modelled as

    quality = f(log10 cost) + sum over axes of effect(value of the axis) + e,

with f a polynomial of third degree, by ridge regression on one column for each value of each axis. An effect is what is
left of an axis when the cost and the other axes are held, relative to the mean over the trials. Axes that exist only
under an option of another have effects relative to each other under that option.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from srsearch.analysis.noise import outer_fence
from srsearch.labels import MISSING, axis_text

LEAST_TRIALS = 12
"""Finished designs before anything is said."""

_PENALTY = 1.0  # of the ridge: as if each effect had been seen once more, and were nought
_MOST_TRIALS = 20_000
_DEGREE = 3


@dataclass(frozen=True)
class EqualCost:
    """The additive model.

    Attributes:
        effects: One row per value of each axis: ``axis``, ``value`` (as text), ``count``, ``effect`` and ``error``
            (its standard error), in the quality's unit (dB for PSNR).
        residuals: By row of the trials modelled, the quality without the cost's part; columns ``axes`` and ``rest``.
        explained: The share of the variance at equal cost that the axes explain, 0..1.
    """

    effects: pd.DataFrame
    residuals: pd.DataFrame
    explained: float


def at_equal_cost(
    trials: pd.DataFrame, axes: Sequence[str], *, cost: str = "mult_adds", quality: str = "psnr"
) -> EqualCost | None:
    """Fit the model.

    Args:
        trials: One row per design; those without quality or cost do not count, nor those far below all others, which
            never learned. Of more than 20,000 an even share.
        axes: The columns of the axes; those with one value everywhere say nothing and are left out.
        cost: The cost that is held.
        quality: What is explained.

    Returns:
        None with fewer than `LEAST_TRIALS` designs, or without an axis in which they differ.
    """
    rows = trials[trials[quality].notna() & trials[cost].notna()]
    if len(rows) < LEAST_TRIALS:
        return None
    values = rows[quality].to_numpy(dtype=np.float64)
    learned = np.flatnonzero(values >= outer_fence(values))
    learned = learned[:: max(1, -(-len(learned) // _MOST_TRIALS))]
    rows, values = rows.iloc[learned], values[learned]
    trend = _trend(rows[cost].to_numpy(dtype=np.float64))
    words = {axis: _words(rows[axis]) for axis in axes}
    columns = [(axis, value) for axis, found in words.items() for value in _levels(found)]
    if not columns:
        return None
    shown = np.stack([(words[axis] == value).astype(np.float64) for axis, value in columns], axis=1)
    counts = shown.sum(axis=0)
    centred = shown - counts / len(rows)
    penalty = np.diag([0.0] * trend.shape[1] + [_PENALTY] * len(columns))
    design = np.concatenate([trend, centred], axis=1)
    inverse = np.linalg.pinv(design.T @ design + penalty)
    weights = inverse @ (design.T @ values)
    left = values - design @ weights
    freedom = max(len(rows) - np.linalg.matrix_rank(design.T @ design, hermitian=True), 1)
    variance = float((left**2).sum() / freedom)
    contrasts = _contrasts(counts, columns)
    first = trend.shape[1]
    # The ridge is a normal prior about nought: this is the covariance of what remains unknown.
    unknown = contrasts @ (variance * inverse[first:, first:]) @ contrasts.T
    effects = pd.DataFrame(
        {
            "axis": [axis for axis, _ in columns],
            "value": [value for _, value in columns],
            "count": counts.astype(int),
            "effect": contrasts @ weights[first:],
            "error": np.sqrt(np.clip(np.diag(unknown), 0, None)),
        }
    )
    flat = values - trend @ np.linalg.lstsq(trend, values, rcond=None)[0]
    total = float((flat**2).sum())
    explained = max(0.0, 1 - float((left**2).sum()) / total) if total > 0 else 0.0
    residuals = pd.DataFrame({"axes": flat, "rest": left}, index=rows.index)
    return EqualCost(effects[effects["value"] != MISSING].reset_index(drop=True), residuals, explained)


def interaction(trials: pd.DataFrame, model: EqualCost, first: str, second: str) -> pd.DataFrame:
    """What two axes do together at equal cost.

    Args:
        trials: Those the model was fitted to.
        model: Of `at_equal_cost`.
        first: An axis.
        second: Another one.

    Returns:
        One row per pair of values that was tried: ``first``, ``second`` (as text), ``count``, ``together`` (mean
        quality relative to the trend of the cost) and ``beyond`` (what of it the two axes alone do not explain).
    """
    rows = trials.loc[model.residuals.index]
    frame = pd.DataFrame(
        {
            "first": _words(rows[first]),
            "second": _words(rows[second]),
            "together": model.residuals["axes"].to_numpy(),
            "beyond": model.residuals["rest"].to_numpy(),
        }
    )
    frame = frame[(frame["first"] != MISSING) & (frame["second"] != MISSING)]
    found = frame.groupby(["first", "second"], sort=False)
    return found.agg(count=("together", "size"), together=("together", "mean"), beyond=("beyond", "mean")).reset_index()


def _trend(cost: np.ndarray) -> np.ndarray:
    """(n, 4) powers of the cost's logarithm, scaled to -1..1; (n, 1) where it is the same for all."""
    logs = np.log10(np.maximum(cost, 1e-12))
    spread = np.ptp(logs)
    if spread == 0:
        return np.ones((len(cost), 1))
    return np.vander(2 * (logs - logs.min()) / spread - 1, _DEGREE + 1, increasing=True)


def _words(column: pd.Series) -> np.ndarray:
    """(n,) the values as text; each is written once, however often it is there."""
    codes, values = pd.factorize(column)
    return np.array([*(axis_text(value) for value in values), MISSING], dtype=object)[codes]


def _levels(words: np.ndarray) -> list[str]:
    """The values of an axis, numbers by size and words by name; none where all are the same."""
    found = sorted(set(words.tolist()), key=level_order)
    return found if len(found) > 1 else []


def level_order(word: str) -> tuple[int, float, str]:
    """Numbers by size, then words by name, what is missing last."""
    if word == MISSING:
        return 2, 0.0, ""
    try:
        return 0, float(word), ""
    except ValueError:
        return 1, 0.0, word


def _contrasts(counts: np.ndarray, columns: Sequence[tuple[str, str]]) -> np.ndarray:
    """(k, k): from weights to effects relative to the mean over those trials that took the axis."""
    result = np.eye(len(columns))
    for axis in dict.fromkeys(axis for axis, _ in columns):
        mine = np.array([name == axis and value != MISSING for name, value in columns])
        if counts[mine].sum():
            result[np.ix_(mine, mine)] -= counts[mine] / counts[mine].sum()
    return result
