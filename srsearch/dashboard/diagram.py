"""The diagram of a design, as the pages show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from srsearch import plots
from srsearch.errors import InputError


def diagram(description: Mapping[str, Any] | None) -> go.Figure:
    """The diagram of a design, or a figure that says why there is none.

    Args:
        description: Of the design; None where the proposal was none.
    """
    if not description:
        return plots.diagram(None)
    # Here, as this imports torch, which the other views do without.
    from srsearch.architecture import Architecture, read_wiring

    try:
        return plots.diagram(read_wiring(Architecture.from_dict(description)))
    except InputError as error:  # a part of the user's own that is not registered here
        return plots.diagram(None, f"The design cannot be drawn here: {error}")
