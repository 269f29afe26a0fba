"""The search: `run`, studies and trials, samplers, evaluators, and executors.

Names are imported on first use, so that reading commands, which share the progress display with `run`, load no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srsearch.search.evaluators.base import EvaluationFailed, Evaluator, Score
    from srsearch.search.evaluators.synthetic import SyntheticEvaluator
    from srsearch.search.running import RunResult, run
    from srsearch.search.samplers.frontier import FrontierSampler
    from srsearch.search.samplers.parameters import suggest_axes
    from srsearch.search.study import Study
    from srsearch.search.trial import Trial

_HOMES = {
    "EvaluationFailed": "evaluators.base",
    "Evaluator": "evaluators.base",
    "Score": "evaluators.base",
    "SyntheticEvaluator": "evaluators.synthetic",
    "FrontierSampler": "samplers.frontier",
    "suggest_axes": "samplers.parameters",
    "RunResult": "running",
    "run": "running",
    "Study": "study",
    "Trial": "trial",
}

__all__ = [
    "EvaluationFailed",
    "Evaluator",
    "FrontierSampler",
    "RunResult",
    "Score",
    "Study",
    "SyntheticEvaluator",
    "Trial",
    "run",
    "suggest_axes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'srsearch.search' has no attribute {name!r}")
    return getattr(importlib.import_module(f"srsearch.search.{_HOMES[name]}"), name)
