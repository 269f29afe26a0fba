"""Space files: errors with their location, exact sizes, feasible samples, repair."""

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

from srsearch.architecture import Architecture, build, catalogue
from srsearch.cost import convention, count
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
        ("[8, 16]", "[8, 16, 8]", 4, "architecture.channels: 8 is listed twice"),
        ("    - conv\n", "    - conv\n    - conv\n", 5, "architecture.unit: 'conv' is listed twice"),
        ("[none, both]", "[none, bth]", 9, "'bth' is not one of none, local, global, both; did you mean 'both'?"),
        ("scale: 4", "scale: 5", 2, "scale: 5 is not one of 2, 3, 4, 8, 16"),
        ("scale: 4\n", "", 1, "the key 'scale' is missing"),
        ("40G", "40Q", 12, "constraints.mult_adds.max: '40Q' is not a count; write a number above zero, such as 40G"),
        ("40G", "-1", 12, "constraints.mult_adds.max: -1 is not a count"),
        ("1280x720", "HD", 12, "constraints.mult_adds.at: 'HD' is not an image size; write width x height"),
        ("params: {max", "param: {max", 13, "did you mean 'params'?"),
        ("name: demo", "name: demo\nname: other", 2, "the key 'name' is written twice (first on line 1)"),
        ("name: demo", "name: ../demo", 1, "name: '../demo'"),
        ("[8, 16]", "[8, 16", 5, "not valid YAML"),
        ("name: demo", "name: !!python/object/apply:os.system [true]", 1, "the tag"),
        ("name: demo", "name: &a [*a]", 1, "the aliases repeat without end"),
        ("architecture:\n", "search: {sampler: tpee}\narchitecture:\n", 3, "did you mean 'tpe'?"),
        ("architecture:\n", "proxy: {stpes: 3}\narchitecture:\n", 3, "did you mean 'steps'?"),
    ],
)
def test_mistakes_are_reported_with_file_line_key_and_a_correction(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        Space.from_yaml(path)
    assert f"{path}:{line}: " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "- a list", "just words", "{}"])
def test_a_file_that_is_not_a_space_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="a space is a mapping"):
        Space.from_yaml(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
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


def test_the_error_for_an_impossible_budget_gives_the_least_costs(tmp_path: Path) -> None:
    space = Space.from_yaml(written(tmp_path, GOOD)).with_budget(max_mult_adds=10**6, max_params=100)
    least = min(point.cost.mult_adds for point in space.points() if point.cost)
    with pytest.raises(InputError) as error:
        space.sample(np.random.default_rng(0))
    assert f"the least mult_adds of any design is {format_quantity(least, 4)}" in str(error.value)
    assert "the least params of any design is" in str(error.value)


def test_parts_that_never_fit_are_refused(tmp_path: Path) -> None:
    text = GOOD.replace("[8, 16]", "[9]").replace("- conv\n    ", "")
    with pytest.raises(
        InputError,
        match=r"demo.yaml:6: architecture.unit.grouped: .* 9 channels are not divisible by 2 groups; 1, 3, 9",
    ):
        Space.from_yaml(written(tmp_path, text))


def test_the_output_size_of_the_budget_scales_the_cost(tmp_path: Path) -> None:
    small = Space.from_yaml(written(tmp_path, GOOD)).candidate(
        {"channels": 8, "unit": "conv", "body": "chain", "body.chain.blocks": 1}
    )
    large = Space.from_yaml(written(tmp_path, GOOD.replace("1280x720", "2560x1440"))).candidate(small.axes)
    assert small.cost is not None
    assert large.cost is not None
    assert large.cost.mult_adds == 4 * small.cost.mult_adds


def test_the_report_is_exact(small_space: Space) -> None:
    found = report(small_space.grid)
    keys = {point.design.key for point in small_space.points() if point.broken is None}
    assert found.exact
    assert found.feasible_designs.value == len(keys)
    assert found.designs.value == small_space.size()
    assert found.ranges["mult_adds"][1] <= 3 * 10**9


EVERYTHING = {
    "name": "everything",
    "scale": 4,
    "architecture": {
        "channels": [4, 6, 8],
        "unit": ["conv", {"grouped": {"groups": [1, 2, 4]}}, {"resnext": {"groups": [1, 2]}}, "mobilenet_v1"],
        "closing": ["conv", {"clcnet": {"groups_1": [8], "groups_2": 1}}],
        "block": ["residual", "plain", "bp_u", "inverted_residual"],
        "compressed": "plain",
        "body": [
            {
                "cascade": {
                    "groups": [1, 2],
                    "blocks": [1, 2],
                    "fusion": ["none", "local", "both"],
                    "share": ["none", "group"],
                }
            },
            {"chain": {"blocks": [1, 4], "activations": ["all", "half", 0], "compress": ["none", "half", "all", 2]}},
            {"residual_groups": {"groups": 1, "blocks": [1, 2]}},
            {"symmetric": {"bunches": [1, 2], "pool": ["none", "h+2_2", "all"], "activations": ["all", "third"]}},
            {"memory": {"blocks": [1, 2]}},
        ],
        "upsampler": ["erum", {"transposed": {"activation": [True, False]}}],
        "upsampler_unit": ["conv", "shufflenet_v2"],
        "refinement": ["none", {"refined": {"blocks": [0, 1]}}],
        "levels": ["direct", {"pyramid": {"blocks_2": ["same", 1, 2], "refine_2": ["same", 0]}}, "progressive"],
        "activation": ["relu", "prelu"],
        "global_skip": [True, False],
    },
    "constraints": {"mult_adds": {"max": "2G"}, "params": {"min": 2000}},
}


@pytest.mark.long(9)
def test_columns_and_single_designs_agree() -> None:
    """Canonical form and cost, by columns and one by one, in a space where nearly every rule applies."""
    space = Space.from_dict(EVERYTHING)
    assert space.grid.table is not None
    assert len(space.grid.table) == space.combinations > 3_000_000
    within = space.grid.table.within(space.limits)
    keys: dict[int, str] = {}
    broken = 0
    for index in np.random.default_rng(0).integers(space.combinations, size=800).tolist():
        point = space.grid.point(index)
        assert bool(space.grid.table.valid[index]) == (point.cost is not None), point
        if point.cost is None:
            broken += 1
            continue
        for name in ("params", "mult_adds", "activations"):
            assert getattr(space.grid.table, name)[index] == getattr(point.cost, name), point
        assert bool(within[index]) == (point.broken is None)
        assert keys.setdefault(int(space.grid.table.identity[index]), point.design.key) == point.design.key
    assert len(set(keys.values())) == len(keys)
    assert 0 < broken < 800


def test_enumeration_agrees_with_single_designs_on_every_point() -> None:
    plain = json.loads(json.dumps(EVERYTHING))
    plain["architecture"] |= {
        "refinement": "none",
        "upsampler": "erum",
        "unit": ["conv", {"resnext": {"groups": [1, 2]}}],
    }
    plain["architecture"] |= {"levels": ["direct", "progressive"], "global_skip": True, "image_residual": "none"}
    plain["architecture"] |= {"channels": [4, 6], "compressed": "plain", "closing": "conv", "block": ["plain", "bp_u"]}
    plain["architecture"]["upsampler_unit"] = "conv"
    space = Space.from_dict(plain)
    points = list(space.points())
    assert len(points) == space.combinations
    assert space.size() == len({point.design.key for point in points if point.cost is not None})
    feasible = {point.design.key for point in points if point.broken is None}
    assert space.feasible is not None
    assert {candidate.design.key for candidate in space.feasible} == feasible
    assert len(space.feasible) == len(feasible)
    assert all(space.locate(point.design) is not None for point in points[::97])


def test_a_space_too_large_to_enumerate_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space.from_yaml("lightweight_x4")
    exact = report(space.grid)
    monkeypatch.setattr("srsearch.space.grid.ENUMERABLE", 1000)
    found = report(Space.from_yaml("lightweight_x4").grid)
    assert exact.exact
    assert not found.exact
    assert 0 < found.feasible_share.error < 0.01
    assert abs(found.feasible_share.value - exact.feasible_share.value) < 5 * found.feasible_share.error
    for name in ("designs", "feasible_designs"):
        guess, truth = getattr(found, name), getattr(exact, name)
        assert truth.error == 0 < guess.error
        assert abs(guess.value - truth.value) < 5 * guess.error
    for axis, shares in exact.axes.items():
        assert sum(shares.values()) <= 1 + 1e-9
        assert found.axes[axis].keys() == shares.keys()


def distance(space: Space, start: dict[str, Any], end: dict[str, Any]) -> tuple[int, float]:
    """Number of changed fields, and the distance of two points on the axes."""
    total = 0.0
    for axis in space.axes:
        if axis.name in start and axis.name in end and axis.ordered:
            total += abs(axis.values.index(start[axis.name]) - axis.values.index(end[axis.name])) / (
                len(axis.values) - 1
            )
        else:
            total += start.get(axis.name) != end.get(axis.name)
    fields = {name.partition(".")[0] for name in start.keys() | end.keys() if start.get(name) != end.get(name)}
    return len(fields), round(total, 9)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.97])
def test_a_proposal_is_repaired_to_the_nearest_feasible_new_design(share: float) -> None:
    plain = yaml.safe_load(GOOD.replace("40G", "6G")) | {"objectives": ["psnr"]}
    plain["architecture"] |= {"channels": [8, 10, 12, 16, 24], "block": ["residual", "efficient_residual"]}
    space = Space.from_dict(plain)
    points = list(space.points())
    feasible = [point for point in points if point.broken is None]
    assert 0.2 < len(feasible) / len(points) < 0.9
    assert any(point.cost is None for point in points)
    rng = np.random.default_rng(1)
    keys = sorted({point.design.key for point in feasible})
    known = set(rng.permutation(keys)[: round(share * len(keys))].tolist())
    new = [point for point in feasible if point.design.key not in known]
    for start in points[::5]:
        found = space.repaired(start.axes, np.random.default_rng(0), known)
        assert found is not None
        assert found.broken is None
        assert found.design.key not in known
        nearest = min(distance(space, start.axes, point.axes) for point in new)
        assert distance(space, start.axes, found.axes) == nearest
        if start.cost and found.axes != start.axes:
            tied = [p.cost for p in new if p.cost and distance(space, start.axes, p.axes) == nearest]
            least = min(abs(np.log(cost.mult_adds / start.cost.mult_adds)) for cost in tied)
            assert found.cost is not None
            assert abs(np.log(found.cost.mult_adds / start.cost.mult_adds)) == pytest.approx(least)
        assert space.repaired(start.axes, np.random.default_rng(0), known) == found
        assert space.grid.at(dict(zip(space.grid.alternatives, space.grid.positions(start.axes), strict=True))) == start
    assert space.repaired(points[0].axes, rng, set(keys)) is None


def test_in_a_space_too_large_to_enumerate_a_proposal_is_repaired_by_few_changes(
    monkeypatch: pytest.MonkeyPatch, small_space: Space
) -> None:
    monkeypatch.setattr("srsearch.space.grid.ENUMERABLE", 10)
    space = Space.from_yaml("mobile_x4").with_budget(max_mult_adds=2 * 10**9)
    rng = np.random.default_rng(0)
    known: set[str] = set()
    changes = []
    for _ in range(30):
        start = space.random_point(rng)
        found = space.repaired(start.axes, np.random.default_rng(7), known)
        assert found is not None
        assert found.broken is None
        assert found.design.key not in known
        assert space.repaired(start.axes, np.random.default_rng(7), known) == found
        known.add(found.design.key)
        changes.append(distance(space, start.axes, found.axes)[0])
    assert np.mean(changes) < 2
    feasible = [point for point in small_space.points() if point.broken is None]
    assert small_space.repaired(feasible[0].axes, rng, {point.design.key for point in feasible}) is None


def test_the_report_says_which_limit_binds(tmp_path: Path) -> None:
    space = Space.from_yaml(written(tmp_path, GOOD)).with_budget(max_mult_adds=4 * 10**9, max_params=10**9)
    found = report(space.grid)
    assert [(each.cost, each.excludes > 0) for each in found.bindings] == [("mult_adds", True), ("params", False)]
    assert found.bindings[0].excludes == found.bindings[0].alone
    assert found.designs.value * (1 - found.bindings[0].excludes) == pytest.approx(found.feasible_designs.value)
    shares = found.axes["channels"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[8] > shares[16]


def test_the_size_of_the_image_is_part_of_what_is_searched(tmp_path: Path) -> None:
    text = GOOD.replace("constraints:\n", "constraints:\n  convention: ntire\n")
    sized, own = (Space.from_dict(yaml.safe_load(each)) for each in (text, text.replace(", at: 1280x720", "")))
    assert sized.identity() != own.identity()
    assert own.convention.lr == (256, 256)


def test_axes_may_be_given_as_floats_which_data_frames_have() -> None:
    space = Space.from_yaml("lightweight_x4")
    axes = space.random_point(np.random.default_rng(3)).axes
    floats = {name: float(value) if type(value) is int else value for name, value in axes.items()}
    assert space.describe(floats).to_dict() == space.describe(axes).to_dict()


def test_numbers_are_decimal_and_budgets_are_checked(tmp_path: Path) -> None:
    assert Space.from_yaml(written(tmp_path, GOOD.replace("[8, 16]", "[08, 016]"))).axes[0].values == (8, 16)
    space = Space.from_yaml(written(tmp_path, GOOD))
    with pytest.raises(InputError, match="not above zero"):
        space.with_budget(max_params=0)
    with pytest.raises(InputError, match="at most 1000000 pixels"):
        Space.from_yaml(written(tmp_path, GOOD.replace("1280x720", "100000000x100000000")))
    wide = Space.from_yaml(written(tmp_path, GOOD.replace("1280x720", "1000000x1000000").replace("[8, 16]", "4096")))
    with pytest.raises(InputError, match="too large"):
        wide.size()


def test_every_published_x4_network_is_in_the_space_of_the_papers() -> None:
    space = Space.from_yaml("papers_x4")
    for name in catalogue.names():
        if 4 in catalogue.published(name).scales:
            design = catalogue.get(name, 4)
            point = space.locate(design)
            assert point is not None, name
            assert space.describe(point.axes) == design
    assert catalogue.get("carn", 2) not in space
    other = Architecture.from_dict(catalogue.get("carn", 4).to_dict() | {"channels": 48})
    assert other not in space


@pytest.mark.parametrize("convention_name", ["efficiency", "s-lwsr", "ntire"])
def test_a_budget_is_counted_under_the_convention_of_the_space(tmp_path: Path, convention_name: str) -> None:
    text = GOOD.replace(", at: 1280x720", "").replace(
        "constraints:\n", f"constraints:\n  convention: {convention_name}\n"
    )
    space = Space.from_yaml(written(tmp_path, text))
    assert space.grid.table is not None
    for index in range(0, space.combinations, 5):
        point = space.grid.point(index)
        assert point.cost == count(point.design, convention=convention(convention_name))
        assert point.cost.mult_adds == space.grid.table.mult_adds[index]
        assert point.cost.params == space.grid.table.params[index]
    assert Space.from_dict(space.to_dict()).convention == space.convention


IMPOSSIBLE = """\
name: demo
scale: 4
architecture:
  channels: [16, 32]
  unit:
    - conv
    - grouped: {groups: [2, 4]}
  compressed: inverted_residual
  body:
    - symmetric:
        pool: [six, all]
        activations: [half, 0.5]
        compress: [2, half]
  levels: [direct, pyramid]
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("groups: [2, 4]", "groups: [2, 3]", 7, "grouped.groups: 3 never fits"),
        ("groups: [2, 4]", "groups: 5", 7, "grouped.groups: unit grouped(groups=5): 16 channels are not divisible"),
        ("[16, 32]", "[16, 31]", 4, "channels: 31 fits no upsampler"),
        ("scale: 4", "scale: 3", 14, "it reaches x2, x4, x8 and x16, not x3"),
        ("[six, all]", "[six, [h, 9_1]]", 11, "'h+9_1' never fits: body symmetric"),
        ("0.5", "1.5", 12, "activations: 1.5 should be all, none, rare"),
        ("0.5", "-0.5", 12, "a share between 0 and 1"),
        ("[half, 0.5]", "[half, 12_1]", 12, "there is no position '12_1'; there are 2_1"),
        ("compress: [2", "compress: [27", 13, "27 is more than the 26 blocks of the body"),
        ("direct, pyramid", "direct, pyramid: {blocks_2: 0}", 14, "a whole number from 1 up"),
    ],
)
def test_values_that_can_never_be_built_are_refused_with_their_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    text = IMPOSSIBLE + ("  upsampler: {pixel_shuffle: {groups: 2}}\n" if "31" in new else "")
    assert old in text
    path = written(tmp_path, text.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        Space.from_yaml(path)
    assert f"{path}:{line}: " in str(error.value)
    assert message in str(error.value)


def test_shipped_spaces_follow_the_schema_and_hold_feasible_designs() -> None:
    schema = json_schema()
    for name in shipped_spaces():
        space = Space.from_yaml(name)
        assert space.name == name
        jsonschema.validate(yaml.safe_load(space.text), schema)
        assert space.sample(np.random.default_rng(0)).scales == space.scales
        assert Space.from_dict(space.to_dict()).to_dict() == space.to_dict()


def test_the_schema_next_to_the_spaces_is_up_to_date() -> None:
    """Update it with `srsearch space --schema > spaces/space.schema.json`."""
    assert json.loads((CHECKOUT / "spaces" / "space.schema.json").read_text()) == json_schema()


@pytest.mark.parametrize(
    ("old", "new"), [("channels:", "chanels:"), ("- conv", "- konv"), ("[8, 16]", "[]"), ("40G", "40Q")]
)
def test_the_schema_shows_mistakes_to_editors(old: str, new: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(GOOD.replace(old, new, 1)), json_schema())


@given(st.integers(1, 10**13))
def test_quantities_are_written_and_read_back(value: int) -> None:
    assert parse_quantity(str(value)) == value
    assert parse_quantity(f"{value}K") == value * 1000
    shown = format_quantity(value)
    assert abs(parse_quantity(shown) - value) <= value * 0.006


@pytest.mark.parametrize("text", ["", "0", "-3", "4X", "1e", "nan", "G", "1.2.3x"])
def test_wrong_quantities_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_quantity(text)
    with pytest.raises(InputError):
        parse_output_size(text)


def test_designs_are_read_from_files(tmp_path: Path, srsearch: Command) -> None:
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
