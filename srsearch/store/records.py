"""The data that the store takes and gives back: frozen data classes without SQL."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Axis = int | float | str | bool
"""The value of one axis of a search space."""

Curve = Sequence[Sequence[float]]
"""PSNR in dB on the validation photos by training step: pairs (step, psnr), steps rising."""

State = Literal["running", "stopped", "complete", "failed", "infeasible", "repeated"]
STATES: tuple[State, ...] = ("running", "stopped", "complete", "failed", "infeasible", "repeated")
"""running: being trained, or was when its process died; stopped: trained up to a rung and set aside, may be continued;
complete: has its evaluation; failed: training went wrong; infeasible: over budget or not a valid design, never trained;
repeated: a design the study has seen, never trained."""

ENDED: frozenset[State] = frozenset({"complete", "failed", "infeasible", "repeated"})
"""States that a trial never leaves."""


TrainingState = Literal["running", "done", "failed", "interrupted"]
TRAINING_STATES: tuple[TrainingState, ...] = ("running", "done", "failed", "interrupted")
"""running: its process says so again and again; done: its model file is written; failed: it cannot go on as it is;
interrupted: the same command goes on from its checkpoint."""


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study: a search space with everything that makes its results repeatable.

    Attributes:
        name: Unique in the store; printable, at most 200 characters.
        space: The search space as plain JSON.
        space_text: The file it was read from, without the options of the command line.
        space_hash: Identifies the study: space, budget, objectives, recipe, data, sampler and seed.
        scale: Upscaling factor; of several, the one that budget, costs and PSNR are for.
        objectives: Names out of ``srsearch.analysis.OBJECTIVES``.
        sampler: Name of the sampler.
        seed: Every proposal is seeded by (seed, trial number); below 2**63.
        recipe: The proxy training's recipe and runtime as plain JSON.
        data: Description of the training data as plain JSON.
        data_fingerprint: Identifies the training data.
        reference: The hypervolume's reference point, by objective; frozen with the study.
        created_at: Time with a time zone.
        workers: Worker processes of a run, chosen when the study was created; None: as many as the machine bears.
    """

    name: str
    space: Mapping[str, Any]
    space_text: str
    space_hash: str
    scale: int
    objectives: tuple[str, ...]
    sampler: str
    seed: int
    recipe: Mapping[str, Any]
    data: Mapping[str, Any]
    data_fingerprint: str
    reference: Mapping[str, float]
    created_at: datetime
    workers: int | None = None

    @property
    def scales(self) -> tuple[int, ...]:
        """All upscaling factors of its designs, ascending."""
        written = self.space.get("scale")
        return tuple(written) if isinstance(written, list | tuple) else (self.scale,)


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One proposal of a study and what became of it.

    Attributes:
        number: Counts up from 0 within the study.
        key: The architecture's content hash; None for a proposal that is no architecture (an invalid combination).
        axes: The value of each axis taken; conditional axes that were not taken are absent.
        state: One of `STATES`.
        reason: Why it failed, is infeasible or repeated.
        description: The design as plain JSON; empty where there is no key.
        params: Parameters; None where there is no architecture.
        mult_adds: Mult-Adds at the output size of the study's budget.
        activations: Activations at that size.
        psnr: Validation PSNR in dB, once complete.
        ssim: Validation SSIM, once complete.
        curve: The evaluation's curve once complete, else the points reported so far.
        seconds: Training time of the evaluation (of the original one where it was cached).
        cached: Whether the evaluation is reused from an earlier training.
        sampler_state: What the sampler needs when it is rebuilt, as plain JSON.
        started_at: Time with a time zone; None in a record to be added: now.
        finished_at: Time with a time zone; None while running or stopped.
        replicate_of: Number of the trial whose design this one evaluates again, with another seed or, if ``steps`` is
            set, in a longer training; None: a proposal.
        seed: Seed of a replicate's evaluation; None: the study's.
        steps: Training steps of a longer training; None: the study's own. Means over seeds leave it out.
        cleared_step: The training step up to which early stopping has let the trial go on.
        owner: Who trains it (`srsearch.store.leases`); None: nobody.
    """

    number: int
    key: str | None
    axes: Mapping[str, Axis]
    state: State
    reason: str | None = None
    description: Mapping[str, Any] = field(default_factory=dict)
    params: int | None = None
    mult_adds: int | None = None
    activations: int | None = None
    psnr: float | None = None
    ssim: float | None = None
    curve: Curve = ()
    seconds: float | None = None
    cached: bool = False
    sampler_state: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    replicate_of: int | None = None
    seed: int | None = None
    steps: int | None = None
    cleared_step: int = 0
    owner: str | None = None

    @property
    def is_replicate(self) -> bool:
        """Whether it evaluates the design of another trial with another seed."""
        return self.replicate_of is not None and self.steps is None


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """A finished training of one architecture, identified by (key, recipe_hash, data_fingerprint, seed).

    Attributes:
        key: The architecture's content hash.
        recipe: Recipe and runtime as plain JSON.
        recipe_hash: Identifies the recipe: all that changes results, with the version of the training code.
        data_fingerprint: Identifies the training data.
        seed: Seed of the training; below 2**63.
        psnr: Validation PSNR in dB.
        ssim: Validation SSIM; None where it was not measured.
        curve: PSNR by training step.
        seconds: Training time.
        versions: Versions of the software that trained it.

    Raises:
        ValueError: PSNR, SSIM or the curve holds NaN or infinity: that is a failed training, never a result.
    """

    key: str
    recipe: Mapping[str, Any]
    recipe_hash: str
    data_fingerprint: str
    seed: int
    psnr: float
    ssim: float | None = None
    curve: Curve = ()
    seconds: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        measured = [self.psnr, *([] if self.ssim is None else [self.ssim]), *(psnr for _, psnr in self.curve)]
        if not all(math.isfinite(value) for value in measured):
            raise ValueError(f"the evaluation of {self.key} is not finite: PSNR {self.psnr}, SSIM {self.ssim}")


@dataclass(frozen=True, slots=True)
class TrainingPoint:
    """A validation of a full training.

    Attributes:
        step: Steps done.
        psnr: Mean PSNR in dB on the validation images.
        loss: Loss of the last step; None where it is not known.
        seconds: Time so far; None where it is not known.
    """

    step: int
    psnr: float
    loss: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """A full training (`srsearch train`), and how far it is.

    Attributes:
        name: What was to be trained, as for the model file.
        key: The design's content hash.
        description: The design as plain JSON; empty in records that are read.
        recipe: The recipe as plain JSON, with its name.
        recipe_hash: Identifies the recipe.
        data: Description of the images as plain JSON.
        data_fingerprint: Identifies the images.
        seed: Seed of weights and patches.
        file: The model file, as an absolute path.
        study: The study that the design comes from; None: none of this database.
        trial: Number of its trial there.
        minutes: The training takes that long; None: it ends by its steps.
        state: One of `TRAINING_STATES`.
        reason: Why it failed.
        step: Steps done.
        done: Share of the training that is done, 0 to 1.
        seconds: Time so far, with that before interruptions.
        curve: The validations so far.
        bicubic: PSNR in dB of bicubic upscaling on the validation images.
        started_at: Time with a time zone; None in a record to be added: now.
        finished_at: Time with a time zone; None until it is done or has failed.
    """

    name: str
    key: str
    description: Mapping[str, Any]
    recipe: Mapping[str, Any]
    recipe_hash: str
    data: Mapping[str, Any]
    data_fingerprint: str
    seed: int
    file: str
    study: str | None = None
    trial: int | None = None
    minutes: float | None = None
    state: TrainingState = "running"
    reason: str | None = None
    step: int = 0
    done: float = 0.0
    seconds: float = 0.0
    curve: tuple[TrainingPoint, ...] = ()
    bicubic: float | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def seconds_left(self) -> float | None:
        """Time until it is done, at the pace so far; None unless it is running and has done a step."""
        if self.state != "running" or not 0 < self.done <= 1:
            return None
        return self.seconds * (1 - self.done) / self.done


def content_hash(plain: Any) -> str:
    """SHA-256 of plain data, independent of the order of keys."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
