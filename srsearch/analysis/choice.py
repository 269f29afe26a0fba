"""The choice of a trial under a budget, the trials tied with it, and the axes in which they differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from srsearch.analysis.noise import Noise, seeds

_ONE_SIDED_95 = 1.645
"""The 95 % quantile of the standard normal distribution."""


def best(
    trials: pd.DataFrame,
    max_mult_adds: float | None = None,
    max_params: float | None = None,
    *,
    quality: str = "psnr",
) -> pd.Series | None:
    """Return the trial with the highest quality within a budget.

    Args:
        trials: One row per trial with the quality, ``mult_adds`` and ``params``; rows without the quality do not count.
        max_mult_adds: Largest Mult-Adds allowed; None: no limit.
        max_params: Largest number of parameters allowed; None: no limit.
        quality: ``psnr`` or ``ssim``.

    Returns:
        The row, or None if no trial fits. Among trials of equal quality, the cheapest (by Mult-Adds, then parameters),
        then the earliest.
    """
    fits = within(trials, max_mult_adds, max_params, quality)
    if fits.empty:
        return None
    return fits.sort_values([quality, "mult_adds", "params"], ascending=[False, True, True], kind="stable").iloc[0]


def tied_with_best(
    trials: pd.DataFrame,
    noise: Noise | None,
    max_mult_adds: float | None = None,
    max_params: float | None = None,
    *,
    quality: str = "psnr",
) -> pd.DataFrame:
    """Return the best trial within a budget and those that noise cannot tell from it, cheapest first.

    A design's measured quality is the mean over its seeds. It is taken as normal about the true quality, with variance
    deviation^2 / seeds. So the difference between the best design (b) and another (j) has the variance
    deviation^2 (1 / seeds_b + 1 / seeds_j). If j were truly as good as b, it would be measured below b by more than

        1.645 deviation sqrt(1 / seeds_b + 1 / seeds_j)

    once in twenty times. Designs that lie no further below are tied with the best: a one-sided test at 5 % does not
    tell them apart. The best is the highest of many measurements and so probably lucky, which makes the true
    differences smaller still.

    Args:
        trials: As for `best`; ``seeds`` counts as 1 if it is absent or NA.
        noise: Noise of the quality; None: unknown, and nothing is tied.
        max_mult_adds: As for `best`.
        max_params: As for `best`.
        quality: As for `best`.

    Returns:
        The rows with an additional column ``best``, True for one of them, sorted by Mult-Adds, then parameters, then
        descending quality. Empty if no trial fits.
    """
    fits = within(trials, max_mult_adds, max_params, quality)
    winner = best(fits, quality=quality)
    if winner is None:
        return fits.assign(best=pd.Series(dtype=bool))
    winners = np.asarray(fits.index == winner.name)
    tied = winners.copy()
    if noise is not None:
        numbers = seeds(fits)
        below = float(winner[quality]) - fits[quality].to_numpy(dtype=np.float64)
        reach = _ONE_SIDED_95 * noise.deviation * np.sqrt(1 / numbers[winners][0] + 1 / numbers)
        tied |= below <= reach
    rows = fits.assign(best=winners)[tied]
    return rows.sort_values(["mult_adds", "params", quality], ascending=[True, True, False], kind="stable")


def within(trials: pd.DataFrame, max_mult_adds: float | None, max_params: float | None, quality: str) -> pd.DataFrame:
    """Return the trials that have the quality and are within the budget."""
    fits = trials[trials[quality].notna()]
    for column, limit in (("mult_adds", max_mult_adds), ("params", max_params)):
        if limit is not None:
            fits = fits[(fits[column] <= limit).fillna(False).astype(bool)]
    return fits


def differing_axes(trials: pd.DataFrame, axes: Sequence[str]) -> list[str]:
    """Return the axes in which trials differ, in the given order; a missing axis counts as a value."""
    return [axis for axis in axes if trials[axis].nunique(dropna=False) > 1]
