"""The frontier sampler compared with Optuna's on simulated results, and the time it takes to choose a design.

Simulated PSNR is a smooth function of cost, with effects and interactions of the axes of a few hundredths of a dB.
Samplers see it with noise of 0.03 dB. Infeasible and repeated proposals are free. `benchmarks.replay` compares the
samplers on recorded trainings.

    python -m benchmarks samplers
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import optuna
import pandas as pd
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from srsearch.analysis import hypervolume_history
from srsearch.search import FrontierSampler, suggest_axes
from srsearch.search.samplers.parameters import distributions, encoded
from srsearch.space import Candidate, Space

_NOISE, _REFERENCE = 0.03, 25.9
_TRIALS, _SEEDS = 120, 5


def _effect(text: str, size: float) -> float:
    """A pseudo-random effect between -size and size, fixed for each text."""
    return size * (2 * hashlib.sha256(text.encode()).digest()[0] / 255 - 1)


def _quality(candidate: Candidate) -> float:
    assert candidate.cost is not None
    design = candidate.design
    quality = 26 + math.log10(1 + candidate.cost.mult_adds / 2e8) + 0.1 * math.log10(candidate.cost.params / 1e4)
    for place in ("unit", "block", "upsampler"):
        quality += _effect(f"{place} {getattr(design, place)}", 0.05)
    quality += _effect(design.body.name, 0.06)
    quality += sum(_effect(f"{design.body.name} {name} {value}", 0.03) for name, value in design.body.options)
    return quality + _effect(f"{design.unit.name} {design.block.name}", 0.03)


def _searched(space: Space, sampler: BaseSampler, seed: int) -> np.ndarray:
    """Hypervolume of the noise-free qualities after each evaluation."""
    noise = np.random.default_rng(seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    rows: list[tuple[float, int]] = []
    seen: set[str] = set()
    while len(rows) < _TRIALS:
        trial = study.ask()
        candidate = space.candidate(suggest_axes(trial, space))
        if candidate.cost is None or candidate.broken is not None or candidate.design.key in seen:
            study.tell(trial, state=TrialState.PRUNED)
            continue
        seen.add(candidate.design.key)
        quality = _quality(candidate)
        rows.append((quality, candidate.cost.mult_adds))
        study.tell(trial, [quality + _NOISE * noise.standard_normal(), math.log10(candidate.cost.mult_adds)])
    reference = {"psnr": _REFERENCE, "mult_adds": float(space.budget["mult_adds"])}
    frame = pd.DataFrame(rows, columns=["psnr", "mult_adds"])
    return hypervolume_history(frame, ["psnr", "mult_adds"], reference)["hypervolume"].to_numpy()


def _asking(space: Space, finished: int) -> float:
    """Seconds to choose one design with ``finished`` trials."""
    rng = np.random.default_rng(0)
    sampler = FrontierSampler(space, reference=_REFERENCE, seed=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    assert space.feasible is not None
    for index in rng.permutation(len(space.feasible))[:finished]:
        candidate = space.feasible[int(index)]
        assert candidate.cost is not None
        study.add_trial(
            create_trial(
                params=encoded(space, candidate.axes),
                distributions={name: distributions(space)[name] for name in candidate.axes},
                values=[_quality(candidate) + _NOISE * rng.standard_normal(), math.log10(candidate.cost.mult_adds)],
            )
        )
    suggest_axes(study.ask(), space)  # fills caches
    begun = time.perf_counter()
    for _ in range(3):
        suggest_axes(study.ask(), space)
    return (time.perf_counter() - begun) / 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate and print; returns 1 if choosing a design takes longer than the limit."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers: dict[str, Callable[[Space, int], BaseSampler]] = {
        "frontier": lambda space, seed: FrontierSampler(space, reference=_REFERENCE, seed=seed),
        "tpe": lambda _, seed: TPESampler(seed=seed, multivariate=True, group=True),
        "nsga2": lambda _, seed: NSGAIISampler(seed=seed, population_size=20),
        "random": lambda _, seed: RandomSampler(seed=seed),
    }
    for name in ("lightweight_x4", "mobile_x4"):
        space = Space.from_yaml(name)
        medians = {
            label: np.median([_searched(space, make(space, seed), seed) for seed in range(_SEEDS)], axis=0)
            for label, make in samplers.items()
        }
        ours = medians["frontier"]
        print(f"{name}: hypervolume (dB x decades), medians over {_SEEDS} seeds")
        for label, history in medians.items():
            shown = "  ".join(f"{n}: {history[n - 1]:.3f}" for n in (15, 30, 60, _TRIALS))
            reached = int(np.argmax(ours >= history[-1])) + 1 if (ours >= history[-1]).any() else None
            until = f"frontier reaches the last after {reached}" if label != "frontier" else ""
            print(f"  {label:<9} {shown}  {until}")
    space = Space.from_yaml("mobile_x4")
    slow = False
    for finished, limit in ((100, 0.5), (1000, 0.5), (10_000, 1.0)):
        seconds = _asking(space, finished)
        slow = slow or seconds >= limit
        print(f"frontier, {finished} finished trials: {1000 * seconds:.0f} ms to choose a design (asked: {limit} s)")
    return int(slow)
