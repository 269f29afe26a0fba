"""Processes that run `srsearch` commands and are forked from one that has imported the search already.

Each is a process of its own: with its environment, its folder, its plugins, its signals, and worker processes that it
starts itself. Only the import of PyTorch and the like is spared, which takes three seconds of a core.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.workers import forking_context


class Forked:
    """A running process, with the methods of `subprocess.Popen` that tests use."""

    def __init__(
        self, act: Callable[..., Any], folder: Path, arguments: tuple[str, ...], env: Mapping[str, str]
    ) -> None:
        self.args = arguments
        self._streams = [tempfile.NamedTemporaryFile() for _ in range(2)]  # noqa: SIM115 - closed in `communicate`
        names = [stream.name for stream in self._streams]
        self._process: Any = forking_context("spawn").Process(
            target=_live, args=(act, folder, arguments, dict(env), names)
        )
        self._process.start()
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end of the process and return standard output and standard error."""
        self.wait(timeout)
        out, messages = (Path(stream.name).read_text(encoding="utf-8") for stream in self._streams)
        return out, messages


def command(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Forked:
    """Start a ``srsearch`` command in a folder."""
    return Forked(_command, folder, arguments, os.environ | (env or {}))


def code(folder: Path, text: str, *arguments: str, env: Mapping[str, str] | None = None) -> Forked:
    """Start Python code in a folder, like ``python -c``."""
    return Forked(_code, folder, (text, *arguments), os.environ | (env or {}))


def finished(process: Forked, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Wait for a process to end; it is killed after this many seconds."""
    try:
        out, messages = process.communicate(timeout)
    finally:
        process.kill()
    assert process.returncode is not None
    return subprocess.CompletedProcess(process.args, process.returncode, out, messages)


def _live(
    act: Callable[..., Any], folder: Path, arguments: tuple[str, ...], env: Mapping[str, str], streams: list[str]
) -> None:
    for descriptor, name in zip((1, 2), streams, strict=True):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), descriptor)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.modules["__main__"] = types.ModuleType("__main__")  # as `python -c` has it
    sys.path.insert(0, "")
    act(*arguments)


def _command(*arguments: str) -> None:
    from srsearch.cli import main

    main(arguments, prog_name="srsearch")


def _code(text: str, *arguments: str) -> None:
    sys.argv = ["-c", *arguments]
    exec(compile(text, "<string>", "exec"), sys.modules["__main__"].__dict__)
