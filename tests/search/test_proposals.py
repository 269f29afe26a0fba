"""The proposer: what samplers are told, what they propose, and which spaces they apply to."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest

from srsearch.errors import InputError
from srsearch.search.samplers.lookup import check_sampler, sampler_type
from srsearch.search.samplers.parameters import suggest_axes
from srsearch.search.samplers.proposer import Acceptance, Proposer, proposal_seed
from srsearch.space import Candidate, Space
from srsearch.store import State, TrialRecord

SAMPLERS = ("frontier", "tpe", "nsga2", "nsga3", "random", "qmc", "gp")

NUMBERS: dict[str, Any] = {
    "name": "numbers",
    "scale": 4,
    "architecture": {
        "channels": [8, 12, 16, 20, 24, 32, 40, 48],
        "body": {"cascade": {"groups": [1, 2, 3, 4], "blocks": [1, 2, 3, 4]}},
    },
    "objectives": ["psnr"],
    "proxy": {"evaluator": "synthetic"},
    "search": {"sampler": "cmaes"},
}
CURVE = ((75, 24.0), (150, 25.0), (300, 25.5), (600, 26.0))


def quality(candidate: Candidate) -> float:
    """Quality with its maximum at 40 channels, 4 groups and 1 block, far from where searches begin."""
    channels, groups, blocks = (float(candidate.axes.get(name, 2)) for name in _AXES)
    return 28 - (math.log2(channels / 40)) ** 2 - 0.3 * (groups - 4) ** 2 - 0.2 * (blocks - 1) ** 2


_AXES = ("channels", "body.cascade.groups", "body.cascade.blocks")


def record(number: int, candidate: Candidate, state: State, sampler_state: dict[str, Any]) -> TrialRecord:
    psnr = quality(candidate) if state == "complete" else None
    rungs = {"complete": 4, "stopped": 2}.get(state, 0)
    cost = candidate.cost
    return TrialRecord(
        number=number,
        key=candidate.design.key,
        axes=candidate.axes,
        state=state,
        params=cost.params if cost else None,
        mult_adds=cost.mult_adds if cost else None,
        activations=cost.activations if cost else None,
        psnr=psnr,
        curve=CURVE[:rungs],
        sampler_state=sampler_state,
    )


def searched(proposer: Proposer, number: int, *, stops: bool = False) -> list[TrialRecord]:
    """The trials of a study as a run makes them: with rejected proposals, and some trials stopped or failed."""
    history: list[TrialRecord] = []
    seen: set[str] = set()
    fates: tuple[State, ...] = ("complete", "complete", "stopped", "failed", "running") if stops else ("complete",)
    while len(history) < number:
        candidate, state = proposer.propose(len(history), history)
        verdict: State = "complete"
        if candidate.broken is not None:
            verdict = "infeasible"
        elif candidate.design.key in seen:
            verdict = "repeated"
        else:
            verdict = fates[len(seen) % len(fates)]
        if candidate.broken is None:
            seen.add(candidate.design.key)
        history.append(record(len(history), candidate, verdict, state))
    return history


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_accepts_stopped_and_failed_trials(small_space: Space, sampler: str) -> None:
    history = searched(Proposer(small_space, sampler, 3, 20.0), 30, stops=True)
    assert {"stopped", "failed", "complete"} <= {trial.state for trial in history}
    # Mostly stopped ones: what there is to learn from is little, and enough.
    stopped = [replace(t, state="stopped", psnr=None, curve=CURVE[:1]) if t.number % 4 else t for t in history]
    candidate, _ = Proposer(small_space, sampler, 3, 20.0).propose(30, stopped)
    assert set(candidate.axes) <= {axis.name for axis in small_space.axes}


@pytest.mark.parametrize("sampler", [*SAMPLERS, "cmaes"])
def test_a_proposer_that_knows_the_trials_proposes_like_a_new_one(small_space: Space, sampler: str) -> None:
    space = Space.from_dict(NUMBERS) if sampler == "cmaes" else small_space
    old = Proposer(space, sampler, 3, 20.0)
    history = searched(old, 16, stops=True)
    # A stopped trial is taken up again, and finished; the running ones end.
    for state in ("running", "complete"):
        history = [
            replace(t, state=state, psnr=25.0 if state == "complete" else None)  # type: ignore[arg-type]
            if t.state in ("stopped", "running")
            else t
            for t in history
        ]
        found = [proposer.propose(16, history) for proposer in (old, Proposer(space, sampler, 3, 20.0))]
        assert found[0][0].axes == found[1][0].axes
        assert found[0][1] == found[1][1]
    # Another run may have taken the numbers of trials that could not be stored.
    swapped = [replace(t, axes=history[15 - t.number].axes) for t in history[::-1]][::-1]
    swapped = [replace(t, state="complete", psnr=20.0 + t.number, mult_adds=10**9) for t in swapped]
    found = [proposer.propose(16, swapped) for proposer in (old, Proposer(space, sampler, 3, 20.0))]
    assert found[0][0].axes == found[1][0].axes


@pytest.mark.filterwarnings("ignore")  # Optuna announces what is experimental in it
@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "qmc", "gp"])
def test_samplers_are_told_what_optunas_own_storage_would_tell_them(small_space: Space, sampler: str) -> None:
    proposer = Proposer(small_space, sampler, 5, 20.0)
    history = searched(proposer, 25, stops=True)
    expected = _by_optunas_storage(small_space, sampler, 5, history)
    assert proposer.propose(25, history)[0].axes == expected


def _by_optunas_storage(space: Space, sampler: str, seed: int, history: Sequence[TrialRecord]) -> dict[str, Any]:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(
        storage=storage,
        study_name="theirs",
        sampler=sampler_type(sampler).make(proposal_seed(seed, 25), seed),
        directions=["maximize", "minimize"],
    )
    told = Proposer(space, sampler, seed, 20.0)
    for trial in told._trials(history):
        study.add_trial(trial)
    for trial in history:
        for name, value in trial.sampler_state["study"].items():
            storage.set_study_system_attr(study._study_id, name, value)
    return suggest_axes(study.ask(), space)


def test_cma_es_finds_the_best_numbers_and_its_optimizer_is_kept_with_the_trials() -> None:
    space = Space.from_dict(NUMBERS)
    history = searched(Proposer(space, "cmaes", 1), 70)
    best = max((t for t in history if t.state == "complete"), key=lambda t: t.psnr or 0)
    assert best.psnr is not None
    assert best.psnr > 27.5
    kept = [t for t in history if any(name.startswith("cmawm:optimizer") for name in t.sampler_state["trial"])]
    assert kept, "the optimizer has learned"
    # Later proposals are better than the first: it is not a random search.
    values = [quality(space.candidate(t.axes)) for t in history]
    assert np.mean(values[-20:]) > np.mean(values[:20]) + 0.7


def test_code_in_a_foreign_database_is_not_run() -> None:
    space = Space.from_dict(NUMBERS)
    history = searched(Proposer(space, "cmaes", 1), 12)

    class Malicious:
        def __reduce__(self) -> Any:
            return (print, ("this must not be printed",))

    for poison in (pickle.dumps(Malicious()).hex(), "not even hexadecimal", 7):
        state = {"trial": {"cmawm:optimizer:0": poison}, "study": {}}
        with pytest.raises(InputError, match="is not its optimizer"):
            Proposer(space, "cmaes", 1).propose(12, [*history[:-1], replace(history[-1], sampler_state=state)])


CONDITIONAL = {"cascade": {"groups": [1, 2]}}, {"chain": {"blocks": [2, 4]}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": ["psnr", "params"]}, r"one objective, this study 2 \(psnr, params\)"),
        ({"architecture": {"channels": [8, 16], "block": ["residual", "plain"]}}, "all its axes are numbers; block is"),
        ({"architecture": {"channels": [8, 16], "global_skip": [True, False]}}, "global_skip is not"),
        ({"architecture": {"channels": [8, 16], "body": list(CONDITIONAL)}}, "body is not"),
        ({"architecture": {"channels": [8, 16]}}, "needs two axes, this space has 1"),
    ],
)
def test_cma_es_applies_where_all_axes_are_numbers(changes: dict[str, Any], message: str) -> None:
    check_sampler(Space.from_dict(NUMBERS), "cmaes")
    space = Space.from_dict(NUMBERS | changes)
    with pytest.raises(InputError, match=message + r".*; these do: frontier, tpe, nsga2, nsga3, random, qmc, gp"):
        Proposer(space, "cmaes", 0)
    check_sampler(space, "tpe")


def test_the_nearest_name_is_suggested_for_an_unknown_sampler(small_space: Space) -> None:
    with pytest.raises(InputError, match="unknown sampler 'cma-es'; did you mean 'cmaes'"):
        check_sampler(small_space, "cma-es")


def test_acceptance_counts_what_the_sampler_proposed(small_space: Space) -> None:
    assert math.isnan(Acceptance.of([]).share)
    history = searched(Proposer(small_space, "random", 0), 60)
    found = Acceptance.of(history)
    assert found.proposed == 60
    assert found.infeasible == sum(t.state == "infeasible" for t in history) > 0
    assert found.repeated == sum(t.state == "repeated" for t in history) > 0
    assert found.share == found.taken / 60 == sum(t.state == "complete" for t in history) / 60
    # Published networks and random designs come from no sampler, repaired ones are not what it proposed.
    others = [replace(history[0], sampler_state={}), replace(history[0], sampler_state={"repaired": True, "trial": {}})]
    assert Acceptance.of([*history, *others]) == found
    assert str(Acceptance(3, 0, 1)) == "3 of 4 proposals feasible and new (1 repeated)"
