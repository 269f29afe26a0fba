"""Training noise: how much a design's quality varies between trainings with different seeds."""

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
"""Degrees of freedom from which on replicates are used. With f degrees of freedom, a standard deviation is off by about
1 / sqrt(2 f), here 35 %, and right on average. The model's is an upper limit, which is too large on average."""

LEAST_TRIALS = 10
"""Fewest finished designs for the model's estimate."""

RECORDED = {"psnr": 0.019, "ssim": 0.0006}
"""Noise of one proxy training of 600 steps in dB of PSNR and in SSIM: the pooled standard deviation of 28 designs with
three seeds each in ``studies/lightweight_x4_trainings.csv.gz``. After fewer steps it is larger (0.021 dB after 300 of
them, 0.046 after 75)."""

RECORDED_STEPS = 600

_CONFIDENCE = 0.95  # that the noise is below the model's limit

_MOST_TRIALS = 120  # as many as the model's hyperparameters are fitted to


@dataclass(frozen=True)
class Noise:
    """The spread of a quality between trainings of one design that differ in the seed only.

    Attributes:
        deviation: Standard deviation of one training, in the quality's unit (dB for PSNR); an upper limit of it where
            it comes from the model.
        source: ``replicates``: measured on designs with several seeds; ``model``: what a Gaussian process over axes and
            costs leaves open of the quality.
        count: Number of trainings behind it: those of designs with several seeds, or the designs in the model.
        quality: ``psnr`` or ``ssim``.
    """

    deviation: float
    source: Literal["replicates", "model"]
    count: int
    quality: str = "psnr"

    def __str__(self) -> str:
        """The size and the source, for example *standard deviation 0.031 dB, from 12 replicates*."""
        row = OBJECTIVES[self.quality]
        size = f"{row.text(self.deviation)}{row.suffix}"
        if self.source == "replicates":
            return f"standard deviation {size}, from {self.count} replicates"
        return f"standard deviation at most about {size}, as the model estimates it"


def retraining_noise(trials: pd.DataFrame, quality: str = "psnr") -> Noise | None:
    """Estimate the noise of a study's trials: from replicates if there are enough, else an upper limit by a model.

    Args:
        trials: One row per design, from `srsearch.store.Store.trials`. Rows without the quality (failed, running,
            stopped) do not count. ``seeds`` and ``psnr_sd``, the number of trainings and their sample standard
            deviation, may be absent; ``attrs["axes"]`` names the columns of the axes, and ``attrs["proxy_steps"]``,
            which may be absent, is the length of the proxy trainings that scored the designs.
        quality: ``psnr`` or ``ssim``.

    Returns:
        The noise from replicates is the pooled standard deviation of the designs i with n_i >= 2 seeds and standard
        deviation s_i,

            sqrt(sum (n_i - 1) s_i^2 / sum (n_i - 1)),

        which assumes the same noise for all designs. If there are fewer than `LEAST_FREEDOM` degrees of freedom,
        sum (n_i - 1), it is an upper limit. `srsearch.analysis.gaussian_process` predicts the quality of each of n
        designs from all others. The error e_i of that is the noise of the design's own training and, independent of it,
        what the model does not know; so the mean of e_i^2 is on average at least the variance of the noise. The limit
        is

            sqrt(sum e_i^2 / q),

        where q is the 5 % quantile of the chi-squared distribution with n degrees of freedom: if the errors are
        independent, the noise is above it one time in twenty at most. After proxy trainings of no more than
        `RECORDED_STEPS` steps, it is at least the `RECORDED` noise. None if the model has fewer than `LEAST_TRIALS`
        different designs, no column in which they differ, or only designs of equal quality.

        The process's own estimate of its noise is no alternative: a process that can explain everything by its axes
        takes noise for effects, and finds half of it or less with 20 to 60 designs (``python -m benchmarks noise``).
    """
    return _from_replicates(trials, quality) or _from_model(trials, quality)


def standard_errors(trials: pd.DataFrame, noise: Noise | None) -> pd.Series:
    """Return the standard error of each design's mean quality, deviation / sqrt(seeds).

    Args:
        trials: One row per design; ``seeds`` counts as 1 if it is absent or NA.
        noise: Noise of the quality; None if unknown.

    Returns:
        Float64 series with the index of ``trials``, in the quality's unit; NA if the noise is unknown.
    """
    if noise is None:
        return pd.Series(pd.NA, index=trials.index, dtype="Float64")
    return pd.Series(noise.deviation / np.sqrt(seeds(trials)), index=trials.index, dtype="Float64")


def seeds(trials: pd.DataFrame) -> np.ndarray:
    """Return the number of trainings behind each row, shape (n,), at least 1."""
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
    inputs, groups = model_inputs(rows)
    # Two equal results are one training listed twice, from which the model would conclude that there is no noise.
    once = ~pd.DataFrame(np.column_stack([inputs, values])).duplicated().to_numpy()
    inputs, values = inputs[once], values[once]
    if len(values) < LEAST_TRIALS or not groups or np.ptp(values) == 0:
        return None
    # Imported here because scipy takes long to import.
    from scipy.special import chdtri
    from threadpoolctl import threadpool_limits

    from srsearch.analysis.gaussian_process import GaussianProcess

    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_TRIALS)).round().astype(int))
    # Such small matrices gain nothing from threads, and beside a running search threads wait seconds for each other.
    with threadpool_limits(1, user_api="blas"):
        model = GaussianProcess.fit(inputs[chosen], values[chosen], groups)
    errors = values[chosen] - model.leave_one_out()[0]
    limit = math.sqrt(float((errors**2).sum()) / float(chdtri(len(chosen), _CONFIDENCE)))
    steps = trials.attrs.get("proxy_steps")
    floor = RECORDED[quality] if steps is not None and steps <= RECORDED_STEPS else 0.0
    return Noise(max(limit, floor), "model", len(chosen), quality)


def outer_fence(values: np.ndarray) -> float:
    """Return Tukey's lower outer fence; trainings below it never learned, and would be mistaken for noise."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(low - 3 * (high - low))


def model_inputs(trials: pd.DataFrame) -> tuple[np.ndarray, list[int]]:
    """Return axes and costs as inputs of a Gaussian process.

    Returns:
        (n, d) columns between 0 and 1, and for each the number of its axis or cost. Axes and costs that are equal in
        all rows are left out.
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
    """The (n,) columns of an axis; none if all rows are equal.

    Numbers have one column, scaled to 0..1 by their logarithms if all are positive, with 0.5 for a missing axis. Other
    values have one column each.
    """
    texts = [axis_text(value) for value in values]
    levels = dict.fromkeys(text for text in texts if text != MISSING)
    if len(set(texts)) < 2:
        return []
    present = [value for value, text in zip(values, texts, strict=True) if text != MISSING]
    if len(levels) > 1 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        numbers = np.array(present, dtype=np.float64)
        column = np.full(len(values), 0.5)
        column[[text != MISSING for text in texts]] = _spread(np.log(numbers) if numbers.min() > 0 else numbers)
        return [column]
    return [np.array([float(text == level) / math.sqrt(2) for text in texts]) for level in levels]


def _spread(values: np.ndarray) -> np.ndarray:
    """Values scaled linearly to 0..1."""
    low = values.min()
    return np.asarray((values - low) / (values.max() - low))
