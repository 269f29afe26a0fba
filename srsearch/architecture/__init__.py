"""What a network is: its parts, its description, the module it builds, and the published ones."""

from __future__ import annotations

# Importing a module of parts registers them.
from srsearch.architecture import (
    activations,
    blocks,
    bodies,
    catalogue,
    entries,
    refinements,
    units,
    upsamplers,
)
from srsearch.architecture.assembly import InvalidDesign, build
from srsearch.architecture.bicubic import upscale_bicubic
from srsearch.architecture.design import GRAMMAR_VERSION, Architecture
from srsearch.architecture.network import Network
from srsearch.architecture.parts import CountingInt, Factory, Part, PositiveInt, register
from srsearch.architecture.plugins import load_plugin, load_wanted_plugins
from srsearch.architecture.weights import load_official, official_state_dict

load_wanted_plugins()

__all__ = [
    "GRAMMAR_VERSION",
    "Architecture",
    "CountingInt",
    "Factory",
    "InvalidDesign",
    "Network",
    "Part",
    "PositiveInt",
    "activations",
    "blocks",
    "bodies",
    "build",
    "catalogue",
    "entries",
    "load_official",
    "load_plugin",
    "official_state_dict",
    "refinements",
    "register",
    "units",
    "upsamplers",
    "upscale_bicubic",
]
