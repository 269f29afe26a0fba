"""Commands on databases in which bytes were changed."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from srsearch.search import run
from srsearch.space import Space
from tests.conftest import SMALL_SPACE
from tests.support.commands import in_this_process

READING = (
    ["trials", "--json"],
    ["front"],
    ["best"],
    ["studies"],
    ["studies", "show", "small"],
    ["studies", "copy", "small", "copy.db"],
    ["count", "small:1"],
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("whole") / "s.db"
    run(Space.from_dict(SMALL_SPACE), store=str(file))
    return file.read_bytes()


@pytest.mark.parametrize("signs", [range(256), range(32, 127)], ids=["bytes", "letters"])
def test_random_changes_give_no_traceback(whole: bytes, tmp_path: Path, signs: range) -> None:
    told = []
    for seed in range(12):
        chosen = random.Random(seed)
        changed = bytearray(whole)
        at, length = chosen.randrange(100, len(whole) - 64), chosen.randint(1, 64)
        changed[at : at + length] = chosen.choices(signs, k=length)
        (tmp_path / "s.db").write_bytes(changed)
        (tmp_path / "copy.db").unlink(missing_ok=True)
        for command in READING:
            ended = in_this_process(tmp_path, *command, "--storage", "s.db")  # raises what the command does not handle
            told.append(ended.stderr)
            assert ended.returncode != 1 or "is damaged" in ended.stderr, ended.stderr
    assert any("s.db is damaged" in each and ".recover" in each for each in told)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE sr_trials SET axes = '{\"channels\": ' WHERE number = 1", "table sr_trials"),
        ("UPDATE sr_trials SET axes = '3' WHERE number = 1", "table sr_trials"),
        ("UPDATE sr_evaluations SET psnr = 'x'", "table sr_evaluations"),
        ("UPDATE srsearch_version SET version_num = '00\x012'", "version"),
        ("DELETE FROM srsearch_version", "srsearch_version is missing or empty"),
        ("DROP TABLE sr_evaluations", "no such table"),
    ],
)
def test_values_that_srsearch_never_writes(whole: bytes, tmp_path: Path, statement: str, message: str) -> None:
    file = tmp_path / "s.db"
    file.write_bytes(whole)
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA ignore_check_constraints=1")
        connection.execute(statement)
    connection.close()
    ended = in_this_process(tmp_path, "trials", "--json", "--storage", "s.db")
    assert ended.returncode == 1, ended.stdout
    assert f"{file} is damaged" in ended.stderr
    assert message in ended.stderr
