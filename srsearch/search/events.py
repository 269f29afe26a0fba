"""What happens to trials while they are evaluated, as executors tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from srsearch.search.evaluators.base import Score
from srsearch.search.trial import Trial


@dataclass(frozen=True)
class Reported:
    """Points of a running trial's curve, (step, PSNR): as many as have come since it was looked at."""

    worker: int
    trial: Trial
    points: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Stopped:
    """A trial ended where it was told to."""

    worker: int
    trial: Trial


@dataclass(frozen=True)
class Finished:
    """A trial ended with a score."""

    worker: int
    trial: Trial
    score: Score
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A trial ended without one."""

    worker: int
    trial: Trial
    reason: str


@dataclass(frozen=True)
class Broken:
    """A worker could not start: the trial has not been looked at."""

    worker: int
    trial: Trial
    reason: str


Event: TypeAlias = Reported | Stopped | Finished | Failed | Broken
