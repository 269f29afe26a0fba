"""Exact cost of a design from its description."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srsearch.architecture import Architecture
from srsearch.architecture.assembly import position_name
from srsearch.architecture.network import IN_CHANNELS
from srsearch.architecture.registry import PLACES, slot_place
from srsearch.cost.bill import Bill, Exact, Tally, network_bill, part_bill
from srsearch.cost.compose import OneDesign, compose, figures
from srsearch.cost.conventions import OURS, Convention
from srsearch.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class PartCost:
    """One line of a cost: all instances of one part at one place.

    Attributes:
        part: Its description.
        kind: The place where it stands, ``network`` for what is around the parts.
        instances: How many there are with weights of their own.
        applications: How often they are applied together.
        area: Summed area that they are applied on, relative to the LR image.
        params: Parameters of all instances, without what stands in their slots.
        mult_adds: Mult-Adds of all applications, without what stands in their slots.
        activations: Elements written by their convolutions.
    """

    part: str
    kind: str
    instances: int
    applications: int
    area: float
    params: int
    mult_adds: int
    activations: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What a design costs under one convention.

    Attributes:
        params: Trainable parameters, shared ones once; of a multi-scale design, all upsamplers'.
        mult_adds: Multiply-accumulates of all convolutions for one output image; at one scale.
        activations: Elements written by convolutions for one output image.
        convention: How it was counted.
        scale: The scale that Mult-Adds and activations are for.
        design: What was counted.
    """

    params: int
    mult_adds: int
    activations: int
    convention: Convention
    scale: int
    design: Architecture = dataclasses.field(repr=False)

    @property
    def lines(self) -> tuple[PartCost, ...]:
        """The cost by part and place. They sum to the whole, but for rounding at image sizes that do not divide."""
        return breakdown(self.design, self.scale, self.convention)

    @property
    def parts(self) -> pd.DataFrame:
        """`lines` as a table; the columns of `PartCost`."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(line) for line in self.lines])


def count(design: Architecture, *, scale: int | None = None, convention: Convention = OURS) -> Cost:
    """Parameters, Mult-Adds and activations of a design, without building it.

    Every distinct part is measured once (a few milliseconds); after that a design takes microseconds.

    Args:
        design: What to count.
        scale: Needed for a multi-scale design: Mult-Adds are those of one scale, parameters those of all.
        convention: How to count; `OURS` unless a paper's figure is to be compared.

    Raises:
        InvalidDesign: The parts of the design do not fit together.
        InputError: The scale is missing or not the design's.

    Example:
        >>> cost = count(catalogue.get("pcarn-m", scale=4))
        >>> cost.params, cost.mult_adds
    """
    at_scale = design.scale if scale is None else scale
    if at_scale not in design.scales:
        raise InputError(f"scale {at_scale} is not one of the design's: {', '.join(map(str, design.scales))}")
    costs = compose(design.__dict__, at_scale, OneDesign)
    params, mult_adds, activations = figures(costs, at_scale, convention, IN_CHANNELS[design.colour])
    return Cost(params, round(mult_adds), round(activations), convention, at_scale, design)


@dataclass(slots=True)
class _Line:
    kind: str
    part: str
    tally: Tally
    instances: int = 0
    applications: int = 0
    area: Exact = 0


def breakdown(design: Architecture, scale: int, convention: Convention) -> tuple[PartCost, ...]:
    """The cost of a design by part and place, from the outside in.

    Raises:
        InvalidDesign: The parts of the design do not fit together.
    """
    tree = _Tree(design)
    bill = network_bill(
        design.levels,
        design.channels,
        design.colour,
        design.scales,
        design.global_skip,
        design.image_residual,
        scale,
    )
    around = "exit, image upsampler" if design.image_residual == "learned" else "exit"
    tree.lines["network", ""] = _Line("network", around, bill.own, 1, 1, 1)
    tree.fill("levels", bill, 1, 1, 1)
    lines = [_finish(line, scale, convention) for line in tree.lines.values() if line.instances]
    in_channels = IN_CHANNELS[design.colour]
    shift = figures((0,) * 6, scale, convention, in_channels)
    if shift[0]:
        lines.append(PartCost("mean shift", "network", 2, 2, float(1 + scale**2), shift[0], round(shift[1]), 0))
    return tuple(line for line in lines if line.params or line.mult_adds or line.kind in ("body", "block"))


class _Tree:
    def __init__(self, design: Architecture) -> None:
        self.design = design
        self.lines: dict[tuple[str, str], _Line] = {}

    def fill(
        self, kind: str, bill: Bill, instances: int, applications: int, area: Exact, keeps_inner: bool = True
    ) -> None:
        """Add what stands in the slots of ``instances`` equal parts, applied ``applications`` times on ``area``."""
        for (slot, at), use in bill.uses.items():
            if slot == "inner_activation" and not keeps_inner:
                continue
            place, inner_kept, level, scale = slot_place(kind, slot), True, 1, 1
            if slot == "block":
                place, inner_kept = self.design.at_position(position_name(at))
            elif slot == "upsampler":
                scale = at
            elif slot in ("body", "refinement"):
                level = at
            line, inner = self._line(place, level, scale)
            times = (instances * use.instances, applications * use.applications, area * use.area)
            line.instances += times[0]
            line.applications += times[1]
            line.area += times[2]
            self.fill(PLACES[place], inner, *times, keeps_inner=inner_kept)

    def _line(self, place: str, level: int, scale: int) -> tuple[_Line, Bill]:
        """The line of a part, and its bill."""
        part = self.design.part_at(place, level)
        text = f"{part} x{scale}" if scale > 1 else str(part)
        key = (place, text)
        in_channels = IN_CHANNELS[self.design.colour]
        bill = part_bill(PLACES[place], part, self.design.channels, in_channels=in_channels, scale=scale)
        return self.lines.setdefault(key, _Line(place, text, bill.own)), bill


def _finish(line: _Line, scale: int, convention: Convention) -> PartCost:
    tally = line.tally
    costs = (
        line.instances * tally.weights,
        line.instances * tally.biases,
        line.area * tally.mult_adds,
        line.applications * tally.mult_adds_per_image,
        line.area * tally.activations,
        line.applications * tally.activations_per_image,
    )
    plain = dataclasses.replace(convention, mean_shift_params=False, mean_shift_mult_adds=False)
    params, mult_adds, activations = figures(costs, scale, plain, 3)
    return PartCost(
        part=line.part,
        kind=line.kind,
        instances=line.instances,
        applications=line.applications,
        area=float(line.area),
        params=int(params),
        mult_adds=round(mult_adds),
        activations=round(activations),
    )
