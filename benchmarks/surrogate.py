"""A surrogate for trainings: predicts the learning curve of any design of a space, from a table of real trainings.

Final PSNR and the PSNR at each rung are each predicted by the mean of a Gaussian process and extra trees, on the
design's axes and exact costs. Residuals of real trainings are added as whole curves, so that rungs correlate with the
end, and curves cross, as real ones do. One part of a residual is fixed for each design, and the other is drawn for each
training, in the proportion that replicates (the same design with other seeds) show.
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
"""Assumed share of noise in the variance of residuals, if no design has several seeds."""


@dataclass(frozen=True)
class Trainings:
    """The n designs that a replay may train, and their results.

    Attributes:
        space: The space of the designs.
        steps: (r,) steps with a result; the last is the end.
        index: Position of each design by its key.
        mult_adds: (n,) Mult-Adds.
        truth: (n,) final PSNR in dB without the noise of one training.
        outcomes: Maps a seed to (n, r) measured PSNR in dB.
        candidates: The designs in the space.
        nearest: Maps a design that is missing here, and the positions taken, to the position to train instead; None if
            all feasible designs of the space are here.
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
    """The accuracy of the regressors by tenfold cross-validation, and the noise of one training, in dB.

    Attributes:
        steps: (r,) steps.
        errors: (r,) root mean squared error on held-out designs.
        deviations: (r,) standard deviation over designs.
        taus: (r,) Kendall's tau between predicted and measured PSNR of held-out designs.
        noises: (r,) standard deviation of replicates.
        replicated: Number of designs with several seeds; 0 if the noise is assumed.
    """

    steps: tuple[int, ...]
    errors: Array
    deviations: Array
    taus: Array
    noises: Array
    replicated: int


def recorded(path: Path, space: Space) -> pd.DataFrame:
    """Read the table of real trainings, and add a column ``candidate``.

    Raises:
        ValueError: The space does not have a design of the table.
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
    """Return the steps of the columns of a table, and the last step."""
    return (*sorted(int(c.removeprefix("psnr_")) for c in frame.columns if c.startswith("psnr_")), last)


def _curves(frame: pd.DataFrame, steps: Sequence[int]) -> Array:
    return frame[[f"psnr_{step}" for step in steps[:-1]] + ["psnr"]].to_numpy(dtype=np.float64)


def raw_table(frame: pd.DataFrame, space: Space, steps: tuple[int, ...]) -> Trainings:
    """Return the recorded trainings themselves: only these designs can be trained, with the recorded results."""
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
    """Position of the design in which the fewest axes differ; among several, the one with the nearest Mult-Adds."""

    def distance(index: int) -> tuple[int, float]:
        other = recorded[index]
        names = wanted.axes.keys() | other.axes.keys()
        apart = abs(np.log(other.cost.mult_adds / wanted.cost.mult_adds)) if other.cost and wanted.cost else 0.0
        return sum(wanted.axes.get(name) != other.axes.get(name) for name in names), float(apart)

    return min((i for i in range(len(recorded)) if i not in taken), key=distance)


def surrogate(frame: pd.DataFrame, space: Space, steps: tuple[int, ...], seed: int = 0) -> tuple[Trainings, Fit]:
    """Fit a surrogate to real trainings, and predict every feasible design of the space."""
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

    # Residuals consist of the noise of one training, as in replicates, and a fixed part of each design.
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
    """(m, r) noise of each replicate, scaled to the variance of one training, and the number of their designs.

    The mean effect of a seed on all designs is removed, because all trials of a study have the same seed.
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
    """(n, r) predictions for designs that were held out, a tenth at a time."""
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
        """Fit to (n,) values at (n, d) inputs."""
        kernel = ConstantKernel(1.0) * Matern(np.full(inputs.shape[1], 2.0), (0.1, 100), nu=2.5) + WhiteKernel(0.1)
        return cls._of(GaussianProcessRegressor(kernel), inputs, values)

    @classmethod
    def _of(cls, process: GaussianProcessRegressor, inputs: Array, values: Array) -> _Regressor:
        centre, scale = float(values.mean()), float(values.std())
        trees = ExtraTreesRegressor(300, min_samples_leaf=2, random_state=0).fit(inputs, values)
        return cls(process.fit(inputs, (values - centre) / scale), trees, centre, scale)

    def predicted(self, inputs: Array) -> Array:
        """Predict (m,) values at (m, d) inputs."""
        process = self.centre + self.scale * self.process.predict(inputs)
        return np.asarray((process + self.trees.predict(inputs)) / 2)


class _Features:
    """Axes as one ordinal column or one column per value, costs as logarithms; independent of the sampler's code."""

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
