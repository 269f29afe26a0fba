"""Ctrl-C and SIGTERM as a flag that the search checks between two steps, so that saving a result is never cut short."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A context that turns Ctrl-C and SIGTERM into a flag; a second Ctrl-C raises ``KeyboardInterrupt`` at once.

    Outside the main thread it does nothing, because Python delivers signals to the main thread only.

    Attributes:
        pending: Whether the search was asked to end.
    """

    def __init__(self) -> None:
        self.pending = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # it takes what it returned

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pending and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.pending = True
