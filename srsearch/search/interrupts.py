"""Ctrl-C and SIGTERM as a wish that the search looks at between two steps: never in the middle of saving a result."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While this context is open, an interrupt is noted; a second Ctrl-C raises ``KeyboardInterrupt`` at once.

    In another thread than the main one, where Python delivers no signals, nothing is noted.

    Attributes:
        pending: Whether somebody wants the search to end.
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
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave is what it takes

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pending and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.pending = True
