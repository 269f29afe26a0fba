"""The code: style, types, layers, imports, and the contents of a wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, Command

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        pytest.param(["mypy"], marks=pytest.mark.long(20)),
        ["lint-imports", "--no-cache"],
    ],
    ids=["ruff", "format", "mypy", "layers"],
)
def test_checkers_find_nothing(command: list[str]) -> None:
    ended = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=CHECKOUT, capture_output=True, text=True, timeout=500, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["--version"], ["run", "--help"], ["front"], ["trials"], ["best"], ["studies"]]
)
def test_reading_commands_do_not_import_torch(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from srsearch.cli import main; from srsearch.store import Store\n"
        "Store('studies/srsearch.db').close()\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'optuna'} & set(sys.modules), 'imported'"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_a_wheel_holds_spaces_pages_and_migrations(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(CHECKOUT)]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = CHECKOUT / "srsearch"
    spaces = {f"srsearch/spaces/{path.name}" for path in (CHECKOUT / "spaces").iterdir()}
    sources = {
        f"srsearch/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", "")
    }
    assert spaces | sources | {"srsearch/py.typed"} <= names


def test_every_command_explains_itself(srsearch: Command) -> None:
    listed = srsearch("--help").stdout
    for name in ("run", "space", "count", "trials", "front", "best", "report", "studies"):
        assert f"  {name} " in listed
        ended = srsearch(name, "--help")
        assert ended.returncode == 0
        assert "--json" in ended.stdout
