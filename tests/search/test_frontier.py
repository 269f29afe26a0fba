"""The frontier sampler: its expected gain, its model, and its results."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srsearch.analysis import dominated_volume
from srsearch.analysis.gaussian_process import GaussianProcess
from srsearch.search import FrontierSampler, suggest_axes
from srsearch.search.model.expected_gain import expected_gain
from srsearch.space import Candidate, Space

optuna.logging.set_verbosity(optuna.logging.ERROR)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 2), st.integers(0, 8))
def test_the_expected_gain_is_the_mean_of_simulated_gains(seed: int, costs: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    front = rng.normal(30, 1, size)
    front_costs = rng.uniform(0, 1.1, (size, costs))
    limits, reference = np.ones(costs), 28.5
    means, deviations = rng.normal(30, 1, 3), rng.uniform(0.05, 1.5, 3)
    known = rng.uniform(0, 1.05, (3, costs))
    gains = expected_gain(
        means[:, None], deviations[:, None], known, front[:, None], front_costs, np.array([reference]), limits
    )
    corner = np.append(limits, -reference)
    points = np.column_stack([front_costs, -front])
    before = dominated_volume(points, corner)
    for gain, mean, deviation, cost in zip(gains, means, deviations, known, strict=True):
        # Midpoints of equally likely slices instead of random draws: as exact, with fewer.
        slices = (np.arange(400) + 0.5) / 400
        draws = mean + deviation * np.array([_normal_quantile(each) for each in slices])
        simulated = [dominated_volume(np.vstack([points, np.append(cost, -draw)]), corner) - before for draw in draws]
        assert gain == pytest.approx(np.mean(simulated), rel=0.02, abs=0.004)


def _normal_quantile(share: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)


def test_the_model_finds_what_matters() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.uniform(size=(120, 4))

    def truth(x: Any) -> Any:
        return 28 + np.sin(4 * x[:, 0]) + 0.5 * x[:, 1]

    model = GaussianProcess.fit(inputs, truth(inputs) + 0.03 * rng.standard_normal(120), [0, 1, 2, 3])
    fresh = rng.uniform(size=(200, 4))
    means, deviations = model.predict(fresh)
    errors = means - truth(fresh)
    assert np.sqrt(np.mean(errors**2)) < 0.05
    assert np.mean(np.abs(errors) < 2 * deviations) > 0.8
    assert 0.015 < model.noise_deviation < 0.06
    assert model.lengths[0] < model.lengths[1] < min(model.lengths[2:])
    believed = model.fantasize(fresh[:5], np.full(5, 40.0))
    again, sure = believed.predict(fresh[:5])
    assert np.allclose(again, 40, atol=0.1)
    assert (sure < deviations[:5] + 1e-9).all()


def quality(candidate: Candidate) -> float:
    """A smooth function of the cost with effects of the axes, as in real searches."""
    assert candidate.cost is not None
    effect = {"local": 0.05, "global": 0.02, "both": 0.08}.get(str(candidate.axes["body.cascade.fusion"]), 0.0)
    effect += 0.06 * (candidate.axes["block"] == "residual")
    effect -= 0.02 * math.log2(float(candidate.axes.get("unit.grouped.groups", 1)))
    return 26 + math.log10(1 + candidate.cost.mult_adds / 2e8) + effect


def searched(space: Space, sampler: optuna.samplers.BaseSampler, number: int, seed: int) -> list[tuple[float, float]]:
    """(cost, quality) of the designs that a sampler evaluates; the sampler sees noisy values."""
    noise = np.random.default_rng(seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    found: dict[str, tuple[float, float]] = {}
    while len(found) < number:
        trial = study.ask()
        candidate = space.candidate(suggest_axes(trial, space))
        if candidate.broken is not None or candidate.design.key in found:
            assert not isinstance(sampler, FrontierSampler), "it proposes feasible, new designs only"
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        assert candidate.cost is not None
        value, cost = quality(candidate), math.log10(candidate.cost.mult_adds)
        found[candidate.design.key] = (cost, value)
        study.tell(trial, [value + 0.02 * noise.standard_normal(), cost])
    return list(found.values())


def volume(points: list[tuple[float, float]]) -> float:
    return dominated_volume(np.array([(cost, -value) for cost, value in points]), np.array([math.log10(4e10), -26.0]))


def test_in_a_plain_optuna_study_twenty_trials_find_what_random_search_needs_sixty_for() -> None:
    space = Space.from_yaml("lightweight_x4")
    ours = [volume(searched(space, FrontierSampler(space, seed=s), 20, s)) for s in range(3)]
    random = [volume(searched(space, optuna.samplers.RandomSampler(seed=s), 60, s)) for s in range(3)]
    assert np.median(ours) > np.median(random)


def test_the_same_seed_and_history_give_the_same_design_and_parallel_asks_different_ones() -> None:
    space = Space.from_yaml("mobile_x4")
    chosen = []
    for _ in range(2):
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=FrontierSampler(space, seed=5))
        for _ in range(12):
            trial = study.ask()
            cost = space.candidate(suggest_axes(trial, space)).cost
            assert cost is not None
            study.tell(trial, [26 + math.log10(cost.mult_adds / 1e8), math.log10(cost.mult_adds)])
        waiting = [suggest_axes(study.ask(), space) for _ in range(4)]
        assert len({space.candidate(axes).design.key for axes in waiting}) == 4
        chosen.append(waiting)
    assert chosen[0] == chosen[1]


def test_a_constant_objective_and_a_single_design_raise_nothing() -> None:
    space = Space.from_yaml("efficiency_x2")
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=FrontierSampler(space, seed=0))
    for _ in range(15):
        trial = study.ask()
        assert space.candidate(suggest_axes(trial, space)).broken is None
        study.tell(trial, [30.0, 10.0])


def test_a_space_of_one_design_has_nothing_to_suggest() -> None:
    space = Space.from_dict({"name": "one", "scale": 4, "architecture": {"channels": 8}})
    study = optuna.create_study(sampler=FrontierSampler(space, seed=0))
    assert suggest_axes(study.ask(), space) == {}
