"""Commands on databases in which bytes were changed."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from srsearch.dashboard.live.address import Address
from srsearch.dashboard.live.server import show
from srsearch.dashboard.live.snapshots import Watcher
from srsearch.errors import InputError, WorkError
from srsearch.search import run
from srsearch.space import Space
from tests.conftest import SMALL_SPACE
from tests.support.commands import in_this_process
from tests.support.damaged import damaged_copy

READING = (
    ["trials", "--json"],
    ["front"],
    ["best"],
    ["studies"],
    ["studies", "show", "small"],
    ["studies", "copy", "small", "copy.db"],
    ["count", "small:1"],
    ["studies", "export-optuna", "small", "sqlite:///optuna.db"],
    ["run", "small.yaml", "--quiet", "--page", "page.html"],
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("whole") / "s.db"
    run(Space.from_dict(SMALL_SPACE), store=str(file))
    return file.read_bytes()


@pytest.mark.long(8)
@pytest.mark.parametrize("first", [0, 8])
def test_random_damage_gives_no_traceback(whole: bytes, tmp_path: Path, first: int) -> None:
    (tmp_path / "small.yaml").write_text(Space.from_dict(SMALL_SPACE).text)
    told = []
    for seed in range(first, first + 8):
        for command in READING:
            for name in ("copy.db", "optuna.db"):
                (tmp_path / name).unlink(missing_ok=True)
            done = damaged_copy(whole, tmp_path / "s.db", seed)
            ended = in_this_process(tmp_path, *command, "--storage", "s.db")  # raises what the command does not handle
            told.append(ended.stderr)
            assert ended.returncode != 1 or "is damaged" in ended.stderr, (done, command, ended.stderr)
        with contextlib.suppress(InputError, WorkError):  # the dashboard does not start, and says this
            watcher = Watcher(str(tmp_path / "s.db"))
            for view in ("overview", "front", "runs"):
                page = show(watcher, Address(study="small", view=view)).page
                assert "Something went wrong" not in str(page.children), (done, view)
    assert any("s.db is damaged" in each and ".recover" in each for each in told)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE sr_studies SET recipe = json_set(recipe, '$.noise', 0.5)", "noise of its recipe is 0.5, and 0.03 in"),
        ("UPDATE sr_studies SET sampler = 'other'", "its sampler is 'other', 'frontier' in its space"),
        ('UPDATE sr_studies SET objectives = \'["psnr", "other"]\'', "its objectives is ['psnr', 'other']"),
    ],
)
def test_a_study_that_was_changed_by_hand_is_refused(
    whole: bytes, tmp_path: Path, statement: str, message: str
) -> None:
    """Each command says so, and a run does not go on with it."""
    (tmp_path / "small.yaml").write_text(Space.from_dict(SMALL_SPACE).text)
    _change(whole, tmp_path / "s.db", statement)
    for command in (*(each for each in READING if each != ["studies"]), ["report", "small", "-o", "page.html"]):
        ended = in_this_process(tmp_path, *command, "--storage", "s.db")
        assert ended.returncode == 2, (command, ended.stderr)
        assert len(ended.stderr.splitlines()) == 1
        assert "study 'small' in" in ended.stderr
        assert f"was changed by hand: {message}" in ended.stderr
    page = show(Watcher(str(tmp_path / "s.db")), Address(study="small")).page
    assert "was changed by hand" in str(page.children)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "DELETE FROM sr_trials",
            "study 'small' was changed by hand: its hash is that of another recipe than it has now",
        ),
        ("UPDATE sr_trials SET sampler_state = '{\"a\": 3}'", "trial 0 was changed by hand: the state of a sampler is"),
    ],
)
def test_a_run_does_not_continue_what_was_changed_by_hand(
    whole: bytes, tmp_path: Path, statement: str, message: str
) -> None:
    (tmp_path / "small.yaml").write_text(Space.from_dict(SMALL_SPACE).text)
    changes = [statement] if "sampler" in statement else [statement, "UPDATE sr_studies SET recipe = '{}'"]
    _change(whole, tmp_path / "s.db", *changes)
    ended = in_this_process(tmp_path, "run", "small.yaml", "--quiet", "--trials", "11", "--storage", "s.db")
    assert ended.returncode == 2, ended.stderr
    assert message in ended.stderr


def _change(whole: bytes, file: Path, *statements: str) -> None:
    """A copy of a database on which statements were executed."""
    file.write_bytes(whole)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints=1")
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE sr_trials SET axes = '{\"channels\": ' WHERE number = 1", "table sr_trials"),
        ("UPDATE sr_trials SET axes = '3' WHERE number = 1", "table sr_trials"),
        ("UPDATE sr_evaluations SET psnr = 'x'", "table sr_evaluations"),
        ("UPDATE srsearch_version SET version_num = '00\x012'", "version"),
        ("DELETE FROM srsearch_version", "srsearch_version is missing or empty"),
        ("DROP TABLE sr_evaluations", "no such table"),
        ("UPDATE sr_evaluations SET psnr = 1e999", "psnr is inf"),
        ("UPDATE sr_trials SET evaluation_id = 99 WHERE number = 1", "missing"),
        ("UPDATE sr_studies SET objectives = '[]'", "objectives"),
        ("UPDATE sr_studies SET space = json_remove(space, '$.constraints')", "no constraints"),
        ("UPDATE sr_studies SET space = json_set(space, '$.constraints', 'x')", "constraints of the space"),
        ("UPDATE sr_studies SET space = json_set(space, '$.constraints.mult_adds', 3)", "constraints.mult_adds"),
        ('UPDATE sr_studies SET objectives = \'["psnr", "psnr"]\'', "objectives has a name twice"),
        ("UPDATE sr_trials SET axes = json_set(axes, '$.channels', json('[1]')) WHERE number = 1", "axes has a value"),
        ("UPDATE sr_evaluations SET curve = '[[1]]'", "curve is not a list"),
        ("UPDATE sr_studies SET name = X'FFFE'", "name is not text"),
        ("UPDATE sr_evaluations SET recipe = '{\"steps\": 7}'", "recipe does not match its hash"),
    ],
)
def test_values_that_srsearch_never_writes(whole: bytes, tmp_path: Path, statement: str, message: str) -> None:
    file = tmp_path / "s.db"
    _change(whole, file, statement)
    reading = (
        ["trials", "--json"],
        ["best"],
        ["studies", "copy", "small", "copy.db"],
        ["studies", "export-optuna", "small", "sqlite:///optuna.db"],
        ["report", "small", "-o", "page.html"],
    )
    all_ended = [in_this_process(tmp_path, *command, "--storage", "s.db") for command in reading]
    ended = next(each for each in all_ended if each.returncode)
    assert ended.returncode == 1, ended.stdout
    assert f"{file} is damaged" in ended.stderr
    assert message in ended.stderr
