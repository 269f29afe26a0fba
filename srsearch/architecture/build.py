"""Builds the network of a design: each part is constructed when the part around it calls its slot."""

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
    """Build and initialise the network of a design.

    Args:
        design: The design.
        seed: Seed of the initial weights. Without a seed they are drawn from torch's global generator.

    Returns:
        A module from (n, c, h, w) in 0..1 to (n, c, scale * h, scale * w), where c is its ``in_channels``. Call a
        multi-scale network with ``scale=``.

    Raises:
        InvalidDesign: The parts do not fit together.
    """
    design.check_placement()
    # Constructors draw initial values, too. Those draws must not advance the caller's generator.
    with torch.random.fork_rng(devices=[]):
        network = Assembler(design).network()
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        initialise(network)
    return network


class Assembler:
    """Fills the slots of a design's parts, from the network (its levels) inwards."""

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
            raise InvalidDesign(f"levels {design.levels}: is not a subclass of srsearch.architecture.Network")
        return network

    def _module(self, kind: str, place: str, level: int = 1, *, keeps_inner: bool = True, scale: int = 0) -> nn.Module:
        def slot(name: str) -> Factory:
            if kind == "body" and name == "block":
                return self._block
            if name == "inner_activation" and not keeps_inner:
                return nn.Identity
            inner = slot_place(kind, name)
            # Only the blocks of a body have positions. Arguments that other parts pass to a slot are ignored.
            return lambda *at: self._module(PLACES[inner], inner)

        part = self._design.part_at(place, level)
        return make_part(kind, part, self._place | {"scale": scale}, slot)

    def _block(self, *at: Any) -> nn.Module:
        place, keeps_inner = self._design.at_position(position_name(*at))
        return self._module("block", place, keeps_inner=keeps_inner)
