"""From a design to its module: slots are filled from the outside in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from srsearch.architecture.assembly import InvalidDesign, make_part, position_name
from srsearch.architecture.network import IN_CHANNELS, Network, initialise
from srsearch.architecture.registry import PLACES, Factory, slot_place

if TYPE_CHECKING:
    from srsearch.architecture.design import Architecture


def build(design: Architecture, *, seed: int | None = None) -> Network:
    """The network of a design, initialised.

    Args:
        design: What to build.
        seed: Seed of the initial weights; without one, torch's global generator goes on.

    Returns:
        A module from (n, c, h, w) in 0..1 to (n, c, scale * h, scale * w), c being its ``in_channels``. A multi-scale
        one is called with ``scale=``.

    Raises:
        InvalidDesign: The parts do not fit together.
    """
    design.check_placement()
    # Modules draw initial values as they are made: keep those draws away from the caller's generator.
    with torch.random.fork_rng(devices=[]):
        network = Assembler(design).network()
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        initialise(network)
    return network


class Assembler:
    """Fills the slots of a design's parts, from the network inwards."""

    def __init__(self, design: Architecture) -> None:
        self._design = design
        self._place = {"channels": design.channels, "in_channels": IN_CHANNELS[design.colour]}

    def network(self) -> Network:
        design = self._design
        place = self._place | {
            "scales": design.scales,
            "global_skip": design.global_skip,
            "image_residual": design.image_residual,
        }
        slots: dict[str, Factory] = {
            "entry": lambda: self._module("entry", "entry"),
            "body": lambda level: self._module("body", "body", level),
            "refinement": lambda level: self._module("refinement", "refinement", level),
            "upsampler": lambda scale: self._module("upsampler", "upsampler", scale=scale),
        }
        network = make_part("levels", design.levels, place, slots.__getitem__)
        if not isinstance(network, Network):
            raise InvalidDesign(f"levels {design.levels}: is not a class of srsearch.architecture.Network")
        return network

    def _module(self, kind: str, place: str, level: int = 1, *, kept: bool = True, scale: int = 0) -> nn.Module:
        def slot(name: str) -> Factory:
            if kind == "body" and name == "block":
                return self._block
            if name == "inner_activation" and not kept:
                return nn.Identity
            inner = slot_place(kind, name)
            # Only a body's blocks have positions; arguments that other parts pass to a slot are ignored.
            return lambda *at: self._module(PLACES[inner], inner)

        part = self._design.part_at(place, level)
        return make_part(kind, part, self._place | {"scale": scale}, slot)

    def _block(self, *at: Any) -> nn.Module:
        place, kept = self._design.at_position(position_name(*at))
        return self._module("block", place, kept=kept)
