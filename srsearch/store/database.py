"""`Store`: every question to the database and every change of it."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Double,
    Select,
    Table,
    Update,
    case,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute

from srsearch.errors import InputError, WorkError, suggest
from srsearch.store import leases, locks, schema, sqlite, statements
from srsearch.store.connection import COMMITTING, READING, explained, reading_engine, writing_engine
from srsearch.store.diagnosis import persistently
from srsearch.store.place import Place
from srsearch.store.records import ENDED, STATES, Axis, Curve, EvaluationRecord, State, StudyRecord, TrialRecord
from srsearch.store.tables import ArchitectureRow, EvaluationRow, StudyRow, TrialRow

if TYPE_CHECKING:
    import pandas as pd

_Answer = TypeVar("_Answer")
_Given = ParamSpec("_Given")

_MOST_FAILURES = 5

_RUNNING: tuple[State, ...] = ("running",)
_OPEN = tuple(state for state in STATES if state not in ENDED)


class _Held(threading.local):
    """The connection of the section in which a thread is alone, on a server."""

    connection: Connection | None = None


class Gone(WorkError):
    """The database's file was deleted or replaced while it was in use: there is nothing to wait for."""


class EndedElsewhere(WorkError):
    """A trial that was to be changed is not running: another process ended it."""


def _persistent(
    change: Callable[Concatenate[Store, _Given], _Answer],
) -> Callable[Concatenate[Store, _Given], _Answer]:
    """A change in one transaction that is made again while the server is away; one that is told twice is made once."""

    @functools.wraps(change)
    def again(self: Store, /, *args: _Given.args, **kwargs: _Given.kwargs) -> _Answer:
        return self._persistently(lambda: change(self, *args, **kwargs))

    return again


class Store:
    """Studies, trials, evaluations and architectures in a SQL database.

    Every change is one transaction: it is there completely or not at all, whatever happens to the process. Several
    processes may use one database at once. `close` it, or use it in a ``with`` statement.

    Args:
        url: A SQLAlchemy URL, or the path of a SQLite file; None: ``studies/srsearch.db``.
        read_only: Open for reading: creates and changes nothing, and a writable folder is not needed. Otherwise a
            database that is not there is made, and an older one upgraded.

    Raises:
        InputError: Not a database, not readable or writable, made by a newer srsearch, or (for reading) not there; a
            server that does not answer, or does not let this user in.
        WorkError: The disk is full, or another process does not give its lock back; later also a server that has gone
            away and not come back in a minute.

    Attributes:
        say: Told when a server that has gone away is waited for.

    Example:
        >>> with Store("sqlite://") as store:
        ...     store.study_names()
        []
    """

    def __init__(self, url: str | URL | Path | None = None, *, read_only: bool = False) -> None:
        self._place = Place.of(url)
        self.read_only = read_only
        self.say: Callable[[str], None] = lambda message: None
        self._held = _Held()
        with explained(self._place, opening=True):
            self._engine = reading_engine(self._place) if read_only else writing_engine(self._place)
            self._reading = self._engine.execution_options(**READING)
            self._committing = self._engine.execution_options(**COMMITTING)
            try:
                if read_only:
                    self._read(lambda connection: schema.check(connection, self._place), opening=True)
                else:
                    with self._engine.begin() as connection:
                        schema.upgrade(connection, self._place)
            except BaseException:
                self._engine.dispose()
                raise
        self._file = self._file_now()

    @property
    def where(self) -> str:
        """Where the database is, for people: a path, or a URL without its password."""
        return str(self._place)

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database; None in memory and for other databases."""
        return self._place.path

    def close(self) -> None:
        """Lets go of the database."""
        self._engine.dispose()

    @contextmanager
    def alone(self, what: str, *, wait: float = sqlite.BUSY_SECONDS) -> Iterator[None]:
        """While this is open, no other process that uses this database is in the section of that name.

        On a server all that this thread reads and changes meanwhile is one transaction, which ends with the section:
        a process that dies leaves nothing behind, and the next one in the section sees everything.

        Args:
            what: Names the section.
            wait: Seconds that it may take until the others are out.

        Raises:
            WorkError: They were not, or the database failed.
        """
        if self._place.is_sqlite and self._place.path is None:
            yield  # a database in memory belongs to one process
            return
        with ExitStack() as inside:
            self._held.connection = self._persistently(lambda: self._enter(inside, what, wait))
            try:
                yield
            except BaseException:
                with contextlib.suppress(DBAPIError):  # with a lost connection everything is undone as well
                    inside.__exit__(*sys.exc_info())
                raise
            finally:
                self._held.connection = None
            # What goes wrong inside is not ours to explain: getting in and out is.
            with explained(self._place):
                inside.close()

    def _enter(self, inside: ExitStack, what: str, wait: float) -> Connection | None:
        with explained(self._place):
            return inside.enter_context(locks.alone(self._place, self._engine, what, wait))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Studies

    def create_study(
        self,
        record: StudyRecord,
        *,
        trials: Sequence[TrialRecord] = (),
        evaluations: Mapping[int, EvaluationRecord] | None = None,
    ) -> None:
        """Adds a study, as a rule without trials.

        Args:
            record: The study.
            trials: Those that it has had in another database.
            evaluations: Of its complete trials, by their numbers.

        Raises:
            InputError: The name is taken, empty, too long or holds characters that cannot be printed.
        """
        _check_name(record.name)
        with self._write() as connection:
            self._refuse_taken(connection, record.name)
            values = {name: getattr(record, name) for name in StudyRecord.__slots__}
            values["objectives"] = list(record.objectives)
            connection.execute(insert(_table(StudyRow)), _plain(values))
            if trials:
                study_id = self._study_id(connection, record.name)
                _insert_new_architectures(connection, {t.key: dict(t.description) for t in trials if t.key is not None})
                rows = [_trial_values(study_id, trial) for trial in trials]
                for row in rows:
                    evaluation = (evaluations or {}).get(row["number"])
                    row["evaluation_id"] = None if evaluation is None else _evaluation_id(connection, evaluation)
                connection.execute(insert(_table(TrialRow)), rows)

    def study(self, name: str) -> StudyRecord:
        """The study of that name.

        Raises:
            InputError: There is none; the message lists those there are.
        """
        columns = _columns(StudyRow, StudyRecord.__slots__)
        rows = self._select(select(*columns).where(StudyRow.name == name))
        if not rows:
            raise self._unknown(name, self.study_names())
        values = dict(rows[0]._mapping)
        values["objectives"] = tuple(values["objectives"])
        return StudyRecord(**values)

    def study_names(self) -> list[str]:
        """All studies' names, oldest first."""
        return [name for (name,) in self._select(select(StudyRow.name).order_by(StudyRow.id))]

    def rename_study(self, name: str, new_name: str) -> None:
        """Gives a study another name.

        Raises:
            InputError: No such study, a process works on it, or the new name is taken or cannot be a name.
        """
        _check_name(new_name)
        with self._write() as connection:
            study_id = self._unused(connection, name)
            if new_name != name:
                self._refuse_taken(connection, new_name)
            connection.execute(update(StudyRow).where(StudyRow.id == study_id).values(name=new_name))

    def delete_study(self, name: str) -> None:
        """Removes a study and its trials. Its evaluations stay, so that no design is ever trained twice.

        Raises:
            InputError: No such study, or a process works on it.
        """
        with self._write() as connection:
            study_id = self._unused(connection, name)
            connection.execute(_table(TrialRow).delete().where(TrialRow.study_id == study_id))
            connection.execute(_table(StudyRow).delete().where(StudyRow.id == study_id))

    def copy_study(self, study: str, target: Store, *, name: str | None = None) -> int:
        """Copies a study with its trials and evaluations to another database, in one transaction there.

        Evaluations that the target has already are its own; so databases are merged, and no design is trained twice.

        Args:
            study: Its name here.
            target: The other database, open for writing.
            name: Its name there; None: the same.

        Returns:
            The number of trials copied.

        Raises:
            InputError: No such study, or the name is taken there.
        """
        record = replace(self.study(study), name=name or study)
        trials = self.trial_records(study)
        columns = _columns(EvaluationRow, EvaluationRecord.__slots__)
        rows = self._of_study(study, select(TrialRow.number, *columns).where(TrialRow.evaluation_id.is_not(None)))
        names = EvaluationRecord.__slots__
        evaluations = {row[0]: EvaluationRecord(**dict(zip(names, row[1:], strict=True))) for row in rows}
        target.create_study(record, trials=trials, evaluations=evaluations)
        return len(trials)

    # Trials

    def add_trials(self, study: str, trials: Sequence[TrialRecord]) -> None:
        """Adds proposals in one transaction: those turned down and the running one together, with new architectures.

        A running one is leased to its ``owner`` from now on.

        Raises:
            InputError: No such study.
            WorkError: A number is taken: another process is working on the study.
        """
        with self._write() as connection:
            found = connection.execute(statements.study_and_clock(connection.dialect.name), {"study": study}).first()
            study_id, now = found or (self._study_id(connection, study), 0.0)  # unknown: says what there is
            descriptions = {trial.key: dict(trial.description) for trial in trials if trial.key is not None}
            _insert_new_architectures(connection, descriptions)
            rows = [_trial_values(study_id, trial) for trial in trials]
            for row, trial in zip(rows, trials, strict=True):
                row["owner"] = trial.owner if trial.state == "running" else None
                row["heartbeat"] = now if row["owner"] else None
            try:
                if rows:
                    connection.execute(insert(_table(TrialRow)), rows)
            except IntegrityError as error:
                raise WorkError(
                    f"study {study!r} already has trial {', '.join(str(trial.number) for trial in trials)}: "
                    "another process is working on it"
                ) from error

    def take_up(self, study: str, trial: TrialRecord, owner: str) -> bool:
        """Leases a trial that nobody works on: one that is stopped, or whose owner is no more.

        Args:
            study: The study's name.
            trial: As it was read.
            owner: Who is to train it now.

        Returns:
            Whether it is the owner's now; not if somebody else was quicker, or it has ended.
        """
        # A stopped one goes on beyond the rung at which it was stopped.
        cleared = trial.curve[-1][0] if trial.state == "stopped" and trial.curve else trial.cleared
        with self._write() as connection:
            here = _trial_is(study, trial.number)
            as_read = [TrialRow.state == trial.state, TrialRow.owner.is_not_distinct_from(trial.owner)]
            # Whoever has it locked is about to end it, or to take it up: nothing to wait for.
            free = select(TrialRow.number).where(*here, *as_read).with_for_update(skip_locked=True)
            if connection.execute(free).scalar() is None:
                return False
            values = {
                "state": "running",
                "owner": owner,
                "heartbeat": statements.clock(connection.dialect.name),
                "cleared": int(cleared),
            }
            connection.execute(update(TrialRow).where(*here).values(**values))
            return True

    @_persistent
    def heartbeat(self, study: str, owner: str) -> None:
        """Says that an owner is alive and works on all trials that it has leased."""
        with self._write(once=True) as connection:
            connection.execute(_leased_by(study, owner).values(heartbeat=statements.clock(connection.dialect.name)))

    def release(self, study: str, owner: str) -> None:
        """Gives back what an owner has leased: whoever works on the study next takes it up."""

        def give_back() -> None:
            with self._write(once=True) as connection:
                connection.execute(_leased_by(study, owner).values(owner=None, heartbeat=None))

        persistently(give_back, self.say, wait=1.0)

    def abandoned(self, study: str) -> list[int]:
        """Numbers of the running trials on which nobody works any more.

        Their owner is a process of this host that has ended, or one of another host without a heartbeat in the last
        `leases.LEASE_SECONDS` by the database's clock.

        Raises:
            InputError: No such study.
        """

        return [number for number, void in self._read(lambda c: self._leases(c, self._study_id(c, study))) if void]

    @_persistent
    def keep_curve(
        self, study: str, number: int, curve: Curve, *, cleared: int | None = None, stop: bool = False
    ) -> None:
        """Keeps what a running trial has reached.

        Args:
            study: The study's name.
            number: The trial's.
            curve: All of it so far.
            cleared: The step up to which it may go on.
            stop: Set the trial aside, in the same transaction.

        Raises:
            InputError: No such study or trial.
            EndedElsewhere: The trial is not running.
        """
        values: dict[str, Any] = {"curve": _points(curve)}
        if cleared is not None:
            values["cleared"] = cleared
        if stop:
            values |= {"state": "stopped", "owner": None, "heartbeat": None}
        with self._write(once=True) as connection:
            self._change_trial(connection, study, number, values)

    @_persistent
    def finish_trial(self, study: str, number: int, evaluation: EvaluationRecord, *, cached: bool = False) -> None:
        """Completes a running trial with its evaluation, in one transaction.

        Args:
            study: The study's name.
            number: The trial's.
            evaluation: Of the trial's architecture. Where the store has one of that identity already, that one counts.
            cached: Whether it was found rather than trained.

        Raises:
            InputError: No such study or trial.
            ValueError: The evaluation is of another architecture.
            EndedElsewhere: The trial is not running. The evaluation is kept nevertheless.
        """
        values: dict[str, Any] = {
            "state": "complete",
            "reason": None,
            "cached": cached,
            "finished_at": datetime.now(UTC),
            "owner": None,
            "heartbeat": None,
        }
        ended = None
        with self._write() as connection:
            values["evaluation_id"] = _evaluation_id(connection, evaluation)
            try:
                self._change_trial(connection, study, number, values, states=_OPEN, key=evaluation.key)
            except EndedElsewhere as error:
                ended = error
        if ended is not None:
            raise ended

    @_persistent
    def fail_trial(self, study: str, number: int, reason: str) -> None:
        """Ends a running trial without a result; the points of its curve stay.

        Raises:
            InputError: No such study or trial.
            EndedElsewhere: The trial is not running.
        """
        values = {"state": "failed", "reason": _storable(reason), "finished_at": datetime.now(UTC)}
        with self._write(once=True) as connection:
            self._change_trial(connection, study, number, values | {"owner": None, "heartbeat": None})

    def trial_records(self, study: str) -> list[TrialRecord]:
        """All trials of a study with everything known of them, by number.

        Raises:
            InputError: No such study.
        """
        # By position: with twenty thousand trials, names would take most of the time.
        return [statements.trial_record(row) for row in self._of_study(study, statements.trials())]

    def changed_trials(self, study: str, known: Mapping[int, TrialRecord], after: int) -> list[TrialRecord]:
        """What has become of trials since they were read, and new ones, by number.

        Args:
            study: Its name; of one that is not there nothing has become.
            known: Those that were running or stopped then, by number.
            after: The largest number that there was then.

        Returns:
            The records; without their description where they are new, as hardly anybody looks at it (`description`).
        """

        def ask(connection: Connection) -> Sequence[Any]:
            query, form = statements.changes(connection.dialect.name)
            return connection.execute(query, {"study": study, "after": after, "known": form(known)}).all()

        found = []
        for row in self._read(ask):
            before = known.get(row.number)
            if before is None:
                found.append(statements.trial_record(row))
            elif before.state == "running" or row.state != before.state:
                found.append(statements.changed_record(before, row))
        return found

    def description(self, key: str) -> Mapping[str, Any]:
        """A design as plain JSON; empty where there is none of that key."""
        rows = self._select(select(ArchitectureRow.description).where(ArchitectureRow.key == key))
        return rows[0][0] if rows else {}

    # Evaluations

    def evaluation(self, key: str, recipe_hash: str, data_fingerprint: str, seed: int) -> EvaluationRecord | None:
        """The finished training of that identity, from whatever study; None where there is none."""
        identity = {"key": key, "recipe_hash": recipe_hash, "data_fingerprint": data_fingerprint, "seed": seed}
        row = self._read(lambda connection: connection.execute(statements.EVALUATION, identity).first())
        if row is None:
            return None
        values = dict(row._mapping)
        values["curve"] = tuple(map(tuple, values["curve"]))
        return EvaluationRecord(**values)

    # Tables for people and plots

    def trials(self, study: str) -> pd.DataFrame:
        """All trials of a study by number.

        Returns:
            One row for each design. Columns trial (its number), key, state, reason, psnr (dB) and ssim (means over
            its seeds), seeds (how many), psnr_sd (sample standard deviation over them), mult_adds, params, activations,
            seconds, cached, finished_at (UTC), then one per axis under the axis's name (with ``axes.`` before it where
            one of the first columns has that name). Nullable types: integers stay integers, what is absent is NA.
            ``attrs["axes"]`` lists the axes' columns.

        Raises:
            InputError: No such study.
        """
        from srsearch.store import frames

        return frames.trials(self._of_study(study, frames.TRIALS))

    def front(self, study: str, *, objectives: Sequence[str] | None = None) -> pd.DataFrame:
        """The non-dominated trials of a study, cheapest first, with the columns of `trials`.

        Args:
            study: Its name.
            objectives: Other ones than the study's.

        Raises:
            InputError: No such study or objective.
        """
        from srsearch.analysis import directions, pareto_front
        from srsearch.store import frames

        chosen = list(directions(self.study(study).objectives if objectives is None else objectives))
        # Of a hundred thousand trials only those on the front become rows.
        leading = frames.leading(self._of_study(study, frames.measured(chosen)), chosen)
        mine = or_(TrialRow.number.in_(leading), TrialRow.replicate_of.in_(leading))
        texts = self._read(lambda connection: connection.execute(statements.AXES, {"study": study}).scalars().all())
        rows = self._of_study(study, frames.TRIALS.where(mine))
        return pareto_front(frames.trials(rows, frames.kinds_in(texts)), chosen)

    def studies(self) -> pd.DataFrame:
        """All studies, oldest first.

        Returns:
            Columns name, scale, complete, stopped, failed, infeasible (numbers of designs), best_psnr (dB, mean over a
            design's seeds, NA without a finished trial) and created_at (UTC).
        """
        from srsearch.store import frames

        designs = TrialRow.replicate_of.is_(None)
        states = ("complete", "stopped", "failed", "infeasible")
        counts = [func.count(case(((TrialRow.state == state) & designs, 1))) for state in states]
        design = func.coalesce(TrialRow.replicate_of, TrialRow.number)
        means = select(TrialRow.study_id, func.avg(EvaluationRow.psnr).label("psnr")).join(EvaluationRow)
        means_of_designs = means.group_by(TrialRow.study_id, design).subquery()
        best = select(func.max(means_of_designs.c.psnr)).where(means_of_designs.c.study_id == StudyRow.id)
        query = (
            select(StudyRow.name, StudyRow.scale, *counts, best.scalar_subquery(), StudyRow.created_at)
            .outerjoin(TrialRow, TrialRow.study_id == StudyRow.id)
            .group_by(StudyRow.id, StudyRow.name, StudyRow.scale, StudyRow.created_at)
            .order_by(StudyRow.id)
        )
        return frames.studies(self._select(query))

    def export_optuna(
        self,
        study: str,
        url: str | URL | Path,
        *,
        name: str | None = None,
        choices: Mapping[str, Sequence[Axis]] | None = None,
    ) -> int:
        """Writes a study for Optuna's own tools, such as optuna-dashboard.

        Args:
            study: Its name.
            url: Optuna's database: a SQLAlchemy URL, or the path of a SQLite file; may be this store's own.
            name: The study's name there; None: the same.
            choices: All values each axis may have; None: those that were tried.

        Returns:
            The number of trials written.

        Raises:
            InputError: No such study; there is one of that name already in Optuna's database; that cannot be opened.
        """
        from srsearch.store.optuna_export import export

        return export(self.study(study), self.trial_records(study), Place.of(url), name or study, choices or {})

    # Reading and writing

    @contextmanager
    def _write(self, *, once: bool = False) -> Iterator[Connection]:
        """One transaction that may write; committed at the end, rolled back by any exception.

        Args:
            once: Only one statement changes something, and may be its own transaction: a server is asked only once.
        """
        if self.read_only:
            raise InputError(f"{self.where} was opened for reading only")
        if self._held.connection is not None:
            with explained(self._place):
                yield self._held.connection
            return
        engine = self._committing if once and not self._place.is_sqlite else self._engine
        with explained(self._place), engine.begin() as connection:
            # SQLite goes on writing to a file that has been deleted, and nobody would ever find it.
            if self._file != self._file_now():
                raise Gone(f"the database {self.where} is gone: its file was deleted or replaced while it was in use")
            yield connection

    def _file_now(self) -> tuple[int, int] | None:
        """Which file the database is; None where it is none, or no longer there."""
        try:
            status = os.stat(self._place.path) if self._place.path is not None else None
        except OSError:
            return None
        return None if status is None else (status.st_dev, status.st_ino)

    def _read(self, ask: Callable[[Connection], _Answer], *, opening: bool = False) -> _Answer:
        """The answer of one transaction that only reads."""
        return self._persistently(lambda: self._read_once(ask, opening=opening))

    def _read_once(self, ask: Callable[[Connection], _Answer], *, opening: bool) -> _Answer:
        with explained(self._place, opening=opening):
            if self._held.connection is not None:
                return ask(self._held.connection)
            if not self.read_only or self._place.path is None:
                with self._reading.begin() as connection:
                    return ask(connection)
            return self._read_file(self._place.path, ask)

    def _persistently(self, act: Callable[[], _Answer]) -> _Answer:
        """What ``act`` gives, also where the server is waited for; a part of a larger transaction is tried once."""
        return act() if self._held.connection is not None else persistently(act, self.say)

    def _read_file(self, path: Path, ask: Callable[[Connection], _Answer]) -> _Answer:
        """The answer from a SQLite file; asked again where it was read without locks and somebody just wrote."""
        deadline, failures = time.monotonic() + sqlite.BUSY_SECONDS, 0
        while time.monotonic() < deadline:
            try:
                with self._reading.begin() as connection:
                    answer = ask(connection)
                    files = cast(sqlite.Reader, connection.connection.dbapi_connection).files
                if files is None or files == sqlite.file_state(path):
                    return answer
            except (DBAPIError, sqlite.Error, OSError):
                # What comes of a writer who came or went at that instant does not come again and again.
                failures += 1
                if failures == _MOST_FAILURES:
                    raise
            time.sleep(0.01)
        raise WorkError(f"{self.where} keeps changing while it is read")

    def _select(self, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
        return self._read(lambda connection: connection.execute(query).all())

    def _of_study(self, study: str, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
        """Rows of a query on the study's trials, with their evaluations, by number."""

        def ask(connection: Connection) -> Sequence[Any]:
            rows = connection.execute(statements.of_study(query), {"study": study}).all()
            if not rows:
                self._study_id(connection, study)  # unknown: says what there is
            return rows

        return self._read(ask)

    def _study_id(self, connection: Connection, name: str) -> int:
        study_id = connection.execute(select(StudyRow.id).where(StudyRow.name == name)).scalar()
        if study_id is None:
            names = connection.execute(select(StudyRow.name).order_by(StudyRow.id)).scalars().all()
            raise self._unknown(name, names)
        return study_id

    def _unknown(self, name: str, names: Iterable[str]) -> InputError:
        listed = list(names)
        if not listed:
            return InputError(f"no study {name!r} in {self.where}: it has none yet, run `srsearch run` first")
        hint = suggest(name, listed)
        there = "" if hint.startswith("valid") else f" (there are: {', '.join(listed)})"
        return InputError(f"no study {name!r} in {self.where}; {hint}{there}")

    def _refuse_taken(self, connection: Connection, name: str) -> None:
        if connection.execute(select(StudyRow.id).where(StudyRow.name == name)).scalar() is not None:
            raise InputError(f"there is a study {name!r} in {self.where} already")

    def _leases(self, connection: Connection, study_id: int) -> list[tuple[int, bool]]:
        """The numbers of the running trials, and whether their lease is void."""
        query = select(
            TrialRow.number, TrialRow.owner, statements.clock(connection.dialect.name) - _last_sign(connection)
        )
        running = query.where(TrialRow.study_id == study_id, TrialRow.state == "running")
        return [
            (number, leases.is_void(owner, age))
            for number, owner, age in connection.execute(running.order_by(TrialRow.number))
        ]

    def _unused(self, connection: Connection, study: str) -> int:
        """The study's id, once it is sure that no process works on it."""
        study_id = self._study_id(connection, study)
        if not all(void for _, void in self._leases(connection, study_id)):
            raise InputError(f"study {study!r} in {self.where} is being run by another process; end that first")
        return study_id

    def _change_trial(
        self,
        connection: Connection,
        study: str,
        number: int,
        values: Mapping[str, Any],
        *,
        states: Collection[State] = _RUNNING,
        key: str | None = None,
    ) -> None:
        """One statement that changes a trial if it is in one of these states, and of that design."""
        which = {"in_study": study, "in_number": number, "in_states": states, "in_key": key}
        if connection.execute(statements.CHANGE_TRIAL, {**values, **which}).rowcount:
            return
        self._study_id(connection, study)  # unknown: says what there is
        found = connection.execute(select(TrialRow.key, TrialRow.state).where(*_trial_is(study, number))).first()
        if found is None:
            raise InputError(f"study {study!r} has no trial {number}")
        if key not in (None, found.key):
            raise ValueError(f"trial {number} is of architecture {found.key}, the evaluation of {key}")
        raise EndedElsewhere(
            f"trial {number} of study {study!r} is {found.state}, not running: another process ended it"
        )


def _last_sign(connection: Connection) -> ColumnElement[float | None]:
    """When an owner has last been heard of; none could say anything before the server was there."""
    if connection.dialect.name != "postgresql":
        return TrialRow.heartbeat.expression
    since = sql_cast(func.extract("epoch", func.pg_postmaster_start_time()), Double)
    return case((TrialRow.heartbeat.is_not(None), func.greatest(TrialRow.heartbeat, since)))


def _table(row: type[DeclarativeBase]) -> Table:
    return cast(Table, row.__table__)


def _columns(row: type[DeclarativeBase], names: Iterable[str]) -> list[InstrumentedAttribute[Any]]:
    return [getattr(row, name) for name in names]


def _trial_is(study: str, number: int) -> tuple[Any, Any]:
    return TrialRow.study_id == statements.id_of(study), TrialRow.number == number


def _leased_by(study: str, owner: str) -> Update:
    leased = TrialRow.owner == owner, TrialRow.state == "running"
    return update(TrialRow).where(TrialRow.study_id == statements.id_of(study), *leased)


def _insert_new_architectures(connection: Connection, descriptions: Mapping[str, Mapping[str, Any]]) -> None:
    if connection.dialect.name == "postgresql":
        if descriptions:  # in one order, so that two processes with the same ones do not wait for each other
            rows = [{"key": key, "description": descriptions[key]} for key in sorted(descriptions)]
            connection.execute(statements.NEW_ARCHITECTURES, rows)
        return
    known = select(ArchitectureRow.key).where(ArchitectureRow.key.in_(descriptions))
    there = set(connection.execute(known).scalars()) if descriptions else set()
    for key, description in descriptions.items():
        if key not in there:
            _insert_unless_there(connection, ArchitectureRow, {"key": key, "description": description})


def _evaluation_id(connection: Connection, record: EvaluationRecord) -> int:
    """The id of the evaluation's row, which is inserted if there is none of its identity."""
    values = {name: getattr(record, name) for name in EvaluationRecord.__slots__}
    values["curve"] = _points(record.curve)
    row = {**_plain(values), "created_at": datetime.now(UTC)}
    identity = {name: row[name] for name in ("key", "recipe_hash", "data_fingerprint", "seed")}
    if connection.dialect.name == "postgresql":
        inserted = connection.execute(statements.NEW_EVALUATION, row).scalar()
        return connection.execute(statements.EVALUATION_ID, identity).scalar_one() if inserted is None else inserted
    found = connection.execute(statements.EVALUATION_ID, identity).scalar()
    if found is not None:
        return found
    _insert_unless_there(connection, EvaluationRow, row)
    return connection.execute(statements.EVALUATION_ID, identity).scalar_one()


def _insert_unless_there(connection: Connection, row: type[DeclarativeBase], values: Mapping[str, Any]) -> None:
    if connection.dialect.name == "sqlite":
        # We hold the write lock: nobody has inserted it since we looked. And a full disk ends SQLite's whole
        # transaction with its savepoints, so that going back to one would hide what happened.
        connection.execute(insert(_table(row)), dict(values))
        return
    # Another process may have inserted the same since we looked, which must not end our transaction.
    try:
        with connection.begin_nested():
            connection.execute(insert(_table(row)), dict(values))
    except IntegrityError:
        pass


def _trial_values(study_id: int, trial: TrialRecord) -> dict[str, Any]:
    started = trial.started_at or datetime.now(UTC)
    return {
        "study_id": study_id,
        "number": trial.number,
        "key": trial.key,
        "state": trial.state,
        "reason": None if trial.reason is None else _storable(trial.reason),
        "axes": dict(trial.axes),
        "params": trial.params,
        "mult_adds": trial.mult_adds,
        "activations": trial.activations,
        "curve": _points(trial.curve),
        "cached": trial.cached,
        "sampler_state": dict(trial.sampler_state),
        "started_at": started,
        "finished_at": trial.finished_at or started if trial.state in ENDED else None,
        "replicate_of": trial.replicate_of,
        "seed": trial.seed,
        "cleared": trial.cleared,
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with mappings as dictionaries, which JSON wants."""
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def _points(curve: Curve) -> list[list[float]]:
    return [[step, psnr] for step, psnr in curve]


def _storable(text: str) -> str:
    """Text as any database takes it: messages of exceptions may hold anything."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def _check_name(name: str) -> None:
    if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > 200:
        raise InputError(
            f"{name[:200]!r} cannot be a study's name: use 1 to 200 printable characters, no spaces at its ends"
        )
