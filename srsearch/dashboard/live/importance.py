"""Importance of axes by Optuna's evaluators. Optuna is imported only when an importance is computed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from srsearch.labels import axis_text

EVALUATORS = {"ped_anova": "PED-ANOVA", "fanova": "fANOVA", "mdi": "mean decrease of impurity"}

_MOST_TRIALS = 400  # fANOVA takes half a minute for thousands
_LEAST_TRIALS = 8


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
