"""`Grid`: the numbered combinations of a space, their costs, and which of them are feasible.

A combination is one alternative of every field of the description. Combinations are numbered like the entries of a
numpy array whose dimensions are the fields: the last field varies fastest.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from srsearch.architecture import Architecture, InvalidDesign
from srsearch.architecture.registry import OptionValue
from srsearch.cost import Convention, count
from srsearch.errors import InputError
from srsearch.quantity import format_quantity
from srsearch.space.axes import Alternative, Axis, AxisTree
from srsearch.space.candidates import Candidate, Designs
from srsearch.space.enumeration import Codes, Mask, Table, tabulate

ENUMERABLE = 10_000_000
"""The largest number of combinations that is enumerated; larger spaces are sampled."""

_TRIES = 20_000
"""Number of random designs that are drawn before a search for a feasible one gives up."""


class Grid:
    """The combinations of a space under one budget.

    Args:
        tree: The axes and fixed values of the space.
        scales: Upscaling factors of every design, ascending.
        scale: The one that costs are counted at.
        convention: The convention of the costs.
        limits: The budget: for each limit the name of the cost, +1 for an upper or -1 for a lower limit, and its value.
        source: The file that the space comes from, for messages.
    """

    def __init__(
        self,
        tree: AxisTree,
        scales: tuple[int, ...],
        scale: int,
        convention: Convention,
        limits: tuple[tuple[str, int, int], ...],
        source: str,
    ) -> None:
        self._tree = tree
        self.scales = scales
        self.scale = scale
        self.convention = convention
        self.limits = limits
        self.source = source

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes of the space."""
        return self._tree.axes

    @property
    def combinations(self) -> int:
        """Number of combinations, including equal and invalid networks."""
        return self._tree.combinations

    @functools.cached_property
    def alternatives(self) -> dict[str, list[Alternative]]:
        """All ways to fill each field of the description, in order."""
        return {field: self._tree.alternatives(field) for field in self._tree.fields}

    def candidate(self, axes: Mapping[str, OptionValue]) -> Candidate:
        """The design at a point, with its cost and whether it is feasible.

        Args:
            axes: One value for every axis that exists at the point.
        """
        design = Architecture(scales=self.scales, **self._tree.description(axes))
        try:
            cost = count(design, scale=self.scale, convention=self.convention)
        except InvalidDesign as error:
            return Candidate(dict(axes), design, None, f"invalid: {error}", self.violations(None))
        violations, broken = self.violations(cost), None
        for (name, factor, limit), violation in zip(self.limits, violations[1:], strict=True):
            if violation > 0 and broken is None:
                side = "above" if factor > 0 else "below"
                broken = f"{name} {format_quantity(getattr(cost, name))} is {side} {format_quantity(limit)}"
        return Candidate(dict(axes), design, cost, broken, violations)

    def violations(self, cost: object | None) -> tuple[float, ...]:
        """The violations of a `Candidate`.

        Args:
            cost: An object with ``params``, ``mult_adds`` and ``activations``; None for a design that cannot be built.
        """
        if cost is None:
            return (1.0,) * (1 + len(self.limits))
        return (0.0, *(factor * (getattr(cost, name) / limit - 1) for name, factor, limit in self.limits))

    def points(self) -> Iterator[Candidate]:
        """All combinations of values, feasible or not, in a fixed order."""
        return (self.candidate(axes) for axes in self._tree.points())

    def point(self, index: int) -> Candidate:
        """One combination by its number in the order of `points`."""
        positions = {}
        for field, alternatives in reversed(self.alternatives.items()):
            index, positions[field] = divmod(index, len(alternatives))
        return self.at(positions)

    def at(self, positions: Mapping[str, int]) -> Candidate:
        """One combination by the positions of its fields' alternatives."""
        axes: dict[str, OptionValue] = {}
        for field, alternatives in self.alternatives.items():
            axes |= alternatives[positions[field]].axes
        return self.candidate(axes)

    def random_point(self, rng: np.random.Generator) -> Candidate:
        """Draw a value uniformly on every axis that exists. The point may be infeasible."""
        axes: dict[str, OptionValue] = {}
        for axis in self.axes:
            if axis.exists(axes):
                axes[axis.name] = axis.values[int(rng.integers(len(axis.values)))]
        return self.candidate(axes)

    def positions(self, axes: Mapping[str, OptionValue]) -> tuple[int, ...]:
        """The position of each field's alternative at a point, in the order of the fields: the inverse of `at`."""
        return tuple(
            position_of[tuple((name, axes[name]) for name in names if name in axes)]
            for names, position_of in self._positions_by_axes
        )

    def key(self, index: int) -> str:
        """The key of the design at one combination. In an enumerated space it is computed once for each design."""
        table = self.table
        if table is None:
            return self.point(index).design.key
        identity = int(table.identity[index])
        if identity not in self._keys:
            self._keys[identity] = self.point(index).design.key
        return self._keys[identity]

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw a random feasible design.

        Args:
            rng: A numpy ``Generator``.

        Raises:
            InputError: No design fits the budget; the message gives the least costs.
        """
        for _ in range(min(_TRIES, self.combinations + 1)):
            drawn = self.random_point(rng)
            if drawn.broken is None:
                return drawn.design
        if self.feasible is None:
            raise self.impossible(self.draw(_TRIES, rng)[0])
        return self.feasible[int(rng.integers(len(self.feasible)))].design

    @functools.cached_property
    def table(self) -> Table | None:
        """Costs of all combinations in the order of `points`; None if there are too many to enumerate."""
        if self.combinations > ENUMERABLE:
            return None
        return tabulate(self.values, self.scales, self.scale, self.convention)

    def draw(self, number: int, rng: np.random.Generator) -> tuple[Table, dict[str, Codes]]:
        """Draw combinations uniformly.

        Returns:
            The table of their costs, and for each field the (number,) positions of their alternatives.
        """
        rows = {field: rng.integers(len(values), size=number) for field, values in self.values.items()}
        return self.tabulate(rows), rows

    def tabulate(self, rows: Mapping[str, Codes], scale: int | None = None) -> Table:
        """Costs of given combinations.

        Args:
            rows: For each field, the (n,) positions of its alternatives.
            scale: The scale that costs are counted at; by default the space's.
        """
        return tabulate(self.values, self.scales, scale or self.scale, self.convention, rows)

    @functools.cached_property
    def inside(self) -> Mask:
        """Which combinations are valid and within the budget, in the order of `points`.

        Raises:
            InputError: The space is too large to enumerate.
        """
        if self.table is None:
            raise InputError(f"{self.source}: {self.combinations:,} combinations are too many to enumerate")
        return self.table.within(self.limits)

    @functools.cached_property
    def feasible(self) -> Designs | None:
        """All feasible designs, each once, in a fixed order; None if the space is too large to enumerate.

        Raises:
            InputError: No design is feasible; the message gives the least costs.
        """
        if self.table is None:
            return None
        indices = self.table.distinct(self.inside)
        if not len(indices):
            raise self.impossible(self.table)
        return Designs(self.point, indices)

    def size(self) -> int:
        """Number of distinct valid designs; see `report` for the share within the budget.

        Raises:
            InputError: The space is too large to enumerate.
        """
        if self.table is None:
            raise InputError(
                f"{self.source}: {self.combinations:,} combinations are too many to enumerate (over {ENUMERABLE:,}); "
                "report() estimates"
            )
        return len(np.unique(self.table.identity[self.table.valid]))

    def impossible(self, table: Table) -> InputError:
        """The error for a space if no combination in a table is feasible.

        Args:
            table: All combinations, or random ones.
        """
        if not table.valid.any():
            reason = self.point(0).broken
            return InputError(f"{self.source}: architecture: no combination of these parts can be built; {reason}")
        who = "any design" if table is self.table else f"{len(table):,} random designs"
        extremes = []
        for name, sign, _ in self.limits:
            values = getattr(table, name)[table.valid]
            extreme = int(values.min() if sign > 0 else values.max())
            extremes.append(f"the {'least' if sign > 0 else 'most'} {name} of {who} is {format_quantity(extreme, 4)}")
        return InputError(
            f"{self.source}: constraints: no design of the space fits the budget ({self.budget_text()}): "
            f"{'; '.join(extremes)}"
        )

    def budget_text(self) -> str:
        """The budget for people, such as ``mult_adds <= 40G at 1280x720, params <= 800K``."""
        parts = []
        for name, sign, limit in self.limits:
            at = f" at {self.at_text()}" if name != "params" else ""
            parts.append(f"{name} {'<=' if sign > 0 else '>='} {format_quantity(limit, 4)}{at}")
        text = ", ".join(parts) or "no limits"
        return text if self.convention.name == "ours" else f"{text}, counted as {self.convention.name}"

    def at_text(self) -> str:
        """What Mult-Adds and activations are counted for, such as ``1280x720``, or ``x4 and 1280x720``."""
        size = self.convention.size_text()
        return size if len(self.scales) == 1 else f"x{self.scale} and {size}"

    @functools.cached_property
    def _positions_by_axes(self) -> list[tuple[list[str], dict[tuple[tuple[str, OptionValue], ...], int]]]:
        """For each field the names of its axes, and the position of each alternative by its values on them."""
        fields = []
        for field, alternatives in self.alternatives.items():
            names = [axis.name for axis in self.axes if axis.name == field or axis.name.startswith(f"{field}.")]
            values = [tuple((name, each.axes[name]) for name in names if name in each.axes) for each in alternatives]
            fields.append((names, {chosen: i for i, chosen in enumerate(values)}))
        return fields

    @functools.cached_property
    def _keys(self) -> dict[int, str]:
        """Keys of designs by their identity in the table, filled by `key`."""
        return {}

    @property
    def values(self) -> dict[str, list[Any]]:
        """The values that each field can have, in order."""
        return {field: [each.value for each in alternatives] for field, alternatives in self.alternatives.items()}
