"""Device, precision, memory format and threads of networks. They change results, so a study never changes them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from srsearch.errors import InputError, suggest

Precision = Literal["bf16", "fp32"]
_Moved = TypeVar("_Moved", Tensor, nn.Module)


@dataclass(frozen=True)
class Runtime:
    """Device, precision, memory format and threads.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: ``fp32``, or ``bf16``, which computes convolutions in bfloat16 (weights, losses and the image
            residual stay float32).
        channels_last: Whether channels are innermost in memory.
        threads: CPU threads per network.

    Raises:
        InputError: A value is not valid.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    channels_last: bool = True
    threads: int = 1

    def __post_init__(self) -> None:
        for name, valid in (("device", ("cpu", "cuda")), ("precision", ("bf16", "fp32"))):
            value = getattr(self, name)
            if value not in valid:
                raise InputError(f"unknown {name} {value!r}: {suggest(str(value), valid)}")
        if isinstance(self.threads, bool) or not isinstance(self.threads, int) or self.threads < 1:
            raise InputError(f"threads: {self.threads!r} is not a whole number of at least 1")

    @classmethod
    def detect(cls, device: str = "auto", threads: int | None = None) -> Runtime:
        """Choose the fastest runtime on this machine.

        In measurements of trainings with 16 to 64 channels, plain and grouped, bfloat16 and channels-last were fastest
        for all of them on a CPU with bfloat16 instructions. Other CPUs emulate bfloat16 slowly, and get float32.

        Args:
            device: ``cpu``, ``cuda``, or ``auto`` for a GPU if there is one.
            threads: Number of CPU threads; None: the number of usable cores.

        Raises:
            InputError: The device is unknown, or is ``cuda`` without a usable GPU.
        """
        available = torch.cuda.is_available()
        if device == "auto":
            device = "cuda" if available else "cpu"
        if device == "cuda" and not available:
            raise InputError("device 'cuda': PyTorch finds no usable GPU here; use 'cpu' or 'auto'")
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else cpu_has_bf16()
        return cls(device, "bf16" if fast else "fp32", True, usable_cores() if threads is None else threads)

    def to_dict(self) -> dict[str, Any]:
        """Return the runtime as plain data, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Runtime:
        """Make a runtime from what :meth:`to_dict` returns; missing settings have their defaults.

        Raises:
            InputError: A name is unknown or a value is wrong.
        """
        names = [field.name for field in fields(cls)]
        for name in values:
            if name not in names:
                raise InputError(f"unknown runtime setting {name!r}: {suggest(name, names)}")
        return cls(**values)

    def placed(self, source: _Moved) -> _Moved:
        """Move a batch (n, c, h, w) or a network to the device and memory format; a network is moved in place."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        # torch's annotations lack the memory format of a module.
        moved: _Moved = source.to(device=self.device, memory_format=layout)  # type: ignore[call-overload]
        return moved

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context for a forward pass; it computes in bfloat16 if that is the precision."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Set the number of threads and deterministic cuDNN algorithms while the context is open."""
        threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
        before = cudnn.deterministic, cudnn.benchmark
        torch.set_num_threads(self.threads)
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            cudnn.deterministic, cudnn.benchmark = before


def cpu_has_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
