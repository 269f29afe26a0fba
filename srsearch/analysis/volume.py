"""Hypervolume: how much a front gains over a reference point, in one number.

Qualities (PSNR, SSIM) count as they are and costs by their log10, so that with PSNR and Mult-Adds the unit is dB x
decades: half the Mult-Adds at the same PSNR is worth the same everywhere on the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from srsearch.analysis.front import non_dominated
from srsearch.analysis.objectives import as_finished, directions, measured, trial_numbers
from srsearch.errors import InputError
from srsearch.objectives import Direction

_CHUNK = 2_000


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
    if len(reference) == 1:
        return float(reference[0] - points[:, 0].min())
    if len(reference) == 2:
        # Along the first axis, up to the next point, the lowest so far counts.
        ordered = points[np.argsort(points[:, 0])]
        widths = np.append(ordered[1:, 0], reference[0]) - ordered[:, 0]
        return float((widths * (reference[1] - np.minimum.accumulate(ordered[:, 1]))).sum())
    front = points[non_dominated(points)]
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
    positions, volumes = _rise(_scaled(values, chosen), _scaled_reference(reference, chosen))
    lasting = np.diff(positions, append=len(rows))
    return pd.DataFrame(
        {
            "evaluation": np.arange(1, len(rows) + 1),
            "trial": trial_numbers(rows),
            "hypervolume": np.repeat(volumes, lasting),
        }
    )


def hypervolume_steps(trials: pd.DataFrame, objectives: Sequence[str], reference: Mapping[str, float]) -> pd.DataFrame:
    """The hypervolume where it changed: `hypervolume_history` without most of the rows that repeat the one before.

    Args:
        trials: As for `hypervolume_history`.
        objectives: The objectives that span the volume, each of them in ``reference``.
        reference: As in `hypervolume`.

    Returns:
        Columns ``evaluation`` (1, 2, ... among all finished ones), ``trial`` and ``hypervolume``, and ``finished_at``
        where the trials have it. The first and the last evaluation are always there.
    """
    chosen = directions(objectives)
    rows, values = measured(as_finished(trials), chosen)
    positions, volumes = _rise(_scaled(values, chosen), _scaled_reference(reference, chosen))
    steps = pd.DataFrame(
        {"evaluation": positions + 1, "trial": trial_numbers(rows)[positions], "hypervolume": volumes},
    )
    if "finished_at" in rows.columns:
        steps["finished_at"] = rows["finished_at"].iloc[positions].to_numpy()
    return steps


def _rise(scaled: np.ndarray, corner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How the volume of points (n, d), less is better, grows with each of them.

    Returns:
        Positions (m,) of the points that may have changed it, the first and the last among them, and the volume from
        each of them on.
    """
    positions = _improving(scaled)
    volumes = np.zeros(len(positions))
    front = np.empty((0, len(corner)))
    volume = 0.0
    for place, position in enumerate(positions):
        point = scaled[position]
        if (point < corner).all() and not (front <= point).all(axis=1).any():
            front = np.vstack((front[~(point <= front).all(axis=1)], point))
            volume = max(volume, dominated_volume(front, corner))
        volumes[place] = volume
    return positions, volumes


def _improving(values: np.ndarray) -> np.ndarray:
    """Positions (m,) of the points (n, d), less is better, that none before them dominates; with the first and last."""
    if not len(values):
        return np.empty(0, dtype=np.int64)
    kept = [0]
    front = values[:1]
    for start in range(1, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        # Most points are beaten by the front as it was before the chunk, which is found for all of them at once.
        beaten: np.ndarray = np.any(np.all(front[None] <= chunk[:, None], axis=2), axis=1)
        for position in np.flatnonzero(~beaten):
            point = chunk[position]
            if not (front <= point).all(axis=1).any():
                front = np.vstack((front[~(point <= front).all(axis=1)], point))
                kept.append(start + int(position))
    if kept[-1] != len(values) - 1:
        kept.append(len(values) - 1)
    return np.array(kept, dtype=np.int64)


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
