"""Early stopping: predictions from rungs, which trials are stopped, and which are continued."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from srsearch.analysis import dominated_volume
from srsearch.search.model.rungs import RungModel
from srsearch.search.model.stopping import EarlyStopping
from srsearch.space import Candidate, Space
from srsearch.store import TrialRecord

STEPS, RUNGS, REFERENCE = 600, (75, 150, 300), 26.0


@functools.cache
def space() -> Space:
    return Space.from_yaml("lightweight_x4")


@functools.cache
def designs() -> list[Candidate]:
    feasible = space().feasible
    assert feasible is not None
    return [feasible[int(i)] for i in np.random.default_rng(0).permutation(len(feasible))[:500]]


def mult_adds(candidate: Candidate) -> int:
    assert candidate.cost is not None
    return candidate.cost.mult_adds


def quality(candidate: Candidate) -> float:
    """Final PSNR: a smooth function of the cost with effects of the axes."""
    effect = {"local": 0.05, "global": 0.02, "both": 0.08}.get(str(candidate.axes["body.cascade.fusion"]), 0.0)
    return 26 + math.log10(1 + mult_adds(candidate) / 2e8) + effect + 0.06 * (candidate.axes["block"] == "residual")


def curve(candidate: Candidate, rng: np.random.Generator, final: float | None = None) -> dict[int, float]:
    """PSNR at the rungs: small networks are ahead, and the first rung is almost random."""
    final = quality(candidate) if final is None else final
    late = 0.15 * (math.log10(mult_adds(candidate)) - 9)
    values = {75: 25.5 - late + 0.3 * rng.standard_normal(), 150: final - 0.3 - 2 * late, 300: final - 0.1 - late}
    noise = {75: 0.0, 150: 0.05, 300: 0.01}
    return {step: value + noise[step] * rng.standard_normal() for step, value in values.items()} | {STEPS: final}


def trial(number: int, candidate: Candidate, state: str, values: dict[int, float], until: int = STEPS) -> TrialRecord:
    assert candidate.cost is not None
    return TrialRecord(
        number=number,
        key=candidate.design.key,
        axes=candidate.axes,
        state=state,  # type: ignore[arg-type]
        params=candidate.cost.params,
        mult_adds=candidate.cost.mult_adds,
        activations=candidate.cost.activations,
        psnr=values[STEPS] if state == "complete" else None,
        ssim=0.7 if state == "complete" else None,
        curve=tuple((step, psnr) for step, psnr in values.items() if step <= until),
    )


def finished(count: int) -> list[TrialRecord]:
    rng = np.random.default_rng(1)
    return [trial(i, design, "complete", curve(design, rng)) for i, design in enumerate(designs()[:count])]


def stopping(over: Space | None = None) -> EarlyStopping:
    return EarlyStopping(over or space(), steps=STEPS, seed=0, reference=REFERENCE)


def volume(trials: Iterable[TrialRecord]) -> float:
    """Dominated hypervolume of PSNR and Mult-Adds up to the budget, in dB times decades."""
    points = [(math.log10(t.mult_adds or 0), -(t.psnr or 0.0)) for t in trials if t.state == "complete"]
    return dominated_volume(np.array(points), np.array([math.log10(4e10), -REFERENCE]))


def at_the_last_rung(costs: tuple[float, float], rank: int, count: int = 40) -> TrialRecord:
    """A running trial of the design that would add the ``rank``-th most hypervolume, among designs in a range of costs.

    Designs that would add nothing are ranked by their distance below the front.
    """
    history = finished(count)

    def gain(design: Candidate) -> tuple[float, float]:
        cheaper = [t.psnr or 0.0 for t in history if (t.mult_adds or 0) <= mult_adds(design)]
        done = trial(count, design, "complete", {STEPS: quality(design)})
        return volume([*history, done]) - volume(history), quality(design) - max(cheaper, default=REFERENCE)

    ranked = sorted((d for d in designs()[count:] if costs[0] < mult_adds(d) < costs[1]), key=gain, reverse=True)
    return trial(count, ranked[rank], "running", curve(ranked[rank], np.random.default_rng(2)), 300)


def test_a_rung_predicts_the_final_psnr_at_any_cost_unless_it_is_uninformative() -> None:
    rng = np.random.default_rng(0)
    some = designs()[:60]
    curves = [curve(design, rng) for design in some]
    finals = np.array([each.pop(STEPS) for each in curves])
    costs = np.log10([[mult_adds(design)] for design in some])
    model = RungModel.fit(finals[:40], curves[:40], costs[:40])
    assert not model.says(75)
    errors = []
    for final, values, cost in zip(finals[40:], curves[40:], costs[40:], strict=True):
        late = model.observation(values, cost)
        early = model.observation({step: psnr for step, psnr in values.items() if step <= 150}, cost)
        assert late is not None
        assert early is not None
        assert 0.007 < late[1] < 0.03 < early[1] < 0.1
        errors.append((late[0] - final) / late[1])
        assert model.observation({75: values[75]}, cost) is None
    assert np.sqrt(np.mean(np.square(errors))) < 1.6
    assert not RungModel.fit(finals[:4], curves[:4], costs[:4]).rungs


@pytest.mark.parametrize("costs", [(1e9, 5e9), (1.5e10, 4e10)])
def test_trials_are_judged_against_the_front_not_by_their_size(costs: tuple[float, float]) -> None:
    history = finished(40)
    assert stopping().goes_on(40, [*history, at_the_last_rung(costs, 0)])
    assert not stopping().goes_on(40, [*history, at_the_last_rung(costs, -1)])


def test_nothing_is_stopped_early_in_a_study_or_at_an_uninformative_rung() -> None:
    hopeless = at_the_last_rung((2e10, 4e10), -1)
    few = finished(7)
    assert stopping().goes_on(40, [*few, hopeless])
    assert stopping().goes_on(40, [*finished(40), replace(hopeless, curve=hopeless.curve[:1])])
    of_ssim = Space.from_dict(space().to_dict() | {"objectives": ["ssim", "mult_adds"]})
    assert stopping(of_ssim).goes_on(40, [*finished(40), hopeless])


def test_the_most_promising_stopped_trial_is_continued() -> None:
    history = finished(40)
    good, bad = (replace(at_the_last_rung((1e9, 5e9), rank), state="stopped") for rank in (0, -1))  # type: ignore[arg-type]
    bad = replace(bad, number=41)
    assert stopping().promoted(42, [*history, good, bad]) == 40
    assert stopping().promoted(42, [*history, good, bad], [41]) is None
    assert stopping().promoted(42, history) is None


@pytest.mark.parametrize(
    ("objectives", "costs"),
    [
        (["psnr"], (2e10, 4e10)),
        (["psnr", "params"], (2e10, 4e10)),
        (["psnr", "ssim", "mult_adds", "params", "activations"], (1e9, 5e9)),
    ],
)
def test_stopping_works_with_all_objectives_beside_psnr(objectives: list[str], costs: tuple[float, float]) -> None:
    over = Space.from_dict(space().to_dict() | {"objectives": objectives})
    history = finished(40)
    assert stopping(over).goes_on(40, [*history, at_the_last_rung(costs, 0)])
    assert not stopping(over).goes_on(40, [*history, at_the_last_rung(costs, -1)])


def test_decisions_are_repeatable_even_with_a_long_history() -> None:
    history = finished(400)
    judged = [at_the_last_rung((5e9, 2e10), rank, 400) for rank in (0, 5, -1)]
    again = stopping()
    answers = [again.goes_on(400, [*history, each]) for each in judged]
    assert answers == [stopping().goes_on(400, [*history, each]) for each in judged]
    assert answers[0]
    assert not answers[-1]


def test_a_constant_psnr_stops_nothing() -> None:
    history = [
        trial(i, design, "complete", dict.fromkeys((*RUNGS, STEPS), 27.0)) for i, design in enumerate(designs()[:20])
    ]
    assert stopping().goes_on(20, [*history, trial(20, designs()[20], "running", {300: 27.0, STEPS: 27.0}, 300)])


def searched(seed: int, budget: int, *, early: bool) -> float:
    """Hypervolume that random search finds with the steps of a number of trainings."""
    rng = np.random.default_rng(seed)
    order = [designs()[int(i)] for i in rng.permutation(len(designs()))]
    judge, history, left = stopping(), list[TrialRecord](), budget * STEPS
    while left > 0:
        number = judge.promoted(len(history), history) if early else None
        if number is None:
            number = len(history)
            history.append(trial(number, order[number], "running", {STEPS: 0.0}, 0))
        values = curve(order[number], np.random.default_rng([seed, number]))
        begun = history[number].curve[-1][0] if history[number].curve else 0
        for before, step in zip((0, *RUNGS), (*RUNGS, STEPS), strict=True):
            if step <= begun:
                continue
            left -= step - before
            history[number] = trial(number, order[number], "complete" if step == STEPS else "running", values, step)
            if early and step < STEPS and not judge.goes_on(number, history):
                history[number] = replace(history[number], state="stopped")  # type: ignore[arg-type]
                break
    return volume(history)


def test_stopping_lets_random_search_find_more_with_the_same_steps() -> None:
    gains = [searched(seed, 40, early=True) - searched(seed, 40, early=False) for seed in range(3)]
    assert np.median(gains) > 0
