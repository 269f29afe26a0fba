"""Checks the cost of a design independently: the network is built, and fvcore traces it."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from srsearch.architecture import Architecture, build
from srsearch.architecture.assembly import first_line
from srsearch.architecture.network import Network
from srsearch.cost.conventions import OURS, Convention
from srsearch.cost.count import count
from srsearch.errors import WorkError

_SIDES = ((8, 16), (48, 96))
"""Sides of the square LR images that are traced: small ones, which are fast, then sides that more strides divide."""


@dataclass(frozen=True)
class Verification:
    """The cost of a design by `count`, and the cost counted on the built network.

    Attributes:
        scale: The scale of the Mult-Adds.
        image: The size of the image that they are counted for, such as ``1280x720``.
        params: Trainable parameters, by `count`.
        mult_adds: Mult-Adds, by `count`.
        network_params: Trainable parameters of the built network.
        network_mult_adds: Mult-Adds of its convolutions, by fvcore.
    """

    scale: int
    image: str
    params: int
    mult_adds: int
    network_params: int
    network_mult_adds: int

    @property
    def agrees(self) -> bool:
        """Whether both counts are exactly equal."""
        return (self.params, self.mult_adds) == (self.network_params, self.network_mult_adds)

    def record(self) -> dict[str, Any]:
        """The verification as a flat record for JSON."""
        return dataclasses.asdict(self) | {"agrees": self.agrees}

    def __str__(self) -> str:
        where = f"at x{self.scale} and {self.image}"
        if self.agrees:
            return (
                f"verified: {where}, fvcore counts the same {self.mult_adds:,} Mult-Adds, "
                f"and the network has {self.network_params:,} parameters"
            )
        return (
            f"not verified: {where}, srsearch counts {self.mult_adds:,} Mult-Adds and {self.params:,} parameters, "
            f"but fvcore counts {self.network_mult_adds:,}, and the network has {self.network_params:,}"
        )


def verify(design: Architecture, scale: int | None = None, convention: Convention = OURS) -> Verification:
    """Build a design and check its cost against fvcore's count of the network.

    fvcore traces the network on small LR images of two sizes. Mult-Adds are linear in the LR area (the 1x1 convolutions
    of channel attention are counted once for each image), so two counts give the count for any size.

    Args:
        design: The design.
        scale: Required for a multi-scale design.
        convention: The convention whose image size is used; everything else is counted under `OURS`.

    Raises:
        InputError: The scale is missing or not one of the design's.
        WorkError: fvcore is not installed or does not know a convolution, or the network cannot be run.

    Example:
        >>> verify(catalogue.get("pcarn-m", scale=4)).agrees
        True
    """
    image = dataclasses.replace(OURS, output=convention.output, lr=convention.lr, whole_lr=convention.whole_lr)
    cost = count(design, scale=scale, convention=image)
    network = build(design, seed=0).eval()
    params = sum(each.numel() for each in network.parameters() if each.requires_grad)
    mult_adds = 0
    for sides in _SIDES:
        try:
            small, large = (_traced(network, cost.scale, side) for side in sides)
        except RuntimeError as error:  # torch raises it for image sizes that the network cannot take
            if sides == _SIDES[-1]:
                raise WorkError(f"the built network cannot be run: {first_line(error)}") from None
            continue
        small_area, large_area = (side**2 for side in sides)
        slope = Fraction(large - small, large_area - small_area)
        mult_adds = round(small + slope * (image.lr_area(cost.scale) - small_area))
        if mult_adds == cost.mult_adds:  # if they differ, a stride may not divide the sides: try the others
            break
    return Verification(cost.scale, image.size_text(), cost.params, cost.mult_adds, params, mult_adds)


class _AtScale(nn.Module):
    """A network at one scale, which fvcore can call with an image alone."""

    def __init__(self, network: Network, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x, scale=self.scale)
        return out


def _traced(network: Network, scale: int, side: int) -> int:
    """Mult-Adds of all convolutions for a square LR image."""
    try:
        from fvcore.nn import FlopCountAnalysis  # type: ignore[import-untyped]
    except ImportError:
        raise WorkError("fvcore, which counts the built network, is not installed: pip install fvcore") from None
    image = torch.zeros(1, network.in_channels, side, side)
    analysis = FlopCountAnalysis(_AtScale(network, scale), image)
    analysis.set_op_handle("aten::_convolution_mode", _named_padding)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counted = int(analysis.by_operator()["conv"])
    unknown = sorted(name for name in analysis.unsupported_ops() if "conv" in name)
    if unknown:
        raise WorkError(f"fvcore, which counts the built network, does not know {', '.join(unknown)}")
    return counted


def _named_padding(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    """Mult-Adds of a convolution whose padding is ``same`` or ``valid``, which fvcore does not count itself."""
    weight, out = (each.type().sizes() for each in (inputs[1], outputs[0]))
    return Counter({"conv": math.prod(weight) * out[0] * math.prod(out[2:])})
