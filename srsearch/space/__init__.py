"""Search spaces: reading them from YAML, their axes and budgets, enumeration, sampling and repair."""

from __future__ import annotations

from srsearch.space.axes import Axis
from srsearch.space.candidates import Candidate
from srsearch.space.design_file import read_design
from srsearch.space.report import SpaceReport, report
from srsearch.space.schema import json_schema
from srsearch.space.shipped import find_space, shipped_spaces
from srsearch.space.space import Space

__all__ = [
    "Axis",
    "Candidate",
    "Space",
    "SpaceReport",
    "find_space",
    "json_schema",
    "read_design",
    "report",
    "shipped_spaces",
]
