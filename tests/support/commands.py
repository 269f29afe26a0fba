"""The ``srsearch`` command, called within this process or in a new one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from click.testing import CliRunner

from srsearch.cli import main

Command = Callable[..., subprocess.CompletedProcess[str]]
"""Takes the command's arguments, and the keywords ``input`` and ``env`` (added to the environment)."""

PROGRAM = (sys.executable, "-c", "from srsearch.cli import main; main(prog_name='srsearch')")
"""Starts the ``srsearch`` of this checkout."""


def in_this_process(
    folder: Path, *arguments: str, input: str | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder within this process. Raises exceptions that the command does not handle."""
    with contextlib.chdir(folder):
        result = CliRunner().invoke(main, arguments, input=input, env=env, catch_exceptions=False, prog_name="srsearch")
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def in_own_process(
    folder: Path, *arguments: str, input: str | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder in a new process."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=folder,
        input=input,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
