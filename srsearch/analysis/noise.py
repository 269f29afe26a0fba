"""How much a design's quality would change if it were trained again with another seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from srsearch.analysis.objectives import costs_of, measured
from srsearch.labels import MISSING, axis_text
from srsearch.objectives import OBJECTIVES

LEAST_FREEDOM = 4
"""Degrees of freedom from which replicates are believed. With f of them a standard deviation is off by about
1 / sqrt(2 f), here 35 %. The model's, on simulated studies of 20 to 60 designs, was off by 20 % where the noise was
0.03 dB and by up to half where it was 0.1 dB, mostly too low; replicates are right on average."""

LEAST_TRIALS = 10
"""Finished designs from which the model is asked."""

_MOST_TRIALS = 120  # as many as the model's hyperparameters are fitted to


@dataclass(frozen=True)
class Noise:
    """The spread of a quality between trainings of one design that differ in nothing but the seed.

    Attributes:
        deviation: Standard deviation of one training, in the quality's unit (dB for PSNR).
        source: ``replicates``: measured on designs trained with several seeds; ``model``: what a Gaussian process of
            the quality over axes and costs does not explain.
        count: Trainings it comes from: of the designs with replicates, or the finished designs modelled.
        quality: ``psnr`` or ``ssim``.
    """

    deviation: float
    source: Literal["replicates", "model"]
    count: int
    quality: str = "psnr"

    def __str__(self) -> str:
        """How large it is and how that is known: *standard deviation 0.031 dB, from 12 replicates*."""
        row = OBJECTIVES[self.quality]
        size = f"{row.text(self.deviation)}{row.suffix}"
        source = f"from {self.count} replicates" if self.source == "replicates" else "as the model estimates it"
        return f"standard deviation {size}, {source}"


def retraining_noise(trials: pd.DataFrame, quality: str = "psnr") -> Noise | None:
    """The noise of a study's trials: from replicates where there are enough, else as a model estimates it.

    Args:
        trials: One row per design, as `srsearch.store.Store.trials` gives them. Rows without the quality (failed,
            running, stopped) do not count. ``seeds`` and ``psnr_sd``, the number of trainings and their sample standard
            deviation, may be absent; ``attrs["axes"]`` names the columns of the axes.
        quality: ``psnr`` or ``ssim``.

    Returns:
        From replicates the standard deviation s_i of designs i with n_i >= 2 seeds, pooled,

            sqrt(sum (n_i - 1) s_i^2 / sum (n_i - 1)),

        which takes the noise to be the same for all designs. With fewer than `LEAST_FREEDOM` degrees of freedom,
        sum (n_i - 1), the noise of `srsearch.analysis.gaussian_process`. None, unknown, where the model has fewer than
        `LEAST_TRIALS` different designs, no column to tell them apart by, or the quality is the same for all of them.
    """
    return _from_replicates(trials, quality) or _from_model(trials, quality)


def standard_errors(trials: pd.DataFrame, noise: Noise | None) -> pd.Series:
    """The standard error of each design's mean quality, deviation / sqrt(seeds); NA where the noise is unknown.

    Args:
        trials: One row per design; ``seeds`` is taken to be 1 where it is absent or NA.
        noise: Of the quality in question.

    Returns:
        Float64 with the index of ``trials``.
    """
    if noise is None:
        return pd.Series(pd.NA, index=trials.index, dtype="Float64")
    return pd.Series(noise.deviation / np.sqrt(seeds(trials)), index=trials.index, dtype="Float64")


def seeds(trials: pd.DataFrame) -> np.ndarray:
    """The number of trainings behind each row, shape (n,), at least 1."""
    if "seeds" not in trials.columns:
        return np.ones(len(trials))
    return np.asarray(np.maximum(trials["seeds"].to_numpy(dtype=np.float64, na_value=1.0), 1.0))


def _from_replicates(trials: pd.DataFrame, quality: str) -> Noise | None:
    name = f"{quality}_sd"
    if name not in trials.columns:
        return None
    deviations = trials[name].to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = seeds(trials)
    several = (numbers >= 2) & np.isfinite(deviations)
    freedom = (numbers[several] - 1).sum()
    if freedom < LEAST_FREEDOM:
        return None
    variance = ((numbers[several] - 1) * deviations[several] ** 2).sum() / freedom
    return Noise(math.sqrt(variance), "replicates", int(numbers[several].sum()), quality)


def _from_model(trials: pd.DataFrame, quality: str) -> Noise | None:
    rows, negated = measured(trials, {quality: "max"})
    values = -negated[:, 0]
    if len(values) < LEAST_TRIALS:
        return None
    learned = values >= outer_fence(values)
    rows, values = rows[learned], values[learned]
    inputs, groups = _inputs(rows)
    # The same result twice is one training seen twice; without noise between them it would speak for none.
    once = ~pd.DataFrame(np.column_stack([inputs, values])).duplicated().to_numpy()
    inputs, values = inputs[once], values[once]
    if len(values) < LEAST_TRIALS or not groups or np.ptp(values) == 0:
        return None
    # Here, as scipy takes its time to import.
    from threadpoolctl import threadpool_limits

    from srsearch.analysis.gaussian_process import GaussianProcess

    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_TRIALS)).round().astype(int))
    # Matrices this small gain nothing from threads, which wait for each other for seconds while a search trains beside.
    with threadpool_limits(1, user_api="blas"):
        model = GaussianProcess.fit(inputs[chosen], values[chosen], groups)
    return Noise(model.noise_deviation, "model", len(chosen), quality)


def outer_fence(values: np.ndarray) -> float:
    """Tukey's lower outer fence: what lies below never learned, and would pass for noise."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(low - 3 * (high - low))


def _inputs(trials: pd.DataFrame) -> tuple[np.ndarray, list[int]]:
    """Axes and costs as the model takes them.

    Returns:
        (n, d) columns between 0 and 1, and for each the number of its axis or cost. What is the same in all rows is
        left out.
    """
    parts = [_axis_columns(list(trials[name])) for name in trials.attrs.get("axes", []) if name in trials.columns]
    for name in costs_of(trials.columns):
        cost = trials[name].to_numpy(dtype=np.float64, na_value=np.nan)
        if (cost > 0).all() and np.ptp(cost) > 0:
            parts.append([_spread(np.log10(cost))])
    parts = [part for part in parts if part]
    columns = [column for part in parts for column in part]
    groups = [number for number, part in enumerate(parts) for _ in part]
    return np.stack(columns, axis=1) if columns else np.zeros((len(trials), 0)), groups


def _axis_columns(values: list[object]) -> list[np.ndarray]:
    """An axis's columns: one of a number, by its logarithm where it can have one, in the middle where the axis is not
    taken; one for each value of a word; none where all rows agree."""
    words = [axis_text(value) for value in values]
    taken = dict.fromkeys(word for word in words if word != MISSING)
    if len(set(words)) < 2:
        return []
    numbers = [value for value, word in zip(values, words, strict=True) if word != MISSING]
    if len(taken) > 1 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers):
        known = np.array(numbers, dtype=np.float64)
        column = np.full(len(values), 0.5)
        column[[word != MISSING for word in words]] = _spread(np.log(known) if known.min() > 0 else known)
        return [column]
    return [np.array([float(word == each) / math.sqrt(2) for word in words]) for each in taken]


def _spread(values: np.ndarray) -> np.ndarray:
    """Values moved to 0..1."""
    low = values.min()
    return np.asarray((values - low) / (values.max() - low))
