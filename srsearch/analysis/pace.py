"""The pace of a search: evaluations per hour."""

from __future__ import annotations

import numpy as np
import pandas as pd

_LEAST_ENDS = 4  # per interval on average; with fewer, rates are noise


def per_hour(ends: pd.Series, *, most: int = 48) -> pd.DataFrame:
    """Compute the rate of finished evaluations in equal intervals of time.

    Args:
        ends: Times (UTC) at which evaluations ended, in any order.
        most: Largest number of intervals; each is a round number of seconds, minutes or hours long.

    Returns:
        Columns ``start`` (UTC), ``hours`` (length of the interval) and ``rate`` (evaluations per hour). The last
        interval ends with the last evaluation. Empty with fewer than two times.
    """
    times = ends.dropna().sort_values()
    if len(times) < 2:
        return pd.DataFrame({"start": times.iloc[:0], "hours": [], "rate": []})
    span = (times.iloc[-1] - times.iloc[0]).total_seconds()
    lengths = [1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 7 * 86400]
    least = max(span / most, _LEAST_ENDS * span / len(times))
    seconds = next((length for length in lengths if length >= least), least)
    elapsed = (times - times.iloc[0]).dt.total_seconds().to_numpy()
    counts = np.bincount((elapsed // seconds).astype(int))
    durations = np.full(len(counts), float(seconds))
    durations[-1] = max(span - seconds * (len(counts) - 1), 0.1 * seconds)
    return pd.DataFrame(
        {
            "start": times.iloc[0] + pd.to_timedelta(np.arange(len(counts)) * seconds, unit="s"),
            "hours": durations / 3600,
            "rate": counts / (durations / 3600),
        }
    )
