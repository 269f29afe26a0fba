"""The one truth: studies, trials, evaluations and architectures in SQL."""

from __future__ import annotations

from srsearch.store.database import Store
from srsearch.store.records import STATES, Axis, Curve, EvaluationRecord, State, StudyRecord, TrialRecord

__all__ = ["STATES", "Axis", "Curve", "EvaluationRecord", "State", "Store", "StudyRecord", "TrialRecord"]
