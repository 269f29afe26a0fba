"""Studies, trials, evaluations and architectures in a SQL database: the only state that a search keeps."""

from __future__ import annotations

from srsearch.store.database import EndedElsewhere, Store
from srsearch.store.diagnosis import Damaged
from srsearch.store.locks import Overtaken
from srsearch.store.place import DEFAULT_PATH
from srsearch.store.records import (
    STATES,
    Axis,
    Curve,
    EvaluationRecord,
    State,
    StudyRecord,
    TrainingPoint,
    TrainingRecord,
    TrialRecord,
    content_hash,
)
from srsearch.store.transactions import Gone, undisturbed

__all__ = [
    "DEFAULT_PATH",
    "STATES",
    "Axis",
    "Curve",
    "Damaged",
    "EndedElsewhere",
    "EvaluationRecord",
    "Gone",
    "Overtaken",
    "State",
    "Store",
    "StudyRecord",
    "TrainingPoint",
    "TrainingRecord",
    "TrialRecord",
    "content_hash",
    "undisturbed",
]
