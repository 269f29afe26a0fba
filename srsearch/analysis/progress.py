"""How a search went on: the evaluations that moved its front, and how many ended in an hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from srsearch.analysis.objectives import directions, measured, trial_numbers
from srsearch.analysis.volume import _scaled, _scaled_reference, dominated_volume

_CHUNK = 2_000
_LEAST_ENDS = 4  # in a stretch on average: with fewer, its rate is noise


def hypervolume_steps(trials: pd.DataFrame, objectives: Sequence[str], reference: Mapping[str, float]) -> pd.DataFrame:
    """The hypervolume where it changed: `hypervolume_history` without most of the rows that repeat the one before.

    Args:
        trials: One row per trial in the order in which they ended; rows without a value for an objective are left out.
        objectives: The objectives that span the volume, each of them in ``reference``.
        reference: As in `srsearch.analysis.hypervolume`.

    Returns:
        Columns ``evaluation`` (1, 2, ... among all finished ones), ``trial`` and ``hypervolume``, and ``finished_at``
        where the trials have it. The first and the last evaluation are always there.
    """
    chosen = directions(objectives)
    rows, values = measured(trials, chosen)
    scaled, corner = _scaled(values, chosen), _scaled_reference(reference, chosen)
    kept, volumes = [], []
    front = np.empty((0, len(chosen)))
    volume = 0.0
    for position in _improving(scaled):
        point = scaled[position]
        if (point < corner).all() and not (front <= point).all(axis=1).any():
            front = np.vstack((front[~(point <= front).all(axis=1)], point))
            volume = max(volume, _area(front, corner) if len(corner) == 2 else dominated_volume(front, corner))
        kept.append(int(position))
        volumes.append(volume)
    numbers = trial_numbers(rows)
    history = pd.DataFrame(
        {
            "evaluation": np.array(kept, dtype=np.int64) + 1,
            "trial": numbers[kept] if kept else numbers,
            "hypervolume": np.array(volumes, dtype=np.float64),
        }
    )
    if "finished_at" in rows.columns:
        history["finished_at"] = rows["finished_at"].iloc[kept].to_numpy()
    return history


def _area(front: np.ndarray, corner: np.ndarray) -> float:
    """The area that a front (n, 2) of points better than the corner dominates: `dominated_volume`, quicker."""
    ordered = front[np.argsort(front[:, 0])]
    widths = np.append(ordered[1:, 0], corner[0]) - ordered[:, 0]
    return float((widths * (corner[1] - ordered[:, 1])).sum())


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


def per_hour(ends: pd.Series, *, most: int = 48) -> pd.DataFrame:
    """How many evaluations ended in each stretch of time.

    Args:
        ends: Times (UTC) at which evaluations ended, in any order.
        most: Stretches at most; they are a round number of seconds, minutes or hours long.

    Returns:
        Columns ``start`` (UTC), ``hours`` (length of the stretch) and ``rate`` (evaluations per hour); the last stretch
        counts only as far as the last end.
    """
    times = ends.dropna().sort_values()
    if len(times) < 2:
        return pd.DataFrame({"start": times.iloc[:0], "hours": [], "rate": []})
    span = (times.iloc[-1] - times.iloc[0]).total_seconds()
    lengths = [1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 7 * 86400]
    least = max(span / most, _LEAST_ENDS * span / len(times))
    seconds = next((length for length in lengths if length >= least), least)
    passed = (times - times.iloc[0]).dt.total_seconds().to_numpy()
    counts = np.bincount((passed // seconds).astype(int))
    lasting = np.full(len(counts), float(seconds))
    lasting[-1] = max(span - seconds * (len(counts) - 1), 0.1 * seconds)
    return pd.DataFrame(
        {
            "start": times.iloc[0] + pd.to_timedelta(np.arange(len(counts)) * seconds, unit="s"),
            "hours": lasting / 3600,
            "rate": counts / (lasting / 3600),
        }
    )
