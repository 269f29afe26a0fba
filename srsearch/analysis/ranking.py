"""How a study's designs are ranked: by their measured quality, or, after trainings of several lengths, by the PSNR that
a model predicts after the longest one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from srsearch.analysis.captions import cheapest_text, standard_error_text, tied_text, ties_text
from srsearch.analysis.choice import best, tied_with_best, within
from srsearch.analysis.front import pareto_front
from srsearch.analysis.noise import Noise, retraining_noise, standard_errors
from srsearch.analysis.objectives import at_length, costs_of, quality_of
from srsearch.analysis.predicted import ERROR, PREDICTED, Prediction, prediction

MEASURED, PROBABILITY = "psnr_measured", "probability"
"""The columns of the measured PSNR where ``psnr`` is the predicted one, and of the probability to be the best."""

_NEAR = 0.5
"""Share of the best design's cost from which on designs are within reach of it."""


@dataclass(frozen=True)
class Ranking:
    """The designs of a study with the quality that ranks them.

    Attributes:
        trials: One row per design. With a prediction, ``psnr`` is the predicted PSNR of finished designs, and
            ``psnr_measured`` that of the shortest training.
        objectives: Names of the study's objectives.
        noise: The noise of one training, as far as it is known.
        prediction: The prediction; None for studies with one length of training, and with too few designs.
    """

    trials: pd.DataFrame
    objectives: tuple[str, ...]
    noise: Noise | None
    prediction: Prediction | None

    @classmethod
    def of(
        cls,
        trials: pd.DataFrame,
        objectives: Sequence[str],
        recipe: Mapping[str, Any],
        printed: pd.DataFrame | None = None,
    ) -> Ranking:
        """Rank the designs of a study.

        Args:
            trials: From `srsearch.store.Store.trials`.
            objectives: Names of the study's objectives.
            recipe: The study's recipe, whose ``steps`` are those of the shortest training.
            printed: Published networks, as for `srsearch.analysis.predicted.prediction`.
        """
        quality = quality_of(objectives)
        predicted = predicted_for(trials, objectives, recipe, printed)
        ranked = trials if predicted is None else as_predicted(trials, predicted)
        return cls(ranked, tuple(objectives), retraining_noise(trials, quality), predicted)

    @property
    def quality(self) -> str:
        """The quality that ranks designs."""
        return quality_of(self.objectives)

    @property
    def finished(self) -> pd.DataFrame:
        """The designs that have ended with a result."""
        done = self.trials[self.trials["state"] == "complete"]
        done.attrs = dict(self.trials.attrs)
        return done

    def front(self) -> pd.DataFrame:
        """The front of the ranked designs, with standard errors."""
        return self.with_errors(pareto_front(self.finished, self.objectives))

    def with_errors(self, designs: pd.DataFrame) -> pd.DataFrame:
        """Add the standard error of the quality: of the prediction, or of the measurement."""
        errors = designs[ERROR] if self.prediction is not None else standard_errors(designs, self.noise)
        result = designs.assign(**{f"{self.quality}_error": errors})
        result.attrs = dict(designs.attrs)
        return result

    def tied_with_best(self, max_mult_adds: float | None = None, max_params: float | None = None) -> pd.DataFrame:
        """The best design within a budget and those that cannot be told from it, cheapest first.

        As `srsearch.analysis.tied_with_best`. With a prediction, designs are tied if a one-sided test at 5 % on the
        predicted difference does not tell them apart, and ``probability`` is that of being the best of them all.
        """
        if self.prediction is None:
            limits = max_mult_adds, max_params
            return self.with_errors(tied_with_best(self.trials, self.noise, *limits, quality=self.quality))
        return self.tied(within(self.finished, max_mult_adds, max_params, self.quality))

    def tied(self, designs: pd.DataFrame) -> pd.DataFrame:
        """As `tied_with_best`, among some of the ranked designs."""
        if self.prediction is None:
            return self.with_errors(tied_with_best(designs, self.noise, quality=self.quality))
        designs = designs[designs[PREDICTED].notna()]
        winner = best(designs, quality=self.quality)
        if winner is None:
            return self.with_errors(designs.assign(best=pd.Series(dtype=bool)))
        numbers = [int(number) for number in designs["trial"]]
        first = int(winner["trial"])
        others = [number for number in numbers if number != first]
        tied = {first}
        if others:
            tied |= {n for n, same in zip(others, self.prediction.tied(first, others), strict=True) if same}
        shown = designs[[number in tied for number in numbers]]
        shown = shown.assign(
            best=shown["trial"] == winner["trial"],
            **{PROBABILITY: self.prediction.probabilities([int(n) for n in shown["trial"]])},
        )
        order = ["mult_adds", "params", self.quality]
        shown = shown.sort_values(order, ascending=[True, True, False], kind="stable")
        shown.attrs = dict(self.trials.attrs)
        return self.with_errors(shown)

    def errors_text(self, designs: pd.DataFrame) -> str:
        """Explain the error bars of designs, without a full stop at the end; empty where there are none."""
        if self.prediction is not None:
            return (
                f"one standard error of the PSNR that a model predicts {self.prediction.what} "
                f"({self.prediction.longest} designs were trained for {self.prediction.steps:,} steps)"
            )
        return "" if self.noise is None else standard_error_text(self.noise, designs)

    def bars_text(self, designs: pd.DataFrame) -> str:
        """As `errors_text`, for pages, which have the `caveat` as well."""
        return self.errors_text(designs) if self.prediction is None else "one standard error of the prediction"

    @property
    def measured_columns(self) -> list[str]:
        """The columns of the PSNR measured at each length, where ``psnr`` is the predicted one."""
        return list(self.trials.attrs.get("measured", {}))

    def ties_text(self, tied: pd.DataFrame) -> str:
        """Say how many designs are tied with the best, and which of them is the cheapest; empty if there are none."""
        if self.prediction is None:
            return ties_text(tied, self.noise)
        if len(tied) < 2:
            return ""
        winner = tied[tied["best"]].iloc[0]
        return (
            f"{tied_text(tied)} within the error of the prediction, and the best of them with a probability of "
            f"{winner[PROBABILITY]:.0%}; {cheapest_text(tied)}."
        )

    def caveat(self) -> str:
        """Say what the quality is that ranks designs; empty where it was measured."""
        if self.prediction is None:
            return ""
        return (
            f"PSNR is what a model predicts for each design {self.prediction.what}, from its own trainings and those "
            f"of the others; {self.prediction.longest} of {len(self.prediction.trials)} designs were trained for "
            f"{self.prediction.steps:,} steps."
        )

    def all_tied(self, tied: pd.DataFrame) -> bool:
        """Whether every other design of the front that costs at least half as much as the best is tied with it."""
        if len(tied) < 2:
            return False
        cost = next(iter(costs_of(self.objectives)), "mult_adds")
        winner = tied[tied["best"]].iloc[0]
        front = self.front()
        reach = front[(front[cost] >= _NEAR * winner[cost]) & (front[cost] <= winner[cost])]
        near = set(reach["trial"]) - {winner["trial"]}
        return bool(near) and near <= set(tied["trial"])


def predicted_for(
    trials: pd.DataFrame,
    objectives: Sequence[str],
    recipe: Mapping[str, Any],
    printed: pd.DataFrame | None = None,
) -> Prediction | None:
    """The prediction for a study; None where it has one length of training, or PSNR does not rank its designs."""
    if quality_of(objectives) != "psnr":
        return None
    steps = recipe.get("steps")
    cost = next(iter(costs_of(objectives)), "mult_adds")
    return prediction(trials, steps if isinstance(steps, int) else None, cost, printed)


def as_predicted(trials: pd.DataFrame, predicted: Prediction) -> pd.DataFrame:
    """Trials with the predicted PSNR of finished designs in the place of the measured one."""
    frame = predicted.add_to(trials)
    finished = frame[PREDICTED].notna()
    psnr = frame["psnr"].where(~finished, frame[PREDICTED])
    result = frame.assign(psnr=psnr.astype("Float64"), **{MEASURED: frame["psnr"]})
    result.attrs = dict(trials.attrs)
    result.attrs["measured"] = {MEASURED: predicted.shortest} | {
        at_length(each): each for each in predicted.lengths[1:]
    }
    return result


def as_measured(designs: pd.DataFrame) -> pd.DataFrame:
    """Designs of a `Ranking` with the measured PSNR in ``psnr`` again, and the predictions in columns of their own."""
    if MEASURED not in designs.columns:
        return designs
    result = designs.assign(psnr=designs[MEASURED]).drop(columns=[MEASURED, "psnr_error"], errors="ignore")
    result.attrs = dict(designs.attrs)
    return result
