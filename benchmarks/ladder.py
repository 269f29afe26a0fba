"""Records a ladder: designs of a space, trained to several lengths by several recipes, one training after another.

    python -m benchmarks.ladder FOLDER --photos DIR --set5 DIR --set14 DIR [--reference FILE]
    python -m benchmarks.ladder FOLDER --collect [--reference FILE]

Writes ``FOLDER/SPACE_ladder.csv`` for each space: key and axes of the design, exact costs, the name of the recipe
(``variant``), its schedule, steps and seed, Y-PSNR on the ten held-out photos, on Set5 and on Set14, the PSNR at the
rungs, and the CPU seconds and steps that were spent. Each result is written at once, whole or not at all. Stop the
recorder whenever you like, by SIGSTOP or by a signal that ends it: the same command goes on where it was, from the
last checkpoint, and gives the same numbers. It uses one thread; start it under ``nice``. Several recorders may share
a folder.

The settings are those of the proxy training (batch 4, LR patch 24, 2e-3), with bfloat16 where the processor has it.
Trainings with the schedule ``wsd`` share their stable phase, see `srsearch.training.train_proxy`. The reference is an
older ladder, whose designs are trained first; `studies/README.md` says how the ladders there were recorded.

With ``--collect`` it trains nothing, but copies the tables of the folder, together with the reference, to `studies/`.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from benchmarks.surrogate import recorded
from srsearch.architecture import build
from srsearch.data import Pair, TrainingData, load_training_data
from srsearch.data.layouts import recognise
from srsearch.evaluation import evaluate
from srsearch.files import write_whole
from srsearch.space import Candidate, Space
from srsearch.training import Recipe, Runtime, TrainingFailed, train_proxy

SCALE, LENGTHS, LONGEST = 4, (600, 2400, 9600), 38_400
REFERENCE = Path(__file__).parents[1] / "studies" / "lightweight_x4_ladder.csv"

_ONE_CYCLE = Recipe(rungs=(0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875))
_WSD = replace(_ONE_CYCLE, schedule="wsd", warm_up=60)
VARIANTS = {
    "one_cycle": _ONE_CYCLE,
    "wsd": _WSD,
    "wsd, 1e-3": replace(_WSD, learning_rate=1e-3),
    "wsd, 4e-3": replace(_WSD, learning_rate=4e-3),
    "wsd, decay 0.4": replace(_WSD, decay=0.4),
    "wsd, batch 2": replace(_WSD, batch=2),
    "wsd, batch 8": replace(_WSD, batch=8),
    "wsd, patch 16": replace(_WSD, patch=16),
    "wsd, patch 32": replace(_WSD, patch=32),
    "wsd, l2": replace(_WSD, loss="l2"),
    "wsd, average": replace(_WSD, ema=0.99),
    "wsd, he": replace(_WSD, initialisation="he"),
    "wsd, uniform_1_tenth": replace(_WSD, initialisation="uniform_1_tenth"),
}
"""The recipes, at their shortest length. Their rungs do not change the results, only what an interruption costs."""

_FIRST = 13
"""So many of the reference's cheapest designs are trained to all lengths before the others."""


@dataclass(frozen=True)
class Training:
    """One training of the ladder."""

    space: Space
    candidate: Candidate
    variant: str
    steps: int
    seed: int = 0

    @property
    def identity(self) -> tuple[str, str, int, int]:
        """What distinguishes it from the others of its space: key, variant, steps and seed."""
        return self.candidate.design.key, self.variant, self.steps, self.seed

    @property
    def stem(self) -> str:
        """The beginning of the names of its files, which trainings of all lengths have in common."""
        return f"{self.candidate.design.key[:24]}-{self.seed}-{self.variant.replace(', ', '-').replace(' ', '-')}"

    @property
    def mult_adds(self) -> int:
        assert self.candidate.cost is not None
        return self.candidate.cost.mult_adds


@dataclass(frozen=True)
class Photos:
    """What networks are trained and scored on."""

    data: TrainingData
    set5: tuple[Pair, ...]
    set14: tuple[Pair, ...]


def work(reference: Path) -> Iterator[Training]:
    """All trainings, the most wanted first; of the equally wanted, the cheapest first."""
    space, mobile = Space.from_yaml("lightweight_x4"), Space.from_yaml("mobile_x4")
    rows = recorded(reference, space)
    if "variant" in rows:
        rows = rows[rows["variant"] == "one_cycle"]
    known = _by_cost(rows.drop_duplicates("key")["candidate"])
    for candidate in (known[3], known[9]):  # does the recorder give the reference's figures?
        yield Training(space, candidate, "one_cycle", LENGTHS[0])
    yield from _each(space, known[:_FIRST], "wsd", LENGTHS[:2])
    yield from _each(space, known, "wsd", LENGTHS[:1])
    for variant in ("one_cycle", "wsd"):  # how much of a difference between the two is chance?
        yield from _each(space, known[:_FIRST], variant, LENGTHS[:2], seed=1)
    for variant in ("wsd, 1e-3", "wsd, decay 0.4"):
        yield from _each(space, known[:_FIRST], variant, LENGTHS[:2])
    yield from _each(space, known[:_FIRST], "wsd", LENGTHS[2:])
    for variant in VARIANTS:
        yield from _each(space, known[:_FIRST], variant, LENGTHS[:1])
    yield from _each(space, known, "wsd", LENGTHS)
    for variant in VARIANTS:
        yield from _each(space, known, variant, LENGTHS[:1])
    more = _chosen(space, 26, large=10, without={candidate.design.key for candidate in known})
    small = _chosen(mobile, 24)
    for steps in LENGTHS:
        yield from _each(space, more, "wsd", [steps])
        yield from _each(mobile, small, "wsd", [steps])
    for where, designs in ((space, _by_cost([*known, *more])[::3]), (mobile, small[::3])):
        yield from _each(where, designs, "wsd", LENGTHS, seed=1)
    yield from _each(space, _by_cost([*known, *more])[::6], "wsd", [LONGEST])


def _each(
    space: Space, candidates: Iterable[Candidate], variant: str, lengths: Iterable[int], seed: int = 0
) -> Iterator[Training]:
    designs = list(candidates)
    for steps in lengths:
        for candidate in designs:
            yield Training(space, candidate, variant, steps, seed)


def _by_cost(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda each: (each.cost.mult_adds if each.cost else 0, each.design.key))


def _chosen(space: Space, count: int, large: int = 0, without: Iterable[str] = ()) -> list[Candidate]:
    """Feasible designs drawn by a fixed seed, the cheapest first; if ``large`` is given, so many above 15 G."""
    feasible, taken = space.feasible, set(without)
    assert feasible is not None
    wanted = {True: large, False: count - large}
    chosen: list[Candidate] = []
    for index in np.random.default_rng(0).permutation(len(feasible)).tolist():
        candidate = feasible[index]
        assert candidate.cost is not None
        above = candidate.cost.mult_adds > 15e9 if large else False
        if candidate.design.key not in taken and wanted[above]:
            wanted[above] -= 1
            chosen.append(candidate)
        if not any(wanted.values()):
            break
    return _by_cost(chosen)


class Ladder:
    """The results of one space, in a CSV file.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def done(self) -> set[tuple[str, str, int, int]]:
        """The identities of the trainings that have a result."""
        return {(row.key, row.variant, int(row.steps), int(row.seed)) for row in self._read().itertuples()}

    def _read(self) -> pd.DataFrame:
        return pd.read_csv(self._path, dtype=str, keep_default_na=False) if self._path.exists() else pd.DataFrame()

    def add(self, training: Training, results: dict[str, object]) -> None:
        """Write a result."""
        assert training.candidate.cost is not None
        axes = {axis.name: training.candidate.axes.get(axis.name, "") for axis in training.space.axes}
        recipe = VARIANTS[training.variant]
        row = {
            "key": training.candidate.design.key,
            **axes,
            "mult_adds": training.mult_adds,
            "params": training.candidate.cost.params,
            "variant": training.variant,
            "schedule": recipe.schedule,
            "steps": training.steps,
            "seed": training.seed,
            **results,
        }
        new = pd.DataFrame([{name: str(value) for name, value in row.items()}])
        with FileLock(self._path.with_suffix(".lock")):
            rows = pd.concat([self._read(), new], ignore_index=True)
            write_whole(self._path, rows.to_csv(index=False, lineterminator="\n"))


def train(training: Training, photos: Photos, runtime: Runtime, states: Path) -> dict[str, object]:
    """Train and score. A training that fails has no PSNR."""
    key, variant, steps, seed = training.identity
    recipe = VARIANTS[variant].with_steps(steps)
    checkpoint, trunk = states / f"{training.stem}-{steps}.pt", states / f"{training.stem}-trunk.pt"
    network = build(training.candidate.design, seed=seed)
    begun = time.process_time()
    try:
        result = train_proxy(network, photos.data, recipe, runtime, seed, None, checkpoint, trunk)
    except TrainingFailed as error:
        print(f"{key[:12]} {variant} {steps}: {error}", flush=True)
        return dict.fromkeys(("psnr_val", "psnr_set5", "psnr_set14", "curve", "seconds", "trained"), "")
    seconds = time.process_time() - begun
    scores = {
        f"psnr_{name}": f"{evaluate(network, pairs, SCALE, runtime=runtime, ssim=False).psnr:.4f}"
        for name, pairs in (("set5", photos.set5), ("set14", photos.set14))
    }
    return {
        "psnr_val": f"{result.psnr:.4f}",
        **scores,
        "curve": " ".join(f"{step}={psnr:.4f}" for step, psnr in result.curve[:-1]),
        "seconds": f"{seconds:.1f}",
        "trained": steps - result.begun,
    }


def record(folder: Path, reference: Path, photos: Photos, runtime: Runtime) -> None:
    """Do all trainings that are not done yet, and that no other recorder is doing."""
    trainings, states = list(work(reference)), folder / "states"
    states.mkdir(exist_ok=True)
    ladders = {name: Ladder(folder / f"{name}_ladder.csv") for name in dict.fromkeys(t.space.name for t in trainings)}
    while True:
        done = {name: ladder.done() for name, ladder in ladders.items()}
        open_ = [training for training in trainings if training.identity not in done[training.space.name]]
        if not open_:
            return
        for training in open_:
            ladder = ladders[training.space.name]
            with contextlib.suppress(Timeout), FileLock(states / f"{training.stem}.lock", timeout=0):
                if training.identity not in ladder.done():
                    _record(training, ladder, photos, runtime, states)
                    break
        else:
            time.sleep(10)  # others are doing the last ones


def collect(folder: Path, reference: Path, studies: Path) -> None:
    """Write the tables of a folder, with the rows of the reference that they lack, as those that come along."""
    for path in sorted(folder.glob("*_ladder.csv")):
        frame = pd.read_csv(path)
        if path.name == REFERENCE.name:
            older = pd.read_csv(reference).drop(columns="recorded_proxy_psnr", errors="ignore")
            defaults = {"variant": "one_cycle", "schedule": "one_cycle", "seed": 0}
            older = older.assign(**{name: value for name, value in defaults.items() if name not in older})
            frame = pd.concat([frame, older.reindex(columns=frame.columns)])
        frame = frame.drop_duplicates(["key", "variant", "steps", "seed"])
        frame = frame.sort_values(["mult_adds", "key", "variant", "seed", "steps"])
        whole = [name for name in frame if name == "trained" or "." in name]
        whole = [name for name in whole if pd.api.types.is_float_dtype(frame[name])]
        text = frame.astype(dict.fromkeys(whole, "Int64")).to_csv(index=False, lineterminator="\n")
        write_whole(studies / path.name, text)
        print(f"{studies / path.name}: {len(frame)} trainings of {frame['key'].nunique()} designs")


def _record(training: Training, ladder: Ladder, photos: Photos, runtime: Runtime, states: Path) -> None:
    started = time.perf_counter()
    results = train(training, photos, runtime, states)
    ladder.add(training, results)
    (states / f"{training.stem}-{training.steps}.pt").unlink(missing_ok=True)
    print(
        f"{time.strftime('%F %T')} {training.space.name} {training.mult_adds / 1e9:.2f} G, {training.variant}, "
        f"{training.steps} steps, seed {training.seed}: {results['psnr_val']} dB, {results['seconds']} s of CPU time "
        f"for {results['trained']} steps, {time.perf_counter() - started:.0f} s",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ladder", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the tables, and the states of trainings")
    parser.add_argument("--photos", type=Path, help="BSDS500: trained and validated on")
    parser.add_argument("--set5", type=Path)
    parser.add_argument("--set14", type=Path)
    parser.add_argument("--collect", action="store_true", help="copy the tables to studies/")
    parser.add_argument("--reference", type=Path, default=REFERENCE, help="an older ladder of lightweight_x4")
    given = parser.parse_args(arguments)
    if given.collect:
        collect(given.folder, given.reference, REFERENCE.parent)
        return 0
    if None in (given.photos, given.set5, given.set14):
        parser.error("--photos, --set5 and --set14 are needed to train")
    given.folder.mkdir(parents=True, exist_ok=True)
    data = load_training_data(given.photos, SCALE, patch=_ONE_CYCLE.patch, warn=print)
    test_sets = (tuple(recognise(path, SCALE).read(print)) for path in (given.set5, given.set14))
    runtime = Runtime.detect("cpu", threads=1)
    print(f"{runtime}; held out: {', '.join(pair.name for pair in data.validation)}", flush=True)
    record(given.folder, given.reference, Photos(data, *test_sets), runtime)
    return 0


if __name__ == "__main__":
    sys.exit(main())
