"""What a smaller network saves for the quality that it loses: G Mult-Adds and K parameters per 0.01 dB.

The measure of the efficiency paper (*Understanding opportunities for efficiency in single-image super resolution
networks*, Section 3): the difference in cost between a baseline and a smaller network, divided by the loss in
hundredths of a dB. The larger, the better the trade-off. The paper's printed values result from the sum of the losses
on its four test sets, not from their mean, which would give values four times as large; so the loss is a sum here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from srsearch.literature import PrintedCost, printed_costs, printed_quality

BASELINES = {("efficiency", "1"): "bl", ("efficiency", "2"): "bl-e"}
"""The baseline of each table that prints trade-offs, by paper and table."""

_HUNDREDTH = 0.01  # dB


@dataclass(frozen=True)
class Tradeoff:
    """What a network saves against a baseline.

    Attributes:
        loss: PSNR that it loses in dB, summed over the test sets; negative if it gains.
        mult_adds: G Mult-Adds (10^9) saved; negative if it costs more.
        params: K parameters (10^3) saved; negative if it costs more.
    """

    loss: float
    mult_adds: float
    params: float

    @property
    def mult_adds_per_loss(self) -> float | None:
        """G Mult-Adds saved per 0.01 dB lost; None if the network loses nothing."""
        return self._per_loss(self.mult_adds)

    @property
    def params_per_loss(self) -> float | None:
        """K parameters saved per 0.01 dB lost; None if the network loses nothing."""
        return self._per_loss(self.params)

    def _per_loss(self, saved: float) -> float | None:
        # Sums of printed values have two digits; binary fractions would turn 0.30 into 0.29999....
        hundredths = round(self.loss / _HUNDREDTH, 9)
        return saved / hundredths if hundredths > 0 else None


@dataclass(frozen=True)
class PrintedTradeoff:
    """A trade-off that a paper prints, beside the one that follows from the costs and PSNRs of its table.

    Attributes:
        cost: The printed row of costs.
        baseline: Name of the baseline, as printed.
        computed: The trade-off computed from the table.
        mult_adds: The printed G Mult-Adds per 0.01 dB.
        params: The printed K parameters per 0.01 dB.
    """

    cost: PrintedCost
    baseline: str
    computed: Tradeoff
    mult_adds: float
    params: float


def tradeoff(
    baseline: tuple[float, float], other: tuple[float, float], losses: Mapping[str, float] | float
) -> Tradeoff:
    """Compute what a network saves against a baseline.

    Args:
        baseline: The baseline's Mult-Adds and parameters.
        other: The network's Mult-Adds and parameters.
        losses: The baseline's PSNR minus the network's, in dB, by test set, or on one.
    """
    loss = sum(losses.values()) if isinstance(losses, Mapping) else losses
    return Tradeoff(loss, (baseline[0] - other[0]) / 1e9, (baseline[1] - other[1]) / 1e3)


@functools.cache
def printed_tradeoffs() -> tuple[PrintedTradeoff, ...]:
    """All trade-offs that the efficiency paper prints (Tables 1 and 2), in the order of its tables."""
    psnrs: dict[tuple[str, str, int | None], dict[str, float]] = {}
    saved: dict[tuple[str, str, int | None, str], float] = {}
    for each in printed_quality():
        if (each.paper, each.table) not in BASELINES:
            continue
        if each.metric == "psnr_db":
            psnrs.setdefault((each.table, each.model, each.scale), {})[each.dataset] = each.value
        elif each.metric.endswith("_per_0.01db"):
            saved[each.table, each.model, each.scale, each.metric.split("_saved_")[0]] = each.value
    costs = {(row.table, row.model, row.scale): row for row in printed_costs() if (row.paper, row.table) in BASELINES}
    rows = []
    for (table, model, scale), row in costs.items():
        mult_adds = saved.get((table, model, scale, "mult_adds"))
        params = saved.get((table, model, scale, "params"))
        if mult_adds is None or params is None:
            continue  # the baseline itself
        name = BASELINES[row.paper, table]
        reference, own = psnrs[table, name, scale], psnrs[table, model, scale]
        losses = {dataset: reference[dataset] - own[dataset] for dataset in reference}
        computed = tradeoff(_cost(costs[table, name, scale]), _cost(row), losses)
        rows.append(PrintedTradeoff(row, name, computed, mult_adds, params))
    return tuple(rows)


def _cost(row: PrintedCost) -> tuple[float, float]:
    return float(row.mult_adds) * 1e9, float(row.params) * 1e3
