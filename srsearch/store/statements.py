"""Statements that are executed again and again, made once: to make one takes longer than the database does.

Their parameters are named; where databases differ, the name of SQLAlchemy's dialect is given.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    ScalarSelect,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy import any_ as any_of
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import BindParameter

from srsearch.store.records import EvaluationRecord, TrialRecord
from srsearch.store.tables import ArchitectureRow, EvaluationRow, StudyRow, TrialRow

_CONSTANT = (
    *("number", "key", "axes", "description", "params", "mult_adds", "activations"),
    *("sampler_state", "started_at", "replicate_of", "seed"),
)
_CHANGING = ("state", "reason", "psnr", "ssim", "curve", "seconds", "cached", "finished_at", "cleared_step", "owner")
_in_fields_order = itemgetter(*((*_CONSTANT, *_CHANGING).index(name) for name in TrialRecord.__slots__))
_DESCRIPTION, _CURVE = (TrialRecord.__slots__.index(name) for name in ("description", "curve"))

_IDENTITY = [
    getattr(EvaluationRow, name) == bindparam(name) for name in ("key", "recipe_hash", "data_fingerprint", "seed")
]
EVALUATION = select(*(getattr(EvaluationRow, name) for name in EvaluationRecord.__slots__)).where(*_IDENTITY)
"""Of an identity: key, recipe_hash, data_fingerprint, seed."""

EVALUATION_ID = select(EvaluationRow.id).where(*_IDENTITY)
"""Likewise."""

NEW_EVALUATION = postgresql.insert(EvaluationRow).on_conflict_do_nothing().returning(EvaluationRow.id)
"""On PostgreSQL: the id of a row, if it was not there."""

NEW_ARCHITECTURES = postgresql.insert(ArchitectureRow).on_conflict_do_nothing()
"""On PostgreSQL: rows that are not there."""


def id_of(study: str | BindParameter[str]) -> ScalarSelect[int]:
    """Of the study of a name."""
    return select(StudyRow.id).where(StudyRow.name == study).scalar_subquery()


CHANGE_TRIAL = update(TrialRow).where(
    TrialRow.study_id == id_of(bindparam("in_study")),
    TrialRow.number == bindparam("in_number"),
    TrialRow.state.in_(bindparam("in_states", expanding=True)),
    TrialRow.key == func.coalesce(bindparam("in_key", type_=TrialRow.key.type), TrialRow.key),
)
"""Sets the columns that are given, where a trial's state is one of in_states and its key, if one is given, in_key."""


def clock(dialect: str) -> ColumnElement[float]:
    """The database's clock in seconds since 1970."""
    if dialect == "sqlite":
        return (func.julianday("now", type_=Double()) - 2440587.5) * 86400.0
    return cast(func.extract("epoch", func.clock_timestamp()), Double)


@functools.cache
def study_and_clock(dialect: str) -> Select[*tuple[Any, ...]]:
    """The id of a study, and the time."""
    return select(StudyRow.id, clock(dialect)).where(StudyRow.name == bindparam("study"))


_AXES = cast(TrialRow.axes, Text)
AXES = (
    select(_AXES)
    .where(TrialRow.study_id == id_of(bindparam("study")))
    .group_by(_AXES)
    .order_by(func.min(TrialRow.number))
)
"""The points of ``study``'s space that trials are of, each once, as JSON text, by their first trial."""


def of_study(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """The rows of a query on the trials of ``study``, with their evaluations, by number."""
    whole = query.outerjoin(EvaluationRow, TrialRow.evaluation_id == EvaluationRow.id)
    return whole.where(TrialRow.study_id == id_of(bindparam("study"))).order_by(TrialRow.number)


@functools.cache
def trials() -> Select[*tuple[Any, ...]]:
    """What `trial_record` makes records of; for `of_study`."""
    columns = [column.label(name) for name, column in _columns().items()]
    return select(*columns).outerjoin(ArchitectureRow, TrialRow.key == ArchitectureRow.key)


@functools.cache
def changes(dialect: str) -> tuple[Select[*tuple[Any, ...]], Callable[[Iterable[int]], object]]:
    """The rows of trials numbered above ``after``, and of those ``known``, without what never changes; and the form in
    which a database takes the numbers of these. One parameter, however many they are.
    """
    known: BindParameter[Any]
    if dialect == "postgresql":
        known = bindparam("known", type_=postgresql.ARRAY(Integer))
        is_known: ColumnElement[bool] = TrialRow.number == any_of(known)
        form: Callable[[Iterable[int]], object] = list
    elif dialect == "sqlite":
        known = bindparam("known")
        is_known = TrialRow.number.in_(select(func.json_each(known).table_valued("value").c.value))

        def form(numbers: Iterable[int]) -> str:
            return json.dumps(list(numbers))
    else:
        known, form = bindparam("known", expanding=True), list
        is_known = TrialRow.number.in_(known)
    is_new = TrialRow.number > bindparam("after")
    columns = _columns() | {"description": null()}
    columns |= {name: case((is_new, columns[name])) for name in _CONSTANT if name not in ("number", "description")}
    query = select(*(column.label(name) for name, column in columns.items())).where(or_(is_new, is_known))
    return of_study(query), form


def _columns() -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(TrialRow, name, None) for name in (*_CONSTANT, *_CHANGING)}
    found |= {name: getattr(EvaluationRow, name) for name in ("psnr", "ssim", "seconds")}
    curve = func.coalesce(EvaluationRow.curve, TrialRow.curve, type_=TrialRow.curve.type)
    return found | {"description": ArchitectureRow.description, "curve": curve}


def trial_record(row: Sequence[Any]) -> TrialRecord:
    """The record of a row of `trials` or `changes`: by position, as names would take most of the time."""
    values = list(_in_fields_order(row))
    values[_DESCRIPTION] = values[_DESCRIPTION] or {}
    values[_CURVE] = tuple(map(tuple, values[_CURVE]))
    return TrialRecord(*values)


def changed_record(before: TrialRecord, row: Sequence[Any]) -> TrialRecord:
    """A record with what a row of `changes` says."""
    return trial_record([*(getattr(before, name) for name in _CONSTANT), *row[len(_CONSTANT) :]])
