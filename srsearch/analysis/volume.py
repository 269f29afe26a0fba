"""Hypervolume: the volume between a front and a reference point.

Qualities (PSNR, SSIM) are taken as they are and costs as their log10. With PSNR and Mult-Adds the unit is dB x decades:
halving the Mult-Adds at the same PSNR counts the same everywhere on the front.
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
    """Compute the exact volume of the region between points and a reference that the points dominate.

    It is a sweep for d <= 2, else the WFG algorithm of exclusive volumes with slicing (While, Bradstreet, Barone: A
    Fast Way of Calculating Exact Hypervolumes, IEEE TEVC 2012).

    Args:
        points: Shape (n, d), smaller is better. Points that are not better than the reference in every dimension add
            nothing.
        reference: Shape (d,), finite.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, len(reference))
    points = points[(points < reference).all(axis=1)]
    if not len(points):
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - points[:, 0].min())
    if len(reference) == 2:
        # Between two neighbours along the first dimension, the lowest second value so far bounds the region.
        ordered = points[np.argsort(points[:, 0])]
        widths = np.append(ordered[1:, 0], reference[0]) - ordered[:, 0]
        return float((widths * (reference[1] - np.minimum.accumulate(ordered[:, 1]))).sum())
    front = points[non_dominated(points)]
    total = 0.0
    sides = reference - front
    for position, point in enumerate(front):
        # Points before this one have no larger first value, so the regions overlap along its whole first side.
        shared = np.maximum(front[:position, 1:], point[1:])
        exclusive = float(np.prod(sides[position, 1:])) - dominated_volume(shared, reference[1:])
        total += float(sides[position, 0]) * exclusive
    return total


def hypervolume(points: pd.DataFrame, reference: Mapping[str, float]) -> float:
    """Compute the hypervolume of trials relative to a reference point.

    Args:
        points: One row per trial, with a column for each name in ``reference``; rows without a value are left out.
        reference: Reference value of each objective, for example ``{"psnr": 26.1, "mult_adds": 40e9}``: the PSNR of
            bicubic interpolation (dB) and the budget. A trial must be better in every objective to count.

    Returns:
        The volume; with PSNR and one cost in dB x decades of cost. 0.0 if no trial is better than the reference.

    Raises:
        InputError: An objective is unknown, a column is missing, or a cost or the reference has no logarithm.
    """
    chosen = directions(list(reference))
    _, values = measured(points, chosen)
    return dominated_volume(_scaled(values, chosen), _scaled_reference(reference, chosen))


def hypervolume_history(
    trials: pd.DataFrame, objectives: Mapping[str, Direction] | Sequence[str], reference: Mapping[str, float]
) -> pd.DataFrame:
    """Compute the hypervolume after each finished evaluation, in the order in which they ended.

    Args:
        trials: One row per trial, with the column ``finished_at`` or in the order of evaluation; rows without a value
            for an objective are left out.
        objectives: The objectives that span the volume; each of them has to be in ``reference``.
        reference: As in `hypervolume`; other names are ignored.

    Returns:
        Columns ``evaluation`` (1, 2, ...), ``trial`` (its number) and ``hypervolume``, which never falls.
    """
    chosen = directions(objectives)
    rows, values = measured(as_finished(trials), chosen)
    positions, volumes = _rise(_scaled(values, chosen), _scaled_reference(reference, chosen))
    lengths = np.diff(positions, append=len(rows))
    return pd.DataFrame(
        {
            "evaluation": np.arange(1, len(rows) + 1),
            "trial": trial_numbers(rows),
            "hypervolume": np.repeat(volumes, lengths),
        }
    )


def hypervolume_steps(trials: pd.DataFrame, objectives: Sequence[str], reference: Mapping[str, float]) -> pd.DataFrame:
    """Compute the hypervolume where it changes: `hypervolume_history` without most of the repeated rows.

    Args:
        trials: As for `hypervolume_history`.
        objectives: As for `hypervolume_history`.
        reference: As for `hypervolume_history`.

    Returns:
        Columns ``evaluation`` (1, 2, ... among all finished ones), ``trial`` and ``hypervolume``, and ``finished_at``
        if the trials have it. The first and the last evaluation are always included.
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
    """The growth of the volume as (n, d) points are added one by one; smaller is better.

    Returns:
        Positions (m,) of the points that may change the volume, including the first and the last, and (m,) volumes
        from each of them on.
    """
    positions = _improving(scaled)
    volumes = np.zeros(len(positions))
    front = np.empty((0, len(corner)))
    volume = 0.0
    for i, position in enumerate(positions):
        point = scaled[position]
        if (point < corner).all() and not (front <= point).all(axis=1).any():
            front = np.vstack((front[~(point <= front).all(axis=1)], point))
            volume = max(volume, dominated_volume(front, corner))
        volumes[i] = volume
    return positions, volumes


def _improving(values: np.ndarray) -> np.ndarray:
    """Positions (m,) of the (n, d) points that no earlier one dominates, with the first and last; smaller is better."""
    if not len(values):
        return np.empty(0, dtype=np.int64)
    positions = [0]
    front = values[:1]
    for start in range(1, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        # The front before the chunk dominates most of its points, which is tested for all of them at once.
        dominated: np.ndarray = np.any(np.all(front[None] <= chunk[:, None], axis=2), axis=1)
        for position in np.flatnonzero(~dominated):
            point = chunk[position]
            if not (front <= point).all(axis=1).any():
                front = np.vstack((front[~(point <= front).all(axis=1)], point))
                positions.append(start + int(position))
    if positions[-1] != len(values) - 1:
        positions.append(len(values) - 1)
    return np.array(positions, dtype=np.int64)


def _scaled(values: np.ndarray, chosen: Mapping[str, Direction]) -> np.ndarray:
    """The (n, d) values, smaller is better, with costs as their log10."""
    scaled = values.copy()
    for axis, (name, direction) in enumerate(chosen.items()):
        if direction == "min":
            if (scaled[:, axis] <= 0).any():
                raise InputError(f"{name} must be above zero: its logarithm is taken")
            scaled[:, axis] = np.log10(scaled[:, axis])
    return scaled


def _scaled_reference(reference: Mapping[str, float], chosen: Mapping[str, Direction]) -> np.ndarray:
    """The reference point (d,) on the scale of `_scaled`."""
    missing = [name for name in chosen if name not in reference]
    if missing:
        raise InputError(f"the reference point has no {missing[0]}; it has {', '.join(reference) or 'nothing'}")
    signed = [-reference[name] if direction == "max" else reference[name] for name, direction in chosen.items()]
    if not np.isfinite(signed).all():
        raise InputError(f"the reference point must be finite, not {dict(reference)}")
    return _scaled(np.array([signed], dtype=np.float64), chosen).reshape(-1)
