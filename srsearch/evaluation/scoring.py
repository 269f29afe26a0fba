"""Scores of a network on test sets: PSNR and SSIM of each image by several protocols, with bicubic upscaling beside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from srsearch.data import Pair
from srsearch.data.bicubic import Pixels, upscale
from srsearch.evaluation.ensemble import self_ensemble
from srsearch.evaluation.metrics import (
    COMMON,
    PCARN,
    PEAK,
    Plane,
    Protocol,
    Reference,
    compared_plane,
    luma,
    without_border,
)
from srsearch.evaluation.runtime import Runtime
from srsearch.evaluation.tiles import Reach, reach_of, tile_that_fits, upscale_tiled
from srsearch.evaluation.upscaling import upscale_image


@dataclass(frozen=True)
class Score:
    """PSNR in dB and SSIM on luminance; SSIM is NaN for images smaller than its window."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class ImageScores:
    """The scores of one image.

    Attributes:
        name: Name of the image.
        width: Width of the HR image.
        height: Height of the HR image.
        scores: By the protocols' names.
        bicubic: Those of bicubic upscaling.
        tile: Side of the tiles in LR pixels; None if the image was upscaled as a whole.
    """

    name: str
    width: int
    height: int
    scores: Mapping[str, Score]
    bicubic: Mapping[str, Score]
    tile: int | None


@dataclass(frozen=True)
class SetScores:
    """The scores on a test set.

    Attributes:
        images: The scores of each image.
        network_seconds: Time in the network.
        metric_seconds: Time for PSNR, SSIM and the bicubic baseline.
    """

    images: tuple[ImageScores, ...]
    network_seconds: float
    metric_seconds: float

    def mean(self, protocol: str) -> Score:
        """The mean over the images."""
        return _mean([each.scores[protocol] for each in self.images])

    def bicubic(self, protocol: str) -> Score:
        """The mean of bicubic upscaling over the images."""
        return _mean([each.bicubic[protocol] for each in self.images])


def score(
    network: nn.Module | None,
    pairs: Iterable[Pair],
    scale: int,
    *,
    runtime: Runtime,
    protocols: Sequence[Protocol] = (COMMON, PCARN),
    ensemble: bool = False,
    tile: int | None = None,
    warn: Callable[[str], None] = lambda message: None,
    done: Callable[[ImageScores], None] = lambda scores: None,
) -> SetScores:
    """Score a network on images. Every image passes through the network once, whatever the number of protocols.

    An image for which memory is too small is upscaled in tiles, see `upscale_tiled`.

    Args:
        network: A network for RGB or luminance, see `upscale_image`, placed by the runtime; None is bicubic upscaling.
        pairs: HR images with their LR images.
        scale: Integer upscaling factor.
        runtime: Device, precision and threads.
        protocols: How images are quantised and compared.
        ensemble: Whether to use the mean over eight flips and rotations.
        tile: Side of a tile in LR pixels; None: the whole image, if memory suffices.
        warn: Receives a message when tiles are only an approximation, or when memory was too small.
        done: Called after each image.

    Raises:
        FloatingPointError: The network's output is not finite.
        ValueError: There are no images, or the network does not upscale by that factor.
        MemoryError: Memory is too small even for the smallest tile.
    """
    upscaler = None if network is None else _Upscaler(network, scale, runtime, ensemble, tile, warn)
    images: list[ImageScores] = []
    network_seconds = metric_seconds = 0.0
    with runtime.applied(), _exact_convolutions(), ThreadPoolExecutor(len(protocols)) as pool:
        for pair in pairs:
            start = time.perf_counter()
            output, used = (None, None) if upscaler is None else upscaler(pair)
            upscaled = time.perf_counter()
            images.append(_scored(pair, output, scale, protocols, used, pool))
            metric_seconds += time.perf_counter() - upscaled
            network_seconds += upscaled - start
            done(images[-1])
    if not images:
        raise ValueError("no images to evaluate")
    return SetScores(tuple(images), network_seconds, metric_seconds)


_SMALLEST_TILE = 16


class _Upscaler:
    """Upscales LR images, in tiles where memory is too small."""

    def __init__(
        self,
        network: nn.Module,
        scale: int,
        runtime: Runtime,
        ensemble: bool,
        tile: int | None,
        warn: Callable[[str], None],
    ) -> None:
        self._network, self._scale, self._runtime = network.eval(), scale, runtime
        self._ensemble, self._tile, self._warn = ensemble, tile, warn
        self._reach: Reach | None = None

    def __call__(self, pair: Pair) -> tuple[Tensor, int | None]:
        """The output (3, scale * h, scale * w) on the CPU, and the side of the tiles."""
        height, width = pair.lr.shape[:2]
        tile = self._tile
        if tile is None:
            # The reach matters for tiles only, and most images need none.
            tile = tile_that_fits(self._network, self._scale, Reach(0), height, width, self._runtime.device)
        while True:
            try:
                return self._upscaled(pair.lr, tile), tile
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and not _is_out_of_memory(error):
                    raise
                tile = (max(height, width) if tile is None else tile) // 2
            if tile < _SMALLEST_TILE:
                raise MemoryError(f"{pair.name}: memory is too small even for tiles of {_SMALLEST_TILE} LR pixels")
            self._warn(f"{pair.name}: out of memory; trying again in tiles of {tile}x{tile} LR pixels")
            if self._runtime.device == "cuda":
                torch.cuda.empty_cache()

    def _upscaled(self, lr: Pixels, tile: int | None) -> Tensor:
        image = torch.from_numpy(lr).permute(2, 0, 1)[None].float().div_(PEAK)
        if tile is not None and tile >= max(lr.shape[:2]):
            tile = None
        with torch.inference_mode():
            if tile is None:
                return self._passed(self._network, image, self._scale)[0]
            return upscale_tiled(self._network, image, self._scale, tile, self._known_reach(), self._passed)[0]

    def _passed(self, network: nn.Module, image: Tensor, scale: int) -> Tensor:
        placed = self._runtime.placed(image)
        with self._runtime.autocast():
            if self._ensemble:
                return self_ensemble(
                    lambda turned: upscale_image(network, self._runtime.placed(turned), scale), placed
                ).cpu()
            return upscale_image(network, placed, scale).cpu()

    def _known_reach(self) -> Reach:
        if self._reach is None:
            self._reach = reach_of(self._network, self._scale)
            if not self._reach.exact:
                self._warn(
                    "the network averages over the whole image (channel attention), so tiles only approximate the "
                    f"untiled result; they overlap by {self._reach.overlap} LR pixels"
                )
        return self._reach


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """Without TF32, which GPUs use for float32 convolutions by default."""
    cudnn, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = cudnn, matmul


def _scored(
    pair: Pair, output: Tensor | None, scale: int, protocols: Sequence[Protocol], tile: int | None, pool: Executor
) -> ImageScores:
    baseline = upscale(pair.lr, scale)
    # Computed once for all protocols.
    baseline_y, hr_y = (luma(without_border(each, scale)) for each in (baseline, pair.hr))

    def compared(protocol: Protocol) -> tuple[Score, Score]:
        if protocol.grey_levels and pair.grey:
            plane, hr = (compared_plane(each, scale, protocol, grey=True) for each in (baseline, pair.hr))
        else:
            plane, hr = protocol.rounded(baseline_y), protocol.rounded(hr_y)
        reference = Reference(hr)
        bicubic = _compared(plane, reference)
        if output is None:
            return bicubic, bicubic
        sr = compared_plane(protocol.quantise(output), scale, protocol, grey=pair.grey)
        return _compared(sr, reference), bicubic

    # NumPy and SciPy work without the interpreter's lock.
    both = dict(zip([each.name for each in protocols], pool.map(compared, protocols), strict=True))
    height, width = pair.hr.shape[:2]
    scores, bicubic = ({name: each[place] for name, each in both.items()} for place in (0, 1))
    return ImageScores(pair.name, width, height, scores, bicubic, tile)


def _compared(plane: Plane, reference: Reference) -> Score:
    if plane.size == 0:
        return Score(float("nan"), float("nan"))
    large = min(plane.shape) >= 11
    return Score(reference.psnr(plane), reference.ssim(plane) if large else float("nan"))


def _mean(scores: Sequence[Score]) -> Score:
    return Score(sum(each.psnr for each in scores) / len(scores), sum(each.ssim for each in scores) / len(scores))
