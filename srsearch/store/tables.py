"""The tables. Their names begin with ``sr_``, so that Optuna's can live in the same database.

A change here needs a revision in ``migrations/versions`` and its name in ``schema.REVISIONS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from srsearch.store.records import STATES, TRAINING_STATES
from srsearch.text import well_formed


class UtcDateTime(TypeDecorator[datetime]):
    """Times with a time zone, kept as UTC without one, so that every database gives back the same."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database: UTC, naive."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC)")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database: UTC, aware."""
        return None if value is None else value.replace(tzinfo=UTC)


class WellFormed(TypeDecorator[str]):
    """Text of any length; what is not Unicode (a name of a file that is not UTF-8) becomes a replacement character."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """To the database: what every database can encode."""
        return None if value is None else well_formed(value)


class WellFormedName(WellFormed):
    """The same with a greatest length."""

    impl = String  # type: ignore[assignment]  # narrower than Text
    cache_ok = True


class Base(DeclarativeBase):
    """Types by annotation and names of constraints, which migrations need."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy reads it from the class)
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        float: Double,
        str: WellFormed,
    }


def _one_of(states: Sequence[str]) -> str:
    return f"state IN ({', '.join(repr(state) for state in states)})"


class ArchitectureRow(Base):
    """A design, once however many studies propose it. Its cost depends on the output size, so it is the trial's."""

    __tablename__ = "sr_architectures"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    description: Mapped[dict[str, Any]]


class EvaluationRow(Base):
    """A finished training; shared by all studies that ask for the same."""

    __tablename__ = "sr_evaluations"
    __table_args__ = (UniqueConstraint("key", "recipe_hash", "data_fingerprint", "seed"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(ForeignKey("sr_architectures.key"))
    recipe: Mapped[dict[str, Any]]
    recipe_hash: Mapped[str] = mapped_column(String(64))
    data_fingerprint: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int] = mapped_column(BigInteger)
    psnr: Mapped[float]
    ssim: Mapped[float | None]
    curve: Mapped[list[Any]]
    seconds: Mapped[float | None]
    versions: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class StudyRow(Base):
    """A study."""

    __tablename__ = "sr_studies"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(WellFormedName(200), unique=True)
    space: Mapped[dict[str, Any]]
    space_text: Mapped[str]
    space_hash: Mapped[str] = mapped_column(String(64))
    scale: Mapped[int]
    objectives: Mapped[list[Any]]
    sampler: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    recipe: Mapped[dict[str, Any]]
    data: Mapped[dict[str, Any]]
    data_fingerprint: Mapped[str] = mapped_column(String(64))
    reference: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    workers: Mapped[int | None]


class TrialRow(Base):
    """A proposal of a study, a replicate of one, or a longer training of one; its results are its evaluation's.

    While it is running it is leased: ``owner`` trains it, and says so again and again with a ``heartbeat``, the
    database's clock in seconds since 1970.
    """

    __tablename__ = "sr_trials"
    __table_args__ = (
        CheckConstraint(_one_of(STATES), name="state"),
        CheckConstraint("state != 'complete' OR evaluation_id IS NOT NULL", name="evaluated"),
    )

    study_id: Mapped[int] = mapped_column(ForeignKey("sr_studies.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[str | None] = mapped_column(ForeignKey("sr_architectures.key"))
    evaluation_id: Mapped[int | None] = mapped_column(ForeignKey("sr_evaluations.id"))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None]
    axes: Mapped[dict[str, Any]]
    params: Mapped[int | None] = mapped_column(BigInteger)
    mult_adds: Mapped[int | None] = mapped_column(BigInteger)
    activations: Mapped[int | None] = mapped_column(BigInteger)
    curve: Mapped[list[Any]]
    cached: Mapped[bool]
    sampler_state: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    replicate_of: Mapped[int | None]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    steps: Mapped[int | None]
    cleared_step: Mapped[int] = mapped_column("cleared", key="cleared_step")
    owner: Mapped[str | None]
    heartbeat: Mapped[float | None]


class TrainingRow(Base):
    """A full training. While it is running, its ``owner`` says so with a ``heartbeat``, as for trials."""

    __tablename__ = "sr_trainings"
    __table_args__ = (CheckConstraint(_one_of(TRAINING_STATES), name="state"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    key: Mapped[str] = mapped_column(ForeignKey("sr_architectures.key"))
    recipe: Mapped[dict[str, Any]]
    recipe_hash: Mapped[str] = mapped_column(String(64))
    data: Mapped[dict[str, Any]]
    data_fingerprint: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int] = mapped_column(BigInteger)
    study_id: Mapped[int | None] = mapped_column(ForeignKey("sr_studies.id"))
    trial: Mapped[int | None]
    file: Mapped[str]
    minutes: Mapped[float | None]
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None]
    step: Mapped[int]
    done: Mapped[float]
    seconds: Mapped[float]
    curve: Mapped[list[Any]]
    bicubic: Mapped[float | None]
    owner: Mapped[str | None]
    heartbeat: Mapped[float | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
