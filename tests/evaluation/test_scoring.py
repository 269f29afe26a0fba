"""Scores on test sets, tiles, self-ensemble, and `srsearch evaluate`."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from srsearch.architecture import Architecture, build, catalogue
from srsearch.architecture.bicubic import upscale_bicubic
from srsearch.data import Photo, builtin_photos, downscale, make_pair, recognise
from srsearch.evaluation import (
    COMMON,
    PCARN,
    Runtime,
    evaluate,
    published_name,
    published_scores,
    reach_of,
    score,
    self_ensemble,
    upscale_tiled,
)
from srsearch.evaluation import scoring as scoring_module
from tests.support.commands import Command

CPU = Runtime("cpu", "fp32", True, 2)


def image(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def small(**fields: object) -> Architecture:
    return Architecture.from_dict({"scale": 2, "channels": 8, "body": {"chain": {"blocks": 2}}, **fields})


# Real files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("benchmark", ["Set5", "Set14"])
def test_lr_images_of_the_benchmarks_are_made_to_the_last_pixel(shared_data: Path, benchmark: str) -> None:
    for scale in (2, 3, 4):
        layout = recognise(shared_data / benchmark, scale)
        assert (layout.kind, layout.benchmark, layout.remarks) == ("SelfExSR", benchmark, ())
        pairs = list(layout.read(pytest.fail))
        assert len(pairs) == {"Set5": 5, "Set14": 14}[benchmark]
        for pair in pairs:
            assert np.array_equal(downscale(pair.hr, scale), pair.lr), pair.name


def test_bicubic_upscaling_has_its_reference_values(shared_data: Path, srsearch: Command) -> None:
    sets = [str(shared_data / name) for name in ("Set5", "Set14")]
    printed = srsearch("evaluate", "bicubic", "--data", *sets, "--protocol", "matlab", "--json")
    assert (printed.returncode, printed.stderr) == (0, "")
    means = {
        (each["set"], each["scale"]): (
            round(each["mean"]["matlab"]["psnr"], 3),
            round(each["mean"]["matlab"]["ssim"], 4),
        )
        for each in json.loads(printed.stdout)["sets"]
    }
    assert means["Set5", 4] == (28.418, 0.8101)
    assert means["Set5", 2] == (33.640, 0.9292)
    assert means["Set14", 4] == (25.993, 0.7023)


def test_a_published_network_has_its_published_scores(shared_data: Path, srsearch: Command) -> None:
    """Set5 at x4, the cheapest; all of Set5 and Set14 are in the documentation."""
    weights, data = str(shared_data / "PCARN-M-L1.pth"), str(shared_data / "Set5")
    printed = srsearch("evaluate", weights, "--data", data, "--scale", "4", "--as", "pcarn-m", "--json")
    assert printed.returncode == 0, printed.stderr
    (result,) = json.loads(printed.stdout)["sets"]
    assert result["mean"]["pcarn"]["psnr"] == pytest.approx(31.85, abs=0.01)
    assert result["mean"]["pcarn"]["ssim"] == pytest.approx(0.8899, abs=0.0002)
    assert result["mean"]["common"]["psnr"] > result["mean"]["pcarn"]["psnr"]
    assert result["bicubic"]["common"]["psnr"] == pytest.approx(28.43, abs=0.005)
    assert result["published"][0] == {
        "paper": "pcarn",
        "table": "IV",
        "model": "PCARN-M (L1)",
        "psnr": 31.85,
        "ssim": 0.8899,
    }
    assert result["complete"]


# The command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "Set5"
    folder.mkdir()
    for photo in builtin_photos()[:2]:
        Image.fromarray(photo.pixels[:65, :90]).save(folder / f"{photo.name}.png")
    return folder


def test_scores_are_printed_as_table_json_and_csv(srsearch: Command, photos: Path) -> None:
    command = ("evaluate", "bicubic", "--data", str(photos), "--scale", "2")
    table, as_json, as_csv = (srsearch(*command, *form) for form in ((), ("--json",), ("--csv",)))
    assert "cropped 2 HR images" in table.stderr
    assert "Set5: HR images, 2 images at x2, LR images made by bicubic downscaling" in table.stdout
    assert "Set5 has 5 images: means over 2 compare with no paper" in table.stdout
    assert "published: 33.6" in table.stdout
    narrow = srsearch(*command, env={"COLUMNS": "40"}).stdout
    assert ("…" not in narrow, narrow.count("chelsea.png")) == (True, 2)  # a table for each protocol
    (result,) = json.loads(as_json.stdout)["sets"]
    assert [each["name"] for each in result["images"]] == ["astronaut.png", "chelsea.png"]
    assert (result["images"][0]["width"], result["images"][0]["height"]) == (90, 64)
    pairs = [make_pair(Photo(each.name, each.pixels[:65, :90]), 2) for each in builtin_photos()[:2]]
    expected = score(None, pairs, 2, runtime=CPU)
    rows = {(row["protocol"], row["image"]): row for row in csv.DictReader(io.StringIO(as_csv.stdout))}
    for protocol in ("common", "pcarn"):
        assert result["mean"][protocol] == pytest.approx(vars(expected.mean(protocol)))
        assert float(rows[protocol, "mean"]["psnr"]) == pytest.approx(expected.mean(protocol).psnr)
    assert len(rows) == 6


def test_each_test_set_in_a_folder_is_measured_by_itself(srsearch: Command, photos: Path) -> None:
    above = photos.parent
    for other in ("set14/HR", "mine"):
        shutil.copytree(photos, above / other)
    (above / "set14" / "HR" / "chelsea.png").unlink()
    ended = srsearch("evaluate", "bicubic", "--data", str(above), "--scale", "2", "--json")
    assert f"{above} holds 2 test sets, Set5, set14, each taken by itself; left out: mine" in ended.stderr
    sets = json.loads(ended.stdout)["sets"]
    assert [(each["benchmark"], len(each["images"])) for each in sets] == [("Set5", 2), ("Set14", 1)]
    alone = srsearch("evaluate", "bicubic", "--data", str(photos), "--scale", "2", "--json")
    assert json.loads(alone.stdout)["sets"][0]["mean"] == sets[0]["mean"]
    listed = srsearch("data", "list", str(above)).stdout.splitlines()
    assert [line.partition(":")[0] for line in listed] == ["Set5", "Set14"]


def test_self_ensemble_is_named_with_its_cost(srsearch: Command, photos: Path, tmp_path: Path) -> None:
    from srsearch.architecture import save_model

    design = small()
    save_model(tmp_path / "small.safetensors", design, build(design, seed=0).state_dict())
    command = ("evaluate", "small.safetensors", str(photos), "--device", "cpu")
    once, eight = (srsearch("evaluate", *command[1:], *more, "--json") for more in ((), ("--self-ensemble",)))
    assert once.returncode == eight.returncode == 0, eight.stderr
    costs = [json.loads(each.stdout)["sets"][0]["mult_adds"] for each in (once, eight)]
    assert costs[1] == 8 * costs[0]
    assert "self-ensemble is 8 times" in srsearch(*command, "--self-ensemble").stdout


def test_wrong_requests_are_refused(srsearch: Command, photos: Path, tmp_path: Path) -> None:
    from srsearch.architecture import save_model

    design = small()
    save_model(tmp_path / "small.safetensors", design, build(design, seed=0).state_dict())
    for arguments, message in (
        (("bicubic",), "Missing option '--data'"),
        (("bicubic", str(photos)), "has no LR images that say a scale: give --scale"),
        (("small.safetensors", str(photos), "--scale", "4"), "small does not upscale by 4; its scales: 2"),
        (("bicubic", str(tmp_path / "none"), "--scale", "2"), "does not exist"),
    ):
        ended = srsearch("evaluate", *arguments)
        assert ended.returncode == 2
        assert message in ended.stderr


# Scores --------------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_evaluate() -> None:
    pairs = [make_pair(Photo(each.name, each.pixels[:96, :80]), 2) for each in builtin_photos()[:2]]
    network = CPU.placed(build(small(), seed=1))
    scores = score(network, pairs, 2, runtime=CPU)
    for protocol in (COMMON, PCARN):
        expected = evaluate(network, pairs, 2, runtime=CPU, protocol=protocol)
        assert scores.mean(protocol.name).psnr == pytest.approx(expected.psnr)
        assert scores.mean(protocol.name).ssim == pytest.approx(expected.ssim)


def test_published_rows_are_those_of_the_same_network_scale_and_set() -> None:
    assert published_name(catalogue.get("pcarn-m", 4)) == published_name(catalogue.get("pcarn-m")) == "pcarn-m"
    assert published_name(small()) is None
    own, *others = published_scores("carn", 4, "Set5")
    assert (own.paper, own.model, own.psnr, own.ssim) == ("pcarn", "CARN", 32.13, 0.8937)
    assert {row.paper for row in others} >= {"efficiency", "s-lwsr"}
    assert all(row.ssim is None for row in published_scores("bicubic", 4, "Set5") if row.paper == "prosrn")


# Tiles and self-ensemble ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "design",
    [
        small(),
        small(colour="luminance", image_residual="bicubic"),
        small(scale=4, levels="pyramid"),
        catalogue.get("s-lwsr-16", 4),
        catalogue.get("carn-m", 3),
    ],
    ids=["chain", "luminance", "pyramid", "s-lwsr", "carn-m"],
)
def test_tiles_give_the_untiled_result(design: Architecture) -> None:
    network = build(design, seed=0).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # weights that let everything through
            parameter.add_(0.01)
    scale = design.scales[0]
    reach = reach_of(network, scale)
    assert reach.exact
    with torch.inference_mode():
        lr = image(50, 71)
        whole = upscale_tiled(network, lr, scale, 200, reach)
        tiled = upscale_tiled(network, lr, scale, 23, reach)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4 * max(1.0, float(whole.abs().max())))


def test_the_reach_is_the_receptive_field_of_the_convolutions() -> None:
    """A 3x3 and a 5x5 convolution see three pixels to each side."""

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 12, 5, padding=2))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.pixel_shuffle(self.convs(x), 2)

    assert reach_of(Plain(), 2).pixels == 3


def test_networks_that_average_over_the_image_say_that_tiles_approximate() -> None:
    design = small(block="rcab", channels=16)
    network = CPU.placed(build(design, seed=0))
    assert not reach_of(network, 2).exact
    pair = make_pair(Photo("a", builtin_photos()[0].pixels[:160, :160]), 2)
    messages: list[str] = []
    tiled = score(network, [pair], 2, runtime=CPU, tile=32, warn=messages.append)
    whole = score(network, [pair], 2, runtime=CPU)
    assert "tiles only approximate the untiled result" in messages[0]
    assert tiled.images[0].tile == 32
    assert tiled.mean("common").psnr == pytest.approx(whole.mean("common").psnr, abs=0.05)


def test_out_of_memory_is_answered_with_smaller_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    network = CPU.placed(build(small(), seed=0))
    pair = make_pair(Photo("a", builtin_photos()[0].pixels[:160, :160]), 2)
    expected = score(network, [pair], 2, runtime=CPU)
    upscale = scoring_module.upscale_image

    def short_of_memory(network: nn.Module, lr: Tensor, scale: int) -> Tensor:
        if lr.shape[-1] * lr.shape[-2] > 50 * 50:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return upscale(network, lr, scale)

    monkeypatch.setattr(scoring_module, "upscale_image", short_of_memory)
    messages: list[str] = []
    scores = score(network, [pair], 2, runtime=CPU, warn=messages.append)
    assert messages[0] == "a: out of memory; trying again in tiles of 40x40 LR pixels"
    assert scores.images[0].tile == 40
    assert scores.mean("common").psnr == pytest.approx(expected.mean("common").psnr, abs=1e-3)


def test_self_ensemble_is_the_mean_over_flips_and_rotations() -> None:
    lr = image(9, 14)
    symmetric = self_ensemble(lambda x: upscale_bicubic(x, 2), lr)
    torch.testing.assert_close(symmetric, upscale_bicubic(lr, 2), rtol=0, atol=1e-6)
    seen: list[Tensor] = []

    def shifted(x: Tensor) -> Tensor:
        seen.append(x)
        return torch.cumsum(upscale_bicubic(x, 2), dim=-1)

    mean = self_ensemble(shifted, lr)
    assert len({each.numpy().tobytes() for each in seen}) == 8
    expected = torch.zeros_like(mean)
    for flip in (False, True):
        for turns in range(4):
            turned = torch.rot90(lr.flip(-1) if flip else lr, turns, (-2, -1))
            back = torch.rot90(torch.cumsum(upscale_bicubic(turned, 2), dim=-1), -turns, (-2, -1))
            expected += (back.flip(-1) if flip else back) / 8
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-4)
