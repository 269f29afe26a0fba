"""Training networks: recipes and the short proxy training of the search."""

from __future__ import annotations

from srsearch.evaluation.runtime import Runtime
from srsearch.training.checkpoint import Checkpoint
from srsearch.training.proxy import TRAINING_VERSION, ProxyResult, train_proxy, versions
from srsearch.training.recipe import Recipe
from srsearch.training.trainer import Trainer, TrainingFailed

__all__ = [
    "TRAINING_VERSION",
    "Checkpoint",
    "ProxyResult",
    "Recipe",
    "Runtime",
    "Trainer",
    "TrainingFailed",
    "train_proxy",
    "versions",
]
