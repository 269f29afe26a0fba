"""Refinements, which work on features after an upsampler: (n, channels, h, w) to (n, channels, h, w)."""

from __future__ import annotations

from torch import Tensor, nn

from srsearch.architecture.registry import CountingInt, Factory, PositiveInt, register


@register("refinement", "none")
class NoRefinement(nn.Identity):
    """No refinement."""

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
    """CSRCNN's refined block (Section III-A): residual blocks, convolutions with ReLU, and a skip around all of them.

    The paper's text says four residual blocks. Its printed sizes (Table IV) fit five in each refined block, and the
    convolutions after them, without bias, even where there is no refined block.

    Args:
        channels: Number of channels in and out.
        unit: Slot of the units of the residual blocks.
        activation: Slot of the activation between units and after the closing convolutions.
        blocks: Number of residual blocks; five for each refined block of the paper.
        tail: Number of closing 3x3 convolutions without bias.
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
