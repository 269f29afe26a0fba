"""Design files: one `Architecture` as YAML."""

from __future__ import annotations

from pathlib import Path

from srsearch.architecture import Architecture
from srsearch.architecture.assembly import positions
from srsearch.cost import count
from srsearch.errors import InputError
from srsearch.space.source import Source


def read_design(path: str | Path) -> Architecture:
    """A design from a YAML file, as ``srsearch best --save`` writes it.

    Raises:
        InputError: No such file, not YAML, or not a design; names the file.
    """
    source = Source.read(Path(path))
    if not isinstance(source.data, dict):
        raise InputError(f"{path}:1: a design is a mapping with scale, channels, body and so on")
    if "architecture" in source.data:
        raise InputError(f"{path}: is a search space, not one design; see `srsearch space {path}`")
    try:
        design = Architecture.from_dict(source.data)
        positions(design.body)  # too many blocks: refused before they are built
        count(design, scale=design.scales[0])  # parts that do not fit are the file's mistake
        return design
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
