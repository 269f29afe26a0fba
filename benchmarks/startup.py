"""Start-up time of ``srsearch --help``, compared with Python alone and Python with torch.

    python -m benchmarks.startup

Exits with 1 if it takes half a second or more.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

ROUNDS, LIMIT = 7, 0.5
COMMANDS = {
    "python, nothing": "pass",
    "srsearch --help": "from srsearch.cli import main; main(['--help'])",
    "python, torch": "import torch",
}


def seconds(code: str) -> float:
    """Return the wall-clock time of one process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in alternating rounds and print."""
    rounds = [{name: seconds(code) for name, code in COMMANDS.items()} for _ in range(ROUNDS)]
    medians = {name: statistics.median(row[name] for row in rounds) for name in COMMANDS}
    for name, value in medians.items():
        print(f"{name:<20} {value:6.3f} s   {value / medians['python, nothing']:6.1f} x an empty Python")
    return int(medians["srsearch --help"] >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
