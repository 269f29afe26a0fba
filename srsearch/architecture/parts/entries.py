"""Entries: from the image to features."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import nn

from srsearch.architecture.registry import Factory, Named, PositiveInt, register


@register("entry", "conv")
class ConvEntry(nn.Sequential):
    """3x3 convolutions: one in most networks, two in CSRCNN with ReLU between them.

    Args:
        in_channels: Of the image: 3 in RGB, 1 in luminance.
        channels: Width out.
        activation: The activation function.
        convs: Number of convolutions.
        activated: The option ``activation``: ``none``, ``between`` two convolutions, or ``all``: behind each.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        activation: Factory,
        convs: PositiveInt = 1,
        activated: Annotated[Literal["none", "between", "all"], Named("activation")] = "none",
    ) -> None:
        layers: list[nn.Module] = []
        for i in range(convs):
            layers.append(nn.Conv2d(channels if i else in_channels, channels, 3, padding=1))
            if activated == "all" or (activated == "between" and i < convs - 1):
                layers.append(activation())
        super().__init__(*layers)
