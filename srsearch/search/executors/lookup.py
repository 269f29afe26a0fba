"""Executors by name."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from srsearch.errors import InputError, suggest
from srsearch.search.executors.base import Executor
from srsearch.search.executors.local import LocalExecutor

Backend: TypeAlias = Literal["local", "ray"]
"""What executes the trials."""


_MOST, _LEAST = 1_000_000, 0.0001
"""CPUs or GPUs of a trial; Ray counts in ten-thousandths."""


def check_backend(backend: str, address: str | None, cpus: float | None, gpus: float | None) -> None:
    """Check the name of an executor, and the options that belong to it.

    Raises:
        InputError: There is no such executor, or it does not take an option or its value.
    """
    if backend not in get_args(Backend):
        raise InputError(f"unknown backend {backend!r}; {suggest(str(backend), get_args(Backend))}")
    given = {"--address": address, "--cpus-per-trial": cpus, "--gpus-per-trial": gpus}
    for option, value in given.items():
        if value is not None and backend != "ray":
            raise InputError(f"{option} belongs to --backend ray")
    for option, least in (("--cpus-per-trial", _LEAST), ("--gpus-per-trial", 0)):
        amount = given[option]
        if amount is None:
            continue
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not least <= amount <= _MOST:
            raise InputError(f"{option} {amount!r}: not a number between {least:g} and {_MOST:,}")
        if amount > 1 and amount != int(amount):
            raise InputError(f"{option} {amount:g}: only a share of one can be a fraction; write a whole number")
        if 0 < amount < _LEAST:
            raise InputError(f"{option} {amount:g}: the smallest share is {_LEAST:g}")


def executor_for(
    backend: Backend,
    address: str | None,
    cpus: float | None,
    gpus: float | None,
    trial_timeout: float | None = None,
) -> Executor:
    """The executor of a name. Ray is imported only where it is asked for.

    Args:
        backend: ``local``: processes of this machine; ``ray``: Ray Tune.
        address: Address of a running Ray cluster; None: Ray is started on this machine.
        cpus: CPUs of a Ray cluster that each trial takes; None: one.
        gpus: GPUs that each trial takes; None: one where the study computes on GPUs.
        trial_timeout: Seconds that a trial may take; None: as long as it takes.

    Raises:
        InputError: There is no such executor, an option does not belong to it, or Ray is not installed.
    """
    check_backend(backend, address, cpus, gpus)
    if backend == "local":
        return LocalExecutor(trial_timeout)
    try:
        from srsearch.search.executors.ray_tune import RayExecutor
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "ray":
            raise
        raise InputError("the backend ray needs Ray: pip install 'srsearch[ray]'") from None
    return RayExecutor(address, 1.0 if cpus is None else cpus, gpus, trial_timeout)
