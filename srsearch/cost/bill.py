"""The bill of a part, read off its module: run once on the meta device, with stubs in its slots.

A part's cost is linear in the area it works on: so many Mult-Adds for each pixel of its input, and so many for each
image (convolutions of pooled features). Two runs at different sizes give both numbers; a third must agree, else the
part is refused. Nothing is written by hand, so a bill cannot drift from its network.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from srsearch.architecture import Architecture, Factory, InvalidDesign, Network, Part
from srsearch.architecture.assembly import make_part
from srsearch.architecture.network import ImageResidual

Exact: TypeAlias = int | Fraction
"""A cost or an area without rounding."""

_SIZES = ((48, 48), (48, 96), (96, 96))
"""Sizes of the runs, LR pixels: divisible by every stride in use."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What one part costs by itself, without what stands in its slots.

    Attributes:
        weights: Trainable parameters other than biases.
        biases: Trainable biases.
        mult_adds: Mult-Adds for each pixel of the part's input.
        mult_adds_per_image: Mult-Adds that do not depend on the area.
        activations: Elements written by convolutions, for each pixel of the part's input.
        activations_per_image: The same, where it does not depend on the area.
    """

    weights: int
    biases: int
    mult_adds: Exact
    mult_adds_per_image: Exact
    activations: Exact
    activations_per_image: Exact


@dataclass(frozen=True, slots=True)
class Use:
    """Modules that a part makes in one of its slots and uses alike.

    Attributes:
        slot: The kind of part that stands there.
        scale: The scale it is made for, where the slot is an upsampler's.
        instances: How many modules there are.
        applications: How often each is applied; 0 for one that stands idle.
        area: Summed area of the inputs of each over its applications, relative to the part's input.
    """

    slot: str
    scale: int | None
    instances: int
    applications: int
    area: Exact


@dataclass(frozen=True, slots=True)
class Bill:
    """A part's own cost and what it asks of its slots."""

    own: Tally
    uses: tuple[Use, ...]


_UNCOUNTED = {
    getattr(torch.ops.aten, name)
    for name in ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "_scaled_dot_product_flash_attention_for_cpu")
}
"""Operations that cost Mult-Adds and are no convolutions; a bill without them would be wrong in silence."""


class _Stub(nn.Module):
    """Stands in a slot during measurement: notes how often, and on how much area, it is applied."""

    def __init__(self, slot: str, scale: int | None) -> None:
        super().__init__()
        self.slot, self.scale = slot, scale
        self.areas: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        self.areas.append(h * w)
        factor = self.scale or 1
        return x.new_empty((n, c, factor * h, factor * w))


class _ConvolutionCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's base is untyped
    """Counts every convolution that is executed, functional ones too."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mult_adds = 0
        self.activations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            source, weight, transposed = args[0], args[1], args[6]
            positions = source if transposed else out
            self.mult_adds += weight.numel() * positions.shape[0] * positions.shape[2:].numel()
            self.activations += out.numel()
        elif func.overloadpacket in _UNCOUNTED:
            raise InvalidDesign(f"it multiplies matrices ({func.overloadpacket}), which Mult-Adds do not count")
        return out


def measure(make: Callable[[dict[str, Factory]], nn.Module], channels: int, run: Callable[..., Tensor]) -> Bill:
    """The bill of what ``make`` makes when its slots hold stubs.

    Args:
        make: Called with a factory for every kind of slot.
        channels: Channels of the input.
        run: Called with the module and an input (1, channels, h, w) on the meta device.

    Raises:
        InvalidDesign: The part cannot be built or run, or its cost is not linear in the area.
    """
    stubs: list[_Stub] = []

    def stub(slot: str) -> Factory:
        def factory(at: int = 0) -> _Stub:
            stubs.append(_Stub(slot, at if slot == "upsampler" else None))
            return stubs[-1]

        return factory

    with torch.device("meta"):
        module = make({slot: stub(slot) for slot in ("unit", "block", "body", "upsampler")})
    counts, areas = [], []
    for height, width in _SIZES:
        for each in stubs:
            each.areas.clear()
        with torch.no_grad(), _ConvolutionCounter() as counter:
            try:
                run(module, torch.empty(1, channels, height, width, device="meta"))
            except RuntimeError as error:  # torch's word for shapes that do not fit
                raise InvalidDesign(f"it cannot be run: {error}") from None
        counts.append((counter.mult_adds, counter.activations))
        areas.append([sum(each.areas) for each in stubs])
    mult_adds = _line([count[0] for count in counts])
    activations = _line([count[1] for count in counts])
    alike: Counter[tuple[str, int | None, int, Exact]] = Counter()
    for index, each in enumerate(stubs):
        covered = _line([row[index] for row in areas])
        if covered is None or covered[1] != 0:
            raise InvalidDesign(f"the area that its {each.slot} works on is not proportional to the input's")
        alike[each.slot, each.scale, len(each.areas), covered[0]] += 1
    uses = tuple(
        Use(slot, made_for, instances, applications, area)
        for (slot, made_for, applications, area), instances in alike.items()
    )
    if mult_adds is None or activations is None:
        raise InvalidDesign("its cost is not linear in the area of its input; such a part cannot be counted exactly")
    biases = sum(p.numel() for name, p in module.named_parameters() if name.split(".")[-1] == "bias")
    weights = sum(p.numel() for p in module.parameters()) - biases
    return Bill(Tally(weights, biases, *mult_adds, *activations), uses)


def _line(values: list[int]) -> tuple[Exact, Exact] | None:
    """Slope and intercept over the areas of ``_SIZES``; None where the three points are not on a line."""
    first, second, third = (height * width for height, width in _SIZES)
    ratio = Fraction(values[1] - values[0], second - first)
    slope = ratio.numerator if ratio.denominator == 1 else ratio  # integers are many times as fast
    intercept = values[0] - slope * first
    return (slope, intercept) if slope * third + intercept == values[2] else None


@functools.lru_cache(maxsize=65536)
def _measure_part(kind: str, part: Part, channels: int, scale: int | None) -> Bill | InvalidDesign:
    def run(module: nn.Module, x: Tensor) -> Tensor:
        out: Tensor = module(x)
        factor = scale or 1
        expected = (1, channels, factor * x.shape[2], factor * x.shape[3])
        if out.shape != expected:
            raise InvalidDesign(f"{kind} {part} gives {tuple(out.shape)} where {expected} is needed")
        return out

    # A failure is kept as well: the same part would fail again for every design that has it.
    try:
        return measure(lambda slots: make_part(kind, part, channels, slots, scale), channels, run)
    except InvalidDesign as error:
        return error if str(part) in str(error) else InvalidDesign(f"{kind} {part}: {error}")


def part_bill(kind: str, part: Part, channels: int, scale: int | None) -> Bill:
    """The bill of one part, measured the first time it is asked for.

    Args:
        kind: Kind of the part.
        part: Its description.
        channels: Width where it stands.
        scale: The scale it is made for, where it is an upsampler.

    Raises:
        InvalidDesign: The part cannot stand there.
    """
    found = _measure_part(kind, part, channels, scale)
    if isinstance(found, InvalidDesign):
        raise InvalidDesign(str(found))
    return found


@functools.lru_cache(maxsize=4096)
def _measure_network(
    channels: int, scales: tuple[int, ...], global_skip: bool, image_residual: ImageResidual, scale: int
) -> Bill:
    def make(slots: dict[str, Factory]) -> nn.Module:
        return Network(channels, slots["body"], slots["upsampler"], scales, global_skip, image_residual)

    return measure(make, Network.in_channels, lambda module, x: module(x, scale=scale))


def network_bill(design: Architecture, scale: int) -> Bill:
    """The bill of a design's outermost module (entry and exit) at one of its scales."""
    return _measure_network(design.channels, design.scales, design.global_skip, design.image_residual, scale)
