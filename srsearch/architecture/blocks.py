"""Blocks: made of units, ``channels`` to ``channels`` at one resolution."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from srsearch.architecture.parts import Factory, register


@register("block")
class Residual(nn.Module):
    """CARN's residual block: ``relu(unit(relu(unit(x))) + x)``."""

    def __init__(self, channels: int, unit: Factory) -> None:
        super().__init__()
        self.first = unit()
        self.second = unit()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + x)


@register("block")
class EfficientResidual(nn.Module):
    """CARN-M's efficient residual block: two units and a pointwise convolution that mixes their groups.

    ``relu(pointwise(relu(unit(relu(unit(x))))) + x)``
    """

    def __init__(self, channels: int, unit: Factory) -> None:
        super().__init__()
        self.first = unit()
        self.second = unit()
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.second(F.relu(self.first(x))))
        return F.relu(self.pointwise(inner) + x)
