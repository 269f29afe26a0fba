"""Published networks for the figure of the front, from the tables in `srsearch.literature`. No torch."""

from __future__ import annotations

import functools
import importlib.resources

import pandas as pd

from srsearch.plots import PublishedPoint

BENCHMARKS = ("Set5", "Set14", "B100", "Urban100")
_COSTS = {"mult_adds": ("mult_adds_g", 1e9), "params": ("params_k", 1e3)}  # column of the table, and its unit
_METRICS = {"psnr": "psnr_db", "ssim": "ssim"}
_MOST = 14


@functools.cache
def _table(name: str) -> pd.DataFrame:
    folder = importlib.resources.files("srsearch.literature")
    with (folder / f"{name}.csv").open(encoding="utf-8") as file:
        frame: pd.DataFrame = pd.read_csv(file, dtype="string")
    return frame


def published(scale: int, benchmark: str, *, cost: str, quality: str, most: float) -> list[PublishedPoint]:
    """The networks for which a paper prints both the cost and the quality at a scale.

    Args:
        scale: Upscaling factor.
        benchmark: One of `BENCHMARKS`.
        cost: The column of a cost; papers print Mult-Adds and parameters only.
        quality: The column of a quality.
        most: The largest cost that fits into the figure.

    Returns:
        At most 14: those with the highest quality, by cost. Each network appears once, from the first paper.
    """
    if cost not in _COSTS:
        return []
    column, unit = _COSTS[cost]
    costs = _table("costs").query("scale == @scale", local_dict={"scale": str(scale)})
    costs = costs.assign(cost=pd.to_numeric(costs[column], errors="coerce") * unit).dropna(subset=["cost"])
    metric = _METRICS[quality]
    figures = _table("quality")
    figures = figures[
        (figures["scale"] == str(scale)) & (figures["dataset"] == benchmark) & (figures["metric"] == metric)
    ]
    figures = figures.assign(value=pd.to_numeric(figures["value"], errors="coerce")).dropna(subset=["value"])
    both = costs.merge(figures[["paper", "model", "value"]], on=["paper", "model"]).drop_duplicates("model")
    both = both[both["cost"] <= most].sort_values("value", ascending=False).head(_MOST)
    return [
        PublishedPoint(str(row["model"]), str(row["paper"]), float(row["cost"]), float(row["value"]))
        for row in both.sort_values("cost").to_dict("records")
    ]
