"""Evaluation of networks and images: PSNR and SSIM by a protocol, and the runtime that networks compute with."""

from __future__ import annotations

from srsearch.evaluation.benchmark import Quality, bicubic_quality, evaluate
from srsearch.evaluation.metrics import COMMON, PCARN, PROTOCOLS, Protocol, luma, psnr, psnr_y, ssim, ssim_y
from srsearch.evaluation.runtime import Runtime
from srsearch.evaluation.upscaling import is_luminance, upscale_image

__all__ = [
    "COMMON",
    "PCARN",
    "PROTOCOLS",
    "Protocol",
    "Quality",
    "Runtime",
    "bicubic_quality",
    "evaluate",
    "is_luminance",
    "luma",
    "psnr",
    "psnr_y",
    "ssim",
    "ssim_y",
    "upscale_image",
]
