"""`Progress`: the callbacks by which a run reports what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pandas as pd


@dataclass(frozen=True)
class StudyInfo:
    """A study at the start of a run.

    Attributes:
        name: The study's name.
        where: The database's path or URL, as it may be printed.
        resumed: Whether the study existed before this run.
        done: Evaluations finished before this run.
        target: Evaluations wanted in total.
        workers: Designs trained at the same time.
        space_size: Number of distinct designs in the space; None if it was not counted.
        seconds: Time limit of this run; None without a limit.
        known: Finished designs before this run whose evaluation was known already: they are not among ``done``.
    """

    name: str
    where: str
    resumed: bool
    done: int
    target: int
    workers: int = 1
    space_size: int | None = None
    seconds: float | None = None
    known: int = 0


@dataclass(frozen=True)
class TrialView:
    """A trial that starts.

    Attributes:
        number: The trial's number.
        worker: The worker that evaluates it.
        axes: The design's values on the axes of the space.
        mult_adds: Mult-Adds under the space's convention.
        params: Trainable parameters.
        replicate_of: Number of the trial whose design is evaluated again, with another seed or in a longer training;
            None for a new design.
        steps: Training steps of a longer training; None: the study's own.
    """

    number: int
    worker: int
    axes: Mapping[str, object]
    mult_adds: int
    params: int
    replicate_of: int | None = None
    steps: int | None = None


class Progress:
    """Receives what happens in a run. This class ignores it all; subclasses override what they show.

    It is a context manager, and leaving it ends the display. Methods must not raise.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.study_closed()

    def study_opened(self, info: StudyInfo) -> None:
        """The study has been created or resumed."""

    def trial_started(self, trial: TrialView) -> None:
        """A worker starts a trial."""

    def trial_report(self, number: int, step: int, steps: int, psnr: float) -> None:
        """A trial has reached ``psnr`` dB after ``step`` of ``steps`` steps."""

    def trial_finished(
        self, number: int, psnr: float, seconds: float, done: int, cached: bool, front: pd.DataFrame
    ) -> None:
        """A trial's evaluation is saved; the study now has ``done`` evaluations, and ``front`` is its front."""

    def trial_stopped(self, number: int) -> None:
        """A trial was stopped early, at the rung that it reported last."""

    def trial_failed(self, number: int, reason: str) -> None:
        """A trial failed; the search goes on."""

    def message(self, text: str) -> None:
        """A message for information."""

    def warning(self, text: str) -> None:
        """A message that the user should act on."""

    def study_closed(self) -> None:
        """The search has ended, for whatever reason."""


class SilentProgress(Progress):
    """A `Progress` that shows nothing."""
