"""Folders of photos as users have them: links, permissions, names, and data sets with LR images."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srsearch.data import builtin_photos, load_training_data, read_folder
from srsearch.data.bicubic import Pixels
from srsearch.data.files import lr_files
from srsearch.errors import InputError
from tests.conftest import CHECKOUT
from tests.support.unprivileged import unprivileged


def save(pixels: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def noise(seed: int, height: int = 40, width: int = 48) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read(folder: Path) -> tuple[set[str], list[str]]:
    """Names of the photos, and warnings."""
    warnings: list[str] = []
    return {photo.name for photo in read_folder(folder, min_side=16, warn=warnings.append)}, warnings


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="srsearch-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    for path, folders, _ in os.walk(folder):
        for each in folders:
            Path(path, each).chmod(0o755)
    shutil.rmtree(folder)


def test_links_are_followed_and_each_folder_is_entered_once(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    save(noise(1), data / "own" / "1.png")
    save(noise(2), elsewhere / "2.png")
    save(noise(3), tmp_path / "3.png")
    (data / "a").symlink_to(elsewhere)
    (data / "also").symlink_to(elsewhere)
    (data / "again").symlink_to(data / "own")
    (data / "own" / "loop").symlink_to(data)
    (data / "3.png").symlink_to(tmp_path / "3.png")
    assert read(data) == ({"own/1.png", "a/2.png", "3.png"}, [])
    (data / "gone").symlink_to(tmp_path / "nowhere")
    (data / "round").symlink_to("round")
    (data / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(data / "pipe.png")
    names, warnings = read(data)
    assert names == {"own/1.png", "a/2.png", "3.png"}
    told = "; ".join(warnings)
    assert "gone (No such file or directory)" in told
    assert "round (Too many levels of symbolic links)" in told
    assert "gone.png (cannot be read: No such file or directory)" in told
    assert "pipe.png (is not a file)" in told


def test_what_may_not_be_read_is_named_with_the_reason(open_folder: Path) -> None:
    for number in range(4):
        save(noise(number), open_folder / f"part{number}" / f"{number}.png")
    (open_folder / "part1").chmod(0)
    (open_folder / "part2").chmod(0o444)  # may be listed, not entered
    (open_folder / "part3" / "3.png").chmod(0)
    names, warnings = unprivileged(lambda: read(open_folder))
    assert names == {"part0/0.png"}
    told = "; ".join(warnings)
    for name in ("part1 (", "part2/2.png (cannot be read: ", "part3/3.png (cannot be read: "):
        assert f"{name}Permission denied)" in told
    assert "damaged" not in told
    open_folder.chmod(0)
    for folder in (open_folder, open_folder / "part0"):
        error = unprivileged(lambda folder=folder: read(folder))
        assert isinstance(error, InputError)
        assert str(error) == f"the data folder {str(folder)!r} cannot be read: Permission denied"


@pytest.mark.parametrize("folder", ["", "~nobody-of-this-name/photos", "a\0b", "x" * 300])
def test_what_is_not_a_folder_is_refused(folder: str) -> None:
    with pytest.raises(InputError, match="the data folder"):
        load_training_data(folder, 4, patch=8)


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        (["DIV2K_train_HR/0002.png"], ["DIV2K_train_LR_bicubic/X4/0002x4.png", "DIV2K_train_LR_wild/0002x4w1.png"]),
        (["Set5/GTmod12/baby.png"], ["Set5/LRbicx4/baby.png", "Set5/LRbicx2/baby.png"]),
        (["image_SRF_4/img_001_SRF_4_HR.png"], ["image_SRF_4/img_001_SRF_4_LR.png"]),
        (["Test/4/Canon_001_HR.png"], ["Test/4/Canon_001_LR4.png"]),
        (["high_res/a photo.jpg"], ["low_res/a photo.jpg"]),
        (["trainHR/1.png", "trainHR/2.png"], ["trainLR/1.png"]),
        (["LR_bicubic/X2/0001x2.png", "LR_bicubic/X4/0002x4.png"], []),  # without HR they are photos like others
        (["box.png", "box2.png", "x2.png", "lily.png", "Alrun/1.png", "1.png"], []),
    ],
)
def test_lr_images_are_recognised_by_their_names(hr: list[str], lr: list[str]) -> None:
    assert set(lr_files(hr + lr)) == set(lr)


@pytest.mark.parametrize(
    ("hr", "lr"),
    [("HR/{}.png", "LR_bicubic/X4/{}x4.png"), ("GTmod12/{}.png", "LRbicx4/{}.png"), ("{}_large.png", "{}_small.png")],
)
def test_lr_images_of_validation_photos_are_not_trained_on(tmp_path: Path, hr: str, lr: str) -> None:
    photos = [photo for photo in builtin_photos() if photo.name in ("chelsea", "coffee", "astronaut", "rocket")]
    for photo in photos:
        save(photo.pixels, tmp_path / hr.format(photo.name))
        image = Image.fromarray(photo.pixels)
        save(np.asarray(image.resize((image.width // 4, image.height // 4))), tmp_path / lr.format(photo.name))
    warnings: list[str] = []
    data = load_training_data(tmp_path, 2, patch=16, warn=warnings.append)
    assert {pair.name for pair in data.train + data.validation} == {hr.format(photo.name) for photo in photos}
    assert "left out 4 smaller copies (LR images) of other photos" in warnings[0]


def test_photos_of_the_same_size_or_of_other_subjects_are_kept(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:64, 0:64]
    sky = np.dstack([rows, rows + 20, 255 - columns // 4]).astype(np.uint8)
    save(sky, tmp_path / "sky.png")
    save(np.ascontiguousarray(sky[::2, ::2]) // 2 + noise(0, 32, 32) // 3, tmp_path / "other sky.png")
    for number in range(4):
        save(noise(number, 32 * (1 + number), 40 * (1 + number)), tmp_path / f"{number}.png")
    save(noise(9, 32, 40) // 2, tmp_path / "dark.png")
    save(noise(9, 32, 40), tmp_path / "bright.png")
    names, warnings = read(tmp_path)
    assert len(names) == 8
    assert warnings == []


FINGERPRINT = "from srsearch.data import load_training_data as load; print(load('.', 2, patch=8).fingerprint)"


def test_names_that_are_not_utf_8_are_the_same_in_every_locale(tmp_path: Path) -> None:
    for number, name in enumerate((b"caf\xe9.png", b"caf\xe8.png", "café.png".encode(), b"cafe.png")):
        save(noise(number), tmp_path / "photo.png")
        os.rename(tmp_path / "photo.png", os.fsencode(tmp_path) + b"/" + name)
    data = load_training_data(tmp_path, 2, patch=8)
    shown = data.description["train"]["photos"] + data.description["validation"]["photos"]
    assert sorted(shown) == ["cafe.png", "café.png", "caf\ufffd.png", "caf\ufffd.png"]
    assert data.fingerprint == "0cc9381309b923447b9030646f7d62f315eea07b906f6abfc965378ad0af1076"
    ascii = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(CHECKOUT)}
    elsewhere = subprocess.run(
        [sys.executable, "-c", FINGERPRINT], cwd=tmp_path, env=ascii, capture_output=True, text=True, check=True
    )
    assert elsewhere.stdout.strip() == data.fingerprint
