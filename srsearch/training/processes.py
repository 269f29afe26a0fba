"""Several processes that train one network together, as ``torchrun`` starts them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist


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
        """Replace the gradients by their sums over all processes. Returns the sum of the losses."""
        if self.count == 1:
            return loss
        gradients = [each.grad if each.grad is not None else torch.zeros_like(each) for each in weights]
        whole = torch.cat([*(each.reshape(-1) for each in gradients), gradients[0].new_tensor([loss])])
        dist.all_reduce(whole)
        end = 0
        for weight, gradient in zip(weights, gradients, strict=True):
            part = whole[end : end + gradient.numel()].reshape(gradient.shape)
            end += gradient.numel()
            if weight.grad is not None:
                weight.grad.copy_(part)
        return float(whole[-1])

    def agreed(self, value: float, device: str) -> float:
        """The value of process 0, in all processes."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=device)
        dist.broadcast(told, 0)
        return float(told)


ALONE = Processes()


@contextlib.contextmanager
def started_together(device: str) -> Iterator[Processes]:
    """This process among those that ``torchrun`` started; alone if it did not."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "MASTER_ADDR" not in os.environ:
        yield ALONE
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
