"""Networks: their parts, their descriptions (`Architecture`), how they are built, and the published ones."""

from __future__ import annotations

# Importing a module of parts registers the parts that it defines.
from srsearch.architecture import catalogue
from srsearch.architecture.assembly import InvalidDesign
from srsearch.architecture.bicubic import Bicubic, upscale_bicubic
from srsearch.architecture.build import build
from srsearch.architecture.design import GRAMMAR_VERSION, Architecture
from srsearch.architecture.model_file import Model, load_model, save_model
from srsearch.architecture.network import Network
from srsearch.architecture.official_weights import load_official, official_state_dict
from srsearch.architecture.parts import activations, blocks, bodies, entries, levels, refinements, units, upsamplers
from srsearch.architecture.registration import register
from srsearch.architecture.registry import CountingInt, Factory, Part, PositiveInt
from srsearch.architecture.wiring import Wiring, read_wiring
from srsearch.plugins import load_plugin, load_wanted_plugins

load_wanted_plugins()

__all__ = [
    "GRAMMAR_VERSION",
    "Architecture",
    "Bicubic",
    "CountingInt",
    "Factory",
    "InvalidDesign",
    "Model",
    "Network",
    "Part",
    "PositiveInt",
    "Wiring",
    "activations",
    "blocks",
    "bodies",
    "build",
    "catalogue",
    "entries",
    "levels",
    "load_model",
    "load_official",
    "load_plugin",
    "official_state_dict",
    "read_wiring",
    "refinements",
    "register",
    "save_model",
    "units",
    "upsamplers",
    "upscale_bicubic",
]
