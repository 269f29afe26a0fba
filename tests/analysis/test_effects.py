"""Effects of axes at equal cost, agreement of rankings and progress of a search, on data with known answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from benchmarks.noise import smooth
from srsearch.analysis import hypervolume_history, hypervolume_steps
from srsearch.analysis.agreement import rung_agreement, seed_agreement
from srsearch.analysis.effects import LEAST_TRIALS, at_equal_cost, interaction
from srsearch.analysis.pace import per_hour
from srsearch.dashboard.live.importance import importance, least_share, predicted_share


def trials(number: int = 600) -> pd.DataFrame:
    """Trials whose quality grows with the cost; `skip` is free and adds 0.2 dB, and 0.3 dB more with grouped units."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "trial": np.arange(number),
            "channels": rng.choice([16, 32, 64], number),
            "blocks": rng.integers(1, 5, number),
            "unit": rng.choice(["conv", "grouped"], number),
            "skip": rng.choice([True, False], number),
        }
    )
    frame["mult_adds"] = 1e6 * frame["channels"] ** 2 * (frame["blocks"] + 2) * rng.uniform(0.5, 2, number)
    frame["psnr"] = 26 + 0.6 * np.log10(frame["mult_adds"] / 1e8) + 0.2 * frame["skip"]
    frame["psnr"] += 0.3 * (frame["skip"] & (frame["unit"] == "grouped")) + 0.02 * rng.standard_normal(number)
    frame.attrs["axes"] = ["channels", "blocks", "unit", "skip"]
    return frame


def test_effects_are_those_at_equal_cost() -> None:
    frame = trials()
    model = at_equal_cost(frame, frame.attrs["axes"])
    assert model is not None
    effects = model.effects.set_index(["axis", "value"])["effect"]
    errors = model.effects.set_index(["axis", "value"])["error"]
    difference = effects["skip", "true"] - effects["skip", "false"]
    assert difference == pytest.approx(0.35, abs=0.02)
    # Channels make designs larger, and better only by that: the mean PSNR differs by half a dB, the effect does not.
    by_channels = frame.groupby("channels")["psnr"].mean()
    assert by_channels[64] - by_channels[16] > 0.5
    assert abs(effects["channels", "64"] - effects["channels", "16"]) < 0.05
    assert (errors < 0.05).all()
    assert 0.5 < model.explained <= 1


def test_two_axes_together_explain_what_neither_explains_alone() -> None:
    frame = trials()
    model = at_equal_cost(frame, frame.attrs["axes"])
    assert model is not None
    found = interaction(frame, model, "unit", "skip").set_index(["first", "second"])
    assert found["count"].sum() == len(frame)
    assert found.loc[("grouped", "true"), "beyond"] == pytest.approx(0.075, abs=0.02)
    assert found.loc[("conv", "true"), "beyond"] == pytest.approx(-0.075, abs=0.02)
    gain = found["together"]["grouped", "true"] - found["together"]["grouped", "false"]
    assert gain == pytest.approx(0.5, abs=0.03)


def test_too_few_designs_have_no_effects() -> None:
    frame = trials(LEAST_TRIALS - 1)
    assert at_equal_cost(frame, frame.attrs["axes"]) is None
    assert at_equal_cost(trials(50).assign(skip=True), ["skip"]) is None


def test_designs_without_an_axis_do_not_count_for_its_effect() -> None:
    frame = trials()
    frame["groups"] = pd.array([4 if unit == "grouped" else None for unit in frame["unit"]], dtype="Int64")
    model = at_equal_cost(frame, ["unit", "groups", "skip"])
    assert model is not None
    values = model.effects.groupby("axis")["value"].agg(list)
    assert values["groups"] == ["4"]
    found = interaction(frame, model, "unit", "groups")
    assert found["first"].tolist() == ["grouped"]


def test_rungs_agree_if_the_order_of_designs_stays() -> None:
    ends = np.random.default_rng(0).standard_normal(40)
    curves = [((100, float(end - 1)), (200, float(-end)), (400, float(end))) for end in ends]
    found = rung_agreement(curves).set_index(["first", "second"])["tau"]
    assert found[100, 400] == pytest.approx(1)
    assert found[200, 400] == pytest.approx(-1)
    assert rung_agreement(curves[:3]).empty
    constant = [((100, 26.0), (400, float(end))) for end in ends]
    assert rung_agreement(constant).empty


def test_seeds_are_compared_on_the_designs_they_share() -> None:
    rows = [(f"{key}", seed, 26 + 0.1 * key) for key in range(8) for seed in (0, 1)]
    found = seed_agreement(pd.DataFrame([*rows, ("alone", 0, 27.0)], columns=["key", "seed", "psnr"]))
    assert found[["first", "second", "designs"]].to_numpy().tolist() == [[0, 1, 8]]
    assert found["tau"].iloc[0] == pytest.approx(1)


@pytest.mark.parametrize("objectives", [("psnr", "mult_adds"), ("psnr", "mult_adds", "params"), ("psnr",)])
def test_hypervolume_steps_are_those_of_the_whole_history(objectives: tuple[str, ...]) -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"trial": np.arange(300), "psnr": 25.5 + rng.random(300), "mult_adds": 10 ** rng.uniform(8, 11, 300)}
    )
    frame["params"] = frame["mult_adds"] * rng.uniform(1e-6, 1e-5, 300)
    reference = {"psnr": 25.6, "mult_adds": 40e9, "params": 3e5}
    whole = hypervolume_history(frame, objectives, reference).set_index("evaluation")["hypervolume"]
    steps = hypervolume_steps(frame, objectives, reference)
    assert steps["hypervolume"].to_numpy() == pytest.approx(whole.loc[steps["evaluation"]].to_numpy())
    assert steps["evaluation"].iloc[[0, -1]].tolist() == [1, 300]
    filled = steps.set_index("evaluation")["hypervolume"].reindex(whole.index).ffill()
    assert filled.to_numpy() == pytest.approx(whole.to_numpy())
    assert hypervolume_steps(frame.head(0), objectives, reference).empty


def test_the_pace_counts_every_evaluation_once() -> None:
    start = datetime(2026, 5, 4, tzinfo=UTC)
    ends = pd.Series([start + timedelta(seconds=90 * i) for i in range(200)])
    found = per_hour(ends)
    assert (found["rate"] * found["hours"]).sum() == pytest.approx(200)
    assert found["rate"].iloc[:-1].to_numpy() == pytest.approx(40, abs=3)
    assert per_hour(ends.head(1)).empty


def test_an_importance_needs_axes_that_predict_designs_left_out() -> None:
    found = {"signal": 0, "noise": 0}
    for seed in range(2):
        rng = np.random.default_rng(seed)
        trials = smooth(20, 0.02, rng)
        found["signal"] += predicted_share(trials, trials.attrs["axes"]) > least_share(20)
        trials["psnr"] = 27 + 0.05 * rng.standard_normal(20)
        found["noise"] += predicted_share(trials, trials.attrs["axes"]) > least_share(20)
        assert importance(trials, trials.attrs["axes"], evaluator="ped_anova").sum() == pytest.approx(1)
    assert found == {"signal": 2, "noise": 0}
    assert predicted_share(trials.head(7), trials.attrs["axes"]) is None
