"""Executors by name."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from srsearch.errors import InputError, suggest
from srsearch.search.executors.base import Executor
from srsearch.search.executors.local import LocalExecutor

Backend: TypeAlias = Literal["local", "ray"]
"""What executes the trials."""


def executor_for(
    backend: Backend, address: str | None, cpus: float, gpus: float | None, trial_timeout: float | None = None
) -> Executor:
    """The executor of a name. Ray is imported only where it is asked for.

    Args:
        backend: ``local``: processes of this machine; ``ray``: Ray Tune.
        address: Address of a running Ray cluster; None: Ray is started on this machine.
        cpus: CPUs of a Ray cluster that each trial takes.
        gpus: GPUs that each trial takes; None: one where the study computes on GPUs.
        trial_timeout: Seconds that a trial may take; None: as long as it takes.

    Raises:
        InputError: There is no such executor, or Ray is not installed.
    """
    if backend == "local":
        return LocalExecutor(trial_timeout)
    if backend != "ray":
        raise InputError(f"unknown backend {backend!r}; {suggest(backend, get_args(Backend))}")
    try:
        from srsearch.search.executors.ray_tune import RayExecutor
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "ray":
            raise
        raise InputError("the backend ray needs Ray: pip install 'srsearch[ray]'") from None
    return RayExecutor(address, cpus, gpus, trial_timeout)
