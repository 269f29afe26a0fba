"""Sentences about noise, ties and how many designs are finished, for tables, the report and the live pages."""

from __future__ import annotations

import pandas as pd

from srsearch.analysis.noise import Noise
from srsearch.objectives import COSTS, objective


def counted_text(new: int, known: int) -> str:
    """Say how many designs of a study have a result, with those that were known from another study or training.

    Example:
        >>> counted_text(30, 0), counted_text(30, 5)
        ('30 designs', '35 designs (30 new, 5 known)')
    """
    plural = "" if new + known == 1 else "s"
    return f"{new + known:,} design{plural}" + (f" ({new:,} new, {known:,} known)" if known else "")


def several_seeds(trials: pd.DataFrame) -> bool:
    """Return whether any design was trained with more than one seed (column ``seeds``)."""
    return "seeds" in trials.columns and bool((trials["seeds"] > 1).any())


def standard_error_text(noise: Noise, trials: pd.DataFrame) -> str:
    """Explain the error bars of designs, without a full stop at the end.

    Args:
        noise: Noise of one training.
        trials: The designs; ``seeds`` may be absent.

    Example:
        >>> standard_error_text(Noise(0.03, "replicates", 12), front)
        'one standard error of the PSNR: the noise of one training (standard deviation 0.030 dB, from 12 replicates)'
    """
    divided = " divided by the square root of the number of seeds" if several_seeds(trials) else ""
    return f"one standard error of the {objective(noise.quality).noun}: the noise of one training ({noise}){divided}"


def ties_text(tied: pd.DataFrame, noise: Noise | None) -> str:
    """Say how many designs are tied with the best, and which of them is the cheapest; empty if there are none.

    Args:
        tied: The rows of `srsearch.analysis.tied_with_best`, cheapest first.
        noise: The noise that was used there.

    Example:
        >>> ties_text(tied, noise)
        'Tied with 3 other designs within the noise (standard deviation 0.023 dB, from 24 replicates); the cheapest is
        trial 25 with 4.52G Mult-Adds.'
    """
    if len(tied) < 2 or noise is None:
        return ""
    return f"{tied_text(tied)} within the noise ({noise}); {cheapest_text(tied)}."


def tied_text(tied: pd.DataFrame) -> str:
    """Say how many designs are tied with the best; the arguments as for `ties_text`."""
    others = len(tied) - 1
    return f"Tied with {others} other design{'s' if others > 1 else ''}"


def cheapest_text(tied: pd.DataFrame) -> str:
    """Say which of tied designs is the cheapest; the arguments as for `ties_text`."""
    cheapest, cost = tied.iloc[0], objective(COSTS[0])
    if cheapest["best"]:
        return "the best is also the cheapest"
    return f"the cheapest is trial {cheapest['trial']} with {cost.text(cheapest[cost.name])} {cost.noun}"
