"""No command shows a password, however it is given: outputs, pages, exported studies and the database are searched."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from srsearch.space import Space
from srsearch.store.place import Place
from tests.conftest import SMALL_SPACE, Command
from tests.search.test_postgresql import server, url  # noqa: F401  (fixtures)
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


@pytest.mark.parametrize("way", ["url", "query", "PGPASSWORD", "passfile", "service", "SRSEARCH_STORAGE"])
def test_no_command_shows_the_password_that_it_used(
    server: Server,  # noqa: F811
    url: str,  # noqa: F811
    folder: Path,
    srsearch: Command,
    tmp_path_factory: pytest.TempPathFactory,
    way: str,
) -> None:
    secret = tmp_path_factory.mktemp("secret")
    (secret / "pgpass").write_text(f"127.0.0.1:*:*:postgres:{PASSWORD}\n")
    (secret / "pgpass").chmod(0o600)
    (secret / "services").write_text(
        f"[lab]\nhost=127.0.0.1\nport={server.port}\ndbname=postgres\nuser=postgres\npassword={PASSWORD}\n"
    )
    plain = server.tcp_url("postgres@")
    address, env = {
        "url": (server.tcp_url(), {}),
        "query": (f"{plain}?password={ESCAPED}&sslpassword=hunter2", {}),
        "PGPASSWORD": (plain, {"PGPASSWORD": PASSWORD}),
        "passfile": (f"{plain}?passfile={secret / 'pgpass'}", {}),
        "service": ("postgresql://?service=lab", {"PGSERVICEFILE": str(secret / "services")}),
        "SRSEARCH_STORAGE": (None, {"SRSEARCH_STORAGE": server.tcp_url()}),
    }[way]
    for command in COMMANDS if way == "query" else FEW:
        given = [] if address is None else ["--storage", address]
        ended = srsearch(*command, *given, env=env)
        assert ended.returncode == 0, (command, ended.stderr)
        assert_no_secret(ended.stdout + ended.stderr)
    assert_no_secret(written(folder).decode("utf-8", "replace"))
    tables = [name for (name,) in server.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert_no_secret("\n".join(str(row) for name in tables for row in server.sql(f"SELECT * FROM {name}")))


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
