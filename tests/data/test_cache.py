"""The cache of `srsearch data prepare`: resumed, verified, mapped."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from srsearch.data import (
    CachedPatchSampler,
    PatchSampler,
    cache_of,
    load_training_data,
    open_cache,
    read_folder,
    recognise,
)
from srsearch.data import cache as cache_module
from srsearch.errors import InputError, WorkError
from tests.data.test_layouts import make_set, photo, save
from tests.support.commands import Command


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(1, 7):
        save(photo(number, 40 + number, 48), folder / f"{number}.png")
    return folder


def prepared(srsearch: Command, folder: Path, *options: str) -> dict[str, object]:
    ended = srsearch("data", "prepare", str(folder), *options, "--json")
    assert ended.returncode == 0, ended.stderr
    result: dict[str, object] = json.loads(ended.stdout)
    return result


def test_a_cache_holds_the_pairs_of_the_folder(srsearch: Command, photos: Path) -> None:
    ended = srsearch("data", "prepare", str(photos), "--scale", "2", "--scale", "3")
    assert "6 images become 0.00 GB in" in ended.stderr  # said before any image is decoded
    assert "6 images" in ended.stdout
    for scale in (2, 3):
        direct, cached = list(recognise(photos, scale).read(lambda message: None)), open_cache(photos, scale)
        for a, b in zip(direct, cached, strict=True):
            assert a.name == b.name
            assert np.array_equal(a.hr, b.hr)
            assert np.array_equal(a.lr, b.lr)
    with pytest.raises(InputError, match="has no LR images at x4, only at x2, x3"):
        open_cache(photos, 4)
    assert f"prepared for training in {photos}/.srsearch" in srsearch("data", "list", str(photos)).stdout


def test_a_cache_that_is_cut_off_while_it_is_used_costs_the_images_behind(srsearch: Command, photos: Path) -> None:
    prepared(srsearch, photos, "--scale", "2", "--scale", "3")
    pairs = open_cache(photos, 3)
    skipped: dict[str, str] = {}
    sampler = CachedPatchSampler(pairs, 8, 4, 3, 0, skip=skipped.__setitem__)
    file = photos / ".srsearch" / "hr.rgb"
    os.truncate(file, sum(3 * (40 + number) * 48 for number in (1, 2, 3)) + 5)
    drawn = [sampler.next() for _ in range(20)]
    assert skipped == {f"{number}.png": f"{file} is too short" for number in (4, 5, 6)}
    again = CachedPatchSampler(pairs, 8, 4, 3, 0)
    assert all(torch.equal(lr, other) for (lr, _), other in zip(drawn, (again.next()[0] for _ in drawn), strict=True))
    os.truncate(file, 0)
    with pytest.raises(InputError, match="no image of the cache can be used any more"):
        CachedPatchSampler(pairs, 8, 4, 3, 0).next()


def test_lr_files_go_into_the_cache_and_unusable_pairs_do_not(srsearch: Command, tmp_path: Path) -> None:
    make_set(tmp_path, "HR/{}.png", "LR/{}.png", 3)
    (tmp_path / "HR" / "2.png").write_bytes(b"no image")
    result = prepared(srsearch, tmp_path, "--scale", "4", "--to", str(tmp_path / "cache"))
    assert (result["images"], result["skipped"]) == (2, ["HR/2.png (damaged, or not an image)"])
    assert [pair.lr[0, 0, 0] for pair in open_cache(tmp_path / "cache", 4)] == [1, 3]


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
def test_an_interrupted_preparation_goes_on(
    srsearch: Command, photos: Path, monkeypatch: pytest.MonkeyPatch, ending: BaseException
) -> None:
    written = cache_module._written

    def stopped(decoded: cache_module._Decoded, *arguments: object) -> dict[str, object]:
        if decoded.name == "4.png":
            raise ending
        return written(decoded, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "_written", stopped)
        ended = srsearch("data", "prepare", str(photos))
    if isinstance(ending, OSError):
        assert ended.returncode == 1
        assert ".srsearch cannot be written: No space left on device; the 3 images in it are kept" in ended.stderr
    else:
        assert ended.returncode == 130
    assert cache_of(photos) is None
    with (photos / ".srsearch" / "hr.rgb").open("ab") as file:
        file.write(b"a killed process wrote half an image")
    with (photos / ".srsearch" / "unfinished.jsonl").open("a") as file:
        file.write('{"name": "4.p')
    result = prepared(srsearch, photos)
    assert (result["reused"], result["decoded"]) == (3, 3)
    resumed = open_cache(photos, 4)
    shutil.rmtree(photos / ".srsearch")
    prepared(srsearch, photos)
    for a, b in zip(resumed, open_cache(photos, 4), strict=True):
        assert np.array_equal(a.hr, b.hr)
        assert np.array_equal(a.lr, b.lr)


def test_damage_is_found_by_the_hash_and_repaired(srsearch: Command, photos: Path) -> None:
    prepared(srsearch, photos)
    expected = open_cache(photos, 4)[4].hr.copy()
    file = photos / ".srsearch" / "hr.rgb"
    content = bytearray(file.read_bytes())
    content[cache_size(photos, 4) + 100] ^= 1  # in the fifth image
    file.write_bytes(content)
    result = prepared(srsearch, photos)
    assert (result["reused"], result["decoded"]) == (4, 2)
    assert np.array_equal(open_cache(photos, 4)[4].hr, expected)
    assert prepared(srsearch, photos)["reused"] == 6
    file.write_bytes(content[:1000])
    with pytest.raises(InputError, match="its files are too short"):
        open_cache(photos, 4)


def cache_size(photos: Path, images: int) -> int:
    return sum(3 * (40 + number) * 48 for number in range(1, images + 1))


def test_changed_images_are_noticed(srsearch: Command, photos: Path) -> None:
    prepared(srsearch, photos)
    save(photo(77, 60, 60), photos / "3.png")
    with pytest.raises(InputError, match=r"3\.png has changed since; run srsearch data prepare again"):
        open_cache(photos, 4)
    assert prepared(srsearch, photos)["decoded"] == 6
    assert open_cache(photos, 4)[2].hr.shape == (60, 60, 3)


def test_a_full_disk_and_different_hr_images_are_refused_before_work(
    srsearch: Command, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scale in (2, 4):
        make_set(tmp_path / "Set5", f"a_SRF_{scale}_HR.png", f"a_SRF_{scale}_LR.png", 1, scale)
    ended = srsearch("data", "prepare", str(tmp_path / "Set5"))
    assert ended.returncode == 2
    assert "the HR images for x2, x4 are not the same" in ended.stderr
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]
    with pytest.raises(WorkError, match=r"the cache needs 0\.0 GB more, and 0\.0 GB are free"):
        cache_module.prepare([recognise(photos, 4)], tmp_path / "cache")


def test_patches_from_a_cache_are_those_from_memory(srsearch: Command, photos: Path) -> None:
    prepared(srsearch, photos)
    memory = PatchSampler(list(recognise(photos, 4).read(lambda message: None)), 8, 5, 4, seed=3)
    # So few bytes that pages are given back before each batch.
    cached = CachedPatchSampler(open_cache(photos, 4), 8, 5, 4, seed=3, resident=1)
    resumed = CachedPatchSampler(open_cache(photos, 4), 8, 5, 4, seed=4)
    resumed.next()
    for _ in range(4):
        # Batches are drawn one ahead, and the state is that before the batch that comes next.
        assert torch.equal(memory.state, cached.state)
        resumed.state = cached.state
        for a, b, c in zip(memory.next(), cached.next(), resumed.next(), strict=True):
            assert torch.equal(a, b)
            assert torch.equal(a, c)


def test_proxy_trainings_take_the_same_photos_from_a_cache(srsearch: Command, photos: Path, tmp_path: Path) -> None:
    save(photo(9, 50, 60), photos / "DIV2K_train_HR" / "0001.png")
    (photos / "7.png").write_bytes(b"no image")
    Image.fromarray(photo(5, 50, 70)).convert("L").save(photos / "grey.png")
    prepared(srsearch, photos / "DIV2K_train_HR", "--to", str(tmp_path / "cache"))
    assert [each.name for each in read_folder(tmp_path / "cache", min_side=8, warn=pytest.fail)] == ["0001.png"]
    prepared(srsearch, photos, "--to", str(tmp_path / "cache"))
    decoded, cached = (load_training_data(each, 3, patch=8) for each in (photos, tmp_path / "cache"))
    assert decoded.fingerprint == cached.fingerprint
    assert decoded.description | {"source": ""} == cached.description | {"source": ""}
    # Without its images, the folder is as good as its cache.
    messages: list[str] = []
    prepared(srsearch, photos)
    for image in photos.rglob("*.png"):
        image.unlink()
    moved = load_training_data(photos, 3, patch=8, warn=messages.append)
    assert moved.fingerprint == decoded.fingerprint
    assert messages == [f"skipped 1 of 9 images in {str(photos)!r}: 7.png (damaged, or not an image)"]
