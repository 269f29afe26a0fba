"""The dashboard's server: addresses, slow and malformed requests, headers, failing plugins."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from srsearch import extensions, objectives
from srsearch.architecture import register
from srsearch.dashboard.live import listening
from srsearch.dashboard.live import server as live
from srsearch.dashboard.live.components import Page
from srsearch.errors import InputError
from srsearch.store import Store, sqlite, transactions
from tests.support import many_trials
from tests.support.commands import Command

ASKED: dict[str, Any] = {
    "output": "page.data",
    "outputs": {"id": "page", "property": "data"},
    "inputs": [
        {"id": "address", "property": "data", "value": ""},
        {"id": "version", "property": "data", "value": "1 1"},
    ],
    "changedPropIds": ["address.data"],
}


class Site:
    """A dashboard that listens."""

    def __init__(self, storage: Path, host: str = "127.0.0.1", token: str | None = None) -> None:
        self.server = live.make(str(storage), host, 0, token)
        self.address = self.server.server_address[:2]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ask(
        self, path: str = "/version", method: str = "GET", body: str | bytes | None = None, **headers: str
    ) -> tuple[int, str, http.client.HTTPMessage]:
        """Status, text and headers of an answer."""
        connection = http.client.HTTPConnection(str(self.address[0]), int(self.address[1]), timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} | headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def page(self, search: str) -> tuple[int, str]:
        """Status and text of the answer to the page's own request."""
        asked = ASKED | {"inputs": [ASKED["inputs"][0] | {"value": search}, ASKED["inputs"][1]]}
        status, text, _ = self.ask("/_dash-update-component", "POST", json.dumps(asked))
        return status, text

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("server") / "study.db"
    with Store(path) as store:
        many_trials.write(store, 20)
        many_trials.write(store, 5, record=many_trials.study("own", objectives=("psnr", "own_cost")))
    return path


@pytest.fixture
def site(storage: Path) -> Iterator[Site]:
    opened = Site(storage)
    yield opened
    opened.close()


def test_slow_connections_keep_nobody_waiting_and_are_closed(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_REQUEST_SECONDS", 2.0)
    site = Site(storage)
    begun = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /_dash-update-component HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n{",
    )
    slow = [socket.create_connection(site.address) for _ in range(200)]
    try:
        for at, connection in enumerate(slow):
            connection.sendall(begun[at % 2])
        assert site.ask()[0] == 200
        assert site.page("?view=front")[0] == 200
        waiting = slow
        deadline = time.monotonic() + 30
        while waiting and time.monotonic() < deadline:  # a byte now and then buys no more time
            time.sleep(0.2)
            waiting = [connection for connection in waiting if not _closed(connection)]
        assert not waiting
        assert site.ask()[0] == 200
    finally:
        for connection in slow:
            connection.close()
        site.close()


def _closed(connection: socket.socket) -> bool:
    """Whether the server closed a connection, or answered and closed; sends a byte where it did not."""
    connection.setblocking(False)
    try:
        if connection.recv(100_000) == b"":
            return True
    except BlockingIOError:
        pass
    except OSError:
        return True
    try:
        connection.send(b"a")
    except OSError:
        return True
    return False


def test_requests_that_no_page_sends_are_refused_in_a_sentence(
    site: Site, storage: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    address, version = ASKED["inputs"]
    changes: list[dict[str, Any]] = [
        *({"output": each} for each in (None, 5, "x.data", "drawn.data", ["page.data"], "..page.data...x.y..")),
        *({"outputs": each} for each in (None, 7, [], "page")),
        *({"inputs": each} for each in (None, 7, [], [{}, {}], [1, 2], [version, address])),
        *({"inputs": [address | {"value": each}, version]} for each in (5, [1], {}, float("nan"), 10**300, True)),
        *({"changedPropIds": each} for each in (None, 5, [5])),
        {"state": [1]},
    ]
    bodies: list[str | bytes] = [json.dumps(ASKED | change) for change in changes]
    bodies += ["", "{", "null", "[]", "1", '"a"', "{}", b"\xff\xfe\x00", "NaN", "1" * 5000]
    bodies += ["[" * 10_000 + "]" * 10_000, '{"a":' * 10_000 + "1" + "}" * 10_000]
    for body in bodies:
        status, text, _ = site.ask("/_dash-update-component", "POST", body)
        assert status == 400, body[:80]
        assert "Traceback" not in text
        assert text.strip()
    large = site.ask("/_dash-update-component", "POST", b" " * 20_000_000)
    assert large[0] == 413
    for path in ("/nothing", "/shared/..%2f..%2freport.py", "/assets/..%2fserver.py", "/data/..%2fx.csv?view=front"):
        assert site.ask(path)[0] == 404, path
    with socket.create_connection(site.address, timeout=30) as connection:
        connection.sendall(b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 400 " in connection.recv(100)
    assert site.ask("/data/studies.csv?study=nosuch")[:2] == (404, f"There is no study 'nosuch' in {storage}.\n")
    for path in ("dash/dash.py", "os/path.js", "dash/%2e%2e/x.js", "dash/deps/%00"):
        assert site.ask(f"/_dash-component-suites/{path}")[0] == 404, path
    assert site.ask("/version", "POST", "{}")[0] == 405
    assert site.page("?view=front")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_locked_database_is_told_at_once_and_read_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    monkeypatch.setattr(transactions, "_REPEATED_SECONDS", 0.0)
    path = tmp_path / "locked.db"
    with Store(path) as store:
        many_trials.write(store, 20)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode=DELETE")
    site = Site(path)
    try:
        assert "Designs finished" in site.page("?view=overview")[1]
        other.execute("BEGIN EXCLUSIVE")  # for longer than a connection of ours waits for an answer
        assert "is locked by another process" in site.page("?view=overview")[1]
        assert "is locked by another process" in site.ask("/version")[1]
        status, text, _ = site.ask("/data/studies.csv?view=overview")
        assert (status, "is locked by another process" in text) == (503, True)
        other.execute("COMMIT")
        assert "Designs finished" in site.page("?view=overview")[1]
    finally:
        other.close()
        site.close()


def test_another_name_for_this_machine_is_refused(site: Site) -> None:
    for host in (
        *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "127.1"),
        *("[::1].evil.example", "localhost, evil.example", "0.0.0.0", ""),
    ):
        status, text, _ = site.ask(Host=host, **{"X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"})
        assert status == 403, host
    assert "start it with --token" in text
    for host in ("localhost:8050", "LOCALHOST", "[::1]:8050", "127.0.0.1"):
        assert site.ask(Host=host)[0] == 200, host


def test_pages_cannot_be_framed_or_sent_elsewhere(storage: Path, site: Site) -> None:
    for path in ("/", "/version", "/nothing", "/assets/pages.js", "/data/front.json?view=front"):
        headers = site.ask(path)[2]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Server"] == "srsearch"
    locked = Site(storage, token="a word")
    try:
        for scheme, secure in (("https", True), ("http", False)):
            _, _, headers = locked.ask("/?token=a+word", **{"X-Forwarded-Proto": scheme})
            flags = {flag.strip() for flag in headers["Set-Cookie"].split(";")}
            assert {"HttpOnly", "SameSite=Strict"} <= flags
            assert ("Secure" in flags) == secure
    finally:
        locked.close()


def test_plugins_that_fail_give_a_page_that_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extensions, "_EXTENSIONS", {"view": {}})
    escape = "\x1b[31mred\nsecond line"

    def leave(context: Any) -> Page:
        raise SystemExit(3)

    views: dict[str, Any] = {
        "wrong": lambda context: 1 / 0,
        "escape": lambda context: (_ for _ in ()).throw(KeyError(escape)),
        "endless": lambda context: views["endless"](context),
        "nothing": lambda context: None,
        "odd": lambda context: Page([{1, 2}]),  # type: ignore[list-item]
        "control": lambda context: Page(controls=[3]),  # type: ignore[list-item]
        "leave": leave,
    }
    for name, view in views.items():
        register("view", name)(view)
        status, text = site.page(f"?study=many&view={name}")
        assert status == 200, name
        assert "This view cannot be shown" in text, name
        error = capfd.readouterr().err
        assert error.count("\n") == 1, error
        assert "\x1b" not in error

    def cost(design: Any) -> int:
        raise ValueError("no cost today")

    register("objective", "own_cost")(cost)
    monkeypatch.setitem(objectives._TABLE, "own_cost", objectives._TABLE.pop("own_cost"))  # forgotten afterwards
    told = "objective 'own_cost' failed for the design 00000002: ValueError: no cost today"
    status, text, _ = site.ask("/version?study=own")
    assert (status, told in text) == (200, True)
    status, text = site.page("?study=own")
    assert (status, told in text) == (200, True)
    assert capfd.readouterr().err == ""


def test_it_listens_on_any_address_of_this_machine_or_says_why_not(storage: Path, srsearch: Command) -> None:
    for host in ("::1", "[::1]", "localhost"):
        try:
            site = Site(storage, host)
        except InputError as error:
            if "address" in str(error) and host != "localhost":  # a machine without IPv6
                continue
            raise
        assert site.ask()[0] == 200
        site.close()
    taken = socket.create_server(("127.0.0.1", 0))
    port = str(taken.getsockname()[1])
    with taken:
        for arguments, reason in (
            (("--port", port), "the port is in use"),
            (("--host", "nowhere.invalid", "--token", "a"), "no machine has this name"),
            (("--host", "127.0.0.1:8050", "--token", "a"), "no machine has this name"),
            (("--host", "a" * 300, "--token", "a"), "no machine has this name"),
            (("--host", "192.0.2.7", "--token", "a"), "this machine does not have that address"),
            (("--port", "65536"), "65536 is not in the range"),
            (("--port", "\N{ARABIC-INDIC DIGIT EIGHT}0"), "write it with the digits 0 to 9"),
        ):
            ended = srsearch("dashboard", "--storage", str(storage), *arguments)
            assert ended.returncode == 2, arguments
            assert reason in ended.stderr, arguments


def test_a_port_of_the_administrator_is_refused_by_its_reason(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(InputError, match="only an administrator may use this port; try a --port from 1024 on"):
        live.make(str(storage), "127.0.0.1", 80, None)
