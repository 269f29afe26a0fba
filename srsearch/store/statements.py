"""Statements that are executed often. They are built once: building one takes longer than executing it.

Their parameters are named. Where databases differ, a function takes the name of SQLAlchemy's dialect. PostgreSQL's
dialect takes long to import, so that functions import it when a statement needs it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Double,
    Insert,
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
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.elements import BindParameter

from srsearch.store.records import EvaluationRecord
from srsearch.store.rows import CONSTANT_FIELDS, TRIAL_FIELDS
from srsearch.store.tables import ArchitectureRow, EvaluationRow, StudyRow, TrialRow

_IDENTITY = [
    getattr(EvaluationRow, name) == bindparam(name) for name in ("key", "recipe_hash", "data_fingerprint", "seed")
]
EVALUATION = select(*(getattr(EvaluationRow, name) for name in EvaluationRecord.__slots__)).where(*_IDENTITY)
"""The evaluation of an identity: ``key``, ``recipe_hash``, ``data_fingerprint``, ``seed``."""

EVALUATION_ID = select(EvaluationRow.id).where(*_IDENTITY)
"""The id of the evaluation of an identity."""


@functools.cache
def new_evaluation() -> ReturningInsert[int]:
    """For PostgreSQL: inserts an evaluation and returns its id, or no row if one of its identity is stored."""
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(EvaluationRow).on_conflict_do_nothing().returning(EvaluationRow.id)


@functools.cache
def new_evaluations() -> Insert:
    """For PostgreSQL: inserts the evaluations that are not stored yet."""
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(EvaluationRow).on_conflict_do_nothing()


@functools.cache
def new_architectures() -> Insert:
    """For PostgreSQL: inserts the architectures that are not stored yet."""
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(ArchitectureRow).on_conflict_do_nothing()


MOST_VALUES = 10_000
"""The most values that a list in a statement has; SQLite takes 32,766 and PostgreSQL 65,535 in all."""

_Value = TypeVar("_Value")


def batches(values: Iterable[_Value]) -> Iterator[list[_Value]]:
    """The values in lists that a statement takes."""
    listed = list(values)
    for start in range(0, len(listed), MOST_VALUES):
        yield listed[start : start + MOST_VALUES]


def id_of(study: str | BindParameter[str]) -> ScalarSelect[int]:
    """The id of the study with a name, as a subquery."""
    return select(StudyRow.id).where(StudyRow.name == study).scalar_subquery()


AN_EVALUATION = (
    select(*(getattr(EvaluationRow, name) for name in EvaluationRecord.__slots__))
    .join(TrialRow, TrialRow.evaluation_id == EvaluationRow.id)
    .where(TrialRow.study_id == id_of(bindparam("study")))
    .order_by(TrialRow.number)
    .limit(1)
)
"""The evaluation of the first finished trial of a study, if there is one."""

CHANGE_TRIAL = update(TrialRow).where(
    TrialRow.study_id == id_of(bindparam("in_study")),
    TrialRow.number == bindparam("in_number"),
    TrialRow.state.in_(bindparam("in_states", expanding=True)),
    TrialRow.key == func.coalesce(bindparam("in_key", type_=TrialRow.key.type), TrialRow.key),
    TrialRow.owner.is_not_distinct_from(
        func.coalesce(bindparam("in_owner", type_=TrialRow.owner.type), TrialRow.owner)
    ),
)
"""Sets the columns given as parameters, if the trial's state is one of ``in_states``, its key is ``in_key`` and its
owner ``in_owner``; None stands for any key or owner."""


def clock(dialect: str) -> ColumnElement[float]:
    """The database's clock in seconds since 1970."""
    if dialect == "sqlite":
        return (func.julianday("now", type_=Double()) - 2440587.5) * 86400.0
    return cast(func.extract("epoch", func.clock_timestamp()), Double)


@functools.cache
def study_and_clock(dialect: str) -> Select[*tuple[Any, ...]]:
    """The ``id`` of a study and the database's clock as ``now``."""
    return select(StudyRow.id, clock(dialect).label("now")).where(StudyRow.name == bindparam("study"))


_AXES = cast(TrialRow.axes, Text)
AXES = (
    select(_AXES)
    .where(TrialRow.study_id == id_of(bindparam("study")))
    .group_by(_AXES)
    .order_by(func.min(TrialRow.number))
)
"""The distinct axes of a study's trials as JSON text, in the order of their first trials."""


def of_study(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Restricts a query on trials to those of ``study``, joins their evaluations, and orders them by number."""
    whole = query.outerjoin(EvaluationRow, TrialRow.evaluation_id == EvaluationRow.id)
    return whole.where(TrialRow.study_id == id_of(bindparam("study"))).order_by(TrialRow.number)


@functools.cache
def trials() -> Select[*tuple[Any, ...]]:
    """The columns that `rows.trial_record` reads; for `of_study`."""
    columns = [column.label(name) for name, column in _columns().items()]
    return select(*columns).outerjoin(ArchitectureRow, TrialRow.key == ArchitectureRow.key)


@functools.cache
def changes(dialect: str) -> tuple[Select[*tuple[Any, ...]], Callable[[Iterable[int]], object]]:
    """The rows of the trials numbered above ``after``, and of those in ``known`` without their constant fields.

    Returns:
        The query, and a function that turns the numbers of known trials into the parameter ``known``: a single one,
        however many numbers it holds.
    """
    known: BindParameter[Any]
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

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
    columns |= {
        name: case((is_new, columns[name])) for name in CONSTANT_FIELDS if name not in ("number", "description")
    }
    query = select(*(column.label(name) for name, column in columns.items())).where(or_(is_new, is_known))
    return of_study(query), form


def _columns() -> dict[str, Any]:
    """The columns of a trial's record, in the order of its fields."""
    columns: dict[str, Any] = {name: getattr(TrialRow, name, None) for name in TRIAL_FIELDS}
    columns |= {name: getattr(EvaluationRow, name) for name in ("psnr", "ssim", "seconds")}
    curve = func.coalesce(EvaluationRow.curve, TrialRow.curve, type_=TrialRow.curve.type)
    return columns | {"description": ArchitectureRow.description, "curve": curve}
