"""Layouts of image sets: what is recognised, matched, left out and refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from srsearch.data import downscale, recognise, scales_of
from srsearch.data.bicubic import Pixels
from srsearch.errors import InputError
from tests.support.commands import Command


def photo(seed: int, height: int = 48, width: int = 36) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(pixels: Pixels, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def make_set(root: Path, hr: str, lr: str, count: int = 3, scale: int = 4) -> None:
    """Write pairs; LR images are marked by a value that downscaling does not give."""
    for number in range(1, count + 1):
        pixels = photo(number)
        save(pixels, root / hr.format(number))
        small = downscale(pixels, scale)
        small[0, 0] = number
        save(small, root / lr.format(number))


LAYOUTS = [
    ("DIV2K", "DIV2K_train_HR/{:04d}.png", "DIV2K_train_LR_bicubic/X4/{:04d}x4.png"),
    ("BasicSR", "GTmod12/a{}.png", "LRbicx4/a{}.png"),
    ("SelfExSR", "image_SRF_4/img_{:03d}_SRF_4_HR.png", "image_SRF_4/img_{:03d}_SRF_4_LR.png"),
    ("HR/LR pairs", "HR/a{}.png", "LR/a{}.png"),
    ("HR/LR pairs", "HR/a{}.png", "LR_bicubic/X4/a{}x4.png"),
    ("HR/LR pairs", "photo {}_HR.png", "photo {}_LR.png"),
    ("HR/LR pairs", "trainHR/a{}.png", "trainLR/a{}.png"),
]


@pytest.mark.parametrize(("kind", "hr", "lr"), LAYOUTS)
def test_layouts_are_recognised_and_their_pairs_read(tmp_path: Path, kind: str, hr: str, lr: str) -> None:
    make_set(tmp_path, hr, lr)
    layout = recognise(tmp_path, 4)
    assert (layout.kind, layout.has_lr, layout.remarks) == (kind, True, ())
    pairs = list(layout.read(pytest.fail))
    for number, pair in enumerate(pairs, 1):
        assert np.array_equal(pair.hr, photo(number))
        assert pair.lr[0, 0].tolist() == [number] * 3
    assert len(pairs) == 3


def test_a_folder_of_photos_gets_lr_images_and_is_cropped(tmp_path: Path, srsearch: Command) -> None:
    save(photo(1, 49, 38), tmp_path / "2019" / "1.png")
    save(photo(2), tmp_path / "2020" / "1.png")
    layout = recognise(tmp_path, 4)
    assert (layout.kind, layout.has_lr) == ("HR images", False)
    messages: list[str] = []
    first, second = layout.read(messages.append)
    assert (first.name, first.hr.shape, second.name) == ("2019/1.png", (48, 36, 3), "2020/1.png")
    assert np.array_equal(first.lr, downscale(first.hr, 4))
    assert messages == [f"cropped 1 HR images in {tmp_path} so that 4 divides their sides"]
    assert "HR images, 2 images at x4, LR images made" in srsearch("data", "list", str(tmp_path)).stdout


def test_several_scales_lie_in_one_folder(tmp_path: Path) -> None:
    for scale in (2, 4):
        make_set(tmp_path, "GTmod12/{}.png", f"LRbicx{scale}/{{}}.png", scale=scale)
    assert scales_of(tmp_path) == (2, 4)
    assert [pair.lr.shape for pair in recognise(tmp_path, 2).read(pytest.fail)] == [(24, 18, 3)] * 3
    third = recognise(tmp_path, 3)
    assert not third.has_lr
    assert third.remarks == ("has LR images at x2, x4 only: those at x3 are made from the HR images",)


def test_div2k_trains_on_its_training_images_only(tmp_path: Path) -> None:
    make_set(tmp_path, "DIV2K_train_HR/{:04d}.png", "DIV2K_train_LR_bicubic/X4/{:04d}x4.png")
    make_set(tmp_path, "DIV2K_valid_HR/08{:02d}.png", "DIV2K_valid_LR_bicubic/X4/08{:02d}x4.png", 2)
    save(photo(9, 12, 9), tmp_path / "DIV2K_train_LR_unknown/X4/0001x4.png")
    layout = recognise(tmp_path, 4)
    assert len(layout.pairs) == 3
    assert [each.partition(":")[0] for each in layout.remarks] == [
        "left out 1 images that are neither HR nor bicubic LR",
        "left out 2 images for validation; to use them, give the folder DIV2K_valid_HR",
        "left out 2 LR images without an HR image",
    ]
    valid = recognise(tmp_path / "DIV2K_valid_HR", 4)
    assert (valid.kind, valid.has_lr, len(valid.pairs)) == ("DIV2K", True, 2)


def test_lmdb_folders_are_read(tmp_path: Path) -> None:
    make_set(tmp_path / "files", "HR/{:04d}.png", "LR/{:04d}.png")
    for folder, name in (("HR", "DIV2K_train_HR_sub.lmdb"), ("LR", "DIV2K_train_LR_bicubic_X4_sub.lmdb")):
        lines = []
        with lmdb.open(str(tmp_path / name)) as base, base.begin(write=True) as transaction:
            for file in sorted((tmp_path / "files" / folder).iterdir()):
                transaction.put(file.stem.encode(), file.read_bytes())
                lines.append(f"{file.name} (48,36,3) 1\n")
        (tmp_path / name / "meta_info.txt").write_text("".join(lines))
    for root in (tmp_path, tmp_path / "DIV2K_train_HR_sub.lmdb"):
        layout = recognise(root, 4)
        assert (layout.kind, layout.has_lr, len(layout.pairs)) == ("BasicSR LMDB", True, 3)
        for number, pair in enumerate(layout.read(pytest.fail), 1):
            assert np.array_equal(pair.hr, photo(number))
            assert pair.lr[0, 0].tolist() == [number] * 3


def test_what_has_no_partner_does_not_fit_or_is_damaged_is_named_and_skipped(tmp_path: Path) -> None:
    make_set(tmp_path, "HR/{}.png", "LR/{}.png", 6)
    (tmp_path / "LR" / "2.png").unlink()
    (tmp_path / "HR" / "3.png").unlink()
    save(photo(4, 11, 9), tmp_path / "LR" / "4.png")
    content = (tmp_path / "HR" / "5.png").read_bytes()
    (tmp_path / "HR" / "5.png").write_bytes(content[: len(content) // 2])
    layout = recognise(tmp_path, 4)
    assert layout.remarks == (
        "left out 1 HR images without an LR image at x4: HR/2.png",
        "left out 1 LR images without an HR image: LR/3.png",
    )
    messages: list[str] = []
    assert [pair.name for pair in layout.read(messages.append)] == ["HR/1.png", "HR/6.png"]
    (message,) = messages
    assert message.startswith(
        f"skipped 2 of 4 images in {tmp_path}: HR/4.png (its LR image is 9x11; at x4, HR of 36x48"
    )
    assert "needs 9x12); HR/5.png (damaged" in message


def test_lr_sizes_may_be_rounded_up(tmp_path: Path) -> None:
    save(photo(1, 49, 36), tmp_path / "HR" / "a.png")
    save(photo(2, 13, 9), tmp_path / "LR" / "a.png")
    (pair,) = recognise(tmp_path, 4).read(lambda message: None)
    assert (pair.hr.shape, pair.lr.shape) == ((48, 36, 3), (12, 9, 3))


def test_urban100_of_half_size_is_refused_and_made_from_the_x4_folder(tmp_path: Path, srsearch: Command) -> None:
    root = tmp_path / "Urban100"
    for scale, (height, width) in ((2, (384, 512)), (4, (768, 1024))):
        pixels = np.zeros((height, width, 3), np.uint8)
        name = f"image_SRF_{scale}/img_001_SRF_{scale}"
        save(pixels, root / f"{name}_HR.png")
        save(downscale(pixels, scale), root / f"{name}_LR.png")
    refused = srsearch("evaluate", "bicubic", str(root), "--scale", "2")
    assert refused.returncode == 2
    assert "the HR images for x2 have half the size (512 pixels at most; the test set has 1024)" in refused.stderr
    layout = recognise(root / "image_SRF_4", 2)
    assert layout.remarks[0] == "has no HR images for x2: those for x4 are used"
    (pair,) = layout.read(pytest.fail)
    assert pair.lr.shape == (384, 512, 3)
    assert recognise(root, 4).has_lr


def test_decompression_bombs_and_folders_of_lr_images_are_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "LRbicx4").mkdir()
    (tmp_path / "LRbicx4" / "bomb.png").write_bytes(bomb)
    with pytest.raises(InputError, match="holds LR images only"):
        recognise(tmp_path / "LRbicx4", 4)
    (tmp_path / "HR").mkdir()
    (tmp_path / "HR" / "bomb.png").write_bytes(bomb)
    save(photo(1), tmp_path / "HR" / "a.png")
    messages: list[str] = []
    assert len(list(recognise(tmp_path / "HR", 4).read(messages.append))) == 1
    assert "bomb.png (is over 120 megapixels)" in messages[0]


def test_test_sets_are_not_mixed_with_what_is_trained_or_validated_on(srsearch: Command, tmp_path: Path) -> None:
    for name in ("sets/Set5/a.png", "sets/set14/HR/a.png", "sets/DIV2K_train_HR/0001.png", "one/Set5_HR/a.png"):
        save(photo(1), tmp_path / name)
    save(photo(1, 12, 9), tmp_path / "one/Set5_LR/a.png")
    train = ("train", "s-lwsr16", "--scale", "4", "--data")
    sets = (
        "srsearch: sets holds test sets (Set5, set14) and other images (DIV2K_train_HR), which do not belong together"
    )
    for command, suggested in (
        ((*train, "sets"), "--data sets/DIV2K_train_HR"),
        ((*train, "builtin", "--validation", "sets"), "--validation sets/Set5"),
        (("data", "prepare", "sets"), "srsearch data prepare sets/DIV2K_train_HR"),
    ):
        ran = srsearch(*command)
        assert (ran.returncode, ran.stderr) == (2, f"{sets}; give one of them: {suggested}\n")
    for prepared in ("sets/Set5", "one"):
        assert srsearch("data", "prepare", prepared).returncode == 0
