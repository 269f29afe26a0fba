"""Upsamplers: from LR to HR resolution, ``channels`` to ``channels``."""

from __future__ import annotations

from torch import nn

from srsearch.architecture.parts import PositiveInt, register


def upsampling_factors(scale: int) -> tuple[int, ...]:
    """The stages of a scale: twos for a power of two, else the scale itself (x3 in one stage)."""
    return (2,) * (scale.bit_length() - 1) if scale & (scale - 1) == 0 else (scale,)


@register("upsampler")
class PixelShuffle(nn.Sequential):
    """3x3 convolution to factor^2 times the channels, ReLU, sub-pixel shuffle; once per factor of two, x3 at once.

    Args:
        channels: Width in and out; must be divisible by ``groups``.
        scale: Upscaling factor of the whole.
        groups: Groups of the convolutions (CARN-M and PCARN-M: 4, which only the printed figures tell).
        activation: ReLU before the shuffle (the CARN family has it, EDSR's and RCAN's have not).
    """

    def __init__(self, channels: int, scale: int, groups: PositiveInt = 1, activation: bool = True) -> None:
        if channels % groups:
            raise ValueError(f"{channels} channels are not divisible by {groups} groups")
        stages: list[nn.Module] = []
        for factor in upsampling_factors(scale):
            stages.append(nn.Conv2d(channels, channels * factor**2, 3, padding=1, groups=groups))
            if activation:
                stages.append(nn.ReLU())
            stages.append(nn.PixelShuffle(factor))
        super().__init__(*stages)
