"""Data frames in, Plotly figures out.

Example:
    >>> from srsearch import plots
    >>> plots.front(store.trials("lightweight_x4"), store.front("lightweight_x4")).show()  # doctest: +SKIP
"""

from __future__ import annotations

from srsearch.labels import axis_labels
from srsearch.plots._axes import axes
from srsearch.plots._front import front
from srsearch.plots._hypervolume import hypervolume
from srsearch.plots._theme import DARK, LIGHT, Palette

__all__ = ["DARK", "LIGHT", "Palette", "axes", "axis_labels", "front", "hypervolume"]
