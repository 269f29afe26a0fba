"""srsearch: architecture search for single-image super-resolution under a compute budget.

Names are imported on first use, so that ``import srsearch`` and commands that only read a study start fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from srsearch._version import __version__ as __version__

if TYPE_CHECKING:
    from srsearch import plots as plots
    from srsearch.architecture import Architecture as Architecture
    from srsearch.architecture import build as build
    from srsearch.architecture import catalogue as catalogue
    from srsearch.cost import count as count
    from srsearch.errors import InputError as InputError
    from srsearch.errors import WorkError as WorkError
    from srsearch.search import run as run
    from srsearch.space import Space as Space
    from srsearch.store import Store as Store

_HOMES = {
    "Architecture": "srsearch.architecture",
    "build": "srsearch.architecture",
    "catalogue": "srsearch.architecture",
    "count": "srsearch.cost",
    "Space": "srsearch.space",
    "Store": "srsearch.store",
    "run": "srsearch.search",
    "InputError": "srsearch.errors",
    "WorkError": "srsearch.errors",
}

__all__ = ["Architecture", "InputError", "Space", "Store", "WorkError", "build", "catalogue", "count", "plots", "run"]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "plots":
        return importlib.import_module("srsearch.plots")
    if name not in _HOMES:
        raise AttributeError(f"module 'srsearch' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
