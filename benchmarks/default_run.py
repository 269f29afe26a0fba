"""A run with default settings: designs in ten minutes, memory of all processes, and the search's share of the time.

    python -m benchmarks.default_run [--trials N]

The search's share is the time in `Study` (sampler, SQL, bookkeeping) and in the fronts for the display, divided by the
time of the run. Exits with 1 if fewer than 30 designs are evaluated in ten minutes, all processes together need 3 GiB,
or the search takes 3 % or more.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from srsearch.search import Study, run
from srsearch.store import Store

DESIGNS, SECONDS, MEMORY, SHARE = 30, 600, 3 * 2**30, 0.03
SPACE = Path(__file__).resolve().parents[1] / "spaces" / "lightweight_x4.yaml"


class Clock:
    """Adds up the time spent in chosen methods."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def around(self, owner: type, name: str) -> None:
        """Measure a method from now on."""
        inner: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(inner)
        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return inner(*arguments, **options)
            finally:
                self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - start

        setattr(owner, name, timed)


class Memory(threading.Thread):
    """Records the peak memory of this process and its descendants (proportional set size: shared pages count once)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.ended = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self.ended.wait(0.5):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a search, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=DESIGNS)
    trials = parser.parse_args(arguments).trials
    clock, memory = Clock(), Memory()
    for name in ("ask", "cached", "report", "finish", "fail", "tidy", "heartbeat"):
        clock.around(Study, name)
    clock.around(Store, "front")
    memory.start()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = run(SPACE, store=Store(Path(folder) / "run.db"), trials=trials)
        seconds = time.perf_counter() - start
    memory.ended.set()
    share = sum(clock.spent.values()) / seconds
    rate = result.done / seconds * SECONDS
    print(f"designs evaluated        {result.done} in {seconds:.0f} s: {rate:.0f} in ten minutes")
    print(f"memory of all processes  {memory.peak / 2**30:.2f} GiB at most")
    details = ", ".join(f"{name} {spent:.2f} s" for name, spent in clock.spent.items())
    print(f"search                   {share:.2%} of the run: {details}")
    return int(rate < DESIGNS or memory.peak >= MEMORY or share >= SHARE)


if __name__ == "__main__":
    sys.exit(main())
