"""`srsearch export`: files that other programs load, checked before they are written."""

from __future__ import annotations

import hashlib
import importlib
import json
import resource
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from PIL import Image

import srsearch as sr
from srsearch.architecture import Architecture, Model, build, catalogue, load_model, save_model
from srsearch.errors import InputError, WorkError
from srsearch.export import onnx_file, torchscript, tracing
from srsearch.export.card import model_card
from srsearch.export.onnx_file import export_onnx
from srsearch.quantity import format_quantity
from tests.support.commands import Command

FACTS = {
    "recipe": {"name": "fast", "batch": 16},
    "data": "BSDS500, 400 photos",
    "steps": 9000,
    "results": [{"set": "Set5", "scale": 4, "psnr": 31.234, "ssim": 0.88123}],
}
# What exporters stumble at: strided blocks whose output size depends on the image, several scales, bicubic upscaling.
HARD = Architecture.from_dict(
    {
        "scale": [2, 3],
        "channels": 4,
        "block": "bp_u",
        "body": {"dense": {"blocks": 1}},
        "image_residual": "bicubic",
    }
)
PLAIN = Architecture.from_dict({"scale": 4, "channels": 8, "body": {"chain": {"blocks": 1}}})


def model(design: Architecture, seed: int = 1) -> Model:
    network = build(design, seed=seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.2, 0.2)
    return Model("mine", design, network.eval(), FACTS)


def saved(path: Path, made: Model) -> Path:
    assert made.design is not None
    save_model(path, made.design, made.network.state_dict(), made.facts)
    return path


@pytest.fixture
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "SIZES", ((17, 31), (1, 5)))


@pytest.mark.long(9)
def test_an_onnx_file_takes_any_size_and_holds_its_design(srsearch: Command, tmp_path: Path) -> None:
    made = model(HARD)
    saved(tmp_path / "m.safetensors", made)
    ran = srsearch("export", "m.safetensors", "--format", "onnx", "--scale", "3", "--card", "readme")
    assert ran.returncode == 0, ran.stderr
    assert "863x860: differs by at most" in ran.stderr
    file = tmp_path / "m_x3.onnx"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "m.safetensors", "m_x3.onnx"]
    proto = onnx.load(file)
    onnx.checker.check_model(proto)
    assert [(each.domain, each.version <= 20) for each in proto.opset_import] == [("", True)]
    sizes = [dim.dim_param or dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == [1, 3, "height", "width"]
    about = {each.key: each.value for each in proto.metadata_props}
    assert Architecture.from_dict(json.loads(about["srsearch_design"])) == HARD
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for height, width in ((1, 1), (2, 7), (24, 25)):
        image = torch.rand(1, 3, height, width)
        with torch.inference_mode():
            expected = made.network(image, scale=3).numpy()
        assert np.abs(session.run(None, {"image": image.numpy()})[0] - expected).max() < 1e-5

    # A file that differs from the network is not written.
    content = file.read_bytes()
    file.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_file, "_recorded", lambda *_: content)
        patch.setattr(tracing, "SIZES", ((17, 31),))
        with pytest.raises(
            WorkError, match=r"differs from the network by .* on an image of 17x31.* nothing was writte"
        ):
            export_onnx(file, model(HARD, seed=2), 3)
        patch.setattr(onnx_file, "_recorded", lambda *_: content[:1000])
        with pytest.raises(WorkError, match="onnxruntime cannot run the ONNX file; nothing was written"):
            export_onnx(file, made, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "m.safetensors"]


def test_half_precision_is_close_to_the_network(srsearch: Command, tmp_path: Path, small_sizes: None) -> None:
    made = model(PLAIN)
    saved(tmp_path / "m.safetensors", made)
    ran = srsearch("export", "m.safetensors", "--format", "onnx", "--precision", "fp16")
    assert ran.returncode == 0, ran.stderr
    session = onnxruntime.InferenceSession(tmp_path / "m_fp16.onnx", providers=["CPUExecutionProvider"])
    image = torch.rand(1, 3, 5, 6).half()
    (output,) = session.run(None, {"image": image.numpy()})
    assert output.dtype == np.float16
    with torch.inference_mode():
        assert np.abs(output - made.network(image.float()).numpy()).max() < 1 / 255


def test_torchscript_takes_any_size(
    srsearch: Command, tmp_path: Path, small_sizes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = model(HARD)
    saved(tmp_path / "m.safetensors", made)
    ran = srsearch("export", "m.safetensors", "--format", "torchscript", "--scale", "2")
    assert ran.returncode == 0, ran.stderr
    loaded = torch.jit.load(tmp_path / "m_x2.pt")
    for height, width in ((1, 1), (23, 30)):
        image = torch.rand(1, 3, height, width)
        with torch.inference_mode():
            assert torch.allclose(loaded(image), made.network(image, scale=2), atol=1e-5)
    monkeypatch.setattr(torchscript, "TOLERANCE", -1.0)
    ran = srsearch("export", "m.safetensors", "--format", "torchscript", "--scale", "3")
    assert (ran.returncode, "differs from the network" in ran.stderr) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.safetensors", "m_x2.pt"]


def test_a_published_network_becomes_our_file_with_its_card(srsearch: Command, tmp_path: Path) -> None:
    design = catalogue.get("s-lwsr-16", 4)
    file = saved(tmp_path / "net.safetensors", Model("net", design, build(design, seed=1), FACTS))
    ran = srsearch("export", str(file), "--out", "a.safetensors", "--card", "readme", "--card", "openmodeldb", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["files"] == ["a.safetensors", "README.md", "a.json"]
    assert load_model(tmp_path / "a.safetensors").facts == FACTS
    card = (tmp_path / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["pipeline_tag"] == "image-to-image"
    cost = sr.count(design)
    for text in ("The published network s-lwsr-16", design.key, "| 31.23 | 0.8812 |", "BSDS500", 'sr.load("a.safetens'):
        assert text in card, text
    assert f"| x4 | {format_quantity(cost.params)} | {format_quantity(cost.mult_adds)} |" in card
    entry = json.loads((tmp_path / "a.json").read_text())
    content = (tmp_path / "a.safetensors").read_bytes()
    assert entry["resources"][0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert (entry["scale"], entry["inputChannels"], entry["trainingIterations"]) == (4, 3, 9000)
    again = srsearch("export", str(file), "--out", "a.safetensors")
    assert again.returncode == 2
    assert "a.safetensors: exists; --overwrite replaces it" in again.stderr


def test_a_card_of_a_model_without_history_says_so() -> None:
    card = model_card(Model("new", PLAIN, build(PLAIN, seed=1)))
    assert card.count("Not recorded.") == 2


def test_a_hub_folder_loads_by_the_mixin(srsearch: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = model(HARD)
    saved(tmp_path / "m.safetensors", made)
    ran = srsearch("export", "m.safetensors", "--hub", "hub")
    assert ran.returncode == 0, ran.stderr
    assert sorted(path.name for path in (tmp_path / "hub").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    from srsearch.export.hub import HubNetwork

    image = torch.rand(1, 3, 5, 6)
    for folder in ("hub", "again"):
        loaded = HubNetwork.from_pretrained(tmp_path / folder)
        with torch.inference_mode():
            assert torch.equal(loaded(image, scale=3), made.network(image, scale=3))
        loaded.save_pretrained(tmp_path / "again")
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    (tmp_path / "hub" / "config.json").write_text(json.dumps({**config, "design": PLAIN.to_dict()}))
    with pytest.raises(InputError, match="holds another design"):
        HubNetwork.from_pretrained(tmp_path / "hub")


@pytest.fixture
def spandrel(monkeypatch: pytest.MonkeyPatch) -> Any:
    """spandrel itself. Two of its architectures import torchvision, which needs the PyTorch it was built with.

    Where it cannot be imported, it is replaced by the three names that they import and our files never call.
    """
    try:
        importlib.import_module("torchvision")
    except Exception:  # missing, or built for another PyTorch
        names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
        for name in names:
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        for name in ("InterpolationMode", "rotate", "normalize"):
            setattr(sys.modules[names[-1]], name, None)
    yield pytest.importorskip("spandrel")
    for name in [
        each for each in sys.modules if each.split(".")[0] == "spandrel" or each == "srsearch.export.spandrel"
    ]:
        del sys.modules[name]


@pytest.mark.parametrize("design", [HARD, PLAIN], ids=["multi-scale", "plain"])
def test_spandrels_own_loader_opens_our_files(tmp_path: Path, spandrel: Any, design: Architecture) -> None:
    from srsearch.export.spandrel import install

    made = model(design)
    file = saved(tmp_path / "m.safetensors", made)
    with pytest.raises(spandrel.UnsupportedModelError):
        spandrel.ModelLoader().load_from_file(file)
    install()
    install()
    opened = spandrel.ModelLoader().load_from_file(file)
    assert (opened.architecture.id, opened.scale, opened.input_channels) == ("srsearch", design.scales[-1], 3)
    image = torch.rand(1, 3, 6, 9)
    with torch.inference_mode():
        expected = made.network(image, scale=design.scales[-1]).clamp(0, 1)
        assert torch.allclose(opened(image).clamp(0, 1), expected)


def test_what_cannot_be_exported_is_refused_with_a_sentence(srsearch: Command, tmp_path: Path) -> None:
    saved(tmp_path / "m.safetensors", model(HARD))
    for arguments, message in (
        (("bicubic",), "bicubic has no weights to export"),
        (("m.safetensors", "--format", "onnx"), "upscales by x2, x3: choose one with --scale"),
        (("m.safetensors", "--precision", "fp16"), "--precision fp16 is for --format onnx"),
        (("m.safetensors", "--hub", "h", "--card", "readme"), "say which format"),
        (("m.safetensors", "--out", "nowhere/m.safetensors"), "there is no folder 'nowhere'"),
    ):
        ran = srsearch("export", *arguments)
        assert (ran.returncode, message in ran.stderr) == (2, True), ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.usefixtures("small_sizes")
def test_a_full_disk_is_told_with_the_file_and_leaves_the_one_before(srsearch: Command, tmp_path: Path) -> None:
    saved(tmp_path / "m.safetensors", model(PLAIN))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    results = {tmp_path / name: name.encode() for name in ("a_x4.png", "m.pt", "README.md")}
    for file, before in results.items():
        file.write_bytes(before)
    files = set(tmp_path.iterdir())
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    for *command, named in (
        ("upscale", "m.safetensors", "a.png", "a_x4.png"),
        ("export", "m.safetensors", "--format", "torchscript", "--out", "m.pt", "m.pt"),
        ("export", "m.safetensors", "--hub", ".", "model.safetensors"),
    ):
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limit[1]))  # what it writes fails as on a full disk
        try:
            ran = srsearch(*command, "--overwrite")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert (ran.returncode, ran.stderr.splitlines()[-1]) == (1, f"srsearch: {named}: File too large")
    assert set(tmp_path.iterdir()) == files
    assert {file: file.read_bytes() for file in results} == results
