"""Learning curves of designs of similar cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from srsearch.store import Curve

_BAND = 1.25  # designs of so many times the cost, up and down, are of similar cost
_MOST_CURVES = 400


def similar_curves(
    done: pd.DataFrame, curves: Mapping[int, Curve], number: int, cost: str, value: float | None
) -> tuple[pd.DataFrame, int]:
    """Quartiles of the curves of finished designs of similar cost, and how many designs these are.

    Args:
        done: The finished designs.
        curves: By number.
        number: Of the design that is compared with them.
        cost: The column of the cost.
        value: What the design costs.
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
        Columns ``step``, ``low``, ``middle``, ``high``; steps that fewer than three curves have are left out.
    """
    values: dict[float, list[float]] = {}
    for curve in curves:
        for step, psnr in curve:
            values.setdefault(step, []).append(psnr)
    rows = [(step, *np.quantile(found, [0.25, 0.5, 0.75])) for step, found in sorted(values.items()) if len(found) > 2]
    return pd.DataFrame(rows, columns=["step", "low", "middle", "high"])
