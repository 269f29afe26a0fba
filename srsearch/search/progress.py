"""What a run tells whoever watches it: `Progress`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pandas as pd


@dataclass(frozen=True)
class StudyInfo:
    """A study as a run finds it.

    Attributes:
        name: The study's name.
        where: A printable place of its database.
        resumed: Whether it was there before.
        done: Evaluations finished before this run.
        target: Evaluations wanted in total.
        workers: Designs trained at the same time.
        space_size: Distinct designs in the space, None where it was not counted.
        seconds: Time this run may take, None without a limit.
    """

    name: str
    where: str
    resumed: bool
    done: int
    target: int
    workers: int = 1
    space_size: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class TrialView:
    """A design that starts training: its number, the worker that trains it, its axes and cost.

    ``replicate_of`` is the trial whose design it trains again with another seed.
    """

    number: int
    worker: int
    axes: Mapping[str, object]
    mult_adds: int
    params: int
    replicate_of: int | None = None


class Progress:
    """What a search tells while it runs; this one listens and shows nothing, others override what they show.

    A context manager: leaving it ends the display. No method raises.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.study_closed()

    def study_opened(self, info: StudyInfo) -> None:
        """The study is there, new or found again."""

    def trial_started(self, trial: TrialView) -> None:
        """A design goes to a worker."""

    def trial_report(self, number: int, step: int, steps: int, psnr: float) -> None:
        """The design has ``psnr`` (dB) after ``step`` of ``steps``."""

    def trial_finished(
        self, number: int, psnr: float, seconds: float, done: int, cached: bool, front: pd.DataFrame
    ) -> None:
        """The design's evaluation is saved; ``done`` of the target are, and ``front`` is the front now."""

    def trial_stopped(self, number: int) -> None:
        """The design is set aside at the rung that was reported last."""

    def trial_failed(self, number: int, reason: str) -> None:
        """The design could not be evaluated; the search goes on."""

    def message(self, text: str) -> None:
        """Something worth knowing."""

    def warning(self, text: str) -> None:
        """Something the user should look at."""

    def study_closed(self) -> None:
        """The search ends, whatever the reason."""


class SilentProgress(Progress):
    """Shows nothing."""
