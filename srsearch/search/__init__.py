"""The search: studies, Optuna's samplers, evaluators, the local executor, and `run`."""

from __future__ import annotations

from srsearch.search.evaluators import EvaluationFailed, Evaluator, Score, SyntheticEvaluator
from srsearch.search.run import RunResult, run
from srsearch.search.study import Study, Trial

__all__ = [
    "EvaluationFailed",
    "Evaluator",
    "RunResult",
    "Score",
    "Study",
    "SyntheticEvaluator",
    "Trial",
    "run",
]
