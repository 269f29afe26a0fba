"""Rules that bring a description to canonical form: networks that compute the same have one description.

Each rule states an equality of networks; the tests trace networks of a whole space and compare.
"""

from __future__ import annotations

from typing import Any

from srsearch.architecture.parts import Part, read_part


def unit(part: Part) -> Part:
    """A group convolution with one group is a convolution."""
    return Part("conv") if part == read_part("unit", {"grouped": {"groups": 1}}) else part


def body(part: Part) -> Part:
    """Cascades: what nothing uses is unset, and a cascade that is a chain or a flat cascade is written as one.

    - A group of one block has nothing to share.
    - Without fusions there is no activation behind them; with nothing shared either, it is a chain.
    - One locally fused group of n blocks is n groups of one block, globally fused.
    """
    if part.name != "cascade":
        return part
    options: dict[str, Any] = dict(part.options)
    if options["blocks"] == 1:
        options["share"] = "none"
    if options["fusion"] == "none":
        options["fusion_activation"] = False
        if options["share"] == "none":
            return read_part("body", {"chain": {"blocks": options["groups"] * options["blocks"]}})
    if options["fusion"] == "local" and options["groups"] == 1 and options["share"] == "none":
        options |= {"groups": options["blocks"], "blocks": 1, "fusion": "global"}
    return Part("cascade", tuple(options.items()))
