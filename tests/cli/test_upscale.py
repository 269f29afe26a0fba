"""`srsearch upscale`: image files of all kinds, and what is refused."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from rich.console import Console
from rich.progress import Progress

from srsearch.architecture import Architecture, build, save_model
from srsearch.cli.printing import echo_above
from srsearch.evaluation import Runtime
from srsearch.export import upscaling
from srsearch.export.pictures import Picture, read_picture, write_picture
from srsearch.export.upscaling import Upscaler
from tests.support.commands import Command

DESIGN = Architecture.from_dict(
    {"scale": 2, "channels": 8, "body": {"chain": {"blocks": 2}}, "image_residual": "bicubic"}
)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def smooth(height: int, width: int, channels: int, white: int) -> np.ndarray:
    """A picture without edges, whose bicubic enlargement is nearly the picture itself, in coarser pixels."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    return ((0.5 + 0.4 * np.sin(y / 9 + c) * np.cos(x / 11 - c)) * white).round().astype(np.int64)


def saved(file: Path, picture: Picture, kind: str) -> Path:
    with file.open("wb") as opened:
        write_picture(opened, picture, kind)
    return file


def enlarged(srsearch: Command, image: Path, *options: str) -> Path:
    """The result of `srsearch upscale bicubic` at x2."""
    ran = srsearch("upscale", "bicubic", str(image), "--scale", "2", "--json", *options)
    assert ran.returncode == 0, ran.stderr
    return Path(json.loads(ran.stdout)[0]["result"])


KINDS = [
    (suffix, kind, white, channels)
    for suffix, kind in ((".png", "PNG"), (".tif", "TIFF"))
    for white in (255, 65535)
    for channels in (1, 2, 3, 4)
    if (kind, white, channels) != ("TIFF", 65535, 2)  # written as RGBA, as few programs read it
]


@pytest.mark.parametrize(("suffix", "kind", "white", "channels"), KINDS)
def test_depth_transparency_and_profile_are_kept(
    srsearch: Command, tmp_path: Path, suffix: str, kind: str, white: int, channels: int
) -> None:
    pixels = smooth(30, 23, channels, white).astype(np.uint8 if white == 255 else np.uint16)
    grey = channels < 3
    picture = Picture(
        np.repeat(pixels[..., :1], 3, axis=2) if grey else pixels[..., :3],
        pixels[..., -1] if channels in (2, 4) else None,
        grey,
        icc=SRGB,
    )
    file = saved(tmp_path / f"a{suffix}", picture, kind)
    # The writer, by two other readers.
    if white == 65535 and kind == "TIFF":
        assert np.array_equal(tifffile.imread(file).reshape(pixels.shape), pixels)
    elif white == 255 or channels == 1:
        assert np.array_equal(np.asarray(Image.open(file)).reshape(pixels.shape), pixels)
    result = enlarged(srsearch, file)
    assert result.name == f"a_x2{suffix}"
    with Image.open(result) as opened:
        assert opened.size == (46, 60)
        assert opened.info["icc_profile"] == SRGB
    large = read_picture(result)
    assert (large.white, large.grey, large.alpha is None) == (white, grey, picture.alpha is None)
    # Every second pixel and its neighbour lie around the original one.
    mean = large.colour.astype(float).reshape(30, 2, 23, 2, 3).mean(axis=(1, 3))
    assert np.abs(mean - picture.colour)[2:-2, 2:-2].max() < white * 0.01
    if picture.alpha is not None and large.alpha is not None:
        mean = large.alpha.astype(float).reshape(30, 2, 23, 2).mean(axis=(1, 3))
        assert np.abs(mean - picture.alpha)[2:-2, 2:-2].max() < white * 0.01


def test_sixteen_bits_are_more_than_the_upper_eight(srsearch: Command, tmp_path: Path) -> None:
    values = np.full((6, 6, 3), 0x1234, np.uint16)
    for kind, suffix in (("PNG", ".png"), ("TIFF", ".tif")):
        file = saved(tmp_path / f"a{suffix}", Picture(values), kind)
        assert (read_picture(enlarged(srsearch, file)).colour == 0x1234).all()
    tifffile.imwrite(tmp_path / "b.tif", values, photometric="rgb", byteorder=">")
    assert (read_picture(enlarged(srsearch, tmp_path / "b.tif")).colour == 0x1234).all()


@pytest.mark.parametrize(
    ("mode", "suffix", "options", "result"),
    [
        ("RGB", ".jpg", {"quality": 95}, ".jpg"),
        ("L", ".jpeg", {}, ".jpeg"),
        ("CMYK", ".jpg", {}, ".jpg"),
        ("P", ".png", {}, ".png"),
        ("P", ".gif", {}, ".png"),
        ("1", ".png", {}, ".png"),
        ("RGBA", ".webp", {"lossless": True}, ".webp"),
        ("RGB", ".bmp", {}, ".bmp"),
    ],
)
def test_every_usual_kind_becomes_a_file_that_its_users_expect(
    srsearch: Command, tmp_path: Path, mode: str, suffix: str, options: dict[str, Any], result: str
) -> None:
    photo = (
        Image.fromarray(smooth(16, 20, 4, 255).astype(np.uint8))
        .convert("RGBA" if mode == "RGBA" else "RGB")
        .convert(mode)
    )
    photo.save(tmp_path / f"a{suffix}", **options)
    large = enlarged(srsearch, tmp_path / f"a{suffix}")
    assert large.name == f"a_x2{result}"
    with Image.open(large) as opened:
        assert opened.size == (40, 32)
        assert opened.mode == {"L": "L", "1": "L", "RGBA": "RGBA"}.get(mode, "RGB")
        small = np.asarray(opened.convert("RGB").resize((20, 16), Image.Resampling.BOX)).astype(int)
    allowed = {"1": 160, "P": 80}.get(mode, 14)
    assert np.abs(small - np.asarray(photo.convert("RGB")).astype(int)).mean() < allowed / 4


def test_orientation_is_applied_and_the_rest_of_exif_stays(srsearch: Command, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"  # on its side
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:4] = 200  # above on the sensor: on the right once it is upright
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif, icc_profile=SRGB)
    with Image.open(enlarged(srsearch, tmp_path / "a.png")) as large:
        assert large.size == (16, 24)
        assert np.asarray(large)[12, 12].tolist() == [200] * 3
        assert np.asarray(large)[12, 3].tolist() == [0] * 3
        assert dict(large.getexif()) == {0x010F: "A camera"}
        assert large.info["icc_profile"] == SRGB


def test_transparency_of_a_palette_and_of_a_colour_is_kept(srsearch: Command, tmp_path: Path) -> None:
    image = Image.fromarray(np.repeat(np.arange(2, dtype=np.uint8)[None], 6, axis=0).repeat(4, axis=1), "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "a.png", transparency=1)
    with Image.open(enlarged(srsearch, tmp_path / "a.png")) as large:
        assert large.mode == "RGBA"
        assert [np.asarray(large)[6, column, 3] for column in (1, 14)] == [255, 0]
    assert enlarged(srsearch, tmp_path / "a.png", "--format", "webp").name == "a_x2.webp"


def test_a_model_upscales_images_down_to_one_pixel_and_tiles_change_nothing(srsearch: Command, tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", DESIGN, build(DESIGN, seed=1).state_dict())
    sizes = [(1, 1), (1, 5), (40, 37)]
    for height, width in sizes:
        saved(tmp_path / f"{height}.png", Picture(smooth(height, width, 3, 255).astype(np.uint8)), "PNG")
    images = [str(tmp_path / f"{height}.png") for height, _ in sizes]
    images[1] = str(saved(tmp_path / "5.png", Picture(smooth(1, 5, 3, 255).astype(np.uint8)), "PNG"))
    for out, options in (("whole", ()), ("tiles", ("--tile", "16")), ("memory", ("--memory", "100K"))):
        ran = srsearch("upscale", "m.safetensors", *images, "--out", out, *options)
        assert ran.returncode == 0, ran.stderr
    assert "(80x74, " not in ran.stdout
    assert "40.png -> memory/40_x2.png (74x80, " in ran.stdout
    for name in ("1_x2.png", "5_x2.png", "40_x2.png"):
        pixels = [np.asarray(Image.open(tmp_path / out / name)).astype(int) for out in ("whole", "tiles", "memory")]
        assert np.abs(pixels[1] - pixels[0]).max() <= 1  # a float that lies between two levels
        assert np.abs(pixels[2] - pixels[0]).max() <= 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_memory_that_does_not_suffice_halves_the_tile_and_says_so(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real, sides = upscaling.upscale_image, list[int]()

    def small_memory(network: Any, lr: torch.Tensor, scale: int) -> torch.Tensor:
        sides.append(lr.shape[2])
        if lr.shape[2] > 50:
            raise error
        return real(network, lr, scale)

    monkeypatch.setattr(upscaling, "upscale_image", small_memory)
    said: list[str] = []
    network = build(DESIGN, seed=1)
    picture = Picture(smooth(96, 96, 3, 255).astype(np.uint8))
    upscaler = Upscaler(network, 2, runtime=Runtime(), warn=said.append)
    large = upscaler(picture)
    assert large.colour.shape == (192, 192, 3)
    assert said[0] == "out of memory; trying again in tiles of 48x48 pixels"
    monkeypatch.setattr(upscaling, "upscale_image", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(MemoryError, match="too small, even for tiles of 16"):
        upscaler(picture)


def test_a_folder_is_upscaled_into_a_folder_beside_it(srsearch: Command, tmp_path: Path) -> None:
    (tmp_path / "photos" / "inner").mkdir(parents=True)
    good = Picture(smooth(5, 6, 3, 255).astype(np.uint8))
    saved(tmp_path / "photos" / "a.png", good, "PNG")
    saved(tmp_path / "photos" / "inner" / "b.JPG", good, "JPEG")
    (tmp_path / "photos" / "broken.png").write_bytes((tmp_path / "photos" / "a.png").read_bytes()[:60])
    ran = srsearch("upscale", "bicubic", "photos", "--scale", "3")
    assert ran.returncode == 1
    assert "photos/broken.png: damaged" in ran.stderr
    assert "1 of 3 images could not be upscaled" in ran.stderr
    results = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("photos_x3/**/*.*"))
    assert results == ["photos_x3/a_x3.png", "photos_x3/inner/b_x3.JPG"]
    before = (tmp_path / "photos_x3" / "a_x3.png").stat().st_mtime_ns
    again = srsearch("upscale", "bicubic", "photos", "--scale", "3")
    assert again.returncode == 2
    assert "photos_x3/a_x3.png and 1 more results exist; --overwrite replaces them" in again.stderr
    assert (tmp_path / "photos_x3" / "a_x3.png").stat().st_mtime_ns == before
    assert srsearch("upscale", "bicubic", "photos/a.png", "photos_x3/../photos/a.png", "--scale", "3").returncode == 2
    assert srsearch("upscale", "bicubic", "photos/a.png", "--out", "photos_x3", "--scale", "3").returncode == 2
    assert (
        srsearch("upscale", "bicubic", "photos/a.png", "--out", "photos_x3", "--scale", "3", "--overwrite").returncode
        == 0
    )


def claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def animated(kind: str) -> bytes:
    frames, content = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "green")], io.BytesIO()
    frames[0].save(content, kind, save_all=True, append_images=frames[1:])
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", claims(30_000, 30_000), "is over 178 megapixels"),
        ("a.png", claims(10_000, 10_000), "damaged"),
        ("a.gif", animated("GIF"), r"is animated \(3 frames\): save the one that you want as an image of its own"),
        ("a.webp", animated("WEBP"), "is animated"),
        ("a.png", animated("PNG"), "is animated"),
        ("a.tif", animated("TIFF"), "has 3 pages"),
        ("a.png", b"", "is an empty file"),
        ("a.jpg", b"no image", "damaged, or not an image"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_files_that_are_not_one_image_are_refused_with_a_sentence(
    srsearch: Command, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    ran = srsearch("upscale", "bicubic", name, "--scale", "2")
    assert ran.returncode == 2
    assert re.search(f"{name}: .*{message}", ran.stderr), ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_results_are_lines_of_their_own_above_the_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr("sys.stdout", terminal)
    with Progress(console=Console(file=terminal, force_terminal=True, width=80), transient=True) as progress:
        progress.add_task("a.png", total=2)
        progress.refresh()
        echo_above(progress, "a.png -> a_x4.png")
        progress.refresh()
    shown = terminal.buffer.getvalue().decode()
    assert re.search(r"\x1b\[2Ka\.png -> a_x4\.png\n", shown), shown
