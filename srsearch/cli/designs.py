"""What the argument DESIGN of a command names."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from srsearch.cli.options import open_store
from srsearch.errors import InputError

if TYPE_CHECKING:
    from srsearch.architecture import Architecture


def design_named(
    design: str, scale: int | None, multi_scale: bool, storage: str | None
) -> tuple[Architecture, int | None, str | None]:
    """The design that DESIGN names, the scale to count it at, and the size of its study's output.

    Without ``scale``, a design with several is counted at the scale of its study's budget, or at the largest.
    """
    from srsearch.architecture import Architecture, catalogue
    from srsearch.quantity import parse_natural
    from srsearch.space import read_design
    from srsearch.space.source import exists

    if design not in catalogue.names():
        study, colon, number = design.rpartition(":")
        trial = parse_natural(number)
        if colon and trial is not None:
            with open_store(storage) as store:
                about = store.study(study)
                at = about.space["constraints"]["mult_adds"].get("at")
                record = store.trial_record(study, trial)
                if record is None:
                    last = store.count_trials(study) - 1
                    raise InputError(f"study {study!r} has no trial {trial}; its trials are 0 to {last}")
            return Architecture.from_dict(record.description), scale or about.scale, at
        if Path(design).suffix in (".yaml", ".yml") or exists(Path(design)):
            read = read_design(design)
            return read, scale or read.scales[-1], None
    found = catalogue.published(design)  # unknown: says what there is
    if multi_scale and not found.multi_scale:
        raise InputError(f"{found.name} is not published with several upsamplers: leave out --multi-scale")
    if scale is None and multi_scale:
        scale = found.scales[-1]
    if scale is None and len(found.scales) > 1:
        raise InputError(f"say at which scale: srsearch count {shlex.quote(design)} --scale 4")
    at_scale = found.scales[0] if scale is None else scale
    return catalogue.get(design, None if multi_scale else at_scale), at_scale, None
