"""Early stopping (to be replaced by the model's)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from srsearch.space import Space
from srsearch.store import TrialRecord


class EarlyStopping:
    """Compares with designs of similar cost."""

    def __init__(self, space: Space, *, steps: int, seed: int, reference: float | None) -> None:
        self.steps = steps

    def goes_on(self, number: int, history: Sequence[TrialRecord]) -> bool:
        """Whether a trial goes on."""
        (trial,) = (each for each in history if each.number == number)
        step, psnr = trial.curve[-1]
        peers = [
            (abs(math.log(each.mult_adds or 1) - math.log(trial.mult_adds or 1)), dict(map(tuple, each.curve))[step])
            for each in history
            if each.number != number and step in dict(map(tuple, each.curve))
        ]
        return len(peers) < 4 or psnr >= statistics.median(value for _, value in sorted(peers)[:6])

    def promoted(self, number: int, history: Sequence[TrialRecord], continuable: Sequence[int]) -> int | None:
        """The stopped trial to be continued."""
        return continuable[0] if continuable and number % 3 == 0 else None
