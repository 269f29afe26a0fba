"""Figures about noise: agreement between rankings, and designs with several seeds."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from srsearch.plots._theme import LIGHT, empty, template


def agreement(frame: pd.DataFrame, *, title: str) -> go.Figure:
    """Draw Kendall's τ between rankings as a heat map.

    Args:
        frame: Columns ``first``, ``second``, ``designs`` and ``tau``, from `srsearch.analysis.agreement`.
        title: What distinguishes the rankings, ``step`` or ``seed``.
    """
    if frame.empty:
        return empty("There are too few designs to compare rankings.", 240)
    rows, columns = sorted(set(frame["first"])), sorted(set(frame["second"]))
    cells = {(row["first"], row["second"]): (row["tau"], row["designs"]) for row in frame.to_dict("records")}
    figure = go.Figure(layout={"template": template(), "height": max(220, 44 * len(rows) + 110), "margin": {"t": 12}})
    colours = (*LIGHT.lows[::-1], *LIGHT.highs)
    figure.add_heatmap(
        z=[[cells.get((row, column), (None, 0))[0] for column in columns] for row in rows],
        x=[f"{title} {column}" for column in columns],
        y=[f"{title} {row}" for row in rows],
        customdata=[[cells.get((row, column), (None, 0))[1] for column in columns] for row in rows],
        texttemplate="%{z:.2f}",
        hovertemplate="<b>%{z:.3f}</b><br>%{y} against %{x}<br>%{customdata} designs<extra></extra>",
        hoverongaps=False,
        zmin=-1,
        zmax=1,
        colorscale=[[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)],
        showscale=False,
        xgap=2,
        ygap=2,
    )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    return figure


def seeds(results: pd.DataFrame) -> go.Figure:
    """Draw the PSNR of every training of designs with several seeds, and each design's mean; at most the best 40.

    Args:
        results: One row per training: ``trial`` (the design's number), ``seed`` and ``psnr`` (dB).
    """
    several = results[results.groupby("trial")["psnr"].transform("size") > 1]
    if several.empty:
        return empty("No design was trained with several seeds; run `srsearch run --replicates 3`.", 200)
    means = several.groupby("trial")["psnr"].mean().sort_values(ascending=False).head(40)
    shown = several[several["trial"].isin(means.index)]
    names = {trial: f"#{trial}" for trial in means.index}
    figure = go.Figure(layout={"template": template(), "height": 20 * len(means) + 110, "margin": {"t": 12}})
    figure.add_scatter(
        x=[float(value) for value in shown["psnr"]],
        y=[names[trial] for trial in shown["trial"]],
        mode="markers",
        name="one training",
        marker={"color": LIGHT.muted, "size": 8},
        customdata=[int(seed) for seed in shown["seed"]],
        hovertemplate="%{x:.3f} dB with seed %{customdata}<extra></extra>",
    )
    figure.add_scatter(
        x=means.tolist(),
        y=[names[trial] for trial in means.index],
        mode="markers",
        name="mean",
        marker={"color": LIGHT.accent, "size": 10, "symbol": "line-ns-open", "line": {"width": 3}},
        hovertemplate="mean %{x:.3f} dB<extra></extra>",
    )
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[names[trial] for trial in means.index],
        autorange="reversed",
        title_text="Design (trial)",
    )
    figure.update_xaxes(title_text="PSNR (dB)")
    return figure
