"""Information pools of every body: which blocks reach the output past the rest of the body, and equal descriptions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from srsearch.architecture import Architecture, InvalidDesign, build
from srsearch.architecture.build import Assembler
from srsearch.cost.verify import verify
from srsearch.errors import InputError
from srsearch.space import Space
from tests.support.grammar import fingerprint


def design(body: dict[str, Any], **fields: Any) -> Architecture:
    return Architecture.from_dict({"scale": 2, "channels": 4, "body": body, **fields})


BODIES: list[tuple[str, dict[str, Any], int]] = [
    ("chain", {"blocks": 3}, 3),
    ("cascade", {"groups": 2, "blocks": 2}, 4),
    ("residual_groups", {"groups": 2, "blocks": 2, "share": "group"}, 4),
    ("dense", {"blocks": 3}, 3),
    ("memory", {"blocks": 3}, 3),
]


@pytest.mark.parametrize("fusion", ["conv", "mean"])
@pytest.mark.parametrize(("name", "options", "blocks"), BODIES)
def test_a_pool_adds_its_sources_to_the_output_of_the_body(
    name: str, options: dict[str, Any], blocks: int, fusion: str
) -> None:
    """The sources are recorded where the blocks are called, and fused here a second time."""
    pooled = design({name: options | {"sources": "1_2+h", "source_fusion": fusion}})
    assert verify(pooled).agrees
    body = build(pooled, seed=0).eval().body
    outputs: list[torch.Tensor] = []
    called = {part for part in body.modules() if type(part).__name__ == "Residual"}
    for part in called:
        part.register_forward_hook(lambda _, inputs, out: outputs.append(out))
    x = torch.rand(1, 4, 6, 5)
    out = body(x)
    assert len(outputs) == blocks
    sources = [x, outputs[1]]
    without = build(design({name: options}), seed=0).body
    own = {key: value for key, value in body.state_dict().items() if not key.startswith("pool")}
    without.load_state_dict(own)
    if fusion == "mean":
        assert sum(each.numel() for each in body.parameters()) == sum(each.numel() for each in without.parameters())
        added = (sources[0] + sources[1]) / 2
    else:
        weight = body.state_dict()["pool.conv.weight"]
        assert weight.shape == (4, 8, 1, 1)
        added = torch.nn.functional.conv2d(torch.cat(sources, dim=1), weight)
    assert torch.allclose(out, without(x) + added, atol=1e-6)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"chain": {"blocks": 3, "sources": "all"}}, {"chain": {"blocks": 3, "sources": "1_3+1_1+h+1_2"}}),
        (
            {"cascade": {"groups": 2, "blocks": 2, "fusion": "none", "sources": "2_1+h"}},
            {"chain": {"blocks": 4, "sources": ["h", "1_3"]}},
        ),
        (
            {"cascade": {"groups": 1, "blocks": 3, "fusion": "local", "sources": "1_2+1_3"}},
            {"cascade": {"groups": 3, "blocks": 1, "fusion": "global", "sources": "3_1+2_1"}},
        ),
        ({"dense": {"source_fusion": "mean"}}, {"dense": {}}),
        ({"symmetric": {"pool": "none", "source_fusion": "mean"}}, {"symmetric": {"pool": "none"}}),
    ],
)
def test_equal_pools_have_one_key(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert fingerprint(design(first)) == fingerprint(design(second))
    assert design(first).key == design(second).key


def test_no_pool_leaves_descriptions_as_they_were_recorded() -> None:
    for name, options, _ in [*BODIES, ("symmetric", {}, 0)]:
        plain = design({name: options}).to_dict()
        assert "source" not in str(plain)
        pooled = design(
            {name: options | {"source_fusion": "mean", "pool" if name == "symmetric" else "sources": "all"}}
        )
        assert Architecture.from_dict(pooled.to_dict()) == pooled
        assert pooled.key != design({name: options}).key
    one = design({"memory": {"blocks": 1, "sources": "1_1"}}, global_skip=False)
    assert one.body.name == "memory", "a chain would add in another order"
    with pytest.raises(InvalidDesign, match="no source '9_9'; there are h, 1_1"):
        Assembler(design({"chain": {"blocks": 1, "sources": "9_9"}})).network()


def test_an_axis_of_subsets_has_each_source_in_or_out() -> None:
    def space(sources: Any) -> Space:
        body = {"chain": {"blocks": 3, "sources": sources}}
        return Space.from_dict({"name": "pools", "scale": 2, "architecture": {"channels": 4, "body": body}})

    subsets = ["none", "h", "1_1", "1_2", "h+1_1", "h+1_2", "1_1+1_2"]
    few = space({"any": ["h", "1_1", "1_2"], "at_most": 2})
    assert [axis.values for axis in few.axes] == [tuple(subsets)]
    assert few.size() == 7
    assert few.identity() == space(subsets).identity()
    assert space(["none", {"any": ["h", "1_1"], "at_least": 1}]).size() == 4
    for wrong, message in (
        ({"any": ["h"], "at_most": 2}, "should be 0 to 1, in this order"),
        ({"any": [], "at_most": 2}, "not a set of names; write {any: [h, 1_2], at_most: 2}"),
        ({"any": ["h", "h"]}, "not a set of names"),
        ({"any": ["h", "2_1"], "at_most": 1}, "'2_1' never fits: body chain"),
        ({"any": [f"1_{i}" for i in range(30)]}, "1073741824 subsets are too many"),
    ):
        with pytest.raises(InputError, match=r"architecture\.body\.chain\.sources: ") as error:
            space(wrong)
        assert message in str(error.value)
