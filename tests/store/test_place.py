"""Where a database is: links, other names of one file, home folders, mistyped URLs, and passwords that nobody shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from srsearch.errors import InputError, WorkError
from srsearch.search.checkpoints import Checkpoints
from srsearch.store import Store, changes
from srsearch.store.credentials import without_passwords
from srsearch.store.locks import _lock_file
from srsearch.store.place import Place
from tests.store.test_store import STUDY, fill, unprivileged
from tests.support.commands import in_this_process


def test_links_lead_to_the_same_log_locks_and_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "link.db").symlink_to("second.db")
    (tmp_path / "second.db").symlink_to("real/s.db")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "real" / "s.db"
    ways: list[str | Path] = [
        "link.db",
        "sqlite:///link.db",
        tmp_path / "folder" / "s.db",
        f"sqlite:///{tmp_path}/link.db",
    ]
    with Store("link.db") as writer:  # a link that leads to no file yet
        fill(writer)
        assert {each.name for each in tmp_path.iterdir()} == {"real", "folder", "link.db", "second.db"}
        assert (tmp_path / "real" / "s.db-wal").stat().st_size > 0  # the study is in the log only
        before = changes.file_state(writer)
        for way in ways:
            assert Place.of(way).path == file
            assert _lock_file(Place.of(way), "x") == _lock_file(Place.of(file), "x")
            with Store(way, read_only=True) as reader:
                assert reader.study_names() == [STUDY.name]
                assert changes.file_state(reader) == before
                folder = Checkpoints(reader, STUDY).folder
                assert Path(folder).parent == tmp_path / "real" / "s.db.checkpoints"
        with Store("link.db", read_only=True) as reader:
            (tmp_path / "elsewhere").mkdir()
            monkeypatch.chdir("elsewhere")
            assert reader.study_names() == [STUDY.name]
            writer.rename_study(STUDY.name, "renamed")
            assert reader.study_names() == ["renamed"]


def test_a_database_moves_with_its_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with Store(tmp_path / "old" / "s.db") as store:
        fill(store)
        kept = Checkpoints(store, STUDY).path("k" * 30, 1)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    shutil.move(tmp_path / "old", tmp_path / "new")
    with Store(tmp_path / "new" / "s.db") as store:
        assert Checkpoints(store, STUDY).has("k" * 30, 1)


def test_locks_are_the_same_wherever_a_folder_is_mounted(tmp_path: Path) -> None:
    assert _lock_file(Place.of(tmp_path / "a" / "s.db"), "x").name == _lock_file(Place.of("/b/s.db"), "x").name
    assert _lock_file(Place.of("/b/s.db"), "y") != _lock_file(Place.of("/b/s.db"), "x")


@pytest.mark.parametrize("read_only", [False, True])
def test_hard_links_are_refused(tmp_path: Path, read_only: bool) -> None:
    with Store(tmp_path / "s.db") as store:
        fill(store)
    os.link(tmp_path / "s.db", tmp_path / "other.db")
    with pytest.raises(InputError, match="has 2 names"):
        Store(tmp_path / "other.db", read_only=read_only)
    (tmp_path / "other.db").unlink()
    Store(tmp_path / "s.db", read_only=read_only).close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_mounted_by_itself_is_refused(tmp_path: Path, read_only: bool) -> None:
    with Store(tmp_path / "s.db") as store:
        fill(store)
    mounted = tmp_path / "a container" / "s.db"
    mounted.parent.mkdir()
    mounted.touch()
    if subprocess.run(["mount", "--bind", tmp_path / "s.db", mounted], capture_output=True, check=False).returncode:
        pytest.skip("mounts are not allowed here")
    try:
        with pytest.raises(InputError, match=r"is mounted as a single file.*mount its folder"):
            Store(mounted, read_only=read_only)
        assert [path.name for path in mounted.parent.iterdir()] == ["s.db"]
    finally:
        subprocess.run(["umount", mounted], check=True)


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    for written in ("~/s.db", "sqlite:///~/s.db", Path("~/s.db")):
        assert Place.of(written).path == home / "s.db"
    with Store("~/s.db") as store:
        fill(store)
    ended = in_this_process(tmp_path, "studies", "export-optuna", STUDY.name, "~/o.db", "--storage=~/s.db")
    assert ended.returncode in (0, 2), ended.stderr  # this study's space is none that can be opened
    assert [each.name for each in tmp_path.iterdir()] == ["home"]
    with pytest.raises(InputError, match=r"no home folder ~nobody-of-that-name; .* \./~nobody-of-that-name/s.db"):
        Place.of("~nobody-of-that-name/s.db")


@pytest.mark.parametrize(
    "written",
    [
        "postgresql:user:hunter2@host/db",
        "postgresql:/user:hunter2@host/db",
        "postgresql+psycopg:user:hunter2@host/db",
        "postgresql//user:hunter2@host/db",
        "//user:hunter2@host/db",
        "user:hunter2@host/db",
        "us%er:hun/ter2@host/db",
        "://user:hunter2@host/db",
        "postgresql ://user:hunter2@host/db",
        "postgresql://user:hunter2@host:x/db",
        "postgresql;://user:hunter2@host/db",
        "sqlite:s.db?password=hunter2",
        "sqlite:/s.db",
        "sqlite://s.db",
        "mysql:s.db",
    ],
)
def test_a_mistyped_url_is_not_taken_for_a_folder(written: str, tmp_path: Path) -> None:
    for arguments in (["run", "lightweight_x4"], ["studies"], ["studies", "copy", "x", "elsewhere"]):
        ended = in_this_process(tmp_path, *arguments, "--storage", written)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ("hun" not in ended.stderr and "storage" in ended.stderr) or "SQLite URL" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_a_colon_is_a_path_where_it_says_so() -> None:
    assert Place.of("./run:1.db").path == Path("run:1.db").absolute()
    assert Place.of("/tmp/a@b/run:1.db").path == Path("/tmp/a@b/run:1.db")
    assert Place.of(":memory:").path is None


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://u:hunter2@h/d", "postgresql://u:***@h/d"),
        ("postgresql+psycopg://u@h/d?password=hunter2", "postgresql+psycopg://u@h/d?password=***"),
        ("postgresql://u@h/d?PASSWORD=hunter2&sslmode=require", "postgresql://u@h/d?PASSWORD=***&sslmode=require"),
        ("mysql+pymysql://u@h/d?passwd=hunter2&charset=utf8", "mysql+pymysql://u@h/d?charset=***&passwd=***"),
        ("mssql+pyodbc:///?odbc_connect=UID%3Du%3BPWD%3Dhunter2", "mssql+pyodbc:///?odbc_connect=***"),
        ("postgresql:///d?options=-c+x%3Dhunter2&service=mine", "postgresql:///d?options=***&service=***"),
        ("postgresql://u:p@hunter2@h/d", "postgresql://u:***@***@h/d"),
        ("postgresql://us/er:hunter2@h/d", "postgresql://us/***@h/d"),
        ("postgresql://u%3Ahunter2@h/d", "postgresql://u@h/d"),
    ],
)
def test_no_password_is_shown(written: str, shown: str) -> None:
    place = Place.of(written)
    assert unquote(str(place)) == shown
    told = without_passwords(f"connection to {written} failed: {place.url.query} password=hunter2", place.url)
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "message",
    [
        "host=h user=u password=hunter2 dbname=d",
        "host=h password='hun ter2' dbname=d",
        "DRIVER={x};UID=u;PWD={hunter2;}",
        "s3://key:hunter2@host/path, then",
        "sftp://u:hun/ter2@host/path",
    ],
)
def test_a_drivers_message_is_shown_without_passwords(message: str) -> None:
    assert "hun" not in without_passwords(message)
    assert "ter2" not in without_passwords(message)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder in which every user may make files; pytest's own cannot be reached by others."""
    with tempfile.TemporaryDirectory(prefix="srsearch-test-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.parametrize("older", [False, True])
def test_another_user_shares_the_database(shared_folder: Path, older: bool) -> None:
    file = shared_folder / "s.db"
    before = os.umask(0o077)
    try:
        with Store(file) as store:
            fill(store)
            with store.exclusive("x"):
                pass
    finally:
        os.umask(before)
    file.chmod(0o666)
    if older:  # whose lock files only their owner can write
        _lock_file(Place.of(file), "x").chmod(0o644)

    def work() -> list[str]:
        with Store(file) as store, store.exclusive("x"), Store(file) as other:
            with pytest.raises(WorkError, match="timed out"), other.exclusive("x", wait=0.1):
                pass
            store.rename_study(STUDY.name, "renamed")
            return store.study_names()

    assert unprivileged(work) == ["renamed"]
    with Store(file) as store, store.exclusive("x"):
        store.rename_study("renamed", "once more")
