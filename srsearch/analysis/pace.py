"""The pace of a search: how many evaluations ended in an hour."""

from __future__ import annotations

import numpy as np
import pandas as pd

_LEAST_ENDS = 4  # in a stretch on average: with fewer, its rate is noise


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
