"""What an evaluator is: a subclass of `Evaluator` scores designs."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from srsearch.architecture import Architecture
from srsearch.search.evaluators.cores import Plan
from srsearch.space import Space


class Report(Protocol):
    """``report(step, psnr)`` while a design is evaluated; False says that the evaluation has to stop there.

    Attributes:
        checkpoint: Where an evaluator may keep what it needs to go on after that step, before it reports it; if there
            is a file, the evaluation was stopped or interrupted there. None: nowhere.
    """

    checkpoint: Path | None

    def __call__(self, step: int, psnr: float) -> bool:
        """Whether to go on."""


MAX_SCORE = 1e12
"""The largest PSNR that counts, up or down: beyond it are the ends of the number range, which stand for failures."""


class EvaluationFailed(Exception):
    """A design could not be scored, such as training that gave NaN: the trial fails with this reason, nothing else."""


@dataclass(frozen=True)
class Score:
    """What an evaluation found.

    Attributes:
        psnr: Y-PSNR in dB over the validation photos.
        ssim: Y-SSIM, 0..1, or None where it was not measured.
        curve: (step, PSNR) pairs on the way.
        versions: What results depend on beside the recipe, by name.
        seconds: How long it took, also before an interruption; None: as long as the call.
    """

    psnr: float
    ssim: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    versions: Mapping[str, str] | None = None
    seconds: float | None = None


def checked_score(score: object) -> Score:
    """A score in plain finite numbers.

    Raises:
        EvaluationFailed: It is none.
    """
    if not isinstance(score, Score):
        raise EvaluationFailed(f"the evaluator gave {type(score).__name__}, not a Score")
    plain = Score(
        psnr=float(score.psnr),
        ssim=None if score.ssim is None else float(score.ssim),
        curve=tuple((int(step), float(psnr)) for step, psnr in score.curve),
        versions={str(name): str(value) for name, value in (score.versions or {}).items()},
        seconds=None if score.seconds is None else float(score.seconds),
    )
    for name, value in [("PSNR", plain.psnr), ("SSIM", plain.ssim), *(("PSNR", psnr) for _, psnr in plain.curve)]:
        if value is not None and not abs(value) <= MAX_SCORE:
            raise EvaluationFailed(f"the evaluator gave {name} {value}")
    if plain.seconds is not None and not 0 <= plain.seconds < math.inf:
        raise EvaluationFailed(f"the evaluator took {plain.seconds} seconds")
    return plain


class Evaluator(abc.ABC):
    """Scores designs. Made in the main process, then sent (pickled) to every worker process.

    Subclass it to search by something else than proxy training, and name the class in the space
    (``proxy: {evaluator: "my_module:MyEvaluator"}``) or give an instance to `srsearch.run`. Scores are kept and used
    again by `recipe`, which names the class: put a version of your own there, to be raised when its scores change.

    Attributes:
        warnings: What the user should know of the data or the settings.
        keeps_checkpoints: Whether it goes on from ``report.checkpoint``: then designs that were stopped early may be
            continued.

    Example:
        >>> class Smallest(Evaluator):
        ...     def evaluate(self, design, seed, report):
        ...         return Score(psnr=30 - design.channels / 10)
    """

    warnings: Sequence[str] = ()
    keeps_checkpoints: bool = False

    @classmethod
    def from_space(cls, space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> Evaluator:
        """The evaluator for a space.

        Args:
            space: Its ``proxy`` section says how to evaluate.
            runtime: What `runtime` was when the study was created; None for a new study.
            device: ``auto``, ``cpu`` or ``cuda``; only for a new study.
        """
        return cls()

    @property
    def recipe(self) -> dict[str, Any]:
        """What scores depend on besides design, data and seed, as plain data: part of an evaluation's identity."""
        return {"evaluator": f"{type(self).__module__}:{type(self).__qualname__}"}

    @property
    def runtime(self) -> dict[str, Any]:
        """How it runs on this machine, chosen once for a study: part of an evaluation's identity, not of a study's."""
        return {}

    @property
    def data_fingerprint(self) -> str:
        """Identifies the data that scores are measured on, in at most 64 characters."""
        return "none"

    @property
    def data(self) -> dict[str, Any]:
        """The data, described for people, as plain data."""
        return {}

    @property
    def reference_psnr(self) -> float:
        """What costs nothing: the PSNR of bicubic upscaling, where the hypervolume starts."""
        return 0.0

    @property
    def steps(self) -> int | None:
        """The last step that is reported, for showing progress."""
        return None

    def plan(self, workers: int | None, say: Callable[[str], None]) -> Plan:
        """How a new study shares this machine, kept with the study; may change `runtime`.

        Args:
            workers: Worker processes, where the user has said so.
            say: Told before something takes time.
        """
        from srsearch.evaluation.runtime import usable_cores

        return Plan(workers or min(usable_cores(), 4), 1)

    def with_data(self) -> Evaluator:
        """The evaluator as it is sent to other machines, with the data it needs."""
        return self

    def check_machine(self) -> None:  # noqa: B027  (most evaluators run anywhere)
        """Whether this machine has what `runtime` demands, such as a GPU.

        Raises:
            InputError: It has not.
        """

    def prepare(self) -> None:  # noqa: B027  (most evaluators have nothing to prepare)
        """Called once in every worker before the first evaluation."""

    @abc.abstractmethod
    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        """Score one design. The same design and seed must give the same score.

        Raises:
            EvaluationFailed: It could not be scored; any other exception fails the trial as well.
        """
