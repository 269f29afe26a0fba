"""No command shows a password, however it is given: outputs, pages, exported studies and the database are searched."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from flask.testing import FlaskClient

from srsearch.dashboard.live import snapshots
from srsearch.dashboard.live.server import application
from srsearch.dashboard.live.snapshots import Watcher
from srsearch.dashboard.live.views.table import views
from srsearch.space import Space
from srsearch.store import Store, transactions
from srsearch.store.place import Place
from tests.conftest import SMALL_SPACE, Command
from tests.dashboard.test_server import ASKED
from tests.search.test_postgresql import server, url  # noqa: F401  (fixtures)
from tests.support import many_trials
from tests.support.postgresql import PASSWORD, Server

pytest.importorskip("psycopg")

ESCAPED = quote(PASSWORD, safe="")
SECRETS = (PASSWORD, ESCAPED, quote(PASSWORD), PASSWORD.replace(" ", "+"), "hunter2")

COMMANDS = (
    ["run", "small.yaml", "--trials", "3", "--page", "run.html", "--json"],
    ["studies"],
    ["studies", "--json"],
    ["studies", "show", "small"],
    ["trials", "--json"],
    ["front"],
    ["best", "--json"],
    ["best", "--save", "best.yaml"],
    ["count", "small:0"],
    ["report", "-o", "report.html", "--json"],
    ["studies", "copy", "small", "copy.db"],
    ["studies", "export-optuna", "small", "sqlite:///optuna.db"],
)
FEW = (COMMANDS[0], ["studies"], ["report", "-o", "report.html"], ["studies", "copy", "small", "copy.db"])
"""Those that stand for the others where only the way of the password to the driver differs."""


def written(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def assert_no_secret(text: str) -> None:
    for secret in SECRETS:
        assert secret not in text, text[max(0, text.index(secret) - 200) :][:400]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(Space.from_dict(SMALL_SPACE).text)
    return tmp_path


WAYS = ("url", "query", "PGPASSWORD", "passfile", "service", "SRSEARCH_STORAGE")


def given(server: Server, secret: Path) -> dict[str, tuple[str | None, dict[str, str]]]:  # noqa: F811
    """For each way to give the password: the address and the environment. Files of passwords go to a folder."""
    (secret / "pgpass").write_text(f"127.0.0.1:*:*:postgres:{PASSWORD}\n")
    (secret / "pgpass").chmod(0o600)
    (secret / "services").write_text(
        f"[lab]\nhost=127.0.0.1\nport={server.port}\ndbname=postgres\nuser=postgres\npassword={PASSWORD}\n"
    )
    plain = server.tcp_url("postgres@")
    return {
        "url": (server.tcp_url(), {}),
        "query": (f"{plain}?password={ESCAPED}&sslpassword=hunter2", {}),
        "PGPASSWORD": (plain, {"PGPASSWORD": PASSWORD}),
        "passfile": (f"{plain}?passfile={secret / 'pgpass'}", {}),
        "service": ("postgresql://?service=lab", {"PGSERVICEFILE": str(secret / "services")}),
        "SRSEARCH_STORAGE": (None, {"SRSEARCH_STORAGE": server.tcp_url()}),
    }


@pytest.mark.parametrize("way", WAYS)
def test_no_command_shows_the_password_that_it_used(
    server: Server,  # noqa: F811
    url: str,  # noqa: F811
    folder: Path,
    srsearch: Command,
    tmp_path_factory: pytest.TempPathFactory,
    way: str,
) -> None:
    address, env = given(server, tmp_path_factory.mktemp("secret"))[way]
    for command in COMMANDS if way == "query" else FEW:
        option = [] if address is None else ["--storage", address]
        ended = srsearch(*command, *option, env=env)
        assert ended.returncode == 0, (command, ended.stderr)
        assert_no_secret(ended.stdout + ended.stderr)
    assert_no_secret(written(folder).decode("utf-8", "replace"))
    tables = [name for (name,) in server.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert_no_secret("\n".join(str(row) for name in tables for row in server.sql(f"SELECT * FROM {name}")))


def asked(client: FlaskClient, searches: Iterable[str]) -> str:
    """Everything that a dashboard answers: each route of it, and the pages and tables of these links."""
    paths = ["/", "/nowhere", "/_dash-layout", "/_dash-dependencies", "/_reload-hash", "/version", "/%2e%2e/x"]
    answers = [client.get(path) for path in paths]
    for search in searches:
        value = [ASKED["inputs"][0] | {"value": search}, ASKED["inputs"][1]]
        answers.append(client.post("/_dash-update-component", json=ASKED | {"inputs": value}))
        answers += [client.get(f"/{path}{search}") for path in ("data/designs.csv", "version")]
    answers.append(client.post("/_dash-update-component", json=ASKED | {"inputs": 3}))
    return "\n".join(f"{answer.status} {answer.headers} {answer.get_data(as_text=True)}" for answer in answers)


def test_no_page_and_no_log_of_a_dashboard_shows_the_password(
    server: Server,  # noqa: F811
    url: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """While the server answers, when it is gone, and when it is back and takes another password."""
    monkeypatch.setattr(transactions, "AWAY_SECONDS", 0.1)
    monkeypatch.setattr(snapshots, "LEAST_WAIT", 0.0)
    monkeypatch.setattr(snapshots, "_SHARE", 0.0)
    with Store(url) as store:
        many_trials.write(store, 30)
    ways = given(server, tmp_path)
    clients = {}

    def answers(way: str, *searches: str) -> str:
        with monkeypatch.context() as environment:
            address, env = ways[way]
            for name, value in env.items():
                environment.setenv(name, value)
            if way not in clients:
                clients[way] = application(Watcher(address)).test_client()
            text = asked(clients[way], searches)
        assert_no_secret(text)
        return text

    for way in ways:
        searches = [f"?view={view}" for view in views()] if way == "query" else ["?view=front"]
        assert "many" in answers(way, *searches, "?study=nowhere")
    server.stop()
    for way in ways:
        assert " is away (" in answers(way, "?view=front")
    server.start()
    server.sql("ALTER USER postgres PASSWORD 'other'")
    try:
        for way in ways:
            end = time.monotonic() + 30
            while "with this password" not in answers(way, "?view=front"):
                assert time.monotonic() < end, "the dashboard does not ask the server that is back"
                time.sleep(0.1)
    finally:
        server.sql(f"ALTER USER postgres PASSWORD '{PASSWORD}'")
    assert_no_secret("".join(capfd.readouterr()))


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql://postgres:hunter2@127.0.0.1:{port}/postgres",
        "postgresql://postgres:hunter2@127.0.0.1:{port}/nowhere?sslpassword=hunter2",
        "postgresql://postgres@127.0.0.1:{port}/postgres?password=hunter2",
        "postgresql://postgres:hunter2@127.0.0.1:1/postgres",
        "postgresql://postgres:hunter2@no-such-host.invalid/postgres",
        "postgresql://postgres:hunter2@127.0.0.1:port/postgres",
        "postgresql://postgres:hunter2/@127.0.0.1:{port}/postgres",
        "postgresql://postgres:hunter2@127.0.0.1:{port}/postgres?options=hunter2",
        "postgresql://postgres@127.0.0.1:{port}/postgres?connect_timeout=hunter2",
        "postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=hunter2",
        "postgresql://postgres@127.0.0.1:{port}/postgres?application_name=x&target_session_attrs=hunter2",
        "postgresql://postgres@127.0.0.1:{port}/postgres?Password=hunter2",
        "postgresql://?service=hunter2",
        "postgresql://?service=hunter&password=hunter2",
        "postgresql+psycopg3://postgres:hunter2@127.0.0.1:{port}/postgres",
        "postgress://postgres:hunter2@127.0.0.1:{port}/postgres",
        "postgres:hunter2@127.0.0.1/postgres",
    ],
)
def test_no_command_shows_the_password_of_a_wrong_address(
    server: Server,  # noqa: F811
    folder: Path,
    srsearch: Command,
    wrong: str,
) -> None:
    address = wrong.format(port=server.port)
    for command in (*FEW, ["dashboard", "--port", "0"]):
        ended = srsearch(*command, "--storage", address)
        assert ended.returncode == 2, (command, ended.stderr)
        assert_no_secret(ended.stdout + ended.stderr)
        if command[0] != "run":
            assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    assert_no_secret(written(folder).decode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://u@h/d?connect_timeout=hunter2&keepalives=1", "connect_timeout=***&keepalives=1"),
        (
            "postgresql://u@/d?host=/run/postgresql&port=5433&sslmode=require",
            "/run/postgresql port=5433 sslmode=require",
        ),
        ("postgresql://u@/d?host=/hunter2 %25&port=hunter2", "host=*** port=***"),
        ("postgresql://u@/d?host=a.example&host=b.example", "host=a.example host=b.example"),
        ("postgresql://u@h/d?hunter=hunter2&sslmode=hunter2&passfile=hunter2", "hunter=*** sslmode=*** passfile=***"),
        ("postgresql://u@h/d?sslmode=require&sslmode=hunter2", "sslmode=***"),
    ],
)
def test_only_parameters_in_the_form_of_their_kind_are_shown(written: str, shown: str) -> None:
    text = unquote(str(Place.of(written)))
    assert_no_secret(text)
    assert all(part in text for part in shown.replace("&", " ").split()), text
