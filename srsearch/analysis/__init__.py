"""Analysis of trials: fronts, hypervolume, the best design under a budget, noise. Data frames in, data frames out."""

from __future__ import annotations

from srsearch.analysis.choice import best, differing_axes, tied_with_best
from srsearch.analysis.convergence import Convergence, converged
from srsearch.analysis.front import pareto_front
from srsearch.analysis.noise import Noise, retraining_noise, standard_errors
from srsearch.analysis.objectives import at_length, directions, quality_of
from srsearch.analysis.volume import dominated_volume, hypervolume, hypervolume_history, hypervolume_steps
from srsearch.objectives import OBJECTIVES, Direction, Objective

__all__ = [
    "OBJECTIVES",
    "Convergence",
    "Direction",
    "Noise",
    "Objective",
    "at_length",
    "best",
    "converged",
    "differing_axes",
    "directions",
    "dominated_volume",
    "hypervolume",
    "hypervolume_history",
    "hypervolume_steps",
    "pareto_front",
    "quality_of",
    "retraining_noise",
    "standard_errors",
    "tied_with_best",
]
