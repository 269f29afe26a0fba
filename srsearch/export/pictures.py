"""Reads and writes image files of all kinds without loss of what they say: depth, transparency, profile, EXIF."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps

from srsearch.data.decoding import BITS, MIN_IS_WHITE, PHOTOMETRIC, UnusablePhotoError, check_samples, opened

Samples: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
"""Values of pixels: uint8, or uint16 with 65535 as white."""

KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""The kinds of files that are read, by Pillow's names."""

MAX_PIXELS = 178_000_000
"""Larger images are not decoded: a small file may claim any size."""

SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp"}
"""The kinds of files that are written, with their suffixes."""

_SIDES = {"JPEG": 65_500, "WEBP": 16_383}
"""The longest side that a kind of file can have."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
"""Options of Pillow's encoders."""

_ORIENTATION, _EXIF, _SIZES = 0x0112, 0x8769, (0xA002, 0xA003)
"""Tags of EXIF: orientation, the table with more tags, and in that width and height."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright image with what its file says of it.

    Attributes:
        colour: (h, w, 3), RGB, uint8 or uint16.
        alpha: (h, w), in the type of ``colour``; None: opaque.
        grey: Whether the image is grey: all three channels are equal, and files have one.
        kind: The kind of its file, one of `KINDS`.
        icc: The ICC profile of its colours.
        exif: Its EXIF data, without orientation and size.
        notes: What could not be kept, as sentences.
    """

    colour: Samples
    alpha: Samples | None = None
    grey: bool = False
    kind: str = "PNG"
    icc: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()

    @property
    def white(self) -> int:
        """The largest value: 255 or 65535."""
        return int(np.iinfo(self.colour.dtype).max)


def read_picture(file: Path) -> Picture:
    """Read an image file.

    Grey, palette, transparent, 16-bit and CMYK images are read; CMYK is converted to sRGB. EXIF orientation is applied.

    Raises:
        UnusablePhotoError: Unreadable, damaged, no image, animated or of several pages, too large, or of a kind whose
            colours are not known.
    """
    with opened(file, max_pixels=MAX_PIXELS, kinds=KINDS) as image:
        kind = str(image.format)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and kind != "MPO":  # how phones write a JPEG with a preview
            what = f"has {frames} pages" if kind == "TIFF" else f"is animated ({frames} frames)"
            raise UnusablePhotoError(f"{what}: save the one that you want as an image of its own")
        # Loading an image forgets its tags.
        tags = dict(getattr(image, "tag_v2", {}))
        check_samples(image, tags)
        icc = image.info.get("icc_profile") if image.mode != "CMYK" else None
        colour, alpha, grey, notes = _samples(file, image, _rawmode(image), tags)
        exif = _exif_of(image)
        return Picture(colour, alpha, grey, "JPEG" if kind == "MPO" else kind, icc, exif, notes)


def written_kind(picture: Picture, size: tuple[int, int]) -> str:
    """The kind of file that holds a picture enlarged to (width, height): its own, or PNG where that cannot."""
    kind = picture.kind
    can = kind in SUFFIXES and max(size) <= _SIDES.get(kind, max(size))
    return kind if can and not (kind in ("JPEG", "BMP") and picture.alpha is not None) else "PNG"


def write_picture(file: BinaryIO, picture: Picture, kind: str) -> None:
    """Write a picture as PNG, JPEG (quality 95, colours at full resolution), WEBP (lossless), TIFF or BMP.

    Args:
        file: Open for writing.
        picture: A picture; 16 bits become 8 where the kind has no more.
        kind: One of `SUFFIXES`.
    """
    if picture.white > 255 and kind in ("PNG", "TIFF"):
        (_write_deep_png if kind == "PNG" else _write_deep_tiff)(file, picture)
        return
    options = dict(_OPTIONS.get(kind, {}))
    if picture.icc is not None and kind != "BMP":
        options["icc_profile"] = picture.icc
    if picture.exif is not None and kind in ("JPEG", "PNG", "WEBP"):
        options["exif"] = picture.exif
    content = io.BytesIO()  # some of Pillow's encoders need a file that they can read, too
    Image.fromarray(_channels(_in_8_bits(picture))).save(content, kind, **options)
    file.write(content.getbuffer())


def _in_8_bits(picture: Picture) -> Picture:
    if picture.white == 255:
        return picture

    def reduced(samples: Samples) -> Samples:
        return ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)

    alpha = None if picture.alpha is None else reduced(picture.alpha)
    return replace(picture, colour=reduced(picture.colour), alpha=alpha)


def _channels(picture: Picture) -> Samples:
    """The samples as a file has them: (h, w), or (h, w, c) with c = 2 (grey and alpha), 3 or 4."""
    colour = picture.colour[..., :1] if picture.grey else picture.colour
    if picture.alpha is not None:
        return np.concatenate([colour, picture.alpha[..., None]], axis=2)
    return colour[..., 0] if picture.grey else colour


# Reading --------------------------------------------------------------------------------------------------------------


def _samples(
    file: Path, image: Image.Image, rawmode: str, tags: dict[int, Any]
) -> tuple[Samples, Samples | None, bool, tuple[str, ...]]:
    """The upright image's colour, alpha, whether it is grey, and notes."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # grey with 16 bits
        bits = tags.get(BITS, (16,))[0]
        most = 2**bits - 1 if 8 < bits < 16 else 65535
        deep = np.clip(np.asarray(upright).astype(np.int64), 0, most)
        deep = most - deep if tags.get(PHOTOMETRIC) == MIN_IS_WHITE else deep
        grey = ((deep * 65535 + most // 2) // most).astype(np.uint16)
        return np.repeat(grey[..., None], 3, axis=2), None, True, ()
    if upright.mode == "CMYK":
        return np.array(_srgb(upright)), None, False, ("CMYK colours became sRGB",)
    if ";16" in rawmode:
        deep_pixels = _deep(file, rawmode)
        if deep_pixels is not None:
            count = deep_pixels.shape[2]
            colour = np.repeat(deep_pixels[..., :1], 3, axis=2) if count == 2 else deep_pixels[..., :3]
            return colour, deep_pixels[..., -1] if count in (2, 4) else None, count == 2, ()
        notes: tuple[str, ...] = ("of its 16 bits, the upper 8 were read",)
    else:
        notes = ()
    grey_modes = ("1", "L", "LA", "La")
    is_grey = image.mode in grey_modes or rawmode.startswith("LA")
    transparent = upright.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in upright.info
    straight = upright.convert("LA" if upright.mode == "La" else "RGBA") if upright.mode.endswith("a") else upright
    pixels = np.array(straight.convert("RGBA" if transparent else "RGB"))
    return pixels[..., :3].copy(), pixels[..., 3].copy() if transparent else None, is_grey, notes


def _rawmode(image: Image.Image) -> str:
    """How the file stores its pixels, by Pillow's name; empty if the decoder has no such name."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _deep(file: Path, rawmode: str) -> npt.NDArray[np.uint16] | None:
    """Pixels of 16 bits in several channels (h, w, c), of which Pillow decodes one byte.

    It decodes the other byte if it is told the opposite order of bytes.
    """
    order = rawmode[-1] if rawmode[-1] != "N" else {"little": "L", "big": "B"}[sys.byteorder]
    if rawmode == "LA;16B":
        both = _decoded(file, "RGBA")
        return _joined(both[..., 0::2], both[..., 1::2])
    if rawmode[:-1] not in ("RGB;16", "RGBA;16"):
        return None
    return _joined(_decoded(file, rawmode), _decoded(file, rawmode[:-1] + {"L": "B", "B": "L"}[order]))


def _joined(high: npt.NDArray[np.uint8], low: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    return (high.astype(np.uint16) * 256 + low).astype(np.uint16)


def _decoded(file: Path, rawmode: str) -> npt.NDArray[np.uint8]:
    with Image.open(file, formats=("PNG", "TIFF")) as image:
        image.tile = [
            tile._replace(args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode)
            for tile in image.tile
        ]
        return np.asarray(ImageOps.exif_transpose(image))


def _srgb(image: Image.Image) -> Image.Image:
    """A CMYK image as sRGB, by its profile if it has one that can be used."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            assert converted is not None
            return converted
        except ImageCms.PyCMSError:
            pass
    return image.convert("RGB")


def _exif_of(image: Image.Image) -> bytes | None:
    """The EXIF data of a photo, without what upscaling changes; a TIFF's are the tags of the file itself."""
    if image.format == "TIFF":
        return None
    exif = image.getexif()
    if not exif:
        return None
    exif.pop(_ORIENTATION, None)
    if _EXIF in exif:
        for tag in _SIZES:
            exif.get_ifd(_EXIF).pop(tag, None)
    try:
        return exif.tobytes() or None
    except Exception:  # damaged EXIF data: the photo is worth more
        return None


# Writing 16 bits, which Pillow does for grey only ---------------------------------------------------------------------

_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's numbers of colour types by the number of channels."""


def _write_deep_png(file: BinaryIO, picture: Picture) -> None:
    samples = _channels(picture)
    samples = samples[..., None] if samples.ndim == 2 else samples
    height, width, count = samples.shape
    lines = np.ascontiguousarray(samples.astype(">u2")).view(np.uint8).reshape(height, -1)
    filtered = lines.copy()
    filtered[1:] -= lines[:-1]  # filter 2: the difference from the line above
    rows = np.concatenate([np.full((height, 1), 2, np.uint8), filtered], axis=1)
    file.write(b"\x89PNG\r\n\x1a\n")
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOURS[count], 0, 0, 0))
    if picture.icc is not None:
        _chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc))
    if picture.exif is not None:
        _chunk(file, b"eXIf", picture.exif.removeprefix(b"Exif\0\0"))
    _chunk(file, b"IDAT", zlib.compress(rows.tobytes()))
    _chunk(file, b"IEND", b"")


def _chunk(file: BinaryIO, name: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content)))


def _write_deep_tiff(file: BinaryIO, picture: Picture) -> None:
    import tifffile

    if picture.alpha is not None:
        picture = replace(picture, grey=False)  # few programs read grey with alpha
    content = io.BytesIO()
    tifffile.imwrite(
        content,
        _channels(picture),
        photometric="minisblack" if picture.grey else "rgb",
        planarconfig=None if picture.grey else "contig",
        extrasamples=None if picture.alpha is None else ["unassalpha"],
        iccprofile=picture.icc,
        compression="zlib",
    )
    file.write(content.getbuffer())
