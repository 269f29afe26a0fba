"""The results of another study, as prior observations for a search."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from srsearch.architecture import Architecture
from srsearch.architecture.registry import OptionValue
from srsearch.space import Candidate, Space
from srsearch.store import Store, TrialRecord

Observation: TypeAlias = tuple[Mapping[str, OptionValue], float]
"""A design's values on the axes of a space, and its PSNR in dB."""


def observations_from(
    store: Store, study_name: str, space: Space, *, before: datetime | None = None
) -> list[Observation]:
    """Return the finished designs of another study that lie inside a space.

    Designs outside the space's budget are included, because they still show the effect of an axis. The other study may
    have another space or recipe. Then all its PSNR may be higher or lower, and only differences carry over.

    Args:
        store: Holds the study.
        study_name: Name of the study.
        space: The space to look for its designs in.
        before: Leave out trials that finished later, so that a search with this prior is repeatable.

    Returns:
        Each design's values on the axes, and its PSNR in dB; best first, then by trial number.

    Raises:
        InputError: There is no such study, or the space is too large to look for designs in.
    """
    observations: list[Observation] = []
    for record in sorted(store.trial_records(study_name), key=lambda each: (-(each.psnr or 0.0), each.number)):
        late = before is not None and record.finished_at is not None and record.finished_at > before
        if record.state == "complete" and record.psnr is not None and record.replicate_of is None and not late:
            point = _located(record, space)
            if point is not None:
                observations.append((point.axes, record.psnr))
    return observations


def _located(record: TrialRecord, space: Space) -> Candidate | None:
    """The point of a space with a trial's design: tries the trial's own values first, then searches the space."""
    design = Architecture.from_dict(record.description)
    if design.scales != space.scales:
        return None
    axes: dict[str, OptionValue] = {}
    for axis in space.axes:
        if axis.exists(axes):
            value = record.axes.get(axis.name)
            if value not in axis.values:
                return space.locate(design)
            # 5.0 equals 5: take the space's own value.
            axes[axis.name] = axis.values[axis.values.index(value)]
    point = space.candidate(axes)
    return point if point.design.key == design.key else space.locate(design)
