"""From a design to its module: slots are filled from the outside in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from srsearch.architecture.design import Architecture
from srsearch.architecture.network import Network, initialise
from srsearch.architecture.parts import KINDS, Factory, Part, part_type
from srsearch.errors import InputError


class InvalidDesign(InputError):
    """The parts of a design do not fit together, such as channels that the groups do not divide."""


def make_part(
    kind: str, part: Part, channels: int, slots: Mapping[str, Factory], scale: int | None = None
) -> nn.Module:
    """One part's module.

    Args:
        kind: Kind of the part.
        part: Its description.
        channels: Width where it stands.
        slots: What fills its slots, by kind.
        scale: The upscaling factor, for an upsampler.

    Raises:
        InvalidDesign: The part cannot be built there.
    """
    declared = part_type(kind, part.name)
    arguments: dict[str, Any] = {name: slots[name] for name in declared.slots} | dict(part.options)
    if declared.takes_scale:
        arguments["scale"] = scale
    try:
        return declared.module(channels=channels, **arguments)
    except ValueError as error:
        raise InvalidDesign(f"{kind} {part}: {error}") from None


def build(design: Architecture, *, seed: int | None = None) -> Network:
    """The network of a design, initialised.

    Args:
        design: What to build.
        seed: Seed of the initial weights; without one, torch's global generator goes on.

    Returns:
        A module from (n, 3, h, w) RGB in 0..1 to (n, 3, scale * h, scale * w). A multi-scale one
        is called with ``scale=``.

    Raises:
        InvalidDesign: The parts do not fit together.
    """
    slots: dict[str, Factory] = {}

    def slot(kind: str) -> Factory:
        # A slot is called with the position, which no part depends on, an upsampler's with its scale.
        return lambda at=0: make_part(kind, getattr(design, kind), design.channels, slots, at)

    slots |= {kind: slot(kind) for kind in KINDS}
    # Modules draw initial values as they are made: keep those draws away from the caller's generator.
    with torch.random.fork_rng(devices=[]):
        network = Network(
            design.channels, slots["body"], slots["upsampler"], design.scales, design.global_skip, design.image_residual
        )
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        initialise(network)
    return network
