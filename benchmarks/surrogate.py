"""What a training of any design of a space would give, learnt from a table of real trainings.

Final PSNR and the PSNR at each rung are each the mean of two regressors of different kinds, a Gaussian process and
extra trees, on the design's axes and exact costs. To them comes what regressors miss, taken from the real trainings in
whole curves, so that rungs go with the end, and cross, as they really do: a part that belongs to the design and one
that is drawn anew for each training, in the shares that replicates (the same design with other seeds) show.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import kendalltau
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.model_selection import KFold

from srsearch.space import Candidate, Space

Array = npt.NDArray[np.float64]

ASSUMED_NOISE_SHARE = 0.5
"""Of the variance that regressors miss, as long as no design has several seeds."""


@dataclass(frozen=True)
class Trainings:
    """Designs that a replay may train, and what comes of it.

    Attributes:
        space: The space that they are of.
        steps: (r,) steps at which there is a result; the last is the end.
        index: Position of each design by its key.
        mult_adds: (n,).
        truth: (n,) final PSNR without the chance of one training.
        outcomes: From a seed to (n, r) measured PSNR.
        nearest: From a design that is not among these, and the positions taken, to the position to train instead, or
            None where all designs of the space are there.
    """

    space: Space
    steps: tuple[int, ...]
    index: Mapping[str, int]
    mult_adds: npt.NDArray[np.int64]
    truth: Array
    outcomes: Callable[[int], Array]
    candidates: Sequence[Candidate]
    nearest: Callable[[Candidate, Container[int]], int] | None = None


@dataclass(frozen=True)
class Fit:
    """How good the regressors are, by tenfold cross-validation, and how much one training varies, in dB.

    Attributes:
        steps: (r,).
        errors: (r,) root mean squared error of held-out designs.
        deviations: (r,) standard deviation over designs.
        taus: (r,) Kendall's tau between what is expected and what was measured of held-out designs.
        noises: (r,) standard deviation of replicates.
        replicated: Number of designs with several seeds; 0 where the noise is assumed.
    """

    steps: tuple[int, ...]
    errors: Array
    deviations: Array
    taus: Array
    noises: Array
    replicated: int


def recorded(path: Path, space: Space) -> pd.DataFrame:
    """The table of real trainings, with a column ``candidate``.

    Raises:
        ValueError: It holds a design that the space has not.
    """
    frame = pd.read_csv(path)
    names = [axis.name for axis in space.axes]
    kinds = {axis.name: type(axis.values[0]) for axis in space.axes}
    frame["candidate"] = [
        space.candidate({name: kinds[name](row[name]) for name in names if not pd.isna(row[name])})
        for row in frame.to_dict("records")
    ]
    for row in frame.itertuples():
        if row.candidate.design.key != row.key:
            raise ValueError(f"{path}: {row.key} is not the design that its axes describe in {space.name}")
    return frame


def steps_of(frame: pd.DataFrame, last: int) -> tuple[int, ...]:
    """The steps that the columns of a table are for."""
    return (*sorted(int(c.removeprefix("psnr_")) for c in frame.columns if c.startswith("psnr_")), last)


def _curves(frame: pd.DataFrame, steps: Sequence[int]) -> Array:
    return frame[[f"psnr_{step}" for step in steps[:-1]] + ["psnr"]].to_numpy(dtype=np.float64)


def raw_table(frame: pd.DataFrame, space: Space, steps: tuple[int, ...]) -> Trainings:
    """The recorded trainings as they are: only these designs can be trained, and give what was recorded."""
    first = frame.sort_values(["key", "seed"]).drop_duplicates("key")
    truth = frame.groupby("key")["psnr"].mean().loc[first["key"]].to_numpy()
    curves = _curves(first, steps)
    return Trainings(
        space=space,
        steps=steps,
        index={key: i for i, key in enumerate(first["key"])},
        mult_adds=first["mult_adds"].to_numpy(dtype=np.int64),
        truth=truth,
        outcomes=lambda seed: curves,
        candidates=list(first["candidate"]),
        nearest=functools.partial(_nearest, list(first["candidate"])),
    )


def _nearest(recorded: Sequence[Candidate], wanted: Candidate, taken: Container[int]) -> int:
    """The design in which the fewest axes differ; among these, of the nearest Mult-Adds."""

    def distance(index: int) -> tuple[int, float]:
        other = recorded[index]
        names = wanted.axes.keys() | other.axes.keys()
        apart = abs(np.log(other.cost.mult_adds / wanted.cost.mult_adds)) if other.cost and wanted.cost else 0.0
        return sum(wanted.axes.get(name) != other.axes.get(name) for name in names), float(apart)

    return min((i for i in range(len(recorded)) if i not in taken), key=distance)


def surrogate(frame: pd.DataFrame, space: Space, steps: tuple[int, ...], seed: int = 0) -> tuple[Trainings, Fit]:
    """Every feasible design of the space, with what the real trainings let expect of it."""
    feasible = list(space.feasible or ())
    features = _Features(space)
    first = frame.sort_values(["key", "seed"]).drop_duplicates("key")
    inputs, curves = features(list(first["candidate"])), _curves(first, steps)
    regressors = [_Regressor.fitted(inputs, values) for values in curves.T]
    missed = curves - _held_out(inputs, curves)
    missed -= missed.mean(axis=0)
    chance, replicated = _chance(frame, steps)
    fit = _fit(steps, curves, missed, chance, replicated)
    expected = np.stack([regressor.predicted(features(feasible)) for regressor in regressors], axis=1)

    # What regressors miss is the chance of one training, as replicates have it, and for the rest the design's own.
    share = np.minimum(fit.noises / fit.errors, 1.0)
    own = missed[np.random.default_rng(seed).integers(len(missed), size=len(feasible))] * np.sqrt(1 - share**2)
    chance = (missed if chance is None else chance / fit.noises * fit.errors) * share
    means = expected + own

    def outcomes(seed: int) -> Array:
        return np.asarray(means + chance[np.random.default_rng([seed, 1]).integers(len(chance), size=len(feasible))])

    trainings = Trainings(
        space=space,
        steps=steps,
        index={candidate.design.key: i for i, candidate in enumerate(feasible)},
        mult_adds=np.array([candidate.cost.mult_adds for candidate in feasible if candidate.cost]),
        truth=means[:, -1],
        outcomes=outcomes,
        candidates=feasible,
    )
    return trainings, fit


def _chance(frame: pd.DataFrame, steps: Sequence[int]) -> tuple[Array | None, int]:
    """(m, r) what chance added to each replicate, with the variance of one training; and of how many designs they are.

    What a seed does to all designs alike is not chance here, for all trials of a study have one seed.
    """
    several = frame.groupby("key").filter(lambda rows: len(rows) > 1)
    designs, seeds = several["key"].nunique(), several["seed"].nunique()
    if designs < 2:
        return None, 0
    curves = pd.DataFrame(_curves(several, steps))
    for label in ("key", "seed"):
        curves = curves - curves.groupby(several[label].to_numpy()).transform("mean")
    free = (designs - 1) * (seeds - 1)
    return curves.to_numpy() * np.sqrt(len(curves) / free), designs


def _held_out(inputs: Array, curves: Array) -> Array:
    """(n, r) what is expected of designs that were left out, a tenth at a time."""
    expected = np.zeros_like(curves)
    for kept, held in KFold(10, shuffle=True, random_state=0).split(inputs):
        for step in range(curves.shape[1]):
            fitted = _Regressor.fitted(inputs[kept], curves[kept, step])
            expected[held, step] = fitted.predicted(inputs[held])
    return expected


def _fit(steps: tuple[int, ...], curves: Array, missed: Array, chance: Array | None, replicated: int) -> Fit:
    errors = np.sqrt((missed**2).mean(axis=0))
    return Fit(
        steps=steps,
        errors=errors,
        deviations=curves.std(axis=0),
        taus=np.array([float(kendalltau(c - m, c)[0]) for m, c in zip(missed.T, curves.T, strict=True)]),
        noises=np.sqrt(ASSUMED_NOISE_SHARE) * errors if chance is None else np.sqrt((chance**2).mean(axis=0)),
        replicated=replicated,
    )


@dataclass(frozen=True)
class _Regressor:
    """The mean of a Gaussian process and extra trees."""

    process: GaussianProcessRegressor
    trees: ExtraTreesRegressor
    centre: float
    scale: float

    @classmethod
    def fitted(cls, inputs: Array, values: Array) -> _Regressor:
        """To (n,) values at (n, d) inputs."""
        kernel = ConstantKernel(1.0) * Matern(np.full(inputs.shape[1], 2.0), (0.1, 100), nu=2.5) + WhiteKernel(0.1)
        return cls._of(GaussianProcessRegressor(kernel), inputs, values)

    @classmethod
    def _of(cls, process: GaussianProcessRegressor, inputs: Array, values: Array) -> _Regressor:
        centre, scale = float(values.mean()), float(values.std())
        trees = ExtraTreesRegressor(300, min_samples_leaf=2, random_state=0).fit(inputs, values)
        return cls(process.fit(inputs, (values - centre) / scale), trees, centre, scale)

    def predicted(self, inputs: Array) -> Array:
        """(m,) at (m, d)."""
        process = self.centre + self.scale * self.process.predict(inputs)
        return np.asarray((process + self.trees.predict(inputs)) / 2)


class _Features:
    """Axes as ordinal or one column for each value, costs by their logarithm; made apart from the sampler's own."""

    def __init__(self, space: Space) -> None:
        self._space = space

    def __call__(self, candidates: Sequence[Candidate]) -> Array:
        return np.stack([self._row(candidate) for candidate in candidates])

    def _row(self, candidate: Candidate) -> Array:
        row: list[float] = []
        for axis in self._space.axes:
            value: Any = candidate.axes.get(axis.name)
            if axis.ordered:
                row.append(0.5 if value is None else axis.values.index(value) / (len(axis.values) - 1))
            else:
                row += [float(value == each) for each in axis.values]
        assert candidate.cost is not None
        costs = (candidate.cost.mult_adds, candidate.cost.params, candidate.cost.activations)
        return np.array([*row, *(float(np.log10(cost)) for cost in costs)])
