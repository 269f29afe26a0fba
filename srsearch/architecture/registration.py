"""`register`: the decorator with which plugins add parts, objectives, losses, schedules and views."""

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
    """Decorator that registers a class as a part, or a function as an objective, a loss, a schedule or a view.

    Args:
        kind: For a subclass of ``torch.nn.Module``, the kind of part: ``unit``, ``block``, ``body``, ``upsampler``,
            ``refinement``, ``entry``, ``levels`` or ``activation``. For a function, one of:

            - ``objective``: takes an `Architecture` and returns its cost, a number above zero. It must always return
              the same number for the same design.
            - ``loss``: takes the network's images and the photos, both (n, c, h, w), and returns a scalar tensor.
            - ``schedule``: takes the share of the training that is done, between 0 and 1, and returns a factor of the
              learning rate.
            - ``view``: takes a `srsearch.dashboard.live.views.ViewContext` and returns a page of the live dashboard.
        name: The name in YAML, tables and links; by default the class's name in snake_case, or the function's name.
        title: The heading that people read; only for views.

    Raises:
        ValueError: Unknown kind, a name already taken, a title for anything but a view, a class in the place of a
            function or the reverse, or a constructor that cannot be read as a declaration.
    """
    if not isinstance(kind, str):
        raise ValueError(f"write @register with the kind to register: {', '.join(_KINDS)}")
    if kind not in _KINDS:
        raise ValueError(f"{kind!r} is not a kind that can be registered; {suggest(kind, _KINDS)}")
    if title is not None and kind != "view":
        raise ValueError(f"{kind} {name or ''}: only views have a title; remove it")

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
    """Add a function to the table of objectives. Its values are cached by the design's key."""
    if isinstance(function, type) or not callable(function):
        raise ValueError(f"@register('objective') decorates a function of a design, not {function!r}")
    objective = name or function.__name__
    values: dict[str, float] = {}

    def measure(key: str, description: Mapping[str, Any]) -> float:
        if key not in values:
            design = Architecture.from_dict(description)
            try:
                value = function(design)
            except Exception as error:
                told = f"{type(error).__name__}: {error}"
                raise InputError(f"objective {objective!r} failed for the design {key[:8]}: {told}") from error
            values[key] = _checked_cost(objective, key, value)
        return values[key]

    add_cost(objective, measure, origin(function))


def _checked_cost(objective: str, key: str, value: Any) -> float:
    """Return a cost as a plain int or float.

    Raises:
        InputError: The value is not a finite number above zero.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise InputError(
            f"objective {objective!r} is {value!r} for the design {key[:8]}; it must be a number above zero"
        )
    return int(value) if isinstance(value, numbers.Integral) else float(value)
