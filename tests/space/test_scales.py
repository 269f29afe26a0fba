"""Spaces of designs for several scales: one body, and an upsampler for each scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from srsearch.architecture import Architecture, build, catalogue
from srsearch.cost import PCARN_NO_BIAS, count
from srsearch.cost.verify import verify
from srsearch.errors import InputError
from srsearch.search.study import published_points
from srsearch.space import Space
from tests.support.commands import Command
from tests.support.registration import registered

TEXT = """name: several
scale: [2, 4]
architecture:
  channels: [8, 12]
  body: {chain: {blocks: 1}}
  levels: [direct, progressive]
  upsampler: pixel_shuffle
constraints:
  mult_adds: {max: 30G}
proxy:
  scales: [2, 4]
"""

PLAIN: dict[str, Any] = {
    "name": "several",
    "scale": [2, 3, 4],
    "architecture": {
        "channels": [8, 12],
        "block": ["residual", "rcab"],
        "body": {"cascade": {"groups": [1, 2], "blocks": 1}},
        "upsampler": ["pixel_shuffle", "transposed"],
        "image_residual": ["none", "learned"],
    },
}


class OnlyEven(nn.Sequential):
    """An upsampler that has no form for x3."""

    def __init__(self, channels: int, scale: int) -> None:
        if scale % 2:
            raise ValueError(f"no form for a factor of {scale}")
        super().__init__(nn.Upsample(scale_factor=scale))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("[2, 4]", "[4, 2]", 2, "scale: [4, 2] are not in ascending order; write [2, 4]"),
        ("[2, 4]", "[2, 4, 4]", 2, "scale: 4 is listed twice"),
        ("[2, 4]", "[]", 2, "scale: an empty list; give a scale, such as 4, or several: [2, 3, 4]"),
        ("[2, 4]", "\n  - 2\n  - 5", 4, "scale: 5 is not one of 2, 3, 4, 8, 16"),
        ("[2, 4]", "[2, 3]", 6, "levels.progressive: levels progressive: a progressive network doubles the size"),
        ("  mult", "  scale: 3\n  mult", 9, "constraints.scale: 3 is not one of the space's scales: 2, 4"),
        ("scales: [2, 4]", "scales: [2, 3]", 11, "proxy.scales: 3 is not one of the space's scales: 2, 4"),
        ("scales: [2, 4]", "scales: [2]", 11, "x4, whose PSNR counts, is not among the scales that are trained"),
        ("pixel_shuffle", "only_even", None, ""),
        ("[2, 4]\narchitecture", "[2, 3]\narchitecture", 7, "upsampler.only_even: at x3: upsampler only_even: no form"),
    ],
)
def test_scales_that_do_not_fit_are_refused_with_their_line(
    tmp_path: Path, old: str, new: str, line: int | None, message: str
) -> None:
    text = TEXT
    if "only_even" in message:
        text = text.replace("pixel_shuffle", "only_even").replace("[direct, progressive]", "direct")
    assert old in text
    path = tmp_path / "several.yaml"
    path.write_text(text.replace(old, new, 1))
    with registered("upsampler", "only_even", OnlyEven):
        if line is None:
            assert Space.from_yaml(path).scales == (2, 4)
            return
        with pytest.raises(InputError) as error:
            Space.from_yaml(path)
    assert f"{path}:{line}: " in str(error.value)
    assert message in str(error.value)


def test_one_scale_in_a_list_is_that_scale_and_the_largest_need_not_be_named() -> None:
    def space(scale: Any, named: int | None = None) -> Space:
        constraints = {} if named is None else {"scale": named}
        return Space.from_dict(PLAIN | {"scale": scale, "constraints": constraints})

    alone = space(4)
    for same in (space([4]), space(4, 4)):
        assert (same.scale, same.scales) == (4, (4,))
        assert (same.identity(), same.to_dict()) == (alone.identity(), alone.to_dict())
    assert alone.identity()["scale"] == 4
    several = space([2, 3, 4])
    assert (several.scale, several.scales) == (4, (2, 3, 4))
    assert space([2, 3, 4], 4).identity() == several.identity() != alone.identity()
    assert space([2, 3, 4], 2).scale == 2
    assert space([2, 3, 4], 2).identity() != several.identity()
    again = Space.from_dict(space([2, 3, 4], 2).to_dict())
    assert (again.scale, again.scales) == (2, (2, 3, 4))


@pytest.mark.parametrize("named", [2, 3, 4])
def test_every_head_is_counted_exactly_in_columns_and_one_by_one(named: int) -> None:
    space = Space.from_dict(PLAIN | {"constraints": {"scale": named, "params": {"max": "40K"}}})
    table, at_two = space.grid.table, space.grid.tabulate({f: np.arange(1) for f in space.grid.alternatives}, 2)
    assert table is not None
    points = list(space.points())
    assert at_two.mult_adds[0] == count(points[0].design, scale=2).mult_adds
    for row, point in enumerate(points):
        assert point.cost is not None
        assert point.design.scales == (2, 3, 4)
        costs = (table.params[row], table.mult_adds[row], table.activations[row])
        assert costs == (point.cost.params, point.cost.mult_adds, point.cost.activations)
        assert point.cost.mult_adds == point.cost.by_scale[named].mult_adds
    design = points[-1].design
    for scale, cost in count(design, scale=named).by_scale.items():
        checked = verify(design, scale)
        assert (checked.network_mult_adds, checked.agrees) == (cost.mult_adds, True)
        alone = build(Architecture.from_dict(design.to_dict() | {"scale": scale}))
        assert cost.params == sum(each.numel() for each in alone.parameters())
    report = space.report()
    low, high = report.mult_adds_by_scale[named]
    assert [low, high] == list(report.ranges["mult_adds"])
    assert report.to_dict()["examples"][0]["by_scale"][0]["scale"] == 2


def test_carn_m_is_in_the_space_of_several_scales_with_its_printed_costs(srsearch: Command) -> None:
    space = Space.from_yaml("multi_scale")
    design = catalogue.get("carn-m")
    assert design.key in {point.design.key for point in published_points(space)}
    costs = count(design, scale=4, convention=PCARN_NO_BIAS).by_scale
    assert {scale: round(each.mult_adds / 1e9, 1) for scale, each in costs.items()} == {2: 91.2, 3: 46.1, 4: 32.5}
    ended = srsearch("count", "carn-m", "--multi-scale")
    assert ended.returncode == 0
    assert "x4, 1280x720" in ended.stdout
    for mult_adds in ("91,172,044,800", "46,124,236,800", "32,480,870,400"):
        assert mult_adds in ended.stdout


@pytest.mark.parametrize(
    ("levels", "scale"),
    [("direct", 16), ({"pyramid": {"blocks_2": 2, "blocks_4": 1}}, 16), ("progressive", 16), ("progressive", [2, 16])],
)
def test_x16_is_counted_and_built(levels: Any, scale: Any) -> None:
    space = Space.from_dict(
        {
            "name": "sixteen",
            "scale": scale,
            "architecture": {"channels": [4, 8], "body": {"chain": {"blocks": [1, 3]}}, "levels": levels},
        }
    )
    assert space.size() == 4
    design = space.sample(np.random.default_rng(0))
    for each in design.scales:
        assert verify(design, each).agrees


def test_the_fourth_level_of_a_pyramid_changes_nothing_where_it_is_not_set() -> None:
    plain = {"scale": 16, "channels": 8, "body": {"chain": {"blocks": 2}}}
    like = [Architecture.from_dict(plain | {"levels": {"pyramid": o}}) for o in ({}, {"blocks_4": 2}, {"blocks_4": 1})]
    assert like[0].key == like[1].key != like[2].key
    assert "blocks_4" not in str(like[0].to_dict())
    assert like[2].to_dict()["levels"]["pyramid"]["blocks_4"] == 1
    assert Architecture.from_dict(like[2].to_dict()) == like[2]
