"""What a set of trials says: fronts, hypervolume, the best under a budget. Data frames in, data frames out."""

from __future__ import annotations

from srsearch.analysis.choice import best, differing_axes
from srsearch.analysis.front import pareto_front
from srsearch.analysis.objectives import OBJECTIVES, Direction, directions
from srsearch.analysis.volume import dominated_volume, hypervolume, hypervolume_history

__all__ = [
    "OBJECTIVES",
    "Direction",
    "best",
    "differing_axes",
    "directions",
    "dominated_volume",
    "hypervolume",
    "hypervolume_history",
    "pareto_front",
]
