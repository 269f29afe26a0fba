"""Upscaling of RGB images with networks for RGB or luminance."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srsearch.architecture import upscale_bicubic
from srsearch.architecture.colour import rgb_to_ycbcr, ycbcr_to_rgb


def is_luminance(network: nn.Module) -> bool:
    """Return whether a network maps luminance (``in_channels`` is 1) instead of RGB (3, or no such attribute).

    Raises:
        ValueError: The network has another number of channels.
    """
    channels = getattr(network, "in_channels", 3)
    if channels not in (1, 3):
        raise ValueError(f"a network of {channels} image channels cannot be used: RGB has 3, luminance 1")
    return bool(channels == 1)


def upscale_image(network: nn.Module, lr: Tensor, scale: int) -> Tensor:
    """Upscale RGB images with a network. For a network on luminance, Cb and Cr are upscaled bicubically.

    Gradients, autocast and the network's mode (``train`` or ``eval``) are up to you.

    Args:
        network: A network on the images' device. It maps (n, c, h, w) to (n, c, scale * h, scale * w), where c is its
            ``in_channels``, 3 if it has no such attribute. A network with ``scales`` is called with ``scale=``.
        lr: (n, 3, h, w) RGB images in 0..1, float32 or float64.
        scale: Integer upscaling factor.

    Returns:
        (n, 3, scale * h, scale * w) RGB images in the type of ``lr``, not clipped.

    Raises:
        ValueError: The network does not upscale by that factor, or has neither 1 nor 3 image channels.

    Example:
        >>> with torch.inference_mode():
        ...     sr = upscale_image(network, lr, scale=4)
    """
    if not is_luminance(network):
        return _applied(network, lr, scale)
    ycbcr = rgb_to_ycbcr(lr)
    y = _applied(network, ycbcr[:, :1], scale)
    return ycbcr_to_rgb(torch.cat([y, upscale_bicubic(ycbcr[:, 1:], scale)], dim=1))


def _applied(network: nn.Module, image: Tensor, scale: int) -> Tensor:
    """The network's output (n, c, scale * h, scale * w) in the image's type, which autocast may have changed."""
    output: Tensor = network(image, scale=scale) if hasattr(network, "scales") else network(image)
    count, channels, height, width = image.shape
    expected = (count, channels, scale * height, scale * width)
    if output.shape != expected:
        raise ValueError(
            f"the network maps {tuple(image.shape)} to {tuple(output.shape)}; at x{scale} it must give {expected}"
        )
    return output.to(image.dtype)
