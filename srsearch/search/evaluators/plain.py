"""What an evaluator says of itself, checked and made plain: it is anybody's code, and goes into the database.

Read an evaluator's properties through these functions. Numbers of NumPy become Python's, paths texts, and tuples and
arrays lists; what is no plain data is refused by the property's name.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from srsearch.errors import InputError, WorkError
from srsearch.search.evaluators.base import MAX_SCORE, Evaluator
from srsearch.search.evaluators.cores import Plan
from srsearch.search.processes import describe
from srsearch.space.schema import MAX_WORKERS
from srsearch.space.source import is_text

_FINGERPRINT_LENGTH = 64
_INT_BITS = 1024
"""Whole numbers of more than 300 digits are no settings."""


def recipe_of(evaluator: Evaluator) -> dict[str, Any]:
    """The evaluator's recipe as plain data.

    Raises:
        InputError: It is not a mapping of plain data. The functions below raise it, too.
    """
    return _mapping(evaluator, "recipe")


def runtime_of(evaluator: Evaluator) -> dict[str, Any]:
    """The evaluator's runtime as plain data."""
    return _mapping(evaluator, "runtime")


def data_of(evaluator: Evaluator) -> dict[str, Any]:
    """The description of the evaluator's data as plain data."""
    return _mapping(evaluator, "data")


def fingerprint_of(evaluator: Evaluator) -> str:
    """What identifies the evaluator's data."""
    text = _plain_property(evaluator, "data_fingerprint")
    if not isinstance(text, str) or len(text) > _FINGERPRINT_LENGTH:
        raise _refused(evaluator, "data_fingerprint", f"{text!r} is not a text of at most 64 characters")
    return text


def reference_psnr_of(evaluator: Evaluator) -> float:
    """The PSNR at which the hypervolume starts."""
    value = _plain_property(evaluator, "reference_psnr")
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > MAX_SCORE:
        raise _refused(
            evaluator, "reference_psnr", f"{value!r} is not a number between -{MAX_SCORE:g} and {MAX_SCORE:g}"
        )
    return float(value)


def steps_of(evaluator: Evaluator) -> int | None:
    """The last step that the evaluator reports, or None."""
    value = _plain_property(evaluator, "steps")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise _refused(evaluator, "steps", f"{value!r} is neither a whole number nor None")
    return value or None


def plan_of(evaluator: Evaluator, workers: int | None, say: Callable[[str], None]) -> Plan:
    """How a new study shares this machine, by the evaluator's `Evaluator.plan`."""
    plan = _called(evaluator, "plan", lambda: evaluator.plan(workers, say))
    if not isinstance(plan, Plan):
        raise _refused(evaluator, "plan", f"{plan!r} is not a Plan")
    counts = [_plain(evaluator, "plan", count) for count in (plan.workers, plan.threads)]
    if any(isinstance(count, bool) or not isinstance(count, int) or count < 1 for count in counts):
        raise _refused(evaluator, "plan", f"{plan} has numbers of workers and threads that are not above zero")
    return Plan(min(counts[0], MAX_WORKERS), counts[1])


def _mapping(evaluator: Evaluator, name: str) -> dict[str, Any]:
    plain = _plain_property(evaluator, name)
    if not isinstance(plain, dict):
        raise _refused(evaluator, name, f"{plain!r} is not a mapping of names to values")
    return plain


def _plain_property(evaluator: Evaluator, name: str) -> Any:
    value = _called(evaluator, name, lambda: getattr(evaluator, name))
    try:
        return _plain(evaluator, name, value)
    except RecursionError:
        raise _refused(evaluator, name, "is nested too deeply, or holds itself") from None


def _called(evaluator: Evaluator, name: str, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except (InputError, WorkError):
        raise
    except Exception as error:
        raise _refused(evaluator, name, describe(error)) from error


def _plain(evaluator: Evaluator, where: str, value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    match value:
        case None | bool():
            return value
        case str() if is_text(value):
            return str.__str__(value)
        case numbers.Integral() if int(value).bit_length() <= _INT_BITS:
            return int(value)
        case numbers.Real() if not isinstance(value, numbers.Integral) and math.isfinite(value):
            return float(value)
        case list() | tuple():
            return [_plain(evaluator, f"{where}[{i}]", each) for i, each in enumerate(value)]
        case Mapping() if not any(isinstance(name, tuple) for name in value):
            return {
                str(_plain(evaluator, where, name)): _plain(evaluator, f"{where}[{name!r}]", each)
                for name, each in value.items()
            }
    raise _refused(
        evaluator,
        where,
        f"{value!r} is not plain data; give finite numbers, texts, true or false, None, and lists and mappings of them",
    )


def _refused(evaluator: Evaluator, where: str, why: str) -> InputError:
    return InputError(f"evaluator {type(evaluator).__module__}:{type(evaluator).__qualname__}: {where}: {why}")
