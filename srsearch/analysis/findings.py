"""What the papers found about the axes of a space, and whether a study agrees.

Each finding ranks values of one axis. A study is asked the same question at equal cost: of two designs with the same
cost and the same values elsewhere, the one with the better value should have the higher quality.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from srsearch.analysis.advice import CERTAIN
from srsearch.analysis.effects import at_equal_cost
from srsearch.labels import axis_text

Verdict: TypeAlias = Literal["agrees", "disagrees", "cannot tell"]


@dataclass(frozen=True)
class Finding:
    """A published ranking of the values of an axis.

    Attributes:
        text: The finding, in one sentence.
        source: Paper and table.
        axis: Name of the axis, or the last word of its path.
        values: The values, best first.
        printed: The figures behind it, as printed, in the order of the values.
    """

    text: str
    source: str
    axis: str
    values: tuple[str, ...]
    printed: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What a study says about two values of a finding.

    Attributes:
        finding: The finding.
        axis: The path of the study's axis.
        better: The value that the paper found better.
        worse: The other value.
        counts: Number of finished designs with each.
        difference: Quality of the better value minus that of the other at equal cost, in the quality's unit.
        error: Its standard error.
    """

    finding: Finding
    axis: str
    better: str
    worse: str
    counts: tuple[int, int]
    difference: float
    error: float

    @property
    def verdict(self) -> Verdict:
        """Whether the study agrees; ``cannot tell`` within two standard errors."""
        if abs(self.difference) < CERTAIN * self.error:
            return "cannot tell"
        return "agrees" if self.difference > 0 else "disagrees"


FINDINGS = (
    Finding(
        "Bottlenecks save most per 0.01 dB, then depthwise separable convolutions, then grouped bottlenecks",
        "efficiency paper, Table 1",
        "unit",
        ("bottleneck", "mobilenet_v1", "resnext"),
        ("0.98 G", "0.79 G", "0.78 G"),
    ),
    Finding(
        "Make the convolutions of the blocks cheap first, then those that close groups, then those of the upsampler",
        "efficiency paper, Table 2, x3 and x4, blm1-e",
        "scope",
        ("rb", "rg", "rg+u"),
        ("0.68 G, 0.55 G", "0.61 G, 0.53 G", "0.56 G, 0.49 G"),
    ),
    Finding(
        "Global cascading gains more than local, for a third of the parameters",
        "PCARN paper, Table I",
        "fusion",
        ("global", "local"),
        ("+0.05 dB for 37K", "+0.03 dB for 111K"),
    ),
)


def comparisons(trials: pd.DataFrame, *, quality: str = "psnr") -> list[Comparison]:
    """Compare the findings about a study's axes with its finished designs.

    Args:
        trials: One row per design, from `srsearch.store.Store.trials`; ``attrs["axes"]`` names the columns of the axes.
        quality: ``psnr`` or ``ssim``.

    Returns:
        One comparison for each two successive values of a finding that the study has both tried, in the order of
        `FINDINGS`; none if there are too few designs for the model.
    """
    axes: Sequence[str] = list(trials.attrs["axes"])
    model = at_equal_cost(trials, axes, quality=quality)
    if model is None:
        return []
    rows = trials.loc[model.residuals.index]
    cost = float(np.exp(np.log(rows["mult_adds"].astype(float)).mean()))
    found = []
    for finding, axis in _asked(axes):
        texts = rows[axis].map(axis_text)
        tried = [(value, int((texts == value).sum())) for value in finding.values]
        for (better, many), (worse, few) in itertools.pairwise([each for each in tried if each[1]]):
            if {better, worse} <= set(model.effects.loc[model.effects["axis"] == axis, "value"]):
                difference, error = model.change(({axis: worse}, cost), ({axis: better}, cost))
                found.append(Comparison(finding, axis, better, worse, (many, few), difference, error))
    return found


def _asked(axes: Sequence[str]) -> Iterator[tuple[Finding, str]]:
    """The findings about the axes, each with the path of its axis."""
    for finding in FINDINGS:
        for axis in axes:
            if axis == finding.axis or axis.endswith(f".{finding.axis}"):
                yield finding, axis
