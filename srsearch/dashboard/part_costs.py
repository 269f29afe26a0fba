"""What the parts of a design cost, as the pages show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from srsearch.errors import InputError
from srsearch.quantity import format_quantity, parse_output_size


def bill(description: Mapping[str, Any] | None, space: Mapping[str, Any]) -> tuple[pd.DataFrame | None, str]:
    """The cost of every part, and what it is the cost of; or None, and why it cannot be told.

    Args:
        description: Of the design; None: the proposal was none.
        space: Of the study, whose output size counts.
    """
    if not description:
        return None, "This proposal is no design: its values do not fit together."
    # Here, as this imports torch, which the other views do without.
    from srsearch.architecture import Architecture
    from srsearch.cost import OURS, count

    limit = (space.get("constraints") or {}).get("mult_adds")
    at = limit.get("at") if isinstance(limit, Mapping) else None
    size = "x".join(map(str, at)) if isinstance(at, list | tuple) else at
    try:
        way = OURS.at(parse_output_size(str(size))) if size else OURS
        made = Architecture.from_dict(description)
        cost = count(made, scale=made.scales[-1], convention=way)
        parts = cost.parts
    except InputError as error:  # a part of the user's own that is not registered here
        return None, f"The cost of the parts cannot be told here: {error}"
    shown = str(size or "1280x720").replace("x", "\N{MULTIPLICATION SIGN}")
    text = f"{format_quantity(cost.mult_adds)} Mult-Adds and {format_quantity(cost.params)} parameters"
    return parts, f"{text}, for an output of {shown}."
