"""What the recorded ladder says: ``python -m benchmarks.trust [FILE]``, by default `studies/lightweight_x4_ladder.csv`.

Prints the tables of docs/trust.md. Rankings are compared with the PSNR after the longest one-cycle training, on the
held-out photos. Intervals hold 90 % of 2,000 resamples of the designs; partial τ is that of what a parabola in log
Mult-Adds leaves over.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.ladder import LENGTHS, REFERENCE, VARIANTS
from srsearch.analysis.agreement import LEAST_DESIGNS, bootstrap_interval, kendall, partial_kendall

Array = npt.NDArray[np.float64]

SETS = {"psnr_val": "photos", "psnr_set5": "Set5", "psnr_set14": "Set14"}
TRUTH = ("one_cycle", LENGTHS[-1])


class Results:
    """The PSNR of designs by recipe and length.

    Args:
        frame: The ladder of one space; only seed 0 is used.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame[(frame["seed"] == 0) & frame["psnr_val"].notna()]
        self.mult_adds = self._frame.groupby("key")["mult_adds"].first().sort_values()
        self.params = self._frame.groupby("key")["params"].first()

    def psnr(self, variant: str, steps: int, name: str = "psnr_val") -> pd.Series:
        """PSNR in dB by the designs' keys."""
        return self._rows(variant, steps).set_index("key")[name]

    def seconds(self, variant: str, steps: int) -> pd.Series:
        """CPU seconds of one step by the designs' keys."""
        rows = self._rows(variant, steps).set_index("key")
        return (rows["seconds"] / rows["trained"]).dropna()

    def _rows(self, variant: str, steps: int) -> pd.DataFrame:
        return self._frame[(self._frame["variant"] == variant) & (self._frame["steps"] == steps)]


def schedules(results: Results) -> list[str]:
    """PSNR by ``wsd`` and by one-cycle of the same number of steps."""
    lines = [
        "| steps | designs | photos | Set5 | Set14 | largest difference on the photos |",
        "|---|---|---|---|---|---|",
    ]
    for steps in LENGTHS:
        differences = {name: _difference(results, steps, name) for name in SETS}
        photos = differences["psnr_val"]
        if len(photos) >= LEAST_DESIGNS:
            means = " | ".join(f"{each.mean():+.3f} ± {each.std():.3f}" for each in differences.values())
            lines.append(f"| {steps:,} | {len(photos)} | {means} | {photos.iloc[photos.abs().argmax()]:+.3f} |")
    return lines


def _difference(results: Results, steps: int, name: str) -> pd.Series:
    return (results.psnr("wsd", steps, name) - results.psnr("one_cycle", steps, name)).dropna()


def rankings(results: Results, truth: tuple[str, int]) -> list[str]:
    """Agreement of cheaper rankings with that after a long training."""
    lines = _head(truth)
    end = results.psnr(*truth)
    if len(end) < LEAST_DESIGNS:
        return lines
    costs = results.mult_adds[end.index]
    lines.append(_row("Mult-Adds", costs, end, costs, partial=False))
    lines.append(_row("parameters", results.params[end.index], end, costs, partial=False))
    for variant in ("one_cycle", "wsd"):
        for steps in LENGTHS:
            psnr = results.psnr(variant, steps)
            common = end.index.intersection(psnr.index)
            if (variant, steps) != truth and len(common) >= LEAST_DESIGNS:
                lines.append(_row(_named(variant, steps), psnr[common], end[common], costs[common]))
    return lines


def compared(results: Results, truth: tuple[str, int]) -> list[str]:
    """Agreement of both schedules with a long training, on the designs that have both."""
    lines = _head(truth)
    end = results.psnr(*truth)
    for steps in LENGTHS:
        both = [results.psnr(variant, steps) for variant in ("one_cycle", "wsd")]
        common = end.index.intersection(both[0].index).intersection(both[1].index)
        if len(common) < LEAST_DESIGNS:
            continue
        costs, last = results.mult_adds[common], end[common]
        if steps == LENGTHS[-1]:  # one of the two is the truth itself
            lines.append(_row(f"the other schedule, {steps:,} steps", both[0][common], both[1][common], costs))
            continue
        lines.append(_row(f"Mult-Adds, designs of {steps:,} steps", costs, last, costs, partial=False))
        for variant, psnr in zip(("one_cycle", "wsd"), both, strict=True):
            lines.append(_row(_named(variant, steps), psnr[common], last, costs))
        columns = [each.to_numpy(dtype=np.float64) for each in (both[0][common], both[1][common], last, costs)]
        gains = (_gain(*columns), bootstrap_interval(_gain, *columns))
        partial = (_partial_gain(*columns), bootstrap_interval(_partial_gain, *columns))
        lines.append(f"| wsd minus one_cycle | {len(common)} | {_with_interval(*gains)} | {_with_interval(*partial)} |")
    return lines


def crossed(results: Results) -> list[str]:
    """Agreement of the shortest trainings with longer ones of both schedules, which favours neither of them."""
    first, second = LENGTHS[:2]
    trainings = [(variant, steps) for steps in (first, second) for variant in ("one_cycle", "wsd")]
    psnr = {training: results.psnr(*training) for training in trainings}
    common = results.mult_adds.index
    for each in psnr.values():
        common = common.intersection(each.index)
    lines = [f"| {first:,} steps of | {second:,} steps of | designs | τ | partial τ |", "|---|---|---|---|---|"]
    if len(common) >= LEAST_DESIGNS:
        for last in trainings[2:]:
            for training in trainings[:2]:
                row = _row("", psnr[training][common], psnr[last][common], results.mult_adds[common])
                lines.append(f"| {training[0]} | {last[0]} {row[3:]}")
    return lines


def _gain(one: Array, other: Array, last: Array, _: Array) -> float:
    return kendall(other, last) - kendall(one, last)


def _partial_gain(one: Array, other: Array, last: Array, costs: Array) -> float:
    return partial_kendall(other, last, costs) - partial_kendall(one, last, costs)


def _head(truth: tuple[str, int]) -> list[str]:
    return [f"| ranked by | designs | τ with {_named(*truth)} | partial τ |", "|---|---|---|---|"]


def _row(label: str, first: pd.Series, second: pd.Series, costs: pd.Series, partial: bool = True) -> str:
    columns = [each.to_numpy(dtype=np.float64) for each in (first, second, costs)]
    tau = _with_interval(kendall(*columns[:2]), bootstrap_interval(kendall, *columns[:2]))
    beyond = _with_interval(partial_kendall(*columns), bootstrap_interval(partial_kendall, *columns)) if partial else ""
    return f"| {label} | {len(first)} | {tau} | {beyond} |"


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"


def _named(variant: str, steps: int) -> str:
    return f"{variant}, {steps:,} steps"


def variants(results: Results) -> list[str]:
    """Partial τ of recipes at the shortest length, on every other design by cost, and their CPU time."""
    end = results.psnr(*TRUTH)
    lines = [
        "| recipe | tuning half: partial τ | other half: partial τ | τ, all | time of a step |",
        "|---|---|---|---|---|",
    ]
    wsd = results.seconds("wsd", LENGTHS[0])
    for variant in VARIANTS:
        psnr = results.psnr(variant, LENGTHS[0])
        ordered = [key for key in results.mult_adds.index if key in psnr.index and key in end.index]
        if len(ordered) < 16:
            continue
        halves = [
            f"{_partial(results, psnr, end, ordered[start::2]):.2f} ({len(ordered[start::2])})" for start in (0, 1)
        ]
        columns = [each[ordered].to_numpy() for each in (psnr, end)]
        tau = _with_interval(kendall(*columns), bootstrap_interval(kendall, *columns))
        ratio = (results.seconds(variant, LENGTHS[0]) / wsd).dropna()
        lines.append(f"| {variant} | {' | '.join(halves)} | {tau} | {ratio.median():.2f} |")
    return lines


def _partial(results: Results, first: pd.Series, second: pd.Series, keys: Sequence[str]) -> float:
    return partial_kendall(
        *(each[list(keys)].to_numpy(dtype=np.float64) for each in (first, second, results.mult_adds))
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trust", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=REFERENCE)
    results = Results(pd.read_csv(parser.parse_args(arguments).file))
    tables = {
        "PSNR in dB, wsd minus one_cycle": schedules(results),
        "Rankings": rankings(results, TRUTH),
        "Rankings, against the longest wsd": rankings(results, ("wsd", LENGTHS[-1])),
        "The two schedules on the same designs": compared(results, TRUTH),
        "Shortest trainings, against longer ones of both schedules": crossed(results),
        "Recipes": variants(results),
    }
    for title, lines in tables.items():
        print(f"\n{title}\n", *lines, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
