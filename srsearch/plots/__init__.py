"""Plotly figures from data frames.

Example:
    >>> from srsearch import plots
    >>> plots.front(store.trials("lightweight_x4"), store.front("lightweight_x4")).show()  # doctest: +SKIP
"""

from __future__ import annotations

from srsearch.labels import axis_labels
from srsearch.plots._agreement import agreement, seeds
from srsearch.plots._axes import axes
from srsearch.plots._design import curve, part_costs
from srsearch.plots._diagram import diagram
from srsearch.plots._effects import effects, importance, interaction, parallel
from srsearch.plots._front import Browse, PublishedPoint, front
from srsearch.plots._hypervolume import hypervolume
from srsearch.plots._points import MOST_POINTS
from srsearch.plots._studies import fronts, hypervolumes, rate
from srsearch.plots._theme import DARK, LIGHT, Palette
from srsearch.plots._trainings import training_curves

__all__ = [
    "DARK",
    "LIGHT",
    "MOST_POINTS",
    "Browse",
    "Palette",
    "PublishedPoint",
    "agreement",
    "axes",
    "axis_labels",
    "curve",
    "diagram",
    "effects",
    "front",
    "fronts",
    "hypervolume",
    "hypervolumes",
    "importance",
    "interaction",
    "parallel",
    "part_costs",
    "rate",
    "seeds",
    "training_curves",
]
