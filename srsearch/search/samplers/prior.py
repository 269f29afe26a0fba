"""What another study found, as prior observations for a search."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from srsearch.architecture import Architecture
from srsearch.architecture.registry import OptionValue
from srsearch.space import Candidate, Space
from srsearch.store import Store, TrialRecord

Observation: TypeAlias = tuple[Mapping[str, OptionValue], float]
"""The values of a space's axes, and the PSNR in dB of the design there."""


def observations_from(
    store: Store, study_name: str, space: Space, *, before: datetime | None = None
) -> list[Observation]:
    """The finished designs of another study that lie inside a space.

    They may be outside its budget: what they reached still tells what an axis does. The study may have been made in
    another space or with another recipe; then its PSNR lies higher or lower as a whole, and only differences inform.

    Args:
        store: Where the study is.
        study_name: Its name.
        space: Where the designs are looked for.
        before: What was finished later does not count, so that a search informed by it can be repeated.

    Returns:
        For each design its axes in the space, and its PSNR; best first, of equal ones by trial number.

    Raises:
        InputError: There is no such study, or the space is too large to look for designs in.
    """
    found: list[Observation] = []
    for record in sorted(store.trial_records(study_name), key=lambda each: (-(each.psnr or 0.0), each.number)):
        late = before is not None and record.finished_at is not None and record.finished_at > before
        if record.state == "complete" and record.psnr is not None and record.replicate_of is None and not late:
            point = _located(record, space)
            if point is not None:
                found.append((point.axes, record.psnr))
    return found


def _located(record: TrialRecord, space: Space) -> Candidate | None:
    """Where a trial's design lies in a space: mostly at the trial's own values, else wherever it is found."""
    design = Architecture.from_dict(record.description)
    if design.scales != (space.scale,):
        return None
    axes: dict[str, OptionValue] = {}
    for axis in space.axes:
        if axis.exists(axes):
            value = record.axes.get(axis.name)
            if value not in axis.values:
                return space.locate(design)
            # Of 5.0 and 5, which are equal, the space's own.
            axes[axis.name] = axis.values[axis.values.index(value)]
    point = space.candidate(axes)
    return point if point.design.key == design.key else space.locate(design)
