"""Model files: saved networks are loaded again, and files that do not fit are refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

import srsearch as sr
from srsearch.architecture import Architecture, Factory, build, catalogue, load_model, save_model
from srsearch.architecture.model_file import DESIGN_KEY, holds_design
from srsearch.errors import InputError
from srsearch.files import UNFINISHED
from tests.support.registration import registered

FACTS = {"recipe": {"steps": 10}, "results": [{"set": "Set5", "psnr": 31.9}], "source": "a test"}
SHARED = {"cascade": {"groups": 2, "blocks": 3, "fusion": "both", "share": "group"}}


def small(**fields: Any) -> Architecture:
    return Architecture.from_dict({"scale": 4, "channels": 8, "body": SHARED} | fields)


def drawn(design: Architecture) -> nn.Module:
    """The network with random values in all its tensors, biases too."""
    network = build(design, seed=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.2, 0.2)
    return network.eval()


@pytest.mark.parametrize(
    "design",
    [
        small(),
        small(scale=[2, 3, 4]),
        small(colour="luminance", image_residual="bicubic"),
        small(levels={"pyramid": {}}, image_residual="learned", global_skip=False),
        catalogue.get("pcarn-m"),
        catalogue.get("s-lwsr-16", 4),
    ],
    ids=["shared", "multi-scale", "luminance", "pyramid", "pcarn-m", "s-lwsr-16"],
)
def test_a_saved_network_is_loaded_with_its_design_and_facts(tmp_path: Path, design: Architecture) -> None:
    network, file = drawn(design), tmp_path / "model.safetensors"
    save_model(file, design, network.state_dict(), FACTS)
    model = load_model(file)
    assert (model.name, model.design, model.facts) == ("model", design, FACTS)
    loaded = sr.load(file)
    assert not loaded.training
    x = torch.rand(1, loaded.in_channels, 5, 7)
    for scale in design.scales:
        assert torch.equal(loaded(x, scale=scale), network(x, scale=scale))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_any_reader_of_safetensors_finds_the_weights_once_and_the_design(tmp_path: Path) -> None:
    design, file = small(), tmp_path / "a.safetensors"
    network = drawn(design)
    save_model(file, design, network.state_dict())
    tensors = safetensors.torch.load_file(file)
    assert set(tensors) == {*dict(network.named_parameters()), DESIGN_KEY}
    assert (
        sum(tensor.numel() for tensor in tensors.values() if tensor.dtype == torch.float32) == sr.count(design).params
    )
    with safetensors.safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    assert Architecture.from_dict(json.loads(metadata["design"])) == design
    assert metadata["key"] == design.key


class TwoNames(nn.Module):
    """A body that holds its block under two names."""

    def __init__(self, block: Factory) -> None:
        super().__init__()
        self.first = block()
        self.second = self.first

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))  # type: ignore[no-any-return]


def test_a_tensor_with_two_names_is_stored_once_and_stays_one(tmp_path: Path) -> None:
    with registered("body", "two_names", TwoNames):
        design, file = small(body="two_names"), tmp_path / "a.safetensors"
        state = drawn(design).state_dict()
        assert any(key.startswith("body.second") for key in state)
        save_model(file, design, {key: tensor.clone() for key, tensor in state.items()})  # as a checkpoint may
        assert not any(key.startswith("body.second") for key in safetensors.torch.load_file(file))
        loaded = sr.load(file)
        assert loaded.body.first is loaded.body.second
        assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in state.items())
        state = {key: tensor + (1 if key.startswith("body.second") else 0) for key, tensor in state.items()}
        with pytest.raises(InputError, match=r"body\.first.* and body\.second.* are one tensor in the design, but dif"):
            save_model(file, design, state)


def test_half_precision_and_strided_tensors_are_taken(tmp_path: Path) -> None:
    design, file = small(), tmp_path / "a.safetensors"
    state = {key: tensor.half() for key, tensor in drawn(design).state_dict().items()}
    state["exit.weight"] = state["exit.weight"].permute(0, 1, 3, 2)
    save_model(file, design, state)
    loaded = sr.load(file).state_dict()
    assert all(torch.equal(loaded[key], tensor.float()) for key, tensor in state.items())


# What is refused ------------------------------------------------------------------------------------------------------


def changed(file: Path, change: Any, design: Any = None) -> Path:
    """A model file whose tensors, and design as plain JSON, have been changed."""
    made = small()
    save_model(file, made, drawn(made).state_dict())
    tensors = safetensors.torch.load_file(file)
    change(tensors)
    if design is not None:
        tensors[DESIGN_KEY] = torch.frombuffer(bytearray(design), dtype=torch.uint8)
    safetensors.torch.save_file(tensors, file)
    return file


def described(**content: Any) -> bytes:
    return json.dumps({"grammar": 1, "design": small().to_dict()} | content).encode()


@pytest.mark.parametrize(
    ("change", "design", "message"),
    [
        (lambda t: t.pop("exit.bias"), None, r"not those of the design; missing: exit\.bias \(3,\)"),
        (lambda t: t.update(extra=torch.ones(2)), None, "left over: extra"),
        (
            lambda t: t.update({"exit.bias": torch.ones(4)}),
            None,
            r"wrong: exit\.bias is torch\.float32 \(4,\), should be \(3,\)",
        ),
        (lambda t: t.update({"exit.bias": torch.ones(3).int()}), None, r"wrong: exit\.bias is torch\.int32"),
        (lambda t: t.update({"exit.bias": torch.full((3,), torch.nan)}), None, r"exit\.bias is not finite"),
        (lambda t: t.pop(DESIGN_KEY), None, "is not a model file of srsearch: it holds tensors, but no design"),
        (lambda t: t.update({DESIGN_KEY: torch.ones(3)}), None, "design .* is damaged"),
        (lambda t: None, b"{", "design .* is damaged"),
        (lambda t: None, b"[" * 200_000, "design .* is damaged"),
        (lambda t: None, b"[]", "design .* is damaged"),
        (
            lambda t: None,
            described(grammar=2),
            r"version 2 of the grammar .* reads version 1: install a newer srsearch",
        ),
        (lambda t: None, described(design=small().to_dict() | {"block": "mine"}), "unknown .*'mine'.*--plugin"),
        # Networks that would fill the memory: refused before they are built.
        (lambda t: None, described(design=small().to_dict() | {"channels": 60_000}), "wrong: entry"),
        (
            lambda t: None,
            described(design=small().to_dict() | {"body": {"chain": {"blocks": 60_000}}}),
            "more than 20,000 parts",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_reason(
    tmp_path: Path, change: Any, design: Any, message: str
) -> None:
    file = changed(tmp_path / "a.safetensors", change, design)
    with pytest.raises(InputError, match=f"a\\.safetensors: .*{message}"):
        load_model(file)


def test_a_file_of_another_kind_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "was run",)

    file = tmp_path / "a.safetensors"
    file.write_bytes(pickle.dumps({"weight": Attack()}))
    with pytest.raises(InputError, match=r"a\.safetensors: not a safetensors file, or damaged"):
        load_model(file)
    assert not holds_design(file)
    assert not (tmp_path / "was run").exists()
    with pytest.raises(InputError, match="there is no file"):
        load_model(tmp_path / "none.safetensors")
    whole = changed(file, lambda t: None).read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(InputError, match="damaged"):
        load_model(file)


def test_a_failed_save_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    design, file = small(), tmp_path / "a.safetensors"
    state = drawn(design).state_dict()
    save_model(file, design, state)
    before = file.read_bytes()
    with pytest.raises(InputError, match=r"missing: entry\.0\.weight"):
        save_model(file, design, {key: tensor for key, tensor in state.items() if key != "entry.0.weight"})

    def full(file: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="full"):
        save_model(file, design, state)
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(f"*{UNFINISHED}"))
