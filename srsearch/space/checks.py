"""Finds values in a space file that no design can be built with, so that the file is refused early."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from srsearch.architecture import InvalidDesign
from srsearch.architecture.assembly import slot_calls
from srsearch.architecture.design import check_placement
from srsearch.architecture.registry import PLACES, OptionValue, Part
from srsearch.cost.bill import network_bill
from srsearch.space.source import Location


@dataclass(frozen=True)
class _Placing:
    """What parts are placed in, besides a number of channels.

    Attributes:
        scales: Upscaling factors of every design.
        factors: For each kind of levels, the factors of its upsamplers.
    """

    scales: tuple[int, ...]
    factors: tuple[tuple[int, ...], ...]


_TRIES = 2000
"""Number of combinations of a part's options that are tried; a value that fails in all of them is impossible."""


def impossible(fields: Mapping[str, Sequence[Any]], scales: tuple[int, ...]) -> Iterator[tuple[Location, str]]:
    """Find values of options that fit no number of channels, and numbers of channels that fit no part at some place.

    Args:
        fields: The validated fields of the architecture section.
        scales: Upscaling factors of every design.

    Yields:
        The location of the value in the file, and the reason.
    """
    widths = fields["channels"]
    at = _Placing(scales, _factors(fields["levels"], widths[0], scales))
    sound = True
    for place, kind in PLACES.items():
        for index, choice in enumerate(fields[place]):
            where: Location = ("architecture", place, index, choice.choice)
            for option, value, why in _impossible_values(kind, choice, widths, at):
                sound = False
                yield (*where, *option), f"{value}{why}"
    for index, width in enumerate(widths if sound and len(widths) > 1 else ()):
        for place, kind in PLACES.items():
            if place in ("unit", "closing", "upsampler_unit", "compressed"):
                continue  # parts that no other part calls need not fit
            failures = [_first_failure(kind, choice, (width,), at) for choice in fields[place]]
            if all(failures):
                yield ("architecture", "channels", index), f"{width} fits no {place}: {failures[0]}"
                break


def _impossible_values(
    kind: str, choice: Any, widths: Sequence[int], at: _Placing
) -> Iterator[tuple[Location, str, str]]:
    if why := _first_failure(kind, choice, widths, at):
        yield _culprit(kind, choice, widths, at), "", why
        return
    for option, values in choice.options.items():
        for index, value in enumerate(values):
            if len(values) > 1 and (why := _first_failure(kind, choice, widths, at, {option: value})):
                yield (option, index), f"{value!r} never fits: ", why


def _culprit(kind: str, choice: Any, widths: Sequence[int], at: _Placing) -> Location:
    """The location of the option whose default would make an impossible part possible; else the part itself."""
    defaults = {name: field.default[0] for name, field in type(getattr(choice, choice.choice)).model_fields.items()}
    for option, default in defaults.items():
        if default not in choice.options[option] and not _first_failure(kind, choice, widths, at, {option: default}):
            return (option,)
    return ()


def _first_failure(
    kind: str, choice: Any, widths: Sequence[int], at: _Placing, fixed: Mapping[str, OptionValue] | None = None
) -> str | None:
    """Why the first combination of a part's options cannot be built; None if any combination can, at any width."""
    fixed = fixed or {}
    options = {name: (fixed[name],) if name in fixed else values for name, values in choice.options.items()}
    first = None
    for values in itertools.islice(itertools.product(*options.values()), _TRIES):
        part = Part(choice.choice, tuple(zip(options, values, strict=True)))
        for width in widths:
            failure = _failure(kind, part, width, at)
            if failure is None:
                return None
            first = first or failure
    return first


def _failure(kind: str, part: Part, width: int, at: _Placing) -> str | None:
    try:
        if kind == "levels":
            for scale in at.scales:
                network_bill(part, width, "rgb", at.scales, True, "none", scale)
            return None
        if kind == "body" and slot_calls(kind, part, width).failure is None:
            check_placement(part)
    except InvalidDesign as error:
        return str(error)
    if kind == "upsampler" and at.factors:
        failures = [_first_factor_failure(part, width, factors) for factors in at.factors]
        return failures[0] if all(failures) else None
    return slot_calls(kind, part, width).failure


def _first_factor_failure(part: Part, width: int, factors: Sequence[int]) -> str | None:
    """Why an upsampler cannot be constructed for the first of several factors; None if it can for all of them."""
    at_two = slot_calls("upsampler", part, width).failure
    for factor in factors:
        failure = slot_calls("upsampler", part, width, factor).failure
        if failure is not None:
            return failure if at_two is not None else f"at x{factor}: {failure}"
    return None


def _factors(levels: Sequence[Any], width: int, scales: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The factors that each kind of levels has upsamplers for; none for levels that cannot reach the scales."""
    factors = []
    for choice in levels:
        part = Part(choice.choice, tuple((name, values[0]) for name, values in choice.options.items()))
        try:
            bill = network_bill(part, width, "rgb", scales, True, "none", scales[-1])
        except InvalidDesign:
            continue
        factors.append(tuple(sorted({at for slot, at in bill.uses if slot == "upsampler"})))
    return tuple(factors)
