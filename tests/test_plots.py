"""Figures from data frames: what is drawn, what hovering tells, and that nothing hostile becomes markup."""

from __future__ import annotations

import pandas as pd
import pytest

from srsearch import plots
from srsearch.labels import MISSING, axis_labels, axis_text
from srsearch.plots._theme import DARK, LIGHT, exchange, template

AXES = ["channels", "unit", "body.cascade.groups", "upsampler.groups"]


def trials() -> pd.DataFrame:
    rows = [
        (0, "complete", 26.0, 2_000_000_000, 40_000, 16, "conv", 2, 1),
        (1, "complete", 26.5, 5_000_000_000, 90_000, 24, "conv", 3, 1),
        (2, "complete", 25.9, 6_000_000_000, 91_000, 24, "<b>bold</b>", 2, 2),
        (3, "complete", 12.0, 7_000_000_000, 95_000, 32, "conv", 2, 2),
        (4, "failed", None, 8_000_000_000, 99_000, 32, "conv", 3, None),
        (5, "complete", 27.0, 20_000_000_000, 400_000, 48, "conv", 3, 2),
    ]
    frame = pd.DataFrame(rows, columns=["trial", "state", "psnr", "mult_adds", "params", *AXES]).convert_dtypes()
    frame["key"] = [f"{number:064x}" for number in frame["trial"]]
    frame.attrs["axes"] = AXES
    return frame


def front() -> pd.DataFrame:
    return trials().iloc[[0, 1, 5]]


def trace(figure, name):
    return next(one for one in figure.data if one.name == name)


def test_axis_labels_are_as_short_as_they_can_be_and_never_the_same() -> None:
    names = ["channels", "body", "body.cascade.groups", "upsampler.groups", "a.x.depth", "b.x.depth", "depth"]
    labels = axis_labels(names)
    assert labels["body.cascade.groups"] == "cascade.groups"
    assert labels["channels"] == "channels"
    assert labels["depth"] == "depth"
    assert labels["a.x.depth"] == "a.x.depth"
    assert len(set(labels.values())) == len(names)
    assert list(labels) == names


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (0.10, "0.1"), (16, "16"), ("cascade", "cascade"), (pd.NA, MISSING), (float("nan"), MISSING)],
)
def test_axis_values_read_as_in_a_space_file(value: object, text: str) -> None:
    assert axis_text(value) == text


def test_front_is_a_staircase_over_labelled_points_up_to_the_budget() -> None:
    figure = plots.front(trials(), front(), budget={"mult_adds": 40_000_000_000, "params": 800_000})
    points, dominated = trace(figure, "Pareto front"), trace(figure, "dominated")
    assert list(points.x) == [2e9, 5e9, 20e9]
    assert list(points.text) == ["#0", "#1", "#5"]
    assert list(dominated.customdata) == [2, 3]
    stairs = next(one for one in figure.data if one.line.shape == "hv")
    assert list(stairs.x) == [2e9, 5e9, 20e9, 40e9]
    assert list(stairs.y) == [26.0, 26.5, 27.0, 27.0]
    assert figure.layout.shapes[0].x0 == 40e9
    assert "budget 40G" in [note.text for note in figure.layout.annotations]
    assert figure.layout.xaxis.type == "log"
    hover = points.hovertext[2]
    for word in ("Trial 5", "27.000 dB", "20G Mult-Adds", "400K params", "channels: 48", "cascade.groups: 3"):
        assert word in hover


def test_a_network_that_never_learned_does_not_flatten_the_front() -> None:
    figure = plots.front(trials(), front())
    low, high = figure.layout.yaxis.range
    dominated = trace(figure, "dominated")
    assert low > 25
    assert high < 28
    assert dominated.marker.symbol[1] == "triangle-down"
    assert low < dominated.y[1] < 25.9
    assert "12.000 dB" in dominated.hovertext[1]


def test_front_points_have_error_bars_where_the_noise_is_known() -> None:
    assert trace(plots.front(trials(), front()), "Pareto front").error_y.array is None
    known = front().assign(
        psnr_error=pd.array([0.02, None, 0.5], dtype="Float64"), seeds=pd.array([3, 1, 1], dtype="Int64")
    )
    figure = plots.front(trials(), known)
    points = trace(figure, "Pareto front")
    assert list(points.error_y.array) == [0.02, 0.0, 0.5]
    assert "26.000 \N{PLUS-MINUS SIGN} 0.020 dB</b>, mean of 3 seeds" in points.hovertext[0]
    assert "<b>26.500 dB</b><br>" in points.hovertext[1]
    assert figure.layout.yaxis.range[1] > 27.5  # a bar is never cut off


def test_stopped_trials_are_not_in_the_figure() -> None:
    stopped = trials()
    stopped.loc[stopped["trial"] == 2, ["state", "psnr"]] = ["stopped", pd.NA]
    assert list(trace(plots.front(stopped, front()), "dominated").customdata) == [3]


def test_text_from_a_space_is_never_markup() -> None:
    figure = plots.front(trials(), front(), title="<script>alert(1)</script>")
    assert "&lt;script&gt;" in figure.layout.title.text
    assert "unit: &lt;b&gt;bold&lt;/b&gt;" in trace(figure, "dominated").hovertext[0]


def test_axes_join_neighbours_with_the_same_value() -> None:
    figure = plots.axes(front(), AXES)
    assert [lane.y[0] for lane in figure.data] == ["channels", "unit", "cascade.groups", "upsampler.groups"]
    channels, unit = figure.data[0], figure.data[1]
    assert list(channels.text) == ["16", "24", "48"]
    assert list(channels.x) == [1, 1, 1]
    assert list(unit.text) == ["conv"]
    assert list(unit.x) == [3]
    assert list(figure.layout.xaxis.ticktext) == ["2G<br>#0", "5G<br>#1", "20G<br>#5"]
    assert channels.marker.color[0] == LIGHT.ramp[0]
    assert channels.marker.color[2] == LIGHT.ramp[-1]


def test_hypervolume_never_hides_a_single_evaluation() -> None:
    figure = plots.hypervolume(pd.DataFrame({"evaluation": [1], "trial": [4], "hypervolume": [0.5]}))
    assert "markers" in figure.data[0].mode
    assert list(figure.data[0].customdata) == [4]


def test_nothing_finished_is_said_not_drawn() -> None:
    nothing = trials().iloc[:0]
    for figure in (
        plots.front(nothing, nothing),
        plots.hypervolume(pd.DataFrame(columns=["evaluation", "trial", "hypervolume"])),
        plots.axes(nothing, AXES),
    ):
        assert not figure.data
        assert "No design has finished" in figure.layout.annotations[0].text


def test_every_colour_of_a_figure_turns_dark() -> None:
    """A colour that is not one of the palette's would stay light on a dark page."""

    def colours(value: object) -> set[str]:
        if isinstance(value, dict):
            return {found for inner in value.values() for found in colours(inner)}
        if isinstance(value, list | tuple):
            return {found for inner in value for found in colours(inner)}
        return {value} if isinstance(value, str) and value.startswith(("#", "rgba")) else set()

    known = set(exchange(LIGHT, DARK)) | {"rgba(0,0,0,0)"}
    barred = front().assign(psnr_error=0.02)
    figures = [plots.front(trials(), barred, budget={"mult_adds": 4e10}), plots.axes(front(), AXES)]
    used = colours([figure.layout.to_plotly_json() for figure in figures]) | colours(template().to_plotly_json())
    for figure in figures:
        for one in figure.data:
            named = one.to_plotly_json()
            used |= colours([named[key] for key in ("marker", "textfont", "error_y") if key in named])
    assert used <= known


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_text_can_be_read_on_every_tint(palette: plots.Palette) -> None:
    """WCAG AA: 4.5 to 1."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
        return (bright + 0.05) / (dim + 0.05)

    for ground in (palette.surface, palette.raised, *palette.ramp, *palette.kinds):
        assert contrast(palette.ink, ground) >= 4.5
    for text in (palette.quiet, palette.accent, palette.limit):
        assert contrast(text, palette.surface) >= 4.5
