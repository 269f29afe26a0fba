"""Fronts, hypervolume, noise and convergence, compared with results counted by hand and with Optuna."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.noise import recorded, smooth
from srsearch.analysis import (
    Noise,
    best,
    converged,
    differing_axes,
    dominated_volume,
    hypervolume,
    hypervolume_history,
    pareto_front,
    retraining_noise,
    standard_errors,
    tied_with_best,
)
from srsearch.analysis.agreement import bootstrap_interval, kendall, partial_kendall
from srsearch.errors import InputError

SIDE = 4


@st.composite
def lattice_points(draw: st.DrawFn) -> np.ndarray:
    """Up to nine points in 1 to 5 dimensions with integer coordinates, many of them equal or dominated."""
    axes = draw(st.integers(1, 5))
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
def test_the_front_holds_all_points_that_nothing_dominates(points: np.ndarray, data: st.DataObject) -> None:
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


def test_the_history_is_in_order_of_finishing_not_of_numbers() -> None:
    """A stopped design may be continued later, and several workers finish in any order."""
    reference = {"psnr": 26.0, "mult_adds": 40e9}
    ended = pd.to_datetime(["2026-01-01 03:00", "2026-01-01 01:00", "2026-01-01 02:00"], utc=True)
    trials = frame(psnr=[29.0, 27.0, 28.0], mult_adds=[4e9, 4e9, 4e9]).assign(finished_at=ended)
    history = hypervolume_history(trials, ["psnr", "mult_adds"], reference)
    assert history["trial"].tolist() == [1, 2, 0]
    assert history["hypervolume"].tolist() == pytest.approx([1.0, 2.0, 3.0])
    noise = Noise(0.5, "replicates", 9)
    assert converged(trials, ["psnr", "mult_adds"], reference, noise, window=1).gain == pytest.approx(1.0)


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


def modelled(count: int, noise: float, seed: int = 0) -> pd.DataFrame:
    """A study's frame of designs whose PSNR is a smooth function of their axes and costs."""
    rng = np.random.default_rng(seed)
    channels, blocks = rng.choice([16, 24, 32, 48, 64], count), rng.choice([1, 2, 3, 4, 6, 8], count)
    unit = rng.choice(["conv", "grouped"], count)
    groups = [None if each == "conv" else int(rng.choice([2, 4])) for each in unit]
    costs = channels**2 * blocks * (1 + (unit == "conv")) * rng.uniform(0.98, 1.02, count)
    psnr = 26 + 0.8 * np.log10(costs / costs.min()) + 0.04 * (unit == "conv") + noise * rng.standard_normal(count)
    trials = frame(
        psnr=pd.array(psnr, dtype="Float64"),
        mult_adds=pd.array((costs * 1e5).astype(int), dtype="Int64"),
        params=pd.array((costs * 9).astype(int), dtype="Int64"),
        channels=pd.array(channels, dtype="Int64"),
        blocks=pd.array(blocks, dtype="Int64"),
        unit=pd.array(unit, dtype="string"),
        groups=pd.array(groups, dtype="Int64"),
    )
    trials.attrs["axes"] = ["channels", "blocks", "unit", "groups"]
    return trials


def test_noise_comes_from_replicates_where_there_are_enough() -> None:
    trials = modelled(20, 0.03)
    trials["seeds"] = pd.array([3, 2, 4, *[1] * 16, None], dtype="Int64")
    trials["psnr_sd"] = pd.array([0.02, 0.05, 0.03, *[None] * 17], dtype="Float64")
    noise = retraining_noise(trials)
    pooled = np.sqrt((2 * 0.02**2 + 0.05**2 + 3 * 0.03**2) / 6)
    assert noise == Noise(pytest.approx(pooled), "replicates", 9)
    assert str(noise) == "standard deviation 0.032 dB, from 9 replicates"
    errors = standard_errors(trials, noise)
    assert errors.tolist()[:4] == pytest.approx([pooled / 3**0.5, pooled / 2**0.5, pooled / 2, pooled])
    assert errors.iloc[-1] == pytest.approx(pooled)
    assert standard_errors(trials, None).isna().all()
    trials.loc[2, "psnr_sd"] = pd.NA  # three degrees of freedom are left
    assert retraining_noise(trials) == retraining_noise(trials.drop(columns=["seeds", "psnr_sd"]))


def test_the_models_noise_is_an_upper_limit_with_a_floor_from_the_recorded_trainings() -> None:
    """A sample of the table of `benchmarks/noise.py`."""
    for make, noise in ((smooth, 0.02), (recorded, 0.05)):
        found = [retraining_noise(make(30, noise, np.random.default_rng(seed))) for seed in range(12)]
        shares = np.array([each.deviation / noise for each in found if each])
        assert len(shares) == 12
        assert (shares < 0.5).sum() <= 1
        assert 1 <= np.median(shares) < 2
    trials = smooth(30, 0.002, np.random.default_rng(0))
    limit = retraining_noise(trials)
    for steps, least in ((600, 0.019), (150, 0.019), (2400, 0), (None, 0)):
        trials.attrs["proxy_steps"] = steps
        noise_of_study = retraining_noise(trials)
        assert limit is not None
        assert noise_of_study is not None
        assert noise_of_study.deviation == max(limit.deviation, least)
        assert str(noise_of_study).startswith("standard deviation at most about 0.0")


def test_copies_untrained_and_unfinished_designs_do_not_count_as_noise() -> None:
    trials = modelled(40, 0.03)
    noise = retraining_noise(trials)
    assert noise is not None
    doubled = pd.concat([trials, trials], ignore_index=True)
    doubled.attrs = trials.attrs
    assert retraining_noise(doubled) == noise
    unlearned = trials.copy()
    unlearned.loc[40] = unlearned.loc[7]
    unlearned.loc[40, ["psnr", "trial"]] = [11.0, 40]
    assert retraining_noise(unlearned) == noise
    unfinished = trials.copy()
    unfinished.loc[40] = unfinished.loc[7]
    unfinished.loc[40, ["psnr", "trial"]] = [pd.NA, 40]
    assert retraining_noise(unfinished) == noise


def test_noise_is_unknown_without_data_on_it() -> None:
    trials = modelled(40, 0.03)
    assert retraining_noise(trials.iloc[:9]) is None
    assert retraining_noise(trials.iloc[:0]) is None
    assert retraining_noise(trials.assign(psnr=27.5)) is None
    assert retraining_noise(frame(psnr=[27.0, 27.1] * 20)) is None
    assert retraining_noise(trials.assign(ssim=pd.array([None] * 40, dtype="Float64")), "ssim") is None


def test_designs_that_cannot_be_told_from_the_best_are_tied_with_it() -> None:
    trials = frame(
        psnr=pd.array([28.00, 27.96, 27.96, 27.94, 27.99, None], dtype="Float64"),
        mult_adds=pd.array([30, 20, 10, 5, 40, 1], dtype="Int64"),
        params=pd.array([1, 1, 1, 1, 1, 1], dtype="Int64"),
    )

    def tied(noise: Noise | None, **limits: Any) -> list[int]:
        found = tied_with_best(trials, noise, **limits)
        assert found["mult_adds"].is_monotonic_increasing
        assert found.loc[found["best"], "trial"].tolist() == [best(trials, **limits)["trial"]]  # type: ignore[index]
        return list(found["trial"])

    noise = Noise(0.02, "model", 40)  # tied up to 1.645 * 0.02 * sqrt(2) = 0.0465 dB below
    assert tied(noise) == [2, 1, 0, 4]
    assert tied(noise, max_mult_adds=20) == [3, 2, 1]
    assert tied(None) == [0]
    assert tied(Noise(0.0, "replicates", 40)) == [0]
    trials["seeds"] = pd.array([1, 1, 4, 1, 1, None], dtype="Int64")
    assert tied(noise) == [1, 0, 4]  # trials 1 and 2 are as far below: four seeds tell, one does not
    assert tied_with_best(trials.iloc[5:], noise).empty


def test_an_equally_good_design_is_called_different_once_in_twenty_times() -> None:
    rng = np.random.default_rng(0)
    noise = Noise(0.02, "model", 40)
    measured = 28 + 0.02 * np.column_stack([rng.standard_normal(2000), rng.standard_normal((2000, 3)).mean(axis=1)])
    told = 0
    for pair in measured:
        trials = frame(psnr=pair, mult_adds=[2, 1], params=[1, 1], seeds=[1, 3])
        told += pair[0] > pair[1] and len(tied_with_best(trials, noise)) == 1
    assert told / len(measured) == pytest.approx(0.05, abs=0.015)


OBJECTIVE_SETS = [("psnr",), ("psnr", "mult_adds"), ("mult_adds", "params", "psnr"), ("psnr", "ssim", "activations")]
REFERENCE = {"psnr": 26.0, "ssim": 0.0, "mult_adds": 40e9, "params": 8e5, "activations": 1e9}


def risen(rise: float, window: int = 20) -> pd.DataFrame:
    """A frame of designs, followed by the same designs with a higher PSNR."""
    rng = np.random.default_rng(1)
    first = pd.DataFrame(
        {
            "psnr": rng.uniform(26.5, 28, window),
            "ssim": rng.uniform(0.7, 0.8, window),
            "mult_adds": rng.uniform(1e9, 5e10, window),
            "params": rng.uniform(1e4, 7e5, window),
            "activations": rng.uniform(1e7, 9e8, window),
        }
    )
    both = pd.concat([first, first.assign(psnr=first["psnr"] + rise)], ignore_index=True)
    return both.assign(trial=range(2 * window))


@pytest.mark.parametrize("objectives", OBJECTIVE_SETS, ids=" ".join)
def test_the_gain_of_a_search_is_the_mean_rise_of_its_front(objectives: tuple[str, ...]) -> None:
    noise = Noise(0.03, "model", 40)
    little = converged(risen(0.02), objectives, REFERENCE, noise)
    assert little.gain == pytest.approx(0.02)
    assert (little.threshold, little.converged) == (0.03, True)
    much = converged(risen(0.05), objectives, REFERENCE, noise)
    assert much.gain == pytest.approx(0.05)
    assert not much.converged
    assert converged(risen(0.0), objectives, REFERENCE, Noise(0.0, "replicates", 9)).converged


def test_a_short_search_never_counts_as_converged() -> None:
    noise = Noise(0.03, "model", 40)
    objectives = ["psnr", "mult_adds"]
    assert not converged(risen(0.0), objectives, REFERENCE, None).converged
    early = converged(risen(0.0).iloc[:-1], objectives, REFERENCE, noise)
    assert (early.gain, early.converged) == (None, False)
    nothing = converged(risen(0.0).assign(psnr=25.0), objectives, REFERENCE, noise)
    assert (nothing.gain, nothing.converged) == (None, False)
    # A cheaper design than ever opens budgets that had none, here a decade of them 0.4 dB above bicubic.
    opened = risen(0.0)
    cheapest = opened["mult_adds"].min()
    opened.loc[39, ["psnr", "mult_adds"]] = [26.4, cheapest / 10]
    width = np.log10(40e9 / (cheapest / 10))
    assert converged(opened, objectives, REFERENCE, noise).gain == pytest.approx(0.4 / width)
    with pytest.raises(InputError, match="add psnr or ssim"):
        converged(risen(0.0), ["mult_adds"], REFERENCE, noise)
    with pytest.raises(InputError, match="no params"):
        converged(risen(0.0), ["psnr", "params"], {"psnr": 26.0}, noise)


def test_partial_agreement_is_what_two_rankings_share_beyond_cost() -> None:
    rng = np.random.default_rng(0)
    costs = 10 ** rng.uniform(9, 10.6, 300)
    by_cost, own = 28 + 0.1 * np.log10(costs) ** 2, 0.02 * rng.standard_normal((3, 300))
    first, second, other = by_cost + own[0], by_cost + own[0] + own[1], by_cost + own[2]
    assert partial_kendall(first, first, costs) == 1
    assert kendall(first, other) > 0.9
    assert abs(partial_kendall(first, other, costs)) < 0.1
    assert partial_kendall(first, second, costs) == pytest.approx(kendall(own[0], own[0] + own[1]), abs=0.05)
    assert math.isnan(partial_kendall(first, second, np.full(300, 1e9)))
    low, high = bootstrap_interval(partial_kendall, first, second, costs, resamples=200)
    few = bootstrap_interval(partial_kendall, first[:30], second[:30], costs[:30], resamples=200)
    assert low < partial_kendall(first, second, costs) < high
    # Ten times the designs: about a third of the width.
    assert 2 < (few[1] - few[0]) / (high - low) < 5
    assert all(map(math.isnan, bootstrap_interval(partial_kendall, first[:5], second[:5], costs[:5])))
