"""Crops of a validation photo, upscaled by networks with saved weights. Imports torch only when one is made."""

from __future__ import annotations

import base64
import functools
import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from srsearch.errors import InputError
from srsearch.text import well_formed

if TYPE_CHECKING:
    from srsearch.data.bicubic import Pixels
    from srsearch.store import StudyRecord

T = TypeVar("T")

SIDE = 72
"""Side of a crop in LR pixels. Networks see `_MARGIN` more on each side."""

_MARGIN = 16
_lock = threading.Lock()


@dataclass(frozen=True)
class Source:
    """Where a study's validation photos come from.

    Attributes:
        data: ``builtin`` or a folder.
        scale: Upscaling factor of the pictures.
        patch: Side of the training patches in LR pixels.
        fingerprint: The fingerprint of the study's data.
        trained: All scales that its networks were trained at.
    """

    data: str
    scale: int
    patch: int
    fingerprint: str
    trained: tuple[int, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a crop lies.

    Attributes:
        photo: The photo's name.
        across: Horizontal position, from 0 (left edge of the photo) to 1 (right edge).
        down: Vertical position, from 0 (top edge) to 1 (bottom edge).
    """

    photo: str
    across: float = 0.5
    down: float = 0.5


@dataclass(frozen=True)
class Picture:
    """A crop as an image.

    Attributes:
        image: A ``data:`` URL (PNG).
        psnr: PSNR on luma against HR in dB; None for HR itself.
    """

    image: str
    psnr: float | None


def source_of(study: StudyRecord) -> Source:
    """The photos that a study was made with."""
    data = (study.space.get("proxy") or {}).get("data") or study.data.get("source") or "builtin"
    trained = tuple(study.data.get("trained_scales", ()))
    return Source(str(data), study.scale, int(study.recipe.get("patch", 24)), study.data_fingerprint, trained)


def evenly(designs: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of the designs, evenly spaced in their order, with the first and the last."""
    if len(designs) <= most:
        return list(designs)
    return [designs[round(i * (len(designs) - 1) / max(most - 1, 1))] for i in range(most)]


@functools.lru_cache(maxsize=2)
def photos(source: Source) -> Mapping[str, tuple[Pixels, Pixels]]:
    """HR and LR of each validation photo by name.

    Raises:
        InputError: The photos are not here, or are not those that the study was made with.
    """
    from srsearch.data import load_training_data

    training_data = load_training_data(source.data, source.scale, patch=source.patch, further=source.trained)
    if training_data.fingerprint != source.fingerprint:
        raise InputError(f"the photos of {source.data!r} here are not those that the study was made with")
    named: dict[str, tuple[Pixels, Pixels]] = {}
    for pair in training_data.validation:
        name = well_formed(pair.name)  # which two names that are not UTF-8 may share
        named[name if name not in named else f"{name} ({len(named) + 1})"] = pair.hr, pair.lr
    return named


def references(source: Source, place: Place) -> tuple[Picture, Picture]:
    """The crop from HR, and from bicubic upscaling."""
    from srsearch.data.bicubic import upscale

    hr, lr, inside = _crop(source, place)
    bicubic = _cut(upscale(lr, source.scale), inside, source.scale)
    return Picture(_encoded(hr), None), Picture(_encoded(bicubic), _psnr(bicubic, hr, source.scale))


@functools.lru_cache(maxsize=64)
def _upscaled(path: Path, changed: int, description: str, source: Source, place: Place) -> Picture:
    import json

    import torch

    from srsearch.architecture import Architecture, build
    from srsearch.evaluation.metrics import COMMON
    from srsearch.evaluation.upscaling import upscale_image
    from srsearch.training.checkpoint import Checkpoint

    checkpoint = Checkpoint.load(path)
    if checkpoint is None:
        raise InputError("its weights cannot be read")
    network = build(Architecture.from_dict(json.loads(description)))
    network.load_state_dict(checkpoint.network)
    hr, lr, inside = _crop(source, place)
    with _lock, torch.inference_mode():
        # Leave the other cores to a search on this machine.
        torch.set_num_threads(1)
        given = torch.from_numpy(np.ascontiguousarray(lr)).permute(2, 0, 1)[None].float() / 255
        made = COMMON.quantise(upscale_image(network.eval(), given, source.scale)[0])
    cut = _cut(made, inside, source.scale)
    return Picture(_encoded(cut), _psnr(cut, hr, source.scale))


def upscaled(path: Path, description: Mapping[str, Any], source: Source, place: Place) -> Picture:
    """The crop, upscaled by a network.

    Args:
        path: The network's checkpoint.
        description: The network's design.
        source: The photos.
        place: Where the crop lies.

    Raises:
        InputError: The weights cannot be read, or belong to another network.
    """
    import json

    try:
        changed = path.stat().st_mtime_ns
        return _upscaled(path, changed, json.dumps(description, sort_keys=True), source, place)
    except OSError as error:
        raise InputError(f"its weights cannot be read: {error.strerror}") from error
    except (RuntimeError, FloatingPointError) as error:  # weights of another network; NaN in the output
        raise InputError(f"its weights cannot be used: {str(error).splitlines()[0]}") from error


def _crop(source: Source, place: Place) -> tuple[Pixels, Pixels, tuple[int, int, int, int]]:
    """The HR crop, the LR crop with a margin, and where the crop is in that: left, top, width, height in LR pixels."""
    hr, lr = photos(source)[place.photo]
    height, width = min(SIDE, lr.shape[0]), min(SIDE, lr.shape[1])
    top = round((lr.shape[0] - height) * place.down)
    left = round((lr.shape[1] - width) * place.across)
    upper, before = max(0, top - _MARGIN), max(0, left - _MARGIN)
    around = lr[upper : top + height + _MARGIN, before : left + width + _MARGIN]
    scale = source.scale
    exact = hr[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    return exact, around, (left - before, top - upper, width, height)


def _cut(image: Pixels, inside: tuple[int, int, int, int], scale: int) -> Pixels:
    left, top, width, height = (value * scale for value in inside)
    return image[top : top + height, left : left + width]


def _psnr(sr: Pixels, hr: Pixels, scale: int) -> float:
    from srsearch.evaluation.metrics import psnr_y

    return psnr_y(sr, hr, scale)


def _encoded(pixels: Pixels) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
