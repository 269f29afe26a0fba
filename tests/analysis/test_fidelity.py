"""Predicted PSNR after longer trainings: the model of all lengths, and rankings by it."""

from __future__ import annotations

import csv
import math

import numpy as np
import pandas as pd
import pytest

from srsearch.analysis.fidelity import FidelityModel, Measured, Points
from srsearch.analysis.predicted import observations, prediction
from srsearch.analysis.ranking import Ranking, as_measured
from srsearch.analysis.trust import agreements, calibration, seed_agreements
from srsearch.search.model.features import FeatureTable
from srsearch.space import Space
from tests.conftest import CHECKOUT

LADDER = CHECKOUT.parent / "shared" / "reference" / "ladder.csv"
LENGTHS = (600, 2400, 9600)


def invented(count: int = 40) -> tuple[Points, np.ndarray]:
    """Designs with two axes and a cost, and their PSNR at each length without noise."""
    rng = np.random.default_rng(5)
    axes = rng.integers(0, 4, size=(count, 2)) / 3
    costs = rng.uniform(9, 10.5, size=count)
    short = 27.5 + 0.3 * (costs - 9) + 0.06 * axes[:, 0] - 0.05 * axes[:, 1] ** 2
    middle = 27.7 + 0.75 * (short - 27.5) + 0.03 * (costs - 9) + 0.03 * axes[:, 1]
    long = 27.9 + 0.80 * (middle - 27.7) + 0.02 * (costs - 9) + 0.02 * axes[:, 1]
    features = np.column_stack([axes, (costs - 9) / 1.5])
    return Points(features, costs), np.stack([short, middle, long], axis=1)


def test_a_few_long_trainings_predict_the_others() -> None:
    points, truth = invented()
    noisy = truth + np.random.default_rng(1).normal(0, (0.01, 0.006, 0.004), size=truth.shape)
    longer, held_out = np.arange(0, 40, 4), np.setdiff1d(np.arange(40), np.arange(0, 40, 4))
    rows = np.concatenate([np.arange(40), longer, longer])
    levels = np.repeat([0, 1, 2], [40, 10, 10])
    model = FidelityModel.fit(Measured(points.take(rows), levels, noisy[rows, levels]), [0, 1, 2], LENGTHS)
    others = points.take(held_out)
    means, deviations = model.predict(others, 2)
    errors = np.abs(means - truth[held_out, 2])
    assert np.sqrt((errors**2).mean()) < 0.012
    assert (errors < 1.645 * deviations).mean() > 0.8
    covariance = model.covariance(others, 2, others, 2)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), deviations, rtol=1e-6)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    np.testing.assert_allclose(
        np.diag(model.covariance(others, 2, others, 0)), model.covariance_of_each(others, 2, 0), rtol=1e-6, atol=1e-12
    )
    # A training that still runs makes its design certain, and changes no prediction.
    waiting = model.fantasize(others.take([0]), np.array([2]))
    assert waiting.predict(others, 2)[1][0] < 0.8 * deviations[0]
    np.testing.assert_allclose(waiting.predict(others, 2)[0], means, atol=1e-4)


def test_printed_psnr_of_published_networks_is_a_level_of_its_own() -> None:
    points, truth = invented()
    rows = np.concatenate([np.arange(40), np.arange(0, 40, 4), np.arange(1, 40, 8)])
    levels = np.repeat([0, 1, 2], [40, 10, 5])
    values = np.concatenate([truth[:, 0], truth[::4, 2], truth[1::8, 2] + 3.5])  # another test set
    model = FidelityModel.fit(Measured(points.take(rows), levels, values), [0, 1, 2], (600, 9600), printed=True)
    means, _ = model.predict(points, 2)
    assert np.abs(means - truth[:, 2] - 3.5).max() < 0.1
    assert np.corrcoef(means, truth[:, 2])[0, 1] > 0.97


def frame_of(points: Points, psnr: np.ndarray, longer: np.ndarray) -> pd.DataFrame:
    """Designs as `Store.trials` gives them; those at the positions ``longer`` were trained for 9,600 steps, too."""
    count = len(points)
    long = np.full(count, np.nan)
    long[longer] = psnr[longer, 2]
    frame = pd.DataFrame(
        {
            "trial": np.arange(count),
            "state": "complete",
            "psnr": psnr[:, 0],
            "seeds": 1,
            "mult_adds": (10**points.costs).astype(int),
            "params": 1000,
            "psnr_at_9600": pd.array(np.where(np.isnan(long), None, long), dtype="Float64"),
            "depth": points.features[:, 0],
            "width": points.features[:, 1],
        }
    )
    frame.attrs = {"axes": ["depth", "width"], "lengths": [9600]}
    return frame


def test_designs_are_ranked_by_what_is_predicted_and_show_what_was_measured() -> None:
    points, truth = invented()
    frame = frame_of(points, truth, np.arange(0, 40, 4))
    ranking = Ranking.of(frame, ("psnr", "mult_adds"), {"steps": 600})
    assert ranking.prediction is not None
    assert (ranking.prediction.steps, ranking.prediction.longest) == (9600, 10)
    assert np.abs(ranking.trials["psnr"].to_numpy(dtype=float) - truth[:, 2]).max() < 0.05
    front = ranking.front()
    again = as_measured(front)
    np.testing.assert_array_equal(again["psnr"], truth[again["trial"], 0])
    assert (again["psnr_predicted_error"] == front["psnr_error"]).all()
    tied = ranking.tied_with_best()
    assert tied["best"].sum() == 1
    assert tied["probability"].sum() == pytest.approx(1)
    assert (tied["probability"] > 0).any()
    assert "probability" in ranking.ties_text(tied) or len(tied) == 1
    assert "9,600 steps" in ranking.caveat()
    budget = float(np.median(frame["mult_adds"]))
    assert (ranking.tied_with_best(max_mult_adds=budget)["mult_adds"] <= budget).all()
    # Without longer trainings, and with fewer than ten designs, nothing is predicted.
    assert prediction(frame_of(points, truth, np.arange(0)), 600) is None
    few = frame.head(9)
    few.attrs = frame.attrs
    assert Ranking.of(few, ("psnr", "mult_adds"), {"steps": 600}).prediction is None


def test_trust_compares_rankings_and_calibrates_predictions() -> None:
    points, truth = invented()
    frame = frame_of(points, truth + np.random.default_rng(3).normal(0, 0.004, size=truth.shape), np.arange(0, 40, 2))
    by = {each.ranking: each for each in agreements(frame, 600)}
    assert set(by) == {"600 steps", "Mult-Adds", "parameters"}
    short, cost = by["600 steps"], by["Mult-Adds"]
    assert (short.designs, short.against) == (20, "9,600 steps")
    assert 0.6 < short.tau.low < short.tau.value <= short.tau.high <= 1
    assert math.isnan(cost.partial_tau.value)  # cost explains all of itself
    assert short.partial_tau.value > 0
    assert short.tau_within_bands.value > cost.tau_within_bands.value
    assert 0 <= short.top_recall.low <= short.top_recall.value <= 1
    observed = observations(frame, 600)
    assert observed is not None
    found = calibration(observed)
    assert found is not None
    assert (found.steps, found.designs) == (9600, 20)
    assert found.error < 0.03
    assert found.within_90 >= 0.75
    seeds = pd.DataFrame({"trial": [*range(10)] * 2, "seed": [0] * 10 + [1] * 10})
    seeds["psnr"] = [*truth[:10, 0], *truth[:10, 0][::-1]]
    (pair,) = seed_agreements(seeds, frame.set_index("trial")["mult_adds"])
    assert (pair.ranking, pair.against, pair.designs) == ("seed 0", "seed 1", 10)


@pytest.mark.skipif(not LADDER.is_file(), reason="the recorded ladder is not here")
def test_held_out_designs_of_the_ladder_lie_in_their_intervals() -> None:
    """Each design is predicted from its own 600 steps and all lengths of the other designs."""
    space = Space.from_yaml("lightweight_x4")
    table = FeatureTable(space)
    kinds = {axis.name: type(axis.values[0]) for axis in space.axes}
    psnr: dict[str, dict[int, float]] = {}
    axes: dict[str, dict[str, int | float | str | bool]] = {}
    with LADDER.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            psnr.setdefault(row["key"], {})[int(row["steps"])] = float(row["psnr_val"])
            axes[row["key"]] = {name: kinds[name](row[name]) for name in kinds if row[name]}
    keys = [key for key, lengths in psnr.items() if set(lengths) == set(LENGTHS)]
    designs = table.rows(table.stacked([table.find(axes[key]) for key in keys]))
    points = Points(designs.features, designs.costs[:, 0])
    rows, levels = np.repeat(np.arange(len(keys)), 3), np.tile([0, 1, 2], len(keys))
    values = np.array([psnr[keys[row]][LENGTHS[level]] for row, level in zip(rows, levels, strict=True)])
    off, inside = [], []
    for held_out in range(len(keys)):
        known = (rows != held_out) | (levels == 0)
        measured = Measured(points.take(rows[known]), levels[known], values[known])
        model = FidelityModel.fit(measured, table.groups, LENGTHS)
        mean, deviation = (float(part[0]) for part in model.predict(points.take([held_out]), 2))
        off.append(mean - psnr[keys[held_out]][9600])
        inside.append(abs(off[-1]) < 1.645 * math.hypot(deviation, model.noises[2]))
    assert math.sqrt(np.mean(np.square(off))) < 0.015
    assert np.mean(inside) >= 0.85
