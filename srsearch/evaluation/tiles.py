"""Upscales large images in overlapping tiles, with the result of upscaling them as a whole."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from srsearch.evaluation.upscaling import is_luminance, upscale_image

UNBOUNDED_OVERLAP = 32
"""LR pixels around a tile for networks that look at the whole image; their tiles approximate the untiled result."""

_LONGEST = 4096
"""LR pixels: where a network reaches farther, its tiles would consist of overlap."""
_COLOUR_REACH = 4
"""LR pixels: the reach of bicubic upscaling, for the colours of networks on luminance."""


@dataclass(frozen=True)
class Reach:
    """How far a network looks.

    Attributes:
        pixels: LR pixels on each side that an output pixel depends on; None if it depends on the whole image.
    """

    pixels: int | None

    @property
    def overlap(self) -> int:
        """LR pixels around a tile."""
        return UNBOUNDED_OVERLAP if self.pixels is None else self.pixels

    @property
    def exact(self) -> bool:
        """Whether tiles give the untiled result."""
        return self.pixels is not None


def reach_of(network: nn.Module, scale: int) -> Reach:
    """Measure how far a network looks, by an input in which one column is not a number.

    NaN spreads through every operation to all that depends on it, whatever the weights. Channel attention spreads it
    over the whole image. The measurement runs on a copy in float64 on the CPU, where no convolution algorithm reads
    more than it needs, and takes milliseconds.

    Args:
        network: A network as for `upscale_image`.
        scale: Integer upscaling factor.
    """
    plain = copy.deepcopy(network).cpu().double().eval()
    channels = 1 if is_luminance(network) else 3
    width = 129
    while width <= 2 * _LONGEST + 1:
        middle = width // 2
        probe = torch.zeros(1, channels, 3, width, dtype=torch.float64)
        probe[..., middle] = torch.nan
        with torch.inference_mode():
            output = plain(probe, scale=scale) if hasattr(plain, "scales") else plain(probe)
        touched = output.isnan().any(dim=2).any(dim=1)[0].nonzero().flatten()
        first, last = int(touched[0]) // scale, int(touched[-1]) // scale
        if first > 0 and last < width - 1:
            return Reach(max(middle - first, last - middle, _COLOUR_REACH if channels == 1 else 0))
        if _pools(plain, scale):
            return Reach(None)
        width = 2 * width + 1
    return Reach(None)


def upscale_tiled(
    network: nn.Module,
    lr: Tensor,
    scale: int,
    tile: int,
    reach: Reach,
    apply: Callable[[nn.Module, Tensor, int], Tensor] = upscale_image,
) -> Tensor:
    """Upscale images in tiles. If the network's reach is bounded, the result is that of the whole image.

    Args:
        network: A network as for `upscale_image`.
        lr: (n, 3, h, w) RGB images in 0..1.
        scale: Integer upscaling factor.
        tile: Side of a tile in LR pixels, without overlap; at least 1.
        reach: From `reach_of`, for this scale.
        apply: What upscales a tile.

    Returns:
        (n, 3, scale * h, scale * w) on the device of ``lr``.

    Raises:
        ValueError: The tile is smaller than 1.
    """
    if tile < 1:
        raise ValueError(f"a tile of {tile} LR pixels: give at least 1")
    count, _, height, width = lr.shape
    if tile >= height and tile >= width:
        return apply(network, lr, scale)
    sr = lr.new_empty(count, 3, scale * height, scale * width)
    for rows, columns, part in upscaled_tiles(network, lr, scale, tile, reach, apply):
        sr[..., rows, columns] = part
    return sr


def upscaled_tiles(
    network: nn.Module,
    lr: Tensor,
    scale: int,
    tile: int,
    reach: Reach,
    apply: Callable[[nn.Module, Tensor, int], Tensor] = upscale_image,
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Upscale the tiles of images one by one, row by row; see `upscale_tiled`.

    Yields:
        Rows and columns of the tile in the upscaled images, and what belongs there, (n, 3, rows, columns).
    """
    height, width = lr.shape[2:]
    for top, bottom, above, below in _spans(height, tile, reach.overlap):
        for left, right, before, after in _spans(width, tile, reach.overlap):
            part = apply(network, lr[..., above:below, before:after], scale)
            rows = slice(scale * (top - above), scale * (bottom - above))
            columns = slice(scale * (left - before), scale * (right - before))
            yield (
                slice(scale * top, scale * bottom),
                slice(scale * left, scale * right),
                part[..., rows, columns],
            )


def tile_that_fits(
    network: nn.Module, scale: int, reach: Reach, height: int, width: int, device: str, limit: int | None = None
) -> int | None:
    """The largest tile for which memory suffices by estimate, or None if the whole image fits.

    The estimate is four times the largest tensor between modules.

    Args:
        network: A network as for `upscale_image`, on the device.
        scale: Integer upscaling factor.
        reach: From `reach_of`.
        height: Height of the LR image.
        width: Width of the LR image.
        device: ``cpu`` or ``cuda``.
        limit: Bytes that may be taken; None: half of the memory that is free.
    """
    if limit is None:
        free = free_memory(device)
        if free is None:
            return None
        limit = free // 2
    most = int(limit / (4 * 4 * _largest(network, scale)))
    if height * width <= most:
        return None
    return max(int(most**0.5) - 2 * reach.overlap, 16)


def free_memory(device: str) -> int | None:
    """Bytes of memory that are free on a device; None if that is not known."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _spans(length: int, tile: int, overlap: int) -> Iterator[tuple[int, int, int, int]]:
    """Start and end of each tile, without and with overlap."""
    for start in range(0, length, tile):
        end = min(start + tile, length)
        yield start, end, max(start - overlap, 0), min(end + overlap, length)


def _pools(network: nn.Module, scale: int) -> bool:
    """Whether every output depends on a corner of the input, however large the input is."""
    probe = torch.zeros(1, 1 if is_luminance(network) else 3, 3, _LONGEST // 8, dtype=torch.float64)
    probe[..., 0, 0] = torch.nan
    with torch.inference_mode():
        output = network(probe, scale=scale) if hasattr(network, "scales") else network(probe)
    return bool(output.isnan().all())


def _largest(network: nn.Module, scale: int) -> float:
    """Values per LR pixel in the largest tensor that a module returns."""
    side, largest = 16, 3.0 * scale**2

    def note(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel() / side**2)

    handles = [module.register_forward_hook(note) for module in network.modules()]
    try:
        device = next((each.device for each in network.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            upscale_image(network, torch.zeros(1, 3, side, side, device=device), scale)
    finally:
        for handle in handles:
            handle.remove()
    return largest
