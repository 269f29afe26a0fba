"""Importance of axes by Optuna's evaluators, where designs left out show that the axes predict anything at all. Optuna
is imported only when an importance is computed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from srsearch.analysis.noise import model_inputs
from srsearch.labels import axis_text

EVALUATORS = {"ped_anova": "PED-ANOVA", "fanova": "fANOVA", "mdi": "mean decrease of impurity"}

_MOST_TRIALS = 400  # fANOVA takes half a minute for thousands
_LEAST_TRIALS = 8
_MOST_PREDICTED = 120

_FOLDS = 10


def least_share(number: int) -> float:
    """The share of the variance that the axes of so many designs have to predict in designs left out.

    Optuna's evaluators give shares that sum to 1 whatever the data are, of pure noise too. Predictions that have
    nothing to do with the quality have a correlation with it of about 1 / sqrt(number), so its square is above 3 over
    the number of designs about one time in ten.
    """
    return max(0.1, 3 / number)


def predicted_share(trials: pd.DataFrame, axes: Sequence[str], *, quality: str = "psnr") -> float | None:
    """The share of the quality's variance that the axes predict in designs that the model has not seen.

    A Gaussian process over the axes, without the costs, is fitted ten times, each time without a tenth of the designs,
    which it then predicts.

    Args:
        trials: The finished designs. Of more than 120, an evenly spaced part is used.
        axes: Their columns.
        quality: The column to explain.

    Returns:
        1 minus the squared error of the predictions over that of the mean of the designs that were not left out, so at
        most 1, and below 0 where the axes predict worse than that mean; None with fewer than eight designs, or if they
        do not differ.
    """
    rows = trials[trials[quality].notna()]
    rows = (
        rows.iloc[np.unique(np.linspace(0, len(rows) - 1, _MOST_PREDICTED).round().astype(int))] if len(rows) else rows
    )
    if len(rows) < _LEAST_TRIALS or rows[quality].nunique() < 2:
        return None
    values = rows[quality].to_numpy(dtype=np.float64)
    only = rows[list(axes)]
    only.attrs["axes"] = list(axes)
    inputs, groups = model_inputs(only)
    if not groups:
        return None
    from threadpoolctl import threadpool_limits

    from srsearch.analysis.gaussian_process import GaussianProcess

    # Neighbours in the order of a search resemble each other: they are in different parts.
    part = np.arange(len(values)) % min(_FOLDS, len(values))
    errors, plain = np.empty(len(values)), np.empty(len(values))
    with threadpool_limits(1, user_api="blas"):
        for left_out in np.unique(part):
            out = part == left_out
            model = GaussianProcess.fit(inputs[~out], values[~out], groups)
            errors[out] = values[out] - model.predict(inputs[out])[0]
            plain[out] = values[out] - values[~out].mean()
    return 1 - float((errors**2).sum() / (plain**2).sum())


def importance(trials: pd.DataFrame, axes: Sequence[str], *, evaluator: str, quality: str = "psnr") -> pd.Series:
    """The importance of each axis for the quality.

    Args:
        trials: The finished designs. Of more than 400, an evenly spaced part is used.
        axes: Their columns. "Not taken" counts as a value of its own.
        evaluator: One of `EVALUATORS`.
        quality: The column to explain.

    Returns:
        Shares by axis that sum to 1; empty with fewer than eight designs.
    """
    rows = trials[trials[quality].notna()]
    rows = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, _MOST_TRIALS).round().astype(int))] if len(rows) else rows
    if len(rows) < _LEAST_TRIALS or not axes or rows[quality].nunique() < 2:
        return pd.Series(dtype=float)
    import optuna
    from optuna.distributions import CategoricalDistribution
    from optuna.importance import (
        BaseImportanceEvaluator,
        FanovaImportanceEvaluator,
        MeanDecreaseImpurityImportanceEvaluator,
        PedAnovaImportanceEvaluator,
    )

    texts = {axis: [axis_text(value) for value in rows[axis]] for axis in axes}
    distributions = {axis: CategoricalDistribution(tuple(sorted(set(values)))) for axis, values in texts.items()}
    made = [
        optuna.trial.create_trial(
            params={axis: texts[axis][row] for axis in axes}, distributions=dict(distributions), value=float(value)
        )
        for row, value in enumerate(rows[quality])
    ]
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(direction="maximize")
            study.add_trials(made)
            made_by: dict[str, Callable[[], BaseImportanceEvaluator]] = {
                "ped_anova": PedAnovaImportanceEvaluator,
                "fanova": lambda: FanovaImportanceEvaluator(seed=0),
                "mdi": lambda: MeanDecreaseImpurityImportanceEvaluator(seed=0),
            }
            chosen = made_by[evaluator]()
            shares = optuna.importance.get_param_importances(study, evaluator=chosen)
    finally:
        optuna.logging.set_verbosity(before)
    return pd.Series(shares, dtype=float).reindex(list(axes)).fillna(0.0)
