"""Activation functions. Each works with any number of channels, so none has parameters for each channel."""

from __future__ import annotations

from typing import Annotated

import annotated_types
from torch import nn

from srsearch.architecture.registry import register


@register("activation", "relu")
class ReLU(nn.ReLU):
    """Rectified linear unit, which all five papers use."""

    def __init__(self) -> None:
        super().__init__()


@register("activation", "leaky_relu")
class LeakyReLU(nn.LeakyReLU):
    """Leaky rectified linear unit.

    Args:
        slope: Slope for negative inputs.
    """

    def __init__(self, slope: Annotated[float, annotated_types.Gt(0), annotated_types.Lt(1)] = 0.1) -> None:
        super().__init__(slope)


@register("activation", "prelu")
class PReLU(nn.PReLU):
    """Leaky rectified linear unit with a learned slope: one parameter for each instance."""

    def __init__(self) -> None:
        super().__init__()


@register("activation", "silu")
class SiLU(nn.SiLU):
    """Sigmoid-weighted linear unit (swish)."""

    def __init__(self) -> None:
        super().__init__()


@register("activation", "gelu")
class GELU(nn.GELU):
    """Gaussian error linear unit."""

    def __init__(self) -> None:
        super().__init__()
