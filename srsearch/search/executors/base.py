"""What an executor is: it runs evaluators somewhere, on this machine or on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from srsearch.search.evaluators.base import Evaluator
from srsearch.search.events import Broken, Event, Failed, Finished, Stopped
from srsearch.search.executors.evaluation import Outcome
from srsearch.search.session import Session
from srsearch.search.trial import Trial


class Executor(Protocol):
    """Executes the trials of a session. `srsearch.run` opens it as a context before anything is written.

    Three questions come before `execute`, because its machines may not be this one.
    """

    def __enter__(self) -> Self:
        """Connect to the machines.

        Raises:
            InputError: They cannot be reached, or have no room for a trial.
        """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""

    def detect(self, device: str, say: Callable[[str], None]) -> dict[str, Any] | None:
        """The runtime of its machines for a new study; None: the evaluator finds out itself, on this machine.

        Args:
            device: ``auto``, ``cpu`` or ``cuda``.
            say: Is told if this waits for machines that are busy.

        Raises:
            InputError: No machine has that device.
            WorkError: The machines cannot be asked.
        """

    def room(self, runtime: Mapping[str, Any]) -> int | None:
        """How many trials its machines have room for at a time; None: the evaluator measures it on this machine.

        Args:
            runtime: The evaluator's.
        """

    def check(self, evaluator: Evaluator) -> None:
        """Check that its machines have what the evaluator's runtime demands, where that can be known beforehand.

        Raises:
            InputError: They have not.
        """

    def execute(self, session: Session, evaluator: Evaluator, workers: int, *, waits: bool) -> None:
        """Evaluate what the session gives out, and tell it what happens, until it is over.

        Args:
            session: Gives out trials and keeps their results.
            evaluator: Sent to every worker.
            workers: Trials at a time.
            waits: Whether a trial waits after each report until the session has said whether it goes on.

        Raises:
            InputError: The evaluator cannot be sent to a worker.
            WorkError: No worker can start, or the session failed.
        """


def event_of(outcome: Outcome, worker: int, trial: Trial) -> Event:
    """The end of a trial as the session is told it."""
    if outcome.broken is not None:
        return Broken(worker, trial, outcome.broken)
    if outcome.score is not None:
        return Finished(worker, trial, outcome.score, outcome.seconds)
    if outcome.failure is not None:
        return Failed(worker, trial, outcome.failure)
    return Stopped(worker, trial)
