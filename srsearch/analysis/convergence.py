"""Convergence of a search: the recent rise of its front, compared with the noise of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from srsearch.analysis.noise import Noise
from srsearch.analysis.objectives import as_finished, directions, measured, quality_of
from srsearch.analysis.volume import hypervolume
from srsearch.errors import InputError


@dataclass(frozen=True)
class Convergence:
    """The recent gain of a search.

    Attributes:
        gain: Mean rise of the front over the window, in the quality's unit (dB for PSNR); None until there are enough
            evaluations and a design is better than the reference.
        threshold: The noise of one training as a standard deviation, in the same unit; None if unknown.
        converged: Whether gain and threshold are known and the gain is not above the threshold.
    """

    gain: float | None
    threshold: float | None
    converged: bool


def converged(
    trials: pd.DataFrame,
    objectives: Sequence[str],
    reference: Mapping[str, float],
    noise: Noise | None,
    window: int = 20,
) -> Convergence:
    """Compute whether the front rose by less than the noise of one training in the last evaluations.

    Let h(c) be the best quality among the designs whose costs are at most c, measured from the reference quality, with
    costs as their log10. The hypervolume is the integral of h over all budgets c up to the reference costs. h is above
    zero for the budgets that some design of the front meets; let W be the volume of these budgets. With one cost, W is
    the width of the front, from its cheapest design to the reference. With several costs, it is the volume that the
    front's costs dominate. That can be less than the box around them, because the design with the fewest Mult-Adds need
    not be the one with the fewest parameters. Without a cost, W is 1. Then

        gain = (hypervolume now - hypervolume ``window`` evaluations ago) / W

    is the mean rise of the front over all budgets that it serves, in the quality's unit, for any number of costs. For
    budgets that it did not serve before, the whole height above the reference counts as rise. A second quality is
    treated like a cost: it is a level of SSIM that is required in addition to the budget.

    Args:
        trials: One row per design, with the column ``finished_at`` or in the order of their evaluation; rows without
            a value for an objective do not count.
        objectives: Objectives of the study, with at least one quality.
        reference: Reference point of the study: the budget, and the quality of bicubic interpolation.
        noise: Noise of the first quality among the objectives, from `srsearch.analysis.retraining_noise`; None:
            unknown, and the search does not count as converged.
        window: Number of evaluations to look back; at least twice as many are needed.

    Raises:
        InputError: There is no quality among the objectives, or `srsearch.analysis.hypervolume` rejects the reference.

    Example:
        >>> reference = {"psnr": 26.1, "mult_adds": 40e9}
        >>> converged(trials, ["psnr", "mult_adds"], reference, retraining_noise(trials)).converged  # doctest: +SKIP
        False
    """
    chosen = directions(objectives)
    quality = quality_of(chosen)
    if quality not in chosen:
        raise InputError(f"{', '.join(chosen)}: convergence needs a quality; add psnr or ssim to the objectives")
    missing = [name for name in chosen if name not in reference]
    if missing:
        raise InputError(f"the reference point has no {missing[0]}; it has {', '.join(reference) or 'nothing'}")
    finished, _ = measured(as_finished(trials), chosen)
    corner = {name: reference[name] for name in chosen}
    threshold = None if noise is None else noise.deviation
    served = _served(finished, quality, corner)
    if len(finished) < 2 * window or not served:
        return Convergence(None, threshold, False)
    before = hypervolume(finished.iloc[: len(finished) - window], corner)
    gain = max(hypervolume(finished, corner) - before, 0.0) / served
    return Convergence(gain, threshold, threshold is not None and gain <= threshold)


def _served(finished: pd.DataFrame, quality: str, corner: Mapping[str, float]) -> float:
    """Volume of the budgets (and levels of a second quality) met by some design that is better than the reference."""
    better = finished[finished[quality] > corner[quality]]
    others = {name: value for name, value in corner.items() if name != quality}
    return hypervolume(better, others) if others else float(len(better) > 0)
