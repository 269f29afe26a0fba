"""Checkpoints, from which a training continues bit for bit as if it had not been interrupted."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from srsearch.files import whole


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after some step. At the end of the training, it holds the network's weights only.

    Attributes:
        step: Steps done.
        seconds: Time that these steps and their validations took.
        curve: (step, PSNR in dB) of the validations so far.
        network: State of the network.
        ssim: SSIM of the last validation; None before the end.
        optimizer: State of the optimizer; empty at the end.
        patches: State of the patch sampler's generator; None at the end.
        random: State of torch's global generator; None at the end.
        average: The moving average of each weight; empty without one.
        about: What the training was: design, recipe, data and so on, as plain data.
    """

    step: int
    seconds: float
    curve: tuple[tuple[int, float], ...]
    network: dict[str, Any]
    ssim: float | None = None
    optimizer: dict[str, Any] = field(default_factory=dict)
    patches: torch.Tensor | None = None
    random: torch.Tensor | None = None
    average: list[torch.Tensor] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the file atomically: if anything fails, the file stays as it was.

        Raises:
            OSError: The file cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        try:
            with whole(path) as file:
                torch.save(plain, file)
        except RuntimeError as error:  # torch raises this if the disk is full
            raise OSError(str(error)) from error

    @classmethod
    def load(cls, path: Path) -> Checkpoint | None:
        """Read a file, without executing anything in it; None if it does not exist or is damaged."""
        try:
            plain = torch.load(path, map_location="cpu", weights_only=True)
            return cls(**plain | {"curve": tuple((int(step), float(psnr)) for step, psnr in plain["curve"])})
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, EOFError, pickle.UnpicklingError):
            return None
