"""srsearch: architecture search for single-image super-resolution under a compute budget.

Names are imported on first use, so that ``import srsearch`` and commands that only read a study start fast.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srsearch._version import __version__ as __version__

if TYPE_CHECKING:
    from srsearch import plots as plots
    from srsearch.architecture import Architecture as Architecture
    from srsearch.architecture import Network
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

__all__ = [
    "Architecture",
    "InputError",
    "Space",
    "Store",
    "WorkError",
    "build",
    "catalogue",
    "count",
    "load",
    "plots",
    "run",
]


def load(path: str | Path) -> Network:
    """Build the network of a model file and fill in its weights.

    Args:
        path: A file that `srsearch train` or `srsearch export` wrote.

    Returns:
        The network in evaluation mode, on the CPU, in float32: (n, c, h, w) in 0..1 to (n, c, scale * h, scale * w).

    Raises:
        InputError: There is no such file, it is damaged or no model file, or its tensors do not fit its design.

    Example:
        >>> network = srsearch.load("model.safetensors")
    """
    from srsearch.architecture import Network, load_model

    network = load_model(path).network
    assert isinstance(network, Network)
    return network


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "plots":
        return importlib.import_module("srsearch.plots")
    if name not in _HOMES:
        raise AttributeError(f"module 'srsearch' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
