"""Recorded trainings as one compressed table: ``python -m benchmarks.record STORE [STORE ...]``.

Reads every complete trial of every study in the stores, and writes one row per training, that is, per design and seed:
axes of the space, exact costs, PSNR at every rung and at the end, SSIM, seconds. Trainings of the same designs with
other seeds are read from files of JSON lines (key, seed, psnr, ssim, curve, seconds). The same trainings give the same
bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from srsearch.space import Space
from srsearch.store import Store

TABLE = Path(__file__).parents[1] / "studies" / "lightweight_x4_trainings.csv.gz"
_COSTS = ("mult_adds", "params", "activations")


def trainings(stores: Iterable[Path], replicates: Iterable[Path] = ()) -> pd.DataFrame:
    """Return one row per training, sorted by design and seed.

    Raises:
        ValueError: No study trained the design of a replicate.
    """
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    designs: dict[str, dict[str, Any]] = {}
    axes: dict[str, None] = {}
    for path in stores:
        with Store(path, read_only=True) as store:
            for study in map(store.study, store.study_names()):
                axes |= dict.fromkeys(axis.name for axis in Space.from_dict(study.space).axes)
                for trial in store.trial_records(study.name):
                    if trial.state == "complete" and trial.key is not None:
                        designs[trial.key] = {**trial.axes, **{name: getattr(trial, name) for name in _COSTS}}
                        result = _result(trial.curve, trial.psnr, trial.ssim, trial.seconds)
                        rows.setdefault((trial.key, study.seed), result)
    for path in replicates:
        for line in map(json.loads, path.read_text().splitlines()):
            if line["key"] not in designs:
                raise ValueError(f"{path}: no study has a design {line['key']}")
            result = _result(line["curve"], line["psnr"], line["ssim"], line["seconds"])
            rows.setdefault((line["key"], line["seed"]), result)
    frame = pd.DataFrame([{"key": key, "seed": seed} | designs[key] | rows[key, seed] for key, seed in sorted(rows)])
    rungs = sorted((c for c in frame.columns if c.startswith("psnr_")), key=lambda name: int(name.split("_")[1]))
    frame = frame[["key", "seed", *axes, *_COSTS, *rungs, "psnr", "ssim", "seconds"]]
    return frame.astype(
        {c: "Int64" for c in axes if pd.api.types.is_float_dtype(frame[c])}
    )  # if an axis is missing in some rows


def _result(
    curve: Sequence[Sequence[float]], psnr: float | None, ssim: float | None, seconds: float | None
) -> dict[str, Any]:
    ends = {"psnr": psnr, "ssim": ssim}
    rungs = {f"psnr_{int(step)}": value for step, value in curve[:-1]}
    return {name: value and round(value, 6) for name, value in (rungs | ends).items()} | {
        "seconds": seconds and round(seconds, 2)
    }


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a compressed table that does not contain the time of writing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = frame.to_csv(index=False, lineterminator="\n")
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read stores, write the table, and print its size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__)
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE", help="SQLite files")
    parser.add_argument("--replicates", nargs="*", type=Path, default=[], metavar="FILE", help="of JSON lines")
    parser.add_argument("--output", type=Path, default=TABLE, help=f"default: studies/{TABLE.name}")
    given = parser.parse_args(arguments)
    frame = trainings(given.stores, given.replicates)
    write(frame, given.output)
    seeds = frame.groupby("key")["seed"].nunique()
    several = int((seeds > 1).sum())
    print(f"{given.output}: {len(frame)} trainings of {len(seeds)} designs, {several} with several seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
