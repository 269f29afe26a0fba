"""Hypervolume: how much a front gains over a reference point, in one number.

Qualities (PSNR, SSIM) count as they are and costs by their log10, so that with PSNR and Mult-Adds the unit is dB x
decades: half the Mult-Adds at the same PSNR is worth the same everywhere on the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from srsearch.analysis.front import non_dominated
from srsearch.analysis.objectives import Direction, as_finished, directions, measured, trial_numbers
from srsearch.errors import InputError


def dominated_volume(points: np.ndarray, reference: np.ndarray) -> float:
    """Volume of the region that the points dominate, up to the reference.

    Args:
        points: Shape (n, d), less is better. Points not better than the reference in every axis add nothing.
        reference: Shape (d,), finite.

    Returns:
        The exact volume: a sweep for d <= 2, else the exclusive volumes of WFG with its slicing (While, Bradstreet,
        Barone: A Fast Way of Calculating Exact Hypervolumes, IEEE TEVC 2012).
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, len(reference))
    points = points[(points < reference).all(axis=1)]
    if not len(points):
        return 0.0
    front = points[non_dominated(points)]
    if front.shape[1] == 1:
        return float(reference[0] - front[0, 0])
    if front.shape[1] == 2:
        # The front comes sorted by the first axis, so its second axis falls: each step adds one rectangle.
        heights = np.concatenate(([reference[1]], front[:-1, 1])) - front[:, 1]
        return float(((reference[0] - front[:, 0]) * heights).sum())
    total = 0.0
    room = reference - front
    for position, point in enumerate(front):
        # No point before it has a larger first value, so what it shares with them is a slice as thick as its own.
        shared = np.maximum(front[:position, 1:], point[1:])
        exclusive = float(np.prod(room[position, 1:])) - dominated_volume(shared, reference[1:])
        total += float(room[position, 0]) * exclusive
    return total


def hypervolume(points: pd.DataFrame, reference: Mapping[str, float]) -> float:
    """Hypervolume of trials relative to a reference point.

    Args:
        points: One row per trial, with a column for each name in ``reference``; rows without a value are left out.
        reference: The worst point that still counts, by objective: for example ``{"psnr": 26.1, "mult_adds": 40e9}``,
            the PSNR of bicubic interpolation (dB) and the budget. A trial must be better in every objective to count.

    Returns:
        The volume; with PSNR and one cost in dB x decades of cost. 0.0 without a trial better than the reference.

    Raises:
        InputError: An unknown objective, a missing column, a reference or a cost that has no logarithm.
    """
    chosen = directions(list(reference))
    _, values = measured(points, chosen)
    return dominated_volume(_scaled(values, chosen), _scaled_reference(reference, chosen))


def hypervolume_history(
    trials: pd.DataFrame, objectives: Mapping[str, Direction] | Sequence[str], reference: Mapping[str, float]
) -> pd.DataFrame:
    """Hypervolume after each finished evaluation, in the order in which they ended.

    Args:
        trials: One row per trial, with the column ``finished_at`` or in the order they were evaluated; rows without a
            value for an objective are left out.
        objectives: The objectives that span the volume, each of them in ``reference``.
        reference: As in `hypervolume`; further names are ignored.

    Returns:
        Columns ``evaluation`` (1, 2, ...), ``trial`` (its number) and ``hypervolume`` (never falling).
    """
    chosen = directions(objectives)
    rows, values = measured(as_finished(trials), chosen)
    scaled, corner = _scaled(values, chosen), _scaled_reference(reference, chosen)
    front = np.empty((0, len(chosen)))
    history = np.zeros(len(rows))
    volume = 0.0
    for position, point in enumerate(scaled):
        # Most trials change nothing; only those that enter the front pay for a new volume.
        if (point < corner).all() and not (front <= point).all(axis=1).any():
            front = np.vstack((front[~(point <= front).all(axis=1)], point))
            volume = max(volume, dominated_volume(front, corner))
        history[position] = volume
    return pd.DataFrame(
        {"evaluation": np.arange(1, len(rows) + 1), "trial": trial_numbers(rows), "hypervolume": history}
    )


def _scaled(values: np.ndarray, chosen: Mapping[str, Direction]) -> np.ndarray:
    """Values with less better, shape (n, d), with the costs' columns in log10."""
    scaled = values.copy()
    for axis, (name, direction) in enumerate(chosen.items()):
        if direction == "min":
            if (scaled[:, axis] <= 0).any():
                raise InputError(f"{name} must be above zero to be compared by ratio")
            scaled[:, axis] = np.log10(scaled[:, axis])
    return scaled


def _scaled_reference(reference: Mapping[str, float], chosen: Mapping[str, Direction]) -> np.ndarray:
    """The reference point as `_scaled` has the values, shape (d,)."""
    missing = [name for name in chosen if name not in reference]
    if missing:
        raise InputError(f"the reference point has no {missing[0]}; it has {', '.join(reference) or 'nothing'}")
    signed = [-reference[name] if direction == "max" else reference[name] for name, direction in chosen.items()]
    if not np.isfinite(signed).all():
        raise InputError(f"the reference point must be finite, not {dict(reference)}")
    return _scaled(np.array([signed], dtype=np.float64), chosen).reshape(-1)
