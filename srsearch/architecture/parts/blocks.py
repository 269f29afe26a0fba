"""Blocks, which are made of units: (n, channels, h, w) to (n, channels, h, w).

A block's ``inner_activation`` is the activation between its two units. A design may drop it at some positions (s-LWSR
paper, Section III-E); the slot then returns an identity.
"""

from __future__ import annotations

from typing import Annotated

import annotated_types
import torch
from torch import Tensor, nn

from srsearch.architecture.registry import Factory, PositiveInt, register


@register("block")
class Plain(nn.Module):
    """One unit and the activation function, as in ProSRN."""

    def __init__(self, channels: int, unit: Factory, activation: Factory) -> None:
        super().__init__()
        self.unit = unit()
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.unit(x))
        return out


@register("block")
class Residual(nn.Module):
    """CARN's residual block: ``relu(unit(relu(unit(x))) + x)`` (PCARN paper, Eq. 1)."""

    def __init__(self, channels: int, unit: Factory, activation: Factory, inner_activation: Factory) -> None:
        super().__init__()
        self.first = unit()
        self.second = unit()
        self.inner_activation = inner_activation()
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.second(self.inner_activation(self.first(x))) + x)
        return out


@register("block")
class EfficientResidual(nn.Module):
    """CARN-M's efficient residual block: two units and a pointwise convolution that mixes their groups.

    ``relu(pointwise(relu(unit(relu(unit(x))))) + x)`` (PCARN paper, Section III-C and Fig. 4a).
    """

    def __init__(self, channels: int, unit: Factory, activation: Factory, inner_activation: Factory) -> None:
        super().__init__()
        self.first = unit()
        self.second = unit()
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.inner_activation = inner_activation()
        self.mixed_activation = activation()
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.mixed_activation(self.second(self.inner_activation(self.first(x))))
        out: Tensor = self.activation(self.pointwise(inner) + x)
        return out


@register("block")
class ScaledResidual(nn.Module):
    """A residual block without an activation after the sum: ``x + alpha * unit(relu(unit(x)))``.

    This is EDSR's block; the released code of s-LWSR has it with alpha 1.

    Args:
        alpha: Factor of the residual branch.
    """

    def __init__(
        self,
        channels: int,
        unit: Factory,
        inner_activation: Factory,
        alpha: Annotated[float, annotated_types.Gt(0), annotated_types.Le(1)] = 1.0,
    ) -> None:
        super().__init__()
        self.first = unit()
        self.second = unit()
        self.inner_activation = inner_activation()
        self.alpha = float(alpha)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.second(self.inner_activation(self.first(x)))
        return x + (branch if self.alpha == 1 else branch * self.alpha)


class ChannelAttention(nn.Module):
    """Channel attention: scales each channel by a function of the means of all channels.

    Global average pool, 1x1 to ``channels / reduction`` (at least one channel), activation, 1x1 back, sigmoid.
    """

    def __init__(self, channels: int, reduction: int, activation: Factory) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.squeeze = nn.Conv2d(channels, inner, 1)
        self.activation = activation()
        self.excite = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.excite(self.activation(self.squeeze(pooled))))


@register("block", "rcab")
class RCAB(nn.Module):
    """RCAN's residual channel attention block: ``x + attention(unit(relu(unit(x))))``.

    Args:
        reduction: The attention has ``channels / reduction`` inner channels, rounded down, but at least one. (The
            papers have 64 channels and do not say what happens with fewer than ``reduction``.)
    """

    def __init__(
        self,
        channels: int,
        unit: Factory,
        activation: Factory,
        inner_activation: Factory,
        reduction: PositiveInt = 16,
    ) -> None:
        super().__init__()
        self.first = unit()
        self.second = unit()
        self.inner_activation = inner_activation()
        self.attention = ChannelAttention(channels, reduction, activation)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.attention(self.second(self.inner_activation(self.first(x))))
        return x + branch


@register("block", "inverted_residual")
class InvertedResidualBlock(nn.Module):
    """The inverted residual (MobileNet v2) that replaces residual blocks in compressed s-LWSR (Section III-D, Fig. 4).

    1x1 to more channels (only with an expansion), depthwise 3x3, linear 1x1 back, and a skip. The defaults, without
    expansion, biases and batch normalisation, fit the size that the paper prints for the compressed network (Section
    IV-B: 124K).

    Args:
        expansion: The block has ``channels * expansion`` inner channels; 1 omits the first convolution.
        bias: Whether the convolutions have biases.
        norm: Whether batch normalisation follows each convolution.
    """

    def __init__(
        self,
        channels: int,
        activation: Factory,
        inner_activation: Factory,
        expansion: PositiveInt = 1,
        bias: bool = False,
        norm: bool = False,
    ) -> None:
        super().__init__()
        inner = channels * expansion

        def layers(before: int, after: int, size: int, groups: int = 1) -> list[nn.Module]:
            conv = nn.Conv2d(before, after, size, padding=size // 2, groups=groups, bias=bias)
            return [conv, nn.BatchNorm2d(after)] if norm else [conv]

        expanding = [*layers(channels, inner, 1), activation()] if expansion > 1 else []
        self.branch = nn.Sequential(
            *expanding, *layers(inner, inner, 3, inner), inner_activation(), *layers(inner, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.branch(x)
        return x + branch


class UNetBlock(nn.Module):
    """Two stages down in resolution and two up, ``channels`` wide, for images of any size.

    Args:
        backprojection: True gives CSRCNN's BP-U block (Section III-A): the bottom's input is concatenated to its
            output, and the first stage's output is subtracted on the way up. False gives the traditional U block of
            Table III.
    """

    def __init__(self, channels: int, unit: Factory, activation: Factory, backprojection: bool) -> None:
        super().__init__()
        self.backprojection = backprojection
        self.down_1 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.down_2 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.bottom = unit()
        joined = 2 * channels if backprojection else channels
        self.up_2 = nn.ConvTranspose2d(joined, channels, 3, stride=2, padding=1)
        self.up_1 = nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1)
        self.activations = nn.ModuleList(activation() for _ in range(5))

    def forward(self, f0: Tensor) -> Tensor:
        """Eqs. 1-5 of the CSRCNN paper. At odd sizes, the transposed convolutions restore the size before halving."""
        down_1, down_2, bottom, up_2, up_1 = self.activations
        f1 = down_1(self.down_1(f0))
        f2 = down_2(self.down_2(f1))
        f3 = bottom(self.bottom(f2))
        if self.backprojection:
            f3 = torch.cat([f3, f2], dim=1)
        f4 = up_2(self.up_2(f3, output_size=f1.shape[2:]))
        if self.backprojection:
            f4 = f4 - f1
        out: Tensor = up_1(self.up_1(f4, output_size=f0.shape[2:])) + f0
        return out


@register("block")
class BpU(UNetBlock):
    """CSRCNN's back-projection U-net block, without its leading 1x1 convolution, which the dense body has."""

    def __init__(self, channels: int, unit: Factory, activation: Factory) -> None:
        super().__init__(channels, unit, activation, backprojection=True)


@register("block", "t_u")
class TU(UNetBlock):
    """The traditional U block in Table III of the CSRCNN paper: without concatenation and subtraction."""

    def __init__(self, channels: int, unit: Factory, activation: Factory) -> None:
        super().__init__(channels, unit, activation, backprojection=False)
