"""From a design to its module: slots are filled from the outside in. And what a part asks of its slots, without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from srsearch.architecture.network import IN_CHANNELS, Network, initialise
from srsearch.architecture.registry import PLACES, Factory, Part, cached, part_type, slot_place
from srsearch.errors import InputError

if TYPE_CHECKING:
    from srsearch.architecture.design import Architecture


class InvalidDesign(InputError):
    """The parts of a design do not fit together, such as channels that the groups do not divide."""


def make_part(kind: str, part: Part, place: Mapping[str, Any], slots: Callable[[str], Factory]) -> nn.Module:
    """One part's module.

    Args:
        kind: Kind of the part.
        part: Its description.
        place: What comes from where it stands: ``channels``, and for some kinds ``scale`` and the like.
        slots: Gives the factory that fills a slot.

    Raises:
        InvalidDesign: The part cannot be built there.
    """
    declared = part_type(kind, part.name)
    arguments: dict[str, Any] = {name: slots(name) for name in declared.slots}
    arguments |= {name: place[name] for name in declared.given}
    try:
        return declared.module(**arguments, **declared.arguments(part))
    except InvalidDesign:
        raise
    except Exception as error:
        # What an author did not foresee, such as convolutions of no channels, is as invalid as what is refused.
        raise InvalidDesign(f"{kind} {part}: {first_line(error)}") from None


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
        network = _Assembler(design).network()
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        initialise(network)
    return network


class _Assembler:
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
            # Positions are the body's business; what a user's part says beside is its own.
            return lambda *at: self._module(PLACES[inner], inner)

        part = self._design.part_at(place, level)
        return make_part(kind, part, self._place | {"scale": scale}, slot)

    def _block(self, *at: Any) -> nn.Module:
        place, kept = self._design.at_position(position_name(*at))
        return self._module("block", place, kept=kept)


def position_name(*at: Any) -> str:
    """The position that a body called its slot ``block`` with, as a text; empty where it named none."""
    return "" if not at or at[0] is None else str(at[0])


def first_line(error: Exception) -> str:
    """An exception's message, of which torch makes many lines."""
    return str(error).partition("\n")[0] or type(error).__name__


@dataclass(frozen=True)
class Asked:
    """What a part asks of its slots as it is made.

    Attributes:
        slots: The slots that it calls.
        positions: With what it calls its slot ``block``, in order.
        failure: Why it cannot be made there, else None.
    """

    slots: frozenset[str]
    positions: tuple[str, ...]
    failure: str | None


@cached
def asked(kind: str, part: Part, channels: int) -> Asked:
    """Make a part on the meta device with nothing in its slots, and see which it calls.

    Args:
        kind: Kind of the part, other than ``levels``.
        part: Its description.
        channels: Width where it stands.
    """
    called: list[tuple[str, tuple[Any, ...]]] = []

    def slot(name: str) -> Factory:
        def factory(*at: Any) -> nn.Module:
            called.append((name, at))
            return nn.Identity()

        return factory

    failure = None
    try:
        with torch.device("meta"):
            make_part(kind, part, {"channels": channels, "in_channels": 3, "scale": 2}, slot)
    except InvalidDesign as error:
        failure = str(error)
    positions = tuple(dict.fromkeys(position_name(*at) for name, at in called if name == "block"))
    return Asked(frozenset(name for name, _ in called), positions, failure)


_WIDTHS = (64, 48, 60, 1)


@cached
def positions(body: Part) -> tuple[str, ...]:
    """The positions of a body's blocks, in order; they do not depend on its width.

    Raises:
        InvalidDesign: The body cannot be made at any width.
    """
    for channels in _WIDTHS:
        found = asked("body", body, channels)
        if found.failure is None:
            return found.positions
    raise InvalidDesign(str(found.failure))
