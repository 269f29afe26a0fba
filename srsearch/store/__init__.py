"""The one truth: studies, trials, evaluations and architectures in SQL."""

from __future__ import annotations

from srsearch.store.database import EndedElsewhere, Gone, Store
from srsearch.store.place import DEFAULT_PATH
from srsearch.store.records import (
    STATES,
    Axis,
    Curve,
    EvaluationRecord,
    State,
    StudyRecord,
    TrialRecord,
    content_hash,
)

__all__ = [
    "DEFAULT_PATH",
    "STATES",
    "Axis",
    "Curve",
    "EndedElsewhere",
    "EvaluationRecord",
    "Gone",
    "State",
    "Store",
    "StudyRecord",
    "TrialRecord",
    "content_hash",
]
