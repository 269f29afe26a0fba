"""Costs, compared with the papers' tables and with independent counters on random designs."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from hypothesis import given, reject, settings
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from srsearch.architecture import Architecture, InvalidDesign, build, catalogue
from srsearch.cost import EFFICIENCY, NTIRE, OURS, PCARN, PCARN_NO_BIAS, PCARN_TABLE_I, convention, count
from srsearch.errors import InputError
from tests.architecture.test_architecture import DESIGNS
from tests.support.grammar import random_description


@pytest.mark.parametrize("name", ["carn", "pcarn"])
@pytest.mark.parametrize(("scale", "mult_adds"), [(2, 222.8), (3, 118.8), (4, 90.9)])
def test_costs_in_pcarn_table_iv(name: str, scale: int, mult_adds: float) -> None:
    cost = count(catalogue.get(name), scale=scale, convention=PCARN)
    assert PCARN.thousands(cost.params) == 1592
    assert round(cost.mult_adds / 1e9, 1) == mult_adds


@pytest.mark.parametrize("name", ["carn-m", "pcarn-m"])
@pytest.mark.parametrize(("scale", "mult_adds"), [(2, 91.2), (3, 46.1), (4, 32.5)])
def test_costs_of_mobile_networks_in_pcarn_table_iv(name: str, scale: int, mult_adds: float) -> None:
    cost = count(catalogue.get(name), scale=scale, convention=PCARN_NO_BIAS)
    assert PCARN_NO_BIAS.thousands(cost.params) == 412
    assert round(cost.mult_adds / 1e9, 1) == mult_adds


@pytest.mark.parametrize(
    ("name", "params"),
    [("carn-baseline", 963), ("carn-local", 1074), ("carn-global", 1000), ("carn", 1111), ("pcarn", 1111)],
)
def test_parameters_in_pcarn_table_i(name: str, params: int) -> None:
    assert PCARN_TABLE_I.thousands(count(catalogue.get(name, 4), convention=PCARN_TABLE_I).params) == params


@pytest.mark.parametrize(
    ("groups", "share", "params", "mult_adds"),
    [
        (2, "none", 907, 52.65),
        (4, "none", 547, 32.48),
        (4, "group", 412, 32.48),
        (8, "none", 367, 22.39),
        (8, "group", 288, 22.39),
        (16, "none", 278, 17.35),
        (32, "none", 233, 14.83),
        (64, "none", 210, 13.57),
        (64, "group", 179, 13.57),
    ],
)
def test_the_grid_of_group_sizes_and_recursion(groups: int, share: str, params: int, mult_adds: float) -> None:
    """The designs behind Fig. 7 of the PCARN paper, with PCARN-M's grouped upsampler."""
    plain = catalogue.get("pcarn-m").to_dict()
    plain |= {"unit": {"grouped": {"groups": groups}}, "body": {"cascade": {"share": share}}}
    plain["upsampler"] = {"pixel_shuffle": {"groups": groups}}
    cost = count(Architecture.from_dict(plain), scale=4, convention=PCARN_NO_BIAS)
    assert (PCARN_NO_BIAS.thousands(cost.params), round(cost.mult_adds / 1e9, 2)) == (params, mult_adds)


class AtScale(nn.Module):
    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, x: torch.Tensor) -> Any:
        return self.network(x, scale=self.scale)


DESIGNS_IN_EACH_PART = 50


@pytest.mark.parametrize("part", range(20))
def test_costs_equal_an_independent_counter_on_the_built_network(part: int) -> None:
    """On random designs of the whole grammar, PyTorch's counter agrees, and fvcore, which is slow, on every tenth."""
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    rng = random.Random(1000 + part)
    checked = 0
    while checked < DESIGNS_IN_EACH_PART:
        design = Architecture.from_dict(random_description(rng))
        try:
            network = build(design, seed=part).eval()
        except InvalidDesign:
            with pytest.raises(InvalidDesign):
                count(design, scale=design.scales[0])
            continue
        checked += 1
        height, width = 4, 4  # divisible by every stride
        scale = rng.choice(design.scales)
        cost = count(design, scale=scale, convention=OURS.at((width * scale, height * scale)))
        image = torch.zeros(1, network.in_channels, height, width)
        assert cost.params == sum(p.numel() for p in network.parameters()), design.to_dict()
        if checked % 10 == 0:
            again = build(design, seed=part)
            assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
            counted = FlopCountAnalysis(AtScale(network, scale), image)
            counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            assert cost.mult_adds == counted.by_operator()["conv"], design.to_dict()
            activations = ActivationCountAnalysis(AtScale(network, scale), image)
            activations.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            assert cost.activations == activations.by_operator()["conv"], design.to_dict()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(image, scale=scale)
        operations = counter.get_flop_counts()["Global"]
        flops = sum(found for operation, found in operations.items() if "convolution" in str(operation))
        assert 2 * cost.mult_adds == flops, design.to_dict()


@settings(deadline=None)
@given(DESIGNS)
def test_parts_sum_to_the_whole(plain: dict[str, Any]) -> None:
    design = Architecture.from_dict(plain)
    for way in (OURS, EFFICIENCY, NTIRE):
        try:
            cost = count(design, scale=design.scales[-1], convention=way)
        except InvalidDesign:
            reject()
        for name in ("params", "mult_adds", "activations"):
            # A line's Mult-Adds are rounded by themselves where the LR area is a fraction.
            assert abs(sum(getattr(line, name) for line in cost.lines) - getattr(cost, name)) <= len(cost.lines)


def test_mult_adds_follow_the_output_area() -> None:
    design = catalogue.get("pcarn-m", 4)
    assert count(design, convention=OURS.at((1920, 1080))).mult_adds * 4 == count(design).mult_adds * 9


def test_a_multi_scale_design_needs_a_scale_and_an_unknown_convention_is_named() -> None:
    with pytest.raises(InputError, match="choose a scale"):
        count(catalogue.get("carn"))
    with pytest.raises(InputError, match="not one of the design's"):
        count(catalogue.get("carn"), scale=8)
    with pytest.raises(InputError, match="did you mean 'pcarn'"):
        convention("pcran")
