"""Samplers and early stopping compared by replay of recorded trainings: ``python -m benchmarks.replay``.

`studies/lightweight_x4_trainings.csv.gz` has real trainings with their rung curves. On the surrogate that is fitted to
them (`benchmarks.surrogate`), every feasible design of the space can be trained. On the raw table, only the recorded
designs can be trained: any other proposal is replaced by the nearest design not trained yet, and the sampler gets that
design's result (random search draws from the recorded designs directly). As in a study, infeasible and repeated
proposals are free. Samplers get infeasible ones as pruned, with their constraints, and learn nothing from repeated
ones; after too many in a row, a random new design is taken. Optuna's samplers have Optuna's defaults; those marked
"(ours)" have the settings of `srsearch run`.

The measure is the hypervolume of the true PSNR of the designs trained to the end, over log10 Mult-Adds, with bicubic's
PSNR and the budget as reference, after a number of trainings; with early stopping, after as many steps as these have.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import time
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks import record
from benchmarks.surrogate import Array, Fit, Trainings, raw_table, recorded, steps_of, surrogate
from srsearch.analysis import hypervolume_history
from srsearch.architecture.registry import OptionValue
from srsearch.search import FrontierSampler, suggest_axes
from srsearch.search.model.stopping import EarlyStopping
from srsearch.search.samplers.parameters import distributions, encoded
from srsearch.space import Candidate, Space
from srsearch.store import TrialRecord

SPACE, STEPS = "lightweight_x4", 600
BICUBIC = 27.063370729237622
"""PSNR of bicubic upscaling on the photos that the recorded trainings were validated on."""

TRIALS = 120
SHOWN = (15, 30, 60, 120)
MOST_REJECTED, MOST_REPEATED = 25, 8
"""As in a study: rejected proposals of one ask, and repeats among them, after which a random design is taken."""

History = npt.NDArray[np.float64]
"""(TRIALS,) hypervolume after as many trainings, or after the steps of as many."""

SAMPLERS: dict[str, Callable[[Space, int], BaseSampler]] = {
    "frontier": lambda space, seed: FrontierSampler(space, reference=BICUBIC, seed=seed),
    "random": lambda _, seed: RandomSampler(seed=seed),
    "tpe": lambda _, seed: TPESampler(seed=seed),
    "nsga2": lambda _, seed: NSGAIISampler(seed=seed),
    "gp": lambda _, seed: GPSampler(seed=seed),
    "tpe (ours)": lambda _, seed: TPESampler(seed=seed, multivariate=True, group=True),
    "nsga2 (ours)": lambda _, seed: NSGAIISampler(seed=seed, population_size=20),
}
OURS, STOPPED = "frontier", " + early stopping"
LABELS = (OURS, OURS + STOPPED, *(label for label in SAMPLERS if label != OURS))


@dataclass(frozen=True)
class Proposal:
    """A design to train.

    Attributes:
        index: The design's position among the trainings.
        trial: The Optuna trial that gets its result; None if a trial has to be added.
        attributes: The sampler's system attributes for a trial that is added.
    """

    index: int
    trial: optuna.Trial | None
    attributes: dict[str, Any]


def searched(trainings: Trainings, make: Callable[[Space, int], BaseSampler], seed: int) -> History:
    """Run a search in which every design is trained to the end."""
    rng = np.random.default_rng([seed, 2])
    sampler = make(trainings.space, seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    outcomes = trainings.outcomes(seed)
    taken: dict[int, None] = {}
    while len(taken) < min(TRIALS, len(trainings.truth)):
        if trainings.nearest and isinstance(sampler, RandomSampler):
            taken[_random(trainings, taken, rng)] = None
            continue
        proposal = _proposed(study, trainings, taken, rng)
        index = proposal.index
        taken[index] = None
        values = [float(outcomes[index, -1]), math.log10(trainings.mult_adds[index])]
        if proposal.trial is not None:
            study.tell(proposal.trial, values)
        else:
            axes = trainings.candidates[index].axes
            study.add_trial(_frozen(trainings.space, axes, values=values, system_attrs=proposal.attributes))
    return _history(trainings, [((n + 1) * trainings.steps[-1], index) for n, index in enumerate(taken)])


def _proposed(study: optuna.Study, trainings: Trainings, taken: Container[int], rng: np.random.Generator) -> Proposal:
    """The next design that a sampler proposes for training; rejected proposals are free."""
    space = trainings.space
    rejected = repeated = 0
    while rejected < MOST_REJECTED and repeated < MOST_REPEATED:
        trial = study.ask()
        candidate = _candidate(space, suggest_axes(trial, space))
        if candidate.broken is not None:
            for number, violation in enumerate(candidate.violations):
                trial.set_constraint(str(number), violation)
            study.tell(trial, state=TrialState.PRUNED)
            rejected += 1
            continue
        index = trainings.index.get(candidate.design.key)
        if index is not None and index not in taken:
            return Proposal(index, trial, {})
        study.tell(trial, state=TrialState.FAIL)  # which samplers do not learn from
        if trainings.nearest is not None:
            return Proposal(
                trainings.nearest(candidate, taken),
                None,
                dict(study.get_trials(deepcopy=False)[trial.number].system_attrs),
            )
        rejected, repeated = rejected + 1, repeated + 1
    return Proposal(_random(trainings, taken, rng), None, {})


def _random(trainings: Trainings, taken: Container[int], rng: np.random.Generator) -> int:
    left = [index for index in range(len(trainings.truth)) if index not in taken]
    return left[int(rng.integers(len(left)))]


_known: dict[tuple[str, tuple[tuple[str, Any], ...]], Candidate] = {}


def _candidate(space: Space, axes: Mapping[str, OptionValue]) -> Candidate:
    """`Space.candidate`, cached because thousands of proposals need it."""
    key = space.name, tuple(axes.items())
    if key not in _known:
        _known[key] = space.candidate(axes)
    return _known[key]


def _frozen(space: Space, axes: Mapping[str, OptionValue], **what: Any) -> FrozenTrial:
    params = encoded(space, axes)
    known = distributions(space)
    return create_trial(params=params, distributions={name: known[name] for name in params}, **what)


def stopped_early(trainings: Trainings, sampler: str, seed: int) -> History:
    """Run a search with early stopping, limited by the steps trained."""
    space, steps, outcomes = trainings.space, trainings.steps, trainings.outcomes(seed)
    stopping = EarlyStopping(space, steps=steps[-1], seed=seed, reference=BICUBIC)
    rng = np.random.default_rng([seed, 2])
    chosen = SAMPLERS[sampler](space, seed)
    history: list[TrialRecord] = []
    spent, done = 0, []
    taken: dict[int, None] = {}  # in the order of the trials
    while spent < TRIALS * steps[-1] and len(done) < len(trainings.truth):
        again = stopping.promoted(len(history), history)
        if again is None:
            study = _rebuilt(space, chosen, history)
            index = _proposed(study, trainings, taken, rng).index
            taken[index] = None
            again = len(history)
            history.append(_asked(again, trainings, index))
        index = list(taken)[again]
        for step, psnr in zip(steps, outcomes[index].tolist(), strict=True):
            trial = history[again]
            before = int(trial.curve[-1][0]) if trial.curve else 0
            if step <= before:
                continue
            spent += step - before
            history[again] = replace(trial, state="running", curve=(*trial.curve, (step, psnr)))
            if step == steps[-1]:
                history[again] = replace(history[again], state="complete", psnr=psnr)
                done.append((spent, index))
            elif not stopping.goes_on(again, history):
                history[again] = replace(history[again], state="stopped")  # type: ignore[arg-type]
                break
    return _history(trainings, done)


def _asked(number: int, trainings: Trainings, index: int) -> TrialRecord:
    candidate = trainings.candidates[index]
    assert candidate.cost is not None
    return TrialRecord(
        number=number,
        key=candidate.design.key,
        axes=candidate.axes,
        state="running",
        params=candidate.cost.params,
        mult_adds=candidate.cost.mult_adds,
        activations=candidate.cost.activations,
    )


def _rebuilt(space: Space, sampler: BaseSampler, history: Sequence[TrialRecord]) -> optuna.Study:
    """The trials so far as an Optuna study, in the form in which the search passes them to samplers."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for trial in history:
        assert trial.mult_adds is not None
        curve = {int(step): psnr for step, psnr in trial.curve}
        if trial.state == "complete":
            values = [trial.psnr, math.log10(trial.mult_adds)]
            study.add_trial(_frozen(space, trial.axes, values=values, intermediate_values=curve))
        else:
            study.add_trial(_frozen(space, trial.axes, state=TrialState.PRUNED, intermediate_values=curve))
    return study


def _history(trainings: Trainings, done: Sequence[tuple[int, int]]) -> History:
    """(TRIALS,) hypervolume after the steps of 1, 2, ... trainings.

    Args:
        trainings: The designs.
        done: Total steps at the end of each training, and the index of its design.
    """
    designs = [index for _, index in done]
    rows = pd.DataFrame({"psnr": trainings.truth[designs], "mult_adds": trainings.mult_adds[designs]})
    reference = {"psnr": BICUBIC, "mult_adds": float(trainings.space.budget["mult_adds"])}
    volumes = np.append(0.0, hypervolume_history(rows, ["psnr", "mult_adds"], reference)["hypervolume"].to_numpy())
    ends = np.array([spent for spent, _ in done])
    return np.asarray(volumes[np.searchsorted(ends, trainings.steps[-1] * np.arange(1, TRIALS + 1), side="right")])


@dataclass(frozen=True)
class Results:
    """Hypervolumes of one sampler, (seeds, TRIALS)."""

    histories: History

    @property
    def median(self) -> Array:
        return np.asarray(np.median(self.histories, axis=0))

    def after(self, trials: int) -> str:
        low, median, high = np.percentile(self.histories[:, trials - 1], [25, 50, 75])
        return f"{median:.4f} ({low:.4f}-{high:.4f})"


def reached(ours: Results, volume: float) -> int | None:
    """Return the number of trainings after which the median is at least ``volume``; None if it never is."""
    enough = ours.median >= volume
    return int(np.argmax(enough)) + 1 if enough.any() else None


def replayed(trainings: Trainings, label: str, seeds: int, kept: Path | None) -> Results:
    """Run a sampler's searches with seeds 0, 1, ...; those saved in the folder ``kept`` are not repeated."""
    histories = []
    for seed in range(seeds):
        file = kept / f"{label}-{seed}-{_fingerprint(trainings)}.npy" if kept else None
        if file and file.exists():
            histories.append(np.load(file))
            continue
        sampler = label.removesuffix(STOPPED)
        histories.append(
            stopped_early(trainings, sampler, seed)
            if label.endswith(STOPPED)
            else searched(trainings, SAMPLERS[sampler], seed)
        )
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, histories[-1])
    return Results(np.stack(histories))


def _fingerprint(trainings: Trainings) -> str:
    return hashlib.sha256(trainings.truth.tobytes() + trainings.outcomes(0).tobytes()).hexdigest()[:12]


def table(results: Mapping[str, Results]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        f"| sampler | {' | '.join(f'{n}' for n in SHOWN)} | frontier reaches it after | with early stopping | seeds |",
        "|---|" + "---|" * (len(SHOWN) + 3),
    ]
    for label, result in results.items():
        cells = [result.after(n) for n in SHOWN]
        for rival in (OURS, OURS + STOPPED):
            until = (
                reached(results[rival], result.median[-1]) if rival in results and not label.startswith(OURS) else None
            )
            cells.append("" if until is None else str(until))
        lines.append(f"| {label} | {' | '.join(cells)} | {len(result.histories)} |")
    return "\n".join(lines)


def verdicts(results: Mapping[str, Results]) -> Iterator[str]:
    """Yield a comparison of each measured figure with its limit."""
    for rival, share in (("random", 5), ("tpe", 2), ("nsga2", 2), ("gp", 2)):
        for label, asked in ((OURS, TRIALS // share), (OURS + STOPPED, TRIALS // share // 2)):
            if label in results and rival in results:
                until = reached(results[label], results[rival].median[-1])
                verdict = "reached" if until is not None and until <= asked else "MISSED"
                yield f"{label} against {TRIALS} of {rival}: {until} (asked: at most {asked}) {verdict}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay and print; returns 1 if a limit is missed on the surrogate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("--table", type=Path, default=record.TABLE, help="recorded trainings")
    parser.add_argument("--seeds", type=int, default=20, help="searches of each sampler")
    parser.add_argument("--gp-seeds", type=int, help="of Optuna's GP, which takes seconds for a proposal; 0 for none")
    parser.add_argument("--samplers", default=",".join(LABELS), help=f"of {', '.join(LABELS)}")
    parser.add_argument("--on", choices=("surrogate", "raw", "both"), default="both")
    parser.add_argument("--keep", type=Path, help="a folder to save histories in and to reuse them from")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = Space.from_yaml(SPACE)
    frame = recorded(given.table, space)
    steps = steps_of(frame, STEPS)
    worlds: dict[str, Trainings] = {}
    if given.on != "raw":
        worlds["surrogate"], fit = surrogate(frame, space, steps)
        print(described(fit, len(frame)))
    if given.on != "surrogate":
        worlds["raw"] = raw_table(frame, space, steps)
    missed = False
    for world, trainings in worlds.items():
        begun, results = time.perf_counter(), {}
        for label in given.samplers.split(","):
            seeds = given.seeds if label != "gp" or given.gp_seeds is None else given.gp_seeds
            if seeds:
                results[label] = replayed(trainings, label, seeds, given.keep)
        print(f"\n{world}: {len(trainings.truth)} designs, {TRIALS} trainings; {time.perf_counter() - begun:.0f} s")
        print(f"hypervolume (dB x decades) after so many trainings: median (quartiles)\n\n{table(results)}\n")
        lines = list(verdicts(results))
        print("\n".join(lines))
        missed = missed or (world == "surrogate" and any(line.endswith("MISSED") for line in lines))
    return int(missed)


def described(fit: Fit, trainings: int) -> str:
    """Return the accuracy of the surrogate as a Markdown table."""
    source = f"of {fit.replicated} designs with several seeds" if fit.replicated else "ASSUMED: there are no replicates"
    lines = [f"surrogate of {trainings} trainings; held-out error (10-fold), noise {source}", "", FIT_HEAD]
    rows = zip(fit.steps, fit.deviations, fit.errors, fit.taus, fit.noises, strict=True)
    lines += [f"| {s} | {d:.4f} | {e:.4f} | {t:.2f} | {n:.4f} |" for s, d, e, t, n in rows]
    return "\n".join(lines)


FIT_HEAD = """\
| step | SD over designs, dB | held-out RMSE, dB | held-out Kendall tau | SD of replicates, dB |
|---|---|---|---|---|"""

if __name__ == "__main__":
    sys.exit(main())
