"""Worker processes that start fast: forked from a process that has imported PyTorch and does nothing else."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent

_FOR_WORKERS = ["srsearch.search.executors.worker", "srsearch.search.evaluators.proxy", "srsearch.search.forecast"]
_FOR_COMMANDS = ["srsearch.search.running", "srsearch.cli.main", "scipy.stats", "tests.support.preloaded"]
"""What a command needs that runs a study; `tests.support.forked` forks commands from the same process."""

_real_context = multiprocessing.get_context


def forking_context(method: str | None = None) -> BaseContext:
    """A context like that of `multiprocessing.get_context`, which forks processes from such a process."""
    return _forkserver() if method == "spawn" else _real_context(method)


@functools.cache
def _forkserver() -> BaseContext:
    context = _real_context("forkserver")
    context.set_forkserver_preload([*_FOR_WORKERS, *_FOR_COMMANDS])
    with contextlib.chdir(CHECKOUT):  # its first place to import from is the folder that it is started in
        forkserver.ensure_running()
    return context
