"""The published networks that lie in a space, and the PSNR that papers print for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from srsearch.architecture import catalogue
from srsearch.architecture.registry import OptionValue
from srsearch.errors import InputError
from srsearch.literature import BENCHMARKS
from srsearch.space import Candidate, Space


@dataclass(frozen=True)
class Printed:
    """Published networks in a space, with their printed PSNR on one test set.

    Attributes:
        benchmark: The test set, such as ``Set14``.
        points: By key of the design, its point in the space.
        psnr: By key, the printed PSNR in dB.
    """

    benchmark: str
    points: Mapping[str, Candidate]
    psnr: Mapping[str, float]

    @property
    def axes(self) -> list[tuple[Mapping[str, OptionValue], float]]:
        """Each network's values on the axes, and its PSNR."""
        return [(self.points[key].axes, psnr) for key, psnr in self.psnr.items()]

    def frame(self) -> pd.DataFrame:
        """The networks in the columns of `srsearch.store.Store.trials`, with the column ``printed``; the name of the
        test set is in ``attrs["benchmark"]``.
        """
        rows = []
        for key, psnr in self.psnr.items():
            cost = self.points[key].cost
            assert cost is not None
            costs = {"mult_adds": cost.mult_adds, "params": cost.params, "activations": cost.activations}
            rows.append({"key": key, "printed": psnr} | costs | dict(self.points[key].axes))
        frame = pd.DataFrame(rows)
        frame.attrs["benchmark"] = self.benchmark
        return frame


def published_points(space: Space) -> list[Candidate]:
    """Return the published networks that lie inside a space and its budget, cheapest first."""
    return sorted(_points(space).values(), key=lambda point: point.cost.mult_adds if point.cost else 0)


def printed_in(space: Space) -> Printed | None:
    """Return the published networks in a space with their printed PSNR, on the test set that most papers print.

    Returns:
        The networks; None if no paper prints the PSNR of a network in the space.
    """
    from srsearch.evaluation.published import published_name, published_scores

    try:
        points = _points(space)
    except InputError:  # the space is too large to look for a design in
        return None
    scores: dict[str, dict[str, float]] = {}
    for key, point in points.items():
        name = published_name(point.design)
        for benchmark in BENCHMARKS if name is not None else ():
            printed = [each.psnr for each in published_scores(str(name), space.scale, benchmark) if each.psnr]
            if printed:
                scores.setdefault(key, {})[benchmark] = printed[0]
    counts = Counter(benchmark for each in scores.values() for benchmark in each)
    if not counts:
        return None
    chosen = counts.most_common(1)[0][0]
    return Printed(chosen, points, {key: each[chosen] for key, each in scores.items() if chosen in each})


def _points(space: Space) -> dict[str, Candidate]:
    """The points by key of their design."""
    points = {}
    for name in catalogue.names():
        if set(space.scales) <= set(catalogue.published(name).scales):
            point = space.locate(catalogue.get(name, space.scales))
            if point is not None and point.broken is None:
                points[point.design.key] = point
    return points
