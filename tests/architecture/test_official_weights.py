"""Official weights: the authors' files, their layouts, and files that are refused."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from srsearch import literature
from srsearch.architecture import Architecture, Network, build, catalogue
from srsearch.architecture.network import MEAN_RGB
from srsearch.architecture.official_weights import (
    LAYOUTS,
    S_LWSR,
    Layout,
    load_official,
    official_state_dict,
    read_tensors,
)
from srsearch.data import Pair
from srsearch.errors import InputError
from srsearch.evaluation import PCARN, Runtime, evaluate

RELEASED = [(layout, name) for layout in LAYOUTS for name in layout.networks]
PRINTED = Path(literature.__file__).parent / "quality.csv"


def released(layout: Layout, name: str, scale: int | None = None) -> Architecture:
    """The design that the released code builds for a published network."""
    plain = catalogue.get(name, scale).to_dict()
    if layout is S_LWSR:
        plain["body"]["symmetric"]["activations"] = "all"
    return Architecture.from_dict(plain)


def random_network(design: Architecture, seed: int = 1) -> Network:
    network = build(design, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:  # initially zero: exchanged ones would not be noticed
                parameter.uniform_(-0.1, 0.1, generator=generator)
    return network


def saved(path: Path, tensors: Mapping[str, Any]) -> Path:
    torch.save(dict(tensors), path)
    return path


def outputs(network: Network) -> list[Tensor]:
    x = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return [network(x, scale=scale) for scale in network.scales]


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    """Random weights of PCARN-M in its layout."""
    design = catalogue.get("pcarn-m")
    return official_state_dict(random_network(design), design)


# The released file ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pcarn_m(shared_data: Path) -> Path:
    return shared_data / "PCARN-M-L1.pth"


def test_the_released_pcarn_m_is_recognised(pcarn_m: Path) -> None:
    loaded = load_official(pcarn_m)
    assert (loaded.name, loaded.design) == ("pcarn-m", catalogue.get("pcarn-m"))
    assert str(loaded) == "pcarn-m x2, x3, x4, as github.com/nmhkahn/PCARN-pytorch saves it"
    raw = torch.load(pcarn_m, map_location="cpu", weights_only=True)
    written = official_state_dict(loaded.network, loaded.design)
    assert written.keys() == raw.keys()
    assert all(torch.equal(written[key], raw[key]) for key in raw)
    named = load_official(pcarn_m, "PCARN-M (L1)")
    assert all(torch.equal(*pair) for pair in zip(outputs(loaded.network), outputs(named.network), strict=True))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_released_pcarn_m_has_its_printed_psnr(pcarn_m: Path, scale: int) -> None:
    def pixels(file: Path) -> Any:
        return np.array(Image.open(file).convert("RGB"))

    pairs = [
        Pair(file.stem, pixels(file), pixels(file.with_name(file.name.replace("_HR", "_LR"))))
        for file in sorted((pcarn_m.parent / "Set5" / f"image_SRF_{scale}").glob("*_HR.png"))
    ]
    assert len(pairs) == 5
    with PRINTED.open() as file:
        wanted = {"table": "IV", "model": "PCARN-M (L1)", "scale": str(scale), "dataset": "Set5", "metric": "psnr_db"}
        (printed,) = [float(row["value"]) for row in csv.DictReader(file) if wanted.items() <= row.items()]
    network = load_official(pcarn_m).network
    runtime = Runtime("cpu", "fp32", True, 1)
    quality = evaluate(network, pairs, scale, runtime=runtime, protocol=PCARN, ssim=False)
    assert quality.psnr == pytest.approx(printed, abs=0.02)


def test_a_wrong_name_or_scale_is_answered_with_the_right_network(pcarn_m: Path) -> None:
    for name in ("carn-m", "pcarn", "s-lwsr-16", "pcarn-g8r"):
        with pytest.raises(InputError, match=rf"PCARN-M-L1.pth: this is not {name} .*; it is pcarn-m x2, x3, x4"):
            load_official(pcarn_m, name)
    with pytest.raises(InputError, match=r"this is not pcarn-m x4, .*; it is pcarn-m x2, x3, x4"):
        load_official(pcarn_m, "pcarn-m", 4)


# Layouts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layout", "name"), RELEASED, ids=lambda each: each if isinstance(each, str) else "")
def test_written_weights_are_read_back(tmp_path: Path, layout: Layout, name: str) -> None:
    several = [None] if layout.upsamplers else []
    for scale in (*several, 2, 3, 4, 8):
        design = released(layout, name, scale)
        network = random_network(design)
        file = saved(tmp_path / "weights.pth", official_state_dict(network, design))
        # Some names have one design (pcarn-m and pcarn-g4r): recognised is the first.
        for loaded in (load_official(file), load_official(file, name), load_official(file, name, scale)):
            assert (loaded.design, loaded.layout) == (design, layout)
            for given, back in zip(outputs(network), outputs(loaded.network), strict=True):
                # s-LWSR's layout is for images in 0..255, and 255 times a 255th of a weight is rounded.
                torch.testing.assert_close(back, given, rtol=0, atol=2e-6 if layout is S_LWSR else 0)


class Released:
    """Computes what released code computes from its tensors, written independently of our networks."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors

    def conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.tensors[f"{name}.weight"]
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(x, weight, self.tensors.get(f"{name}.bias"), padding=weight.shape[-1] // 2, groups=groups)

    def convs(self, names: Sequence[str], x: Tensor) -> Tensor:
        for i, name in enumerate(names):
            x = self.conv(name, F.relu(x) if i else x)
        return x

    def upsampled(self, name: str, x: Tensor) -> Tensor:
        """The upsampler: convolution, ReLU and shuffle are three modules, so every third module has tensors."""
        for i in (0, 3):
            if f"{name}.{i}.weight" in self.tensors:
                channels = x.shape[1]
                x = F.relu(self.conv(f"{name}.{i}", x))
                x = F.pixel_shuffle(x, math.isqrt(x.shape[1] // channels))
        return x

    def cascading(self, x: Tensor, scale: int, *, body: bool, names: Sequence[str], copies: bool, skip: bool) -> Tensor:
        """CARN or PCARN. ``body`` is part of CARN's names; its fusions have activations."""

        def cascade(prefix: str, step: Callable[[str, Tensor], Tensor], x: Tensor) -> Tensor:
            seen, out = [x], x
            for j in "123":
                seen.append(step(j, out))
                out = self.conv(f"{prefix}c{j}{'.body.0' if body else ''}", torch.cat(seen, 1))
                out = F.relu(out) if body else out
            return out

        def block(i: str, j: str, x: Tensor) -> Tensor:
            prefix = f"b{i}.b{j if copies else 1}"
            return F.relu(self.convs([f"{prefix}.{name}" for name in names], x) + x)

        entry = self.conv("entry", self.conv("sub_mean.shifter", x))
        out = cascade("", lambda i, x: cascade(f"b{i}.", lambda j, x: block(i, j, x), x), entry)
        out = self.upsampled(f"upsample.up{scale}.body", out + entry if skip else out)
        return self.conv("add_mean.shifter", self.conv("exit", out))

    def s_lwsr(self, x: Tensor) -> Tensor:
        def block(name: str, x: Tensor) -> Tensor:
            return x + self.convs([f"{name}.body.0", f"{name}.body.2"], x)

        head = out = self.conv("head.0", self.conv("sub_mean", 255 * x))
        seen: dict[str, Tensor] = {}
        for i in range(2, 6):
            for j in range(1, 4):
                out = seen[f"{i}_{j}"] = block(f"feat{i}_{j}", out)
            out = seen[f"{i}_1"] + out
        seen["6_1"] = block("feat6_1", out)
        out = seen["6_2"] = block("feat6_2", seen["6_1"])
        pool = self.conv("conv1", torch.cat([head, *(seen[name] for name in ("3_1", "4_1", "5_1", "6_1", "6_2"))], 1))
        for i in range(7, 11):
            mixed = torch.cat([out, (seen[f"{12 - i}_3"] + pool) / 2], 1)
            out = block(f"feat{i}_2", block(f"feat{i}_1", self.conv(f"feat{i}_1.conv", mixed)))
            out = block(f"conv{i}", out)
        out = self.conv("tail.0.2", F.pixel_shuffle(self.conv("tail.0.0", out + head), 2))
        return self.conv("add_mean", self.conv("tail.1", F.pixel_shuffle(out, 2))) / 255


@pytest.mark.parametrize("name", ["pcarn", "pcarn-m", "carn", "carn-m", "s-lwsr-16"])
def test_our_network_computes_what_the_released_code_computes(name: str) -> None:
    (layout,) = (layout for layout in LAYOUTS if name in layout.networks)
    design = released(layout, name)
    network = random_network(design)
    reference = Released(official_state_dict(network, design))
    mobile, body = name.endswith("-m"), name.startswith("carn")
    names = ["body.0", "body.2", "body.4"] if body else ["conv1", "conv2", "pw"]
    x = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    for scale, ours in zip(network.scales, outputs(network), strict=True):
        if layout is S_LWSR:
            theirs = reference.s_lwsr(x)
        else:
            used = names if mobile else names[:2]
            theirs = reference.cascading(
                x, scale, body=body, names=used, copies=name != "carn-m", skip=name.startswith("pcarn")
            )
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-6)


def test_keys_are_those_of_the_released_code() -> None:
    """Checks a few keys of each source, including its peculiarities."""
    sample = {
        "pcarn": "b2.b3.conv2.weight b2.c3.bias c1.weight upsample.up4.body.3.bias sub_mean.shifter.weight",
        "pcarn-m": "b3.b3.pw.weight b1.b1.conv1.bias upsample.up3.body.0.weight",
        "carn": "b2.b3.body.2.weight b2.c3.body.0.bias c1.body.0.weight upsample.up2.body.0.weight exit.bias",
        "carn-m": "b2.b1.body.4.weight b2.c3.body.0.bias upsample.up4.body.0.weight add_mean.shifter.bias",
        "s-lwsr-32": "head.0.weight feat2_1.body.0.weight feat6_2.body.2.bias conv1.weight feat7_1.conv.weight "
        "feat7_1.body.0.bias conv10.body.2.weight tail.0.2.weight tail.1.bias add_mean.bias",
    }
    for layout in LAYOUTS:
        name = next(name for name in layout.networks if name in sample)
        design = released(layout, name)
        keys = official_state_dict(build(design), design).keys()
        assert set(sample[name].split()) <= keys
        assert "b1.b2.body.0.weight" not in keys or name == "carn"
        assert "conv1.bias" not in keys


def test_a_single_scale_network_has_one_unnumbered_upsampler() -> None:
    design = catalogue.get("carn", 3)
    keys = official_state_dict(build(design), design).keys()
    assert {key for key in keys if key.startswith("upsample")} == {
        f"upsample.up.body.0.{x}" for x in ("weight", "bias")
    }


@pytest.mark.parametrize("peak", [1, 255])
def test_the_range_of_s_lwsr_weights_is_read_from_the_mean_shift(tmp_path: Path, peak: int) -> None:
    """Weights for images in 0..255 and in 0..1 give the same network."""
    design = released(S_LWSR, "s-lwsr-16")
    network = random_network(design)
    state = official_state_dict(network, design)
    torch.testing.assert_close(state["sub_mean.bias"], -255 * torch.tensor(MEAN_RGB))
    torch.testing.assert_close(state["head.0.weight"] * 255, network.state_dict()["entry.0.weight"])
    torch.testing.assert_close(state["tail.1.bias"] / 255, network.state_dict()["exit.bias"])
    if peak == 1:
        state |= {f"{name}_mean.bias": state[f"{name}_mean.bias"] / 255 for name in ("sub", "add")}
        state |= {"head.0.weight": state["head.0.weight"] * 255}
        state |= {key: state[key] / 255 for key in ("tail.1.weight", "tail.1.bias")}
    loaded = load_official(saved(tmp_path / "model_best.pt", state))
    torch.testing.assert_close(outputs(loaded.network), outputs(network), rtol=0, atol=2e-6)


def test_s_lwsr_keeps_the_activations_that_its_code_keeps(tmp_path: Path) -> None:
    published = catalogue.get("s-lwsr-32")
    design = released(S_LWSR, "s-lwsr-32")
    assert design != published
    file = saved(tmp_path / "model_best.pt", official_state_dict(build(design), design))
    loaded = load_official(file, "s-LWSR32")
    assert loaded.design == design
    assert str(loaded) == "s-lwsr-32 x4 with every activation, as github.com/Sudo-Biao/s-LWSR saves it"
    with pytest.raises(InputError, match="no released code builds this design"):
        official_state_dict(build(published), published)


def test_a_network_of_another_design_is_not_written() -> None:
    with pytest.raises(InputError, match="the network was not built from the design carn"):
        official_state_dict(build(catalogue.get("pcarn-m")), catalogue.get("carn"))
    luminance = catalogue.get("prosrn", 2)
    with pytest.raises(InputError, match="no released code builds this design"):
        official_state_dict(build(luminance), luminance)


def test_loading_does_not_advance_the_random_generator(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    file = saved(tmp_path / "a.pth", tensors)
    before = torch.random.get_rng_state()
    load_official(file)
    assert torch.equal(torch.random.get_rng_state(), before)


# Wrappings ------------------------------------------------------------------------------------------------------------


def wrappings() -> dict[str, Callable[[dict[str, Tensor]], dict[str, Any]]]:
    def other(state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: tensor + 1 for key, tensor in state.items()}

    return {
        "state_dict": lambda state: {"state_dict": state, "epoch": 7},
        "params": lambda state: {"params": state},
        "model": lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        "averaged before plain": lambda state: {"params": other(state), "params_ema": state},
        "twice": lambda state: {"model": {"state_dict": state}},
        "parallel": lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
        "parallel within": lambda state: {"state_dict": {f"module.model.{key}": each for key, each in state.items()}},
        "compiled": lambda state: {f"_orig_mod.{key}": tensor for key, tensor in state.items()},
        "compiled within": lambda state: {f"module._orig_mod.{key}": tensor for key, tensor in state.items()},
        "parallel, then compiled": lambda state: {f"_orig_mod.module.{key}": each for key, each in state.items()},
        "a part compiled": lambda state: {key.replace(".", "._orig_mod.", 1): each for key, each in state.items()},
        "double precision": lambda state: {key: tensor.double() for key, tensor in state.items()},
    }


@pytest.mark.parametrize("wrapping", wrappings())
def test_nested_state_dicts_and_prefixes_are_read(tmp_path: Path, tensors: dict[str, Tensor], wrapping: str) -> None:
    plain = load_official(saved(tmp_path / "plain.pth", tensors))
    loaded = load_official(saved(tmp_path / "wrapped.pth", wrappings()[wrapping](tensors)))
    assert all(torch.equal(*pair) for pair in zip(outputs(plain.network), outputs(loaded.network), strict=True))


def test_half_precision_and_old_files_are_read(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    half = {key: tensor.half() for key, tensor in tensors.items()}
    loaded = load_official(saved(tmp_path / "half.pth", half))
    assert {parameter.dtype for parameter in loaded.network.parameters()} == {torch.float32}
    assert torch.equal(loaded.network.state_dict()["exit.weight"], half["exit.weight"].float())
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert load_official(tmp_path / "old.pth").name == "pcarn-m"


def test_safetensors_files_are_read(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    file = tmp_path / "a.safetensors"
    safetensors.torch.save_file(tensors, file)
    assert load_official(file).name == "pcarn-m"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"a\.safetensors cannot be read as weights: not a safetensors file, or damag"):
        load_official(file)


# What does not fit ----------------------------------------------------------------------------------------------------


def refusal(tmp_path: Path, state: Mapping[str, Any], name: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        load_official(saved(tmp_path / "weights.pth", state), name)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'weights.pth'}: ")
    return message


@pytest.mark.parametrize("name", [None, "pcarn-m"])
def test_missing_surplus_and_misshapen_tensors_are_named(
    tmp_path: Path, tensors: dict[str, Tensor], name: str | None
) -> None:
    missing = {key: tensor for key, tensor in tensors.items() if key != "b1.b2.pw.bias"}
    message = refusal(tmp_path, missing, name)
    assert "pcarn-m x2, x3, x4" in message
    assert message.endswith("; missing: b1.b2.pw.bias (64,)")
    surplus = refusal(tmp_path, tensors | {"extra.weight": torch.ones(2, 3), "epoch": 3}, name)
    assert surplus.endswith("; left over: extra.weight (2, 3), epoch int")
    misshapen = refusal(tmp_path, tensors | {"exit.bias": torch.ones(4)}, name)
    assert misshapen.endswith("; wrong shape: exit.bias is (4,), should be (3,)")
    integers = refusal(tmp_path, tensors | {"exit.bias": torch.ones(3, dtype=torch.int64)}, name)
    assert "exit.bias is torch.int64" in integers
    sparse = refusal(tmp_path, tensors | {"exit.bias": torch.ones(3).to_sparse()}, name)
    assert "exit.bias is torch.float32, torch.sparse_coo" in sparse
    two = dict(missing)
    two["b1.b2.pw.biases"] = tensors["b1.b2.pw.bias"]
    assert refusal(tmp_path, two, name).endswith("missing: b1.b2.pw.bias (64,); left over: b1.b2.pw.biases (64,)")


def test_the_error_for_unknown_weights_lists_the_known_networks(tmp_path: Path) -> None:
    message = refusal(tmp_path, torch.nn.Conv2d(3, 4, 5).state_dict())
    assert "its tensors (weight, bias) are those of no network whose official layout is known; known are pc" in message
    named = refusal(tmp_path, torch.nn.Conv2d(3, 4, 5).state_dict(), "carn")
    assert "this is not carn x" in named
    assert "missing: sub_mean.shifter.weight (3, 3, 1, 1)," in named
    assert " more; left over: weight (4, 3, 5, 5), bias (4,)" in named


def test_copies_of_a_shared_block_have_to_be_equal(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    changed = tensors["b2.b3.conv2.weight"].clone()
    changed[5, 3, 1, 1] += 1e-6
    message = refusal(tmp_path, tensors | {"b2.b3.conv2.weight": changed})
    assert "b2.b1.conv2.weight and b2.b3.conv2.weight differ, but pcarn-m shares one block there" in message


@pytest.mark.parametrize("key", ["sub_mean.shifter.bias", "add_mean.shifter.bias", "sub_mean.shifter.weight"])
def test_another_mean_shift_is_refused(tmp_path: Path, tensors: dict[str, Tensor], key: str) -> None:
    moved = tensors[key] + 1e-4
    message = refusal(tmp_path, tensors | {key: moved})
    assert "the mean shift (sub_mean, add_mean) is not the fixed one" in message
    assert "should be minus [0.4488, 0.4371, 0.404] for images in 0..1" in message
    scaled = {name: tensor * 255 if name.endswith("shifter.bias") else tensor for name, tensor in tensors.items()}
    assert "is not the fixed one" in refusal(tmp_path, scaled)


def test_values_have_to_be_finite(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    tensors["c2.weight"][0, 0] = float("nan")
    assert refusal(tmp_path, tensors).endswith("c2.weight is not finite")


def test_networks_without_a_layout_are_refused(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    file = saved(tmp_path / "a.pth", tensors)
    with pytest.raises(InputError, match="no published network is named 'pcarm'; did you mean"):
        load_official(file, "pcarm")
    with pytest.raises(InputError, match="no official layout of 'bl-e' is known; valid: carn, carn-m, pcarn,"):
        load_official(file, "bl-e")
    with pytest.raises(InputError, match="scale: 5 is not one of 2, 3, 4, 8, 16"):
        load_official(file, "pcarn-m", 5)


# Files that are refused -----------------------------------------------------------------------------------------------


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.proof}'",)


@pytest.mark.parametrize("kind", ["zip", "old", "bare", "beside", "key"])
def test_hostile_pickles_are_refused_and_do_not_run(
    tmp_path: Path, tensors: dict[str, Tensor], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, proof = tmp_path / "hostile.pth", tmp_path / "proof"
    content: Any = tensors | {"epoch": Hostile(proof)} if kind == "beside" else {"entry.weight": Hostile(proof)}
    content = {Hostile(proof): torch.ones(1)} if kind == "key" else content
    if kind == "bare":
        file.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=kind != "old")
    for forced in ("0", "1"):  # refused even if the environment tells PyTorch to load everything
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", forced)
        with pytest.raises(
            InputError, match=r"hostile\.pth: refused, and nothing in it was run: it asks for posix\.system"
        ):
            load_official(file, "pcarn-m")
        assert not proof.exists()
    # The pickle does run where it is allowed to.
    with contextlib.suppress(RuntimeError):
        torch.load(file, weights_only=False)
    assert proof.exists()


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Conv2d(1, 1, 1)}, tmp_path / "a.pth")
    with pytest.raises(
        InputError, match=r"asks for torch\.nn\.modules\.conv\.Conv2d, .*torch\.save\(network\.state_di"
    ):
        load_official(tmp_path / "a.pth")


def test_damaged_files_are_refused(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    contents: dict[str, bytes] = {"empty": b"", "text": b"hello\n" * 99, "html": b"<!DOCTYPE html><html></html>"}
    for old in (False, True):
        torch.save(tensors, tmp_path / "whole.pth", _use_new_zipfile_serialization=not old)
        whole = (tmp_path / "whole.pth").read_bytes()
        contents |= {f"cut {old} {part}": whole[: int(part * len(whole))] for part in (0.001, 0.2, 0.9)}
    for name, content in contents.items():
        file = tmp_path / f"{name}.pth"
        file.write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}\.pth cannot be read as weights: not a file of"):
            load_official(file)


def test_files_without_a_state_dict_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file '.*none\.pth'"):
        load_official(tmp_path / "none.pth")
    with pytest.raises(InputError, match="there is no file"):
        load_official(tmp_path)
    for content, what in ((torch.ones(3), "Tensor"), ([1, 2], "list"), ({}, "dict"), ({"a": {"b": 1}}, "dict")):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(InputError, match=rf"a\.pth: holds no state dict, but {what}"):
            load_official(tmp_path / "a.pth")
    endless: dict[str, Any] = {}
    endless["model"] = endless
    torch.save(endless, tmp_path / "a.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        read_tensors(tmp_path / "a.pth")
