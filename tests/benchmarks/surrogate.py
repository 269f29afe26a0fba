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
    missed, fit = _validated(inputs, curves, steps, *_noise(frame, steps))
    expected = np.stack([_predicted(inputs, curve, features(feasible)) for curve in curves.T], axis=1)

    # What regressors miss is partly the design's own, partly the chance of one training.
    chance = np.minimum(fit.noises / fit.errors, 1.0)
    own = missed[np.random.default_rng(seed).integers(len(missed), size=len(feasible))] * np.sqrt(1 - chance**2)
    means = expected + own

    def outcomes(seed: int) -> Array:
        drawn = np.random.default_rng([seed, 1]).integers(len(missed), size=len(feasible))
        return np.asarray(means + missed[drawn] * chance)

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


def _noise(frame: pd.DataFrame, steps: Sequence[int]) -> tuple[Array | None, int]:
    """Standard deviation of replicates at every step, pooled over designs, and the number of these."""
    several = frame.groupby("key").filter(lambda rows: len(rows) > 1)
    if not len(several):
        return None, 0
    curves = pd.DataFrame(_curves(several, steps), index=several["key"])
    groups = curves.groupby(level=0)
    freedom = len(several) - groups.ngroups
    return np.sqrt(((curves - groups.transform("mean")) ** 2).sum().to_numpy() / freedom), groups.ngroups


def _validated(
    inputs: Array, curves: Array, steps: tuple[int, ...], noises: Array | None, replicated: int
) -> tuple[Array, Fit]:
    """(n, r) what is missed of held-out designs, and how good that is."""
    expected = np.zeros_like(curves)
    for kept, held in KFold(10, shuffle=True, random_state=0).split(inputs):
        for step in range(len(steps)):
            expected[held, step] = _predicted(inputs[kept], curves[kept, step], inputs[held])
    missed = curves - expected
    errors = np.sqrt((missed**2).mean(axis=0))
    fit = Fit(
        steps=steps,
        errors=errors,
        deviations=curves.std(axis=0),
        taus=np.array([float(kendalltau(e, c)[0]) for e, c in zip(expected.T, curves.T, strict=True)]),
        noises=np.sqrt(ASSUMED_NOISE_SHARE) * errors if noises is None else noises,
        replicated=replicated,
    )
    return missed - missed.mean(axis=0), fit


def _predicted(inputs: Array, values: Array, wanted: Array) -> Array:
    """(m,) mean of a Gaussian process and extra trees at (m, d), fitted to (n,) values at (n, d)."""
    centre, scale = values.mean(), values.std()
    kernel = ConstantKernel(1.0) * Matern(np.full(inputs.shape[1], 2.0), (0.1, 100), nu=2.5) + WhiteKernel(0.1)
    process = GaussianProcessRegressor(kernel).fit(inputs, (values - centre) / scale)
    trees = ExtraTreesRegressor(300, min_samples_leaf=2, random_state=0).fit(inputs, values)
    return np.asarray((centre + scale * process.predict(wanted) + trees.predict(wanted)) / 2)


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
