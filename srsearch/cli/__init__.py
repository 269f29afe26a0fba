"""The ``srsearch`` command: parses, calls, prints. A command imports what it needs when it runs."""

from __future__ import annotations

from srsearch.cli.main import main

__all__ = ["main"]
