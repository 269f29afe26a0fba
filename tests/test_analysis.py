"""Fronts and hypervolume against counting by hand and against Optuna."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srsearch.analysis import (
    best,
    differing_axes,
    dominated_volume,
    hypervolume,
    hypervolume_history,
    pareto_front,
)
from srsearch.errors import InputError

SIDE = 5


@st.composite
def lattice_points(draw: st.DrawFn) -> np.ndarray:
    """Up to nine points in 1 to 4 axes with whole coordinates, many of them equal or dominated."""
    axes = draw(st.integers(1, 4))
    rows = draw(st.lists(st.tuples(*[st.integers(0, SIDE)] * axes), max_size=9))
    return np.array(rows, dtype=np.float64).reshape(-1, axes)


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns).assign(trial=lambda trials: range(len(trials)))


@settings(max_examples=200, deadline=None)
@given(lattice_points())
def test_volume_is_the_number_of_dominated_cells(points: np.ndarray) -> None:
    axes = points.shape[1]
    cells = np.array(list(itertools.product(range(SIDE), repeat=axes)))
    dominated = (points[:, None, :] <= cells).all(axis=2).any(axis=0).sum()
    assert dominated_volume(points, np.full(axes, float(SIDE))) == dominated


@settings(max_examples=200, deadline=None)
@given(lattice_points(), st.data())
def test_front_is_what_nothing_dominates(points: np.ndarray, data: st.DataObject) -> None:
    objectives = {
        f"axis{axis}": data.draw(st.sampled_from(["max", "min"]), label="direction") for axis in range(points.shape[1])
    }
    signs = np.array([-1 if direction == "max" else 1 for direction in objectives.values()])
    trials = pd.DataFrame(points * signs, columns=list(objectives)).assign(trial=range(len(points)))
    shuffled = trials.sample(frac=1, random_state=0)
    expected = {
        number
        for number, point in enumerate(points)
        if not any(
            (other <= point).all() and ((other < point).any() or earlier < number)
            for earlier, other in enumerate(points)
            if earlier != number
        )
    }
    assert set(pareto_front(shuffled, objectives)["trial"]) == expected


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.floats(20, 35), st.floats(1e8, 9e10), st.floats(1e3, 2e6)), min_size=1, max_size=12),
    st.booleans(),
)
def test_agrees_with_optuna(rows: list[tuple[float, float, float]], with_params: bool) -> None:
    names = ["psnr", "mult_adds", "params"][: 3 if with_params else 2]
    reference = {"psnr": 24.0, "mult_adds": 4e10, "params": 1e6}
    trials = pd.DataFrame(rows, columns=["psnr", "mult_adds", "params"]).assign(trial=range(len(rows)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(directions=["maximize"] + ["minimize"] * (len(names) - 1))
        for row in rows:
            values = [row[0], *np.log10(row[1 : len(names)])]
            study.add_trial(optuna.trial.create_trial(values=values))
        corner = [24.0, np.log10(4e10), 6.0][: len(names)]
        theirs = optuna.visualization.plot_hypervolume_history(study, corner).data[0].y
    ours = hypervolume_history(trials, names, reference)
    assert ours["hypervolume"].tolist() == pytest.approx(theirs, rel=1e-9, abs=1e-9)
    assert hypervolume(trials, {name: reference[name] for name in names}) == pytest.approx(theirs[-1], abs=1e-9)
    best_values = {tuple(trial.values) for trial in study.best_trials}
    front = pareto_front(trials, names)
    assert {
        (row.psnr, *np.log10([getattr(row, name) for name in names[1:]])) for row in front.itertuples()
    } == best_values


def test_volume_is_in_db_times_decades() -> None:
    one = frame(psnr=[28.0], mult_adds=[4_000_000_000])
    assert hypervolume(one, {"psnr": 26.0, "mult_adds": 40e9}) == pytest.approx(2.0)
    half = frame(psnr=[28.0], mult_adds=[2_000_000_000])
    assert hypervolume(half, {"psnr": 26.0, "mult_adds": 40e9}) == pytest.approx(2.0 * (1 + np.log10(2)))
    assert hypervolume(one, {"psnr": 28.0, "mult_adds": 40e9}) == 0.0
    assert hypervolume(one.iloc[:0], {"psnr": 26.0, "mult_adds": 40e9}) == 0.0


def test_unfinished_trials_do_not_count_and_types_stay() -> None:
    trials = frame(
        psnr=pd.array([None, 27.0, 27.0, 28.5, None], dtype="Float64"),
        mult_adds=pd.array([1, 20, 20, 30, None], dtype="Int64"),
        params=pd.array([1, 2, 2, 3, None], dtype="Int64"),
    )
    trials.attrs["axes"] = ["channels"]
    front = pareto_front(trials, ["psnr", "mult_adds"])
    assert front["trial"].tolist() == [1, 3]
    assert front["mult_adds"].dtype == "Int64"
    assert front.attrs["axes"] == ["channels"]
    history = hypervolume_history(trials, ["psnr", "mult_adds"], {"psnr": 20.0, "mult_adds": 100})
    assert history["trial"].tolist() == [1, 2, 3]
    assert history["evaluation"].tolist() == [1, 2, 3]
    assert history["hypervolume"].is_monotonic_increasing
    assert pareto_front(trials.iloc[:1], ["psnr", "mult_adds"]).empty


def test_best_keeps_to_the_budget() -> None:
    trials = frame(
        psnr=pd.array([27.0, 28.0, 28.0, 29.0, None], dtype="Float64"),
        mult_adds=pd.array([10, 30, 20, 50, 1], dtype="Int64"),
        params=pd.array([5, 6, 7, 8, 1], dtype="Int64"),
    )
    numbers = [
        None if row is None else row["trial"]
        for row in (
            best(trials),
            best(trials, max_mult_adds=40),
            best(trials, max_mult_adds=40, max_params=6),
            best(trials, max_mult_adds=9),
            best(trials.iloc[:0]),
        )
    ]
    assert numbers == [3, 2, 1, None, None]


def test_differing_axes_count_absence_as_a_value() -> None:
    trials = pd.DataFrame(
        {
            "a": pd.array([1, 1, 1], dtype="Int64"),
            "b": pd.array([1, None, 1], dtype="Int64"),
            "c": pd.array(["x", "y", "x"], dtype="string"),
        }
    )
    assert differing_axes(trials, ["c", "b", "a"]) == ["c", "b"]


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (["psnr", "mult_add"], "did you mean 'mult_adds'"),
        ([], "no objective"),
        ({"psnr": "up"}, "neither 'max' nor 'min'"),
        (["ssim"], "no column 'ssim'"),
    ],
)
def test_wrong_objectives_are_explained(objectives: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pareto_front(frame(psnr=[1.0], mult_adds=[2]), objectives)


def test_costs_without_a_logarithm_are_refused() -> None:
    with pytest.raises(InputError, match="above zero"):
        hypervolume(frame(psnr=[28.0], mult_adds=[0]), {"psnr": 26.0, "mult_adds": 40e9})
    with pytest.raises(InputError, match="finite"):
        hypervolume(frame(psnr=[28.0], mult_adds=[1]), {"psnr": float("nan"), "mult_adds": 40e9})
