"""Bodies: how blocks are wired between the entry and the upsampler.

A body asks for each block by its position, ``group_block`` counted from one: ``block("2_3")``. A block that is shared
is asked for once. Every body has two more options, which the design resolves: at which positions the activation
between a block's units is kept, and at which positions another block stands (see `positions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

import pydantic
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from srsearch.architecture.positions import join_names
from srsearch.architecture.registry import CountingInt, Factory, PositiveInt, register

Share: TypeAlias = Literal["none", "group"]
"""Recursion: ``group`` applies one block at every position of its group, ``none`` shares nothing."""


def _blocks(block: Factory, group: int, blocks: int, share: Share) -> list[nn.Module]:
    """The distinct blocks of a group."""
    return [block(f"{group}_{j + 1}") for j in range(1 if share == "group" else blocks)]


@register("body")
class Chain(nn.Sequential):
    """Blocks one after another: the baseline of the PCARN paper's Table I."""

    def __init__(self, channels: int, block: Factory, blocks: PositiveInt = 9) -> None:
        super().__init__(*_blocks(block, 1, blocks, "none"))


class CascadeLevel(nn.Module):
    """Steps in a row; behind each, where fused, a 1x1 convolution of the input and all raw outputs so far.

    The counts of CARN fit raw step outputs in the concatenation, not fused ones as the paper's equations 3-4 read.

    Args:
        channels: Width in and out.
        steps: The distinct steps; fewer than ``length`` are used again in turn (recursion), with the same weights.
        length: How many steps are applied.
        fused: Whether there are fusions.
        activation: ReLU behind each fusion (CARN has it, PCARN does not).
    """

    def __init__(self, channels: int, steps: Sequence[nn.Module], length: int, fused: bool, activation: bool) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.length = length
        self.activation = activation
        fusions = length if fused else 0
        self.fusions = nn.ModuleList(nn.Conv2d(channels * (j + 2), channels, 1) for j in range(fusions))

    def forward(self, x: Tensor) -> Tensor:
        seen, out = [x], x
        for j in range(self.length):
            out = self.steps[j % len(self.steps)](out)
            if self.fusions:
                seen.append(out)
                out = self.fusions[j](torch.cat(seen, dim=1))
                out = F.relu(out) if self.activation else out
        return out


@register("body")
class Cascade(nn.Module):
    """The cascading network of CARN and PCARN: groups of blocks, fused inside groups, across them, or both.

    Args:
        channels: Width in and out.
        block: What the groups are made of.
        groups: Number of cascading blocks.
        blocks: Blocks in each group.
        fusion: The cascading level: ``local`` (inside groups), ``global`` (across groups), ``both`` or ``none``.
        share: ``group`` applies one block at every position of its group (recursion, CARN-M), ``none`` shares nothing.
        fusion_activation: ReLU behind each fusion (CARN), or none (PCARN).
    """

    def __init__(
        self,
        channels: int,
        block: Factory,
        groups: PositiveInt = 3,
        blocks: PositiveInt = 3,
        fusion: Literal["none", "local", "global", "both"] = "both",
        share: Share = "none",
        fusion_activation: bool = False,
    ) -> None:
        super().__init__()
        local, across = fusion in ("local", "both"), fusion in ("global", "both")
        levels = [
            CascadeLevel(channels, _blocks(block, g + 1, blocks, share), blocks, local, fusion_activation)
            for g in range(groups)
        ]
        self.top = CascadeLevel(channels, levels, groups, across, fusion_activation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.top(x)
        return out


@register("body")
class ResidualGroups(nn.Module):
    """RCAN's: groups of blocks, each closed by a unit and with a skip around it, and a unit that closes the body.

    The baseline of the efficiency paper has two groups of five blocks.

    Args:
        channels: Width in and out.
        block: What the groups are made of.
        closing: Unit that closes each group and the body.
        groups: Number of groups.
        blocks: Blocks in each group.
        share: Recursion inside groups.
    """

    def __init__(
        self,
        channels: int,
        block: Factory,
        closing: Factory,
        groups: PositiveInt = 2,
        blocks: PositiveInt = 5,
        share: Share = "none",
    ) -> None:
        super().__init__()
        self.blocks = blocks
        self.groups = nn.ModuleList(nn.ModuleList(_blocks(block, g + 1, blocks, share)) for g in range(groups))
        self.group_closing = nn.ModuleList(closing() for _ in range(groups))
        self.closing = closing()

    def forward(self, x: Tensor) -> Tensor:
        for group, closing in zip(self.groups, self.group_closing, strict=True):
            x = closing(_applied(group, self.blocks, x)[-1]) + x
        closed: Tensor = self.closing(x)
        return closed


Pool: TypeAlias = Annotated[
    str,
    pydantic.BeforeValidator(join_names),
    pydantic.WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Sources of an information pool: ``none``, ``six``, ``eleven``, ``all``, or positions joined by ``+``."""

PUBLISHED_POOL = ("h", "3_1", "4_1", "5_1", "6_1", "6_2")


def pool_sources(pool: str, bunches: int, blocks: int, middle: int) -> tuple[str, ...]:
    """The sources of a symmetric body's information pool, in the order of the network.

    ``six`` are those of s-LWSR (with its depth: the entry's output, the first block of each bunch but the first, and
    the middle). The paper does not say which are its eleven ("former 11 layers"), nor which six its shallower
    variant has: ``six`` at other depths and ``eleven`` are the entry's output and blocks spread evenly.

    Raises:
        ValueError: There is no such source, or there are fewer than the preset takes.
    """
    named = [f"{bunch}_{j}" for bunch in range(2, bunches + 2) for j in range(1, blocks + 1)]
    named = ["h", *named, *(f"{bunches + 2}_{j}" for j in range(1, middle + 1))]
    if pool == "none":
        return ()
    if pool == "all":
        return tuple(named)
    if pool in ("six", "eleven"):
        if pool == "six" and (bunches, blocks, middle) == (4, 3, 2):
            return PUBLISHED_POOL
        wanted = {"six": 6, "eleven": 11}[pool]
        if wanted > len(named):
            raise ValueError(f"pool: there are {len(named)} sources here, fewer than {pool}; all would be right")
        spread = [int((i + 0.5) * (len(named) - 1) / (wanted - 1)) for i in range(wanted - 1)]
        return ("h", *(named[1 + i] for i in spread))
    asked = pool.split("+")
    for name in asked:
        if name not in named:
            raise ValueError(f"pool: no source {name!r}; there are {', '.join(named)}, or none, six, eleven, all")
    return tuple(name for name in named if name in asked)


@register("body")
class Symmetric(nn.Module):
    """s-LWSR's: bunches of blocks down one side and up the other, with skips across and an information pool.

    Bunches are numbered from 2, as in the paper. On the way down the next bunch gets the sum of the outputs of a
    bunch's first and last block; its skip is the last block's. On the way up a bunch gets the 1x1 fusion of the bunch
    before and, half each, of skip and pool; without a pool, of the skip as it is.

    Args:
        channels: Width in and out.
        block: What bunches are made of.
        bunches: On each side.
        blocks: In each bunch.
        middle: Blocks between the sides.
        pool: Sources of the information pool, see `pool_sources`.
        share: Recursion inside bunches.
    """

    def __init__(
        self,
        channels: int,
        block: Factory,
        bunches: PositiveInt = 4,
        blocks: PositiveInt = 3,
        middle: CountingInt = 2,
        pool: Pool = "six",
        share: Share = "none",
    ) -> None:
        super().__init__()
        self.blocks, self.middle_blocks = blocks, middle
        self.sources = pool_sources(pool, bunches, blocks, middle)

        def bunch(number: int, length: int) -> nn.ModuleList:
            return nn.ModuleList(_blocks(block, number, length, share))

        first_up = bunches + 2 + bool(middle)
        self.down = nn.ModuleList(bunch(2 + i, blocks) for i in range(bunches))
        self.middle = bunch(bunches + 2, middle) if middle else nn.ModuleList()
        self.pool = nn.Conv2d(len(self.sources) * channels, channels, 1, bias=False) if self.sources else None
        self.fusions = nn.ModuleList(nn.Conv2d(2 * channels, channels, 1) for _ in range(bunches))
        self.up = nn.ModuleList(bunch(first_up + i, blocks) for i in range(bunches))

    def forward(self, x: Tensor) -> Tensor:
        seen, skips, out = {"h": x}, [], x
        for number, bunch in enumerate(self.down, start=2):
            outputs = _applied(bunch, self.blocks, out)
            seen |= {f"{number}_{j}": each for j, each in enumerate(outputs, start=1)}
            skips.append(outputs[-1])
            out = outputs[0] + outputs[-1] if self.blocks > 1 else outputs[0]
        outputs = _applied(self.middle, self.middle_blocks, out)
        seen |= {f"{len(skips) + 2}_{j}": each for j, each in enumerate(outputs, start=1)}
        out = outputs[-1] if outputs else out
        pooled = self.pool(torch.cat([seen[name] for name in self.sources], dim=1)) if self.pool else None
        for bunch, fusion in zip(self.up, self.fusions, strict=True):
            skip = skips.pop()
            across = skip if pooled is None else 0.5 * skip + 0.5 * pooled
            out = _applied(bunch, self.blocks, fusion(torch.cat([out, across], dim=1)))[-1]
        return out


def _applied(bunch: Any, length: int, x: Tensor) -> list[Tensor]:
    """The outputs of ``length`` blocks in a row; fewer modules are used again in turn."""
    outputs: list[Tensor] = []
    for j in range(length):
        outputs.append(bunch[j % len(bunch)](outputs[-1] if outputs else x))
    return outputs


@register("body")
class Dense(nn.Module):
    """CSRCNN's: each block gets a 1x1 fusion (and the activation function) of the input and all outputs before it.

    Args:
        channels: Width in and out.
        block: What stands behind each fusion; in the paper the BP-U block.
        activation: Behind each fusion.
        blocks: Number of blocks.
        share: ``group`` applies one block behind every fusion.
    """

    def __init__(
        self,
        channels: int,
        block: Factory,
        activation: Factory,
        blocks: PositiveInt = 4,
        share: Share = "none",
    ) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(nn.Conv2d(channels * (i + 1), channels, 1) for i in range(blocks))
        self.activations = nn.ModuleList(activation() for _ in range(blocks))
        self.blocks = nn.ModuleList(_blocks(block, 1, blocks, share))

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for i, (fusion, activation) in enumerate(zip(self.fusions, self.activations, strict=True)):
            seen.append(self.blocks[i % len(self.blocks)](activation(fusion(torch.cat(seen, dim=1)))))
        return seen[-1]


@register("body")
class Memory(nn.Module):
    """ProSRN's memory structure: the body's input is added behind every block.

    Args:
        channels: Width in and out.
        block: In the paper ``plain``: a convolution and ReLU.
        blocks: Number of blocks.
        share: ``group`` applies one block again and again.
    """

    def __init__(self, channels: int, block: Factory, blocks: PositiveInt = 10, share: Share = "none") -> None:
        super().__init__()
        self.length = blocks
        self.blocks = nn.ModuleList(_blocks(block, 1, blocks, share))

    def forward(self, source: Tensor) -> Tensor:
        out = source
        for j in range(self.length):
            out = self.blocks[j % len(self.blocks)](out) + source
        return out
