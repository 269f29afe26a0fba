"""Space files: errors that say where and what, exact sizes, feasible samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from srsearch.architecture import build
from srsearch.cost import count
from srsearch.errors import InputError
from srsearch.quantity import format_quantity, parse_output_size, parse_quantity
from srsearch.space import Space, json_schema, read_design, report, shipped_spaces
from tests.conftest import CHECKOUT, Command

GOOD = """\
name: demo
scale: 4
architecture:
  channels: [8, 16]
  unit:
    - conv
    - grouped: {groups: [2, 4]}
  body:
    - cascade: {groups: [1, 2], fusion: [none, both]}
    - chain: {blocks: [1, 2, 3]}
constraints:
  mult_adds: {max: 40G, at: 1280x720}
  params: {max: 800K}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "demo.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("channels:", "chanels:", 4, "architecture.chanels: unknown key 'chanels'; did you mean 'channels'?"),
        ("groups: [2, 4]", "gruops: [2, 4]", 7, "architecture.unit.grouped.gruops: unknown key 'gruops'; did you mean"),
        ("- conv", "- konv", 6, "architecture.unit: unknown unit 'konv'; did you mean 'conv'?"),
        ("- conv", "- 7", 6, "architecture.unit: not a unit; write a name"),
        ("[8, 16]", "[8, wide]", 4, "architecture.channels: 'wide' should be a valid integer"),
        ("[8, 16]", "[8, 0]", 4, "architecture.channels: 0 should be greater than or equal to 1"),
        ("[8, 16]", "[8, true]", 4, "architecture.channels: True should be a valid integer"),
        ("[8, 16]", "[]", 4, "architecture.channels: an axis without values"),
        ("[8, 16]", "[8, 16, 8]", 4, "architecture.channels: 8 is there twice"),
        ("    - conv\n", "    - conv\n    - conv\n", 5, "architecture.unit: 'conv' is there twice"),
        ("[none, both]", "[none, bth]", 9, "'bth' is not one of none, local, global, both; did you mean 'both'?"),
        ("scale: 4", "scale: 5", 2, "scale: 5 is not one of 2, 3, 4, 8"),
        ("scale: 4\n", "", 1, "the key 'scale' is missing"),
        ("40G", "40Q", 12, "constraints.mult_adds.max: '40Q' is not a count; write a number above zero, such as 40G"),
        ("40G", "-1", 12, "constraints.mult_adds.max: -1 is not a count"),
        ("1280x720", "HD", 12, "constraints.mult_adds.at: 'HD' is not an image size; write width x height"),
        ("params: {max", "param: {max", 13, "did you mean 'params'?"),
        ("name: demo", "name: demo\nname: other", 2, "the key 'name' is written twice (first on line 1)"),
        ("name: demo", "name: ../demo", 1, "name: '../demo'"),
        ("[8, 16]", "[8, 16", 5, "not valid YAML"),
        ("name: demo", "name: !!python/object/apply:os.system [true]", 1, "the tag"),
        ("name: demo", "name: &a [*a]", 1, "aliases that repeat without end"),
        ("architecture:\n", "search: {sampler: tpee}\narchitecture:\n", 3, "did you mean 'tpe'?"),
        ("architecture:\n", "proxy: {stpes: 3}\narchitecture:\n", 3, "did you mean 'steps'?"),
    ],
)
def test_a_mistake_is_answered_with_file_line_key_and_what_is_right(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        Space.from_yaml(path)
    assert f"{path}:{line}: " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "- a list", "just words", "{}"])
def test_a_file_that_is_no_space(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="a space is a mapping"):
        Space.from_yaml(written(tmp_path, text))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file, and no space of that name .* did you mean 'lightweight_x4'"):
        Space.from_yaml("lightweigth_x4")
    with pytest.raises(InputError, match="is a folder"):
        Space.from_yaml(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        Space.from_yaml(tmp_path / "binary.yaml")


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 2]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(InputError, match="aliases"):
        Space.from_yaml(written(tmp_path, "\n".join(lines)))


def test_all_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("- conv", "- konv").replace("[none, both]", "[bth]"))
    with pytest.raises(InputError) as error:
        Space.from_yaml(path)
    assert [line.split(": ")[0] for line in str(error.value).splitlines()] == [f"{path}:6", f"{path}:9"]


def test_sizes_are_exact(tmp_path: Path) -> None:
    space = Space.from_yaml(written(tmp_path, GOOD))
    # channels x units x (cascades + chains); the cascades without fusion are chains of three and six blocks,
    # and three blocks are there as a chain already.
    assert space.combinations == 2 * 3 * (4 + 3)
    assert space.size() == 2 * 3 * (2 + 3 + 1)
    # `combinations` is what enumeration finds, and every point names its axes.
    points = list(space.points())
    assert len(points) == space.combinations
    assert all(space.describe(point.axes) == point.design for point in points)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from([None, 2 * 10**9, 10**10]))
def test_samples_are_feasible_and_buildable(seed: int, budget: int | None) -> None:
    space = Space.from_yaml("lightweight_x4").with_budget(max_mult_adds=budget)
    design = space.sample(np.random.default_rng(seed))
    cost = count(design)
    assert cost.mult_adds <= (budget or 40 * 10**9)
    assert cost.params <= 800_000
    assert sum(p.numel() for p in build(design).parameters()) == cost.params
    assert space.sample(np.random.default_rng(seed)) == design


def test_a_budget_that_no_design_fits_tells_the_cheapest(tmp_path: Path) -> None:
    space = Space.from_yaml(written(tmp_path, GOOD)).with_budget(max_mult_adds=10**6, max_params=100)
    least = min(point.cost.mult_adds for point in space.points() if point.cost)
    with pytest.raises(InputError) as error:
        space.sample(np.random.default_rng(0))
    assert f"the least mult_adds of any design is {format_quantity(least, 4)}" in str(error.value)
    assert "the least params of any design is" in str(error.value)


def test_parts_that_never_fit_are_said(tmp_path: Path) -> None:
    text = GOOD.replace("[8, 16]", "[9]").replace("- conv\n    ", "")
    with pytest.raises(
        InputError, match=r"no combination of these parts can be built.*9 channels are not divisible by 2"
    ):
        Space.from_yaml(written(tmp_path, text)).sample(np.random.default_rng(0))


def test_the_output_size_of_the_budget_scales_the_cost(tmp_path: Path) -> None:
    small = Space.from_yaml(written(tmp_path, GOOD)).candidate(
        {"channels": 8, "unit": "conv", "body": "chain", "body.chain.blocks": 1}
    )
    large = Space.from_yaml(written(tmp_path, GOOD.replace("1280x720", "2560x1440"))).candidate(small.axes)
    assert small.cost is not None
    assert large.cost is not None
    assert large.cost.mult_adds == 4 * small.cost.mult_adds


def test_the_report_is_exact(small_space: Space) -> None:
    found = report(small_space)
    keys = {point.design.key for point in small_space.points() if point.broken is None}
    assert found.exact
    assert found.feasible_designs.value == len(keys)
    assert found.designs.value == small_space.size()
    assert found.ranges["mult_adds"][1] <= 3 * 10**9


def test_a_space_too_large_to_enumerate_is_estimated() -> None:
    plain = Space.from_yaml("lightweight_x4").to_dict()
    plain["architecture"]["channels"] = list(range(4, 136, 4))
    plain["architecture"]["global_skip"] = [True, False]
    plain["architecture"]["body"][0]["cascade"]["blocks"] = [1, 2, 3, 4, 5, 6]
    space = Space.from_dict(plain)
    found = report(space)
    assert not found.exact
    assert found.designs is None
    assert 0 < found.feasible_share < found.valid_share <= 1
    assert 0 < found.share_error < 0.01


def test_shipped_spaces_follow_the_schema_and_hold_feasible_designs() -> None:
    schema = json_schema()
    for name in shipped_spaces():
        space = Space.from_yaml(name)
        assert space.name == name
        jsonschema.validate(yaml.safe_load(space.text), schema)
        assert space.sample(np.random.default_rng(0)).scale == space.scale
        assert Space.from_dict(space.to_dict()).to_dict() == space.to_dict()


def test_the_schema_beside_the_spaces_is_up_to_date() -> None:
    """Made by `srsearch space --schema > spaces/space.schema.json`."""
    assert json.loads((CHECKOUT / "spaces" / "space.schema.json").read_text()) == json_schema()


@pytest.mark.parametrize(
    ("old", "new"), [("channels:", "chanels:"), ("- conv", "- konv"), ("[8, 16]", "[]"), ("40G", "40Q")]
)
def test_editors_see_mistakes_by_the_schema(old: str, new: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(GOOD.replace(old, new, 1)), json_schema())


@given(st.integers(1, 10**13))
def test_quantities(value: int) -> None:
    assert parse_quantity(str(value)) == value
    assert parse_quantity(f"{value}K") == value * 1000
    shown = format_quantity(value)
    assert abs(parse_quantity(shown) - value) <= value * 0.006


@pytest.mark.parametrize("text", ["", "0", "-3", "4X", "1e", "nan", "G", "1.2.3x"])
def test_wrong_quantities(text: str) -> None:
    with pytest.raises(InputError):
        parse_quantity(text)
    with pytest.raises(InputError):
        parse_output_size(text)


def test_design_files(tmp_path: Path, srsearch: Command) -> None:
    path = tmp_path / "design.yaml"
    for text, message in {
        "scale: 4\nchanels: 3": "did you mean 'channels'",
        "name: x\narchitecture: {}": "is a search space",
        "[1]": "a design is a mapping",
        "channels: 3": "needs its scale",
    }.items():
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_design(path)
    path.write_text("scale: 4\nchannels: 16\n")
    counted: dict[str, Any] = json.loads(srsearch("count", "design.yaml", "--json").stdout)
    assert counted["params"] == count(read_design(path)).params
