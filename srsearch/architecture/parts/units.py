"""Units, which take the place of a 3x3 convolution: (n, channels, h, w) to (n, channels, h, w).

The composite units are those with which the efficiency paper, "Understanding opportunities for efficiency in
single-image super resolution networks" (ICLR 2019 submission, Section 4.1 and Table 1), replaces the 3x3 convolutions
of its baseline. They are named after the networks that they come from. The activation function is between the
convolutions of a unit, not after the last. In that paper's sizes only the last convolution of a unit has a bias; the
option ``bias: all`` gives every convolution one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from srsearch.architecture.registry import Factory, PositiveInt, register

Bias: TypeAlias = Literal["last", "all"]
"""Which convolutions of a unit have a bias."""


def require_divisible(channels: int, groups: int, what: str = "groups") -> None:
    """Check that channels can be divided into groups.

    Raises:
        ValueError: They cannot; the message lists the divisors.
    """
    if channels % groups:
        divisors = [str(n) for n in range(1, min(channels, 4096) + 1) if channels % n == 0]
        raise ValueError(
            f"{channels} channels are not divisible by {groups} {what}; {', '.join(divisors)} would be right"
        )


def _reduced(channels: int, reduction: int) -> int:
    require_divisible(channels, reduction, "(the reduction)")
    return channels // reduction


@register("unit")
class Conv(nn.Conv2d):
    """A 3x3 convolution with bias."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)


@register("unit")
class Grouped(nn.Conv2d):
    """A 3x3 group convolution with bias, used in efficient residual blocks (PCARN paper, Section III-C).

    Args:
        channels: Must be divisible by ``groups``.
        groups: Number of groups, which the paper calls the group size; 1 is an ordinary convolution.
    """

    def __init__(self, channels: int, groups: PositiveInt = 4) -> None:
        require_divisible(channels, groups)
        super().__init__(channels, channels, 3, padding=1, groups=groups)


class Convolutions(nn.Module):
    """Convolutions in a row with the activation function between them, and optionally a skip around them.

    Args:
        layers: The arguments of ``nn.Conv2d`` for each convolution: channels in, channels out, kernel size, groups.
        activation: Slot of the activation function.
        bias: Which convolutions have a bias.
        skip: Whether the input is added to the output.
        shuffle: Groups of the channel shuffle after the first convolution's activation; 1 for none.
    """

    def __init__(
        self,
        layers: Sequence[tuple[int, int, int | tuple[int, int], int]],
        activation: Factory,
        bias: Bias,
        skip: bool,
        shuffle: int = 1,
    ) -> None:
        super().__init__()
        inner: list[nn.Module] = []
        for i, (before, after, size, groups) in enumerate(layers):
            last = i == len(layers) - 1
            height, width = (size, size) if isinstance(size, int) else size
            inner.append(
                nn.Conv2d(
                    before,
                    after,
                    (height, width),
                    padding=(height // 2, width // 2),
                    groups=groups,
                    bias=last or bias == "all",
                )
            )
            inner += [] if last else [activation()]
            inner += [nn.ChannelShuffle(shuffle)] if i == 0 and shuffle > 1 else []
        self.inner = nn.Sequential(*inner)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return out + x if self.skip else out


@register("unit")
class Bottleneck(Convolutions):
    """1x1 to fewer channels, 3x3, 1x1 back, with a skip (ResNet; "rn" in the paper).

    Args:
        reduction: The inner width is ``channels / reduction``.
        bias: Which convolutions have a bias.
    """

    def __init__(self, channels: int, activation: Factory, reduction: PositiveInt = 2, bias: Bias = "last") -> None:
        inner = _reduced(channels, reduction)
        super().__init__(
            [(channels, inner, 1, 1), (inner, inner, 3, 1), (inner, channels, 1, 1)], activation, bias, skip=True
        )


@register("unit", "resnext")
class ResNeXt(Convolutions):
    """A bottleneck whose 3x3 convolution is in groups, with a skip (ResNeXt; "rxn" in the paper).

    Args:
        reduction: The inner width is ``channels / reduction``.
        groups: Groups of the 3x3 convolution; must divide the inner width.
        bias: Which convolutions have a bias.
    """

    def __init__(
        self,
        channels: int,
        activation: Factory,
        reduction: PositiveInt = 2,
        groups: PositiveInt = 4,
        bias: Bias = "last",
    ) -> None:
        inner = _reduced(channels, reduction)
        require_divisible(inner, groups)
        super().__init__(
            [(channels, inner, 1, 1), (inner, inner, 3, groups), (inner, channels, 1, 1)], activation, bias, skip=True
        )


@register("unit", "mobilenet_v1")
class MobileNetV1(Convolutions):
    """Depthwise 3x3, 1x1 (MobileNet v1; "m1" in the paper).

    Args:
        bias: Which convolutions have a bias. The rows blm1-e[rb] of the paper's Table 2 fit ``all``.
    """

    def __init__(self, channels: int, activation: Factory, bias: Bias = "last") -> None:
        super().__init__([(channels, channels, 3, channels), (channels, channels, 1, 1)], activation, bias, skip=False)


@register("unit", "effnet")
class EffNet(Convolutions):
    """1x1 to fewer channels, depthwise 1x3, depthwise 3x1, 1x1 back (EffNet; "eff" in the paper).

    Args:
        reduction: The inner width is ``channels / reduction``.
        bias: Which convolutions have a bias.
    """

    def __init__(self, channels: int, activation: Factory, reduction: PositiveInt = 2, bias: Bias = "last") -> None:
        inner = _reduced(channels, reduction)
        super().__init__(
            [
                (channels, inner, 1, 1),
                (inner, inner, (1, 3), inner),
                (inner, inner, (3, 1), inner),
                (inner, channels, 1, 1),
            ],
            activation,
            bias,
            skip=False,
        )


@register("unit", "shufflenet_v1")
class ShuffleNetV1(Convolutions):
    """Grouped 1x1 to fewer channels, shuffle, depthwise 3x3, grouped 1x1 back, with a skip (ShuffleNet v1; "s1").

    Args:
        reduction: The inner width is ``channels / reduction``.
        groups: Groups of the 1x1 convolutions; must divide the inner width.
        bias: Which convolutions have a bias.
    """

    def __init__(
        self,
        channels: int,
        activation: Factory,
        reduction: PositiveInt = 2,
        groups: PositiveInt = 4,
        bias: Bias = "last",
    ) -> None:
        inner = _reduced(channels, reduction)
        require_divisible(inner, groups)
        layers = [(channels, inner, 1, groups), (inner, inner, 3, inner), (inner, channels, 1, groups)]
        super().__init__(layers, activation, bias, skip=True, shuffle=groups)


@register("unit", "clcnet")
class CLCNet(Convolutions):
    """3x3 in many groups, 1x1 in few groups (CLCNet; "clc" in the paper).

    Args:
        groups_1: Groups of the 3x3 convolution.
        groups_2: Groups of the 1x1 convolution.
        bias: Which convolutions have a bias.
    """

    def __init__(
        self,
        channels: int,
        activation: Factory,
        groups_1: PositiveInt = 32,
        groups_2: PositiveInt = 2,
        bias: Bias = "last",
    ) -> None:
        require_divisible(channels, groups_1)
        require_divisible(channels, groups_2)
        super().__init__(
            [(channels, channels, 3, groups_1), (channels, channels, 1, groups_2)], activation, bias, skip=False
        )


@register("unit", "shufflenet_v2")
class ShuffleNetV2(nn.Module):
    """1x1, depthwise 3x3, 1x1 on half of the channels, then a shuffle of all (ShuffleNet v2; "s2" in the paper).

    Args:
        bias: Which convolutions have a bias.
    """

    def __init__(self, channels: int, activation: Factory, bias: Bias = "last") -> None:
        super().__init__()
        require_divisible(channels, 2, "halves")
        half = channels // 2
        self.branch = Convolutions(
            [(half, half, 1, 1), (half, half, 3, half), (half, half, 1, 1)], activation, bias, skip=False
        )

    def forward(self, x: Tensor) -> Tensor:
        passed, worked = x.chunk(2, dim=1)
        return F.channel_shuffle(torch.cat([passed, self.branch(worked)], dim=1), 2)


@register("unit")
class InvertedResidual(Convolutions):
    """1x1 to more channels, depthwise 3x3, 1x1 back, with a skip (MobileNet v2; "m2" in the paper).

    Args:
        expansion: The inner width is ``channels * expansion``.
        bias: Which convolutions have a bias.
    """

    def __init__(self, channels: int, activation: Factory, expansion: PositiveInt = 2, bias: Bias = "last") -> None:
        inner = channels * expansion
        super().__init__(
            [(channels, inner, 1, 1), (inner, inner, 3, inner), (inner, channels, 1, 1)], activation, bias, skip=True
        )
