"""Predicted PSNR after the longest training, for studies whose designs were trained for several lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from srsearch.analysis.fidelity import FidelityModel, Measured, Points, Whole
from srsearch.analysis.front import non_dominated
from srsearch.analysis.gaussian_process import Array
from srsearch.analysis.noise import model_inputs
from srsearch.analysis.objectives import at_length

LEAST_DESIGNS = 10
"""Fewest finished designs for a prediction."""

PREDICTED, ERROR = "psnr_predicted", "psnr_predicted_error"
"""The columns of predictions and of their standard errors in dB."""

_MOST_SHORT = 240
"""Most designs without a longer training that the model is fitted to."""

_DRAWS = 4_000
"""Draws from the joint prediction of designs, for the probability that one is the best."""

_ONE_SIDED_95 = 1.645


@dataclass(frozen=True)
class Prediction:
    """What a model of all lengths of training predicts for a study's finished designs.

    Attributes:
        lengths: Steps of the trainings, ascending; the last one is predicted, unless there are published networks.
        benchmark: The test set on which papers print the PSNR of networks in the space: that PSNR is predicted. None:
            there are no such networks.
        longest: Number of designs that were trained that long.
        trials: (n,) numbers of the designs' trials.
        means: (n,) predicted PSNR in dB.
        deviations: (n,) standard errors of the predictions in dB, without the noise of a single training.
        model: The model.
        points: The (n,) designs as its inputs.
    """

    lengths: tuple[int, ...]
    benchmark: str | None
    longest: int
    trials: Whole
    means: Array
    deviations: Array
    model: FidelityModel
    points: Points

    @property
    def steps(self) -> int:
        """Steps of the longest training."""
        return self.lengths[-1]

    @property
    def what(self) -> str:
        """What is predicted, for sentences: "after 9,600 steps, the longest training"."""
        if self.benchmark is not None:
            return f"on {self.benchmark} after full training, as papers print it"
        return f"after {self.steps:,} steps, the longest training"

    def add_to(self, trials: pd.DataFrame) -> pd.DataFrame:
        """Return a frame of trials with the columns ``psnr_predicted`` and ``psnr_predicted_error``; NA for others."""
        places = pd.Series(np.arange(len(self.trials)), index=self.trials)
        rows = places.reindex(trials["trial"].astype("int64")).to_numpy(dtype=np.float64)
        known = np.isfinite(rows)
        columns = {}
        for name, values in ((PREDICTED, self.means), (ERROR, self.deviations)):
            column = np.full(len(trials), np.nan)
            column[known] = values[rows[known].astype(int)]
            columns[name] = pd.array(np.where(np.isfinite(column), column, np.nan), dtype="Float64")
            columns[name][~np.isfinite(column)] = pd.NA
        result = trials.assign(**columns)
        result.attrs = dict(trials.attrs)
        return result

    def rows_of(self, trials: Sequence[int]) -> Whole:
        """Positions of trials by their numbers."""
        places = {int(number): place for place, number in enumerate(self.trials)}
        return np.array([places[int(number)] for number in trials], dtype=np.int64)

    def covariance(self, trials: Sequence[int]) -> Array:
        """(m, m) covariance of the predictions for some trials, in dB^2."""
        points = self.points.take(self.rows_of(trials))
        top = self.model.top
        return self.model.covariance(points, top, points, top)

    def tied(self, best: int, others: Sequence[int]) -> np.ndarray:
        """Return which trials cannot be told from the best one: a one-sided test at 5 % on the predicted difference."""
        numbers = [best, *others]
        means = self.means[self.rows_of(numbers)]
        covariance = self.covariance(numbers)
        variances = covariance[0, 0] + np.diag(covariance)[1:] - 2 * covariance[0, 1:]
        return np.asarray(means[0] - means[1:] <= _ONE_SIDED_95 * np.sqrt(np.maximum(variances, 0.0)))

    def probabilities(self, trials: Sequence[int]) -> Array:
        """(m,) probability of each of some trials that it is the best of them after the longest training."""
        covariance = self.covariance(trials)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        draws = np.random.default_rng(0).standard_normal((_DRAWS, len(trials))) @ root.T
        winners = np.argmax(self.means[self.rows_of(trials)] + draws, axis=1)
        return np.bincount(winners, minlength=len(trials)) / _DRAWS


def prediction(
    trials: pd.DataFrame, steps: int | None, cost: str = "mult_adds", printed: pd.DataFrame | None = None
) -> Prediction | None:
    """Predict the PSNR of a study's finished designs after its longest training.

    Args:
        trials: One row per design, from `srsearch.store.Store.trials`.
        steps: Steps of the study's shortest training, that of the column ``psnr``; None: unknown, as its evaluator does
            not say it, and taken for a quarter of the next longer one.
        cost: The main cost.
        printed: Published networks in the space with their printed PSNR, from `srsearch.search.published`.

    Returns:
        The prediction; None for studies with one length of training, and with fewer than 10 finished designs.
    """
    observed = observations(trials, steps, cost, printed)
    return None if observed is None else observed.prediction()


@dataclass(frozen=True)
class Observations:
    """The results of a study at all lengths.

    Attributes:
        lengths: Steps, ascending.
        benchmark: The test set of printed PSNR; None without any.
        trials: (n,) numbers of the finished designs.
        points: The designs, then published networks.
        groups: Groups of the features.
        rows: (m,) the design of each result.
        levels: (m,) its length; printed PSNR is one level above the longest.
        values: (m,) PSNR in dB.
    """

    lengths: tuple[int, ...]
    benchmark: str | None
    trials: Whole
    points: Points
    groups: Sequence[int]
    rows: Whole
    levels: Whole
    values: Array

    def fit(self, without: np.ndarray | None = None) -> FidelityModel:
        """Fit the model, to all results or without those in a mask (m,)."""
        used = np.ones(len(self.rows), dtype=bool) if without is None else ~without
        rows, levels, values = self.rows[used], self.levels[used], self.values[used]
        measured = Measured(self.points.take(rows), levels, values)
        return FidelityModel.fit(measured, self.groups, self.lengths, printed=self.benchmark is not None)

    def prediction(self) -> Prediction:
        """Predict all designs after the longest training."""
        from threadpoolctl import threadpool_limits

        designs = self.points.take(np.arange(len(self.trials)))
        # Such small matrices gain nothing from threads, and beside a running search threads wait for each other.
        with threadpool_limits(1, user_api="blas"):
            model = self.fit(without=_surplus(self))
            means, deviations = model.predict(designs, model.top)
        longest = int((self.levels == len(self.lengths) - 1).sum())
        return Prediction(self.lengths, self.benchmark, longest, self.trials, means, deviations, model, designs)


def observations(
    trials: pd.DataFrame, steps: int | None, cost: str = "mult_adds", printed: pd.DataFrame | None = None
) -> Observations | None:
    """Collect a study's results at all lengths; the arguments and None as for `prediction`."""
    longer = [int(each) for each in trials.attrs.get("lengths", []) if trials[at_length(each)].notna().any()]
    if not longer:
        return None
    shortest = max(1, longer[0] // 4) if steps is None else steps
    longer = [each for each in longer if each > shortest]
    if not longer:
        return None
    finished = trials[(trials["state"] == "complete") & trials["psnr"].notna() & trials[cost].notna()]
    finished.attrs = dict(trials.attrs)
    if len(finished) < LEAST_DESIGNS:
        return None
    known = pd.DataFrame() if printed is None else printed
    rows = finished if known.empty else pd.concat([finished, known], ignore_index=True)
    rows.attrs = dict(trials.attrs)
    features, groups = model_inputs(rows)
    if not groups:
        return None
    points = Points(features, np.log10(rows[cost].to_numpy(dtype=np.float64)))
    columns = ["psnr", *map(at_length, longer)]
    table = finished[columns].to_numpy(dtype=np.float64, na_value=math.nan)
    levels, places = np.nonzero(np.isfinite(table.T))
    values = table[places, levels]
    if len(known):
        places = np.concatenate([places, len(finished) + np.arange(len(known))])
        levels = np.concatenate([levels, np.full(len(known), len(columns))])
        values = np.concatenate([values, known["printed"].to_numpy(dtype=np.float64)])
    benchmark = str(known.attrs["benchmark"]) if len(known) else None
    numbers = finished["trial"].to_numpy(dtype=np.int64)
    return Observations((shortest, *longer), benchmark, numbers, points, groups, places, levels, values)


def _surplus(observed: Observations) -> np.ndarray:
    """(m,) which results the model is not fitted to: of very many designs without a longer training, all but the front
    and evenly spaced ones.
    """
    longer = set(observed.rows[observed.levels > 0].tolist())
    short = np.flatnonzero((observed.levels == 0) & ~np.isin(observed.rows, list(longer)))
    surplus = np.zeros(len(observed.rows), dtype=bool)
    if len(short) > _MOST_SHORT:
        costs = observed.points.costs[observed.rows[short]]
        front = non_dominated(np.column_stack([costs, -observed.values[short]]))[:_MOST_SHORT]
        others = np.setdiff1d(np.arange(len(short)), front)
        spaced = others[np.linspace(0, len(others) - 1, max(1, _MOST_SHORT - len(front))).round().astype(int)]
        surplus[short] = True
        surplus[short[np.concatenate([front, spaced])]] = False
    return surplus
