"""Reads how the parts of a design are connected from a run of its network.

The network is built on the meta device, with stubs for its parts, and run once. The connections are those that were
executed, so they are right for bodies from plugins, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from srsearch.architecture.assembly import InvalidDesign, first_line, position_name, slot_calls
from srsearch.architecture.build import Assembler
from srsearch.architecture.meta import MetaMode
from srsearch.architecture.network import Network

if TYPE_CHECKING:
    from srsearch.architecture.design import Architecture

_SIDE = 48
"""Side of the LR image in the run; divisible by all strides in use."""


@dataclass(frozen=True)
class Box:
    """One application of a part, or of an operation that combines several results.

    Attributes:
        kind: ``image``, ``entry``, ``block``, ``closing``, ``unit``, ``convolution`` (the body's own, such as a
            fusion), ``upsampler``, ``refinement``, ``exit``, ``image_upsampler``, ``output`` or ``operation``.
        name: The position of a block, the factor of an upsampler, the size of a convolution such as ``1x1``, or the
            name of an operation such as ``add`` or ``cat``; empty for other boxes.
        part: The part with its options; empty if the box is not a registered part.
        level: Number of its level, from 1. A body that runs after an upsampler begins the next level.
        first: Index of the first box with the same weights; its own index if it is the first.
        compressed: Whether it is a block of the place ``compressed``.
        keeps_activation: Whether it has the activation between its two units; True for parts without such an
            activation.
        head: The scale, if it belongs to the head of another scale than the wiring's; else 0.
    """

    kind: str
    name: str = ""
    part: str = ""
    level: int = 1
    first: int = 0
    compressed: bool = False
    keeps_activation: bool = True
    head: int = 0


@dataclass(frozen=True)
class Wiring:
    """A network as boxes and arcs.

    Attributes:
        boxes: In the order of execution; the first is the image, the last is the output. Operations on a single result,
            such as activation functions, are not boxes. The heads of other scales follow, each up to its own output.
        arcs: Pairs of indices of boxes, source and target, sorted by target, then by the order of the target's inputs.
        channels: Number of channels between entry and exit.
        scale: The scale that the network was run at.
        scales: All scales of the network.
        unit: The unit of its blocks; empty if they have no units.
        global_skip: Whether the input of each body is added to its output.
    """

    boxes: tuple[Box, ...]
    arcs: tuple[tuple[int, int], ...]
    channels: int
    scale: int
    scales: tuple[int, ...]
    unit: str = ""
    global_skip: bool = False

    def sources(self, index: int) -> tuple[int, ...]:
        """The indices of the boxes whose results a box takes."""
        return tuple(source for source, target in self.arcs if target == index)


def read_wiring(design: Architecture, scale: int | None = None) -> Wiring:
    """Read the wiring of a design's network.

    Args:
        design: The design.
        scale: One of the design's scales. None: the largest, with the heads of the others.

    Raises:
        InvalidDesign: The parts do not fit together, or the network cannot be run.
        ValueError: The scale is not one of the design's.

    Example:
        >>> wiring = read_wiring(catalogue.get("carn-m", scale=4))
        >>> [box.name for box in wiring.boxes if box.kind == "block"][:3]
        ['1_1', '1_1', '1_1']
    """
    design.check_placement()
    heads = reversed(design.scales[:-1]) if scale is None else ()
    scale = design.scales[-1] if scale is None else scale
    trace = _Trace()
    with torch.device("meta"):
        network = _Outline(design, trace).network().eval()
    with torch.no_grad(), trace:
        try:
            _run(network, scale, trace)
            whole = len(trace.boxes)
            for head in heads:
                begun = len(trace.boxes)
                trace.restart()
                _run(network, head, trace)
                trace.keep_head(begun, whole, head)
        except (InvalidDesign, ValueError):
            raise
        except Exception as error:  # a part from a plugin may raise anything
            raise InvalidDesign(f"it cannot be run: {first_line(error)}") from None
    unit = str(design.unit) if trace.units else ""
    return Wiring(
        tuple(trace.boxes), tuple(trace.arcs), design.channels, scale, design.scales, unit, design.global_skip
    )


def _run(network: Network, scale: int, trace: _Trace) -> None:
    image = torch.empty(1, network.in_channels, _SIDE, _SIDE, device="meta")
    trace.add(Box("image"), image)
    out = network(image, scale=scale)
    trace.add(Box("output"), out, [out])


class _Trace(MetaMode):  # type: ignore[no-untyped-call]  # torch's base is untyped
    """Records boxes and arcs while a network runs."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes: list[Box] = []
        self.arcs: list[tuple[int, int]] = []
        self.units = False
        self._level = 1
        self._upsampled = False
        self._origins: dict[int, int] = {}
        self._first: dict[int, int] = {}
        self._paused = False
        self._alive: list[Tensor] = []  # keeps tensors alive, so that their ids stay unique

    def restart(self) -> None:
        """Begin another run of the network, with an image of its own."""
        self._level, self._upsampled = 1, False

    def keep_head(self, begun: int, whole: int, scale: int) -> None:
        """Of a run at another scale, keep only the boxes that the first run does not have.

        Args:
            begun: Index of the run's first box.
            whole: Number of boxes of the first run.
            scale: The scale of the run.
        """
        place = dict(zip(range(begun), range(begun), strict=True))
        made, arcs = self.boxes[begun:], [arc for arc in self.arcs if arc[1] >= begun]
        self.boxes, self.arcs = self.boxes[:begun], [arc for arc in self.arcs if arc[1] < begun]
        same = True  # the runs are equal up to the head
        for offset, box in enumerate(made):
            index = begun + offset
            sources = [place[source] for source, target in arcs if target == index]
            first = place.get(box.first, len(self.boxes))
            same = same and offset < whole and self._equal(offset, box, sources, first)
            place[index] = offset if same else len(self.boxes)
            if not same:
                self.boxes.append(replace(box, first=place.get(box.first, place[index]), head=scale))
                self.arcs += [(source, place[index]) for source in sources]

    def _equal(self, index: int, box: Box, sources: list[int], first: int) -> bool:
        """Whether a box of the first run is a box of another, given its inputs and weights in terms of the first."""
        other = self.boxes[index]
        weights = other.first == first or (other.first == index and first == len(self.boxes))
        alike = replace(box, first=other.first) == other
        return alike and weights and [source for source, target in self.arcs if target == index] == sources

    def begin_body(self) -> None:
        """Begin the next level if an upsampler has run since the last entry or body."""
        self._level += self._upsampled
        self._upsampled = False

    def pause(self, paused: bool) -> None:
        """Stop or resume recording operations as boxes: those inside a module that is one box are not recorded."""
        self._paused = paused

    def end(self, box: Box, out: Tensor, inputs: list[Tensor], weights: object) -> None:
        """Record the box of a module whose operations were not recorded, and resume."""
        self._paused = False
        self.add(box, out, inputs, weights)

    def add(self, box: Box, out: Tensor, inputs: list[Tensor] | None = None, weights: object = None) -> None:
        """Record a box.

        Args:
            box: Its kind, name and part.
            out: Its result.
            inputs: Its inputs.
            weights: An object that boxes with the same weights share; None if the box has no weights.
        """
        index = len(self.boxes)
        first = index if weights is None else self._first.setdefault(id(weights), index)
        self.boxes.append(Box(box.kind, box.name, box.part, self._level, first, box.compressed, box.keeps_activation))
        self.arcs += [(source, index) for source in self._sources(inputs or [])]
        self._upsampled |= box.kind == "upsampler"
        self._mark(out, index)

    def executed(self, operation: Any, args: Any, out: Any) -> None:
        sources = self._sources(args)
        if operation is torch.ops.aten.convolution.default and not self._paused:
            weight = args[1]
            size = "x".join(map(str, weight.shape[2:]))
            self._alive.append(weight)
            self.add(Box("convolution", size, f"{size} convolution"), out, [args[0]], weight)
        elif len(sources) > 1:
            self.add(Box("operation", operation.overloadpacket.__name__.rstrip("_")), out, list(_tensors(args)))
        elif sources:
            for each in _tensors(out):
                self._mark(each, sources[0])

    def _sources(self, values: Any) -> list[int]:
        origins = (self._origins.get(id(each)) for each in _tensors(values))
        return list(dict.fromkeys(origin for origin in origins if origin is not None))

    def _mark(self, tensor: Tensor, index: int) -> None:
        self._origins[id(tensor)] = index
        self._alive.append(tensor)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


class _Stub(nn.Module):
    """Takes the place of a part: returns features of the right shape and records the application."""

    def __init__(self, trace: _Trace, box: Box, channels: int | None = None, factor: int = 1) -> None:
        super().__init__()
        self._trace, self._box, self._channels, self._factor = trace, box, channels, factor

    def forward(self, x: Tensor) -> Tensor:
        if self._box.kind == "entry":
            self._trace.begin_body()
        n, c, h, w = x.shape
        out = x.new_empty((n, self._channels or c, self._factor * h, self._factor * w))
        self._trace.add(self._box, out, [x], self)
        return out


class _Outline(Assembler):
    """Builds the network with stubs for all parts except levels and bodies."""

    def __init__(self, design: Architecture, trace: _Trace) -> None:
        super().__init__(design)
        self._trace = trace

    def network(self) -> Network:
        network = super().network()
        self._observe(network.exit, Box("exit", "", "3x3 convolution"))
        for module in network.image_upsamplers.values():
            self._observe(module, Box("image_upsampler", "", "transposed convolution"))
        return network

    def _observe(self, module: nn.Module, box: Box) -> None:
        """Record a module of the network itself as one box, whatever it executes."""
        module.register_forward_pre_hook(lambda *_: self._trace.pause(True))
        module.register_forward_hook(lambda _, inputs, out: self._trace.end(box, out, list(inputs), module))

    def _module(self, kind: str, place: str, level: int = 1, *, keeps_inner: bool = True, scale: int = 0) -> nn.Module:
        part = self._design.part_at(place, level)
        if kind == "body":
            body = super()._module(kind, place, level)
            body.register_forward_pre_hook(lambda *_: self._trace.begin_body())
            return body
        if kind == "activation" or (kind == "refinement" and part.name == "none"):
            return nn.Identity()
        if kind == "upsampler":
            return _Stub(self._trace, Box(kind, f"x{scale}", str(part)), None, scale)
        channels = self._design.channels if kind == "entry" else None
        return _Stub(self._trace, Box("closing" if place == "closing" else kind, "", str(part)), channels)

    def _block(self, *at: Any) -> nn.Module:
        position = position_name(*at)
        place, keeps_inner = self._design.at_position(position)
        part = self._design.part_at(place)
        slots = slot_calls("block", part, self._design.channels).slots
        self._trace.units |= "unit" in slots
        keeps = keeps_inner or "inner_activation" not in slots
        return _Stub(self._trace, Box("block", position, str(part), 1, 0, place == "compressed", keeps))
