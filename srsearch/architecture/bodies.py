"""Bodies: how blocks are wired between the entry and the upsampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from srsearch.architecture.parts import Factory, PositiveInt, register


@register("body")
class Chain(nn.Sequential):
    """Blocks one after another: the baseline of the PCARN paper's Table I."""

    def __init__(self, channels: int, block: Factory, blocks: PositiveInt = 9) -> None:
        super().__init__(*(block(position) for position in range(blocks)))


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
        share: Literal["none", "group"] = "none",
        fusion_activation: bool = False,
    ) -> None:
        super().__init__()
        distinct = 1 if share == "group" else blocks
        local, across = fusion in ("local", "both"), fusion in ("global", "both")
        levels = [
            CascadeLevel(channels, [block(g * blocks + j) for j in range(distinct)], blocks, local, fusion_activation)
            for g in range(groups)
        ]
        self.top = CascadeLevel(channels, levels, groups, across, fusion_activation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.top(x)
        return out
