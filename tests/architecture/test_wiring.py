"""The wiring of a design, compared with autograd's graph of the built network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from srsearch.architecture import Architecture, Factory, PositiveInt, Wiring, build, catalogue, read_wiring
from srsearch.architecture.build import Assembler
from srsearch.architecture.registry import part_type, part_types
from tests.support.registration import registered


class Twin(nn.Module):
    """Two branches of blocks, the second applied twice; their outputs are fused."""

    def __init__(self, channels: int, block: Factory, blocks: PositiveInt = 2) -> None:
        super().__init__()
        self.left = nn.Sequential(*(block(f"left_{i + 1}") for i in range(blocks)))
        self.right = block("right")
        self.fusion = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.right(x)
        out: Tensor = self.fusion(torch.cat([left, self.right(right + x)], dim=1)) - left
        return out


@pytest.fixture(autouse=True, scope="module")
def _twin() -> Iterator[None]:
    with registered("body", "twin", Twin):
        yield


class Watched:
    """A built network that is run once. Each box's output is a leaf of autograd's graph, so its users can be found."""

    def __init__(self, design: Architecture, scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.positions: dict[nn.Module, str] = {}
        make = Assembler._block

        def named(assembler: Assembler, *at: Any) -> nn.Module:
            module = make(assembler, *at)
            self.positions[module] = str(at[0])
            return module

        monkeypatch.setattr(Assembler, "_block", named)
        network = build(design, seed=0).eval()
        monkeypatch.undo()
        self.modules: list[nn.Module] = []
        self.sources: list[set[int]] = []
        self._leaves: dict[int, int] = {}
        self._alive: list[Tensor] = []
        for module in boxes(network):
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)
        image = torch.rand(1, network.in_channels, 8, 8, requires_grad=True)
        self._leaf(image, network)
        self.sources.append(set())
        self.sources.append(self._reached(network(image, scale=scale)))

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self.sources.append(self._reached(inputs[0]))

    def _leave(self, module: nn.Module, inputs: Any, out: Tensor) -> Tensor:
        leaf = out.detach().requires_grad_()
        self._leaf(leaf, module)
        return leaf

    def _leaf(self, leaf: Tensor, module: nn.Module) -> None:
        self._leaves[id(leaf)] = len(self.modules)
        self._alive.append(leaf)
        self.modules.append(module)

    def _reached(self, tensor: Tensor) -> set[int]:
        """The leaves that a tensor was computed from."""
        if id(tensor) in self._leaves:
            return {self._leaves[id(tensor)]}
        found, pending, done = set(), [tensor.grad_fn], set()
        while pending:
            node: Any = pending.pop()
            if node is None or node in done:
                continue
            done.add(node)
            if hasattr(node, "variable") and id(node.variable) in self._leaves:
                found.add(self._leaves[id(node.variable)])
            pending += [each for each, _ in node.next_functions]
        return found


def boxes(module: nn.Module, name: str = "") -> Iterator[nn.Module]:
    """The modules that are boxes: the parts of a network, and the convolutions of its bodies and its own."""
    parts = {declared.module for kind in ("block", "unit", "entry", "upsampler") for declared in kinds(kind)}
    if type(module) in parts or isinstance(module, nn.Conv2d) or "image_upsamplers." in name:
        yield module
    elif type(module) in {declared.module for declared in kinds("refinement")}:
        if type(module) is not part_type("refinement", "none").module:
            yield module
    else:
        for child_name, child in module.named_children():
            yield from boxes(child, f"{name}.{child_name}")


def kinds(kind: str) -> list[Any]:
    return list(part_types(kind).values())


def flat_sources(wiring: Wiring, index: int) -> set[int]:
    """The boxes that an input is computed from, through all operations."""
    found: set[int] = set()
    for source in wiring.sources(index):
        found |= flat_sources(wiring, source) if wiring.boxes[source].kind == "operation" else {source}
    return found


def check(design: Architecture, scale: int, monkeypatch: pytest.MonkeyPatch) -> Wiring:
    wiring, watched = read_wiring(design, scale), Watched(design, scale, monkeypatch)
    numbers = [i for i, box in enumerate(wiring.boxes) if box.kind != "operation"]
    places = {index: place for place, index in enumerate(numbers)}
    assert [{places[s] for s in flat_sources(wiring, i)} for i in numbers] == watched.sources
    first = [watched.modules.index(module) for module in watched.modules]
    assert [places[wiring.boxes[i].first] for i in numbers[:-1]] == first
    for index, module in zip(numbers[:-1], watched.modules, strict=True):
        box = wiring.boxes[index]
        assert (box.kind == "block") == (module in watched.positions)
        if box.kind == "block":
            assert box.name == watched.positions[module]
            place = "compressed" if box.compressed else "block"
            assert type(module) is part_type("block", design.part_at(place).name).module
            assert box.keeps_activation != any(isinstance(each, nn.Identity) for each in module.modules())
    return wiring


@pytest.mark.parametrize("name", catalogue.names())
def test_the_wiring_of_a_published_network_is_that_of_the_built_network(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = catalogue.published(name)
    for scale in published.scales:
        check(catalogue.get(name, None if published.multi_scale else scale), scale, monkeypatch)


@pytest.mark.parametrize("levels", ["direct", "progressive", {"pyramid": {"blocks_2": 3}}], ids=str)
def test_the_wiring_of_a_body_from_a_plugin_is_that_of_the_built_network(
    levels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"twin": {"compress": "left_2", "activations": "left_1+right"}}
    fields = {"scale": 4, "channels": 8, "body": body, "levels": levels, "image_residual": "learned"}
    wiring = check(Architecture.from_dict(fields), 4, monkeypatch)
    names = [box.name for box in wiring.boxes if box.kind == "block" and box.level == 1]
    assert names == ["left_1", "left_2", "right", "right"]
    assert next(box.compressed for box in wiring.boxes if box.name == "left_2")


def test_a_pyramid_has_its_own_number_of_blocks_in_each_level() -> None:
    boxes = read_wiring(catalogue.get("csrcnn-6-4-2", scale=8)).boxes
    counts = [sum(box.kind == "block" and box.level == level for box in boxes) for level in (1, 2, 3)]
    assert counts == [6, 4, 2]


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="scale 3"):
        read_wiring(catalogue.get("carn", scale=4), 3)
