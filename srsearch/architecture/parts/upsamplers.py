"""Upsamplers, which enlarge features: (n, channels, h, w) to (n, channels, scale * h, scale * w)."""

from __future__ import annotations

from typing import Annotated

import annotated_types
import torch
from torch import Tensor, nn

from srsearch.architecture.parts.units import require_divisible
from srsearch.architecture.registry import Factory, Named, PositiveInt, register


def upsampling_factors(scale: int) -> tuple[int, ...]:
    """The factors of the stages of a scale: twos for a power of two, else the scale itself (x3 in one stage)."""
    return (2,) * (scale.bit_length() - 1) if scale & (scale - 1) == 0 else (scale,)


def transposed(channels: int, factor: int, kernel: int, bias: bool) -> nn.ConvTranspose2d:
    """A transposed convolution whose output is exactly ``factor`` times as large.

    Args:
        channels: Number of channels in and out.
        factor: Upscaling factor.
        kernel: Kernel size at x2, even. At other factors the kernel has ``kernel + factor - 2``, so that the padding
            stays the same (5 instead of 4 at x3; the papers print no kernel size there).
        bias: Whether it has a bias.
    """
    return nn.ConvTranspose2d(
        channels, channels, kernel + factor - 2, stride=factor, padding=(kernel - 2) // 2, bias=bias
    )


@register("upsampler")
class PixelShuffle(nn.Sequential):
    """3x3 convolution to factor^2 times the channels, activation, sub-pixel shuffle.

    There is a stage for each factor of two, and a single stage for x3.

    Args:
        channels: Number of channels in and out; must be divisible by ``groups``.
        scale: Upscaling factor of all stages together.
        activation: Slot of the activation function.
        groups: Groups of the convolutions. CARN-M and PCARN-M have 4: the paper does not say so, but its printed sizes
            and the released code of CARN-M do.
        activated: The option ``activation``: whether the activation function is before the shuffle (in CARN and PCARN;
            not in EDSR and RCAN).
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
    """``factor`` residual modules in a row, each applied ``factor`` times; the shuffle takes all outputs."""

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

    The paper's text does not say whether the modules are in a row or side by side. Here they are in a row; the cost is
    the same.

    Args:
        channels: Number of channels in and out.
        scale: Upscaling factor of all stages together: a stage for each factor of two, and a single stage for x3.
        unit: Slot of the units of the modules.
        activation: Slot of the activation between the two units of a module.
    """

    def __init__(self, channels: int, scale: int, unit: Factory, activation: Factory) -> None:
        super().__init__(*(ERUMStage(factor, unit, activation) for factor in upsampling_factors(scale)))


@register("upsampler")
class Transposed(nn.Sequential):
    """Transposed convolutions: a stage for each factor of two, and a single stage for x3 (CSRCNN, ProSRN).

    Args:
        channels: Number of channels in and out.
        scale: Upscaling factor of all stages together.
        activation: Slot of the activation function.
        kernel: Kernel size of a x2 stage, even; larger by one at x3.
        bias: Whether the convolutions have biases (in ProSRN; not in CSRCNN).
        activated: The option ``activation``: whether the activation function follows each stage (in CSRCNN).
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
