"""Quartiles of the learning curves of designs of similar cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from srsearch.store import Curve

_BAND = 1.25  # designs within this factor of a cost are of similar cost
_MOST_CURVES = 400


def similar_curves(
    done: pd.DataFrame, curves: Mapping[int, Curve], number: int, cost: str, value: float | None
) -> tuple[pd.DataFrame, int]:
    """Quartiles of the curves of finished designs of similar cost (as `curve_band`), and the number of these designs.

    Args:
        done: The finished designs.
        curves: The learning curves by trial number.
        number: The trial to compare with them, which is left out.
        cost: The column of the cost.
        value: The cost of that trial; None: unknown, and no design is similar.
    """
    if value is None or not len(done):
        return curve_band([]), 0
    near = done[done[cost].between(value / _BAND, value * _BAND)]
    numbers = [int(each) for each in near["trial"] if each != number]
    every = max(1, len(numbers) // _MOST_CURVES)
    return curve_band([curves[each] for each in numbers[::every] if each in curves]), len(numbers)


def curve_band(curves: Sequence[Curve]) -> pd.DataFrame:
    """Quartiles of PSNR by step over several curves.

    Returns:
        Columns ``step``, ``low``, ``middle``, ``high``; only steps that at least three curves have.
    """
    values: dict[float, list[float]] = {}
    for curve in curves:
        for step, psnr in curve:
            values.setdefault(step, []).append(psnr)
    rows = [(step, *np.quantile(psnrs, [0.25, 0.5, 0.75])) for step, psnrs in sorted(values.items()) if len(psnrs) > 2]
    return pd.DataFrame(rows, columns=["step", "low", "middle", "high"])
