"""Enumeration of more than a million designs with their costs: seconds and memory on one core.

    python -m benchmarks.enumeration

It is measured in a new process, which is bound to one core and has measured no part before. Afterwards, when all parts
are known, a sample of combinations is costed design by design; this is timed, too, and must give the same costs. Needs
Linux, which reports a process's peak memory. Exits with 1 if there are fewer than a million designs, it takes 30
seconds or 1 GiB, or a cost differs.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DESIGNS, SECONDS, MEMORY = 1_000_000, 30, 2**30
SAMPLE = 2000
SPACE: dict[str, Any] = {
    "name": "million",
    "scale": 4,
    "architecture": {
        "channels": [16, 24, 32, 40, 48, 64],
        "unit": [
            "conv",
            {"grouped": {"groups": [2, 4, 8]}},
            {"bottleneck": {"reduction": [2, 4]}},
            "mobilenet_v1",
            {"inverted_residual": {"expansion": [1, 2]}},
        ],
        "closing": ["conv", "mobilenet_v1"],
        "block": ["residual", "efficient_residual", "scaled_residual", "rcab"],
        "body": [
            {
                "cascade": {
                    "groups": [2, 3, 4],
                    "blocks": [1, 2, 3, 4],
                    "fusion": ["none", "local", "global", "both"],
                    "share": ["none", "group"],
                }
            },
            {"residual_groups": {"groups": [1, 2, 3], "blocks": [2, 3, 4]}},
            {
                "symmetric": {
                    "bunches": [2, 3, 4],
                    "blocks": [2, 3],
                    "pool": ["none", "six", "all"],
                    "activations": ["all", "half", "third"],
                }
            },
            {"memory": {"blocks": [4, 6, 8]}},
        ],
        "upsampler": [{"pixel_shuffle": {"groups": [1, 4]}}, "erum", {"transposed": {"activation": [True, False]}}],
        "upsampler_unit": ["conv", {"bottleneck": {}}],
        "activation": ["relu", "prelu"],
        "global_skip": [True, False],
        "image_residual": ["none", "bicubic"],
    },
    "constraints": {"mult_adds": {"max": "40G"}},
}


def memory(what: str) -> int:
    """Return this process's bytes: ``VmRSS`` now, ``VmHWM`` at most. `getrusage` would include the parent's peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


def measure() -> dict[str, float]:
    """Enumerate the space in this process."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import torch

    from srsearch.space import Space

    torch.set_num_threads(1)
    found: dict[str, float] = {"imported": memory("VmRSS")}
    start = time.perf_counter()
    space = Space.from_dict(SPACE)
    table = space.grid.table
    assert table is not None
    found["table"] = time.perf_counter() - start
    found["designs"] = space.size()
    assert space.feasible is not None
    found["feasible"] = len(space.feasible)
    found["seconds"] = time.perf_counter() - start
    found["peak"] = memory("VmHWM")
    found["combinations"] = space.combinations

    chosen = random.Random(0).sample(range(len(table)), SAMPLE)
    start = time.perf_counter()
    points = [space.grid.point(index) for index in chosen]
    found["one by one"] = (time.perf_counter() - start) / SAMPLE
    found["wrong"] = 0
    for index, point in zip(chosen, points, strict=True):
        cost = point.cost
        same = (
            not table.valid[index]
            if cost is None
            else bool(table.valid[index])
            and (table.params[index], table.mult_adds[index], table.activations[index])
            == (cost.params, cost.mult_adds, cost.activations)
        )
        found["wrong"] += not same
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in another process and print."""
    code = "import json; from benchmarks.enumeration import measure; print(json.dumps(measure()))"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threads
    )
    found = json.loads(done.stdout)
    one_by_one = found["one by one"] * found["combinations"]
    gib = 2**30
    print(f"combinations     {found['combinations']:,}")
    print(f"designs          {found['designs']:,} distinct, {found['feasible']:,} of them within the budget")
    print(f"seconds          {found['seconds']:.1f}, of which {found['table']:.1f} for the table of costs")
    print(
        f"memory           {found['peak'] / gib:.2f} GiB at most, {found['imported'] / gib:.2f} of it after importing"
    )
    print(
        f"design by design {found['one by one'] * 1e6:.0f} us for one of {SAMPLE:,} combinations: "
        f"{one_by_one / 60:.0f} minutes for all, {one_by_one / found['seconds']:.0f} x as long"
    )
    print(f"costs differ in  {found['wrong']} of these {SAMPLE:,}")
    missed = found["designs"] < DESIGNS or found["seconds"] >= SECONDS or found["peak"] >= MEMORY
    return int(missed or found["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
