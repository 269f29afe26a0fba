"""`register`: the one decorator by which plugins add what is their own."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from srsearch.architecture import registry
from srsearch.architecture.design import Architecture
from srsearch.errors import InputError, suggest
from srsearch.extensions import EXTENSION_KINDS, add_extension, origin
from srsearch.objectives import add_cost

_Registered = TypeVar("_Registered", bound=Callable[..., Any])

_KINDS = (*registry.KINDS, "objective", *EXTENSION_KINDS)


def register(kind: str, name: str | None = None, *, title: str | None = None) -> Callable[[_Registered], _Registered]:
    """Decorator: add a part, an objective, a loss, a schedule or a view of your own.

    Args:
        kind: What it is.

            Before a class of torch modules: ``unit``, ``block``, ``body``, ``upsampler``, ``refinement``, ``entry``,
            ``levels`` or ``activation``.

            Before a function: ``objective``, which maps an `Architecture` to its cost, a number above zero that is the
            same whenever it is computed; ``loss``, which maps the network's images and the photos, both (n, c, h, w),
            to a scalar tensor; ``schedule``, which maps the share of the training done, 0 to 1, to a factor of the
            learning rate; ``view``, which maps a ``ViewContext`` of the live dashboard to a ``Page``.
        name: Its name in space files and links; by default the function's, or the class's in snake_case.
        title: A view's name for people.

    Raises:
        ValueError: Unknown kind, a name already taken, or not what the kind asks for.
    """
    if not isinstance(kind, str):
        raise ValueError(f"write @register with what it registers: {', '.join(_KINDS)}")
    if kind not in _KINDS:
        raise ValueError(f"{kind!r} is not a kind of part; {suggest(kind, _KINDS)}")
    if title is not None and kind != "view":
        raise ValueError(f"{kind} {name or ''}: only views have a title; leave it out")

    def add(registered: Any) -> Any:
        if kind == "objective":
            _add_objective(registered, name)
        elif kind in EXTENSION_KINDS:
            add_extension(kind, registered, name, title)
        else:
            registry.register(kind, name)(registered)
        return registered

    return add


def _add_objective(function: Callable[[Architecture], float], name: str | None) -> None:
    """Add a function to the table of objectives; its values are kept by the design's key."""
    if isinstance(function, type) or not callable(function):
        raise ValueError(f"@register('objective') stands before a function of a design, not before {function!r}")
    objective = name or function.__name__
    values: dict[str, float] = {}

    def measure(key: str, description: Mapping[str, Any]) -> float:
        if key not in values:
            values[key] = _checked_cost(objective, key, function(Architecture.from_dict(description)))
        return values[key]

    add_cost(objective, measure, origin(function))


def _checked_cost(objective: str, key: str, value: Any) -> float:
    """A cost as a plain number.

    Raises:
        InputError: Not a finite number above zero.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise InputError(
            f"objective {objective!r} is {value!r} for the design {key[:8]}; it must be a number above zero"
        )
    return int(value) if isinstance(value, numbers.Integral) else float(value)
