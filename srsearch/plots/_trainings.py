"""The curves of full trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from srsearch.plots._studies import line_of
from srsearch.plots._theme import LIGHT, empty, escaped, template


def training_curves(
    curves: Mapping[str, Sequence[tuple[int, float]]], bicubic: Mapping[str, float | None]
) -> go.Figure:
    """Draw the PSNR of full trainings over their steps, with that of bicubic upscaling as a dotted line.

    Args:
        curves: (step, PSNR in dB) pairs by the name of the training.
        bicubic: PSNR in dB of bicubic upscaling on its validation images, by the same names.
    """
    if not any(curves.values()):
        return empty("No training has been validated yet.", 260)
    figure = go.Figure(layout={"template": template(), "height": 340, "hovermode": "closest", "showlegend": True})
    last = max(points[-1][0] for points in curves.values() if points)
    baselines: dict[float, list[str]] = {}
    for number, (name, points) in enumerate(curves.items()):
        if not points:
            continue
        line = line_of(number)
        figure.add_scatter(
            x=[int(step) for step, _ in points],
            y=[float(psnr) for _, psnr in points],
            mode="lines+markers",
            name=escaped(name),
            line={"width": 2, **line},
            marker={"size": 6, "color": line["color"]},
            hovertemplate=f"<b>{escaped(name)}</b><br>%{{y:.3f}} dB after %{{x}} steps<extra></extra>",
        )
        if (level := bicubic.get(name)) is not None:
            baselines.setdefault(round(level, 3), []).append(name)
    for level, names in baselines.items():
        whose = "" if len(baselines) == 1 else f", {', '.join(names)}"
        figure.add_scatter(
            x=[0, last],
            y=[level, level],
            mode="lines",
            name=escaped(f"bicubic{whose}"),
            line={"width": 1.5, "dash": "dot", "color": LIGHT.muted},
            hovertemplate="bicubic %{y:.3f} dB<extra></extra>",
        )
    figure.update_xaxes(title_text="Training step", rangemode="tozero")
    figure.update_yaxes(title_text="PSNR (dB)")
    return figure
