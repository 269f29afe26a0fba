"""Your own parts: the documented example, and the messages for wrong plugins."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import optuna
import pytest

from tests.conftest import CHECKOUT, Command
from tests.support import forked

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TINY = "proxy: {{data: {}, steps: 4, batch: 2, patch: 16}}"


def documented(language: str) -> list[str]:
    """The code blocks of a language in the page on your own part."""
    page = (CHECKOUT / "docs" / "your-own-part.md").read_text(encoding="utf-8")
    return [text for found, text in BLOCK.findall(page) if found == language]


@pytest.fixture
def example(tmp_path: Path, small_photos: Path) -> Path:
    """A folder with the page's files and a space whose trainings are short."""
    for text in documented("python") + documented("yaml"):
        name = re.match(r"# (\S+\.(py|yaml))\n", text)
        if name is not None:
            (tmp_path / name[1]).write_text(text, encoding="utf-8")
    space = tmp_path / "my_space.yaml"
    tiny = TINY.format(small_photos)
    short = space.read_text().replace("proxy: {data: builtin, steps: 300}", tiny)
    assert tiny in short
    space.write_text(short)
    return tmp_path


def in_python(code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, because parts stay registered until their process ends."""
    done = forked.finished(forked.code(folder, code, env=variables), timeout=120)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.long(14)
def test_the_documented_commands_work(example: Path, srsearch_process: Command, srsearch_forked: Command) -> None:
    (commands,) = (each for each in documented("sh") if "my_parts.py" in each)
    space, count, run = (line.split()[1:] for line in commands.splitlines())
    assert [each[0] for each in (space, count, run)] == ["space", "count", "run"]

    ended = srsearch_forked(*space, "--json")
    report = json.loads(ended.stdout)
    assert {"unit", "unit.blueprint.kernel", "block.gated.reduction"} <= {axis["name"] for axis in report["axes"]}

    ended = srsearch_forked(*count)
    assert ended.returncode == 0, ended.stderr
    assert "fvcore counts the same" in ended.stdout
    rows = [line.split() for line in ended.stdout.splitlines()]
    (table,) = documented("text")
    for line in table.splitlines()[2:]:
        words = line.split()
        assert words in [row[: len(words)] for row in rows], line

    ended = srsearch_process(*run, "--trials", "4", "--workers", "1", "--json")
    assert ended.returncode == 0, ended.stderr
    trials = json.loads(srsearch_forked("trials", "my_space", "--json").stdout)
    finished = [trial for trial in trials if trial["state"] == "complete"]
    assert len(finished) == 4
    assert not [trial for trial in trials if trial["state"] == "failed"]
    assert "blueprint" in {trial["unit"] for trial in finished}
    assert "gated" in {trial["block"] for trial in finished}

    # Its designs are known where the plugin is, and there only.
    number = next(trial["trial"] for trial in finished if trial["unit"] == "blueprint")
    counted = srsearch_forked("count", f"my_space:{number}", "--plugin", "my_parts.py", "--verify", "--json")
    assert json.loads(counted.stdout)["key"] == trials[number]["key"]
    refused = srsearch_forked("count", f"my_space:{number}")
    assert refused.returncode == 2
    assert "--plugin" in refused.stderr

    # The axes of an exported study come from the space, which has parts of the plugin.
    export = ("studies", "export-optuna", "my_space", "optuna.db")
    refused = srsearch_forked(*export)
    assert refused.returncode == 2
    assert "--plugin" in refused.stderr
    assert srsearch_forked(*export, "--plugin", "my_parts.py").returncode == 0
    exported = optuna.load_study(study_name="my_space", storage=f"sqlite:///{example / 'optuna.db'}")
    assert "blueprint" in {trial.params["unit"] for trial in exported.get_trials(deepcopy=False)}


def test_the_documented_python_works(example: Path) -> None:
    (code,) = (each for each in documented("python") if "my_parts.py" in each and "load_plugin" in each)
    shown = in_python(code, example).stdout
    assert "blueprint(kernel=3)" in shown
    assert "gated(reduction=4)" in shown


def test_the_diagram_of_the_documented_body_shows_its_wiring(example: Path) -> None:
    (module,) = (each for each in documented("python") if each.startswith("# my_body.py"))
    assert len(module.splitlines()) <= 15
    (code,) = (each for each in documented("python") if "diagram.html" in each)
    code += "wiring = read_wiring(design)\nnames = {i: box.name for i, box in enumerate(wiring.boxes)}\n"
    code += "print([(names[s], names[t]) for s, t in wiring.arcs if 'block' == wiring.boxes[s].kind])"
    arcs = in_python(code, example).stdout
    assert arcs.strip() == "[('deep_1', 'deep_2'), ('deep_2', 'add'), ('shallow_1', 'add')]"
    page = (example / "diagram.html").read_text(encoding="utf-8")
    assert all(f'"{position}"' in page for position in ("deep_1", "deep_2", "shallow_1"))


HEAD = "from torch import nn\nfrom srsearch.architecture import Factory, register\n"
UNIT = "@register('unit')\nclass Mine(nn.Module):\n    def __init__(self, channels: int{}) -> None: ...\n"
CANNOT = "parts.py:{}: the plugin cannot be loaded: "
WRONG = {
    "no such file": (None, "parts.py: no such plugin file"),
    "syntax": ("def broken(:\n", CANNOT.format(3) + "invalid syntax"),
    "exception": ("x = 1\nprint(1 / 0)\n", CANNOT.format(4) + "division by zero"),
    "import": ("import no_module_of_mine\n", CANNOT.format(3) + "No module named"),
    "taken": (UNIT.format("").replace("Mine", "Conv"), CANNOT.format(3) + "there is already a unit named 'conv'"),
    "kind": (
        UNIT.format("").replace("'unit'", "'units'"),
        "'units' is not a kind that can be registered; did you mean 'unit'?",
    ),
    "slot": (UNIT.format(", block: Factory"), CANNOT.format(3) + "unit 'mine': unknown slot 'block'; there are activ"),
    "no default": (UNIT.format(", size: int"), "option 'size' needs an annotation and a default"),
    "no annotation": (UNIT.format(", size=3"), "option 'size' needs an annotation and a default"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_plugins_are_explained(case: str, tmp_path: Path, srsearch: Command) -> None:
    text, message = WRONG[case]
    if text is not None:
        (tmp_path / "parts.py").write_text(HEAD + text)
    ended = srsearch("space", "lightweight_x4", "--plugin", "parts.py")
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not ended.stdout


REFUSED = {
    "bug": ("out = self.missing(x)", "out", "has no attribute 'missing'"),
    "matrices": (
        "out = self.conv(x).flatten(2)",
        "(out @ out.transpose(1, 2) @ out).view_as(x)",
        "multiplies matrices",
    ),
    "rows": ("out = self.conv(x.mean(3, keepdim=True))", "x * out", "not linear in the area"),
    "shape": ("out = self.conv(x)", "out[..., 1:]", "where (1, 64, 48, 48) is needed"),
    "values": ("out = self.conv(x)", "out if out.mean() > 0 else x", "cannot be run"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_parts_without_an_exact_cost_are_refused(case: str, tmp_path: Path, srsearch_forked: Command) -> None:
    first, last, message = REFUSED[case]
    (tmp_path / "parts.py").write_text(
        f"{HEAD}\n@register('unit')\nclass Mine(nn.Module):\n"
        "    def __init__(self, channels: int) -> None:\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(channels, channels, 1)\n"
        f"    def forward(self, x):\n        {first}\n        return {last}\n"
    )
    (tmp_path / "design.yaml").write_text("scale: 4\nunit: mine\n")
    ended = srsearch_forked("count", "design.yaml", "--plugin", "parts.py")
    assert ended.returncode == 2
    assert "unit mine" in ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


KEY = """
import json, os, sys
import srsearch as sr
from srsearch.architecture import load_plugin
for path in sys.argv[1:] or ["my_parts.py", "./my_parts.py", os.path.abspath("my_parts.py"), "link.py"]:
    load_plugin(path)
assert json.loads(os.environ["SRSEARCH_PLUGINS"]) == [os.path.realpath("my_parts.py")]
for parts in ({"unit": "blueprint"}, {"block": "gated"}, {}):
    print(sr.Architecture.from_dict({"scale": 4, **parts}).key)
"""


def test_a_changed_file_makes_other_designs(example: Path) -> None:
    (example / "link.py").symlink_to(example / "my_parts.py")
    file = example / "my_parts.py"

    def keys() -> list[str]:
        return in_python(KEY, example).stdout.split()

    first = keys()
    assert len(set(first)) == 3
    text = file.read_text()
    file.write_bytes(text.replace("\n", "  \r\n").encode())  # as another system or editor leaves it
    assert keys() == first
    file.write_text(text.replace("bias=False", "bias=True"))
    changed = keys()
    assert changed[2] == first[2]  # no part of the file is in it
    assert not set(changed[:2]) & set(first)


def test_loading_a_plugin_twice_changes_nothing(example: Path, srsearch_forked: Command) -> None:
    twice = ["--plugin", "my_parts.py", "--plugin", str(example / "my_parts.py")]
    ended = srsearch_forked("count", "my_design.yaml", *twice, "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["params"] == 55_035
    # A copy is another file, with parts of the same names.
    (example / "other.py").write_text((example / "my_parts.py").read_text())
    ended = srsearch_forked("count", "my_design.yaml", "--plugin", "my_parts.py", "--plugin", "other.py")
    assert ended.returncode == 2
    assert "there is already a unit named 'blueprint'" in ended.stderr


def installed(folder: Path, package: str, source: str) -> None:
    """A folder with an installed package that has the entry point of the page."""
    (snippet,) = documented("toml")
    group, line = snippet.strip().splitlines()
    assert group == '[project.entry-points."srsearch.parts"]'
    name, _, value = line.replace('"', "").partition(" = ")
    module = value.replace("my_package", package)
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("")
    (folder / package / "parts.py").write_text(source)
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[srsearch.parts]\n{name} = {module}\n")


def test_parts_of_installed_packages_are_found(example: Path, srsearch_process: Command) -> None:
    site = example / "site"
    installed(site, "my_package", (example / "my_parts.py").read_text())
    installed(site, "broken_package", "import no_module_of_mine\n")
    path = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(CHECKOUT)])}
    ended = srsearch_process("count", "my_design.yaml", "--json", env=path)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["params"] == 55_035
    assert "my_package" not in ended.stderr
    assert "broken_package.parts) cannot be loaded: No module named 'no_module_of_mine'" in ended.stderr
