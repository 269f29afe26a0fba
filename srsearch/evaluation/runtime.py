"""Device, precision, memory format and threads of networks. They change results, so a study fixes them for good."""

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
        precision: ``bf16`` computes convolutions in bfloat16 (weights, losses and the image residual stay float32).
        channels_last: Channels are innermost in memory.
        threads: CPU threads of one network.

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
        """The fastest runtime on this machine.

        Measured for trainings of 16 to 64 channels, plain and grouped: on a CPU that computes in bfloat16, bfloat16
        and channels-last are fastest for all of them; elsewhere bfloat16 is emulated, slowly, and float32 is taken.

        Args:
            device: ``auto`` takes a GPU if there is one.
            threads: Number of CPU threads; None: as many as this process has cores.

        Raises:
            InputError: An unknown device, or ``cuda`` without a usable GPU.
        """
        available = torch.cuda.is_available()
        if device == "auto":
            device = "cuda" if available else "cpu"
        if device == "cuda" and not available:
            raise InputError("device 'cuda': PyTorch finds no usable GPU here; use 'cpu' or 'auto'")
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else cpu_has_bf16()
        return cls(device, "bf16" if fast else "fp32", True, usable_cores() if threads is None else threads)

    def to_dict(self) -> dict[str, Any]:
        """The runtime as plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Runtime:
        """Reads what :meth:`to_dict` gives.

        Raises:
            InputError: An unknown name or a wrong value.
        """
        names = [field.name for field in fields(cls)]
        for name in values:
            if name not in names:
                raise InputError(f"unknown runtime setting {name!r}: {suggest(name, names)}")
        return cls(**values)

    def placed(self, what: _Moved) -> _Moved:
        """A batch (n, c, h, w) or a network on this device and in this memory format; networks are moved in place."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        # torch's annotations leave the memory format of a module out.
        moved: _Moved = what.to(device=self.device, memory_format=layout)  # type: ignore[call-overload]
        return moved

    def autocast(self) -> AbstractContextManager[Any]:
        """The context for a forward pass: computes in bfloat16 if that is the precision."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Sets the threads and repeatable cuDNN algorithms while the context is open."""
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
    """Whether this CPU multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
