"""New designs counted per second on one core, compared with hooks on a meta-device network and with fvcore.

    python -m benchmarks.counting [--designs N] [--rounds N]

Designs are drawn at random from the largest space that comes with srsearch. Parts are measured by counting other
random designs first. A design is timed if all its parts were measured there, so that its count is a sum over known
parts, but the design itself is new: all timed designs are distinct, described beforehand, and counted once. The
designs that are left out are reported: repeated ones, those with a part that was not measured, and invalid ones.

The two other ways count some of the same designs in the same rounds. Hooks see shapes only, so they get the LR image of
a 1280x720 output at no cost. fvcore runs the network, so it gets the smallest image that strides divide. Both are timed
with and without building the module, without initialising weights. Exits with 1 if the Mult-Adds of the three differ,
fewer than 40,000 designs are counted per second, or that is less than 1,500 times fvcore on a built module.
"""

from __future__ import annotations

import argparse
import gc
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from srsearch.architecture import Architecture, InvalidDesign
from srsearch.architecture.build import Assembler
from srsearch.architecture.registry import PLACES
from srsearch.cost import OURS, bill, count
from srsearch.space import Space

SPACE, RATE, RATIO = "papers_x4", 40_000, 1500
SMALL = (4, 8)
"""The LR image for fvcore: height and width."""


def random_designs(space: Space, rng: np.random.Generator) -> Iterator[Architecture]:
    """Yield random designs of a space, without counting them."""
    while True:
        axes: dict[str, Any] = {}
        for axis in space.axes:
            if axis.exists(axes):
                axes[axis.name] = axis.values[int(rng.integers(len(axis.values)))]
        yield space.describe(axes)


def parts_of(design: Architecture) -> set[tuple[Any, ...]]:
    """Return everything in a design that is measured once: each part at its place, and the network around them."""
    levels = (1, 2) if design.levels.name == "pyramid" else (1,)
    parts: set[tuple[Any, ...]] = {
        (place, design.part_at(place, level), design.channels, design.colour, design.levels.name)
        for place in PLACES
        for level in levels
    }
    return parts | {(design.levels, design.channels, design.colour, design.global_skip, design.image_residual)}


def measure_parts(designs: Sequence[Architecture]) -> set[tuple[Any, ...]]:
    """Count designs, and return the parts that are measured now; designs that cannot be built are skipped."""
    known: set[tuple[Any, ...]] = set()
    for design in designs:
        try:
            count(design)
            known |= parts_of(design)
        except InvalidDesign:
            pass
    return known


def fresh_designs(
    drawn: Iterator[Architecture], known: set[tuple[Any, ...]], seen: set[Architecture], number: int
) -> tuple[list[Architecture], int, int]:
    """Return new designs with known parts only, the number of repeated designs, and that of designs left out."""
    fresh: list[Architecture] = []
    again = unknown = 0
    while len(fresh) < number:
        design = next(drawn)
        if design in seen:
            again += 1
            continue
        seen.add(design)
        try:
            new = not parts_of(design) <= known
        except InvalidDesign:
            new = True
        unknown += new
        if not new:
            fresh.append(design)
    return fresh, again, unknown


class Measuring:
    """Wraps `bill.measure` to count how many parts and networks are measured."""

    def __init__(self) -> None:
        self.times = 0
        self._measure = bill.measure
        bill.measure = self  # type: ignore[assignment]

    def __call__(self, *arguments: Any, **options: Any) -> bill.Bill:
        self.times += 1
        return self._measure(*arguments, **options)


MEASURING = Measuring()


def measured() -> int:
    """Return how many parts and networks have been measured so far."""
    return MEASURING.times


def by_srsearch(designs: Sequence[Architecture]) -> float:
    """Return the seconds for counting designs; all are valid, because their parts occur in valid designs."""
    start = time.perf_counter()
    for design in designs:
        count(design)
    return time.perf_counter() - start


def module(design: Architecture, device: str) -> nn.Module:
    with torch.device(device):
        return Assembler(design).network().eval()


def by_hooks(network: nn.Module, design: Architecture) -> int:
    """Count Mult-Adds by hooks on every convolution, for a 1280x720 output."""
    total = 0

    def add(conv: Any, inputs: tuple[torch.Tensor], out: torch.Tensor) -> None:
        nonlocal total
        positions = inputs[0] if isinstance(conv, nn.ConvTranspose2d) else out
        total += conv.weight.numel() * positions.shape[2] * positions.shape[3]

    for each in network.modules():
        if isinstance(each, nn.Conv2d | nn.ConvTranspose2d):
            each.register_forward_hook(add)
    with torch.no_grad():
        network(torch.empty(1, network.in_channels, 720 // design.scale, 1280 // design.scale, device="meta"))
    return total


def by_fvcore(network: nn.Module, design: Architecture) -> int:
    """Count Mult-Adds by fvcore, for the smallest image."""
    counted = FlopCountAnalysis(network, torch.zeros(1, network.in_channels, *SMALL))
    counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return int(counted.by_operator()["conv"])


def timed(
    designs: Sequence[Architecture], device: str, counted: Callable[[nn.Module, Architecture], int]
) -> tuple[float, float, list[int]]:
    """Return the seconds for building the modules, the seconds for counting, and the Mult-Adds."""
    making = counting = 0.0
    mult_adds = []
    for design in designs:
        start = time.perf_counter()
        network = module(design, device)
        made = time.perf_counter()
        mult_adds.append(counted(network, design))
        making += made - start
        counting += time.perf_counter() - made
    return making, counting, mult_adds


def one_round(designs: Sequence[Architecture], sample: int) -> tuple[dict[str, float], int]:
    """Return the designs per second of each way, and the number of differing Mult-Adds, for the first ``sample``."""
    spent = by_srsearch(designs)
    chosen = designs[:sample]
    hooks_making, hooks_counting, hooks = timed(chosen, "meta", by_hooks)
    fvcore_making, fvcore_counting, fvcore = timed(chosen, "cpu", by_fvcore)
    wrong = 0
    for design, hooked, traced in zip(chosen, hooks, fvcore, strict=True):
        small = OURS.at((SMALL[1] * design.scale, SMALL[0] * design.scale))
        wrong += count(design).mult_adds != hooked
        wrong += count(design, convention=small).mult_adds != traced
    return {
        "srsearch": len(designs) / spent,
        "hooks": sample / (hooks_making + hooks_counting),
        "hooks, module ready": sample / hooks_counting,
        "fvcore": sample / (fvcore_making + fvcore_counting),
        "fvcore, module ready": sample / fvcore_counting,
    }, wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure in alternating rounds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=5000, help="counted by srsearch in each round")
    parser.add_argument("--sample", type=int, default=30, help="of them for hooks and fvcore, in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)

    space = Space.from_yaml(SPACE)
    drawn = random_designs(space, np.random.default_rng(options.seed))
    others = [next(drawn) for _ in range(2 * options.designs)]
    before, start = measured(), time.perf_counter()
    known = measure_parts(others)
    seconds, parts = time.perf_counter() - start, measured() - before
    print(f"{space.name}: {space.combinations:,} combinations; one thread")
    print(f"{len(others):,} designs to measure parts with: {parts} parts, {seconds / parts * 1e3:.1f} ms each")
    designs, again, unknown = fresh_designs(drawn, known, set(others), options.designs * options.rounds)
    print(
        f"{len(designs):,} new designs; left out: {again:,} repeated, {unknown:,} with a part not measured or invalid"
    )

    before = measured()
    gc.collect()
    gc.freeze()  # else every collection scans what was prepared, most often while modules are built
    rows, wrong = [], 0
    for first in range(0, len(designs), options.designs):
        row, differing = one_round(designs[first : first + options.designs], options.sample)
        rows.append(row)
        wrong += differing
    new_parts = measured() - before
    start = time.perf_counter()
    for _ in range(options.designs):
        next(drawn)
    describing = (time.perf_counter() - start) / options.designs

    median = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    ratios = {name: statistics.median(row["srsearch"] / row[name] for row in rows) for name in rows[0]}
    print(f"{'':<30}{'designs/s':>12}{'srsearch is':>14}")
    for name, rate in median.items():
        print(f"{name:<30}{rate:12,.1f}{f'{ratios[name]:,.0f} x':>14}")
    each_round = ", ".join(f"{row['srsearch']:,.0f}" for row in rows)
    print(f"srsearch by round: {each_round} designs/s; parts measured meanwhile: {new_parts}")
    print(f"not in these rates: drawing and describing a design, {describing * 1e6:.0f} us")
    print(f"Mult-Adds differ in {wrong} of {2 * options.sample * options.rounds} comparisons")
    missed = median["srsearch"] < RATE or ratios["fvcore, module ready"] < RATIO
    return int(wrong > 0 or new_parts > 0 or missed)


if __name__ == "__main__":
    sys.exit(main())
