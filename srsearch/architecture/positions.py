"""Choices among the positions of a body: which keep their activation, and which have the compressed block.

The positions of a body are the arguments that it calls its slot ``block`` with. A choice is a preset, a share or a
number of positions spread evenly, or names of positions. Canonical descriptions hold names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import pydantic

from srsearch.architecture.registry import placement_options

SHARES = {"half": 1 / 2, "two_thirds": 2 / 3, "third": 1 / 3}
_PRESETS = ("all", "none", "rare", *SHARES)
_NAMES = re.compile(r"[^\s+]+(\+[^\s+]+)*")

PUBLISHED_POSITIONS = 26
PUBLISHED_HALF = ("2_3", "3_3", "4_1", "4_3", "5_1", "5_3", "6_1", "6_2", "7_1", "8_1", "9_1", "10_1")
"""The 12 of 26 blocks that the released s-LWSR code marks (``nn.ReLU(True)``); the paper only says "1/2 kept"."""


def join_names(value: Any) -> Any:
    """Join a list of names into one text such as ``2_3+3_3``. Other values are returned unchanged."""
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return "+".join(value)
    return value


def _read(value: Any, *, counts: bool) -> str | int | float:
    value = join_names(value)
    if isinstance(value, str) and (value in _PRESETS or ("_" in value and _NAMES.fullmatch(value))):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if counts and isinstance(value, int) and value >= 0:
            return value
        if not counts and 0 <= value <= 1:
            return value
    amount = "a number of blocks" if counts else "a share between 0 and 1"
    raise ValueError(f"should be {', '.join(_PRESETS)}, {amount}, or names of positions such as 2_1+2_3")


_ITEMS = [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]

ActivationPositions: TypeAlias = Annotated[
    str | int | float,
    pydantic.PlainValidator(lambda value: _read(value, counts=False)),
    pydantic.PlainSerializer(lambda value: value),
    pydantic.WithJsonSchema({"anyOf": [*_ITEMS, {"type": "number", "minimum": 0, "maximum": 1}]}),
]
"""The option ``activations``: the positions whose block keeps the activation between its two units."""

CompressedPositions: TypeAlias = Annotated[
    str | int | float,
    pydantic.PlainValidator(lambda value: _read(value, counts=True)),
    pydantic.PlainSerializer(lambda value: value),
    pydantic.WithJsonSchema({"anyOf": [*_ITEMS, {"type": "integer", "minimum": 0}]}),
]
"""The option ``compress``: the positions that have the block of the place ``compressed``."""

placement_options("body", activations=(ActivationPositions, "all"), compress=(CompressedPositions, "none"))


def resolve(choice: str | int | float, positions: Sequence[str], *, counts: bool) -> tuple[str, ...]:
    """The positions that a choice selects, in the order of the body.

    Args:
        choice: A preset, names joined by ``+``, or a number.
        positions: All positions of the body, in order.
        counts: Whether a whole number is a number of positions; otherwise it is a share.

    Raises:
        ValueError: The choice names a position that the body does not have, or asks for too many.
    """
    total = len(positions)
    if not total:
        return ()
    if choice == "all":
        return tuple(positions)
    if choice == "none":
        return ()
    if choice == "rare":
        return tuple(dict.fromkeys((positions[0], positions[-1])))
    if choice == "half" and total == PUBLISHED_POSITIONS and set(PUBLISHED_HALF) <= set(positions):
        return PUBLISHED_HALF
    if isinstance(choice, str) and choice not in SHARES:
        names = choice.split("+")
        for name in names:
            if name not in positions:
                raise ValueError(f"there is no position {name!r}; there are {', '.join(positions)}")
        return tuple(position for position in positions if position in names)
    if counts and isinstance(choice, int):
        number = choice
        if number > total:
            raise ValueError(f"{number} is more than the {total} blocks of the body")
    else:
        share = SHARES[choice] if isinstance(choice, str) else float(choice)
        number = math.floor(share * total + 0.5)
    return tuple(positions[int((i + 0.5) * total / number)] for i in range(number))
