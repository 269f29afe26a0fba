"""Entries, which turn the image into features: (n, in_channels, h, w) to (n, channels, h, w)."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import nn

from srsearch.architecture.registry import Factory, Named, PositiveInt, register


@register("entry", "conv")
class ConvEntry(nn.Sequential):
    """3x3 convolutions: one in most networks; two in CSRCNN, with ReLU between them.

    Args:
        in_channels: Channels of the image: 3 for RGB, 1 for luminance.
        channels: Number of channels of the features.
        activation: Slot of the activation function.
        convs: Number of convolutions.
        activated: The option ``activation``, where activations are: ``none``, ``between`` convolutions, or after
            ``all`` convolutions.
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
