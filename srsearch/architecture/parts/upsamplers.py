"""Upsamplers: from LR to HR resolution, ``channels`` to ``channels``."""

from __future__ import annotations

from typing import Annotated

import annotated_types
import torch
from torch import Tensor, nn

from srsearch.architecture.parts.units import require_divisible
from srsearch.architecture.registry import Factory, Named, PositiveInt, register


def upsampling_factors(scale: int) -> tuple[int, ...]:
    """The stages of a scale: twos for a power of two, else the scale itself (x3 in one stage)."""
    return (2,) * (scale.bit_length() - 1) if scale & (scale - 1) == 0 else (scale,)


def transposed(channels: int, factor: int, kernel: int, bias: bool) -> nn.ConvTranspose2d:
    """A transposed convolution whose output is exactly ``factor`` times as large.

    A kernel of size k at x2 is one of k + factor - 2 at other factors (x3: 5 for 4; the papers print none there), so
    that the padding is the same.
    """
    return nn.ConvTranspose2d(
        channels, channels, kernel + factor - 2, stride=factor, padding=(kernel - 2) // 2, bias=bias
    )


@register("upsampler")
class PixelShuffle(nn.Sequential):
    """3x3 convolution to factor^2 times the channels, ReLU, sub-pixel shuffle; once per factor of two, x3 at once.

    Args:
        channels: Width in and out; must be divisible by ``groups``.
        scale: Upscaling factor of the whole.
        groups: Groups of the convolutions (CARN-M and PCARN-M: 4, which only the printed figures tell).
        activated: The option ``activation``: the activation function before the shuffle (the CARN family has it,
            EDSR's and RCAN's have not).
    """

    def __init__(
        self,
        channels: int,
        scale: int,
        activation: Factory,
        groups: PositiveInt = 1,
        activated: Annotated[bool, Named("activation")] = True,
    ) -> None:
        require_divisible(channels, groups)
        stages: list[nn.Module] = []
        for factor in upsampling_factors(scale):
            stages.append(nn.Conv2d(channels, channels * factor**2, 3, padding=1, groups=groups))
            if activated:
                stages.append(activation())
            stages.append(nn.PixelShuffle(factor))
        super().__init__(*stages)


class ERU(nn.Module):
    """One unit of an ERUM: ``x + unit(relu(unit(x)))``."""

    def __init__(self, unit: Factory, activation: Factory) -> None:
        super().__init__()
        self.first = unit()
        self.activation = activation()
        self.second = unit()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.activation(self.first(x)))
        return out


class ERUMStage(nn.Module):
    """``factor`` residual modules in a row, each applied ``factor`` times; all outputs are shuffled together."""

    def __init__(self, factor: int, unit: Factory, activation: Factory) -> None:
        super().__init__()
        self.factor = factor
        self.modules_in_turn = nn.ModuleList(ERU(unit, activation) for _ in range(factor))
        self.shuffle = nn.PixelShuffle(factor)

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for module in self.modules_in_turn:
            for _ in range(self.factor):
                x = module(x)
                outputs.append(x)
        out: Tensor = self.shuffle(torch.cat(outputs, dim=1))
        return out


@register("upsampler", "erum")
class ERUM(nn.Sequential):
    """Enhanced recursive upscaling module of the efficiency paper (Section 4.2, Fig. 1): residual modules, recursion.

    The paper's text leaves open whether the modules stand in a row or side by side; here they stand in a row. The
    counts are the same.

    Args:
        channels: Width in and out.
        scale: Upscaling factor of the whole; a stage for each factor of two, x3 at once.
        unit: What the modules are made of.
        activation: Between the two units of a module.
    """

    def __init__(self, channels: int, scale: int, unit: Factory, activation: Factory) -> None:
        super().__init__(*(ERUMStage(factor, unit, activation) for factor in upsampling_factors(scale)))


@register("upsampler")
class Transposed(nn.Sequential):
    """Transposed convolution, once per factor of two, x3 at once (CSRCNN, ProSRN: kernel 4).

    Args:
        channels: Width in and out.
        scale: Upscaling factor of the whole.
        kernel: Kernel size of a x2 stage, even; at x3 it is larger by one, which no paper prints.
        bias: Whether there are biases (ProSRN has them, CSRCNN has not).
        activated: The option ``activation``: the activation function behind each stage (CSRCNN).
    """

    def __init__(
        self,
        channels: int,
        scale: int,
        activation: Factory,
        kernel: Annotated[int, annotated_types.Ge(2), annotated_types.Le(64), annotated_types.MultipleOf(2)] = 4,
        bias: bool = True,
        activated: Annotated[bool, Named("activation")] = False,
    ) -> None:
        stages: list[nn.Module] = []
        for factor in upsampling_factors(scale):
            stages.append(transposed(channels, factor, kernel, bias))
            if activated:
                stages.append(activation())
        super().__init__(*stages)
