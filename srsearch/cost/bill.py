"""The bill of a part: its cost, measured by running its module on the meta device with stubs in its slots.

The cost of a part is linear in the area that it works on: Mult-Adds for each pixel of its input, plus Mult-Adds for
each image (convolutions of pooled features). Runs at two sizes give both numbers. A run at a third size must agree,
otherwise the part is refused. No cost is written by hand, so a bill always agrees with the network.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from srsearch.architecture import Factory, InvalidDesign, Part
from srsearch.architecture.assembly import first_line, make_part
from srsearch.architecture.meta import MetaMode
from srsearch.architecture.network import IN_CHANNELS, Colour, ImageResidual
from srsearch.architecture.registry import cached

Exact: TypeAlias = int | Fraction
"""A cost or an area, not rounded."""

_SIZES = ((48, 48), (48, 96), (96, 96))
"""Height and width of the runs' inputs; divisible by all strides in use."""


class Tally(NamedTuple):
    """The cost of a part, in six numbers.

    Attributes:
        weights: Trainable parameters other than biases.
        biases: Trainable biases.
        mult_adds: Mult-Adds for each pixel of the input.
        mult_adds_per_image: Mult-Adds for each image, whatever its size.
        activations: Elements written by convolutions, for each pixel of the input.
        activations_per_image: Elements written by convolutions for each image, whatever its size.
    """

    weights: Exact = 0
    biases: Exact = 0
    mult_adds: Exact = 0
    mult_adds_per_image: Exact = 0
    activations: Exact = 0
    activations_per_image: Exact = 0


class Uses(NamedTuple):
    """How much a part uses the modules in one of its slots.

    Attributes:
        instances: Number of modules that it creates.
        applications: Number of times that it applies them, all together; 0 if it never does.
        area: Area of their inputs relative to the part's input, summed over all applications.
    """

    instances: int = 0
    applications: int = 0
    area: Exact = 0


UNUSED = Uses()


@dataclass(frozen=True, slots=True, eq=False)
class Bill:
    """A part's own cost and how much it uses its slots.

    Attributes:
        own: The cost without the modules in the slots.
        uses: The uses, by slot and the argument of its call: a position, a level, a scale, or None without argument.
    """

    own: Tally
    uses: dict[tuple[str, Any], Uses]


_MATRIX_PRODUCTS = {
    getattr(torch.ops.aten, name)
    for name in (
        "mm",
        "addmm",
        "bmm",
        "baddbmm",
        "addbmm",
        "mv",
        "addmv",
        "dot",
        "vdot",
        "addr",
        "linear",
        "_trilinear",
        "_cdist_forward",
        "_euclidean_dist",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_fused_attention_overrideable",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_cudnn_attention",
    )
    if hasattr(torch.ops.aten, name)
}
"""Operations that multiply matrices: they cost Mult-Adds, but a count of convolutions misses them."""

_FAMILIES = {
    "_fft": "transforms to frequencies",
    "fft_": "transforms to frequencies",
    "linalg_": "solves or factorises",
}
"""Prefixes of operations that are not convolutions but cost Mult-Adds, each with what they do."""

_PRODUCTS = {
    getattr(torch.ops.aten, name) for name in ("mul", "mul_", "div", "div_", "addcmul", "addcmul_", "addcdiv", "lerp")
}
"""Pointwise operations that multiply one tensor by another."""


class _Stub(nn.Module):
    """Fills a slot during a measurement and records the area of each application."""

    def __init__(self, slot: str, at: Any, channels: int | None, factor: int) -> None:
        super().__init__()
        self.key = (slot, at)
        self.channels, self.factor = channels, factor
        self.areas: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        self.areas.append(h * w)
        return x.new_empty((n, self.channels or c, self.factor * h, self.factor * w))


class _ConvolutionCounter(MetaMode):  # type: ignore[no-untyped-call]  # torch's base is untyped
    """Counts every executed convolution, functional ones too, and refuses operations with other products.

    Features may be multiplied by each other (attention) or by one learned number. A sum of features times trained
    tensors would be a convolution written by hand, which a count of convolutions misses, so it is refused. Tensors that
    are computed from weights alone count as weights.

    Args:
        module: The module that is run.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.mult_adds = 0
        self.activations = 0
        self._weights: dict[int, Tensor] = {_memory(each): each for each in module.parameters()}

    def executed(self, operation: Any, args: Any, out: Any) -> None:
        tensors = _tensors(args)
        _refuse(operation, tensors, [each for each in tensors if _memory(each) in self._weights])
        if operation is torch.ops.aten.convolution.default:
            source, weight, transposed = args[0], args[1], args[6]
            positions = source if transposed else out
            self.mult_adds += weight.numel() * positions.shape[0] * positions.shape[2:].numel()
            self.activations += out.numel()
        elif tensors and isinstance(out, Tensor) and all(_memory(each) in self._weights for each in tensors):
            self._weights[_memory(out)] = out  # keeps the tensor alive, so that its memory is not reused


def _memory(tensor: Tensor) -> int:
    """An identifier of a tensor's memory. Views share it, even on the meta device."""
    return int(tensor.untyped_storage()._cdata)


def _tensors(arguments: Any) -> list[Tensor]:
    """The tensors among arguments, including those in lists."""
    tensors = [each for each in arguments if isinstance(each, Tensor)]
    for each in arguments:
        if isinstance(each, list | tuple):
            tensors += [inner for inner in each if isinstance(inner, Tensor)]
    return tensors


def _refuse(func: Any, tensors: Sequence[Tensor], weights: Sequence[Tensor]) -> None:
    """Refuse an operation whose Mult-Adds a count of convolutions misses.

    Raises:
        InvalidDesign: The operation is refused; the message names it.
    """
    packet, name = func.overloadpacket, func.overloadpacket.__name__
    if packet in _MATRIX_PRODUCTS:
        raise InvalidDesign(f"it multiplies matrices ({packet}), which Mult-Adds do not count")
    for beginning, does in _FAMILIES.items():
        if name.startswith(beginning) and name != "linalg_vector_norm":
            raise InvalidDesign(f"it {does} ({packet}), which Mult-Adds do not count")
    if packet not in _PRODUCTS or len(tensors) < 2:
        return
    features = [each for each in tensors if not any(each is weight for weight in weights)]
    if features and any(each.numel() > 1 for each in weights):
        raise InvalidDesign(
            f"it multiplies features by a trained tensor ({packet}), which Mult-Adds do not count; "
            "use a convolution, which is counted"
        )
    largest = math.prod(np.broadcast_shapes(*(each.shape for each in tensors)))
    if features and largest > max(each.numel() for each in tensors):
        raise InvalidDesign(f"it multiplies every value by several others ({packet}), which Mult-Adds do not count")


def measure(
    make: Callable[[Callable[[str], Factory]], nn.Module],
    run: Callable[[nn.Module, Tensor], Tensor],
    in_channels: int,
    features: int | None = None,
) -> Bill:
    """Measure the bill of a module with stubs in its slots.

    Args:
        make: Constructs the module; called with a function that returns the factory of a slot, by the slot's name.
        run: Runs the module; called with it and an input (1, in_channels, h, w) on the meta device.
        in_channels: Number of channels of the input.
        features: Number of channels that an entry gives, to measure levels.

    Raises:
        InvalidDesign: The module cannot be constructed or run, or its cost is not linear in the area.
    """
    stubs: list[_Stub] = []

    def slot(name: str) -> Factory:
        def factory(*at: Any) -> _Stub:
            where: Any = at[0] if at else None
            stubs.append(_Stub(name, where, features if name == "entry" else None, where if name == "upsampler" else 1))
            return stubs[-1]

        return factory

    with torch.device("meta"):
        module = make(slot)
    _refuse_lazy(module)
    counts, areas = [], []
    for height, width in _SIZES:
        for each in stubs:
            each.areas.clear()
        with torch.no_grad(), _ConvolutionCounter(module) as counter:
            try:
                run(module, torch.empty(1, in_channels, height, width, device="meta"))
            except InvalidDesign:
                raise
            except (
                Exception
            ) as error:  # such as torch's error for wrong shapes; a part from a plugin may raise anything
                raise InvalidDesign(f"it cannot be run: {first_line(error)}") from None
        counts.append((counter.mult_adds, counter.activations))
        areas.append([sum(each.areas) for each in stubs])
    mult_adds = _line([count[0] for count in counts])
    activations = _line([count[1] for count in counts])
    uses: dict[tuple[str, Any], Uses] = {}
    for index, each in enumerate(stubs):
        covered = _line([row[index] for row in areas])
        if covered is None or covered[1] != 0:
            if each.key[0] in ("activation", "inner_activation"):  # applied to pooled features
                covered = (0, 0)
            else:
                raise InvalidDesign(f"the area that its {each.key[0]} works on is not proportional to the input's")
        instances, applications, area = uses.get(each.key, UNUSED)
        uses[each.key] = Uses(instances + 1, applications + len(each.areas), area + covered[0])
    if mult_adds is None or activations is None:
        raise InvalidDesign("its cost is not linear in the area of its input; such a part cannot be counted exactly")
    trained = {name: p.numel() for name, p in module.named_parameters() if p.requires_grad}
    biases = sum(size for name, size in trained.items() if name.split(".")[-1] == "bias")
    weights = sum(trained.values()) - biases
    return Bill(Tally(weights, biases, *mult_adds, *activations), uses)


def _refuse_lazy(module: nn.Module) -> None:
    """Refuse a module with lazy weights, whose shapes are not known until it first runs: they cannot be initialised.

    Raises:
        InvalidDesign: The module has lazy weights; the message names the first.
    """
    for name, parameter in [*module.named_parameters(), *module.named_buffers()]:
        if nn.parameter.is_lazy(parameter):
            raise InvalidDesign(f"its {name} has no shape until it first runs; give the number of its input channels")


def _line(values: list[int]) -> tuple[Exact, Exact] | None:
    """Slope and intercept of values over the areas of `_SIZES`; None if the three points are not on a line."""
    first, second, third = (height * width for height, width in _SIZES)
    ratio = Fraction(values[1] - values[0], second - first)
    slope = ratio.numerator if ratio.denominator == 1 else ratio  # integers are much faster than fractions
    intercept = values[0] - slope * first
    return (slope, intercept) if slope * third + intercept == values[2] else None


_Measuring = TypeVar("_Measuring", bound=Callable[..., Bill])


def _cached_with_failures(measuring: _Measuring) -> _Measuring:
    """Cache a function by its arguments, including failures: a part that fails in one design fails in all."""

    @cached
    def outcome_of(*arguments: Any) -> Bill | InvalidDesign:
        try:
            return measuring(*arguments)
        except InvalidDesign as error:
            return error

    @functools.wraps(measuring)
    def measured(*arguments: Any) -> Bill:
        outcome = outcome_of(*arguments)
        if isinstance(outcome, InvalidDesign):
            raise InvalidDesign(str(outcome))
        return outcome

    return cast(_Measuring, measured)


@_cached_with_failures
def _measured_part(kind: str, part: Part, channels: int, in_channels: int, scale: int) -> Bill:
    before = in_channels if kind == "entry" else channels
    place = {"channels": channels, "in_channels": in_channels, "scale": scale}

    def run(module: nn.Module, x: Tensor) -> Tensor:
        out: Tensor = module(x)
        expected = (1, channels, scale * x.shape[2], scale * x.shape[3])
        if out.shape != expected:
            raise InvalidDesign(f"{kind} {part} gives {tuple(out.shape)} where {expected} is needed")
        return out

    try:
        return measure(lambda slots: make_part(kind, part, place, slots), run, before)
    except InvalidDesign as error:
        raise error if str(part) in str(error) else InvalidDesign(f"{kind} {part}: {error}") from None


def part_bill(kind: str, part: Part, channels: int, *, in_channels: int = 3, scale: int = 1) -> Bill:
    """The bill of one part, measured at the first call and then cached.

    Args:
        kind: Kind of the part.
        part: Description of the part.
        channels: Number of channels at its place.
        in_channels: Number of channels of the image, for an entry.
        scale: Upscaling factor, for an upsampler.

    Raises:
        InvalidDesign: The part does not fit, cannot be run, or has no exact cost.
    """
    return _measured_part(kind, part, channels, in_channels, scale)


@_cached_with_failures
def network_bill(
    levels: Part,
    channels: int,
    colour: Colour,
    scales: tuple[int, ...],
    global_skip: bool,
    image_residual: ImageResidual,
    scale: int,
) -> Bill:
    """The bill of a design's network without its parts (the exit and a learned image residual), at one of its scales.

    Raises:
        InvalidDesign: The levels cannot reach one of the scales, or have no exact cost.
    """
    place = {
        "channels": channels,
        "in_channels": IN_CHANNELS[colour],
        "scales": scales,
        "global_skip": global_skip,
        "image_residual": image_residual,
    }
    return measure(
        lambda slots: make_part("levels", levels, place, slots),
        lambda module, x: module(x, scale=scale),
        IN_CHANNELS[colour],
        channels,
    )
