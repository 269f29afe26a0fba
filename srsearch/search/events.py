"""What executors report about trials: points of a curve, stops, scores and failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from srsearch.search.evaluators.base import Score
from srsearch.search.trial import Trial


@dataclass(frozen=True)
class Reported:
    """The (step, PSNR in dB) points of a running trial's curve that are new since the last event."""

    worker: int
    trial: Trial
    points: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Stopped:
    """A trial ended at the step where it was asked to stop."""

    worker: int
    trial: Trial


@dataclass(frozen=True)
class Finished:
    """A trial ended with a score, after ``seconds``."""

    worker: int
    trial: Trial
    score: Score
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A trial ended without a score."""

    worker: int
    trial: Trial
    reason: str


@dataclass(frozen=True)
class Broken:
    """A worker could not start; its trial was not begun."""

    worker: int
    trial: Trial
    reason: str


Event: TypeAlias = Reported | Stopped | Finished | Failed | Broken
