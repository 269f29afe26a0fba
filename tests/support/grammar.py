"""Random descriptions of the whole grammar, their neighbours, and fingerprints of what networks compute."""

from __future__ import annotations

import copy
import random
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from srsearch.architecture import Architecture
from srsearch.architecture.build import Assembler

CHANNELS = (4, 8, 12)

UNITS: dict[str, dict[str, tuple[Any, ...]]] = {
    "conv": {},
    "grouped": {"groups": (1, 2, 4)},
    "bottleneck": {"reduction": (1, 2, 4), "bias": ("last", "all")},
    "resnext": {"reduction": (1, 2), "groups": (1, 2, 4, 8), "bias": ("last", "all")},
    "mobilenet_v1": {"bias": ("last", "all")},
    "effnet": {"reduction": (1, 2), "bias": ("last", "all")},
    "shufflenet_v1": {"reduction": (1, 2), "groups": (1, 2), "bias": ("last", "all")},
    "clcnet": {"groups_1": (2, 4, 8), "groups_2": (1, 2), "bias": ("last", "all")},
    "shufflenet_v2": {"bias": ("last", "all")},
    "inverted_residual": {"expansion": (1, 2), "bias": ("last", "all")},
}
BLOCKS: dict[str, dict[str, tuple[Any, ...]]] = {
    "plain": {},
    "residual": {},
    "efficient_residual": {},
    "scaled_residual": {"alpha": (1.0, 0.1)},
    "rcab": {"reduction": (2, 16)},
    "inverted_residual": {"expansion": (1, 2), "bias": (False, True), "norm": (False, True)},
    "bp_u": {},
    "t_u": {},
}
PLACEMENT: dict[str, tuple[Any, ...]] = {
    "activations": ("all", "none", "half", "third", "two_thirds", "rare", 0.75, "1_1", "1_1+1_2"),
    "compress": ("none", "all", "half", 1, 2, "1_1"),
}
SMALL = (1, 2, 3)
SHARE = ("none", "group")
POOL: dict[str, tuple[Any, ...]] = {
    "sources": ("none", "none", "none", "all", "h", "1_1", "1_2+h", "2_1+1_1"),
    "source_fusion": ("conv", "mean"),
}
BODIES: dict[str, dict[str, tuple[Any, ...]]] = {
    "chain": {"blocks": (1, 2, 3, 4), **POOL, **PLACEMENT},
    "cascade": {
        "groups": SMALL,
        "blocks": (1, 2),
        "fusion": ("none", "local", "global", "both"),
        "share": SHARE,
        "fusion_activation": (False, True),
        **POOL,
        **PLACEMENT,
    },
    "residual_groups": {"groups": (1, 2), "blocks": SMALL, "share": SHARE, **POOL, **PLACEMENT},
    "symmetric": {
        "bunches": (1, 2),
        "blocks": (1, 2),
        "middle": (0, 1, 2),
        "pool": ("none", "all", "h", "h+2_1", "2_1", "six"),
        "share": SHARE,
        "source_fusion": ("conv", "mean"),
        "activations": ("all", "none", "half", "rare", "2_1", "2_1+3_1"),
        "compress": ("none", "all", "2_1", 1),
    },
    "dense": {"blocks": SMALL, "share": SHARE, **POOL, **PLACEMENT},
    "memory": {"blocks": SMALL, "share": SHARE, **POOL, **PLACEMENT},
}
PARTS: dict[str, dict[str, dict[str, tuple[Any, ...]]]] = {
    "unit": UNITS,
    "closing": UNITS,
    "upsampler_unit": UNITS,
    "block": BLOCKS,
    "compressed": BLOCKS,
    "body": BODIES,
    "upsampler": {
        "pixel_shuffle": {"groups": (1, 2), "activation": (True, False)},
        "erum": {},
        "transposed": {"kernel": (4, 6), "bias": (True, False), "activation": (True, False)},
    },
    "refinement": {"none": {}, "refined": {"blocks": (0, 1, 2), "tail": (1, 2)}},
    "entry": {"conv": {"convs": (1, 2), "activation": ("none", "between", "all")}},
    "levels": {
        "direct": {},
        "pyramid": {
            "blocks_2": ("same", 1, 2, 3),
            "blocks_3": ("same", 1, 2),
            "refine_2": ("same", 0, 1),
            "refine_3": ("same", 0, 1),
            "blocks_4": ("same", "same", 1),
            "refine_4": ("same", "same", 1),
        },
        "progressive": {},
    },
    "activation": {"relu": {}, "leaky_relu": {"slope": (0.1, 0.2)}, "prelu": {}, "silu": {}, "gelu": {}},
}
PLAIN: dict[str, tuple[Any, ...]] = {
    "scale": (2, 3, 4, 8, 16, (2, 3), (2, 4), (2, 3, 4), (2, 4, 8, 16)),
    "channels": CHANNELS,
    "global_skip": (True, False),
    "image_residual": ("none", "bicubic", "learned"),
    "colour": ("rgb", "luminance"),
}


def random_part(rng: random.Random, place: str) -> dict[str, dict[str, Any]]:
    name = rng.choice(list(PARTS[place]))
    return {name: {option: rng.choice(values) for option, values in PARTS[place][name].items()}}


def random_description(rng: random.Random) -> dict[str, Any]:
    plain = {name: rng.choice(values) for name, values in PLAIN.items()}
    return plain | {place: random_part(rng, place) for place in PARTS}


def neighbour(rng: random.Random, plain: dict[str, Any]) -> dict[str, Any]:
    """A copy of a description with one to three fields or options changed."""
    changed = copy.deepcopy(plain)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        field = rng.choice([*PLAIN, *PARTS, "body", "body", "levels", "unit"])
        if field in PLAIN:
            changed[field] = rng.choice(PLAIN[field])
            continue
        (name,) = changed[field]
        options = PARTS[field][name]
        if options and rng.random() < 0.7:
            option = rng.choice(list(options))
            changed[field][name][option] = rng.choice(options[option])
        else:
            changed[field] = random_part(rng, field)
    return changed


class Trace(TorchDispatchMode):
    """Records the executed operations: their names, the results that they read, and the weights with their shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[int, str] = {}
        self.kept: list[Any] = []
        self.operations: list[Any] = []
        self.weights = 0

    def name(self, tensor: torch.Tensor) -> str:
        if id(tensor) not in self.names:
            # Seen first as an operand: a weight (or the input), numbered in the order of use.
            self.names[id(tensor)] = f"w{self.weights}{tuple(tensor.shape)}"
            self.weights += 1
            self.kept.append(tensor)
        return self.names[id(tensor)]

    def plain(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self.name(value)
        return [self.plain(each) for each in value] if isinstance(value, list | tuple) else repr(value)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is not torch.ops.aten.detach.default:
            self.operations.append((str(func), self.plain(args), self.plain(list((kwargs or {}).values()))))
            for index, each in enumerate(out if isinstance(out, list | tuple) else (out,)):
                self.names[id(each)] = f"r{len(self.operations)}.{index}"
                self.kept.append(each)
        return out


def fingerprint(design: Architecture) -> str:
    """What a design computes, as text: operations, operands, shapes and shared weights, at each of its scales.

    The network is traced on a tiny image: PyTorch's own tracing of shapes takes three times as long.
    """
    design.check_placement()
    network = Assembler(design).network().eval()
    traces = []
    for scale in design.scales:
        with torch.no_grad(), Trace() as trace:
            network(torch.zeros(1, network.in_channels, 5, 6), scale=scale)
        traces.append(trace.operations)
    return repr(traces)
