"""The Pareto front: the designs that no other design dominates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from srsearch.analysis.objectives import directions, measured, trial_numbers
from srsearch.objectives import Direction


def non_dominated(values: np.ndarray) -> np.ndarray:
    """Return the positions of the points on the front.

    Args:
        values: Shape (n, d), smaller is better. Of equal points, only the first in the array is on the front.

    Returns:
        Positions of the front's points, shape (m,), in lexicographic order of the values.
    """
    # In lexicographic order (ties by position), a point can only be dominated by, or equal to, an earlier one. So the
    # first remaining point is on the front, and removes those it dominates: one vectorised pass per point of the front.
    order = np.lexsort((np.arange(len(values)), *values.T[::-1]))
    if values.shape[1] == 2 and len(order):  # a point is on the front if its second value is below all before it
        lowest = np.minimum.accumulate(values[order, 1])
        return np.asarray(order[np.concatenate([[True], lowest[1:] < lowest[:-1]])])
    front: list[int] = []
    while len(order):
        head, order = order[0], order[1:]
        front.append(int(head))
        order = order[(values[order] < values[head]).any(axis=1)]
    return np.array(front, dtype=np.int64)


def pareto_front(trials: pd.DataFrame, objectives: Mapping[str, Direction] | Sequence[str]) -> pd.DataFrame:
    """Return the non-dominated trials, cheapest first.

    Args:
        trials: One row per trial. Rows without a value for every objective (failed, infeasible, running) are left out.
        objectives: Column names, or a mapping from column to ``"max"`` or ``"min"``.

    Returns:
        The front's rows with all their columns, sorted by the first cost, then the other costs, then descending
        quality. Of trials that are equal in every objective, only the one with the lowest number is on the front.
        ``attrs["objectives"]`` names the objectives.

    Raises:
        InputError: An objective is unknown, or its column is missing.

    Example:
        >>> trials = pd.DataFrame({"trial": [0, 1, 2], "psnr": [30.0, 31.0, 29.0], "mult_adds": [10, 20, 15]})
        >>> pareto_front(trials, ["psnr", "mult_adds"])["trial"].tolist()
        [0, 1]
    """
    chosen = directions(objectives)
    rows, values = measured(trials, chosen)
    by_number = np.argsort(trial_numbers(rows), kind="stable")
    front = by_number[non_dominated(values[by_number])]
    costs_first = sorted(range(len(chosen)), key=lambda axis: list(chosen.values())[axis] == "max")
    order = np.lexsort([values[front, axis] for axis in reversed(costs_first)])
    result: pd.DataFrame = rows.iloc[front[order]].reset_index(drop=True)
    result.attrs = {**trials.attrs, "objectives": list(chosen)}
    return result
