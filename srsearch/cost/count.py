"""Counts the exact cost of a design from its description, without building the network."""

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
    """One line of a cost: all instances of one part at one place, without the parts in their slots.

    Attributes:
        part: Description of the part.
        kind: Its place; ``network`` for the modules around the parts, such as the exit.
        instances: Number of instances, each with its own weights.
        applications: Number of times that they are applied, all together.
        area: Area that they are applied to, relative to the LR image, summed over all applications.
        params: Parameters of all instances.
        mult_adds: Mult-Adds of all applications.
        activations: Elements written by convolutions in all applications.
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
class ScaleCost:
    """What a design costs at one of its scales.

    Attributes:
        scale: Upscaling factor.
        params: Parameters that the network uses at this scale: those of the design with this upsampler only.
        mult_adds: Mult-Adds for one image at this scale.
        activations: Elements written by convolutions for one image at this scale.
    """

    scale: int
    params: int
    mult_adds: int
    activations: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a design under one convention.

    Attributes:
        params: Trainable parameters. Shared ones count once; a multi-scale design has those of all its upsamplers.
        mult_adds: Multiply-accumulates of all convolutions for one image at one scale.
        activations: Elements written by all convolutions for one image at one scale.
        convention: The convention of the count.
        scale: The scale of Mult-Adds and activations.
        design: The design.
    """

    params: int
    mult_adds: int
    activations: int
    convention: Convention
    scale: int
    design: Architecture = dataclasses.field(repr=False)

    @property
    def by_scale(self) -> dict[int, ScaleCost]:
        """The cost at each scale of the design, ascending."""
        return {scale: _at_scale(self.design, scale, self.convention) for scale in self.design.scales}

    @property
    def lines(self) -> tuple[PartCost, ...]:
        """The cost by part and place. The lines sum to the total, up to rounding at image sizes that do not divide."""
        return breakdown(self.design, self.scale, self.convention)

    @property
    def parts(self) -> pd.DataFrame:
        """`lines` as a table, with the attributes of `PartCost` as columns."""
        import pandas as pd

        return pd.DataFrame([dataclasses.asdict(line) for line in self.lines])


def count(design: Architecture, *, scale: int | None = None, convention: Convention = OURS) -> Cost:
    """Count the parameters, Mult-Adds and activations of a design without building it.

    Every distinct part is measured once, which takes a few milliseconds. After that, a design takes microseconds.

    Args:
        design: The design.
        scale: Required for a multi-scale design. Mult-Adds and activations are those of this scale, parameters those of
            all scales.
        convention: The convention; choose a paper's to compare with its printed costs.

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


def _at_scale(design: Architecture, scale: int, convention: Convention) -> ScaleCost:
    in_channels = IN_CHANNELS[design.colour]
    whole = figures(compose(design.__dict__, scale, OneDesign), scale, convention, in_channels)
    alone = compose(design.__dict__ | {"scales": (scale,)}, scale, OneDesign)
    params = figures(alone, scale, convention, in_channels)[0]
    return ScaleCost(scale, int(params), round(whole[1]), round(whole[2]))


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
        """Add the parts in the slots of ``instances`` equal parts, which are applied ``applications`` times."""
        for (slot, at), use in bill.uses.items():
            if slot == "inner_activation" and not keeps_inner:
                continue
            place, inner_keeps, level, scale = slot_place(kind, slot), True, 1, 1
            if slot == "block":
                place, inner_keeps = self.design.at_position(position_name(at))
            elif slot == "upsampler":
                scale = at
            elif slot in ("body", "refinement"):
                level = at
            line, inner = self._line(place, level, scale)
            times = (instances * use.instances, applications * use.applications, area * use.area)
            line.instances += times[0]
            line.applications += times[1]
            line.area += times[2]
            self.fill(PLACES[place], inner, *times, keeps_inner=inner_keeps)

    def _line(self, place: str, level: int, scale: int) -> tuple[_Line, Bill]:
        """The line of a part, added if it is new, and the part's bill."""
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
