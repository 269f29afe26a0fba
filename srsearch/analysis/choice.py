"""Choosing among trials, and what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def best(trials: pd.DataFrame, max_mult_adds: float | None = None, max_params: float | None = None) -> pd.Series | None:
    """The trial with the highest PSNR within a budget.

    Args:
        trials: One row per trial with ``psnr``, ``mult_adds`` and ``params``; rows without a PSNR do not count.
        max_mult_adds: Largest Mult-Adds allowed; None: any.
        max_params: Largest number of parameters allowed; None: any.

    Returns:
        The row, or None where nothing fits. Of equal PSNR the cheaper (Mult-Adds, then parameters), then the earlier.
    """
    fits = trials[trials["psnr"].notna()]
    for column, limit in (("mult_adds", max_mult_adds), ("params", max_params)):
        if limit is not None:
            fits = fits[(fits[column] <= limit).fillna(False).astype(bool)]
    if fits.empty:
        return None
    return fits.sort_values(["psnr", "mult_adds", "params"], ascending=[False, True, True], kind="stable").iloc[0]


def differing_axes(trials: pd.DataFrame, axes: Sequence[str]) -> list[str]:
    """Those axes whose values are not the same in all trials, in the order given; an axis not taken is a value too."""
    return [axis for axis in axes if trials[axis].nunique(dropna=False) > 1]
