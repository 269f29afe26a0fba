"""Refinements: what works on features behind an upsampler, ``channels`` to ``channels`` at that resolution."""

from __future__ import annotations

from torch import Tensor, nn

from srsearch.architecture.registry import CountingInt, Factory, PositiveInt, register


@register("refinement", "none")
class NoRefinement(nn.Identity):
    """Nothing."""

    def __init__(self) -> None:
        super().__init__()


class _RefiningBlock(nn.Module):
    def __init__(self, unit: Factory, activation: Factory) -> None:
        super().__init__()
        self.first, self.activation, self.second = unit(), activation(), unit()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.activation(self.first(x)))
        return out


@register("refinement")
class Refined(nn.Sequential):
    """CSRCNN's refined block: residual blocks, then convolutions with ReLU, and a skip around all of it.

    The paper's text has four residual blocks; its printed sizes have five in each refined block, and the convolutions
    behind them (without bias) also where there is no refined block.

    Args:
        channels: Width in and out.
        unit: What the residual blocks are made of.
        activation: Between units, and behind the closing convolutions.
        blocks: Residual blocks; five to each of the paper's refined blocks.
        tail: Closing 3x3 convolutions without bias.
    """

    def __init__(
        self, channels: int, unit: Factory, activation: Factory, blocks: CountingInt = 5, tail: PositiveInt = 4
    ) -> None:
        layers: list[nn.Module] = [_RefiningBlock(unit, activation) for _ in range(blocks)]
        for _ in range(tail):
            layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), activation()]
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return out + x
