"""Time of evaluating test sets at x4, compared with a plain loop over the images, and the share of the metrics.

    python -m benchmarks.evaluation [--data DIR ...] [--rounds N]

Both ways decode the same files, run the same network (PCARN-M with random weights, which take as long as trained ones)
and compute PSNR and SSIM. The plain loop is what most people write: PyTorch without options, scikit-image. It computes
one protocol and no baseline; ours computes two protocols and bicubic upscaling, too. Rounds alternate. Without --data,
the photographs that are installed are used. Exits with 1 if ours takes longer, or its metrics take over 10 % of it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from srsearch.architecture import build, catalogue
from srsearch.data import builtin_photos, recognise
from srsearch.data.layouts import PairFile
from srsearch.evaluation import Runtime, luma, score
from srsearch.evaluation.runtime import usable_cores

SCALE = 4


def plain_loop(network: nn.Module, pairs: Sequence[PairFile]) -> tuple[float, float]:
    """Return the seconds of the loop, and those without its metrics."""
    start, metrics = time.perf_counter(), 0.0
    for pair in pairs:
        lr = None if pair.lr is None else np.array(Image.open(pair.lr.path).convert("RGB"))
        hr = np.array(Image.open(pair.hr.path).convert("RGB"))
        if lr is None:
            read = pair.read()
            lr, hr = read.lr, read.hr
        with torch.no_grad():
            sr = network(torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 255, scale=SCALE)[0]
        pixels = (sr.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        began = time.perf_counter()
        planes = [luma(image)[SCALE:-SCALE, SCALE:-SCALE] for image in (pixels, hr)]
        peak_signal_noise_ratio(planes[1], planes[0], data_range=255)
        structural_similarity(
            *planes, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
        )
        metrics += time.perf_counter() - began
    seconds = time.perf_counter() - start
    return seconds, seconds - metrics


def photos(folder: Path) -> list[Path]:
    """Write the installed photographs into a folder."""
    for photo in builtin_photos():
        Image.fromarray(photo.pixels).save(folder / f"{photo.name}.png")
    return [folder]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in alternating rounds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", help="folders of test sets")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    runtime = Runtime("cpu", "fp32", True, usable_cores())
    torch.set_num_threads(runtime.threads)
    plain = build(catalogue.get("pcarn-m"), seed=0).eval()
    placed = runtime.placed(build(catalogue.get("pcarn-m"), seed=0).eval())
    with tempfile.TemporaryDirectory() as folder:
        layouts = [recognise(each, SCALE) for each in options.data or photos(Path(folder))]
        pairs = [pair for layout in layouts for pair in layout.pairs]
        ratios, without, shares = [], [], []
        for _ in range(options.rounds):
            start = time.perf_counter()
            scores = [score(placed, layout.read(print), SCALE, runtime=runtime) for layout in layouts]
            ours = time.perf_counter() - start
            loop, forward = plain_loop(plain, pairs)
            ratios.append(ours / loop)
            without.append(ours / forward)
            shares.append(sum(each.metric_seconds for each in scores) / ours)
            print(f"evaluate {ours:.1f} s, plain loop {loop:.1f} s ({forward:.1f} s without metrics)", flush=True)
    ratio, share = statistics.median(ratios), statistics.median(shares)
    print(f"{len(pairs)} images at x{SCALE}, {runtime.threads} threads")
    print(f"evaluate / plain loop: {ratio:.2f}; / plain loop without metrics: {statistics.median(without):.2f}")
    print(f"share of the metrics (two protocols, and bicubic upscaling): {share:.1%}")
    return int(ratio > 1 or share > 0.1)


if __name__ == "__main__":
    sys.exit(main())
