"""The main job on real photographs, with a tiny budget."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srsearch.data import builtin_photos
from srsearch.store import Store
from tests.conftest import CHECKOUT, Command

TINY = """\
name: tiny
scale: 4
architecture:
  channels: [4, 8, 12]
  block: [residual, efficient_residual]
  body: {cascade: {groups: 2, blocks: [1, 2], fusion: [none, both]}}
  image_residual: [none, bicubic]
constraints:
  mult_adds: {max: 5G}
proxy: {steps: 12, batch: 2, patch: 16}
search: {trials: 5, seed: 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


def photos(folder: Path, count: int = 3) -> Path:
    """A folder of real photographs, cropped small."""
    target = folder / "photos"
    target.mkdir()
    for photo in builtin_photos()[:count]:
        Image.fromarray(photo.pixels[100:220, 100:260]).save(target / f"{photo.name}.png")
    return target


@pytest.mark.long(12)
def test_a_search_trains_networks_and_finds_a_front(folder: Path, srsearch: Command) -> None:
    first = srsearch("run", "tiny.yaml", "--json")
    assert first.returncode == 0, first.stderr
    printed = json.loads(first.stdout)
    assert printed["done"] == 5
    front = printed["front"]
    assert front
    assert 26 < max(row["psnr"] for row in front) < 30, "bicubic has 27.06 dB on these photos"
    assert all(0 < row["ssim"] < 1 for row in front)
    with Store(folder / "studies" / "srsearch.db", read_only=True) as store:
        record = store.study("tiny")
        trials = [t for t in store.trial_records("tiny") if t.state == "complete"]
    assert not set(record.data["train"]["photos"]) & set(record.data["validation"]["photos"])
    assert all(trial.curve[-1] == (12, trial.psnr) for trial in trials)
    # The same command elsewhere gives the same numbers, bit for bit.
    again = srsearch("run", "tiny.yaml", "--json", "--storage", "other.db")
    repeated = json.loads(again.stdout)["front"]
    for row in (*front, *repeated):
        del row["seconds"], row["finished_at"]
    assert repeated == front


def test_another_folder_of_photos_is_another_study(folder: Path, srsearch: Command) -> None:
    target = photos(folder)
    (target / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    Image.fromarray(np.zeros((10, 10, 3), np.uint8)).save(target / "small.png")
    ended = srsearch("run", "tiny.yaml", "--data", "photos", "--trials", "1")
    assert ended.returncode == 0, ended.stderr
    assert "broken.png" in ended.stderr
    assert "small.png" in ended.stderr
    assert "Best within the budget" in ended.stdout
    # Other data, another study.
    assert json.loads(srsearch("studies", "--json").stdout)[0]["name"] == "tiny"
    (target / "coffee-again.png").write_bytes((target / "coffee.png").read_bytes())
    Image.fromarray(builtin_photos()[3].pixels).save(target / "rocket.png")
    srsearch("run", "tiny.yaml", "--data", "photos", "--trials", "1")
    assert {study["name"] for study in json.loads(srsearch("studies", "--json").stdout)} == {"tiny", "tiny-2"}


@pytest.mark.parametrize("content", ["nothing", "no images", "only broken ones"])
def test_a_folder_without_photos_is_wrong_input(folder: Path, srsearch: Command, content: str) -> None:
    (folder / "photos").mkdir()
    if content != "nothing":
        name = "notes.txt" if content == "no images" else "broken.png"
        (folder / "photos" / name).write_text("not an image")
    ended = srsearch("run", "tiny.yaml", "--data", "photos")
    assert ended.returncode == 2, ended.stderr
    assert "photos" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (folder / "dashboards").exists()


def test_a_training_that_gives_nan_fails_its_trial(folder: Path, srsearch: Command) -> None:
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    ended = srsearch(
        "run", "tiny.yaml", "--trials", "3", "--evaluator", "tests.support.evaluators:Poisoned", env=environment
    )
    assert ended.returncode == 0, ended.stderr
    trials = json.loads(srsearch("trials", "--json").stdout)
    failed = [trial["reason"] for trial in trials if trial["state"] == "failed"]
    assert set(failed) == {"the loss is nan at step 1 of 12"}
    assert f"failed: {failed[0]}" in ended.stderr
    assert sum(trial["state"] == "complete" for trial in trials) == 3
