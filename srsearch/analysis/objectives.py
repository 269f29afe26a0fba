"""Objectives as columns of data frames: their directions and values, and the quality that ranks designs.

The table of objectives is `srsearch.objectives`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from srsearch.errors import InputError, suggest
from srsearch.objectives import OBJECTIVES, Direction, is_cost, objective


def directions(objectives: Mapping[str, Direction] | Iterable[str]) -> dict[str, Direction]:
    """Return the direction of each objective, in the given order.

    Args:
        objectives: Names from `OBJECTIVES`, or a mapping from columns to directions, which may name any column.

    Raises:
        InputError: There is no objective, a name is unknown, or a direction is neither ``max`` nor ``min``.
    """
    if isinstance(objectives, Mapping):
        chosen = dict(objectives)
    else:
        names = [objectives] if isinstance(objectives, str) else list(objectives)
        chosen = {name: objective(name).direction for name in names}
    if not chosen:
        raise InputError(f"no objective given; choose from {', '.join(OBJECTIVES)}")
    for name, direction in chosen.items():
        if direction not in ("max", "min"):
            raise InputError(f"objective {name!r}: direction {direction!r} is neither 'max' nor 'min'")
    return chosen


def costs_of(columns: Iterable[str]) -> list[str]:
    """Return the columns that are costs, in the order of `OBJECTIVES`."""
    present = set(columns)
    return [name for name in OBJECTIVES if name in present and is_cost(name)]


def quality_of(objectives: Iterable[str]) -> str:
    """Return the quality that ranks designs: the first among the objectives, or ``psnr`` if there is none."""
    return next((name for name in objectives if name in OBJECTIVES and not is_cost(name)), "psnr")


def at_length(steps: int) -> str:
    """Return the column of the PSNR in dB after a longer training of that many steps."""
    return f"psnr_at_{steps}"


def measured(trials: pd.DataFrame, chosen: Mapping[str, Direction]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the trials that have a value for every objective, and the values with smaller ones better.

    Args:
        trials: One row per trial, one column per objective.
        chosen: The directions of d objectives by column.

    Returns:
        The n rows that have all values, and the values, shape (n, d), float64; maximised objectives are negated.

    Raises:
        InputError: The trials lack a column.
    """
    missing = [name for name in chosen if name not in trials.columns]
    if missing:
        raise InputError(f"the trials have no column {missing[0]!r}; {suggest(missing[0], map(str, trials.columns))}")
    columns = [trials[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in chosen]
    values = np.stack(columns, axis=1)
    known = ~np.isnan(values).any(axis=1)
    signs = np.array([-1.0 if direction == "max" else 1.0 for direction in chosen.values()])
    return trials[known], values[known] * signs


def as_finished(trials: pd.DataFrame) -> pd.DataFrame:
    """Sort trials by the time at which they ended, ``finished_at``; without that column, return them unchanged.

    The order differs from that of their numbers with several workers, or if a design was stopped and continued.
    """
    if "finished_at" not in trials.columns:
        return trials
    return trials.sort_values("finished_at", kind="stable")


def trial_numbers(trials: pd.DataFrame) -> np.ndarray:
    """Return the trials' numbers, shape (n,): the column ``trial``, or the rows' positions without such a column."""
    if "trial" in trials.columns:
        return trials["trial"].to_numpy(dtype=np.int64)
    return np.arange(len(trials), dtype=np.int64)
