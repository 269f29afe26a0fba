"""Agreement between rankings of the same designs: at two rungs of their training, or by two seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

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
