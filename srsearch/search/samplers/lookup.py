"""Samplers by name: one table of those that come with srsearch, and Optuna samplers of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    TPESampler,
)

from srsearch.errors import InputError, suggest
from srsearch.search.own_class import own_class
from srsearch.search.processes import describe
from srsearch.space import Space

_POPULATION = 20


def _no_objection(space: Space) -> str:
    return ""


@dataclass(frozen=True)
class SamplerType:
    """A sampler that can be named in a space file.

    Attributes:
        make: Makes the Optuna sampler for one proposal, from the proposal's seed and the study's; None: the `Proposer`
            proposes by itself.
        learns: Whether it learns from the trials. What such a sampler proposes outside the feasible set tells where to
            look, so the suggest feasible design stands in for it. For the others a random feasible design stands in:
            the suggest would only heap designs at the edge of the budget.
        takes_curves: Whether it can be told the curves of trials in a study of several objectives.
        objection: Why it cannot search a space; an empty text where it can.
    """

    make: Callable[[int, int], BaseSampler] | None = None
    learns: bool = True
    takes_curves: bool = True
    objection: Callable[[Space], str] = _no_objection


def _cmaes_objection(space: Space) -> str:
    words = [axis.name for axis in space.axes if not axis.ordered]
    conditional = [axis.name for axis in space.axes if axis.condition is not None]
    if len(space.objectives) > 1:
        return f"it has one objective, this study {len(space.objectives)} ({', '.join(space.objectives)})"
    if words:
        return f"all its axes are numbers; {_some(words)} {'is' if len(words) == 1 else 'are'} not"
    if conditional:
        return f"all its axes always exist; {_some(conditional)} only under another axis' value"
    if len(space.axes) < 2:
        return f"it needs two axes, this space has {len(space.axes)}"
    return ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


SAMPLER_TYPES: Mapping[str, SamplerType] = {
    "frontier": SamplerType(learns=False),  # it proposes feasible designs only
    "tpe": SamplerType(
        lambda seed, _: TPESampler(seed=seed, multivariate=True, group=True, warn_independent_sampling=False),
        takes_curves=False,  # it orders pruned trials by them, and asks the study for its only objective
    ),
    "nsga2": SamplerType(lambda seed, _: NSGAIISampler(seed=seed, population_size=_POPULATION)),
    "nsga3": SamplerType(lambda seed, _: NSGAIIISampler(seed=seed, population_size=_POPULATION)),
    "random": SamplerType(learns=False),
    "qmc": SamplerType(
        # The study's seed, as a sequence is one only under one seed.
        lambda _, seed: QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
        learns=False,
    ),
    "gp": SamplerType(lambda seed, _: GPSampler(seed=seed, warn_independent_sampling=False)),
    "cmaes": SamplerType(
        # With a margin: without it, axes of few values soon stand still (Hamano et al., GECCO 2022).
        lambda seed, _: CmaEsSampler(seed=seed, with_margin=True, warn_independent_sampling=False),
        objection=_cmaes_objection,
    ),
}
"""The samplers that come with srsearch, by name."""


def sampler_type(name: str) -> SamplerType:
    """Look up a sampler: one of `SAMPLER_TYPES`, or a class of the user's as ``module:Class``.

    A class of the user's is treated as Optuna's learning samplers are.

    Raises:
        InputError: There is no such sampler, or the class is not an Optuna sampler.
    """
    if name in SAMPLER_TYPES:
        return SAMPLER_TYPES[name]
    if ":" not in name:
        raise InputError(f"unknown sampler {name!r}; {suggest(name, SAMPLER_TYPES)}, or module:Class of your own")
    cls = own_class("sampler", name, BaseSampler, "optuna.samplers.BaseSampler")  # type: ignore[type-abstract]
    # Optuna has no curves in studies of several objectives, so a sampler may fail on them.
    return SamplerType(lambda seed, _: _made(name, cls, seed), takes_curves=False)


def _made(name: str, cls: Callable[..., BaseSampler], seed: int) -> BaseSampler:
    try:
        return cls(seed=seed)
    except Exception as error:  # anything may go wrong in somebody's class
        raise InputError(
            f"sampler {name!r} cannot be made: {describe(error)}; "
            "its constructor is called with seed=, a whole number, and nothing else"
        ) from error


def check_sampler(space: Space, name: str) -> None:
    """Check that a sampler can search a space.

    Raises:
        InputError: There is no such sampler, or it cannot; says why, and which can.
    """
    sampler = sampler_type(name)
    if name not in SAMPLER_TYPES and sampler.make is not None:
        sampler.make(0, 0)
    objection = sampler.objection(space)
    if objection:
        others = ", ".join(each for each in SAMPLER_TYPES if not SAMPLER_TYPES[each].objection(space))
        raise InputError(f"the sampler {name} does not apply to {space.name}: {objection}; these do: {others}")
