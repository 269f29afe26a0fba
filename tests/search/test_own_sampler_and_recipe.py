"""Your own samplers, evaluators, losses and schedules: the documented examples, and the messages for wrong ones."""

from __future__ import annotations

import json
import math
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from srsearch.store import content_hash
from srsearch.training import Recipe
from tests.architecture.test_plugin import documented, in_python
from tests.conftest import CHECKOUT, Command

EXAMPLE_DATABASE = CHECKOUT / "studies" / "lightweight_x4_example.db"


def example(name: str, language: str = "python") -> str:
    """The page's code block that begins with the name of a file."""
    (text,) = (each for each in documented(language) if each.startswith(f"# {name}\n"))
    return text


def command(word: str) -> list[str]:
    """The arguments of the page's command that contains a word."""
    (line,) = (each for each in documented("bash") if word in each)
    return line.split()[1:]


@pytest.mark.long(10)
def test_the_documented_sampler_works(tmp_path: Path, srsearch_forked: Command) -> None:
    source = example("my_sampler.py")
    assert len([line for line in source.splitlines() if line]) <= 15
    (tmp_path / "my_sampler.py").write_text(source)
    mine = (*command("my_sampler"), "--workers", "1", "--json")
    ended = srsearch_forked(*mine)
    assert ended.returncode == 0, ended.stderr
    first = json.loads(srsearch_forked("trials", "lightweight_x4", "--json").stdout)
    assert sum(trial["state"] == "complete" for trial in first) == 8
    # The same command goes on with the study, another sampler begins another one.
    assert json.loads(srsearch_forked(*mine).stdout)["study"] == "lightweight_x4"
    other = ["optuna.samplers:TPESampler" if "my_sampler" in each else each for each in mine]
    assert json.loads(srsearch_forked(*other).stdout)["study"] == "lightweight_x4-2"


def test_the_documented_evaluator_works(tmp_path: Path, srsearch_forked: Command) -> None:
    source = example("my_evaluator.py")
    assert len([line for line in source.splitlines() if line]) <= 15
    (tmp_path / "my_evaluator.py").write_text(source)
    ended = srsearch_forked(*command("my_evaluator"), "--workers", "1", "--json")
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout)
    assert outcome["done"] == 4
    assert [row["psnr"] for row in outcome["front"]] == [
        pytest.approx(26 + math.log10(row["mult_adds"] / 1e8)) for row in outcome["front"]
    ]


WRONG = {
    "no_module_of_mine:Any": "sampler 'no_module_of_mine:Any' cannot be loaded: No module named",
    "mine:Missing": "has no attribute 'Missing'",
    "mine:NoSampler": "is not a subclass of optuna.samplers.BaseSampler",
    "mine:NoSeed": "its constructor is called with seed=",
    "mine:Raises": "sampler 'mine:Raises' failed at trial 0: ZeroDivisionError",
    "mine": "or module:Class of your own",
}
MINE = """
from optuna.samplers import RandomSampler
class NoSampler: ...
class NoSeed(RandomSampler):
    def __init__(self): ...
class Raises(RandomSampler):
    def sample_independent(self, *arguments): return 1 / 0
"""


@pytest.mark.parametrize("name", WRONG)
def test_wrong_samplers_are_explained(name: str, tmp_path: Path, srsearch_forked: Command) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    ended = srsearch_forked("run", "lightweight_x4", "--evaluator", "synthetic", "--trials", "2", "--sampler", name)
    assert ended.returncode == 2
    assert WRONG[name] in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture
def recipe(tmp_path: Path, small_photos: Path) -> Path:
    (tmp_path / "my_recipe.py").write_text(example("my_recipe.py"))
    space = example("my_recipe_space.yaml", "yaml")
    (tmp_path / "my_recipe_space.yaml").write_text(
        space.replace("data: builtin, steps: 300", f"data: {small_photos}, steps: 4, batch: 2, patch: 16")
    )
    return tmp_path


@pytest.mark.long(9)
def test_the_documented_recipe_works(recipe: Path, srsearch_forked: Command) -> None:
    ended = srsearch_forked(*command("my_recipe"), "--workers", "1", "--json")
    assert ended.returncode == 0, ended.stderr
    trials = json.loads(srsearch_forked("trials", "my_recipe_space", "--json").stdout)
    assert [trial["state"] for trial in trials if trial["state"] != "repeated"] == ["complete"] * 2
    refused = srsearch_forked("run", "my_recipe_space.yaml", "--new")
    assert refused.returncode == 2
    assert "unknown loss 'log_cosh'" in refused.stderr
    assert "--plugin" in refused.stderr


IDENTITY = """
from srsearch.architecture import load_plugin
load_plugin("my_recipe.py")
import torch
from srsearch.training import Recipe
recipe = Recipe(steps=4, loss="log_cosh", schedule="linear")
assert abs(recipe.learning_rate_at(1) - 2e-3 * 0.875) < 1e-12
assert abs(float(recipe.loss_function(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2))) - 9.306853) < 1e-5
print(sorted(recipe.identity()["digests"].items()), "digests" in Recipe().identity())
"""


def test_the_source_of_a_loss_is_part_of_the_identity(recipe: Path) -> None:
    first = in_python(IDENTITY, recipe).stdout
    assert first.endswith("False\n")
    file = recipe / "my_recipe.py"
    file.write_text(file.read_text() + "# changed\n")
    assert in_python(IDENTITY, recipe).stdout != first


def test_a_name_that_srsearch_has_is_refused(recipe: Path, srsearch_forked: Command) -> None:
    file = recipe / "my_recipe.py"
    file.write_text(file.read_text().replace('("loss")', '("loss", "l1")'))
    ended = srsearch_forked(*command("my_recipe"))
    assert ended.returncode == 2
    assert "srsearch already has a loss 'l1'" in ended.stderr


def test_recorded_recipes_keep_their_hashes() -> None:
    with sqlite3.connect(f"file:{EXAMPLE_DATABASE}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT DISTINCT recipe, recipe_hash FROM sr_evaluations").fetchall()
    assert rows
    for text, recorded in rows:
        plain = json.loads(text)
        outer = {name: plain.pop(name) for name in ("evaluator", "training_version", "runtime")}
        assert content_hash(outer | Recipe.from_dict(plain).identity()) == recorded


@dataclass(frozen=True)
class Later(Recipe):
    """A recipe with an option that a later version might add."""

    averaging: float = 0.0


def test_a_later_option_changes_no_identity_at_its_default() -> None:
    assert Later(steps=7).identity() == Recipe(steps=7).identity()
    assert Later(averaging=0.5).identity() == Recipe().identity() | {"averaging": 0.5}
