"""What a network is: its parts, its description, the module it builds, and the published ones."""

from __future__ import annotations

# Importing a module of parts registers them.
from srsearch.architecture import blocks, bodies, catalogue, units, upsamplers
from srsearch.architecture.assembly import InvalidDesign, build
from srsearch.architecture.bicubic import upscale_bicubic
from srsearch.architecture.design import GRAMMAR_VERSION, Architecture
from srsearch.architecture.network import Network
from srsearch.architecture.parts import Factory, Part, PositiveInt, register

__all__ = [
    "GRAMMAR_VERSION",
    "Architecture",
    "Factory",
    "InvalidDesign",
    "Network",
    "Part",
    "PositiveInt",
    "blocks",
    "bodies",
    "build",
    "catalogue",
    "register",
    "units",
    "upsamplers",
    "upscale_bicubic",
]
