"""Whether a search still finds anything: what the front gained lately, against the noise of training."""

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
    """What a search gained lately.

    Attributes:
        gain: Mean rise of the front over the window, in the quality's unit (dB for PSNR); None before there are enough
            evaluations, and before a design is better than the reference.
        threshold: The gain that says nothing: the standard deviation of one training; None where it is unknown.
        converged: Whether the gain is known and not above the threshold.
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
    """Whether the front rose by less than the noise of one training in the last evaluations.

    Let h(c) be the best quality among the designs whose costs are at most c, counted from the reference quality, with
    costs as their log10. The hypervolume is the integral of h over all budgets c up to the reference costs. h is above
    zero for the budgets that some design of the front meets; let W be their volume. With one cost that is the width of
    the front, from its cheapest design to the reference; with several, the volume that the front's costs dominate,
    which is less than that of the box around them: no design may have both the fewest Mult-Adds and the fewest
    parameters. Without a cost W is 1. Then

        gain = (hypervolume now - hypervolume ``window`` evaluations ago) / W

    is the mean rise of the front over all budgets that it serves, in the quality's unit, whatever the number of costs.
    Budgets that it did not serve before count with their whole height above the reference. A second quality is treated
    as a cost: a level of SSIM that is asked for beside the budget.

    Args:
        trials: One row per design, with the column ``finished_at`` or in the order they were evaluated; rows without
            a value for an objective do not count.
        objectives: The study's, with at least one quality.
        reference: The study's: the budget, and the quality of bicubic interpolation; frozen with the study.
        noise: Of the first quality among the objectives, as `srsearch.analysis.retraining_noise` gives it; None,
            unknown: not converged.
        window: Finished evaluations looked back on; twice as many must be there.

    Raises:
        InputError: No quality among the objectives, or a reference that `srsearch.analysis.hypervolume` refuses.

    Example:
        >>> reference = {"psnr": 26.1, "mult_adds": 40e9}
        >>> converged(trials, ["psnr", "mult_adds"], reference, retraining_noise(trials)).converged  # doctest: +SKIP
        False
    """
    chosen = directions(objectives)
    quality = quality_of(chosen)
    if quality not in chosen:
        raise InputError(f"{', '.join(chosen)}: convergence is told by a quality; add psnr or ssim to the objectives")
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
    """Volume of the budgets (and levels of a second quality) that some design better than the reference meets."""
    better = finished[finished[quality] > corner[quality]]
    others = {name: value for name, value in corner.items() if name != quality}
    return hypervolume(better, others) if others else float(len(better) > 0)
