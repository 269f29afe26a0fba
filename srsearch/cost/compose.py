"""Composes the cost of a design from the bills of its parts, for one design or for whole columns of designs.

`compose` serves both; a `Mode` makes the difference. For one design, rules are called directly and numbers are plain
numbers. For columns (`srsearch.space.enumeration`), a rule is called once for each distinct tuple of values, and
numbers are arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, Protocol, TypeAlias

from srsearch.architecture import Part
from srsearch.architecture.assembly import position_name
from srsearch.architecture.canonical import directly
from srsearch.architecture.design import at_position, check_placement, part_of_level
from srsearch.architecture.network import IN_CHANNELS, Colour
from srsearch.architecture.registry import cached
from srsearch.cost.bill import UNUSED, Bill, Tally, Uses, network_bill, part_bill
from srsearch.cost.conventions import Convention

TallyNumbers: TypeAlias = tuple[Any, Any, Any, Any, Any, Any]
"""The numbers of a `Tally`: each an exact number or an array of exact numbers."""
UseNumbers: TypeAlias = tuple[Any, Any, Any]
"""The numbers of `Uses`: each an exact number or an array of exact numbers."""


class Mode(Protocol):
    """Makes `compose` work on one design or on columns."""

    def call(self, rule: Callable[..., Any], *fields: Any) -> Any:
        """Call a rule on fields and return its result."""

    def numbers(self, result: Any, uses: UseNumbers | None = None) -> Any:
        """The numbers of a `Tally` or of `Uses`.

        Args:
            result: The tally or uses.
            uses: How much the part is used. A part that is not used need not fit.
        """

    def slots(self, bill: Any) -> Iterable[tuple[str, Any]]:
        """The slots that a part uses, each with the argument of its call."""


class OneDesign:
    """The mode for one design: rules are called directly, and numbers are plain numbers."""

    call = staticmethod(directly)

    @staticmethod
    def numbers(result: Any, uses: UseNumbers | None = None) -> Any:
        return result

    @staticmethod
    def slots(bill: Bill) -> Iterable[tuple[str, Any]]:
        return bill.uses


def compose(fields: Mapping[str, Any], scale: int, mode: Mode) -> TallyNumbers:
    """The cost of a design or of columns of designs, before a convention is applied.

    Args:
        fields: The canonical fields of the description.
        scale: The scale at which Mult-Adds and activations are counted.
        mode: `OneDesign`, or the mode for columns.

    Returns:
        The numbers of a `Tally` for the whole network, whose input is the LR image.

    Raises:
        InvalidDesign: The parts do not fit together (only for one design).
    """
    call, numbers = mode.call, mode.numbers
    bill = call(network_bill, *[fields[name] for name in _OUTLINE], scale)
    total: TallyNumbers = numbers(call(_own, bill))
    numbers(call(_placed, fields["body"]))
    for slot, at in mode.slots(bill):
        uses = numbers(call(_uses, bill, slot, at))
        total = _sum(total, _times(_in_network(fields, slot, at, uses, mode), uses))
    return total


_OUTLINE = ("levels", "channels", "colour", "scales", "global_skip", "image_residual")


def _in_network(fields: Mapping[str, Any], slot: str, at: Any, uses: UseNumbers, mode: Mode) -> TallyNumbers:
    """The cost of the part in one slot of the network, for each pixel of the part's input."""
    call, channels, activation = mode.call, fields["channels"], fields["activation"]
    if slot == "body":
        return _body(fields, at, uses, mode)
    if slot == "upsampler":
        tally = call(upsampler_tally, fields["upsampler"], channels, fields["upsampler_unit"], activation, at)
    elif slot == "refinement":
        part = call(part_of_level, fields["refinement"], "refinement", fields["levels"], at)
        tally = call(refinement_tally, part, channels, fields["unit"], activation)
    else:
        tally = call(entry_tally, fields["entry"], channels, fields["colour"], activation)
    return mode.numbers(tally, uses)  # type: ignore[no-any-return]


def _body(fields: Mapping[str, Any], level: int, level_uses: UseNumbers, mode: Mode) -> TallyNumbers:
    """The cost of the body of one level, including the parts inside it, for each pixel of its input."""
    call, numbers = mode.call, mode.numbers
    channels, activation, unit = fields["channels"], fields["activation"], fields["unit"]
    body = call(part_of_level, fields["body"], "body", fields["levels"], level)
    bill = call(body_bill, body, fields["body"], channels)
    total: TallyNumbers = numbers(call(_own, bill), level_uses)
    for slot, at in mode.slots(bill):
        uses = numbers(call(_uses, bill, slot, at))
        if slot == "block":
            place, keeps_inner = at
            tally = call(block_tally, fields[place], channels, unit, activation, keeps_inner)
        elif slot == "activation":
            tally = call(activation_tally, activation, channels)
        else:
            tally = call(unit_tally, fields[slot], channels, activation)
        total = _sum(total, _times(numbers(tally, uses), uses))
    return total


def figures(costs: TallyNumbers, scale: int, convention: Convention, in_channels: Any) -> UseNumbers:
    """Parameters, Mult-Adds and activations under a convention, not rounded.

    Args:
        costs: The result of `compose`.
        scale: Upscaling factor.
        convention: The convention.
        in_channels: Number of channels of the image, and so of the 1x1 convolutions that shift the mean.
    """
    weights, biases, mult_adds, mult_adds_per_image, activations, activations_per_image = costs
    area = convention.lr_area(scale)
    params = weights + biases if convention.biases else weights
    if convention.mean_shift_params:
        params = params + 2 * (in_channels * in_channels + in_channels)
    if convention.params_times_pixels:
        multiplied = params * area
    else:
        multiplied = mult_adds * area + mult_adds_per_image
        if convention.mean_shift_mult_adds:
            multiplied = multiplied + in_channels * in_channels * area * (1 + scale**2)
    return params, multiplied, activations * area + activations_per_image


def _sum(first: TallyNumbers, second: TallyNumbers) -> TallyNumbers:
    a, b, c, d, e, f = first
    g, h, i, j, k, m = second
    return a + g, b + h, c + i, d + j, e + k, f + m


def _times(tally: TallyNumbers, uses: UseNumbers) -> TallyNumbers:
    weights, biases, mult_adds, mult_adds_per_image, activations, activations_per_image = tally
    instances, applications, area = uses
    return (
        weights * instances,
        biases * instances,
        mult_adds * area,
        mult_adds_per_image * applications,
        activations * area,
        activations_per_image * applications,
    )


def _placed(body: Part) -> Tally:
    check_placement(body)
    return _NOTHING


_NOTHING = Tally()


def _own(bill: Bill) -> Tally:
    return bill.own


def _uses(bill: Bill, slot: str, at: Any) -> Uses:
    return bill.uses.get((slot, at), UNUSED)


@cached
def body_bill(body: Part, placement: Part, channels: int) -> Bill:
    """The bill of a body, with the uses of its blocks summed by place and by whether their inner activation stays.

    Args:
        body: The body of the level.
        placement: The body of the first level, whose options name positions.
        channels: Number of channels.
    """
    bill = part_bill("body", body, channels)
    uses: dict[tuple[str, Any], Uses] = {}
    for (slot, at), use in bill.uses.items():
        key = (slot, at_position(placement, position_name(at)) if slot == "block" else None)
        before = uses.get(key, UNUSED)
        uses[key] = Uses(
            before.instances + use.instances, before.applications + use.applications, before.area + use.area
        )
    return Bill(bill.own, uses)


def _filled(bill: Bill, slots: Mapping[str, Tally]) -> Tally:
    """The cost of a part including the parts in its slots."""
    total: TallyNumbers = bill.own
    for (slot, _), uses in bill.uses.items():
        if slot in slots:
            total = _sum(total, _times(slots[slot], uses))
    # Even strided parts mostly have whole costs, and integers are much faster than fractions.
    return Tally(*(v.numerator if isinstance(v, Fraction) and v.denominator == 1 else v for v in total))


@cached
def activation_tally(activation: Part, channels: int) -> Tally:
    """The cost of an activation function."""
    return part_bill("activation", activation, channels).own


@cached
def unit_tally(unit: Part, channels: int, activation: Part) -> Tally:
    """The cost of a unit with its activation functions."""
    return _filled(part_bill("unit", unit, channels), {"activation": activation_tally(activation, channels)})


@cached
def block_tally(block: Part, channels: int, unit: Part, activation: Part, keeps_inner: bool) -> Tally:
    """The cost of a block with its units; ``keeps_inner`` says whether it keeps its inner activation."""
    bill = part_bill("block", block, channels)
    slots = {"activation": activation_tally(activation, channels)}
    if keeps_inner:
        slots["inner_activation"] = slots["activation"]
    return _filled(bill, slots | _unit_slot(bill, unit, channels, activation))


@cached
def entry_tally(entry: Part, channels: int, colour: Colour, activation: Part) -> Tally:
    """The cost of an entry."""
    bill = part_bill("entry", entry, channels, in_channels=IN_CHANNELS[colour])
    return _filled(bill, {"activation": activation_tally(activation, channels)})


@cached
def refinement_tally(refinement: Part, channels: int, unit: Part, activation: Part) -> Tally:
    """The cost of a refinement with its units."""
    bill = part_bill("refinement", refinement, channels)
    slots = {"activation": activation_tally(activation, channels)}
    return _filled(bill, slots | _unit_slot(bill, unit, channels, activation))


@cached
def upsampler_tally(upsampler: Part, channels: int, unit: Part, activation: Part, factor: int) -> Tally:
    """The cost of an upsampler with its units, for each pixel of its input."""
    bill = part_bill("upsampler", upsampler, channels, scale=factor)
    slots = {"activation": activation_tally(activation, channels)}
    return _filled(bill, slots | _unit_slot(bill, unit, channels, activation))


def _unit_slot(bill: Bill, unit: Part, channels: int, activation: Part) -> dict[str, Tally]:
    """The cost for the slot ``unit`` if the part uses it. A unit that is not used need not fit."""
    if any(slot == "unit" for slot, _ in bill.uses):
        return {"unit": unit_tally(unit, channels, activation)}
    return {}
