"""What scores a design: training as a proxy, invented scores, and evaluators of the user's."""

from srsearch.search.evaluators.base import EvaluationFailed, Evaluator, Report, Score

__all__ = ["EvaluationFailed", "Evaluator", "Report", "Score"]
