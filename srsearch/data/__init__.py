"""Training data: reads photographs, makes LR images by bicubic downscaling, and cuts patches."""

from __future__ import annotations

from srsearch.data.bicubic import crop_to_multiple, downscale, upscale
from srsearch.data.cache import CachedPatchSampler, open_cache
from srsearch.data.cache_index import cache_of
from srsearch.data.layouts import ImageFile, Layout, PairFile, recognise, scales_of
from srsearch.data.pairs import BUILTIN, Pair, TrainingData, load_training_data, make_pair
from srsearch.data.patches import PatchSampler
from srsearch.data.photos import Photo, builtin_photos, read_folder

__all__ = [
    "BUILTIN",
    "CachedPatchSampler",
    "ImageFile",
    "Layout",
    "Pair",
    "PairFile",
    "PatchSampler",
    "Photo",
    "TrainingData",
    "builtin_photos",
    "cache_of",
    "crop_to_multiple",
    "downscale",
    "load_training_data",
    "make_pair",
    "open_cache",
    "read_folder",
    "recognise",
    "scales_of",
    "upscale",
]
