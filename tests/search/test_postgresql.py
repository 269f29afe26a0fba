"""PostgreSQL as the shared store: messages for mistakes, and servers that restart."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from srsearch.errors import InputError, WorkError
from srsearch.search import SyntheticEvaluator, run
from srsearch.search.study import Study
from srsearch.space import Space
from srsearch.store import EndedElsewhere, Store, connection, leases, schema, transactions
from srsearch.store.diagnosis import Away
from tests.conftest import SMALL_SPACE, Command
from tests.search.test_search import outcome
from tests.search.test_sharing import WIDE_SPACE
from tests.store.test_store import STUDY, evaluated, proposal
from tests.support.postgresql import PASSWORD, Server, server_or_skip

pytest.importorskip("psycopg")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    yield from server_or_skip()


@pytest.fixture
def url(server: Server) -> str:
    server.sql("DROP SCHEMA public CASCADE")
    server.sql("CREATE SCHEMA public")
    server.sql("GRANT USAGE ON SCHEMA public TO public")
    return server.url


def test_wrong_urls_are_explained_in_one_sentence(server: Server, url: str, srsearch: Command) -> None:
    server.sql("DROP ROLE IF EXISTS guest")
    server.sql("CREATE ROLE guest LOGIN PASSWORD 'hunter2'")
    wrong = {
        server.tcp_url("postgres:hunter3@"): "does not accept the user postgres with this password",
        server.tcp_url("nobody:hunter3@"): "does not accept the user nobody",
        server.tcp_url("postgres@"): "into PGPASSWORD, or into ~/.pgpass",
        server.tcp_url(database="nowhere"): "has no database nowhere: make it",
        server.tcp_url("guest:hunter2@"): "the user guest may not make or change srsearch's tables",
        "postgresql://a:hunter2@127.0.0.1:1/x": "is the server running, and reachable",
        "postgresql://a:hunter2@no-such-host.invalid/x": "there is no host no-such-host.invalid",
        "postgresql://a:hunter2@127.0.0.1/x?no_such_option=1": "no_such_option",
    }
    for address, message in wrong.items():
        for read_only in (False, True):
            if read_only and "guest" in address:
                continue
            with pytest.raises(InputError) as raised:
                Store(address, read_only=read_only)
            assert message in str(raised.value)
            assert "hunter" not in str(raised.value)
            assert len(str(raised.value).splitlines()) == 1
    ended = srsearch("studies", "--storage", server.tcp_url("postgres:hunter3@"))
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "hunter" not in ended.stdout + ended.stderr


def test_credentials_from_the_environment_and_pgpass(server: Server, url: str, tmp_path: Path) -> None:
    Store(url).close()
    (tmp_path / "pgpass").write_text(f"127.0.0.1:*:*:postgres:{PASSWORD}\n")
    (tmp_path / "pgpass").chmod(0o600)
    code = "import sys\nfrom srsearch.store import Store\nprint(Store(sys.argv[1]).where)"
    for address, extra in (
        (server.tcp_url(), {}),
        (server.tcp_url("postgres@"), {"PGPASSWORD": PASSWORD}),
        (f"postgresql://127.0.0.1:{server.port}/postgres", {"PGUSER": "postgres", "PGPASSWORD": PASSWORD}),
        (server.tcp_url("postgres@"), {"PGPASSFILE": str(tmp_path / "pgpass")}),
    ):
        ended = subprocess.run(
            [sys.executable, "-c", code, address],
            env={**os.environ, **extra},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert "hunter" not in ended.stdout


def test_a_role_that_may_only_read_reads_and_a_newer_database_is_refused(server: Server, url: str) -> None:
    server.sql("DROP ROLE IF EXISTS reader")
    server.sql("CREATE ROLE reader LOGIN PASSWORD 'hunter2'")
    with Store(url) as store:
        store.create_study(STUDY)
    server.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    server.sql("GRANT USAGE ON SCHEMA public TO reader")
    with Store(server.tcp_url("reader:hunter2@"), read_only=True) as store:
        assert store.study_names() == [STUDY.name]
    with pytest.raises(InputError, match="the user reader may not make or change"):
        Store(server.tcp_url("reader:hunter2@"))
    server.sql("UPDATE srsearch_version SET version_num = '9000'")
    for read_only in (False, True):
        with pytest.raises(InputError, match="made by a newer srsearch"):
            Store(url, read_only=read_only)
    server.sql("DROP OWNED BY reader")


@pytest.mark.parametrize("crash", [False, True])
def test_a_server_that_restarts_is_waited_for(server: Server, url: str, crash: bool) -> None:
    """All confirmed changes are stored, and no trial is lost or doubled."""
    said: list[str] = []
    with Store(url) as store:
        store.say = said.append
        store.create_study(STUDY)
        ended = threading.Event()

        def restart() -> None:
            while not ended.wait(0.3):
                server.stop(crash=crash)
                time.sleep(0.1)
                server.start()

        restarting = threading.Thread(target=restart)
        restarting.start()
        try:
            number = 0
            while number < 30:
                try:
                    store.add_trials(STUDY.name, [proposal(number)])
                except WorkError:  # the study asks again
                    if number not in {trial.number for trial in store.trial_records(STUDY.name)}:
                        continue
                store.keep_curve(STUDY.name, number, [(100, 26.0)])
                with contextlib.suppress(EndedElsewhere):  # by ourselves, before the connection was lost
                    store.finish_trial(STUDY.name, number, evaluated(proposal(number)))
                number += 1
        finally:
            ended.set()
            restarting.join()
        states = store.trials(STUDY.name)["state"].tolist()
    assert states == ["complete"] * number


def test_a_server_that_does_not_come_back_is_an_error(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "AWAY_SECONDS", 3.5)
    said: list[str] = []
    with Store(url) as store:
        store.say = said.append
        store.create_study(STUDY)
        server.stop()
        try:
            with pytest.raises(WorkError, match="nothing that was finished is lost") as raised:
                store.trials(STUDY.name)
        finally:
            server.start()
        assert "secret" not in str(raised.value) + "".join(said)
        assert len(said) == 1
        assert store.study_names() == [STUDY.name]


def test_a_search_goes_on_through_restarts(server: Server, url: str, tmp_path: Path) -> None:
    space = Space.from_dict(WIDE_SPACE | {"search": {"trials": 16, "seed": 3, "workers": 1}})
    ended = threading.Event()

    def restart() -> None:
        while not ended.wait(0.1) and not server.sql("SELECT 1 FROM sr_trials WHERE number > 2", check=False):
            pass
        for _ in range(3):
            server.stop()
            server.start()
            ended.wait(1.0)

    restarting = threading.Thread(target=restart)
    restarting.start()
    try:
        with Store(url) as store:
            result = run(space, store=store, evaluator=SyntheticEvaluator(seconds=0.1), workers=2)
            assert result.done == 16
            found = outcome(store, result.study)
    finally:
        ended.set()
        restarting.join()
    with Store(tmp_path / "here.db") as here:
        run(space, store=here, evaluator=SyntheticEvaluator(), workers=2)
        assert outcome(here, "small") == found


def test_a_search_goes_on_through_closed_connections_and_time_limits(server: Server, url: str) -> None:
    space = Space.from_dict(WIDE_SPACE | {"search": {"trials": 8, "seed": 3, "workers": 1}})
    ended, closed = threading.Event(), 0
    server.sql("ALTER ROLE postgres SET statement_timeout = '20ms'")
    others = "FROM pg_stat_activity WHERE application_name = 'srsearch' AND pid <> pg_backend_pid()"

    def close() -> None:
        nonlocal closed
        while not ended.wait(0.1) and not server.sql("SELECT 1 FROM sr_trials WHERE number > 1", check=False):
            pass
        while not ended.wait(0.3):
            closed += len(server.sql(f"SELECT pg_terminate_backend(pid) {others}", check=False))

    closing = threading.Thread(target=close)
    closing.start()
    try:
        with Store(url) as store:
            result = run(space, store=store, evaluator=SyntheticEvaluator(seconds=0.2), workers=1)
            assert result.done == 8
    finally:
        ended.set()
        closing.join()
        server.sql("SET statement_timeout = 0; ALTER ROLE postgres RESET statement_timeout")
    assert closed > 0
    assert len(server.sql("SELECT DISTINCT key FROM sr_evaluations")) == 8


def test_a_process_that_stops_in_a_transaction_blocks_nobody_for_long(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an upgrade of the tables, for which every process that opens the database waits, or in any change."""
    monkeypatch.setattr(connection, "WRITING_SECONDS", 1)
    with Store(url) as store:
        store.create_study(STUDY)

        def stop() -> None:
            with store._transactions.write() as stopped:
                stopped.execute(text("LOCK TABLE sr_trials IN ACCESS EXCLUSIVE MODE"))
                schema.upgrade(stopped, store._place)
                with Store(url) as other:  # opens once the server has ended the first transaction
                    other.add_trials(STUDY.name, [proposal(0)])
                stopped.execute(text("DELETE FROM sr_trials"))

        with pytest.raises(Away, match="is away"):
            stop()
        assert store.count_trials(STUDY.name) == 1


@pytest.mark.parametrize("limit", ["1ms", "50ms"])
def test_time_limits_of_the_server_are_lifted(server: Server, url: str, limit: str) -> None:
    server.sql(f"ALTER ROLE postgres SET statement_timeout = '{limit}'")
    try:
        with Store(url) as store:
            store.create_study(STUDY)
            for number in range(10):
                store.add_trials(STUDY.name, [proposal(number)])
                store.finish_trial(STUDY.name, number, evaluated(proposal(number)))
            assert store.read_only is False
            assert len(store.front(STUDY.name)) > 0
    finally:
        server.sql("SET statement_timeout = 0; ALTER ROLE postgres RESET statement_timeout")


def test_a_server_without_free_connections_is_not_taken_for_a_wrong_address(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "_OPENING_SECONDS", 0.2)
    server.sql("DROP ROLE IF EXISTS guest")
    server.sql("CREATE ROLE guest LOGIN PASSWORD 'hunter2' CONNECTION LIMIT 0")
    for read_only in (False, True):
        with pytest.raises(WorkError, match=r"is away \(.*too many connections"):
            Store(server.tcp_url("guest:hunter2@"), read_only=read_only)


def test_leases_go_by_the_servers_clock(server: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks of the nodes do not matter. Leases do not expire because the server was down."""
    space = Space.from_dict(SMALL_SPACE)
    with Store(url) as store, Store(url) as elsewhere:
        run(space, store=store, trials=1, workers=1, evaluator=SyntheticEvaluator())
        monkeypatch.setattr(leases, "_host", lambda: "elsewhere")
        other = Study(elsewhere, elsewhere.study("small"), space, SyntheticEvaluator())
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() - 7 * 86400)  # its clock is a week slow
        trial = other.ask()
        assert trial is not None
        other.heartbeat()
        monkeypatch.undo()
        assert store.abandoned("small") == []
        monkeypatch.setattr(leases, "LEASE_SECONDS", 1e6)
        server.sql("UPDATE sr_trials SET heartbeat = heartbeat - 10000000 WHERE state = 'running'")
        assert store.abandoned("small") == []  # the server has not been up for that long
        monkeypatch.setattr(leases, "LEASE_SECONDS", -1.0)
        assert store.abandoned("small") == [trial.number]
        other.close()


def test_an_abandoned_trial_is_continued_by_exactly_one_run(server: Server, url: str) -> None:
    with Store(url) as store:
        store.create_study(STUDY)
        trials = [proposal(number) for number in range(40)]
        store.add_trials(STUDY.name, trials)
        taken: list[int] = []

        def take(owner: str) -> None:
            with Store(url) as own:
                taken.extend(trial.number for trial in trials if own.take_up(STUDY.name, trial, owner))

        threads = [threading.Thread(target=take, args=(f"elsewhere:1:1:{each}",)) for each in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(taken) == sorted(set(taken))
    assert set(taken) == set(range(40))
