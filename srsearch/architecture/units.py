"""Units: what stands where a 3x3 convolution would, ``channels`` to ``channels`` at one resolution."""

from __future__ import annotations

from torch import nn

from srsearch.architecture.parts import PositiveInt, register


@register("unit")
class Conv(nn.Conv2d):
    """A 3x3 convolution with bias.

    Shape: (n, channels, h, w) to (n, channels, h, w).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)


@register("unit")
class Grouped(nn.Conv2d):
    """A 3x3 group convolution with bias: the efficient residual block's (PCARN paper, Section III-C).

    Args:
        channels: Must be divisible by ``groups``.
        groups: Number of groups (the paper's group size); 1 is an ordinary convolution.
    """

    def __init__(self, channels: int, groups: PositiveInt = 4) -> None:
        if channels % groups:
            raise ValueError(f"{channels} channels are not divisible by {groups} groups")
        super().__init__(channels, channels, 3, padding=1, groups=groups)
