"""Steps per second of the proxy training compared with a plain loop, on the same designs, in alternating rounds.

    python -m benchmarks.proxy_training [--threads N] [--rounds N] [--loader-workers N] [--design NAME]

The plain loop is a typical first draft of such a training: float32, contiguous tensors, and a DataLoader that decodes
HR and LR files with Pillow and crops at random. "from memory" is the same loop without files, which separates the cost
of the data from that of precision and memory format. Exits with 1 if a design is below the target of twice the plain
loop on a CPU with bfloat16.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from srsearch.architecture import Architecture, build
from srsearch.cost import count
from srsearch.data import TrainingData, load_training_data
from srsearch.evaluation.runtime import cpu_has_bf16
from srsearch.training import Recipe, Runtime
from srsearch.training.trainer import Trainer

SCALE, TARGET = 4, 2.0
_RESIDUAL: dict[str, Any] = {"scale": SCALE, "image_residual": "bicubic"}
_MOBILE: dict[str, Any] = {
    "unit": {"grouped": {"groups": 4}},
    "block": "efficient_residual",
    "upsampler": {"pixel_shuffle": {"groups": 4}},
}
DESIGNS: dict[str, dict[str, Any]] = {
    "16 channels": {"channels": 16, "body": {"cascade": {"groups": 2, "blocks": 2}}},
    "32 channels": {"channels": 32, "body": {"cascade": {"groups": 3, "blocks": 3}}},
    "48 channels, grouped": {
        "channels": 48,
        "body": {"cascade": {"groups": 3, "blocks": 3, "share": "group"}},
        **_MOBILE,
    },
    "64 channels, grouped": {
        "channels": 64,
        "body": {"cascade": {"groups": 3, "blocks": 3, "share": "group"}},
        **_MOBILE,
    },
}
Step = Callable[[int], None]


class Files(Dataset[tuple[Tensor, Tensor]]):
    """A data set of ``length`` random crops of HR and LR files."""

    def __init__(self, data: TrainingData, folder: Path, patch: int, length: int) -> None:
        self._files: list[tuple[Path, Path]] = []
        for pair in data.train:
            files = folder / f"{pair.name}_LR.png", folder / f"{pair.name}_HR.png"
            for pixels, file in zip((pair.lr, pair.hr), files, strict=True):
                Image.fromarray(pixels).save(file)
            self._files.append(files)
        self._patch, self._length = patch, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        lr, hr = (np.asarray(Image.open(file).convert("RGB")) for file in random.choice(self._files))
        row, column = (random.randrange(side - self._patch + 1) for side in lr.shape[:2])
        crops = (
            image[row * s :, column * s :][: self._patch * s, : self._patch * s] for image, s in ((lr, 1), (hr, SCALE))
        )
        small, large = (torch.from_numpy(crop.copy()).permute(2, 0, 1).float() / 255 for crop in crops)
        return small.contiguous(), large.contiguous()


def plain_loop(design: Architecture, recipe: Recipe, batches: Iterator[list[Tensor]]) -> Step:
    network = build(design, seed=0).train()
    optimizer = torch.optim.Adam(network.parameters(), recipe.learning_rate)

    def step(number: int) -> None:
        lr, hr = next(batches)
        optimizer.zero_grad()
        loss = F.l1_loss(network(lr), hr)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def endless(loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[list[Tensor]]:
    while True:
        yield from loader


def same_batch(recipe: Recipe) -> Iterator[list[Tensor]]:
    side = recipe.patch
    batch = [torch.rand(recipe.batch, 3, side, side), torch.rand(recipe.batch, 3, side * SCALE, side * SCALE)]
    while True:
        yield batch


def steps_per_second(loops: dict[str, Step], rounds: int, seconds: float) -> dict[str, float]:
    """Return the median over rounds; in each round the loops take turns, so a busy machine slows all of them."""
    for step in loops.values():
        step(1)
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, step in loops.items():
            start, done = time.perf_counter(), 0
            while done < 2 or time.perf_counter() - start < seconds:
                step(2)
                done += 1
            rates[name].append(done / (time.perf_counter() - start))
    return {name: statistics.median(each) for name, each in rates.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of every loop; more suffer badly on a busy machine")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each loop in each round")
    parser.add_argument("--loader-workers", type=int, default=0, help="processes of the plain loop's DataLoader")
    parser.add_argument("--design", choices=DESIGNS, action="append")
    options = parser.parse_args(arguments)

    recipe, runtime = Recipe(), Runtime.detect("cpu", threads=options.threads)
    torch.set_num_threads(options.threads)
    data = load_training_data("builtin", SCALE, patch=recipe.patch)
    print(f"{runtime}, batch {recipe.batch}, LR patch {recipe.patch}, scale {SCALE}")
    print(f"{'steps/s':<22}{'Mult-Adds':>10}{'plain':>8}{'from memory':>13}{'srsearch':>10}{'ratio':>8}")
    worst = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        files = Files(data, Path(folder), recipe.patch, length=10_000)
        loader = DataLoader(files, recipe.batch, shuffle=True, num_workers=options.loader_workers)
        for name in options.design or DESIGNS:
            design = Architecture.from_dict(_RESIDUAL | DESIGNS[name])
            trainer = Trainer(build(design, seed=0), {SCALE: data.train}, recipe, runtime, seed=0)
            loops = {
                "plain": plain_loop(design, recipe, endless(loader)),
                "memory": plain_loop(design, recipe, same_batch(recipe)),
                "srsearch": trainer.step,
            }
            rate = steps_per_second(loops, options.rounds, options.seconds)
            ratio = rate["srsearch"] / rate["plain"]
            worst = min(worst, ratio)
            cost = f"{count(design).mult_adds / 1e9:.1f} G"
            print(
                f"{name:<22}{cost:>10}{rate['plain']:8.2f}{rate['memory']:13.2f}{rate['srsearch']:10.2f}{ratio:7.2f}x"
            )
    reached = worst >= TARGET
    print(f"smallest ratio {worst:.2f}, target {TARGET} on a CPU with bfloat16: {'reached' if reached else 'missed'}")
    if not cpu_has_bf16():
        print("this CPU has no bfloat16, so the target does not apply")
        return 0
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
