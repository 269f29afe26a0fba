"""Several processes that train one network together, as ``torchrun`` starts them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from srsearch.errors import InputError, WorkError

_PATIENCE = timedelta(hours=2)
"""How long the other processes wait while the first one validates."""


class ProcessLost(WorkError):
    """Another process of the training has ended, so that this one cannot go on."""


@dataclass(frozen=True)
class Processes:
    """This process among those that share each batch.

    Attributes:
        number: Number of this process, from 0. Process 0 prints and writes files.
        count: How many there are.
    """

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process prints and writes files."""
        return self.number == 0

    def sum_gradients(self, weights: Sequence[Tensor], loss: float) -> float:
        """Replace the gradients by their sums over all processes. Returns the sum of the losses.

        Raises:
            ProcessLost: Another process has ended.
        """
        if self.count == 1:
            return loss
        gradients = [each.grad if each.grad is not None else torch.zeros_like(each) for each in weights]
        whole = torch.cat([*(each.reshape(-1) for each in gradients), gradients[0].new_tensor([loss])])
        with self._together():
            dist.all_reduce(whole)
            told = float(whole[-1])  # waits for the GPU
        end = 0
        for weight, gradient in zip(weights, gradients, strict=True):
            part = whole[end : end + gradient.numel()].reshape(gradient.shape)
            end += gradient.numel()
            if weight.grad is not None:
                weight.grad.copy_(part)
        return told

    def agreed(self, value: float, device: str) -> float:
        """The value of process 0, in all processes.

        Raises:
            ProcessLost: Another process has ended.
        """
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=device)
        with self._together():
            dist.broadcast(told, 0)
            return float(told)

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # Gloo begins with a place in its source, and goes on with advice.
            reason = re.sub(r"^\[[^]]*\]\s*", "", str(error)).partition(". ")[0].partition("\n")[0]
            raise ProcessLost(
                f"process {self.number} of {self.count} lost the others ({reason}): one of them has ended, and its "
                "message says why; the same command goes on from the last checkpoint"
            ) from None


ALONE = Processes()


@contextlib.contextmanager
def started_together(device: str) -> Iterator[Processes]:
    """This process among those that ``torchrun`` started; alone if it did not. They use NCCL on GPUs, else Gloo.

    Raises:
        InputError: There is no GPU for this process.
        WorkError: The processes do not find one another.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "MASTER_ADDR" not in os.environ:
        yield ALONE
        return
    if device == "cuda":
        number, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if number >= gpus:
            raise InputError(f"process {number} of this machine has no GPU: there are {gpus}; start {gpus} processes")
        torch.cuda.set_device(number)
    try:
        dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    except RuntimeError as error:
        raise WorkError(
            f"the {count} processes of this training do not find one another at "
            f"{os.environ['MASTER_ADDR']}:{os.environ.get('MASTER_PORT', '')}: {str(error).splitlines()[0]}"
        ) from None
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
