"""PSNR and SSIM on luminance, and the quantisation that papers apply before measuring.

SSIM is computed as in Wang et al., "Image quality assessment: from error visibility to structural similarity" (2004):
an 11x11 Gaussian window of sigma 1.5, K = (0.01, 0.03), averaged over the windows that lie fully inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from srsearch.data.bicubic import Pixels
from srsearch.errors import InputError, suggest

Plane = npt.NDArray[np.float64]
"""One channel: float64 (h, w), 0..255."""

PEAK = 255.0
MAX_PSNR = 100.0
"""PSNR in dB of two equal images; infinity would break means and databases."""

_WINDOW, _SIGMA = 11, 1.5


@dataclass(frozen=True)
class Protocol:
    """How images are quantised before they are compared.

    Attributes:
        name: The protocol's name, printed with every figure.
        truncate: Whether SR images are truncated to uint8 instead of rounded.
        round_luma: Whether luminance is rounded to whole numbers, as MATLAB's uint8 ``rgb2ycbcr`` does.
    """

    name: str
    truncate: bool
    round_luma: bool

    def quantise(self, sr: Tensor) -> Pixels:
        """Convert a network's output (3, h, w), 0..1 and not clipped, to uint8 (h, w, 3).

        Raises:
            FloatingPointError: A value is NaN or infinite.
        """
        levels = sr.detach().float().mul(PEAK)
        if not bool(torch.isfinite(levels).all()):
            raise FloatingPointError("the network's output is not finite")
        levels = levels.clamp(0, PEAK)
        whole = levels.floor() if self.truncate else levels.add(0.5).floor()
        return whole.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()

    def luma(self, rgb: Pixels) -> Plane:
        """Return the luminance (h, w) of an RGB image, uint8 (h, w, 3), rounded if the protocol says so."""
        y = luma(rgb)
        return np.floor(y + 0.5) if self.round_luma else y


COMMON = Protocol("common", truncate=False, round_luma=False)
"""The protocol of all figures that srsearch measures."""
PCARN = Protocol("pcarn", truncate=True, round_luma=True)
"""The protocol of the PCARN paper's Table IV; 0.01 to 0.13 dB below ``common``."""
PROTOCOLS = {protocol.name: protocol for protocol in (COMMON, PCARN)}


def protocol_named(protocol: str | Protocol) -> Protocol:
    """Return the protocol with a name; a protocol is returned as it is.

    Raises:
        InputError: No protocol has that name.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise InputError(f"unknown evaluation protocol {protocol!r}: {suggest(protocol, PROTOCOLS)}")
    return PROTOCOLS[protocol]


def luma(rgb: npt.NDArray[np.generic]) -> Plane:
    """Return the ITU-R BT.601 luminance, 16..235, of RGB (h, w, 3) in 0..255, as float64 (h, w)."""
    red, green, blue = (rgb[..., channel].astype(np.float64) for channel in range(3))
    y: Plane = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    return y


def psnr(sr: Plane, hr: Plane) -> float:
    """Return the peak signal-to-noise ratio of two planes in dB, with peak 255; at most :data:`MAX_PSNR`."""
    error = float(np.mean((sr.astype(np.float64) - hr.astype(np.float64)) ** 2))
    return min(MAX_PSNR, 10 * float(np.log10(PEAK**2 / error))) if error > 0 else MAX_PSNR


def ssim(sr: Plane, hr: Plane) -> float:
    """Return the structural similarity of two planes (h, w) of at least 11x11 pixels; at most 1.

    It equals scikit-image's with ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255``.

    Raises:
        ValueError: The planes are smaller than a window.
    """
    if min(sr.shape) < _WINDOW:
        raise ValueError(f"SSIM needs images of at least {_WINDOW}x{_WINDOW} pixels inside the cropped border")
    x, y = (torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float64)) for plane in (sr, hr))
    mean_x, mean_y, square_x, square_y, product = _window_means(torch.stack([x, y, x * x, y * y, x * y]))
    variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
    covariance = product - mean_x * mean_y
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    different = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float((similar / different).mean())


def psnr_y(sr: Pixels, hr: Pixels, scale: int, protocol: str | Protocol = COMMON) -> float:
    """Return the PSNR in dB on luminance of two uint8 (h, w, 3) images, without ``scale`` pixels at each border.

    Raises:
        ValueError: The images have different sizes.
    """
    return psnr(*_compared(sr, hr, scale, protocol_named(protocol)))


def ssim_y(sr: Pixels, hr: Pixels, scale: int, protocol: str | Protocol = COMMON) -> float:
    """Return the SSIM on luminance of two uint8 (h, w, 3) images, without ``scale`` pixels at each border.

    Raises:
        ValueError: The images have different sizes, or are smaller than a window inside the border.
    """
    return ssim(*_compared(sr, hr, scale, protocol_named(protocol)))


def _compared(sr: Pixels, hr: Pixels, scale: int, protocol: Protocol) -> tuple[Plane, Plane]:
    """The luminance of both images inside the border."""
    if sr.shape != hr.shape:
        raise ValueError(f"images of different sizes cannot be compared: {sr.shape} and {hr.shape}")
    inside = (slice(scale, -scale), slice(scale, -scale))
    return protocol.luma(sr[inside]), protocol.luma(hr[inside])


def _window_means(planes: Tensor) -> Tensor:
    """Gaussian-weighted means in every window fully inside: (n, h, w) to (n, h - 10, w - 10), float64."""
    weights = _gaussian()
    columns = F.conv2d(planes[:, None], weights.reshape(1, 1, 1, -1))
    return F.conv2d(columns, weights.reshape(1, 1, -1, 1))[:, 0]


@cache
def _gaussian() -> Tensor:
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    return weights / weights.sum()
