"""Kinds of image files: pixels equal those of other programs, and unreadable files are refused with the reason."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from srsearch.data.bicubic import Pixels
from srsearch.data.decoding import UnusablePhotoError, decode

RAMP = np.tile(np.linspace(0, 1, 64), (48, 1))
GREY = np.round(RAMP * 255).astype(np.uint8)
DEEP = np.round(RAMP * 65535).astype(np.uint16)
RGB: Pixels = np.dstack([GREY, 255 - GREY, GREY // 2])
DEEP_RGB = RGB.astype(np.uint16) * 257
ALPHA = np.full_like(GREY, 128)


def decoded(file: Path) -> Pixels:
    return decode(file, max_pixels=10**6)


def png(samples: npt.NDArray[np.uint16], colour_type: int) -> bytes:
    """A PNG of 16 bits, which Pillow does not write in colour."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, colour_type, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (DEEP, {}),
        (DEEP, {"byteorder": ">", "compression": "zlib"}),
        (65535 - DEEP, {"photometric": "miniswhite"}),
        (65535 - DEEP, {"photometric": "miniswhite", "compression": "zlib"}),
        (255 - GREY, {"photometric": "miniswhite"}),
        (np.stack([GREY, 255 - GREY]), {}),  # two frames
        (np.dstack([GREY // 2, ALPHA]), {"planarconfig": "contig", "extrasamples": ["assocalpha"]}),
    ],
)
def test_grey_tiffs(tmp_path: Path, pixels: npt.NDArray[np.generic], options: dict[str, object]) -> None:
    options = {"photometric": "minisblack"} | options
    tifffile.imwrite(tmp_path / "grey.tif", pixels, **options)
    shown = decoded(tmp_path / "grey.tif").astype(int)
    assert np.abs(shown - GREY[..., None]).max() <= (2 if "extrasamples" in options else 1)


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (DEEP_RGB, {}),
        (DEEP_RGB, {"byteorder": ">"}),
        (np.dstack([DEEP_RGB // 2, np.full_like(DEEP, 32768)]), {"extrasamples": ["assocalpha"]}),
        (np.dstack([RGB // 2, ALPHA]), {"extrasamples": ["assocalpha"]}),
        (np.dstack([RGB, ALPHA]), {"extrasamples": ["unassalpha"]}),
        (np.moveaxis(RGB, -1, 0), {"planarconfig": "separate"}),
        (np.dstack([255 - RGB, np.zeros_like(GREY)]), {"photometric": "separated"}),
        (np.dstack([65535 - DEEP_RGB, np.zeros_like(DEEP)]), {"photometric": "separated"}),
    ],
)
def test_colour_tiffs(tmp_path: Path, pixels: npt.NDArray[np.generic], options: dict[str, object]) -> None:
    options = {"photometric": "rgb"} | options
    tifffile.imwrite(tmp_path / "colour.tif", np.ascontiguousarray(pixels), **options)
    assert np.abs(decoded(tmp_path / "colour.tif").astype(int) - RGB).max() <= 2


def test_other_kinds(tmp_path: Path) -> None:
    image = Image.fromarray(RGB)
    (tmp_path / "rgb16.png").write_bytes(png(DEEP_RGB, 2))
    (tmp_path / "rgba16.png").write_bytes(png(np.dstack([DEEP_RGB, DEEP]), 6))
    image.save(tmp_path / "frames.png", save_all=True, append_images=[Image.fromarray(255 - RGB)])
    image.save(tmp_path / "frames.webp", save_all=True, append_images=[Image.fromarray(255 - RGB)], lossless=True)
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    for file in tmp_path.iterdir():
        assert np.abs(decoded(file).astype(int) - RGB).max() <= 4, file.name
    few = image.quantize(16)
    for name in ("palette.png", "palette.bmp", "palette.tif"):
        few.save(tmp_path / name)
        np.testing.assert_array_equal(decoded(tmp_path / name), np.asarray(few.convert("RGB")))
    Image.fromarray(GREY > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(decoded(tmp_path / "bits.png")[..., 0], np.where(GREY > 127, 255, 0))


@pytest.mark.parametrize(
    ("pixels", "options", "reason"),
    [
        (GREY.astype(np.int32), {}, "no known range"),
        ((RAMP * (2**32 - 1)).astype(np.uint32), {}, "no known range"),
        (RAMP.astype(np.float32), {}, "no known range"),
        ((RAMP * 32767).astype(np.int16), {}, "no known range"),
        ((RAMP * 127).astype(np.int8), {}, "no known range"),
        (DEEP // 4, {}, "no known range"),
        (DEEP // 16, {}, "up to 4095 have no known range"),
        (DEEP // 16, {"photometric": "miniswhite"}, "up to 4095 have no known range"),
        (DEEP_RGB // 16, {"photometric": "rgb"}, "up to 4095 have no known range"),
        (DEEP_RGB, {"photometric": "rgb", "planarconfig": "separate"}, "planes of more than 8 bits"),
        (RGB, {"photometric": "cielab"}, "LAB colours"),
        (RGB.astype(np.float32), {"photometric": "rgb"}, "a kind of TIFF that cannot be read"),
    ],
)
def test_kinds_without_a_known_meaning_are_refused(
    tmp_path: Path, pixels: npt.NDArray[np.generic], options: dict[str, object], reason: str
) -> None:
    if options.get("planarconfig") == "separate":
        pixels = np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(tmp_path / "odd.tif", np.ascontiguousarray(pixels), **({"photometric": "minisblack"} | options))
    with pytest.raises(UnusablePhotoError, match=reason) as refused:
        decoded(tmp_path / "odd.tif")
    assert "damaged" not in str(refused.value)


def test_12_bits_in_a_png_of_16_are_refused(tmp_path: Path) -> None:
    for name, content in (("grey.png", png(DEEP // 16, 0)), ("rgb.png", png(DEEP_RGB // 16, 2))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnusablePhotoError, match="up to 4095 have no known range"):
            decoded(tmp_path / name)


def test_the_reason_for_an_unreadable_image_is_named(tmp_path: Path) -> None:
    whole = png(DEEP, 0)
    enormous = whole[:16] + struct.pack(">II", 40_000, 40_000) + whole[24:29]
    enormous += struct.pack(">I", zlib.crc32(enormous[12:29])) + whole[33:]
    for name, content, reason in (
        ("cut.png", whole[:100], "damaged: image file is truncated"),
        ("head.png", whole[:20], "damaged"),
        ("empty.png", b"", "is an empty file"),
        ("page.png", b"<html>404 Not Found</html>", "damaged, or not an image"),
        ("enormous.png", enormous, "is over 1 megapixels"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnusablePhotoError, match=reason):
            decoded(tmp_path / name)
    with pytest.raises(UnusablePhotoError, match=r"cannot be read: No such file or directory"):
        decoded(tmp_path / "vanished.png")
