"""Computes the canonical form and exact cost of all combinations of a space at once, on columns of values.

The rules of canonical form and cost are pure functions of few fields. A column holds the code of a value for every
combination. A rule is called once for each distinct tuple of its arguments, and its results are looked up by codes.
Columns are arrays with one dimension for each field, of length 1 for the fields that they do not depend on; numpy
broadcasts them. Only the final sums have the full size, so a million designs take a few numpy calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from srsearch.architecture import InvalidDesign
from srsearch.architecture.canonical import canonicalise
from srsearch.architecture.design import AXES_OF_IDENTITY
from srsearch.architecture.network import IN_CHANNELS
from srsearch.cost import Convention
from srsearch.cost.compose import compose, figures
from srsearch.errors import InputError

Codes: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_LARGEST = _LARGEST_ID = 1 << 62
"""Limit of 64-bit numbers: larger costs are refused, and larger identities are renumbered."""

_TABLE = 1 << 24
"""Distinct codes are found with a lookup table if all codes are below this number, else by sorting."""


@dataclass(frozen=True)
class Broken:
    """The result of a rule for parts that do not fit together."""

    reason: str


@dataclass(frozen=True, eq=False)
class Column:
    """One value for every combination.

    Attributes:
        codes: Indices into ``values``, in an array that broadcasts to the shape of the combinations.
        values: The distinct values.
    """

    codes: Codes
    values: Sequence[Any]


@dataclass(frozen=True)
class Table:
    """The costs of all combinations of a space or of some of them. All attributes have the shape (n,).

    Attributes:
        valid: Whether the parts fit together.
        params: Exact parameters; meaningless for invalid combinations, like the other costs.
        mult_adds: Exact Mult-Adds.
        activations: Exact activations.
        identity: A number that is equal for two combinations if and only if they describe the same network.
    """

    valid: Mask
    params: Codes
    mult_adds: Codes
    activations: Codes
    identity: Codes

    def __len__(self) -> int:
        return len(self.valid)

    def rows(self, indices: Codes) -> Table:
        """Select some of the combinations by their positions."""
        return Table(
            self.valid[indices],
            self.params[indices],
            self.mult_adds[indices],
            self.activations[indices],
            self.identity[indices],
        )

    def within(self, limits: Sequence[tuple[str, int, int]]) -> Mask:
        """Which combinations are valid and within limits.

        Args:
            limits: For each limit the name of the cost, +1 for an upper or -1 for a lower limit, and its value.
        """
        inside = self.valid.copy()
        for name, sign, limit in limits:
            inside &= sign * getattr(self, name) <= sign * limit
        return inside

    def distinct(self, where: Mask) -> Codes:
        """The first combination of each network among those selected by a mask, in order."""
        chosen = np.flatnonzero(where)
        _, first = np.unique(self.identity[chosen], return_index=True)
        return chosen[np.sort(first)]


def tabulate(
    fields: Mapping[str, Sequence[Any]],
    scales: tuple[int, ...],
    scale: int,
    convention: Convention,
    rows: Mapping[str, Codes] | None = None,
) -> Table:
    """Compute the table of all combinations of fields, or of given combinations.

    Args:
        fields: The alternatives of each field of a description, in order. The last field varies fastest.
        scales: Upscaling factors of every design.
        scale: The one at which Mult-Adds and activations are counted.
        convention: The convention of the costs.
        rows: (n,) positions of the alternatives of each field, for a table of these n combinations only.

    Raises:
        InputError: Costs are too large for 64 bits.
    """
    engine = _Engine()
    raw: dict[str, Any] = {"scales": scales, "scope": None}
    for index, (name, values) in enumerate(fields.items()):
        if rows is None:
            along = [1] * len(fields)
            along[index] = len(values)
            codes = np.arange(len(values), dtype=np.int64).reshape(along)
        else:
            codes = rows[name]
        raw[name] = Column(codes, values)
    design = canonicalise(raw, engine.call)
    costs = compose(design, scale, engine)
    (in_channels,) = engine.arrays(engine.call(_in_channels, design["colour"]), 1)
    params, mult_adds, activations = figures(costs, scale, convention, in_channels)
    if float(np.max(costs[2], initial=0)) * float(convention.lr_area(scale)) >= _LARGEST:
        raise InputError("costs of more than 4e18 Mult-Adds are too large to compare; is the size of the image right?")
    whole = tuple(len(values) for values in fields.values())
    shape: tuple[int, ...] = whole if rows is None else (len(next(iter(rows.values()))),)
    identity = _identity([design[name] for name in AXES_OF_IDENTITY], shape)
    return Table(
        valid=_flat(~engine.broken, shape).astype(bool),
        params=_whole(params, shape),
        mult_adds=_whole(mult_adds, shape),
        activations=_whole(activations, shape),
        identity=identity,
    )


class _Engine:
    """The mode of `srsearch.cost.compose` for columns; also records which combinations have parts that do not fit."""

    def __init__(self) -> None:
        self.broken: Any = np.zeros((), dtype=bool)

    def call(self, rule: Callable[..., Any], *arguments: Any) -> Column:
        columns = [each for each in arguments if isinstance(each, Column)]
        radix = [len(column.values) for column in columns]
        combined: Any = np.zeros((), dtype=np.int64)
        for column, size in zip(columns, radix, strict=True):
            combined = combined * size + column.codes
        keys, codes = _distinct(combined, math.prod(radix))
        results: list[Any] = []
        known: dict[Any, int] = {}
        translation = np.empty(len(keys), dtype=np.int64)
        for position, key in enumerate(keys.tolist()):
            values = []
            for column, size in zip(reversed(columns), reversed(radix), strict=True):
                key, code = divmod(key, size)
                values.append(column.values[code])
            values.reverse()
            result = _called(rule, arguments, values)
            if result not in known:
                known[result] = len(results)
                results.append(result)
            translation[position] = known[result]
        if len(results) == 1:  # one value for all combinations needs no full array
            return Column(np.zeros((), dtype=np.int64), results)
        return Column(translation[codes], results)

    def slots(self, bills: Column) -> list[tuple[str, Any]]:
        """The slots that any of the parts uses, each with the argument of its call."""
        return list(dict.fromkeys(key for bill in bills.values if not isinstance(bill, Broken) for key in bill.uses))

    def numbers(self, column: Column, uses: Any = None) -> tuple[Any, ...]:
        """The numbers of a column of named tuples, as arrays. Records combinations that use parts that do not fit."""
        whole = next((value for value in column.values if not isinstance(value, Broken)), None)
        flags = np.array([isinstance(value, Broken) for value in column.values])
        if flags.any():
            where = flags[column.codes]
            self.broken = self.broken | (where if uses is None else where & (uses[0] != 0))
        return self.arrays(column, 6 if whole is None else len(whole))

    def arrays(self, column: Column, width: int) -> tuple[Any, ...]:
        rows = [(0,) * width if isinstance(value, Broken) else tuple(value) for value in column.values]
        return tuple(_exact([row[i] for row in rows])[column.codes] for i in range(width))


def _called(rule: Callable[..., Any], arguments: Sequence[Any], values: list[Any]) -> Any:
    """Call a rule on one tuple of values. If one of them is `Broken`, so is the result."""
    for value in values:
        if isinstance(value, Broken):
            return value
    left = iter(values)
    try:
        return rule(*(next(left) if isinstance(each, Column) else each for each in arguments))
    except InvalidDesign as error:
        return Broken(str(error))


def _distinct(combined: Any, size: int) -> tuple[Codes, Codes]:
    """The distinct numbers in an array of numbers below ``size``, and the index of each entry's number among them."""
    if size <= _TABLE:
        present = np.zeros(size, dtype=bool)
        present[combined] = True
        keys = np.flatnonzero(present)
        places = np.empty(size, dtype=np.int64)
        places[keys] = np.arange(len(keys))
        return keys, places[combined]
    keys, inverse = np.unique(combined, return_inverse=True)
    return keys, inverse.reshape(np.shape(combined))


def _exact(values: list[Any]) -> npt.NDArray[Any]:
    """Numbers as an array without rounding: of integers, of floats that are exact, or else of `Fraction` objects."""
    if all(isinstance(value, int) for value in values):
        return np.array(values, dtype=np.int64)
    dyadic = all(Fraction(value).denominator & (Fraction(value).denominator - 1) == 0 for value in values)
    return np.array([float(value) for value in values]) if dyadic else np.array(values, dtype=object)


def _flat(array: Any, shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(array, shape).reshape(-1)


def _whole(array: Any, shape: tuple[int, ...]) -> Codes:
    spread = _flat(array, shape)
    if spread.dtype == object:
        return np.array([round(value) for value in spread], dtype=np.int64)
    whole: Codes = (np.rint(spread) if spread.dtype.kind == "f" else spread).astype(np.int64)
    return whole


def _identity(columns: Sequence[Column], shape: tuple[int, ...]) -> Codes:
    """One number for each distinct combination of canonical values."""
    number, size = np.zeros((), dtype=np.int64), 1
    for column in columns:
        count = len(column.values)
        if size * count >= _LARGEST_ID:
            keys, number = _distinct(number, size)
            size = len(keys)
        number, size = number * count + column.codes, size * count
    flat: Codes = _flat(number, shape)
    return flat


def _in_channels(colour: str) -> tuple[int]:
    return (IN_CHANNELS[colour],)
