"""`Evaluator`, the base class of everything that scores designs."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from srsearch.architecture import Architecture
from srsearch.errors import InputError
from srsearch.search.evaluators.cores import Plan
from srsearch.space import Space


class Report(Protocol):
    """The function that an evaluator calls as ``report(step, psnr)`` while it evaluates a design.

    Attributes:
        checkpoint: File for the state that the evaluation needs to continue; write it before you report the step. If
            the file exists, continue from it: the evaluation was stopped or interrupted there. None: no checkpoints.
        trunk: File for the state that longer evaluations of the same design and seed may continue from, and for which
            `Evaluator.at_length` is made. None: no checkpoints.
    """

    checkpoint: Path | None

    @property
    def trunk(self) -> Path | None: ...

    def __call__(self, step: int, psnr: float) -> bool:
        """Report the PSNR in dB after a step.

        Returns:
            Whether to go on; if not, the evaluation has to end here.
        """


MAX_SCORE = 1e12
"""The largest PSNR that counts, up or down: beyond it are the ends of the number range, which stand for failures."""


class EvaluationFailed(Exception):
    """A design could not be scored, for example because training gave NaN. The trial fails, and the search goes on."""


@dataclass(frozen=True)
class Score:
    """The result of an evaluation.

    Attributes:
        psnr: Mean Y-PSNR in dB over the validation photos.
        ssim: Mean Y-SSIM, 0..1; None if it was not measured.
        curve: (step, PSNR in dB) pairs during the evaluation.
        versions: Versions of software and hardware that the result may depend on, by name.
        seconds: Duration, including the time before an interruption; None: the duration of the call.
    """

    psnr: float
    ssim: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    versions: Mapping[str, str] | None = None
    seconds: float | None = None


def checked_score(score: object) -> Score:
    """Return a score with plain Python numbers.

    Raises:
        EvaluationFailed: It is no `Score`, or one of its numbers is not finite.
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
    """Scores designs. It is created in the main process, then pickled and sent to every worker process.

    Subclass it to search by something else than proxy training, and name the class in the space
    (``proxy: {evaluator: "my_module:MyEvaluator"}``) or pass an instance to `srsearch.run`. Scores are saved under
    `recipe`, which names the class, and reused. Put a version number of your own into the recipe, and raise it when
    your code gives other scores.

    Attributes:
        warnings: Messages about the data or the settings that the user should see.
        keeps_checkpoints: Whether `evaluate` can continue from ``report.checkpoint``; if so, designs that were stopped
            early may be continued.

    Example:
        >>> class Smallest(Evaluator):
        ...     def evaluate(self, design, seed, report):
        ...         return Score(psnr=30 - design.channels / 10)
    """

    warnings: Sequence[str] = ()
    keeps_checkpoints: bool = False

    @classmethod
    def from_space(cls, space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> Evaluator:
        """Make the evaluator for a space.

        Args:
            space: The space; its ``proxy`` section says how to evaluate.
            runtime: The study's `runtime`; None for a new study.
            device: ``auto``, ``cpu`` or ``cuda``; used for a new study only.
        """
        return cls()

    @property
    def recipe(self) -> dict[str, Any]:
        """Everything that scores depend on besides design, data and seed, as plain data. It is part of the identity of
        an evaluation and of a study.
        """
        return {"evaluator": f"{type(self).__module__}:{type(self).__qualname__}"}

    @property
    def runtime(self) -> dict[str, Any]:
        """Device, precision and the like, as plain data, chosen when a study is created. It is part of the identity of
        an evaluation, but not of a study.
        """
        return {}

    @property
    def data_fingerprint(self) -> str:
        """An identifier of the data that scores are measured on, at most 64 characters long."""
        return "none"

    @property
    def data(self) -> dict[str, Any]:
        """A description of the data for readers, as plain data."""
        return {}

    @property
    def reference_psnr(self) -> float:
        """The PSNR in dB of bicubic upscaling, which is the reference point of the hypervolume."""
        return 0.0

    @property
    def steps(self) -> int | None:
        """The last step that is reported, for the progress display and early stopping; None if unknown."""
        return None

    def at_length(self, steps: int) -> Evaluator:
        """Return this evaluator with trainings of another length, for studies with several lengths (``--lengths``).

        In a worker process it is called on the evaluator that was prepared there; `prepare` is not called again. Its
        `recipe` must tell the lengths apart.

        Args:
            steps: Training steps; becomes `Evaluator.steps` of the result.

        Raises:
            InputError: The evaluator has only one length.
        """
        name = f"{type(self).__module__}:{type(self).__qualname__}"
        raise InputError(f"the evaluator {name} has no at_length(steps), which studies with several lengths need")

    def steps_after(self, shorter: int) -> int:
        """Return how many steps a training does if one of the same design with ``shorter`` steps is finished: by
        default all of `steps`, less where it continues from the shorter one.
        """
        return self.steps or 0

    def plan(self, workers: int | None, say: Callable[[str], None]) -> Plan:
        """Choose how a new study shares this machine. It is called once for a study, and may change `runtime`.

        Args:
            workers: Number of worker processes, if the user has set it.
            say: Receives a message before something takes time.
        """
        from srsearch.evaluation.runtime import usable_cores

        return Plan(workers or min(usable_cores(), 4), 1)

    def with_data(self) -> Evaluator:
        """Return the evaluator with its data, to be sent to other machines."""
        return self

    def check_machine(self) -> None:  # noqa: B027  (most evaluators run anywhere)
        """Check that this machine has what `runtime` requires, such as a GPU.

        Raises:
            InputError: It does not.
        """

    def prepare(self) -> None:  # noqa: B027  (most evaluators have nothing to prepare)
        """Prepare a worker process; called once in each, before its first evaluation."""

    @abc.abstractmethod
    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        """Score one design. The same design and seed must give the same score.

        Args:
            design: The design.
            seed: Seed of everything random.
            report: Call it with each intermediate PSNR, and stop if it returns False.

        Raises:
            EvaluationFailed: The design could not be scored. Any other exception makes the trial fail as well.
        """
