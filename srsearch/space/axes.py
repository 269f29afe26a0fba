"""Axes: what a space leaves open, each with its values and the choice under which it exists."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from srsearch.architecture.parts import KINDS, OptionValue
from srsearch.space.schema import PartChoice, Section


@dataclass(frozen=True, slots=True)
class Axis:
    """One open question of a space.

    Attributes:
        name: Its path in the space file, such as ``channels`` or ``body.cascade.groups``.
        values: At least two; numbers ascending.
        condition: The axis and value that it exists under, or None where it always exists.
    """

    name: str
    values: tuple[OptionValue, ...]
    condition: tuple[str, OptionValue] | None = None

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers, for samplers that can use their order."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)

    def exists(self, chosen: Mapping[str, OptionValue]) -> bool:
        """Whether the axis exists under what has been chosen on the axes before it."""
        return self.condition is None or chosen.get(self.condition[0]) == self.condition[1]


class AxisTree:
    """The axes of a space's ``architecture`` section, and what it fixes.

    Attributes:
        axes: Every axis, a choice before the axes that exist under it.
    """

    def __init__(self, section: Section) -> None:
        self._section = section
        axes: list[Axis] = []
        for field in type(section).model_fields:
            values = getattr(section, field)
            if field not in KINDS:
                axes += _axis(field, values, None)
                continue
            names = tuple(part.choice for part in values)
            axes += _axis(field, names, None)
            for part in values:
                condition = (field, part.choice) if len(names) > 1 else None
                for option, inner in part.options.items():
                    axes += _axis(f"{field}.{part.choice}.{option}", inner, condition)
        self.axes = tuple(axes)

    @property
    def combinations(self) -> int:
        """Number of combinations of values, before equal networks are put together and invalid ones taken out."""
        return math.prod(
            sum(math.prod(len(values) for values in part.options.values()) for part in getattr(self._section, field))
            if field in KINDS
            else len(getattr(self._section, field))
            for field in type(self._section).model_fields
        )

    def points(self) -> Iterator[dict[str, OptionValue]]:
        """Every combination of values, in a fixed order: the last axis moves fastest."""
        return self._points(0, {})

    def _points(self, index: int, chosen: dict[str, OptionValue]) -> Iterator[dict[str, OptionValue]]:
        if index == len(self.axes):
            yield dict(chosen)
            return
        axis = self.axes[index]
        if not axis.exists(chosen):
            yield from self._points(index + 1, chosen)
            return
        for value in axis.values:
            chosen[axis.name] = value
            yield from self._points(index + 1, chosen)
        del chosen[axis.name]

    def description(self, chosen: Mapping[str, OptionValue]) -> dict[str, Any]:
        """The design's plain description (without its scale) for one value on every axis that exists."""
        plain: dict[str, Any] = {}
        for field in type(self._section).model_fields:
            values = getattr(self._section, field)
            if field not in KINDS:
                plain[field] = chosen.get(field, values[0])
                continue
            part: PartChoice = next(p for p in values if p.choice == chosen.get(field, values[0].choice))
            prefix = f"{field}.{part.choice}."
            plain[field] = {part.choice: {name: chosen.get(prefix + name, v[0]) for name, v in part.options.items()}}
        return plain


def _axis(name: str, values: tuple[OptionValue, ...], condition: tuple[str, OptionValue] | None) -> list[Axis]:
    if len(values) < 2:
        return []
    axis = Axis(name, values, condition)
    return [Axis(name, tuple(sorted(values)), condition) if axis.ordered else axis]
