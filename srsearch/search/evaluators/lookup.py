"""Evaluators by name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from srsearch.errors import InputError, suggest
from srsearch.search.evaluators.base import Evaluator
from srsearch.search.evaluators.proxy import ProxyEvaluator
from srsearch.search.evaluators.synthetic import SyntheticEvaluator
from srsearch.space import Space

_EVALUATORS: dict[str, type[Evaluator]] = {"proxy": ProxyEvaluator, "synthetic": SyntheticEvaluator}


def evaluator_for(space: Space, runtime: Mapping[str, Any] | None, *, device: str) -> Evaluator:
    """The evaluator that a space names; the arguments are those of `Evaluator.from_space`.

    Raises:
        InputError: No such evaluator, or it cannot be made for this space.
    """
    found = evaluator_type(space.proxy.evaluator)
    try:
        return found.from_space(space, runtime, device=device)
    except TypeError as error:
        raise InputError(
            f"evaluator {space.proxy.evaluator!r} cannot be made: {error}; see Evaluator.from_space"
        ) from None


def evaluator_type(name: str) -> type[Evaluator]:
    """``proxy``, ``synthetic``, or a class of the user's as ``module:Class``, importable from the working directory.

    Raises:
        InputError: No such evaluator.
    """
    if name in _EVALUATORS:
        return _EVALUATORS[name]
    module_name, colon, class_name = name.partition(":")
    if not colon:
        raise InputError(f"unknown evaluator {name!r}; {suggest(name, _EVALUATORS)}, or module:Class of your own")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # anything may go wrong in somebody's module
        raise InputError(f"evaluator {name!r} cannot be loaded: {error}") from None
    if not (isinstance(found, type) and issubclass(found, Evaluator)):
        raise InputError(f"evaluator {name!r} is not a subclass of srsearch.search.Evaluator")
    return found
