"""Leases: who trains a trial, and whether that process is still alive.

An owner is one run in one process on one host. The lease of a process on this host ends when the process dies, or when
it has been suspended for `LEASE_SECONDS`. For a process on another host, only its heartbeats tell, by the database's
clock; if that is set to another time, `Clock` notices. A process is identified by its number and the time at which it
started, counted since the host booted: reused numbers and changed clocks do no harm.
"""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
import socket
import time
from pathlib import Path

HEARTBEAT_SECONDS = 15.0
"""Seconds between two heartbeats of an owner."""

LEASE_SECONDS = 90.0
"""How long after its last heartbeat an owner is believed to be alive, on another host or suspended on this one."""

_alive: set[str] = set()


class Clock:
    """Notices when the database's clock is set to another time: heartbeats from before then have no known age."""

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._moved: float | None = None

    def is_steady(self, now: float) -> bool:
        """Whether the clock has not been moved since every living owner gave a sign of life.

        Args:
            now: The database's time, in seconds.
        """
        here = time.monotonic()
        # A smaller step lets no heartbeat seem older than a lease.
        if self._ahead is not None and abs(now - here - self._ahead) > LEASE_SECONDS - 2 * HEARTBEAT_SECONDS:
            self._moved = here
        self._ahead = now - here
        return self._moved is None or here - self._moved > 2 * HEARTBEAT_SECONDS


def new_owner() -> str:
    """An owner for a run in this process: ``host:process:started:run``, alive until `retire`."""
    owner = f"{_host()}:{os.getpid()}:{_started(os.getpid())}:{secrets.token_hex(4)}"
    _alive.add(owner)
    return owner


def retire(owner: str) -> None:
    """A run of this process has ended; what it leased is free."""
    _alive.discard(owner)


def is_void(owner: str | None, age: float | None) -> bool:
    """Whether a lease has ended.

    Args:
        owner: Who holds it; None: nobody, as in a database that an older srsearch made.
        age: Seconds since its last heartbeat; far below zero if the clock has been set back since.
    """
    if owner is None:
        return True
    host, process, started, _ = owner.split(":")
    expired = age is None or abs(age) > LEASE_SECONDS
    if host != _host():
        return expired
    if int(process) == os.getpid() and started == _started(os.getpid()):
        return owner not in _alive
    return _started(int(process)) != started or (expired and _is_suspended(int(process)))


@functools.cache
def _host() -> str:
    """This host, or container, until it boots again."""
    parts = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(os.readlink(path) if path.endswith("pid") else Path(path).read_text(encoding="ascii").strip())
        except OSError:  # not Linux: the name has to do
            continue
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _started(process: int) -> str:
    """When a process started, in ticks since the host booted; empty where it does not run."""
    fields = _status(process)
    if fields or Path("/proc/self/stat").exists():
        return fields[19] if fields and fields[0] != "Z" else ""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "running"


def _is_suspended(process: int) -> bool:
    """Whether a process has been stopped, by Ctrl-Z, SIGSTOP or a debugger; False where that cannot be known."""
    return _status(process)[:1] in (["T"], ["t"])


def _status(process: int) -> list[str]:
    """What Linux says of a process after its name: first the state, as the 20th its start (proc(5)); else empty."""
    try:
        # The name stands in brackets and may hold anything.
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return status.rpartition(")")[2].split()
