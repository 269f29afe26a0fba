"""Which positions of a body: where activations are kept, and where another block stands.

A body names its positions by asking for its blocks; a choice of positions is a preset, a share or a count spread
evenly, or names. Descriptions in canonical form hold names.
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
"""The activations that s-LWSR keeps of its 26."""


def join_names(value: Any) -> Any:
    """A list of names as one text, ``2_3+3_3``; anything else as it is."""
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

Kept: TypeAlias = Annotated[
    str | int | float,
    pydantic.PlainValidator(lambda value: _read(value, counts=False)),
    pydantic.PlainSerializer(lambda value: value),
    pydantic.WithJsonSchema({"anyOf": [*_ITEMS, {"type": "number", "minimum": 0, "maximum": 1}]}),
]
"""Where the activation between a block's two units stays."""

Compressed: TypeAlias = Annotated[
    str | int | float,
    pydantic.PlainValidator(lambda value: _read(value, counts=True)),
    pydantic.PlainSerializer(lambda value: value),
    pydantic.WithJsonSchema({"anyOf": [*_ITEMS, {"type": "integer", "minimum": 0}]}),
]
"""Where the block of the place ``compressed`` stands."""

placement_options("body", activations=(Kept, "all"), compress=(Compressed, "none"))


def resolve(choice: str | int | float, positions: Sequence[str], *, counts: bool) -> tuple[str, ...]:
    """The positions that a choice names, in the order of the body.

    Args:
        choice: A preset, names joined by ``+``, or a number.
        positions: All that there are.
        counts: Whether a whole number is a number of positions, else it is a share.

    Raises:
        ValueError: A name that is not there, or more positions than there are.
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
        asked = choice.split("+")
        for name in asked:
            if name not in positions:
                raise ValueError(f"there is no position {name!r}; there are {', '.join(positions)}")
        return tuple(position for position in positions if position in asked)
    if counts and isinstance(choice, int):
        wanted = choice
        if wanted > total:
            raise ValueError(f"{wanted} are more than the {total} blocks that there are")
    else:
        share = SHARES[choice] if isinstance(choice, str) else float(choice)
        wanted = math.floor(share * total + 0.5)
    return tuple(positions[int((i + 0.5) * total / wanted)] for i in range(wanted))
