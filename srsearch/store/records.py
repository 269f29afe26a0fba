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


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study: a search space with everything that makes its results repeatable.

    Attributes:
        name: Unique in the store; printable, at most 200 characters.
        space: The search space as plain JSON.
        space_text: The file it was read from, without the options of the command line.
        space_hash: Identifies the study: space, budget, objectives, recipe, data, sampler and seed.
        scale: Upscaling factor.
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


def content_hash(plain: Any) -> str:
    """SHA-256 of plain data, independent of the order of keys."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
