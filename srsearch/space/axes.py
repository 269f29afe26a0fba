"""The axes of a space, each with its values and the choice under which it exists."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from srsearch.architecture.registry import PLACES, OptionValue, Part
from srsearch.space.schema import PartChoice, Section


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a space: a choice among several values.

    Attributes:
        name: Its path in the space file, such as ``channels`` or ``body.cascade.groups``.
        values: At least two values; numbers are ascending.
        condition: The axis and the value under which this axis exists; None if it always exists.
        ordered: Whether the values are numbers, whose order samplers can use.
    """

    name: str
    values: tuple[OptionValue, ...]
    condition: tuple[str, OptionValue] | None = None
    ordered: bool = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ordered", all(map(is_number, self.values)))

    def exists(self, chosen: Mapping[str, OptionValue]) -> bool:
        """Whether the axis exists, given the values chosen on the axes before it."""
        return self.condition is None or chosen.get(self.condition[0]) == self.condition[1]


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to fill a field of the description.

    Attributes:
        axes: The values chosen on the field's axes.
        value: A `Part`, or the plain value of a field without parts.
    """

    axes: dict[str, OptionValue]
    value: Any


class AxisTree:
    """The axes and the fixed values of a space's ``architecture`` section.

    A combination is one alternative of every field, chosen independently.

    Attributes:
        axes: All axes; an axis that chooses a part comes before the axes of the part's options.
        fields: The values of each field of the description, in order.
    """

    def __init__(self, section: Section) -> None:
        self.fields: dict[str, tuple[Any, ...]] = {
            field: getattr(section, field)
            for field in type(section).model_fields
            if getattr(section, field) is not None  # `scope` may be missing
        }
        axes: list[Axis] = []
        for field, values in self.fields.items():
            if field not in PLACES:
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
        """Number of combinations of values, including equal and invalid networks."""
        return math.prod(self.counts.values())

    @functools.cached_property
    def counts(self) -> dict[str, int]:
        """Number of alternatives of each field."""
        return {
            field: sum(math.prod(len(inner) for inner in part.options.values()) for part in values)
            if field in PLACES
            else len(values)
            for field, values in self.fields.items()
        }

    def alternatives(self, field: str) -> list[Alternative]:
        """All ways to fill a field. The last axis varies fastest."""
        values = self.fields[field]
        if field not in PLACES:
            axes = _axis(field, values, None)
            return (
                [Alternative({field: value}, value) for value in axes[0].values]
                if axes
                else [Alternative({}, values[0])]
            )
        alternatives = []
        for part in values:
            choice = {field: part.choice} if len(values) > 1 else {}
            prefix = f"{field}.{part.choice}."
            names = list(part.options)
            # Numbers ascend on an axis, in whatever order the file has them.
            ranges = [
                (axes[0].values if (axes := _axis(prefix + name, inner, None)) else inner)
                for name, inner in part.options.items()
            ]
            for values_chosen in itertools.product(*ranges):
                axes_chosen = {
                    prefix + name: value
                    for name, value, inner in zip(names, values_chosen, ranges, strict=True)
                    if len(inner) > 1
                }
                options = tuple(zip(names, values_chosen, strict=True))
                alternatives.append(Alternative(choice | axes_chosen, Part(part.choice, options)))
        return alternatives

    def points(self) -> Iterator[dict[str, OptionValue]]:
        """All combinations of values, in a fixed order: the last axis varies fastest."""
        for chosen in itertools.product(*(self.alternatives(field) for field in self.fields)):
            yield {name: value for alternative in chosen for name, value in alternative.axes.items()}

    def description(self, chosen: Mapping[str, OptionValue]) -> dict[str, Any]:
        """The fields of a design, without its scales, for one value on every axis that exists."""
        fields: dict[str, Any] = {}
        for field, values in self.fields.items():
            if field not in PLACES:
                fields[field] = chosen.get(field, values[0])
                continue
            name = chosen.get(field, values[0].choice)
            part: PartChoice = next(p for p in values if p.choice == name)
            prefix = f"{field}.{part.choice}."
            fields[field] = Part(
                part.choice, tuple((option, chosen.get(prefix + option, v[0])) for option, v in part.options.items())
            )
        return fields


def is_number(value: object) -> bool:
    """Whether the value of an axis has an order: true and false have none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _axis(name: str, values: tuple[OptionValue, ...], condition: tuple[str, OptionValue] | None) -> list[Axis]:
    if len(values) < 2:
        return []
    axis = Axis(name, values, condition)
    return [Axis(name, tuple(sorted(values)), condition) if axis.ordered else axis]
