"""Making a part, and which slots it calls as it is made."""

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
        # An error that the author did not foresee, such as a convolution of no channels, makes a design invalid, too.
        raise InvalidDesign(f"{kind} {part}: {first_line(error)}") from None


def position_name(*at: Any) -> str:
    """The position that a body called its slot ``block`` with, as a text; empty where it named none."""
    return "" if not at or at[0] is None else str(at[0])


def first_line(error: Exception) -> str:
    """The first line of an exception's message; torch writes many."""
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
        body_asks = asked("body", body, channels)
        if body_asks.failure is None:
            return body_asks.positions
    raise InvalidDesign(str(body_asks.failure))
