"""Runs modules on the meta device, which computes shapes only, and observes the operations that they execute."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class MetaMode(TorchDispatchMode, abc.ABC):  # type: ignore[no-untyped-call]  # torch's base is untyped
    """Calls `executed` for every operation that runs inside its ``with`` block.

    Torch's meta kernels for pointwise operations and concatenations are written in Python and import its compiler,
    which takes seconds. Those shapes are computed here instead.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Returning True would make torch import its compiler, to disable it inside this mode.
        return False

    @abc.abstractmethod
    def executed(self, operation: Any, args: Any, out: Any) -> None:
        """Record one operation.

        Args:
            operation: An overload of ``torch.ops.aten``.
            args: Its positional arguments.
            out: Its result.
        """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        shape = _plain_shape(func, args)
        out = func(*args, **(kwargs or {})) if shape is None else torch.empty(shape, device="meta")
        self.executed(func, args, out)
        return out


def _plain_shape(func: Any, args: Any) -> Sequence[int] | None:
    """The shape of the result of a pointwise operation or a concatenation; None where torch has to compute it."""
    concatenates = func is torch.ops.aten.cat.default
    if func._schema.is_mutable or not (concatenates or torch.Tag.pointwise in func.tags):
        return None
    tensors = [each for each in (args[0] if concatenates else args) if isinstance(each, Tensor)]
    if any(each.dtype != torch.float32 for each in tensors):
        return None
    if not concatenates:
        return np.broadcast_shapes(*(each.shape for each in tensors))
    dim = args[1] if len(args) > 1 else 0
    shapes = [list(each.shape) for each in tensors]
    lengths = [shape.pop(dim) for shape in shapes]
    if any(shape != shapes[0] for shape in shapes):
        return None
    shapes[0].insert(dim if dim >= 0 else len(shapes[0]) + 1 + dim, sum(lengths))
    return shapes[0]
