"""`srsearch compare`: crops side by side, as a picture and as a page."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srsearch.architecture import Architecture, build, save_model
from srsearch.data import Pair
from srsearch.data.bicubic import downscale, upscale
from srsearch.evaluation import Runtime, evaluate, psnr_y
from tests.support.commands import Command

DESIGN = Architecture.from_dict({"scale": [2, 4], "channels": 4, "body": {"chain": {"blocks": 1}}})


@pytest.fixture
def photo(tmp_path: Path) -> np.ndarray:
    """A flat image of 150x203 pixels with one detailed place, saved as photo.png."""
    pixels = np.full((150, 203, 3), 120, np.uint8)
    pixels[90:120, 150:180] = np.random.default_rng(0).integers(0, 255, (30, 30, 3))
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return pixels[:148, :200]  # what x4 divides


def test_crops_and_scores_of_all_models_are_in_the_picture_and_the_page(
    srsearch: Command, tmp_path: Path, photo: np.ndarray
) -> None:
    networks = [build(DESIGN, seed=seed) for seed in (1, 2)]
    for number, network in enumerate(networks):
        (tmp_path / str(number)).mkdir()
        save_model(tmp_path / str(number) / "a<b>.safetensors", DESIGN, network.state_dict())
    models = ["0/a<b>.safetensors", "1/a<b>.safetensors"]
    ran = srsearch("compare", *models, "--image", "photo.png", "--scale", "4", "--json")
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    lr = downscale(photo, 4)
    expected = [psnr_y(upscale(lr, 4), photo, 4)]
    expected += [evaluate(each, [Pair("", photo, lr)], 4, runtime=Runtime(), ssim=False).psnr for each in networks]
    assert [score["model"] for score in said["scores"]] == ["bicubic", *models]
    assert [score["psnr"] for score in said["scores"]] == pytest.approx(expected, abs=0.01)
    left, top, width, height = said["crop"]
    assert (width, height) == (128, 128)
    assert left <= 150
    assert left + width >= 180  # the detailed place
    page = (tmp_path / "compare_photo.html").read_text()
    assert "a<b>" not in page
    assert not re.search(r"""(src|href)=["'](?!data:)|https?://|@import|url\(""", page)
    shown = [base64.b64decode(each) for each in re.findall(r"data:image/png;base64,([\w+/=]+)", page)]
    assert len(shown) == 4
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown[0]))), photo[top : top + 128, left : left + 128])
    with Image.open(tmp_path / "compare_photo.png") as sheet:
        assert sheet.width > 4 * 256
        assert np.array_equal(np.asarray(sheet)[12 : 12 + 256 : 2, 12 : 12 + 256 : 2], photo[top:, left:][:128, :128])
    again = srsearch("compare", *models, "--image", "photo.png", "--scale", "4")
    assert again.returncode == 2
    assert "compare_photo.png, compare_photo.html: exists; --overwrite replaces it" in again.stderr


def test_what_cannot_be_compared_is_refused_with_a_sentence(
    srsearch: Command, tmp_path: Path, photo: np.ndarray
) -> None:
    save_model(tmp_path / "a.safetensors", DESIGN, build(DESIGN, seed=1).state_dict())
    Image.new("RGB", (9, 9)).save(tmp_path / "tiny.png")
    for arguments, message in (
        (("--image", "photo.png"), "the models upscale by x2, x4: choose with --scale"),
        (("--image", "none.png"), "there is no image 'none.png'"),
        (("--image", "tiny.png", "--scale", "4"), "tiny.png: is too small"),
        (("--image", "photo.png", "--scale", "4", "--crop", "1,2,3"), "write LEFT,TOP,WIDTH,HEIGHT"),
        (("--image", "photo.png", "--scale", "4", "--crop", "150,0,60,60"), "the image, which has 200x148 pixels"),
    ):
        ran = srsearch("compare", "a.safetensors", *arguments)
        assert (ran.returncode, message in ran.stderr) == (2, True), ran.stderr
    assert not list(tmp_path.glob("compare*"))
