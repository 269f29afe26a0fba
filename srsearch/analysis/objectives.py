"""What can be searched for, and which way is better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import pandas as pd

from srsearch.errors import InputError, suggest

Direction = Literal["max", "min"]

OBJECTIVES: Mapping[str, Direction] = {
    "psnr": "max",
    "ssim": "max",
    "mult_adds": "min",
    "params": "min",
    "activations": "min",
}
"""Every objective by its column name. Those to be minimised are costs: counts above zero, compared by ratio (log10)."""


def directions(objectives: Mapping[str, Direction] | Iterable[str]) -> dict[str, Direction]:
    """Which way each objective is better, in the order given.

    Args:
        objectives: Names out of `OBJECTIVES`, or a mapping that says the direction of each (then any column will do).

    Raises:
        InputError: No objective, an unknown name, or a direction that is neither ``max`` nor ``min``.
    """
    if isinstance(objectives, Mapping):
        chosen = dict(objectives)
    else:
        names = [objectives] if isinstance(objectives, str) else list(objectives)
        for name in names:
            if name not in OBJECTIVES:
                raise InputError(f"unknown objective {name!r}; {suggest(name, OBJECTIVES)}")
        chosen = {name: OBJECTIVES[name] for name in names}
    if not chosen:
        raise InputError(f"no objective given; choose from {', '.join(OBJECTIVES)}")
    for name, direction in chosen.items():
        if direction not in ("max", "min"):
            raise InputError(f"objective {name!r}: direction {direction!r} is neither 'max' nor 'min'")
    return chosen


def costs_of(columns: Iterable[str]) -> list[str]:
    """Those of the columns that are costs, in the order of `OBJECTIVES`."""
    there = set(columns)
    return [name for name, direction in OBJECTIVES.items() if direction == "min" and name in there]


def quality_of(objectives: Iterable[str]) -> str:
    """The quality by which designs are ranked: the first among the objectives, PSNR where there is none."""
    return next((name for name in objectives if OBJECTIVES.get(name) == "max"), "psnr")


def measured(trials: pd.DataFrame, chosen: Mapping[str, Direction]) -> tuple[pd.DataFrame, np.ndarray]:
    """The trials that have a value for every objective, and these values with less always better.

    Args:
        trials: One row per trial, a column per objective.
        chosen: Directions by column, d of them.

    Returns:
        The n rows kept, and their values, shape (n, d), float64; maximised objectives are negated.
    """
    missing = [name for name in chosen if name not in trials.columns]
    if missing:
        raise InputError(f"the trials have no column {missing[0]!r}; {suggest(missing[0], map(str, trials.columns))}")
    columns = [trials[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in chosen]
    values = np.stack(columns, axis=1)
    there = ~np.isnan(values).any(axis=1)
    signs = np.array([-1.0 if direction == "max" else 1.0 for direction in chosen.values()])
    return trials[there], values[there] * signs


def as_finished(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials in the order in which they ended, where the column ``finished_at`` tells it: not that of their
    numbers, with several workers or where a design was set aside and continued later."""
    if "finished_at" not in trials.columns:
        return trials
    return trials.sort_values("finished_at", kind="stable")


def trial_numbers(trials: pd.DataFrame) -> np.ndarray:
    """The trials' numbers, shape (n,): the column ``trial`` where there is one, else the rows' positions."""
    if "trial" in trials.columns:
        return trials["trial"].to_numpy(dtype=np.int64)
    return np.arange(len(trials), dtype=np.int64)
