"""Processes and threads: what executors, workers and the measurement of cores share."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import ThreadpoolController

WORKER_NAME = "srsearch-worker-"
"""Prefix of the names of worker processes."""

_LONGEST = 2000
"""Longest message that is stored, in characters."""

GUARD = "a script that calls srsearch.run needs `if __name__ == '__main__':` around it"
"""The most common reason why a worker cannot start."""


@contextlib.contextmanager
def without_signals() -> Iterator[None]:
    """Start processes that do not receive Ctrl-C and SIGTERM: the main process decides when they end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def describe(error: BaseException) -> str:
    """An exception in one line, with its type."""
    text = one_line(error)
    if isinstance(error, MemoryError) and not text:
        text = "there was not enough memory"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def one_line(error: BaseException) -> str:
    """The message of an exception in one printable line that any database takes."""
    try:
        text = str(error)
    except Exception:  # an evaluator may raise an exception that cannot be printed
        return ""
    text = " ".join("".join(each if each.isprintable() else " " for each in text[: 4 * _LONGEST]).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def one_thread() -> AbstractContextManager[Any]:
    """Limit BLAS to one thread. While trainings use all cores, several threads would wait for each other."""
    limited: AbstractContextManager[Any] = _blas().limit(limits=1, user_api="blas")
    return limited


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
