"""The entry of a model in OpenModelDB, a community's database of upscaling models (openmodeldb.info)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from srsearch.architecture import Model
from srsearch.cost import count
from srsearch.quantity import format_quantity

_KINDS = {
    ".safetensors": ("safetensors", "pytorch"),
    ".pt": ("pth", "pytorch"),
    ".onnx": ("onnx", "onnx"),
}
"""Suffixes of files, with the names of their type and platform there."""


def openmodeldb_entry(model: Model, scale: int, files: Sequence[Path]) -> dict[str, Any]:
    """The entry as plain JSON. Author, license, links and pictures are yours to fill in.

    Args:
        model: A model with a design.
        scale: The scale that the entry is for.
        files: The files that can be downloaded.
    """
    design = model.design
    assert design is not None, "bicubic upscaling has no entry"
    cost = count(design, scale=scale)
    facts = model.facts
    recipe = facts.get("recipe") if isinstance(facts.get("recipe"), Mapping) else {}
    channels = 3 if design.colour == "rgb" else 1
    size = f"{format_quantity(cost.params)} parameters, {format_quantity(cost.mult_adds)} Mult-Adds for 1280x720"
    entry: dict[str, Any] = {
        "name": model.name,
        "author": "",
        "license": None,
        "tags": ["general-upscaler", "photo"],
        "description": f"A network found with srsearch: {size}. Key of its design: {design.key}",
        "date": date.today().isoformat(),
        "architecture": "srsearch",
        "size": [f"{design.channels}nf"],
        "scale": scale,
        "inputChannels": channels,
        "outputChannels": channels,
        "resources": [_resource(file) for file in files],
        "images": [],
    }
    for name, value in (
        ("trainingIterations", facts.get("steps")),
        ("trainingBatchSize", recipe.get("batch") if recipe else None),
    ):
        if isinstance(value, int) and value > 0:
            entry[name] = value
    if facts.get("data"):
        entry["dataset"] = str(facts["data"])
    return entry


def _resource(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    kind, platform = _KINDS[file.suffix]
    return {
        "platform": platform,
        "type": kind,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "urls": [],
    }
