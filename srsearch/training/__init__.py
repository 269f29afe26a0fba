"""Training networks: recipes and the short proxy training of the search."""

from __future__ import annotations

from srsearch.evaluation.runtime import Runtime
from srsearch.training.checkpoint import Checkpoint
from srsearch.training.proxy import TRAINING_VERSION, ProxyResult, TrainingFailed, train_proxy, versions
from srsearch.training.recipe import Recipe

__all__ = [
    "TRAINING_VERSION",
    "Checkpoint",
    "ProxyResult",
    "Recipe",
    "Runtime",
    "TrainingFailed",
    "train_proxy",
    "versions",
]
