"""Agreement between rankings of the same designs: at two rungs of their training, or by two seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

LEAST_DESIGNS = 6
"""Fewest designs that two rankings must have in common."""

_MOST_DESIGNS = 5_000


def rung_agreement(curves: Iterable[Sequence[Sequence[float]]]) -> pd.DataFrame:
    """Compute Kendall's τ between the PSNR of designs at two rungs, for every pair of rungs.

    Args:
        curves: (step, PSNR in dB) pairs of each finished design. Leave out designs that were stopped early: they would
            make early rungs look better than they are.

    Returns:
        One row per pair: ``first`` and ``second`` (steps, the first is smaller), ``designs`` (number of designs that
        have both) and ``tau`` (-1..1). Pairs with fewer than `LEAST_DESIGNS` designs are left out. Of more than 5,000
        designs, an evenly spaced part is used.
    """
    tables = [{point[0]: point[1] for point in curve} for curve in curves]
    tables = tables[:: max(1, -(-len(tables) // _MOST_DESIGNS))]
    steps = sorted({step for table in tables for step in table})
    rows = []
    for position, first in enumerate(steps):
        for second in steps[position + 1 :]:
            both = np.array([(table[first], table[second]) for table in tables if first in table and second in table])
            if len(both) >= LEAST_DESIGNS:
                rows.append((int(first), int(second), len(both), kendall(both[:, 0], both[:, 1])))
    frame = pd.DataFrame(rows, columns=["first", "second", "designs", "tau"])
    return frame[frame["tau"].notna()].reset_index(drop=True)


def seed_agreement(results: pd.DataFrame) -> pd.DataFrame:
    """Compute Kendall's τ between the rankings of the same designs by two seeds, for every pair of seeds.

    Args:
        results: One row per training: ``key`` (the design), ``seed`` and ``psnr``.

    Returns:
        One row per pair: ``first`` and ``second`` (seeds), ``designs`` (number of designs trained with both) and
        ``tau`` (-1..1). Pairs with fewer than `LEAST_DESIGNS` designs are left out.
    """
    table = results.pivot_table(index="key", columns="seed", values="psnr", aggfunc="mean")
    rows = []
    for position, first in enumerate(table.columns):
        for second in table.columns[position + 1 :]:
            both = table[[first, second]].dropna().to_numpy(dtype=np.float64)
            if len(both) >= LEAST_DESIGNS:
                rows.append((int(first), int(second), len(both), kendall(both[:, 0], both[:, 1])))
    frame = pd.DataFrame(rows, columns=["first", "second", "designs", "tau"])
    return frame[frame["tau"].notna()].reset_index(drop=True)


def kendall(first: np.ndarray, second: np.ndarray) -> float:
    """Return Kendall's τ-b of two (n,) arrays; NaN if one of them is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    from scipy.stats import kendalltau

    return float(kendalltau(first, second).statistic)


def partial_kendall(first: np.ndarray, second: np.ndarray, costs: np.ndarray) -> float:
    """Return what two rankings have in common beyond cost: Kendall's τ-b of what a parabola in log cost leaves over.

    Args:
        first: (n,) PSNR in dB of n designs, by one training.
        second: (n,) PSNR in dB by another.
        costs: (n,) costs above 0, such as Mult-Adds.

    Returns:
        -1..1; NaN with fewer than `LEAST_DESIGNS` different costs.
    """
    if len(np.unique(costs)) < LEAST_DESIGNS:
        return math.nan
    logs = np.log10(costs)
    logs = logs - logs.mean()
    left = [values - np.polyval(np.polyfit(logs, values, 2), logs) for values in (first, second)]
    return kendall(left[0], left[1])


def bootstrap_interval(
    statistic: Callable[..., float], *columns: np.ndarray, share: float = 0.9, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Compute the interval of a statistic over designs, by drawing as many designs with replacement many times.

    Args:
        statistic: Takes the columns; resamples for which it is NaN do not count.
        columns: (n,) arrays with a value for each of n designs.
        share: Share of the resamples inside the interval; the rest is half below and half above.
        resamples: How often designs are drawn.
        seed: Seed of the draws.

    Returns:
        Its ends; NaN if the statistic is NaN for every resample.
    """
    rng, count = np.random.default_rng(seed), len(columns[0])
    drawn = (rng.integers(count, size=count) for _ in range(resamples))
    values = [value for value in (statistic(*(each[index] for each in columns)) for index in drawn) if value == value]
    if not values:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
