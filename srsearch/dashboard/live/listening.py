"""The HTTP server under the live pages: where it listens, and how long it waits for those who ask."""

from __future__ import annotations

import errno
import io
import ipaddress
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from srsearch.errors import InputError

_REQUEST_SECONDS = 20.0
"""A whole request must arrive within this time, or its connection is closed: many slow ones would use up all files."""

_RESPONSE_SECONDS = 300.0
_WAITING = 256
"""Connections that wait to be accepted."""

_REASONS = {
    errno.EADDRINUSE: "the port is in use; try another --port, or 0 for a free one",
    errno.EACCES: "only an administrator may use this port; try a --port from 1024 on",
    errno.EADDRNOTAVAIL: "this machine does not have that address; --host takes a name or an address of this machine",
}


class _Input(io.RawIOBase):
    """What comes over a connection, until a deadline for all of it together."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.deadline = time.monotonic() + _REQUEST_SECONDS

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there.

        Raises:
            TimeoutError: The deadline has passed.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(WSGIRequestHandler):
    """A request handler that logs nothing and waits for nobody for long."""

    def setup(self) -> None:
        super().setup()
        self._input = _Input(self.connection)
        self.rfile.close()
        self.rfile = io.BufferedReader(self._input)

    def run_wsgi(self) -> None:
        """Answer a request, if what it asks for is an address."""
        try:
            urlsplit(self.path)
        except ValueError:
            self.send_error(400)
        else:
            super().run_wsgi()

    def send_response(self, code: int, message: str | None = None) -> None:
        """Begin the response. What is left of the request may still arrive, so that its sender sees the response."""
        self._input.deadline = time.monotonic() + _REQUEST_SECONDS
        self.connection.settimeout(_RESPONSE_SECONDS)
        super().send_response(code, message)

    def version_string(self) -> str:
        """The name of the server, without versions."""
        return "srsearch"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Log nothing: browsers often drop connections."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    host = host.removeprefix("[").removesuffix("]")
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int, application: flask.Flask) -> BaseWSGIServer:
    """Make a server that already listens.

    Args:
        host: A name or an address of this machine; IPv6 addresses may have brackets.
        port: The port; 0 takes a free one.
        application: Answers the requests.

    Raises:
        InputError: It cannot listen there; says why.
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        family, *_, address = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)[0]
        both = bare == "::" and socket.has_dualstack_ipv6()
        listening = socket.create_server(address, family=family, backlog=_WAITING, dualstack_ipv6=both)
    except (OSError, UnicodeError) as error:
        raise InputError(f"cannot listen on port {port} of {host!r}: {_reason(error)}") from None
    with listening:
        options: dict[str, Any] = {"threaded": True, "request_handler": _Handler, "fd": listening.fileno()}
        server = make_server(str(address[0]), port, application, **options)
    server.server_name = str(address[0])  # set only by a server that binds by itself
    server.server_port = server.server_address[1]
    return server


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError | socket.gaierror):
        return "no machine has this name; --host takes a name or an address of this machine, without a port"
    return _REASONS.get(error.errno or 0) or f"{error.strerror or error}; --host takes an address of this machine"
