"""Designs: canonical form, keys, and the networks that they build."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from srsearch.architecture import Architecture, InvalidDesign, build, catalogue
from srsearch.errors import InputError

UNITS = st.one_of(st.just("conv"), st.sampled_from([1, 2, 4, 8]).map(lambda g: {"grouped": {"groups": g}}))
CASCADES = st.fixed_dictionaries(
    {
        "groups": st.integers(1, 3),
        "blocks": st.integers(1, 3),
        "fusion": st.sampled_from(["none", "local", "global", "both"]),
        "share": st.sampled_from(["none", "group"]),
        "fusion_activation": st.booleans(),
    }
)
BODIES = st.one_of(CASCADES.map(lambda c: {"cascade": c}), st.integers(1, 9).map(lambda n: {"chain": {"blocks": n}}))
DESIGNS = st.fixed_dictionaries(
    {
        "scale": st.sampled_from([2, 3, 4, 8, [2, 3], [4, 2]]),
        "channels": st.sampled_from([8, 16, 24]),
        "unit": UNITS,
        "block": st.sampled_from(["residual", "efficient_residual"]),
        "body": BODIES,
        "upsampler": st.fixed_dictionaries({"groups": st.sampled_from([1, 4]), "activation": st.booleans()}).map(
            lambda u: {"pixel_shuffle": u}
        ),
        "global_skip": st.booleans(),
        "image_residual": st.sampled_from(["none", "bicubic"]),
    }
)


class Trace(TorchDispatchMode):
    """The executed operations: name, which earlier results they read, and which weights of which shape."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[int, str] = {}
        self.kept: list[Any] = []
        self.operations: list[Any] = []
        self.weights = 0

    def name(self, tensor: torch.Tensor) -> str:
        if id(tensor) not in self.names:
            # Seen first as an operand: a weight (or the input), numbered in the order of use.
            self.names[id(tensor)] = f"w{self.weights}{tuple(tensor.shape)}"
            self.weights += 1
            self.kept.append(tensor)
        return self.names[id(tensor)]

    def plain(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self.name(value)
        return [self.plain(each) for each in value] if isinstance(value, list | tuple) else repr(value)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is not torch.ops.aten.detach.default:
            self.operations.append((str(func), self.plain(args)))
            self.names[id(out)] = f"r{len(self.operations)}"
            self.kept.append(out)
        return out


def fingerprint(design: Architecture) -> str:
    """What a design computes: its operations with their operands, shapes and sharing."""
    network = build(design)
    traces = []
    for scale in design.scales:
        with torch.no_grad(), Trace() as trace:
            network(torch.zeros(1, 3, 4, 4), scale=scale)
        traces.append(trace.operations)
    return json.dumps(traces)


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
def test_a_design_survives_plain_data(plain: dict[str, Any]) -> None:
    design = Architecture.from_dict(plain)
    again = Architecture.from_dict(json.loads(json.dumps(design.to_dict())))
    assert again == design
    assert again.key == design.key
    assert hash(again) == hash(design)


def test_keys_do_not_change() -> None:
    """A key names results in databases: changing one needs a new grammar version."""
    assert catalogue.get("pcarn-m", 4).key == "126d9b16" + catalogue.get("pcarn-m", 4).key[8:]
    assert catalogue.get("carn").key.startswith("1a5c73e0")


@settings(deadline=None, max_examples=25)
@given(DESIGNS, st.integers(1, 7), st.integers(1, 7))
def test_networks_upscale_any_size(plain: dict[str, Any], height: int, width: int) -> None:
    design = Architecture.from_dict(plain)
    network = build(design, seed=0)
    for scale in design.scales:
        with torch.no_grad():
            out = network(torch.rand(2, 3, height, width), scale=scale)
        assert out.shape == (2, 3, scale * height, scale * width)
        assert torch.isfinite(out).all()


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
        ({"scale": 5}, "2, 3, 4, 8"),
        ({"scale": 4, "chanels": 3}, "did you mean 'channels'"),
        ({"scale": 4, "channels": 0}, "channels: 0"),
        ({"scale": 4, "unit": "konv"}, "did you mean 'conv'"),
        ({"scale": 4, "unit": {"grouped": {"groups": "four"}}}, "valid integer"),
        ({"scale": 4, "body": {"cascade": {"fusion": "all"}}}, "'none', 'local', 'global' or 'both'"),
        ({"scale": 4, "body": {"cascade": {"gropus": 2}}}, "did you mean 'groups'"),
        ({"scale": 4, "image_residual": "bicubik"}, "did you mean 'bicubic'"),
    ],
)
def test_wrong_descriptions_are_refused(plain: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Architecture.from_dict(plain)
    assert message in str(error.value)


def test_parts_that_do_not_fit_are_named() -> None:
    design = Architecture.from_dict({"scale": 4, "channels": 30, "unit": {"grouped": {"groups": 4}}})
    with pytest.raises(InvalidDesign, match=r"unit grouped\(groups=4\): 30 channels are not divisible by 4 groups"):
        build(design)


def test_a_multi_scale_network_asks_for_the_scale() -> None:
    network = build(catalogue.get("pcarn-m"))
    with pytest.raises(ValueError, match="one of"):
        network(torch.zeros(1, 3, 2, 2))
