"""Recorded trainings as one compressed table: ``python -m tests.benchmarks.record STORE [STORE ...]``.

Reads every complete trial of every study in the stores and writes one row for each training, told apart by design and
seed: axes of the space, exact costs, PSNR at every rung and at the end, SSIM, seconds. The same trainings give the same
bytes.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from srsearch.space import Space
from srsearch.store import Store, StudyRecord, TrialRecord

TABLE = Path(__file__).parents[2] / "studies" / "lightweight_x4_trainings.csv.gz"
_COSTS = ("mult_adds", "params", "activations")


def trainings(stores: Iterable[Path]) -> pd.DataFrame:
    """One row for each training that any study of the stores finished, sorted by design and seed."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    axes: dict[str, None] = {}
    for path in stores:
        with Store(path, read_only=True) as store:
            for name in store.study_names():
                study = store.study(name)
                axes |= dict.fromkeys(axis.name for axis in Space.from_dict(study.space).axes)
                for trial in store.trial_records(name):
                    if trial.state == "complete" and trial.key is not None:
                        rows.setdefault((trial.key, study.seed), _row(study, trial))
    frame = pd.DataFrame([rows[each] for each in sorted(rows)])
    rungs = sorted((c for c in frame.columns if c.startswith("psnr_")), key=lambda name: int(name.split("_")[1]))
    columns = ["key", "seed", *axes, *_COSTS, *rungs, "psnr", "ssim", "seconds"]
    whole = {c: "Int64" for c in axes if pd.api.types.is_float_dtype(frame[c])}  # an axis that is not always there
    return frame[columns].astype(whole)


def _row(study: StudyRecord, trial: TrialRecord) -> dict[str, Any]:
    row: dict[str, Any] = {"key": trial.key, "seed": study.seed, **trial.axes}
    row |= {name: getattr(trial, name) for name in _COSTS}
    row |= {f"psnr_{int(step)}": round(psnr, 6) for step, psnr in trial.curve[:-1]}
    row |= {"psnr": round(trial.psnr or 0.0, 6), "ssim": None if trial.ssim is None else round(trial.ssim, 6)}
    return row | {"seconds": round(trial.seconds or 0.0, 2)}


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table, without the time of writing in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = frame.to_csv(index=False, lineterminator="\n")
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read stores, write the table, say what is in it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.record", description=__doc__)
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE", help="SQLite files")
    parser.add_argument("--output", type=Path, default=TABLE, help=f"default: {TABLE.name} in studies/")
    given = parser.parse_args(arguments)
    frame = trainings(given.stores)
    write(frame, given.output)
    seeds = frame.groupby("key")["seed"].nunique()
    print(
        f"{given.output}: {len(frame)} trainings of {len(seeds)} designs, {int((seeds > 1).sum())} with several seeds"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
