"""`Store`: the questions that are asked of the database, and the changes that are made to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Double,
    Row,
    Select,
    Update,
    case,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute

from srsearch.errors import InputError, WorkError, suggest
from srsearch.objectives import own_costs, registered
from srsearch.store import leases, statements
from srsearch.store.insertion import insert_architectures, insert_evaluation, insert_evaluations, table_of
from srsearch.store.locks import Overtaken
from srsearch.store.place import Place
from srsearch.store.records import ENDED, STATES, Axis, Curve, EvaluationRecord, State, StudyRecord, TrialRecord
from srsearch.store.rows import (
    changed_record,
    changes_by_hand,
    checked_evaluation,
    evaluation_record,
    points,
    storable,
    study_record,
    study_values,
    trial_record,
    trial_values,
)
from srsearch.store.tables import ArchitectureRow, EvaluationRow, StudyRow, TrainingRow, TrialRow
from srsearch.store.transactions import Transactions, retried, retrying

if TYPE_CHECKING:
    import pandas as pd

_RUNNING: tuple[State, ...] = ("running",)
_PART = 2_000
"""How many trials are in memory while a study is copied, or read into a data frame."""

_IN_PARTS = {"yield_per": _PART}
"""How a query is executed that may have more rows than should be in memory."""

StudyPart = tuple[Sequence[TrialRecord], Mapping[int, EvaluationRecord]]
"""Some trials of a study, and the evaluations of the complete ones among them, by trial number."""

_OPEN = tuple(state for state in STATES if state not in ENDED)

_SECTION_SECONDS = 30.0
"""How long to wait for another process in an exclusive section."""

_RELEASE_SECONDS = 1.0
"""How long a run that ends waits for the database; leases that are not released end by themselves."""


class EndedElsewhere(WorkError):
    """A trial that was to be changed is not ours to change: another process ended it or took it over."""


def check_registered(study: str, objectives: Iterable[str]) -> None:
    """Checks that the objectives of a study are known in this process.

    Raises:
        InputError: One is not; names the study, and says how to load it.
    """
    for name in objectives:
        if not registered(name):
            raise InputError(
                f"study {study!r} has the objective {name!r}, which no plugin registers; "
                "pass the file that does: --plugin FILE"
            )


class Store:
    """Studies, trials, evaluations and architectures in a SQL database.

    Every change is one transaction: it happens completely or not at all, whatever happens to the process. Several
    processes may use one database at once. `close` the store, or use it in a ``with`` statement.

    Args:
        url: A SQLAlchemy URL, or the path of a SQLite file; None: what the environment
            variable SRSEARCH_STORAGE names, else ``studies/srsearch.db``.
        read_only: Open for reading: creates and changes nothing, and works in a read-only folder. Otherwise a missing
            database is created, and one of an older version is upgraded.
        patient: Wait for a server that has gone away, and for a file that another process has locked; False: only
            while the database is opened.

    Raises:
        InputError: Not a database, not readable or writable, created by a newer srsearch, or (for reading) missing; a
            server that does not answer, or refuses this user.
        WorkError: The disk is full, or another process does not release its lock. Later also: a server has gone away
            and did not come back within a minute.

    Example:
        >>> with Store("sqlite://") as store:
        ...     store.study_names()
        []
    """

    def __init__(self, url: str | URL | Path | None = None, *, read_only: bool = False, patient: bool = True) -> None:
        self._place = Place.of(url)
        self._transactions = Transactions(self._place, read_only=read_only, patient=patient)
        self._clock = leases.Clock()

    @property
    def read_only(self) -> bool:
        """Whether the database was opened for reading only."""
        return self._transactions.read_only

    @property
    def say(self) -> Callable[[str], None]:
        """Receives a message when the store waits for a server that has gone away; set it to a function of yours."""
        return self._transactions.say

    @say.setter
    def say(self, say: Callable[[str], None]) -> None:
        self._transactions.say = say

    @property
    def where(self) -> str:
        """Where the database is, for people: a path, or a URL without its password."""
        return str(self._place)

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database; None in memory and for other databases."""
        return self._place.path

    def close(self) -> None:
        """Closes the connections to the database."""
        self._transactions.close()

    @contextmanager
    def exclusive(self, section: str, *, wait: float = _SECTION_SECONDS) -> Iterator[None]:
        """Keeps other processes that use this database out of the section of that name, while the context is open.

        On a server, everything that this thread reads and changes inside is one transaction, which ends with the
        section: a process that dies leaves nothing behind, and the next process in the section sees every change.

        A process that is suspended in the section is overtaken after `locks.SILENT_SECONDS`; `undisturbed` repeats the
        section then.

        Args:
            section: The section's name.
            wait: Seconds to wait until other processes have left the section.

        Raises:
            WorkError: Another process stayed in the section, or the database failed.
            Overtaken: This process was suspended, or lost the server; nothing was saved.
        """
        with self._transactions.exclusive(section, wait=wait):
            yield

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Studies

    def create_study(self, record: StudyRecord, *, parts: Iterable[StudyPart] = ()) -> None:
        """Adds a study, usually without trials.

        Args:
            record: The study.
            parts: The trials of a study that is copied from another database, a part at a time: a study may have more
                than fit into memory.

        Raises:
            InputError: The name is taken, empty, too long or holds characters that cannot be printed.
        """
        _check_name(record.name)
        with self._transactions.write() as connection:
            self._refuse_taken(connection, record.name)
            connection.execute(insert(table_of(StudyRow)), study_values(record))
            study_id = self._study_id(connection, record.name)
            for trials, evaluations in parts:
                insert_architectures(connection, trials)
                ids = insert_evaluations(connection, evaluations)
                rows = [trial_values(study_id, trial) | {"evaluation_id": ids.get(trial.number)} for trial in trials]
                connection.execute(insert(table_of(TrialRow)), rows)

    def study(self, name: str) -> StudyRecord:
        """The study with that name.

        Raises:
            InputError: No study has that name; the message lists those that exist. Or its row was changed by hand.
        """
        query = select(*_columns(StudyRow, StudyRecord.__slots__)).where(StudyRow.name == name)

        def ask(connection: Connection) -> StudyRecord:
            row = connection.execute(query).first()
            if row is None:
                raise self._unknown_study(connection, name)
            record = study_record(row)
            evaluation = connection.execute(statements.AN_EVALUATION, {"study": name}).first()
            changes = changes_by_hand(record, None if evaluation is None else evaluation_record(evaluation))
            if changes:
                raise InputError(
                    f"study {name!r} in {self.where} was changed by hand: {'; '.join(changes)}. Undo that, or restore "
                    "a copy of the database"
                )
            return record

        return self._transactions.read(ask)

    def study_names(self) -> list[str]:
        """All studies' names, oldest first."""
        return [name for (name,) in self._select(select(StudyRow.name).order_by(StudyRow.id))]

    def latest(self) -> datetime | None:
        """The latest time at which a study was created or a trial ended; None in an empty database."""
        ((created,),) = self._select(select(func.max(StudyRow.created_at)))
        ((ended,),) = self._select(select(func.max(TrialRow.finished_at)))
        return max((moment for moment in (created, ended) if moment is not None), default=None)

    def rename_study(self, name: str, new_name: str) -> None:
        """Renames a study.

        Raises:
            InputError: No such study, a process works on it, or the new name is taken or cannot be a name.
        """
        _check_name(new_name)
        with self._transactions.write() as connection:
            study_id = self._unused(connection, name)
            if new_name != name:
                self._refuse_taken(connection, new_name)
            connection.execute(update(StudyRow).where(StudyRow.id == study_id).values(name=new_name))

    def delete_study(self, name: str) -> None:
        """Removes a study and its trials. Its evaluations stay, so that no design is trained twice.

        Full trainings of its designs stay, too.

        Raises:
            InputError: No such study, or a process works on it.
        """
        with self._transactions.write() as connection:
            study_id = self._unused(connection, name)
            connection.execute(table_of(TrialRow).delete().where(TrialRow.study_id == study_id))
            connection.execute(update(TrainingRow).where(TrainingRow.study_id == study_id).values(study_id=None))
            connection.execute(table_of(StudyRow).delete().where(StudyRow.id == study_id))

    def copy_study(self, study: str, target: Store, *, name: str | None = None) -> int:
        """Copies a study with its trials and evaluations to another database, in one transaction there.

        Where the target has an evaluation already, that one counts: databases can be merged, and no design is trained
        twice.

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
        parts: Iterable[StudyPart] = self._parts(study)
        if target is self and self.path is None:
            parts = list(parts)  # a database in memory has one connection, which cannot read while it writes
        target.create_study(record, parts=parts)
        return target.count_trials(record.name)

    def _parts(self, study: str) -> Iterator[StudyPart]:
        """All trials of a study, by number, with the evaluations of the complete ones; `_PART` of them at a time."""
        of_trials = statements.of_study(statements.trials()).limit(_PART)
        columns = _columns(EvaluationRow, EvaluationRecord.__slots__)
        of_evaluations = statements.of_study(select(TrialRow.number, *columns)).where(TrialRow.state == "complete")
        after = -1
        while rows := self._select(of_trials.where(TrialRow.number > after), study=study):
            trials = [trial_record(row) for row in rows]
            here = TrialRow.number.between(after + 1, trials[-1].number)
            complete = {trial.number for trial in trials if trial.state == "complete"}  # others may have ended since
            evaluated = self._select(of_evaluations.where(here), study=study)
            yield trials, {row.number: checked_evaluation(row) for row in evaluated if row.number in complete}
            after = trials[-1].number

    # Trials

    def add_trials(self, study: str, trials: Sequence[TrialRecord]) -> None:
        """Adds proposals, rejected and running ones, with their new architectures in one transaction.

        Running trials are leased to their ``owner``.

        Raises:
            InputError: No such study.
            Overtaken: A number is taken: another process works on the study.
        """
        with self._transactions.write() as connection:
            known = connection.execute(statements.study_and_clock(connection.dialect.name), {"study": study}).first()
            if known is None:
                raise self._unknown_study(connection, study)
            insert_architectures(connection, trials)
            rows = [trial_values(known.id, trial) for trial in trials]
            for row, trial in zip(rows, trials, strict=True):
                row["owner"] = trial.owner if trial.state == "running" else None
                row["heartbeat"] = known.now if row["owner"] else None
            try:
                if rows:
                    connection.execute(insert(table_of(TrialRow)), rows)
            except IntegrityError as error:
                raise Overtaken(
                    f"study {study!r} already has trial {', '.join(str(trial.number) for trial in trials)}: "
                    "another process works on it"
                ) from error

    def take_up(self, study: str, trial: TrialRecord, owner: str) -> bool:
        """Leases a trial that nobody works on: a stopped one, or one whose owner has died.

        Args:
            study: The study's name.
            trial: The trial as it was read.
            owner: Who will train it.

        Returns:
            Whether the owner has the lease; False if another process was quicker, or the trial has ended.
        """
        # A stopped trial continues beyond the rung at which it was stopped.
        cleared_step = trial.curve[-1][0] if trial.state == "stopped" and trial.curve else trial.cleared_step
        with self._transactions.write() as connection:
            here = _trial_is(study, trial.number)
            as_read = [TrialRow.state == trial.state, TrialRow.owner.is_not_distinct_from(trial.owner)]
            # A process that has locked the row is about to end the trial or to take it up: do not wait for it.
            free = select(TrialRow.number).where(*here, *as_read).with_for_update(skip_locked=True)
            if connection.execute(free).scalar() is None:
                return False
            values = {
                "state": "running",
                "owner": owner,
                "heartbeat": statements.clock(connection.dialect.name),
                "cleared_step": int(cleared_step),
            }
            connection.execute(update(TrialRow).where(*here).values(**values))
            return True

    @retried
    def heartbeat(self, study: str, owner: str) -> None:
        """Records that an owner is alive and works on all trials that it has leased."""
        with self._transactions.write(once=True) as connection:
            connection.execute(_leased_by(study, owner).values(heartbeat=statements.clock(connection.dialect.name)))

    def release(self, study: str, owner: str) -> None:
        """Releases the trials that an owner has leased, for the next process that works on the study."""

        def give_back() -> None:
            with self._transactions.write(once=True, wait=_RELEASE_SECONDS) as connection:
                connection.execute(_leased_by(study, owner).values(owner=None, heartbeat=None))

        retrying(give_back, self.say, wait=_RELEASE_SECONDS)

    def abandoned(self, study: str) -> list[int]:
        """Numbers of the running trials whose owner has died.

        The owner is a process of this host that has ended, or a process of another host without a heartbeat in the
        last `leases.LEASE_SECONDS` by the database's clock.

        Raises:
            InputError: No such study.
        """

        return [
            number
            for number, void in self._transactions.read(lambda c: self._leases(c, self._study_id(c, study)))
            if void
        ]

    @retried
    def keep_curve(
        self,
        study: str,
        number: int,
        curve: Curve,
        *,
        cleared_step: int | None = None,
        stop: bool = False,
        owner: str | None = None,
    ) -> None:
        """Stores the curve of a running trial.

        Args:
            study: The study's name.
            number: The trial's number.
            curve: The whole curve so far.
            cleared_step: The step up to which early stopping lets the trial go on; None: as before.
            stop: Set the trial aside in the same transaction.
            owner: Who says so; None: whoever has the lease.

        Raises:
            InputError: No such study or trial.
            EndedElsewhere: The trial is not running, or leased to another owner.
        """
        values: dict[str, Any] = {"curve": points(curve)}
        if cleared_step is not None:
            values["cleared_step"] = cleared_step
        if stop:
            values |= {"state": "stopped", "owner": None, "heartbeat": None}
        with self._transactions.write(once=True) as connection:
            self._change_trial(connection, study, number, values, owner=owner)

    @retried
    def finish_trial(
        self,
        study: str,
        number: int,
        evaluation: EvaluationRecord,
        *,
        cached: bool = False,
        at: datetime | None = None,
    ) -> None:
        """Completes a running trial with its evaluation, in one transaction.

        Args:
            study: The study's name.
            number: The trial's number.
            evaluation: Of the trial's architecture. If the store has one of that identity already, that one counts.
            cached: Whether the evaluation is reused, not trained for this trial.
            at: When; None: now.

        Raises:
            InputError: No such study or trial.
            ValueError: The evaluation is of another architecture.
            EndedElsewhere: The trial is not running. The evaluation is stored nevertheless.
        """
        values: dict[str, Any] = {
            "state": "complete",
            "reason": None,
            "cached": cached,
            "finished_at": at or datetime.now(UTC),
            "owner": None,
            "heartbeat": None,
        }
        ended = None
        with self._transactions.write() as connection:
            values["evaluation_id"] = insert_evaluation(connection, evaluation)
            try:
                self._change_trial(connection, study, number, values, states=_OPEN, key=evaluation.key)
            except EndedElsewhere as error:
                ended = error
        if ended is not None:
            raise ended

    @retried
    def fail_trial(
        self, study: str, number: int, reason: str, *, owner: str | None = None, at: datetime | None = None
    ) -> None:
        """Ends a running trial without a result; the points of its curve stay.

        Args:
            study: The study's name.
            number: The trial's number.
            reason: Why there is no result.
            owner: Who says so; None: whoever has the lease.
            at: When; None: now.

        Raises:
            InputError: No such study or trial.
            EndedElsewhere: The trial is not running, or leased to another owner.
        """
        values = {"state": "failed", "reason": storable(reason), "finished_at": at or datetime.now(UTC)}
        with self._transactions.write(once=True) as connection:
            self._change_trial(connection, study, number, values | {"owner": None, "heartbeat": None}, owner=owner)

    def trial_records(self, study: str) -> list[TrialRecord]:
        """All trials of a study with everything that is known about them, by number.

        Raises:
            InputError: No such study.
        """
        return [trial_record(row) for row in self._of_study(study, statements.trials())]

    def trial_record(self, study: str, number: int) -> TrialRecord | None:
        """The trial of that number with everything that is known about it; None where there is none.

        Raises:
            InputError: No such study.
        """
        found = self._select(statements.of_study(statements.trials()).where(TrialRow.number == number), study=study)
        if not found:
            self.study(study)  # raises an error for an unknown study
        return trial_record(found[0]) if found else None

    def count_trials(self, study: str) -> int:
        """The number of trials of a study, with replicates; 0 for a study that does not exist."""
        query = select(func.count()).where(TrialRow.study_id == statements.id_of(study))
        return int(self._select(query)[0][0])

    def changed_trials(self, study: str, known: Mapping[int, TrialRecord], after: int) -> list[TrialRecord]:
        """The trials that have changed since they were read, and new ones, by number.

        Args:
            study: The study's name. A study that does not exist has no changes.
            known: The trials that were running or stopped when they were read, by number.
            after: The largest number at that time.

        Returns:
            The records. New ones are without their description, which is seldom needed; see `description`.
        """

        def ask(connection: Connection) -> list[TrialRecord]:
            query, form = statements.changes(connection.dialect.name)
            values = {"study": study, "after": after, "known": form(known)}
            changed = []
            for row in connection.execute(query, values, execution_options=_IN_PARTS if after < 0 else {}):
                before = known.get(row.number)
                if before is None:
                    changed.append(trial_record(row))
                elif before.state == "running" or row.state != before.state:
                    changed.append(changed_record(before, row))
            return changed

        return self._transactions.read(ask)

    def description(self, key: str) -> Mapping[str, Any]:
        """The design with that key as plain JSON; empty if there is none."""
        query = select(ArchitectureRow.description).where(ArchitectureRow.key == key)
        description = self._transactions.read(lambda connection: connection.execute(query).scalar())
        return {} if description is None else description

    # Evaluations

    def evaluation(self, key: str, recipe_hash: str, data_fingerprint: str, seed: int) -> EvaluationRecord | None:
        """The finished training of that identity, from any study; None if there is none."""
        identity = {"key": key, "recipe_hash": recipe_hash, "data_fingerprint": data_fingerprint, "seed": seed}
        row = self._transactions.read(lambda connection: connection.execute(statements.EVALUATION, identity).first())
        return None if row is None else evaluation_record(row)

    # Tables for people and plots

    def trials(self, study: str) -> pd.DataFrame:
        """All trials of a study by number.

        Returns:
            One row for each design. Columns trial (its number), key, state, reason, psnr (dB) and ssim (means over
            its seeds), seeds (how many), psnr_sd (sample standard deviation over them), mult_adds, params, activations,
            seconds, cached, finished_at (UTC), then one per axis under the axis's name (with ``axes.`` before it where
            one of the first columns has that name). Nullable types: integers stay integers, what is absent is NA.
            ``attrs["axes"]`` lists the axes' columns, and ``attrs["proxy_steps"]`` is the length of the proxy
            trainings; None where another evaluator scored the designs.

        Raises:
            InputError: No such study.
        """
        from srsearch.store.frames import proxy_steps

        record = self.study(study)
        frame = self._trials_with(study, record.objectives)
        frame.attrs["proxy_steps"] = proxy_steps(record.recipe)
        return frame

    def _trials_with(self, study: str, objectives: Sequence[str]) -> pd.DataFrame:
        """The data frame of `trials` with the costs of the user's own that are among the objectives."""
        from srsearch.store import frames

        query = statements.of_study(frames.TRIALS)

        def ask(connection: Connection) -> pd.DataFrame:
            return frames.trials(connection.execute(query, {"study": study}, execution_options=_IN_PARTS))

        frame = self._transactions.read(ask)
        check_registered(study, objectives)
        return frames.with_own_costs(frame, objectives, self.descriptions(study)) if own_costs(objectives) else frame

    def descriptions(self, study: str) -> dict[str, Mapping[str, Any]]:
        """The designs of a study as plain JSON, by key; empty where there is no such study."""
        keys = select(TrialRow.key).where(TrialRow.study_id == statements.id_of(study))
        query = select(ArchitectureRow.key, ArchitectureRow.description).where(ArchitectureRow.key.in_(keys))
        return dict(map(tuple, self._select(query)))

    def front(self, study: str, *, objectives: Sequence[str] | None = None) -> pd.DataFrame:
        """The non-dominated trials of a study, cheapest first, with the columns of `trials`.

        Args:
            study: The study's name.
            objectives: Objectives to use instead of the study's.

        Raises:
            InputError: No such study or objective.
        """
        from srsearch.analysis import directions, pareto_front
        from srsearch.store import frames

        chosen = list(directions(self.study(study).objectives if objectives is None else objectives))
        if own_costs(chosen):
            return pareto_front(self._trials_with(study, chosen), chosen)
        # A study may have a hundred thousand trials; only those on the front become rows of a data frame.
        leading = frames.leading(self._of_study(study, frames.measured(chosen)), chosen)
        texts = self._transactions.read(
            lambda connection: connection.execute(statements.AXES, {"study": study}).scalars().all()
        )
        rows: list[Row[Any]] = []
        for numbers in statements.batches(leading):
            mine = or_(TrialRow.number.in_(numbers), TrialRow.replicate_of.in_(numbers))
            rows += self._of_study(study, frames.TRIALS.where(mine))
        rows.sort(key=lambda row: row.number)
        return pareto_front(frames.trials(rows, frames.kinds_in(texts)), chosen)

    def studies(self) -> pd.DataFrame:
        """All studies, oldest first.

        Returns:
            Columns name, scale, complete, stopped, failed, infeasible (numbers of designs), best_psnr (dB, mean over a
            design's seeds, NA without a finished trial) and created_at (UTC).
        """
        from srsearch.store import frames

        return frames.studies(self._select(frames.STUDIES))

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
            study: The study's name.
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

    # Queries and changes of one study

    def _select(self, query: Select[*tuple[Any, ...]], **values: object) -> Sequence[Row[Any]]:
        return self._transactions.read(lambda connection: connection.execute(query, values).all())

    def _of_study(self, study: str, query: Select[*tuple[Any, ...]]) -> Sequence[Row[Any]]:
        """Rows of a query on the study's trials, with their evaluations, by number."""

        def ask(connection: Connection) -> Sequence[Row[Any]]:
            rows = connection.execute(statements.of_study(query), {"study": study}).all()
            if not rows:
                self._study_id(connection, study)  # raises if the study is unknown
            return rows

        return self._transactions.read(ask)

    def _study_id(self, connection: Connection, name: str) -> int:
        study_id = connection.execute(select(StudyRow.id).where(StudyRow.name == name)).scalar()
        if study_id is None:
            raise self._unknown_study(connection, name)
        return study_id

    def _unknown_study(self, connection: Connection, name: str) -> InputError:
        names = connection.execute(select(StudyRow.name).order_by(StudyRow.id)).scalars().all()
        if not names:
            return InputError(f"no study {name!r} in {self.where}: it has none yet, run `srsearch run` first")
        hint = suggest(name, names)
        listed = "" if hint.startswith("valid") else f" (the studies are: {', '.join(names)})"
        return InputError(f"no study {name!r} in {self.where}; {hint}{listed}")

    def _refuse_taken(self, connection: Connection, name: str) -> None:
        if connection.execute(select(StudyRow.id).where(StudyRow.name == name)).scalar() is not None:
            raise InputError(f"there is a study {name!r} in {self.where} already")

    def _leases(self, connection: Connection, study_id: int) -> list[tuple[int, bool]]:
        """The numbers of the running trials, and whether each lease is void."""
        now: float = connection.execute(select(statements.clock(connection.dialect.name))).scalar_one()
        steady = self._clock.is_steady(now)
        query = select(TrialRow.number, TrialRow.owner, _last_sign(connection))
        running = query.where(TrialRow.study_id == study_id, TrialRow.state == "running")
        return [
            (number, leases.is_void(owner, None if sign is None else now - sign if steady else 0.0))
            for number, owner, sign in connection.execute(running.order_by(TrialRow.number))
        ]

    def _unused(self, connection: Connection, study: str) -> int:
        """The study's id; raises an error if a process works on it."""
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
        owner: str | None = None,
    ) -> None:
        """One statement that changes a trial if it is in one of these states, of that design and leased to the owner.

        Without a key or owner any will do.
        """
        which = {"in_study": study, "in_number": number, "in_states": states, "in_key": key, "in_owner": owner}
        if connection.execute(statements.CHANGE_TRIAL, {**values, **which}).rowcount:
            return
        self._study_id(connection, study)  # raises if the study is unknown
        trial = connection.execute(select(TrialRow.key, TrialRow.state).where(*_trial_is(study, number))).first()
        if trial is None:
            raise InputError(f"study {study!r} has no trial {number}")
        if key not in (None, trial.key):
            raise ValueError(f"trial {number} is of architecture {trial.key}, the evaluation of {key}")
        if trial.state in states:
            raise EndedElsewhere(f"trial {number} of study {study!r} has been taken over by another process")
        raise EndedElsewhere(
            f"trial {number} of study {study!r} is {trial.state}, not running: another process ended it"
        )


def _last_sign(connection: Connection) -> ColumnElement[float | None]:
    """Time of the last sign of life from an owner; not before the server started, as heartbeats could not arrive."""
    if connection.dialect.name != "postgresql":
        return TrialRow.heartbeat.expression
    start = sql_cast(func.extract("epoch", func.pg_postmaster_start_time()), Double)
    since = case((start <= statements.clock("postgresql"), start), else_=0.0)  # the clock may have been set back since
    return case((TrialRow.heartbeat.is_not(None), func.greatest(TrialRow.heartbeat, since)))


def _columns(row: type[DeclarativeBase], names: Iterable[str]) -> list[InstrumentedAttribute[Any]]:
    return [getattr(row, name) for name in names]


def _trial_is(study: str, number: int) -> tuple[Any, Any]:
    return TrialRow.study_id == statements.id_of(study), TrialRow.number == number


def _leased_by(study: str, owner: str) -> Update:
    leased = TrialRow.owner == owner, TrialRow.state == "running"
    return update(TrialRow).where(TrialRow.study_id == statements.id_of(study), *leased)


def _check_name(name: str) -> None:
    if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > 200:
        raise InputError(
            f"{name[:200]!r} cannot be a study's name: use 1 to 200 printable characters, no spaces at its ends"
        )
