"""The axes of a space as Optuna parameters: ordered values as integer positions, others as categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from srsearch.architecture.registry import OptionValue
from srsearch.space import Axis, Space


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution for every axis, by name."""
    return {axis.name: _distribution(axis) for axis in space.axes}


def suggest_axes(trial: optuna.Trial, space: Space) -> dict[str, OptionValue]:
    """Let an Optuna trial suggest a value for every axis that exists, given the values before it."""
    chosen: dict[str, OptionValue] = {}
    for axis in space.axes:
        if axis.exists(chosen):
            chosen[axis.name] = _suggest(trial, axis)
    return chosen


def encoded(space: Space, axes: Mapping[str, OptionValue]) -> dict[str, Any]:
    """Convert values of axes to Optuna parameters."""
    return {
        axis.name: axis.values.index(axes[axis.name]) if axis.ordered else axes[axis.name]
        for axis in space.axes
        if axis.name in axes
    }


def decoded(space: Space, parameters: Mapping[str, Any]) -> dict[str, OptionValue]:
    """Convert Optuna parameters to values of axes."""
    return {
        axis.name: axis.values[parameters[axis.name]] if axis.ordered else parameters[axis.name]
        for axis in space.axes
        if axis.name in parameters
    }


def _distribution(axis: Axis) -> BaseDistribution:
    # Integer positions tell samplers that 24 lies between 16 and 32.
    return IntDistribution(0, len(axis.values) - 1) if axis.ordered else CategoricalDistribution(axis.values)


def _suggest(trial: optuna.Trial, axis: Axis) -> OptionValue:
    if axis.ordered:
        return axis.values[trial.suggest_int(axis.name, 0, len(axis.values) - 1)]
    return cast(OptionValue, trial.suggest_categorical(axis.name, axis.values))
