"""Designs: canonical form, keys, and the networks that they build."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from srsearch.architecture import Architecture, InvalidDesign, Network, build, catalogue
from srsearch.cost import count
from srsearch.errors import InputError
from tests.support.grammar import PARTS, fingerprint, neighbour, random_description, random_part

DESIGNS = st.integers(0, 2**32).map(lambda seed: random_description(random.Random(seed)))
"""Random descriptions of the whole grammar. Some cannot be built."""

PAIRS_IN_EACH_PART = 30


@pytest.mark.parametrize("part", range(12))
def test_keys_of_near_neighbours_are_equal_exactly_when_their_networks_compute_the_same(part: int) -> None:
    rng = random.Random(part)
    checked, equal = 0, 0
    while checked < PAIRS_IN_EACH_PART:
        plain = random_description(rng)
        pair = [Architecture.from_dict(each) for each in (plain, neighbour(rng, plain))]
        try:
            first, second = (fingerprint(design) for design in pair)
        except InvalidDesign:
            continue
        checked += 1
        equal += first == second
        assert (pair[0].key == pair[1].key) == (first == second), [design.to_dict() for design in pair]
    assert 0 < equal < checked, "the pairs should be of both kinds"


@pytest.mark.parametrize("block", ["residual", "efficient_residual"])
def test_designs_have_one_key_exactly_when_their_networks_compute_the_same(block: str) -> None:
    by_key: dict[str, set[str]] = {}
    by_network: dict[str, set[str]] = {}
    bodies: list[dict[str, Any]] = [{"chain": {"blocks": n}} for n in (1, 2, 4, 6)]
    for groups, blocks, fusion, share, activation in itertools.product(
        (1, 2, 3), (1, 2, 3), ("none", "local", "global", "both"), ("none", "group"), (False, True)
    ):
        options = {
            "groups": groups,
            "blocks": blocks,
            "fusion": fusion,
            "share": share,
            "fusion_activation": activation,
        }
        bodies.append({"cascade": options})
    for body, unit in itertools.product(bodies, ("conv", {"grouped": {"groups": 1}}, {"grouped": {"groups": 2}})):
        design = Architecture.from_dict({"scale": 2, "channels": 4, "unit": unit, "block": block, "body": body})
        network = fingerprint(design)
        by_key.setdefault(design.key, set()).add(network)
        by_network.setdefault(network, set()).add(design.key)
    assert all(len(networks) == 1 for networks in by_key.values())
    assert all(len(keys) == 1 for keys in by_network.values())
    assert len(by_key) < len(bodies) * 3 / 2, "many of these descriptions are the same network"


@given(DESIGNS)
def test_a_design_is_the_same_after_conversion_to_json_and_back(plain: dict[str, Any]) -> None:
    design = Architecture.from_dict(plain)
    again = Architecture.from_dict(json.loads(json.dumps(design.to_dict())))
    assert again == design
    assert again.key == design.key
    assert hash(again) == hash(design)


def test_keys_do_not_change() -> None:
    """Keys identify results in databases: if one changes, the grammar needs a new version."""
    assert catalogue.get("pcarn-m", 4).key == "126d9b16" + catalogue.get("pcarn-m", 4).key[8:]
    assert catalogue.get("carn").key.startswith("1a5c73e0")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(DESIGNS, st.integers(1, 7), st.integers(1, 7))
def test_networks_upscale_any_size(plain: dict[str, Any], height: int, width: int) -> None:
    network = built(Architecture.from_dict(plain))
    for scale in network.scales:
        with torch.no_grad():
            levels = network.outputs(torch.rand(1, network.in_channels, height, width), scale=scale)
        assert levels[-1].shape == (1, network.in_channels, scale * height, scale * width)
        assert all(torch.isfinite(image).all() for image in levels)


def built(design: Architecture, seed: int = 0) -> Network:
    """Build the network, or reject the example if it cannot be built."""
    try:
        return build(design, seed=seed).eval()
    except InvalidDesign:
        reject()


@pytest.mark.parametrize("name", catalogue.names())
def test_every_published_network_upscales_one_pixel(name: str) -> None:
    scale = catalogue.published(name).scales[-1]
    network = build(catalogue.get(name, scale), seed=0).eval()
    with torch.no_grad():
        for size in ((1, 1), (2, 3)):
            out = network(torch.rand(1, network.in_channels, *size))
            assert out.shape == (1, network.in_channels, scale * size[0], scale * size[1])


@pytest.mark.parametrize(("place", "name"), [(place, name) for place, names in PARTS.items() for name in names])
def test_every_part_trains(place: str, name: str) -> None:
    """Every part can be in a network whose parameters all get a gradient."""
    rng = random.Random(0)
    for _ in range(200):
        part = {place: {name: random_part(rng, place).get(name, {})}}
        frame = {"scale": 4, "channels": 8, "block": "residual", "compressed": "plain", "body": "residual_groups"}
        frame |= {"upsampler": "erum"} if place == "upsampler_unit" else {}
        frame |= {"body": {"chain": {"blocks": 2, "compress": "rare"}}} if place == "compressed" else {}
        try:
            network = build(Architecture.from_dict(frame | part), seed=0)
        except InvalidDesign:
            continue
        out = network(torch.rand(2, 3, 9, 7))
        out.square().mean().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
        return
    raise AssertionError("no such part could be built")


def test_each_level_returns_an_image() -> None:
    image = torch.rand(1, 3, 5, 4)
    for levels, sizes in (("direct", [8]), ("pyramid", [2, 4, 8]), ("progressive", [2, 4, 8])):
        plain = {"scale": 8, "channels": 8, "levels": levels, "body": {"chain": {"blocks": 1}}}
        network = build(Architecture.from_dict(plain), seed=1).eval()
        with torch.no_grad():
            found = network.outputs(image)
            assert [each.shape[2] for each in found] == [5 * size for size in sizes]
            assert torch.equal(found[-1], network(image))


def test_a_progressive_network_is_applied_to_its_own_output() -> None:
    plain = {"channels": 8, "levels": "progressive", "body": {"chain": {"blocks": 1}}, "image_residual": "learned"}
    once = build(Architecture.from_dict({"scale": 2, **plain}), seed=3).eval()
    twice = build(Architecture.from_dict({"scale": 4, **plain}), seed=3).eval()
    image = torch.rand(1, 3, 6, 7)
    with torch.no_grad():
        assert torch.allclose(twice(image), once(once(image)), atol=1e-6)


def test_kept_activations_are_those_that_the_released_code_marks() -> None:
    half = catalogue.get("s-lwsr-16").body["activations"]
    assert half == "2_3+3_3+4_1+4_3+5_1+5_3+6_1+6_2+7_1+8_1+9_1+10_1"
    assert catalogue.get("s-lwsr-16-rare").body["activations"] == "2_1+10_3"
    relus = [m for m in build(catalogue.get("s-lwsr-16")).modules() if isinstance(m, torch.nn.ReLU)]
    assert len(relus) == 12
    counts = {"s-lwsr-16-all": "all", "s-lwsr-16-two-thirds": 17, "s-lwsr-16-third": 9}
    for name, expected in counts.items():
        kept = catalogue.get(name).body["activations"]
        assert (kept if expected == "all" else len(kept.split("+"))) == expected


@pytest.mark.parametrize("share", [0.0, 0.04, 0.5, 1.0])
def test_a_share_of_activations_is_spread_evenly(share: float) -> None:
    body = {"chain": {"blocks": 10, "activations": share}}
    design = Architecture.from_dict({"scale": 2, "channels": 8, "body": body})
    relus = [m for m in build(design).body.modules() if isinstance(m, torch.nn.ReLU)]
    assert len(relus) == 10 + round(share * 10)  # each block keeps the activation behind its sum


def test_compressed_positions_have_another_block() -> None:
    def params(compress: object) -> int:
        body = {"chain": {"blocks": 6, "compress": compress}}
        plain = {"scale": 2, "channels": 8, "block": "scaled_residual", "compressed": "inverted_residual", "body": body}
        return sum(p.numel() for p in build(Architecture.from_dict(plain)).parameters())

    saved = 2 * (9 * 64 + 8) - (9 * 8 + 64)
    assert params("none") - params(1) == saved
    assert params("none") - params("half") == 3 * saved
    assert params("none") - params("1_1+1_6") == 2 * saved
    assert params("none") - params("all") == 6 * saved


def test_names_of_positions_are_those_of_the_first_level_of_a_pyramid() -> None:
    def kept(body: dict[str, Any], blocks_2: int) -> list[list[bool]]:
        plain = {"scale": 4, "channels": 8, "block": "scaled_residual", "body": body, "activation": "prelu"}
        plain |= {"levels": {"pyramid": {"blocks_2": blocks_2}}, "upsampler": {"pixel_shuffle": {"activation": False}}}
        network: Any = build(Architecture.from_dict(plain))
        found = []
        for level in network.levels:
            slots = [block.inner_activation for block in level.body.modules() if hasattr(block, "inner_activation")]
            assert all(isinstance(each, torch.nn.PReLU | torch.nn.Identity) for each in slots)
            found.append([isinstance(each, torch.nn.PReLU) for each in slots])
        return found

    assert kept({"chain": {"blocks": 2, "activations": "none"}}, 4) == [[False] * 2, [False] * 4]
    assert kept({"chain": {"blocks": 2, "activations": "1_2"}}, 3) == [[False, True], [False, True, True]]
    cascade = {"groups": 2, "blocks": 2, "fusion": "none", "activations": "1_1+2_1"}
    assert kept({"cascade": cascade}, 3) == [[True, False, True, False], [True, False, True, True, False, True]]


def test_all_blocks_of_the_first_level_are_not_all_blocks_of_every_level() -> None:
    def compressed(compress: object) -> list[int]:
        plain = {"scale": 4, "channels": 8, "block": "scaled_residual", "compressed": "inverted_residual"}
        plain |= {"body": {"chain": {"blocks": 1, "compress": compress}}, "levels": {"pyramid": {"blocks_2": 3}}}
        network: Any = build(Architecture.from_dict(plain))
        return [sum(type(b).__name__ == "InvertedResidualBlock" for b in level.body) for level in network.levels]

    assert compressed("all") == [1, 3]
    shared = {"residual_groups": {"blocks": 3, "groups": 1, "share": "group"}}
    designs = []
    for choice in ("1_1", "all"):
        body = {name: {**options, "compress": choice} for name, options in shared.items()}
        plain = {"scale": 4, "channels": 8, "body": body, "levels": {"pyramid": {"blocks_2": 1}}}
        designs.append(Architecture.from_dict(plain))
    assert designs[0] == designs[1], "a shared block has one position in every level"
    assert compressed(1) == [1, 1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"channels": 64, "block": {"rcab": {"reduction": 13}}}, {"channels": 64, "block": "rcab"}),
        ({"channels": 8, "block": {"rcab": {"reduction": 9}}}, {"channels": 8, "block": {"rcab": {"reduction": 16}}}),
        (
            {"entry": {"conv": {"convs": 3, "activation": "all"}}, "body": {"chain": {"blocks": 2}}},
            {"entry": {"conv": {"convs": 1, "activation": "all"}}, "body": {"chain": {"blocks": 4}}},
        ),
    ],
)
def test_different_descriptions_of_equal_networks_are_equal(first: dict[str, Any], second: dict[str, Any]) -> None:
    frame = {"scale": 2, "channels": 8, "block": "plain", "global_skip": False}
    designs = [Architecture.from_dict(frame | each) for each in (first, second)]
    assert designs[0].key == designs[1].key
    assert fingerprint(designs[0]) == fingerprint(designs[1])


def test_a_scope_sets_the_units_of_places() -> None:
    def design(**more: Any) -> Architecture:
        return Architecture.from_dict(
            {"scale": 2, "unit": "mobilenet_v1", "body": "residual_groups", "upsampler": "erum", **more}
        )

    assert design(scope="rb") == design()
    assert design(scope="rg") == design(closing="mobilenet_v1")
    assert design(scope="rg+u") == design(closing="mobilenet_v1", upsampler_unit="mobilenet_v1")
    with pytest.raises(InputError, match="write one of the two"):
        design(scope="rg", closing="conv")


def test_the_same_seed_gives_the_same_network_and_leaves_the_generator_alone() -> None:
    design = catalogue.get("pcarn-m", 2)
    before = torch.random.get_rng_state()
    first, second = build(design, seed=7), build(design, seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    other = build(design, seed=8)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_an_image_residual_starts_from_the_bicubic_image() -> None:
    from srsearch.architecture import upscale_bicubic

    network = build(Architecture.from_dict({"scale": 3, "channels": 8, "image_residual": "bicubic"}), seed=0)
    image = torch.rand(1, 3, 6, 5)
    with torch.no_grad():
        assert torch.allclose(network(image), upscale_bicubic(image, 3), atol=1e-6)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, "needs its scale"),
        ({"scale": 5}, "2, 3, 4, 8, 16"),
        ({"scale": 4, "chanels": 3}, "did you mean 'channels'"),
        ({"scale": 4, "channels": 0}, "channels: 0"),
        ({"scale": 4, "unit": "konv"}, "did you mean 'conv'"),
        ({"scale": 4, "unit": {"grouped": {"groups": "four"}}}, "valid integer"),
        ({"scale": 4, "body": {"cascade": {"fusion": "all"}}}, "'none', 'local', 'global' or 'both'"),
        ({"scale": 4, "body": {"cascade": {"gropus": 2}}}, "did you mean 'groups'"),
        ({"scale": 4, "image_residual": "bicubik"}, "did you mean 'bicubic'"),
        ({"scale": 4, "scope": "rgu"}, "did you mean 'rg+u'"),
        ({"scale": 4.0}, "each scale must be one of 2, 3, 4, 8, 16"),
        ({"scale": [2, "a"]}, "each scale must be one of 2, 3, 4, 8, 16"),
        ({"scale": {"a": 1}}, "each scale must be one of 2, 3, 4, 8, 16"),
        ({"scale": 4, "scope": ["rb"]}, "scope: unknown"),
        ({"scale": 4, "unit": {"grouped": {1: 2}}}, "no option 1"),
        ({"scale": 4, 3: 4}, "no field 3"),
        ({"scale": 4, "body": {"symmetric": {"activations": 1.5}}}, "a share between 0 and 1"),
        ({"scale": 4, "levels": {"pyramid": {"blocks_2": 0}}}, "a whole number from 1 up"),
    ],
)
def test_wrong_descriptions_are_refused(plain: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Architecture.from_dict(plain)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        (
            {"channels": 30, "unit": {"grouped": {"groups": 4}}},
            "unit grouped(groups=4): 30 channels are not divisible by 4 groups; 1, 2, 3, 5, 6, 10, 15, 30 would",
        ),
        ({"scale": 3, "levels": "pyramid"}, "it reaches x2, x4, x8 and x16, not x3"),
        ({"body": {"symmetric": {"pool": "h+9_1"}}}, "no source '9_1'; there are h, 2_1, 2_2"),
        ({"body": {"symmetric": {"activations": "11_1"}}}, "no position '11_1'; there are 2_1, 2_2"),
        ({"body": {"symmetric": {"compress": 27}}}, "27 is more than the 26 blocks"),
        # As a chain, which this cascade is, it would have that position.
        (
            {"body": {"cascade": {"groups": 2, "blocks": 1, "fusion": "none", "activations": "1_1+1_2"}}},
            "no position '1_2'; there are 1_1, 2_1",
        ),
    ],
)
def test_the_error_names_the_parts_that_do_not_fit(plain: dict[str, Any], message: str) -> None:
    design = Architecture.from_dict({"scale": 4, "channels": 16, **plain})
    for use in (build, count):
        with pytest.raises(InvalidDesign) as error:
            use(design)
        assert message in str(error.value)


def test_a_multi_scale_network_requires_a_scale() -> None:
    network = build(catalogue.get("pcarn-m"))
    with pytest.raises(ValueError, match="one of"):
        network(torch.zeros(1, 3, 2, 2))
