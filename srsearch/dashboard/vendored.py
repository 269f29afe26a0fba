"""Plotly's script as the pages need it."""

from __future__ import annotations

from importlib.resources import files


def plotly_js() -> str:
    """The bundle that draws lines, bars and heat maps.

    The whole one, which comes with the Python package, is three times as large, takes a browser seconds to read, and
    would be in every report.
    """
    return (files("srsearch.dashboard") / "vendor" / "plotly-cartesian.min.js").read_text(encoding="utf-8")
