"""What to change in a design: each axis value, changed alone, with what it saves for the quality that it loses.

The costs of a changed design are exact. Its quality is measured where the study has evaluated the design, and always
predicted by the model of `srsearch.analysis.effects`: the trend over costs plus the effects of the axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from srsearch.analysis.effects import at_equal_cost
from srsearch.analysis.noise import Noise
from srsearch.analysis.tradeoff import Tradeoff, tradeoff

Value: TypeAlias = int | float | bool | str
"""A value of an axis."""

CERTAIN = 2.0
"""Standard errors by which a loss has to exceed zero before a saving is divided by it."""


@dataclass(frozen=True)
class Neighbour:
    """A design that differs from the baseline in one axis, and in the options that come with its new value.

    Attributes:
        axes: Its values by axis.
        changed: The axes that differ, with their values: first the axis that was changed.
        key: The design's key.
        mult_adds: Its Mult-Adds.
        params: Its parameters.
    """

    axes: Mapping[str, Value]
    changed: Mapping[str, Value]
    key: str
    mult_adds: int
    params: int


@dataclass(frozen=True)
class Suggestion:
    """A change of one axis.

    Attributes:
        neighbour: The changed design.
        before: The baseline's value on the axis; None if the baseline has no such axis.
        predicted: What the change saves, with the predicted loss.
        error: Standard error of the predicted loss, in the quality's unit.
        measured: What the change saves, with the measured loss; None if the study has not evaluated the design.
        measured_error: Standard error of the measured loss from training noise; None if unknown.
    """

    neighbour: Neighbour
    before: Value | None
    predicted: Tradeoff
    error: float
    measured: Tradeoff | None
    measured_error: float | None

    @property
    def free(self) -> bool:
        """Whether the loss cannot be told from zero, so that no saving per loss is claimed."""
        return self.predicted.loss < CERTAIN * self.error

    @property
    def per_loss(self) -> tuple[float, float] | None:
        """G Mult-Adds saved per 0.01 dB of predicted loss, and its standard error; None if the loss may be zero."""
        value = self.predicted.mult_adds_per_loss
        if value is None or self.free:
            return None
        return value, abs(value) * self.error / self.predicted.loss


def suggestions(
    trials: pd.DataFrame,
    baseline: pd.Series,
    neighbours: Sequence[Neighbour],
    *,
    noise: Noise | None = None,
    quality: str = "psnr",
) -> list[Suggestion] | None:
    """Rate the changes of one axis that make a design cheaper.

    Args:
        trials: One row per design, from `srsearch.store.Store.trials`; ``attrs["axes"]`` names the columns of the axes.
        baseline: The row of the design to change.
        neighbours: The designs to rate, from `changes`. Those that save no Mult-Adds, have a value that no finished
            design has, or lie outside the costs of the finished designs, are left out.
        noise: Training noise of the quality; None if unknown.
        quality: ``psnr`` or ``ssim``.

    Returns:
        The suggestions: first those whose loss cannot be told from zero, by the Mult-Adds that they save; then the
        others, by the Mult-Adds that they save per loss. None if there are too few designs for the model.
    """
    axes = list(trials.attrs["axes"])
    model = at_equal_cost(trials, axes, quality=quality)
    if model is None:
        return None
    cost = float(baseline["mult_adds"]), float(baseline["params"])
    own = {axis: baseline[axis] for axis in axes if not _missing(baseline[axis])}
    complete = {row["key"]: row for _, row in trials[trials[quality].notna()].iterrows()}
    rated = []
    for each in neighbours:
        if each.mult_adds >= cost[0] or not model.knows(each.axes, each.mult_adds):
            continue
        change, error = model.change((own, cost[0]), (each.axes, each.mult_adds))
        spent = float(each.mult_adds), float(each.params)
        measured = measured_error = None
        row = complete.get(each.key)
        if row is not None:
            measured = tradeoff(cost, spent, float(baseline[quality]) - float(row[quality]))
            if noise is not None:
                measured_error = noise.deviation * math.sqrt(1 / _seeds(baseline) + 1 / _seeds(row))
        before = own.get(next(iter(each.changed)))
        rated.append(Suggestion(each, before, tradeoff(cost, spent, -change), error, measured, measured_error))
    return sorted(rated, key=_order)


def changes(
    axes: Mapping[str, Value],
    values: Mapping[str, Sequence[Value]],
    exists: Callable[[str, Mapping[str, Value]], bool],
) -> Iterator[tuple[dict[str, Value], dict[str, Value]]]:
    """Change each axis alone to each of its other values.

    A new value may bring options of its own: each combination of them is a change of its own. Options that the old
    value had go away.

    Args:
        axes: The values to change, by axis.
        values: The values of all axes of the space, in its order: an axis comes before those that depend on it.
        exists: Whether an axis exists under the values of the axes before it.

    Yields:
        The new values by axis, and those of them that differ.
    """
    for axis, own in axes.items():
        for value in values[axis]:
            if value != own:
                for changed in _completed({}, list(values), {**axes, axis: value}, values, exists):
                    new = {name: changed[name] for name in changed if name not in axes or changed[name] != axes[name]}
                    yield changed, {axis: value, **new}


def knee(front: pd.DataFrame, *, cost: str = "mult_adds", quality: str = "psnr") -> pd.Series | None:
    """Return the knee of a front: the design farthest above the line between its two ends.

    The cost is taken by its logarithm; both axes are scaled to 0..1. Source: Das, On characterizing the "knee" of the
    Pareto curve based on normal-boundary intersection (1999), in two dimensions.

    Args:
        front: The front's rows, cheapest first.
        cost: Column of the cost.
        quality: Column of the quality.

    Returns:
        The row; None if the front has fewer than three designs, or none above the line.
    """
    if len(front) < 3:
        return None
    logs = [math.log(value) for value in front[cost]]
    heights = front[quality].astype(float).tolist()
    if logs[-1] == logs[0] or heights[-1] == heights[0]:
        return None
    above = [
        (height - heights[0]) / (heights[-1] - heights[0]) - (log - logs[0]) / (logs[-1] - logs[0])
        for log, height in zip(logs, heights, strict=True)
    ]
    best = max(range(len(above)), key=above.__getitem__)
    return front.iloc[best] if above[best] > 0 else None


def _completed(
    chosen: dict[str, Value],
    rest: list[str],
    wanted: Mapping[str, Value],
    values: Mapping[str, Sequence[Value]],
    exists: Callable[[str, Mapping[str, Value]], bool],
) -> Iterator[dict[str, Value]]:
    """All ways to fill the axes that are left: as wanted, or with each value where nothing is wanted."""
    if not rest:
        yield chosen
        return
    axis, *others = rest
    if not exists(axis, chosen):
        yield from _completed(chosen, others, wanted, values, exists)
        return
    for value in [wanted[axis]] if axis in wanted else values[axis]:
        yield from _completed({**chosen, axis: value}, others, wanted, values, exists)


def _order(suggestion: Suggestion) -> tuple[bool, float]:
    per_loss = suggestion.per_loss
    return per_loss is not None, -(suggestion.predicted.mult_adds if per_loss is None else per_loss[0])


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _seeds(row: pd.Series) -> float:
    seeds: Any = row.get("seeds")
    return 1.0 if _missing(seeds) else float(seeds)
