"""Bodies, which connect the blocks between the entry and the upsampler: (n, channels, h, w) to (n, channels, h, w).

A body creates each block by calling ``block(position)``, where a position is ``group_block``, such as ``"2_3"``. A
shared block is created once. Every body has two more options, which the design resolves: ``activations``, the
positions whose block keeps the activation between its units, and ``compress``, the positions that have another block
(see `srsearch.architecture.positions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

import pydantic
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from srsearch.architecture.positions import join_names
from srsearch.architecture.registry import CountingInt, Factory, PositiveInt, Subsets, register

Share: TypeAlias = Literal["none", "group"]
"""Recursion: ``group`` applies one block at all positions of a group, ``none`` shares nothing."""


Pool: TypeAlias = Annotated[
    str,
    pydantic.BeforeValidator(join_names),
    Subsets(),
    pydantic.WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Sources of an information pool: a preset, or positions joined by ``+``; ``h`` is the entry's output."""

SourceFusion: TypeAlias = Literal["conv", "mean"]
"""How an information pool fuses its sources: by a 1x1 convolution without bias, or by their mean."""


POOLED_BODIES = frozenset({"chain", "cascade", "residual_groups", "dense", "memory"})
"""The bodies that have the options ``sources`` and ``source_fusion``; the symmetric body has ``pool``."""


def chosen_sources(sources: str, positions: Sequence[str]) -> tuple[str, ...]:
    """The sources of an information pool, in the order of the network.

    Args:
        sources: ``none``, ``all``, or names joined by ``+``: ``h`` (the body's input), positions.
        positions: The positions of the body's blocks.

    Raises:
        ValueError: There is no such source.
    """
    named = ("h", *positions)
    if sources in ("none", "all"):
        return named if sources == "all" else ()
    names = sources.split("+")
    for name in names:
        if name not in named:
            raise ValueError(f"sources: no source {name!r}; there are {', '.join(named)}, or none, all")
    return tuple(name for name in named if name in names)


def applied_positions(groups: int, blocks: int) -> tuple[str, ...]:
    """The positions of a body's blocks in the order in which they are applied, shared blocks at each of theirs."""
    return tuple(f"{group + 1}_{j + 1}" for group in range(groups) for j in range(blocks))


class InformationPool(nn.Module):
    """The sum of a body's output and of fused outputs of its blocks: s-LWSR's pool, for bodies without a second side.

    Args:
        channels: Number of channels.
        sources: The sources, see `chosen_sources`.
        positions: The positions of the body's blocks, in the order in which they are applied.
        fusion: How the sources are fused.
    """

    def __init__(self, channels: int, sources: str, positions: Sequence[str], fusion: SourceFusion) -> None:
        super().__init__()
        names = chosen_sources(sources, positions)
        self.indices = tuple(("h", *positions).index(name) for name in names)
        self.conv = nn.Conv2d(len(names) * channels, channels, 1, bias=False) if names and fusion == "conv" else None

    def forward(self, out: Tensor, seen: Sequence[Tensor]) -> Tensor:
        """Add the fused sources to the body's output.

        Args:
            out: (n, channels, h, w), the body's output.
            seen: The body's input, and the output of the block at each position.
        """
        if not self.indices:
            return out
        return out + fused_sources([seen[index] for index in self.indices], self.conv)


def fused_sources(features: Sequence[Tensor], conv: nn.Module | None) -> Tensor:
    """Features fused by a 1x1 convolution of their concatenation; None: by their mean."""
    if conv is None:
        return torch.stack(list(features)).mean(dim=0)
    fused: Tensor = conv(torch.cat(list(features), dim=1))
    return fused


def _blocks(block: Factory, group: int, blocks: int, share: Share) -> list[nn.Module]:
    """Create the distinct blocks of a group."""
    return [block(f"{group}_{j + 1}") for j in range(1 if share == "group" else blocks)]


@register("body")
class Chain(nn.Sequential):
    """Blocks in a row; the baseline in Table I of the PCARN paper.

    Args:
        channels: Number of channels in and out.
        block: Slot of the blocks.
        blocks: Number of blocks.
        sources: Sources of an information pool, whose result is added to the output; see `chosen_sources`.
        source_fusion: How the sources are fused.
    """

    def __init__(
        self,
        channels: int,
        block: Factory,
        blocks: PositiveInt = 9,
        sources: Pool = "none",
        source_fusion: SourceFusion = "conv",
    ) -> None:
        super().__init__(*_blocks(block, 1, blocks, "none"))
        self.length = blocks
        # Without a pool there is no module for it, so that the blocks are all that the sequence has.
        if sources != "none":
            self.add_module("pool", InformationPool(channels, sources, applied_positions(1, blocks), source_fusion))

    def forward(self, x: Tensor) -> Tensor:
        pooled, seen, out = len(self) > self.length, [x], x
        for index in range(self.length):
            out = self[index](out)
            if pooled:
                seen.append(out)
        return self[self.length](out, seen) if pooled else out


class CascadeLevel(nn.Module):
    """Steps in a row, each followed by a fusion: a 1x1 convolution of the input and the outputs of all steps so far.

    The fusions take the raw outputs of the steps, as in the released code of CARN. Eqs. 3-4 of the PCARN paper write
    fused outputs instead. Both cost the same, except that Eq. 3 also lists the input twice, which does not fit the
    sizes in Table I.

    Args:
        channels: Number of channels in and out.
        steps: The distinct steps. If there are fewer than ``length``, they are applied in turn (recursion).
        length: Number of steps that are applied.
        fused: Whether fusions follow the steps.
        activation: Whether ReLU follows each fusion (in CARN; not in PCARN).
    """

    def __init__(self, channels: int, steps: Sequence[nn.Module], length: int, fused: bool, activation: bool) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.length = length
        self.activation = activation
        fusions = length if fused else 0
        self.fusions = nn.ModuleList(nn.Conv2d(channels * (j + 2), channels, 1) for j in range(fusions))

    def forward(self, x: Tensor, outputs: list[Tensor] | None = None) -> Tensor:
        """Run the steps.

        Args:
            x: (n, channels, h, w).
            outputs: Receives the output of each block, for an information pool.
        """
        seen, out = [x], x
        for j in range(self.length):
            step = self.steps[j % len(self.steps)]
            if isinstance(step, CascadeLevel):
                out = step(out, outputs)
            else:
                out = step(out)
                if outputs is not None:
                    outputs.append(out)
            if self.fusions:
                seen.append(out)
                out = self.fusions[j](torch.cat(seen, dim=1))
                out = F.relu(out) if self.activation else out
        return out


@register("body")
class Cascade(nn.Module):
    """The cascading body of CARN and PCARN: groups of blocks with fusions inside groups, across groups, or both.

    Args:
        channels: Number of channels in and out.
        block: Slot of the blocks.
        groups: Number of groups, which the papers call cascading blocks.
        blocks: Number of blocks in each group.
        fusion: Where fusions are: ``local`` (inside groups), ``global`` (across groups), ``both`` or ``none``.
        share: ``group`` applies one block at all positions of a group (recursion, CARN-M), ``none`` shares nothing.
        fusion_activation: Whether ReLU follows each fusion (in CARN; not in PCARN).
        sources: Sources of an information pool, whose result is added to the output; see `chosen_sources`.
        source_fusion: How the sources are fused.
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
        sources: Pool = "none",
        source_fusion: SourceFusion = "conv",
    ) -> None:
        super().__init__()
        local, across = fusion in ("local", "both"), fusion in ("global", "both")
        levels = [
            CascadeLevel(channels, _blocks(block, g + 1, blocks, share), blocks, local, fusion_activation)
            for g in range(groups)
        ]
        self.top = CascadeLevel(channels, levels, groups, across, fusion_activation)
        self.pool = InformationPool(channels, sources, applied_positions(groups, blocks), source_fusion)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x] if self.pool.indices else None
        out: Tensor = self.top(x, seen)
        return out if seen is None else self.pool(out, seen)


@register("body")
class ResidualGroups(nn.Module):
    """RCAN's body: groups of blocks, each closed by a unit and with a skip around it, and a unit that closes the body.

    The baseline of the efficiency paper (Section 4.1) has two groups of five blocks.

    Args:
        channels: Number of channels in and out.
        block: Slot of the blocks.
        closing: Slot of the units that close each group and the body.
        groups: Number of groups.
        blocks: Number of blocks in each group.
        share: ``group`` applies one block at all positions of a group, ``none`` shares nothing.
        sources: Sources of an information pool, whose result is added to the output; see `chosen_sources`.
        source_fusion: How the sources are fused.
    """

    def __init__(
        self,
        channels: int,
        block: Factory,
        closing: Factory,
        groups: PositiveInt = 2,
        blocks: PositiveInt = 5,
        share: Share = "none",
        sources: Pool = "none",
        source_fusion: SourceFusion = "conv",
    ) -> None:
        super().__init__()
        self.blocks = blocks
        self.groups = nn.ModuleList(nn.ModuleList(_blocks(block, g + 1, blocks, share)) for g in range(groups))
        self.group_closing = nn.ModuleList(closing() for _ in range(groups))
        self.closing = closing()
        self.pool = InformationPool(channels, sources, applied_positions(groups, blocks), source_fusion)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for group, closing in zip(self.groups, self.group_closing, strict=True):
            outputs = _applied(group, self.blocks, x)
            seen += outputs if self.pool.indices else []
            x = closing(outputs[-1]) + x
        out: Tensor = self.pool(self.closing(x), seen)
        return out


PUBLISHED_POOL = ("h", "3_1", "4_1", "5_1", "6_1", "6_2")


def pool_sources(pool: str, bunches: int, blocks: int, middle: int) -> tuple[str, ...]:
    """The sources of a symmetric body's information pool, in the order of the network.

    At s-LWSR's depth, ``six`` are the sources of its Eq. 3: the entry's output, the first block of each bunch but the
    first, and both blocks of the middle. The paper does not say which sources its ``eleven`` are ("former 11 layers"),
    nor which its shallower variant has. ``eleven``, and ``six`` at other depths, are therefore the entry's output and
    blocks spread evenly.

    Args:
        pool: ``none``, ``six``, ``eleven``, ``all``, or names joined by ``+``: ``h`` (the entry's output), positions.
        bunches: Number of bunches on each side.
        blocks: Number of blocks in each bunch.
        middle: Number of blocks between the sides.

    Raises:
        ValueError: There is no such source, or fewer sources than the preset takes.
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
        number = {"six": 6, "eleven": 11}[pool]
        if number > len(named):
            raise ValueError(f"pool: there are {len(named)} sources here, fewer than {pool}; write all instead")
        spread = [int((i + 0.5) * (len(named) - 1) / (number - 1)) for i in range(number - 1)]
        return ("h", *(named[1 + i] for i in spread))
    names = pool.split("+")
    for name in names:
        if name not in named:
            raise ValueError(f"pool: no source {name!r}; there are {', '.join(named)}, or none, six, eleven, all")
    return tuple(name for name in named if name in names)


@register("body")
class Symmetric(nn.Module):
    """s-LWSR's body (Section III-B, III-C): bunches of blocks down one side and up the other, with skips and a pool.

    The connections are those of the released code, which numbers bunches from 2 (Eq. 3 of the paper from 1):

    - On the way down, a bunch takes the sum of the outputs of the first and the last block of the bunch before it
      (Eq. 2 sums the first two blocks). The skip is the output of the last block.
    - The information pool is a 1x1 convolution of several blocks' outputs.
    - On the way up, a bunch takes a 1x1 convolution of the output before it and of half the skip plus half the pool;
      without a pool, of the whole skip.

    Args:
        channels: Number of channels in and out.
        block: Slot of the blocks.
        bunches: Number of bunches on each side.
        blocks: Number of blocks in each bunch.
        middle: Number of blocks between the sides.
        pool: Sources of the information pool, see `pool_sources`.
        share: ``group`` applies one block at all positions of a bunch, ``none`` shares nothing.
        source_fusion: How the sources are fused; a convolution in the paper.
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
        source_fusion: SourceFusion = "conv",
    ) -> None:
        super().__init__()
        self.blocks, self.middle_blocks = blocks, middle
        self.sources = pool_sources(pool, bunches, blocks, middle)

        def bunch(number: int, length: int) -> nn.ModuleList:
            return nn.ModuleList(_blocks(block, number, length, share))

        first_up = bunches + 2 + bool(middle)
        self.down = nn.ModuleList(bunch(2 + i, blocks) for i in range(bunches))
        self.middle = bunch(bunches + 2, middle) if middle else nn.ModuleList()
        by_conv = bool(self.sources) and source_fusion == "conv"
        self.pool = nn.Conv2d(len(self.sources) * channels, channels, 1, bias=False) if by_conv else None
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
        pooled = fused_sources([seen[name] for name in self.sources], self.pool) if self.sources else None
        for bunch, fusion in zip(self.up, self.fusions, strict=True):
            skip = skips.pop()
            across = skip if pooled is None else 0.5 * skip + 0.5 * pooled
            out = _applied(bunch, self.blocks, fusion(torch.cat([out, across], dim=1)))[-1]
        return out


def _applied(bunch: Any, length: int, x: Tensor) -> list[Tensor]:
    """Apply ``length`` blocks in a row and return all outputs. If there are fewer modules, they are applied in turn."""
    outputs: list[Tensor] = []
    for j in range(length):
        outputs.append(bunch[j % len(bunch)](outputs[-1] if outputs else x))
    return outputs


@register("body")
class Dense(nn.Module):
    """CSRCNN's body: each block takes a 1x1 convolution, with activation, of the input and all outputs before it.

    Args:
        channels: Number of channels in and out.
        block: Slot of the blocks; in the paper, BP-U blocks (Section III-A).
        activation: Slot of the activation function after each 1x1 convolution.
        blocks: Number of blocks.
        share: ``group`` applies one block at all positions, ``none`` shares nothing.
        sources: Sources of an information pool, whose result is added to the output; see `chosen_sources`.
        source_fusion: How the sources are fused.
    """

    def __init__(
        self,
        channels: int,
        block: Factory,
        activation: Factory,
        blocks: PositiveInt = 4,
        share: Share = "none",
        sources: Pool = "none",
        source_fusion: SourceFusion = "conv",
    ) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(nn.Conv2d(channels * (i + 1), channels, 1) for i in range(blocks))
        self.activations = nn.ModuleList(activation() for _ in range(blocks))
        self.blocks = nn.ModuleList(_blocks(block, 1, blocks, share))
        self.pool = InformationPool(channels, sources, applied_positions(1, blocks), source_fusion)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for i, (fusion, activation) in enumerate(zip(self.fusions, self.activations, strict=True)):
            seen.append(self.blocks[i % len(self.blocks)](activation(fusion(torch.cat(seen, dim=1)))))
        out: Tensor = self.pool(seen[-1], seen)
        return out


@register("body")
class Memory(nn.Module):
    """ProSRN's memory structure (Section 2.2.2, Fig. 4): the body's input is added to the output of every block.

    Args:
        channels: Number of channels in and out.
        block: Slot of the blocks; in the paper ``plain``, a convolution and ReLU.
        blocks: Number of blocks.
        share: ``group`` applies one block at all positions, ``none`` shares nothing.
        sources: Sources of an information pool, whose result is added to the output; see `chosen_sources`. They are the
            blocks' own outputs, before the body's input is added.
        source_fusion: How the sources are fused.
    """

    def __init__(
        self,
        channels: int,
        block: Factory,
        blocks: PositiveInt = 10,
        share: Share = "none",
        sources: Pool = "none",
        source_fusion: SourceFusion = "conv",
    ) -> None:
        super().__init__()
        self.length = blocks
        self.blocks = nn.ModuleList(_blocks(block, 1, blocks, share))
        self.pool = InformationPool(channels, sources, applied_positions(1, blocks), source_fusion)

    def forward(self, source: Tensor) -> Tensor:
        out, seen = source, [source]
        for j in range(self.length):
            block_output = self.blocks[j % len(self.blocks)](out)
            seen += [block_output] if self.pool.indices else []
            out = block_output + source
        return self.pool(out, seen)  # type: ignore[no-any-return]
