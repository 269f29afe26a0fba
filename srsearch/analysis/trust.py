"""How far the rankings of a study can be trusted: agreement between lengths of training and between seeds, and the
calibration of predictions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from srsearch.analysis.agreement import LEAST_DESIGNS, kendall
from srsearch.analysis.gaussian_process import Array
from srsearch.analysis.objectives import at_length
from srsearch.analysis.predicted import Observations
from srsearch.objectives import COSTS

_RESAMPLES = 300
"""Bootstrap samples of an interval."""

_BANDS = 3
"""Bands of equal numbers of designs, ordered by cost."""

_TOP_SHARE = 0.2
"""Share of the designs that counts as the best ones."""

_HALF, _NINE_TENTHS = 0.6745, 1.645
"""Standard deviations within which half, and nine tenths, of a normal variable lie."""


@dataclass(frozen=True)
class Measure:
    """A measure of agreement with its bootstrap interval.

    Attributes:
        value: The measure; NaN if it is not defined, for example among equal values.
        low: The 5th percentile over resamples of the designs.
        high: The 95th percentile.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return "" if math.isnan(self.value) else f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Agreement:
    """How a ranking agrees with another of the same designs.

    Attributes:
        ranking: What ranks the designs, such as ``600 steps`` or ``Mult-Adds``.
        against: What it is compared with, such as ``9,600 steps``.
        designs: Number of designs that have both.
        tau: Kendall's tau-b.
        partial_tau: The same of what the logarithm of the cost, with its square, does not explain.
        tau_within_bands: Mean of Kendall's tau within bands of similar cost.
        top_recall: Share of the best fifth of the designs that is among the best fifth of the other ranking.
    """

    ranking: str
    against: str
    designs: int
    tau: Measure
    partial_tau: Measure
    tau_within_bands: Measure
    top_recall: Measure


@dataclass(frozen=True)
class Calibration:
    """The predictions of designs after the longest training, each without its own longer trainings.

    Attributes:
        steps: Steps of the longest training.
        designs: Number of designs that were trained that long.
        error: Root mean square of the errors in dB.
        within_50: Share of the scores inside the 50 % intervals of the predictions.
        within_90: The same of the 90 % intervals.
    """

    steps: int
    designs: int
    error: float
    within_50: float
    within_90: float


def agreements(trials: pd.DataFrame, steps: int | None) -> list[Agreement]:
    """Compare the rankings of a study's designs by shorter trainings and by costs with those by longer ones.

    Args:
        trials: One row per design, from `srsearch.store.Store.trials`.
        steps: Steps of the shortest training, that of the column ``psnr``; None if unknown.

    Returns:
        For each longer training, the rankings by every shorter one, by Mult-Adds and by parameters (more is better).
        Pairs with fewer than 6 designs are left out.
    """
    first = "the shortest" if steps is None else f"{steps:,} steps"
    lengths = {"psnr": first} | {at_length(each): f"{each:,} steps" for each in trials.attrs.get("lengths", [])}
    finished = trials[trials["state"] == "complete"]
    columns = list(lengths)
    found = []
    for place, longer in enumerate(columns[1:], start=1):
        rankings = {column: lengths[column] for column in columns[:place]}
        rankings |= {"mult_adds": "Mult-Adds", "params": "parameters"}
        for column, name in rankings.items():
            table = finished[[column, longer, "mult_adds"]].to_numpy(dtype=np.float64, na_value=math.nan)
            table = table[np.isfinite(table).all(axis=1)]
            if column in COSTS:
                table[:, 0] = np.log10(table[:, 0])
            if len(table) >= LEAST_DESIGNS:
                found.append(_agreement(name, lengths[longer], table))
    return found


def seed_agreements(results: pd.DataFrame, costs: pd.Series) -> list[Agreement]:
    """Compare the rankings of the same designs by two seeds, for every pair of seeds.

    Args:
        results: One row per training of one length: ``trial`` (the design's), ``seed`` and ``psnr``.
        costs: Mult-Adds by trial.

    Returns:
        The pairs with at least 6 designs.
    """
    table = results.pivot_table(index="trial", columns="seed", values="psnr", aggfunc="mean")
    found = []
    for place, first in enumerate(table.columns):
        for second in table.columns[place + 1 :]:
            both = table[[first, second]].dropna()
            if len(both) >= LEAST_DESIGNS:
                counted = costs.loc[both.index].to_numpy(dtype=np.float64)
                values = np.column_stack([both.to_numpy(dtype=np.float64), counted])
                found.append(_agreement(f"seed {first}", f"seed {second}", values))
    return found


def calibration(observed: Observations) -> Calibration | None:
    """Compare predictions of the longest training with its scores, leaving out one design at a time.

    The model keeps the hyperparameters that were fitted to all results.

    Args:
        observed: The results of a study.

    Returns:
        The calibration; None with fewer than 6 designs that were trained longest.
    """
    top = len(observed.lengths) - 1
    scored = np.flatnonzero(observed.levels == top)
    if len(scored) < LEAST_DESIGNS:
        return None
    model = observed.fit()
    errors = np.zeros(len(scored))
    deviations = np.zeros(len(scored))
    for place, score in enumerate(scored.tolist()):
        design = observed.rows[score]
        left_out = np.flatnonzero((observed.rows == design) & (observed.levels > 0))
        mean, deviation = model.without(left_out).predict(observed.points.take([design]), top)
        errors[place] = mean[0] - observed.values[score]
        deviations[place] = math.hypot(deviation[0], model.noises[top])
    return Calibration(
        observed.lengths[-1],
        len(scored),
        float(np.sqrt((errors**2).mean())),
        float((np.abs(errors) <= _HALF * deviations).mean()),
        float((np.abs(errors) <= _NINE_TENTHS * deviations).mean()),
    )


def _agreement(name: str, against: str, table: Array) -> Agreement:
    """The agreement of (n, 3) columns: a ranking, the other one, and the cost."""

    def measure(compute: Callable[[Array], float]) -> Measure:
        rng = np.random.default_rng(0)
        values = [compute(table[rng.integers(len(table), size=len(table))]) for _ in range(_RESAMPLES)]
        known = [value for value in values if not math.isnan(value)]
        low, high = np.quantile(known, [0.05, 0.95]) if known else (math.nan, math.nan)
        return Measure(compute(table), float(low), float(high))

    return Agreement(
        name,
        against,
        len(table),
        measure(lambda rows: kendall(rows[:, 0], rows[:, 1])),
        measure(partial_tau),
        measure(tau_within_bands),
        measure(top_recall),
    )


def partial_tau(table: Array) -> float:
    """Kendall's tau of what cost does not explain, of (n, 3) columns: two rankings and the cost; NaN if cost explains
    all of one of them.
    """
    costs = np.log10(table[:, 2])
    basis = np.stack([np.ones(len(costs)), costs, costs**2], axis=1)
    first, second = (column - basis @ np.linalg.lstsq(basis, column, rcond=None)[0] for column in table[:, :2].T)
    if any(np.ptp(rest) <= 1e-9 * np.ptp(column) for rest, column in zip((first, second), table.T, strict=False)):
        return math.nan
    return kendall(first, second)


def tau_within_bands(table: Array) -> float:
    """The mean of Kendall's tau within three bands of cost, of (n, 3) columns as for `partial_tau`."""
    bands: Sequence[Array] = np.array_split(table[np.argsort(table[:, 2], kind="stable")], _BANDS)
    taus = [kendall(band[:, 0], band[:, 1]) for band in bands if len(band) > 1]
    known = [tau for tau in taus if not math.isnan(tau)]
    return float(np.mean(known)) if known else math.nan


def top_recall(table: Array) -> float:
    """The share of the best fifth by the second column that is among the best fifth by the first one."""
    count = max(1, round(_TOP_SHARE * len(table)))
    first, second = (set(np.argsort(-column, kind="stable")[:count].tolist()) for column in table[:, :2].T)
    return len(first & second) / count
