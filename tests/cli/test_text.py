"""Terminals, folders and files whose text is not UTF-8: commands work, and no text is lost."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from srsearch.cli import main
from srsearch.search import run
from srsearch.space import Space
from srsearch.store import Store
from srsearch.text import csv_text
from tests.conftest import SMALL_SPACE, Command
from tests.support import forked


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studied")
    space = Space.from_dict(SMALL_SPACE | {"search": {"trials": 4, "seed": 3, "workers": 1}})
    (folder / "small.yaml").write_text(space.text)
    with Store(folder / "studies" / "srsearch.db") as store:
        run(space, store=store)
    return folder


@pytest.mark.parametrize("encoding", ["iso-8859-1", "cp1252", "ascii", "utf-8"])
def test_every_table_on_every_terminal(studied: Path, encoding: str) -> None:
    line = "─" if encoding == "utf-8" else "-"
    for arguments in (
        ("run", "small.yaml"),
        *(
            ("front",),
            ("best",),
            ("trials",),
            ("studies",),
            ("catalogue", "--paper", "pcarn"),
            ("catalogue", "--names"),
        ),
        *(("count", "carn", "--scale", "4"), ("count", "--conventions"), ("space",), ("space", "small.yaml")),
    ):
        with contextlib.chdir(studied):
            ended = CliRunner(charset=encoding).invoke(main, arguments, catch_exceptions=False, prog_name="srsearch")
        assert ended.exit_code == 0, ended.stderr
        printed = ended.stdout_bytes.decode(encoding)
        assert "?" not in printed
        if arguments[0] in ("run", "front", "trials", "studies", "catalogue"):
            assert line * 20 in printed
        assert len(printed) == len(printed.encode("utf-8")) or encoding != "ascii"


def test_a_program_with_an_ascii_terminal_prints_ascii(
    studied: Path, tmp_path: Path, srsearch_process: Command
) -> None:
    database = str(studied / "studies" / "srsearch.db")
    ended = srsearch_process("front", "--storage", database, env={"PYTHONIOENCODING": "ascii"})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.isascii()
    assert "-" * 20 in ended.stdout


_ON_FULL_DEVICES = """
import json, os, sys
from srsearch.cli import main

for commands in json.loads(sys.argv[1]):
    for stream in (1, 2):
        child = os.fork()
        if child == 0:
            os.dup2(os.open("/dev/full", os.O_WRONLY), stream)
            main(commands, prog_name="srsearch")
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), end=" ", file=open("codes", "a"))
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_devices_give_an_exit_code_and_no_traceback(studied: Path, tmp_path: Path) -> None:
    database = f"--storage={studied / 'studies' / 'srsearch.db'}"
    codes = {  # with a full standard output, and with a full standard error
        ("--help",): "1 0",
        ("trials", "--help"): "1 0",
        ("nosuch",): "2 2",
        ("front", "--storage", "nosuch.db"): "2 2",
        **{(name, database): "1 0" for name in ("trials", "front", "best", "studies")},
        ("trials", database, "--json"): "1 0",
        ("run", str(studied / "small.yaml"), database): "1 0",
        ("studies", database, "copy", "small", "copy.db"): "0 2",  # the second time it is there already
    }
    ended = forked.finished(forked.code(tmp_path, _ON_FULL_DEVICES, json.dumps(list(codes))))
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "codes").read_text().split() == " ".join(codes.values()).split()


def test_photos_and_folders_in_latin_1(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/f\xfcr"
    os.makedirs(folder + b"/ph\xf6tos")
    for number in range(3):
        photo = np.random.default_rng(number).integers(0, 256, (64, 72, 3), dtype=np.uint8)
        with open(folder + b"/ph\xf6tos/caf\xe9%d.png" % number, "wb") as file:
            Image.fromarray(photo).save(file, "PNG")
    space = SMALL_SPACE | {
        "proxy": {"steps": 2, "batch": 1, "patch": 8},
        "search": {"trials": 1, "sampler": "random", "workers": 1},
    }
    with open(folder + b"/sp\xe4ce.yaml", "w") as file:
        json.dump(space, file)
    with open(folder + b"/pl\xfcgin.py", "w") as file:
        file.write("import srsearch\n")

    def called(*arguments: bytes) -> str:
        with contextlib.chdir(folder):
            ended = CliRunner().invoke(main, [os.fsdecode(each) for each in arguments], catch_exceptions=False)
        assert ended.exit_code == 0, ended.stderr
        return ended.stdout

    printed = called(
        b"run", b"sp\xe4ce.yaml", b"--data", b"ph\xf6tos", b"--storage", b"d\xe4ta.db", b"--plugin", b"pl\xfcgin.py"
    )
    assert "Best within the budget: trial 0" in printed
    page = Path(os.fsdecode(folder), "dashboards", "small.html").read_text(encoding="utf-8")
    assert "caf\N{REPLACEMENT CHARACTER}" in page
    called(b"report", b"--storage", b"d\xe4ta.db", b"-o", b"p\xe4ge.html")
    assert os.path.getsize(folder + b"/p\xe4ge.html") > 10_000
    assert "caf\\udce9" not in called(b"studies", b"--storage", b"d\xe4ta.db", b"show", b"small", b"--json")
    called(b"best", b"--storage", b"d\xe4ta.db", b"--save", b"b\xe9st.yaml")
    assert "small" in called(b"studies", b"--storage", b"d\xe4ta.db")
    called(b"studies", b"--storage", b"d\xe4ta.db", b"copy", b"small", b"c\xf6py.db")
    assert "parameters" in called(b"count", b"b\xe9st.yaml")


def test_csv_holds_no_formulas() -> None:
    frame = pd.DataFrame(
        {
            "=cmd": ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "\r=1", " =1", "\uff1d1"],
            "number": [-1.5, 2.0, float("nan"), 1e-9, -3e20, 0.0, 1.0, 2.0],
            "mixed": [-3, "-3", "-0.5e3", "conv", None, True, "a\n=b", "1x1"],
        }
    ).convert_dtypes()
    read = pd.read_csv(io.StringIO(csv_text(frame)), keep_default_na=False, dtype=str)
    assert list(read.columns) == ["'=cmd", "number", "mixed"]
    assert all(cell.startswith("'") for cell in read["'=cmd"])
    assert "\r" not in csv_text(pd.DataFrame({"text": ["a\r=1"]}))
    rest = pd.read_csv(io.StringIO(frame.to_csv(index=False)), keep_default_na=False, dtype=str)
    pd.testing.assert_frame_equal(read[["number", "mixed"]], rest[["number", "mixed"]])


def test_trials_as_csv_hold_no_formulas(studied: Path, tmp_path: Path, srsearch: Command) -> None:
    shutil.copytree(studied, tmp_path, dirs_exist_ok=True)
    with Store(tmp_path / "studies" / "srsearch.db") as store:
        last = store.trial_records("small")[-1]
        failed = replace(last, number=last.number + 1, state="failed", reason="=HYPERLINK(1)", psnr=None, curve=())
        store.add_trials("small", [failed])
    cells = srsearch("trials", "--csv").stdout.splitlines()[-1].split(",")
    assert "'=HYPERLINK(1)" in cells


def test_studies_that_differ_only_in_signs_have_pages_of_their_own(
    studied: Path, tmp_path: Path, srsearch: Command
) -> None:
    shutil.copytree(studied, tmp_path, dirs_exist_ok=True)
    pages = set()
    for before, name in itertools.pairwise(["small", "a b", "a_b", "a/b", "a?b", ".a", "a", "größe", "..", "x" * 200]):
        assert srsearch("studies", "rename", before, name).returncode == 0
        pages.add(json.loads(srsearch("report", "--json").stdout)["page"])
    assert len(pages) == 9
    assert {"dashboards/a_b.html", "dashboards/a.html"} < pages
    assert len(list((tmp_path / "dashboards").glob("*.html"))) == 9 + len(list((studied / "dashboards").glob("*.html")))
