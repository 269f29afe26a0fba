"""What networks save per 0.01 dB that they lose."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from srsearch.analysis.advice import Neighbour, Value, changes, knee, suggestions
from srsearch.analysis.effects import at_equal_cost
from srsearch.analysis.tradeoff import printed_tradeoffs, tradeoff
from srsearch.space import Space
from tests.support.commands import Command


def test_all_56_printed_tradeoffs_follow_from_the_costs_and_psnrs_of_their_tables() -> None:
    rows = printed_tradeoffs()
    printed = [value for row in rows for value in (row.mult_adds, row.params)]
    computed = [value for row in rows for value in (row.computed.mult_adds_per_loss, row.computed.params_per_loss)]
    assert len(printed) == 56
    for theirs, ours in zip(printed, computed, strict=True):
        digits = len(f"{theirs!r}".partition(".")[2])
        assert round(ours or 0, digits) == theirs


def test_a_network_that_loses_nothing_has_no_price() -> None:
    better = tradeoff((20e9, 500e3), (10e9, 200e3), {"Set5": -0.1, "Set14": 0.05})
    assert (better.mult_adds, better.params) == (10, 300)
    assert better.mult_adds_per_loss is None
    assert better.params_per_loss is None
    worse = tradeoff((20e9, 500e3), (10e9, 200e3), {"Set5": 0.1, "Set14": 0.1})
    assert worse.mult_adds_per_loss == pytest.approx(0.5)
    assert worse.params_per_loss == pytest.approx(15)


def space_of_two_axes(axis: str, chosen: Mapping[str, Value]) -> bool:
    return axis != "unit.grouped.groups" or chosen["unit"] == "grouped"


def test_every_axis_is_changed_alone_with_the_options_that_come_and_go() -> None:
    values = {"channels": (16, 32), "unit": ("conv", "grouped"), "unit.grouped.groups": (2, 4)}
    found = list(changes({"channels": 32, "unit": "conv"}, values, space_of_two_axes))
    assert [changed for _, changed in found] == [
        {"channels": 16},
        {"unit": "grouped", "unit.grouped.groups": 2},
        {"unit": "grouped", "unit.grouped.groups": 4},
    ]
    back = list(changes({"channels": 32, "unit": "grouped", "unit.grouped.groups": 4}, values, space_of_two_axes))
    assert ({"channels": 32, "unit": "conv"}, {"unit": "conv"}) in back
    assert len(back) == 3


def study(noise: float) -> pd.DataFrame:
    """Designs with a skip that gains 0.1 dB for nothing, and groups that cost 0.05 dB and halve the cost."""
    rng = np.random.default_rng(0)
    grid = list(itertools.product((16, 24, 32, 48, 64), (1, 2), (True, False), range(3)))
    frame = pd.DataFrame(grid, columns=["channels", "groups", "skip", "copy"])
    frame["mult_adds"] = 1e7 * frame["channels"] ** 2 / frame["groups"] * (1 + 0.01 * frame["copy"])
    frame["params"] = frame["mult_adds"] / 1e5
    frame["psnr"] = 27 + 0.2 * np.log10(frame["mult_adds"] / 1e9) + 0.1 * frame["skip"] + 0.05 * (frame["groups"] == 1)
    frame["psnr"] += noise * rng.standard_normal(len(frame))
    frame["trial"], frame["state"], frame["key"] = range(len(frame)), "complete", [f"k{n}" for n in range(len(frame))]
    frame.attrs["axes"] = ["channels", "groups", "skip"]
    return frame


def test_advice_finds_what_was_put_into_a_study() -> None:
    frame = study(0.005)
    baseline = frame[(frame["channels"] == 64) & (frame["groups"] == 1) & frame["skip"]].iloc[0]
    own = {"channels": 64, "groups": 1, "skip": True}
    costs = {"channels": (0.25, 32), "groups": (0.5, 2)}
    neighbours = [
        Neighbour(
            {**own, axis: value},
            {axis: value},
            "k0",
            round(baseline["mult_adds"] * share),
            round(baseline["params"] * share),
        )
        for axis, (share, value) in costs.items()
    ]
    rated = suggestions(frame, baseline, neighbours)
    assert rated is not None
    loss = {next(iter(each.neighbour.changed)): each for each in rated}
    assert loss["channels"].predicted.loss == pytest.approx(0.2 * np.log10(4), abs=0.01)
    assert loss["groups"].predicted.loss == pytest.approx(0.05 + 0.2 * np.log10(2), abs=0.01)
    saved = baseline["mult_adds"] / 1e9 * 0.5 / (100 * (0.05 + 0.2 * np.log10(2)))
    per_loss = loss["groups"].per_loss
    assert per_loss is not None
    assert per_loss[0] == pytest.approx(saved, rel=0.1)
    assert 0 < per_loss[1] < 0.1 * saved


def test_no_saving_per_loss_is_claimed_within_the_noise() -> None:
    frame = study(0.5)
    baseline = frame[(frame["channels"] == 64) & (frame["groups"] == 1) & frame["skip"]].iloc[0]
    changed = Neighbour({"channels": 64, "groups": 2, "skip": True}, {"groups": 2}, "?", 20_480_000_000, 204_800)
    rated = suggestions(frame, baseline, [changed])
    assert rated is not None
    assert rated[0].free
    assert rated[0].per_loss is None


def test_axes_without_an_effect_explain_nothing() -> None:
    frame = study(0.02)
    frame["psnr"] = 27 + 0.2 * np.log10(frame["mult_adds"] / 1e9)
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        some = frame.sample(30, random_state=seed)
        model = at_equal_cost(some.assign(psnr=some["psnr"] + 0.02 * rng.standard_normal(30)), frame.attrs["axes"])
        assert model is not None
        shares.append(model.explained)
    assert np.median(shares) < 0.1
    effective = at_equal_cost(study(0.005), frame.attrs["axes"])
    assert effective is not None
    assert effective.explained > 0.95


def test_the_knee_is_where_a_front_bends() -> None:
    front = pd.DataFrame({"mult_adds": [1e9, 2e9, 4e9, 16e9], "psnr": [27.0, 27.6, 27.7, 27.8]})
    bend = knee(front)
    assert bend is not None
    assert bend["mult_adds"] == 2e9
    assert knee(front.head(2)) is None
    assert knee(pd.DataFrame({"mult_adds": [1e9, 10e9, 100e9], "psnr": [27.0, 27.1, 27.9]})) is None


def test_advise_on_the_recorded_study(srsearch: Command) -> None:
    database = Path(__file__).parents[2] / "studies" / "lightweight_x4_example.db"
    found = srsearch("advise", "--storage", f"{database}", "--json")
    document = json.loads(found.stdout)
    space = Space.from_yaml("lightweight_x4")
    baseline = document["baseline"]
    assert document["changes"]
    for change in document["changes"]:
        axes = {axis.name: baseline.get(axis.name) for axis in space.axes if baseline.get(axis.name) is not None}
        changed = axes | change["changed"]
        assert space.candidate(changed).design.key == change["key"]
        assert change["predicted"]["mult_adds_saved_g"] == pytest.approx(
            (baseline["mult_adds"] - change["mult_adds"]) / 1e9
        )
        assert (change["mult_adds_saved_g_per_0.01db"] is None) == (not change["loss_is_certain"])
    assert {finding["source"] for finding in document["findings"]} == {"PCARN paper, Table I"}
    text = srsearch("advise", "--storage", f"{database}").stdout
    assert "one axis at a time" in text
    assert "knee of the front" in text
    wrong = srsearch("advise", "--storage", f"{database}", "--baseline", "999")
    assert wrong.returncode == 2
    assert "no finished trial 999" in wrong.stderr
