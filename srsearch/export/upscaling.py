"""Upscales pictures of any size, depth and kind with a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from srsearch.evaluation import Runtime, upscale_image
from srsearch.evaluation.tiles import Reach, reach_of, tile_that_fits, upscaled_tiles
from srsearch.export.pictures import Picture, Samples

SMALLEST_TILE = 16
"""LR pixels: with smaller tiles, nearly all work would be overlap."""

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey image (ITU-R BT.601)."""


class Upscaler:
    """Upscales pictures, in tiles where memory is too small for the whole.

    Args:
        network: A network for RGB or luminance, see `srsearch.evaluation.upscale_image`.
        scale: One of its scales.
        runtime: Device and threads; precision is float32, so that 16 bits keep theirs.
        tile: Side of a tile in LR pixels; None: the whole picture, if memory suffices.
        memory: Bytes that the network's tensors may take, as an estimate; None: half of the memory that is free.
        warn: Receives a message when memory was too small, or when tiles only approximate the result.
    """

    def __init__(
        self,
        network: nn.Module,
        scale: int,
        *,
        runtime: Runtime,
        tile: int | None = None,
        memory: int | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._runtime = replace(runtime, precision="fp32")
        self._network = self._runtime.placed(network).eval()
        self._scale, self._tile, self._memory, self._warn = scale, tile, memory, warn
        self._reach: Reach | None = None

    def __call__(self, picture: Picture, part: Callable[[float], None] = lambda share: None) -> Picture:
        """Upscale a picture. Transparency is upscaled by the network, too.

        Args:
            picture: At least 1x1 pixels.
            part: Called with the share that is done.

        Returns:
            The picture, scale times as wide and high; all else as before.

        Raises:
            FloatingPointError: The network's output is not finite.
            MemoryError: Memory is too small even for the smallest tiles.
        """
        varies = picture.alpha is not None and bool((picture.alpha != picture.alpha.flat[0]).any())
        colour = self._upscaled(picture.colour, picture.grey, lambda share: part(share / 2 if varies else share))
        alpha = None
        if picture.alpha is not None:
            height, width = colour.shape[:2]
            alpha = np.full((height, width), picture.alpha.flat[0], picture.alpha.dtype)
            if varies:
                as_grey = np.repeat(picture.alpha[..., None], 3, axis=2)
                alpha = self._upscaled(as_grey, True, lambda share: part((1 + share) / 2))[..., 0]
        return replace(picture, colour=colour, alpha=alpha)

    def _upscaled(self, colour: Samples, grey: bool, part: Callable[[float], None]) -> Samples:
        height, width = colour.shape[:2]
        tile = self._tile or self._fitting(height, width)
        while True:
            try:
                with self._runtime.applied(), torch.inference_mode():
                    return self._in_tiles(colour, grey, tile, part)
            except (RuntimeError, MemoryError) as error:
                if isinstance(error, RuntimeError) and not _is_out_of_memory(error):
                    raise
            tile = min(max(height, width), tile or max(height, width)) // 2
            if tile < SMALLEST_TILE:
                raise MemoryError(f"memory is too small, even for tiles of {SMALLEST_TILE} pixels")
            self._warn(f"out of memory; trying again in tiles of {tile}x{tile} pixels")
            if self._runtime.device == "cuda":
                torch.cuda.empty_cache()

    def _fitting(self, height: int, width: int) -> int | None:
        """The side of tiles for which memory suffices; None: it suffices for the whole picture."""

        def fitting(reach: Reach) -> int | None:
            device, memory = self._runtime.device, self._memory
            return tile_that_fits(self._network, self._scale, reach, height, width, device, memory)

        return None if fitting(Reach(0)) is None else fitting(self._known_reach())

    def _in_tiles(self, colour: Samples, grey: bool, tile: int | None, part: Callable[[float], None]) -> Samples:
        """The result (scale * h, scale * w, 3). In float32, which takes four times as much, there is one tile only."""
        height, width = colour.shape[:2]
        white, scale = int(np.iinfo(colour.dtype).max), self._scale
        image = torch.from_numpy(colour).permute(2, 0, 1)[None]

        def passed(network: nn.Module, lr: Tensor, scale: int) -> Tensor:
            return upscale_image(network, self._runtime.placed(lr.float().div_(white)), scale).cpu()

        if tile is None or tile >= max(height, width):
            whole = _samples(passed(self._network, image, scale)[0], white)
            return _of_three(_grey(whole)) if grey else whole
        result = np.empty((scale * height, scale * width) if grey else (scale * height, scale * width, 3), colour.dtype)
        tiles = -(-height // tile) * -(-width // tile)
        upscaled = upscaled_tiles(self._network, image, scale, tile, self._known_reach(), passed)
        for done, (rows, columns, output) in enumerate(upscaled, 1):
            samples = _samples(output[0], white)
            result[rows, columns] = _grey(samples) if grey else samples
            part(done / tiles)
        return _of_three(result) if grey else result

    def _known_reach(self) -> Reach:
        if self._reach is None:
            self._reach = reach_of(self._network, self._scale)
            if not self._reach.exact:
                self._warn("the network averages over the whole picture (channel attention): tiles differ a little")
        return self._reach


def _samples(output: Tensor, white: int) -> Samples:
    """The output (3, h, w), 0..1 and not clipped, as samples (h, w, 3)."""
    if not bool(torch.isfinite(output).all()):
        raise FloatingPointError("the network's output is not finite")
    whole = output.mul_(white).add_(0.5).floor_().clamp_(0, white).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(whole.astype(np.uint8 if white == 255 else np.uint16))


def _grey(colour: Samples) -> Samples:
    """The luma (h, w) of an image (h, w, 3)."""
    luma: Samples = np.floor(colour @ np.array(_LUMA, np.float32) + np.float32(0.5)).astype(colour.dtype)
    return luma


def _of_three(grey: Samples) -> Samples:
    """A grey image (h, w) as one of three equal channels, in the same memory."""
    return np.broadcast_to(grey[..., None], (*grey.shape, 3))


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
