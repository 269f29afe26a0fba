"""Steps per second of `srsearch train --recipe fast` compared with a plain loop, and the share of loading.

    python -m benchmarks.training [--threads N] [--rounds N] [--design NAME]

The plain loop is that of `benchmarks.proxy_training`: float32, contiguous tensors, a DataLoader that decodes files; it
has the recipe's batch and patch. Exits with 1 if the ratio is below 2.5 on a CPU with bfloat16, or if loading and
augmentation take more than 5 % of the time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from benchmarks.proxy_training import SCALE, Files, endless, plain_loop, steps_per_second
from srsearch.architecture import build, catalogue
from srsearch.data import PatchSampler, load_training_data
from srsearch.evaluation.runtime import cpu_has_bf16
from srsearch.training import Runtime, Trainer
from srsearch.training.recipe_files import read_recipe

TARGET, LOADING = 2.5, 0.05


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of every loop; more suffer badly on a busy machine")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each loop in each round")
    parser.add_argument("--design", default="s-lwsr16", help="a published network")
    options = parser.parse_args(arguments)

    recipe, runtime = read_recipe("fast"), Runtime.detect("cpu", threads=options.threads)
    torch.set_num_threads(options.threads)
    data = load_training_data("builtin", SCALE, patch=recipe.patch)
    design = catalogue.get(options.design, SCALE)
    trainer = Trainer(build(design, seed=0), {SCALE: data.train}, recipe, runtime, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        files = Files(data, Path(folder), recipe.patch, length=10_000)
        loops = {
            "plain": plain_loop(design, recipe, endless(DataLoader(files, recipe.batch, shuffle=True))),
            "srsearch": trainer.step,
        }
        rate = steps_per_second(loops, options.rounds, options.seconds)
    sampler, batches = PatchSampler(data.train, recipe.patch, recipe.batch, SCALE, 0), 50
    sampler.next()
    begun = time.perf_counter()
    for _ in range(batches):
        sampler.next()
    loading = (time.perf_counter() - begun) / batches * rate["srsearch"]
    ratio = rate["srsearch"] / rate["plain"]
    print(f"{options.design} x{SCALE}, batch {recipe.batch}, LR patch {recipe.patch}, {runtime}")
    print(f"plain {rate['plain']:.2f} steps/s, srsearch {rate['srsearch']:.2f}: {ratio:.2f}x (target {TARGET})")
    print(f"loading and augmentation: {loading:.1%} of the time (target {LOADING:.0%})")
    return int(loading > LOADING or (cpu_has_bf16() and ratio < TARGET))


if __name__ == "__main__":
    sys.exit(main())
