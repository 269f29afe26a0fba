"""``python -m srsearch``: the command, for programs that start modules, such as ``torchrun -m srsearch``."""

from __future__ import annotations

from srsearch.cli import main

main(prog_name="srsearch")
