"""Several lengths of training against a single one, by replay: ``python -m benchmarks.lengths LADDER``.

LADDER is a table of designs of ``lightweight_x4`` that were trained for 600, 2,400 and 9,600 steps each. A model of
all lengths (`srsearch.analysis.fidelity`), fitted to it and to the recorded 600-step trainings in ``studies/``, is the
truth that studies search in here: its mean, with random smooth functions of the size of its own uncertainty and a part
that no axis explains. Studies are real, only the trainings are not. They spend the same total of steps, in trainings of
600 steps; with several lengths, a longer training continues the shorter one, as with the schedule ``wsd``.

The measure is the hypervolume, at the true PSNR after 9,600 steps, of the designs that a study would recommend: the
front of its measured PSNR, or with several lengths that of the predicted one.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.surrogate import recorded
from srsearch.analysis import pareto_front
from srsearch.analysis.fidelity import FidelityModel, Measured, Points
from srsearch.analysis.gaussian_process import Array
from srsearch.analysis.predicted import PREDICTED, prediction
from srsearch.analysis.volume import dominated_volume
from srsearch.architecture import Architecture
from srsearch.search.evaluators.base import Evaluator, Report, Score
from srsearch.search.model.features import FeatureTable
from srsearch.search.opening import find_or_create, shortest
from srsearch.search.progress import SilentProgress
from srsearch.search.study import ROUNDING, Study
from srsearch.space import Space
from srsearch.store import Store

LENGTHS = (600, 2400, 9600)
STRATEGIES: Mapping[str, tuple[int, ...]] = {
    "600, 2400, 9600": LENGTHS,
    "600": (600,),
    "2400": (2400,),
    "9600": (9600,),
}
SHOWN = (30, 60, 120, 240)
"""Totals, in trainings of 600 steps."""

NOISES = (0.020, 0.012, 0.008)
"""Standard deviation in dB between seeds at each length."""

UNEXPLAINED = 0.006
"""Standard deviation in dB of what tells a design from others at each longer length, and no axis explains."""

DECAY = 0.2
BICUBIC = 26.5


@dataclass(frozen=True)
class Truth:
    """PSNR in dB of every feasible design after each length.

    Attributes:
        rows: Position of each design by its key.
        costs: (n,) decimal logarithms of Mult-Adds.
        psnr: (n, 3) PSNR without noise.
    """

    rows: Mapping[str, int]
    costs: Array
    psnr: Array


class Replay(Evaluator):
    """Gives the scores of a `Truth`, with the noise of a training."""

    def __init__(self, truth: Truth, steps: int = LENGTHS[0], noise: int = 0) -> None:
        self.truth, self._steps, self._noise = truth, steps, noise

    @property
    def recipe(self) -> dict[str, Any]:
        return {"evaluator": "replay", "steps": self._steps, "noise": self._noise}

    @property
    def reference_psnr(self) -> float:
        return BICUBIC

    @property
    def steps(self) -> int | None:
        return self._steps

    def at_length(self, steps: int) -> Evaluator:
        return Replay(self.truth, steps, self._noise)

    def steps_after(self, shorter: int) -> int:
        return self._steps - round((1 - DECAY) * shorter)

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        row, level = self.truth.rows[design.key], LENGTHS.index(self._steps)
        rng = np.random.default_rng([self._noise, int(design.key[:8], 16), level])
        return Score(float(self.truth.psnr[row, level] + NOISES[level] * rng.standard_normal()))


def truth(ladder: Path, space: Space, trainings: Path, seed: int = 0) -> Truth:
    """Fit the model, and draw what it does not know."""
    table = FeatureTable(space)
    frame = pd.read_csv(ladder)
    if "schedule" in frame:  # that with most of the longest trainings
        longest = frame[frame["steps"] == LENGTHS[-1]]
        frame = frame[(frame["schedule"] == longest["schedule"].mode().iloc[0]) & (frame["seed"] == 0)]
    long = recorded_at(frame, space)
    short = recorded(trainings, space).sort_values(["key", "seed"]).drop_duplicates("key")
    designs = [*short["candidate"], *long["candidate"]]
    levels = [*[0] * len(short), *(1 + LENGTHS.index(steps) for steps in long["steps"])]
    values = [*short["psnr"], *long["psnr_val"]]
    rows = table.rows(table.stacked([table.find(each.axes) for each in designs]))
    points = Points(rows.features, rows.costs[:, 0])
    measured = Measured(points, np.array(levels), np.array(values, dtype=np.float64))
    # The recorded trainings are on other photos: a level of their own, below the ladder's.
    model = FidelityModel.fit(measured, table.groups, (300, *LENGTHS))
    feasible = list(space.feasible or ())
    rows = table.rows(table.stacked([table.find(each.axes) for each in feasible]))
    points = Points(rows.features, rows.costs[:, 0])
    rng = np.random.default_rng(seed)
    psnr = []
    own = np.zeros(len(feasible))
    for level in range(1, 1 + len(LENGTHS)):
        own = own * model.scales[level - 1]
        own = own + model.discrepancies[level - 1] * _smooth(points.features / model.process.lengths[table.groups], rng)
        own = own + UNEXPLAINED * rng.standard_normal(len(feasible)) * (level > 1)
        psnr.append(model.predict(points, level)[0] + own)
    keys = {each.design.key: row for row, each in enumerate(feasible)}
    return Truth(keys, points.costs, np.stack(psnr, axis=1))


def recorded_at(frame: pd.DataFrame, space: Space) -> pd.DataFrame:
    """The rows of a ladder with their designs as a column ``candidate``."""
    kinds = {axis.name: type(axis.values[0]) for axis in space.axes}
    candidates = []
    for row in frame.to_dict("records"):
        axes: dict[str, Any] = {}
        for axis in space.axes:
            if axis.exists(axes):
                axes[axis.name] = kinds[axis.name](row[axis.name])
        candidates.append(space.candidate(axes))
        if candidates[-1].design.key != row["key"]:
            raise ValueError(f"{row['key']} is not the design that its axes describe in {space.name}")
    return frame.assign(candidate=candidates)


def _smooth(inputs: Array, rng: np.random.Generator, count: int = 400) -> Array:
    """(n,) values of a random function with a Matern 5/2 kernel of variance 1 (random Fourier features)."""
    spread = np.sqrt(rng.chisquare(5, size=count) / 5)
    directions = rng.standard_normal((inputs.shape[1], count)) / spread
    return np.asarray(np.sqrt(2 / count) * np.cos(inputs @ directions + rng.uniform(0, 2 * np.pi, count)).sum(axis=1))


def replayed(space: Space, known: Truth, lengths: Sequence[int], seed: int, totals: Sequence[int]) -> list[float]:
    """The hypervolume of what a study recommends, after each total of trainings of 600 steps."""
    space = space.with_settings(search={"lengths": tuple(lengths), "seed": seed}, proxy={"steps": lengths[0]})
    with Store("sqlite://") as store:
        evaluator = shortest(space, Replay(known, noise=seed))
        record, _ = find_or_create(store, space, evaluator, SilentProgress(), new=False, at_once=1)
        study = Study(store, record, space, evaluator)
        unit = lengths[0] / LENGTHS[0]
        volumes: list[float] = []
        for total in totals:
            while (trial := study.ask(limit=int(total / unit + ROUNDING))) is not None:
                scorer = evaluator if trial.steps is None else evaluator.at_length(trial.steps)
                study.tell(trial, scorer.evaluate(trial.design, trial.seed, _never), 1.0)  # type: ignore[arg-type]
            volumes.append(recommended_volume(store.trials(record.name), known, lengths, space))
    return volumes


def _never(step: int, psnr: float) -> bool:
    return True


def recommended_volume(trials: pd.DataFrame, known: Truth, lengths: Sequence[int], space: Space) -> float:
    """The hypervolume of the true PSNR of the front."""
    done = trials[trials["state"] == "complete"]
    if done.empty:
        return 0.0
    done.attrs = dict(trials.attrs)
    predicted = prediction(trials, lengths[0]) if len(lengths) > 1 else None
    column = "psnr" if predicted is None else PREDICTED
    if predicted is not None:
        done = predicted.add_to(done)
    front = pareto_front(done, {column: "max", "mult_adds": "min"})
    rows = [known.rows[key] for key in front["key"]]
    points = np.column_stack([-known.psnr[rows, -1], known.costs[rows]])
    return dominated_volume(points, np.array([-BICUBIC, np.log10(space.budget["mult_adds"])]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print medians and quartiles."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lengths", description=__doc__)
    parser.add_argument("ladder", nargs="?", type=Path, default=Path("studies/lightweight_x4_ladder.csv"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--totals", type=lambda text: tuple(map(int, text.split(","))), default=SHOWN)
    parser.add_argument("--only", choices=STRATEGIES, action="append")
    given = parser.parse_args(arguments)
    space = Space.from_yaml("lightweight_x4")
    found = functools.cache(
        lambda seed: truth(given.ladder, space, Path("studies/lightweight_x4_trainings.csv.gz"), seed)
    )
    for name in given.only or STRATEGIES:
        began = time.process_time()
        table = np.array(
            [replayed(space, found(0), STRATEGIES[name], seed, given.totals) for seed in range(given.seeds)]
        )
        low, middle, high = np.quantile(table, [0.25, 0.5, 0.75], axis=0)
        cells = [f"{m:.4f} ({a:.4f}-{b:.4f})" for a, m, b in zip(low, middle, high, strict=True)]
        print(f"{name:18s}", *cells, f"{time.process_time() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
