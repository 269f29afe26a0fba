"""Evaluation of networks and images: PSNR and SSIM by a protocol, and the runtime that networks compute with."""

from __future__ import annotations

from srsearch.evaluation.benchmark import Quality, bicubic_quality, evaluate
from srsearch.evaluation.ensemble import self_ensemble
from srsearch.evaluation.metrics import (
    COMMON,
    MATLAB,
    PCARN,
    PROTOCOLS,
    Protocol,
    luma,
    psnr,
    psnr_y,
    ssim,
    ssim_y,
)
from srsearch.evaluation.published import PublishedScore, published_name, published_scores
from srsearch.evaluation.runtime import Runtime
from srsearch.evaluation.scoring import ImageScores, Score, SetScores, score
from srsearch.evaluation.tiles import Reach, reach_of, tile_that_fits, upscale_tiled
from srsearch.evaluation.upscaling import is_luminance, upscale_image

__all__ = [
    "COMMON",
    "MATLAB",
    "PCARN",
    "PROTOCOLS",
    "ImageScores",
    "Protocol",
    "PublishedScore",
    "Quality",
    "Reach",
    "Runtime",
    "Score",
    "SetScores",
    "bicubic_quality",
    "evaluate",
    "is_luminance",
    "luma",
    "psnr",
    "psnr_y",
    "published_name",
    "published_scores",
    "reach_of",
    "score",
    "self_ensemble",
    "ssim",
    "ssim_y",
    "tile_that_fits",
    "upscale_image",
    "upscale_tiled",
]
