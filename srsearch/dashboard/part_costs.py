"""The cost of each part of a design, as the report and the live pages show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from srsearch.dashboard.budget import LIMITED, output_size
from srsearch.dashboard.formats import TIMES
from srsearch.errors import InputError
from srsearch.objectives import objective
from srsearch.quantity import parse_output_size


def bill(description: Mapping[str, Any] | None, space: Mapping[str, Any]) -> tuple[pd.DataFrame | None, str]:
    """The cost of every part, and a sentence with the total; or None, and the reason why it cannot be counted.

    Args:
        description: The design; None or empty where the proposal was not a valid design.
        space: The study's space, which sets the output size.
    """
    if not description:
        return None, "This proposal is not a valid design: its values do not fit together."
    # Imported here because it loads torch, which the other views do not need.
    from srsearch.architecture import Architecture
    from srsearch.cost import OURS, count

    size = output_size(space)
    try:
        way = OURS.at(parse_output_size(size)) if size else OURS
        made = Architecture.from_dict(description)
        named = (space.get("constraints") or {}).get("scale")
        cost = count(made, scale=named or made.scales[-1], convention=way)
        others = [each for scale, each in cost.by_scale.items() if scale != cost.scale]
        parts = cost.parts
    except InputError as error:  # a user's own part that is not registered in this process
        return None, f"The cost of the parts cannot be counted: {error}"
    shown = (size or "1280x720").replace("x", TIMES)
    total = " and ".join(f"{objective(name).text(getattr(cost, name))} {objective(name).noun}" for name in LIMITED)
    at, further = "", ""
    if others:
        at = f" at {TIMES}{cost.scale}"
        mult_adds = objective("mult_adds")
        texts = [f"{mult_adds.text(each.mult_adds)} at {TIMES}{each.scale}" for each in others]
        further = f" {mult_adds.heading}: {', '.join(texts)}."
    return parts, f"{total}, for an output of {shown}{at}.{further}"
