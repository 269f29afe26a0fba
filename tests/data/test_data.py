"""Photos, the protocol's downscaling, the split, and patches."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from srsearch.data import (
    PatchSampler,
    Photo,
    builtin_photos,
    crop_to_multiple,
    downscale,
    load_training_data,
    make_pair,
    read_folder,
    upscale,
)
from srsearch.data import pairs as pairs_module
from srsearch.data import photos as photos_module
from srsearch.data.bicubic import Pixels
from srsearch.errors import InputError


def random_photo(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(pixels: Pixels, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def read_rgb(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


# Downscaling ---------------------------------------------------------------------------------------------------------


def resized_by_torch(pixels: Pixels, height: int, width: int, *, margin: int) -> Pixels:
    """The protocol's downscaling by an independent implementation: torch's antialiased bicubic in float64."""
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].double()
    for axis, size in ((2, height), (3, width)):
        pad = (0, 0, margin, margin) if axis == 2 else (margin, margin, 0, 0)
        padded = F.pad(image, pad, mode="replicate")
        border = margin * size // image.shape[axis]
        sizes = [image.shape[2], image.shape[3]]
        sizes[axis - 2] = size + 2 * border
        large = F.interpolate(padded, size=sizes, mode="bicubic", antialias=True).narrow(axis, border, size)
        image = large.add(0.5).floor().clamp(0, 255)
    return image[0].permute(1, 2, 0).to(torch.uint8).numpy()


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("benchmark", "images"), [("Set5", 5), ("Set14", 14)])
def test_downscaling_agrees_with_the_benchmarks_files(
    shared_data: Path, benchmark: str, images: int, scale: int
) -> None:
    files = sorted((shared_data / benchmark / f"image_SRF_{scale}").glob("*_HR.png"))
    assert len(files) == images
    for file in files:
        expected = read_rgb(file.with_name(file.name.replace("_HR", "_LR")))
        np.testing.assert_array_equal(downscale(read_rgb(file), scale), expected, err_msg=file.name)


@pytest.mark.parametrize(
    ("photo", "scale", "digest"),
    [("chelsea", 2, "8b44da82a33e29d6"), ("chelsea", 3, "36a6a233856c859c"), ("astronaut", 4, "779079bcc93ec252")],
)
def test_downscaled_installed_photos_have_their_recorded_hashes(photo: str, scale: int, digest: str) -> None:
    """Results are the same bytes on all machines; recorded when the benchmarks' files were reproduced."""
    (pixels,) = (each.pixels for each in builtin_photos() if each.name == photo)
    small = downscale(crop_to_multiple(pixels, scale), scale)
    assert hashlib.sha256(small.tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_resizing_agrees_with_torch_in_float64(scale: int) -> None:
    # Noise of full contrast: overshoots are clipped, borders matter. Odd sides, and sides below the kernel's width.
    for height, width in ((5, 7), (16, 9), (1, 3)):
        pixels = random_photo(height * scale, width * scale, seed=scale)
        expected = resized_by_torch(pixels, height, width, margin=4 * scale)
        assert np.mean(downscale(pixels, scale) != expected) < 0.002  # ties that float64 does not hit exactly
        assert np.abs(downscale(pixels, scale).astype(int) - expected).max() <= 1
        small = random_photo(height, width, seed=scale)
        larger = resized_by_torch(small, height * scale, width * scale, margin=4)
        assert np.abs(upscale(small, scale).astype(int) - larger).max() <= 1
        assert np.mean(upscale(small, scale) != larger) < 0.01


def test_downscaling_refuses_sides_that_do_not_divide() -> None:
    pixels = random_photo(10, 13)
    with pytest.raises(ValueError, match="13x10 is not divisible by 4"):
        downscale(pixels, 4)
    assert crop_to_multiple(pixels, 4).shape == (8, 12, 3)
    flat = np.full((12, 12, 3), 255, np.uint8)
    assert (downscale(flat, 3) == 255).all()
    assert (upscale(flat, 3) == 255).all()


# Photos --------------------------------------------------------------------------------------------------------------


def test_builtin_photos_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket", None)
    photos = builtin_photos()
    assert len(photos) == 7
    for photo in photos:
        assert photo.pixels.dtype == np.uint8
        assert photo.pixels.ndim == 3
        assert min(photo.pixels.shape[:2]) >= 300


def test_a_folder_reads_every_kind_of_image(tmp_path: Path) -> None:
    rgb = random_photo(20, 24)
    save(rgb, tmp_path / "a.png")
    save(rgb[:, ::-1].copy(), tmp_path / "deep" / "er" / "b.BMP")
    save(np.dstack([rgb[::-1], np.zeros((20, 24), np.uint8)]), tmp_path / "transparent.png")
    save(rgb[..., 0], tmp_path / "grey.png")
    Image.fromarray(rgb[..., 1].astype(np.uint16) * 257).save(tmp_path / "deep_grey.png")
    Image.fromarray(rgb[..., 2]).convert("P").save(tmp_path / "palette.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held on its side: turn 90 degrees clockwise to view
    Image.fromarray(rgb // 2).save(tmp_path / "turned.png", exif=turned)
    (tmp_path / ".hidden").mkdir()
    save(rgb // 3, tmp_path / ".hidden" / "c.png")
    (tmp_path / "notes.txt").write_text("no image")

    warnings: list[str] = []
    photos = {photo.name: photo.pixels for photo in read_folder(tmp_path, min_side=8, warn=warnings.append)}
    assert warnings == []
    assert set(photos) == {
        "a.png",
        "deep/er/b.BMP",
        "transparent.png",
        "grey.png",
        "deep_grey.png",
        "palette.png",
        "turned.png",
    }
    np.testing.assert_array_equal(photos["a.png"], rgb)
    np.testing.assert_array_equal(photos["transparent.png"], rgb[::-1])
    for channel in range(3):
        np.testing.assert_array_equal(photos["grey.png"][..., channel], rgb[..., 0])
        np.testing.assert_array_equal(photos["deep_grey.png"][..., channel], rgb[..., 1])
    np.testing.assert_array_equal(photos["turned.png"], np.rot90(rgb // 2, -1))


def test_unusable_files_are_skipped_with_one_warning_that_names_them(tmp_path: Path) -> None:
    good = save(random_photo(40, 40), tmp_path / "good.png")
    save(random_photo(16, 90), tmp_path / "small.png")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:2000])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.webp").write_text("not an image")
    warnings: list[str] = []
    (photo,) = read_folder(tmp_path, min_side=32, warn=warnings.append)
    assert photo.name == "good.png"
    (warning,) = warnings
    assert "skipped 4 of 5" in warning
    assert "small.png (90x16 is smaller than 32x32)" in warning
    for reason in (
        "cut.png (damaged: image file is truncated)",
        "empty.jpg (is an empty file)",
        "text.webp (damaged, or not an image)",
    ):
        assert reason in warning


def test_folders_without_a_usable_photo_are_refused(tmp_path: Path) -> None:
    for folder, message in ((tmp_path / "none", "does not exist"), (tmp_path, "holds no images")):
        with pytest.raises(InputError, match=message):
            read_folder(folder, min_side=8, warn=print)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"can be used: broken\.png \(damaged"):
        read_folder(tmp_path, min_side=8, warn=print)
    with pytest.raises(InputError, match="is not a folder"):
        read_folder(tmp_path / "broken.png", min_side=8, warn=print)


def test_the_memory_for_photos_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        save(random_photo(60, 90, seed=number), tmp_path / f"{number}.png")
    warnings: list[str] = []
    photos = read_folder(tmp_path, min_side=16, warn=warnings.append, max_photo_pixels=2400, max_pixels=9000)
    assert [photo.pixels.shape for photo in photos] == [(40, 60, 3)] * 4
    assert photos[0].pixels.base is None
    assert "4 of the 8 images" in warnings[0]
    assert "to their center" in warnings[1]
    assert photos_module._MAX_PIXELS < 2**27
    monkeypatch.setattr(photos_module, "_MAX_PIXELS", 5000)
    with pytest.raises(InputError, match="90x60 is over"):
        read_folder(tmp_path, min_side=16, warn=print)


# Split ---------------------------------------------------------------------------------------------------------------


def test_builtin_data_is_split_into_training_and_validation() -> None:
    data = load_training_data("builtin", 4, patch=32)
    names = {pair.name for pair in data.train}, {pair.name for pair in data.validation}
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 7
    for pair in data.train + data.validation:
        assert pair.hr.shape == (4 * pair.lr.shape[0], 4 * pair.lr.shape[1], 3)
    assert data.fingerprint == load_training_data("builtin", 4, patch=32).fingerprint
    assert data.fingerprint != load_training_data("builtin", 2, patch=32).fingerprint
    assert data.description["validation"]["photos"] == ["chelsea", "coffee", "china"]


def test_folders_are_split_by_photo_without_overlap(tmp_path: Path) -> None:
    for number in range(23):
        save(random_photo(32, 40, seed=number % 20), tmp_path / f"{number}.png")  # three are copies of others
    warnings: list[str] = []
    data = load_training_data(tmp_path, 2, patch=16, warn=warnings.append)
    assert len(data.train) == 18
    assert len(data.validation) == 2
    assert warnings == [f"left out 3 copies of other photos in {str(tmp_path)!r}"]
    sides = [{pair.hr.tobytes() for pair in side} for side in (data.train, data.validation)]
    assert not sides[0] & sides[1]
    # The split depends on names alone: the same folder elsewhere is the same data.
    elsewhere = tmp_path.rename(tmp_path.with_name("elsewhere"))
    assert load_training_data(elsewhere, 2, patch=16).fingerprint == data.fingerprint
    save(random_photo(32, 40, seed=99), elsewhere / "0.png")
    assert load_training_data(elsewhere, 2, patch=16).fingerprint != data.fingerprint


def test_large_validation_photos_are_cropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_module, "_VALIDATION_PHOTO_PIXELS", 1200)
    for number in range(2):
        save(random_photo(60, 80, seed=number), tmp_path / f"{number}.png")
    data = load_training_data(tmp_path, 2, patch=8)
    assert data.validation[0].hr.shape == (30, 40, 3)
    assert data.train[0].hr.shape == (60, 80, 3)


def test_a_single_photo_cannot_be_split(tmp_path: Path) -> None:
    save(random_photo(40, 40), tmp_path / "only.png")
    with pytest.raises(InputError, match=r"one usable photo \(only\.png\); two are needed"):
        load_training_data(tmp_path, 2, patch=16)


# Patches -------------------------------------------------------------------------------------------------------------


def test_patches_come_from_the_photos_and_lr_belongs_to_hr() -> None:
    scale, side = 2, 8
    # Each HR pixel holds its photo, row and column; LR pixels those of the HR pixel at their corner.
    pairs = []
    for index, (height, width) in enumerate([(16, 20), (40, 24)]):
        hr = np.zeros((height, width, 3), np.uint8)
        hr[..., 0], hr[..., 1], hr[..., 2] = index, np.arange(height)[:, None], np.arange(width)
        pairs.append(pairs_module.Pair(str(index), hr, np.ascontiguousarray(hr[::scale, ::scale])))
    sampler = PatchSampler(pairs, side, 64, scale, seed=1)
    seen = set()
    turns = set()
    for _ in range(30):
        lr, hr = ((batch * 255).round().int() for batch in sampler.next())
        assert lr.shape == (64, 3, side, side)
        assert hr.shape == (64, 3, side * scale, side * scale)
        for small, large in zip(lr, hr, strict=True):
            photo = int(small[0, 0, 0])
            corner = small.flatten(1).amin(1)
            seen.add((photo, int(corner[1]) // scale, int(corner[2]) // scale))
            step = (small[1:, 0, 1] - small[1:, 0, 0]).tolist() + (small[1:, 1, 0] - small[1:, 0, 0]).tolist()
            turns.add(tuple(step))
            # Halved, the 2x2 HR pixels under each LR pixel are that LR pixel.
            halved = large // torch.tensor([1, scale, scale])[:, None, None] * torch.tensor([1, 2, 2])[:, None, None]
            assert torch.equal(halved[:, ::scale, ::scale], small)
    positions = {(0, r, c) for r in range(1) for c in range(3)} | {(1, r, c) for r in range(13) for c in range(5)}
    assert seen == positions
    assert len(turns) == 8


def test_batches_are_equal_for_equal_seeds() -> None:
    pair = make_pair(Photo("noise", random_photo(64, 64)), 4)
    first, again, other = (PatchSampler([pair], 8, 4, 4, seed) for seed in (5, 5, 6))
    for _ in range(3):
        batches = [sampler.next() for sampler in (first, again, other)]
        assert torch.equal(batches[0][1], batches[1][1])
        assert not torch.equal(batches[0][1], batches[2][1])
    lr, hr = batches[0]
    assert lr.dtype == torch.float32
    assert 0 <= float(hr.min()) < float(hr.max()) <= 1
    assert hr.is_contiguous(memory_format=torch.channels_last)


def test_photos_smaller_than_a_patch_are_refused() -> None:
    pair = make_pair(Photo("tiny", random_photo(28, 64)), 4)
    with pytest.raises(ValueError, match="tiny is smaller than a patch of 8x8"):
        PatchSampler([pair], 8, 1, 4, 0)
    with pytest.raises(ValueError, match="no photos"):
        PatchSampler([], 8, 1, 4, 0)
