"""Checkpoints: all that a training needs to go on as if it had never been interrupted, bit for bit."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from srsearch.files import whole


@dataclass(frozen=True)
class Checkpoint:
    """A training after some step.

    Attributes:
        step: Steps done.
        seconds: That they took.
        curve: (step, PSNR) of the validations so far.
        ssim: Of the last one; None before the end.
        network: State of the network.
        optimizer: State of the optimizer; empty at the end, like what follows.
        patches: State of the patch sampler's generator.
        random: State of torch's own generator.
    """

    step: int
    seconds: float
    curve: tuple[tuple[int, float], ...]
    network: dict[str, Any]
    ssim: float | None = None
    optimizer: dict[str, Any] = field(default_factory=dict)
    patches: torch.Tensor | None = None
    random: torch.Tensor | None = None

    def save(self, path: Path) -> None:
        """Writes the file, which is there completely or, whatever happens, as it was before.

        Raises:
            OSError: It cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = {name.name: getattr(self, name.name) for name in fields(self)}
        try:
            with whole(path) as file:
                torch.save(plain, file)
        except RuntimeError as error:  # torch's way to say that the disk is full
            raise OSError(str(error)) from error

    @classmethod
    def load(cls, path: Path) -> Checkpoint | None:
        """Reads a file; None where there is none, or none that can be used. Nothing in it is executed."""
        try:
            plain = torch.load(path, map_location="cpu", weights_only=True)
            return cls(**plain | {"curve": tuple((int(step), float(psnr)) for step, psnr in plain["curve"])})
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, EOFError, pickle.UnpicklingError):
            return None
