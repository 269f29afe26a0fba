"""Commands on a database from somebody else: the names and reasons in it are printed as text and do nothing."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
from pathlib import Path

import pytest

from srsearch.store import EvaluationRecord, Store, TrialRecord
from tests.support import many_trials
from tests.support.commands import Command

HOSTILE = "=1+1\x1b[31mred\x1b]0;title\x07\x9b31m[bold]x[/bold]<script>alert(1)</script>"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    path = tmp_path / "hostile.db"
    with Store(path) as store:
        many_trials.write(store, 12)
        design = {"key": "f" * 64, "description": {"scale": 4, "unit": HOSTILE, HOSTILE: 3}}
        cost = {"params": 9_000, "mult_adds": 10**9, "activations": 10**6}
        for number in (40, 41, 42):  # numbers have gaps where replicates were trained
            axes = {"unit": HOSTILE, HOSTILE: 16}
            store.add_trials("many", [TrialRecord(number=number, state="running", axes=axes, **design, **cost)])
        result = EvaluationRecord("f" * 64, {}, "c" * 64, "b" * 64, 0, psnr=-0.5, curve=((75, 28.0), (600, 29.0)))
        store.finish_trial("many", 40, result)
        store.fail_trial("many", 41, "a reason")
        store.keep_curve("many", 42, [(75, 28.125)])
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE sr_studies SET name = ?", (HOSTILE,))
        connection.execute("UPDATE sr_trials SET reason = ? WHERE number = 41", (HOSTILE,))
    connection.close()
    return path


def test_nothing_in_a_database_reaches_the_terminal_as_control(hostile: Path, srsearch: Command) -> None:
    for arguments in (
        *(["studies"], ["studies", "show", HOSTILE], ["trials"], ["front"], ["best"], ["best", "--trial", "40"]),
        *(["trials", "--csv"], ["trials", "--json"], ["trials", "nothing"], ["count", "nothing:3"]),
        *(["count", f"{HOSTILE}:99"], ["report"], ["studies", "rename", HOSTILE, "a name"]),
    ):
        ended = srsearch(*arguments, "--storage", str(hostile))
        assert ended.returncode in (0, 2), arguments
        assert not CONTROL.search(ended.stdout + ended.stderr), arguments
        assert "Traceback" not in ended.stderr
    shown = srsearch("trials", "--storage", str(hostile)).stdout
    assert "28.125 at 75" in shown
    assert "[bold]x[/bold]" in shown


def test_spreadsheets_compute_nothing_of_a_csv(hostile: Path, srsearch: Command) -> None:
    text = srsearch("trials", "--csv", "--storage", str(hostile)).stdout
    head, *rows = csv.reader(io.StringIO(text))
    assert len(rows) == 15
    for cell in (cell for row in (head, *rows) for cell in row):
        if cell.startswith(("=", "+", "-", "@", "\t")):
            float(cell)
    assert next(row for row in rows if row[0] == "40")[head.index("psnr")] == "-0.5"
    assert any(cell.startswith("'=1+1") for cell in head)
