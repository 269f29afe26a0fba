"""Evaluators by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srsearch.errors import InputError, WorkError, suggest
from srsearch.search.evaluators.base import Evaluator
from srsearch.search.evaluators.proxy import ProxyEvaluator
from srsearch.search.evaluators.synthetic import SyntheticEvaluator
from srsearch.search.own_class import own_class
from srsearch.search.processes import describe
from srsearch.space import Space

_EVALUATORS: dict[str, type[Evaluator]] = {"proxy": ProxyEvaluator, "synthetic": SyntheticEvaluator}


def evaluator_for(space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> Evaluator:
    """Make the evaluator that a space names, with the arguments of `Evaluator.from_space`.

    Raises:
        InputError: There is no such evaluator, or it cannot be made for this space.
    """
    cls = evaluator_type(space.proxy.evaluator)
    try:
        return cls.from_space(space, runtime, device=device)
    except (InputError, WorkError):
        raise
    except Exception as error:  # anything may go wrong in somebody's class
        why = str(error) if isinstance(error, TypeError) else describe(error)
        raise InputError(
            f"evaluator {space.proxy.evaluator!r} cannot be made: {why}; see Evaluator.from_space"
        ) from None


def evaluator_type(name: str) -> type[Evaluator]:
    """Look up an evaluator: ``proxy``, ``synthetic``, or a class of the user's as ``module:Class``.

    Raises:
        InputError: There is no such evaluator.
    """
    if name in _EVALUATORS:
        return _EVALUATORS[name]
    if ":" not in name:
        raise InputError(f"unknown evaluator {name!r}; {suggest(name, _EVALUATORS)}, or module:Class of your own")
    return own_class("evaluator", name, Evaluator, "srsearch.search.Evaluator")  # type: ignore[type-abstract]
