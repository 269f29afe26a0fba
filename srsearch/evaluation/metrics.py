"""PSNR and SSIM on luminance, and the quantisation that papers apply before measuring.

SSIM is computed as in Wang et al., "Image quality assessment: from error visibility to structural similarity" (2004):
an 11x11 Gaussian window of sigma 1.5, K = (0.01, 0.03), averaged over the windows that lie fully inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import correlate1d
from torch import Tensor

from srsearch.data.bicubic import Pixels
from srsearch.errors import InputError, suggest

Plane = npt.NDArray[np.float64]
"""One channel: float64 (h, w), 0..255."""

PEAK = 255.0
MAX_PSNR = 100.0
"""PSNR in dB of two equal images; infinity would break means and databases."""

_WINDOW, _SIGMA = 11, 1.5
_STRIP = 32
"""Rows of windows that are computed at once."""


@dataclass(frozen=True)
class Protocol:
    """How images are quantised before they are compared.

    Attributes:
        name: The protocol's name, printed with every figure.
        truncate: Whether SR images are truncated to uint8 instead of rounded.
        round_luma: Whether luminance is rounded to whole numbers, as MATLAB's uint8 ``rgb2ycbcr`` does.
        grey_levels: Whether images from files of one channel are compared by their levels, 0..255, instead of
            luminance, 16..235.
    """

    name: str
    truncate: bool
    round_luma: bool
    grey_levels: bool = False

    def quantise(self, sr: Tensor) -> Pixels:
        """Convert a network's output (3, h, w), 0..1 and not clipped, to uint8 (h, w, 3).

        Raises:
            FloatingPointError: A value is NaN or infinite.
        """
        levels = sr.detach().float().mul(PEAK)
        # A sum that is finite has finite terms, and takes less time than looking at each.
        if not bool(torch.isfinite(levels.sum())) and not bool(torch.isfinite(levels).all()):
            raise FloatingPointError("the network's output is not finite")
        levels.clamp_(0, PEAK)
        if not self.truncate:
            levels.add_(0.5)
        # Conversion truncates.
        return levels.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()

    def luma(self, rgb: Pixels) -> Plane:
        """Return the luminance (h, w) of an RGB image, uint8 (h, w, 3), rounded if the protocol says so."""
        return self.rounded(luma(rgb))

    def rounded(self, y: Plane) -> Plane:
        """Return luminance, rounded if the protocol says so."""
        return np.floor(y + 0.5) if self.round_luma else y


COMMON = Protocol("common", truncate=False, round_luma=False)
"""The protocol of all figures that srsearch measures."""
PCARN = Protocol("pcarn", truncate=True, round_luma=True)
"""The protocol of the PCARN paper's Table IV; 0.01 to 0.13 dB below ``common``."""
MATLAB = Protocol("matlab", truncate=False, round_luma=True, grey_levels=True)
"""The protocol of many published MATLAB scripts, which leave grey images as they are: 0.1 dB lower on Set14."""
PROTOCOLS = {protocol.name: protocol for protocol in (COMMON, PCARN, MATLAB)}


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
    y: Plane = np.multiply(rgb[..., 0], 65.481, dtype=np.float64)
    for channel, weight in ((1, 128.553), (2, 24.966)):
        y += np.multiply(rgb[..., channel], weight, dtype=np.float64)
    y /= 255
    y += 16
    return y


def psnr(sr: Plane, hr: Plane) -> float:
    """Return the peak signal-to-noise ratio of two planes in dB, with peak 255; at most :data:`MAX_PSNR`."""
    difference = np.subtract(sr, hr, dtype=np.float64)
    difference *= difference
    error = float(difference.mean())
    return min(MAX_PSNR, 10 * float(np.log10(PEAK**2 / error))) if error > 0 else MAX_PSNR


def ssim(sr: Plane, hr: Plane) -> float:
    """Return the structural similarity of two planes (h, w) of at least 11x11 pixels; at most 1.

    It equals scikit-image's with ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255``.

    Raises:
        ValueError: The planes are smaller than a window.
    """
    return Reference(hr).ssim(sr)


class Reference:
    """An HR plane that several SR planes are compared with; what depends on it alone is computed once.

    Args:
        hr: The plane (h, w).
    """

    def __init__(self, hr: Plane) -> None:
        self.hr = np.ascontiguousarray(hr, dtype=np.float64)

    def psnr(self, sr: Plane) -> float:
        """Return the PSNR in dB; see `psnr`."""
        return psnr(sr, self.hr)

    def ssim(self, sr: Plane) -> float:
        """Return the SSIM; see `ssim`.

        Raises:
            ValueError: The planes are smaller than a window.
        """
        x, mean_y = np.ascontiguousarray(sr, dtype=np.float64), self._mean
        similarity = np.empty_like(mean_y)
        # In strips, what is computed of a strip stays in the processor's cache.
        for start in range(0, len(similarity), _STRIP):
            windows = slice(start, start + _STRIP)
            rows = slice(start, start + _STRIP + _WINDOW - 1)
            similarity[windows] = _similarity(x[rows], self.hr[rows], mean_y[windows])
        return float(similarity.mean())

    @cached_property
    def _mean(self) -> Plane:
        strips = range(0, max(len(self.hr) - _WINDOW + 1, 1), _STRIP)
        return np.concatenate([_window_mean(self.hr[start : start + _STRIP + _WINDOW - 1]) for start in strips])


def psnr_y(sr: Pixels, hr: Pixels, scale: int, protocol: str | Protocol = COMMON) -> float:
    """Return the PSNR in dB on luminance of two uint8 (h, w, 3) images, without ``scale`` pixels at each border.

    Raises:
        ValueError: The images have different sizes.
    """
    return psnr(*compared_planes(sr, hr, scale, protocol_named(protocol)))


def ssim_y(sr: Pixels, hr: Pixels, scale: int, protocol: str | Protocol = COMMON) -> float:
    """Return the SSIM on luminance of two uint8 (h, w, 3) images, without ``scale`` pixels at each border.

    Raises:
        ValueError: The images have different sizes, or are smaller than a window inside the border.
    """
    return ssim(*compared_planes(sr, hr, scale, protocol_named(protocol)))


def compared_planes(
    sr: Pixels, hr: Pixels, scale: int, protocol: Protocol, *, grey: bool = False
) -> tuple[Plane, Plane]:
    """Return the planes of both images that a protocol compares, without ``scale`` pixels at each border.

    Args:
        sr: uint8 (h, w, 3).
        hr: uint8 (h, w, 3).
        scale: Upscaling factor.
        protocol: The protocol.
        grey: Whether the file of the HR image has one channel.

    Raises:
        ValueError: The images have different sizes.
    """
    if sr.shape != hr.shape:
        raise ValueError(f"images of different sizes cannot be compared: {sr.shape} and {hr.shape}")
    first, second = (compared_plane(each, scale, protocol, grey=grey) for each in (sr, hr))
    return first, second


def compared_plane(rgb: Pixels, scale: int, protocol: Protocol, *, grey: bool = False) -> Plane:
    """Return the plane of one image that a protocol compares; see `compared_planes`."""
    inside = without_border(rgb, scale)
    return _grey_levels(inside) if protocol.grey_levels and grey else protocol.luma(inside)


def without_border(pixels: Pixels, scale: int) -> Pixels:
    """Return an image without ``scale`` pixels at each border."""
    return pixels[scale:-scale, scale:-scale]


def _grey_levels(rgb: Pixels) -> Plane:
    """The levels, 0..255, of an image that is grey, or nearly so as a network's output."""
    levels: Plane = np.floor(rgb.astype(np.float64) @ (0.299, 0.587, 0.114) + 0.5)
    return levels


def _similarity(x: Plane, y: Plane, mean_y: Plane) -> Plane:
    """The structural similarity in every window of two planes (h, w), given the means of the second."""
    mean_x = _window_mean(x)
    # Both variances are needed as a sum only, so one filter gives them.
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = _window_mean(x * y) - product
    variances = _window_mean(x * x + y * y) - squares
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    similar = (2 * product + c1) * (2 * covariance + c2)
    different = (squares + c1) * (variances + c2)
    similarity: Plane = similar / different
    return similarity


def _window_mean(plane: Plane) -> Plane:
    """Gaussian-weighted means in every window fully inside: (h, w) to (h - 10, w - 10)."""
    if min(plane.shape) < _WINDOW:
        raise ValueError(f"SSIM needs images of at least {_WINDOW}x{_WINDOW} pixels inside the cropped border")
    margin, weights, count = _WINDOW // 2, _gaussian(), len(plane) - _WINDOW + 1
    # SciPy filters along rows fast, and along columns slowly where their length is a power of two.
    rows = plane[margin : margin + count] * weights[margin]
    for offset in range(margin):
        both = plane[offset : offset + count] + plane[_WINDOW - 1 - offset : _WINDOW - 1 - offset + count]
        both *= weights[offset]
        rows += both
    mean: Plane = correlate1d(rows, weights, axis=1, mode="constant")[:, margin:-margin]
    return mean


@cache
def _gaussian() -> Plane:
    offsets = np.arange(_WINDOW, dtype=np.float64) - _WINDOW // 2
    weights: Plane = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    normalised: Plane = weights / weights.sum()
    return normalised
