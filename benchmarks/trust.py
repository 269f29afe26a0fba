"""What the recorded ladder says: ``python -m benchmarks.trust [FILE]``, by default `studies/lightweight_x4_ladder.csv`.

Prints the tables of docs/trust.md. Rankings are compared with the PSNR after the longest one-cycle training, on the
held-out photos. Intervals hold 90 % of 2,000 resamples of the designs. Comparisons are of the designs that both sides
have, so their numbers differ from table to table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.ladder import LENGTHS, REFERENCE, VARIANTS
from srsearch.analysis.agreement import bootstrap_interval, kendall, partial_kendall

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
        if len(photos):
            means = " | ".join(f"{each.mean():+.3f} ± {each.std():.3f}" for each in differences.values())
            lines.append(f"| {steps:,} | {len(photos)} | {means} | {photos.iloc[photos.abs().argmax()]:+.3f} |")
    return lines


def _difference(results: Results, steps: int, name: str) -> pd.Series:
    return (results.psnr("wsd", steps, name) - results.psnr("one_cycle", steps, name)).dropna()


def rankings(results: Results, truth: tuple[str, int], keys: Iterable[str] | None = None) -> list[str]:
    """Agreement of cheaper rankings with those after a long training, each on the designs that have all of a length."""
    lines = [f"| ranked by | designs | τ with {_named(*truth)} | partial τ |", "|---|---|---|---|"]
    end = results.psnr(*truth)
    for steps in LENGTHS:
        both = [results.psnr(variant, steps) for variant in ("one_cycle", "wsd")]
        common = end.index.intersection(both[0].index).intersection(both[1].index)
        if keys is not None:
            common = common.intersection(pd.Index(keys))
        if len(common) < 6:
            continue
        costs = results.mult_adds[common]
        if steps == LENGTHS[0]:
            lines.append(_row("Mult-Adds", costs, end[common], costs, partial=False))
            lines.append(_row("parameters", results.params[common], end[common], costs, partial=False))
        for variant, psnr in zip(("one_cycle", "wsd"), both, strict=True):
            if (variant, steps) != truth:
                lines.append(_row(_named(variant, steps), psnr[common], end[common], costs))
        difference = [each[common].to_numpy() for each in (*both, end)]
        low, high = bootstrap_interval(lambda one, other, last: kendall(other, last) - kendall(one, last), *difference)
        if ("one_cycle", steps) != truth:
            lines.append(f"| difference, wsd - one_cycle | {len(common)} | {low:+.2f} to {high:+.2f} | |")
    return lines


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
        if len(ordered) < 12:
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
        "Rankings, against wsd": rankings(results, ("wsd", LENGTHS[-1])),
        "Recipes": variants(results),
    }
    for title, lines in tables.items():
        print(f"\n{title}\n", *lines, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
