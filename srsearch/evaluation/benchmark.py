"""PSNR and SSIM of networks on whole images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from srsearch.data import Pair
from srsearch.data.bicubic import Pixels, upscale
from srsearch.evaluation.metrics import COMMON, PEAK, Protocol, protocol_named, psnr_y, ssim_y
from srsearch.evaluation.runtime import Runtime
from srsearch.evaluation.upscaling import upscale_image


@dataclass(frozen=True)
class Quality:
    """PSNR and SSIM on luminance, as means over images and for each image.

    Attributes:
        psnr: Mean PSNR over the images, in dB.
        ssim: Mean SSIM over the images, at most 1; NaN if SSIM was not computed.
        per_image: Name, PSNR in dB and SSIM of each image.
    """

    psnr: float
    ssim: float
    per_image: tuple[tuple[str, float, float], ...]


def evaluate(
    network: nn.Module,
    pairs: Iterable[Pair],
    scale: int,
    *,
    runtime: Runtime,
    protocol: str | Protocol = COMMON,
    ssim: bool = True,
) -> Quality:
    """Measure a network on images, each of which is upscaled as a whole.

    Args:
        network: A network for RGB or luminance, see :func:`upscale_image`; already placed by the runtime.
        pairs: HR images with their LR images.
        scale: Integer upscaling factor.
        runtime: Device, precision and threads.
        protocol: The protocol, or its name.
        ssim: Whether to compute SSIM, which takes longer than PSNR.

    Raises:
        FloatingPointError: The network's output is not finite.
        ValueError: There are no images, or the network does not upscale by that factor.
    """
    chosen = protocol_named(protocol)

    def upscaled(pair: Pair) -> Pixels:
        return chosen.quantise(_output(network, pair.lr, scale, runtime))

    training = network.training
    network.eval()
    try:
        with runtime.applied():
            return _quality(upscaled, pairs, scale, chosen, with_ssim=ssim)
    finally:
        network.train(training)


def bicubic_quality(
    pairs: Iterable[Pair], scale: int, protocol: str | Protocol = COMMON, *, ssim: bool = True
) -> Quality:
    """Measure bicubic upscaling (a = -0.5), the baseline for networks; SSIM only if asked for.

    Raises:
        ValueError: There are no images.
    """
    return _quality(lambda pair: upscale(pair.lr, scale), pairs, scale, protocol_named(protocol), with_ssim=ssim)


def _output(network: nn.Module, lr: Pixels, scale: int, runtime: Runtime) -> Tensor:
    """The output for one LR image, uint8 (h, w, 3): RGB (3, scale * h, scale * w), float32, not clipped."""
    batch = torch.from_numpy(lr).permute(2, 0, 1)[None].float().div_(PEAK)
    with torch.inference_mode(), runtime.autocast():
        return upscale_image(network, runtime.placed(batch), scale)[0]


def _quality(
    upscaled: Callable[[Pair], Pixels], pairs: Iterable[Pair], scale: int, protocol: Protocol, *, with_ssim: bool
) -> Quality:
    rows: list[tuple[str, float, float]] = []
    for pair in pairs:
        sr = upscaled(pair)
        similarity = ssim_y(sr, pair.hr, scale, protocol) if with_ssim else float("nan")
        rows.append((pair.name, psnr_y(sr, pair.hr, scale, protocol), similarity))
    if not rows:
        raise ValueError("no images to evaluate")
    return Quality(sum(row[1] for row in rows) / len(rows), sum(row[2] for row in rows) / len(rows), tuple(rows))
