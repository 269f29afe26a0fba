"""Your own objective: the documented example, and the messages for wrong objectives."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, Command

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLUGIN = ("--plugin", "my_objectives.py")


@pytest.fixture
def commands(tmp_path: Path) -> list[list[str]]:
    """The commands of the documented section, with its files written to a folder."""
    page = (CHECKOUT / "docs" / "your-own-part.md").read_text(encoding="utf-8")
    section = page.partition("## An objective of your own\n")[2].partition("\n## ")[0]
    blocks = BLOCK.findall(section)
    for language, text in blocks:
        if language in ("python", "yaml"):
            name = text.splitlines()[0].removeprefix("# ")
            (tmp_path / name).write_text(text, encoding="utf-8")
    return [line.split()[1:] for language, text in blocks if language == "sh" for line in text.splitlines()]


@pytest.mark.long(12)
def test_the_documented_objective_works(commands: list[list[str]], tmp_path: Path, srsearch_forked: Command) -> None:
    run, front, best, trials, report = commands
    ended = srsearch_forked(*run, "--workers", "1")
    assert ended.returncode == 0, ended.stderr
    assert "srsearch best my_costs --plugin my_objectives.py --save best.yaml" in ended.stdout

    ended = srsearch_forked(*trials, "--json")
    assert ended.returncode == 0, ended.stderr
    rows = [row for row in json.loads(ended.stdout) if row["state"] == "complete"]
    assert len(rows) == 4
    # Two convolutions a block; the entry, the exit and the upsampler are the same in all designs.
    assert len({row["convolutions"] - 2 * row["body.chain.blocks"] for row in rows}) == 1

    found = json.loads(srsearch_forked(*front, "--json").stdout)
    beaten = [
        row["trial"]
        for row in rows
        if any(
            other["psnr"] >= row["psnr"]
            and other["convolutions"] <= row["convolutions"]
            and (other["psnr"], other["convolutions"]) != (row["psnr"], row["convolutions"])
            for other in rows
        )
    ]
    assert {row["trial"] for row in found} == {row["trial"] for row in rows} - set(beaten)
    assert "Convolutions" in srsearch_forked(*front).stdout
    assert json.loads(srsearch_forked(*best, "--json").stdout)[0]["convolutions"] > 0

    page = Path(json.loads(srsearch_forked(*report, "--json").stdout)["page"])
    before, _, every_trial = (tmp_path / page).read_text(encoding="utf-8").partition('id="trials-table-caption"')
    assert "Convolutions" in before
    assert "Convolutions" in every_trial.partition("</table>")[0]

    for command in (front, best, trials, report):
        ended = srsearch_forked(*command[:2])
        assert ended.returncode == 2
        assert "'convolutions'" in ended.stderr
        assert "--plugin FILE" in ended.stderr
    ended = srsearch_forked(*(word for word in run if word not in PLUGIN))
    assert ended.returncode == 2
    assert "'convolutions' is not one of psnr, ssim" in ended.stderr
    assert "--plugin FILE" in ended.stderr


WRONG = {
    "not a number": ("def mine(design):\n    return 0\n", "objective 'mine' is 0 for the design"),
    "taken": ("def params(design):\n    return 1\n", "there is an objective or a column named 'params' already"),
    "a class": ("class Mine:\n    pass\n", "@register('objective') decorates a function of a design"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_objectives_are_explained(
    case: str, commands: list[list[str]], tmp_path: Path, srsearch_forked: Command
) -> None:
    code, message = WRONG[case]
    head = "from srsearch.architecture import register\n\n@register('objective')\n"
    (tmp_path / "my_objectives.py").write_text(head + code)
    space = tmp_path / "my_costs.yaml"
    space.write_text(space.read_text().replace("convolutions", "mine"))
    ended = srsearch_forked(*commands[0])
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
