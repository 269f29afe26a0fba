"""Exact cost of a design from its description: the bills of its parts, summed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from srsearch.architecture import Architecture
from srsearch.architecture.parts import Part
from srsearch.cost.bill import Bill, Exact, Tally, network_bill, part_bill
from srsearch.cost.conventions import OURS, Convention
from srsearch.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class PartCost:
    """One line of a cost: all instances of one part at one place.

    Attributes:
        part: Its description.
        kind: ``unit``, ``block``, ``body``, ``upsampler``, or ``network`` for entry and exit.
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


@dataclass(frozen=True)
class Cost:
    """What a design costs under one convention.

    Attributes:
        params: Trainable parameters, shared ones once; of a multi-scale design, all upsamplers'.
        mult_adds: Multiply-accumulates of all convolutions for one output image; at one scale.
        activations: Elements written by convolutions for one output image.
        convention: How it was counted.
        scale: The scale that Mult-Adds and activations are for.
    """

    params: int
    mult_adds: int
    activations: int
    convention: Convention
    scale: int
    lines: tuple[PartCost, ...] = dataclasses.field(repr=False)

    @property
    def parts(self) -> pd.DataFrame:
        """A table with one row per part and place; the columns of `PartCost`. Params and Mult-Adds sum to the whole."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(line) for line in self.lines])


@dataclass(slots=True)
class _Line:
    kind: str
    part: str
    tally: Tally
    instances: int = 0
    applications: int = 0
    area: Exact = 0

    def params(self, convention: Convention) -> int:
        return self.instances * (self.tally.weights + (self.tally.biases if convention.biases else 0))

    def mult_adds(self, lr_area: Exact) -> Exact:
        return self.area * lr_area * self.tally.mult_adds + self.applications * self.tally.mult_adds_per_image

    def activations(self, lr_area: Exact) -> Exact:
        return self.area * lr_area * self.tally.activations + self.applications * self.tally.activations_per_image


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
    lines: dict[tuple[str, int | None], _Line] = {}
    bill = network_bill(design, at_scale)
    lines["network", None] = _Line("network", "entry, exit", bill.own, 1, 1, 1)
    _add_uses(design, bill, 1, 1, 1, lines)
    lr_area = convention.lr_area(at_scale)
    finished = tuple(_finish(line, convention, lr_area) for line in lines.values())
    return Cost(
        params=sum(line.params(convention) for line in lines.values()),
        mult_adds=round(sum(line.mult_adds(lr_area) for line in lines.values())),
        activations=round(sum(line.activations(lr_area) for line in lines.values())),
        convention=convention,
        scale=at_scale,
        lines=finished,
    )


def _add_uses(
    design: Architecture,
    bill: Bill,
    instances: int,
    applications: int,
    area: Exact,
    lines: dict[tuple[str, int | None], _Line],
) -> None:
    """Add what stands in the slots of ``instances`` equal parts, applied ``applications`` times on ``area`` in all."""
    for use in bill.uses:
        part: Part = getattr(design, use.slot)
        inner = part_bill(use.slot, part, design.channels, use.scale)
        line = lines.get((use.slot, use.scale))
        if line is None:
            name = f"{part} x{use.scale}" if use.scale else str(part)
            line = lines[use.slot, use.scale] = _Line(use.slot, name, inner.own)
        made = instances * use.instances
        applied = applications * use.instances * use.applications
        covered = area * use.instances * use.area
        line.instances += made
        line.applications += applied
        line.area += covered
        _add_uses(design, inner, made, applied, covered, lines)


def _finish(line: _Line, convention: Convention, lr_area: Exact) -> PartCost:
    return PartCost(
        part=line.part,
        kind=line.kind,
        instances=line.instances,
        applications=line.applications,
        area=float(line.area),
        params=line.params(convention),
        mult_adds=round(line.mult_adds(lr_area)),
        activations=round(line.activations(lr_area)),
    )
