"""Constructs the module of one part, and records which slots its constructor calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from srsearch.architecture.registry import Factory, Part, cached, part_type
from srsearch.errors import InputError


class InvalidDesign(InputError):
    """The parts of a design do not fit together, such as channels that the groups do not divide."""


def make_part(kind: str, part: Part, place: Mapping[str, Any], slots: Callable[[str], Factory]) -> nn.Module:
    """Construct the module of one part.

    Args:
        kind: Kind of the part.
        part: Description of the part.
        place: Arguments that the place gives: ``channels``, and for some kinds ``scale`` and others.
        slots: Returns the factory of a slot, by the slot's name.

    Raises:
        InvalidDesign: The part cannot be constructed at this place.
    """
    declared = part_type(kind, part.name)
    arguments: dict[str, Any] = {name: slots(name) for name in declared.slots}
    arguments |= {name: place[name] for name in declared.given}
    try:
        return declared.module(**arguments, **declared.arguments(part))
    except InvalidDesign:
        raise
    except Exception as error:
        # Any error in a constructor makes the design invalid, such as torch's own for a convolution without channels.
        raise InvalidDesign(f"{kind} {part}: {first_line(error)}") from None


def position_name(*at: Any) -> str:
    """The position in a call ``block(position)`` as text; empty if the call has no argument."""
    return "" if not at or at[0] is None else str(at[0])


def first_line(error: Exception) -> str:
    """The first line of an exception's message: torch's messages have many."""
    return str(error).partition("\n")[0] or type(error).__name__


@dataclass(frozen=True)
class SlotCalls:
    """The calls that a part's constructor makes to its slots.

    Attributes:
        slots: Names of the slots that are called.
        positions: The positions that the slot ``block`` is called with, in order of the first call.
        failure: Why the constructor failed; None if it did not.
    """

    slots: frozenset[str]
    positions: tuple[str, ...]
    failure: str | None


_MOST_PARTS = 20_000
"""Parts of a body: several times more than any network has."""


@cached
def slot_calls(kind: str, part: Part, channels: int, scale: int = 2) -> SlotCalls:
    """Construct a part on the meta device, with identities in its slots, and record the calls to the slots.

    Args:
        kind: Kind of the part, other than ``levels``.
        part: Description of the part.
        channels: Number of channels at its place.
        scale: Factor of an upsampler. Which slots it calls does not depend on it, but whether it can be constructed.
    """
    called: list[tuple[str, tuple[Any, ...]]] = []

    def slot(name: str) -> Factory:
        def factory(*at: Any) -> nn.Module:
            called.append((name, at))
            if len(called) > _MOST_PARTS:
                raise InvalidDesign(f"{kind} {part}: consists of more than {_MOST_PARTS:,} parts")
            return nn.Identity()

        return factory

    failure = None
    try:
        with torch.device("meta"):
            make_part(kind, part, {"channels": channels, "in_channels": 3, "scale": scale}, slot)
    except InvalidDesign as error:
        failure = str(error)
    positions = tuple(dict.fromkeys(position_name(*at) for name, at in called if name == "block"))
    return SlotCalls(frozenset(name for name, _ in called), positions, failure)


_WIDTHS = (64, 48, 60, 1)
"""Numbers of channels that `positions` tries, in order, until the body can be constructed."""


@cached
def positions(body: Part) -> tuple[str, ...]:
    """The positions of a body's blocks, in order. They do not depend on the number of channels.

    Raises:
        InvalidDesign: The body cannot be constructed with any of the numbers of channels that are tried.
    """
    for channels in _WIDTHS:
        calls = slot_calls("body", body, channels)
        if calls.failure is None:
            return calls.positions
    raise InvalidDesign(str(calls.failure))
