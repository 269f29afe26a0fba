"""Figures from data frames: what they draw, what hovering shows, and that no text becomes markup."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from srsearch import plots
from srsearch.architecture import Architecture, catalogue, read_wiring
from srsearch.architecture.assembly import positions
from srsearch.labels import MISSING, axis_labels, axis_text
from srsearch.plots._points import thinned
from srsearch.plots._theme import DARK, LIGHT, exchange, template
from tests.conftest import CHECKOUT

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
    assert list(figure.layout.xaxis.ticktext) == ["2G #0", "5G #1", "20G #5"]
    assert channels.marker.color[0] == LIGHT.ramp[0]
    assert channels.marker.color[2] == LIGHT.ramp[-1]


def test_hypervolume_never_hides_a_single_evaluation() -> None:
    figure = plots.hypervolume(pd.DataFrame({"evaluation": [1], "trial": [4], "hypervolume": [0.5]}))
    assert "markers" in figure.data[0].mode
    assert list(figure.data[0].customdata) == [4]


def test_a_figure_without_finished_trials_says_so() -> None:
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
    """WCAG AA requires a contrast of 4.5 to 1."""

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


def browsed() -> pd.DataFrame:
    frame = trials()
    frame["reached"] = pd.array([600, 600, 600, 600, 75, 600], dtype="Int64")
    frame["reached_psnr"] = pd.array([None, None, None, None, 24.0, None], dtype="Float64")
    return frame


def test_the_interactive_front_has_colours_symbols_limits_and_published_networks() -> None:
    shown = plots.Browse(
        colour="channels",
        symbol="unit",
        selected=frozenset([0, 1, 2]),
        box=(1e9, 7e9, 25.5, 27),
        marked=1,
        stopped=True,
        published=[plots.PublishedPoint("CARN-<b>M</b>", "pcarn", 32.5e9, 28.42)],
        benchmark="Set14",
    )
    figure = plots.front(browsed(), front(), budget={"mult_adds": 10e9}, browse=shown)
    names = [one.name for one in figure.data]
    for word in (
        "channels 16",
        "channels 32",
        "unit conv",
        "Pareto front",
        "trial 1",
        "published, Set14 (right scale)",
    ):
        assert word in names, word
    points = trace(figure, "Pareto front")
    assert points.marker.color[0] == LIGHT.steps[0]
    assert points.marker.color[-1] == LIGHT.steps[-1]
    assert points.marker.opacity[0] == 1
    assert points.marker.opacity[-1] < 1  # not selected
    assert trace(figure, "published, Set14 (right scale)").yaxis == "y2"
    assert trace(figure, "published, Set14 (right scale)").text[0] == "CARN-&lt;b&gt;M&lt;/b&gt;"
    assert "another scale" in figure.layout.yaxis2.title.text
    on_the_way = trace(figure, "set aside or running, at the rung reached")
    assert list(on_the_way.customdata) == [4]
    assert "24.000 dB after 75 steps" in on_the_way.hovertext[0]
    assert any(shape.type == "rect" and shape.x1 == 7e9 for shape in figure.layout.shapes)


def test_many_points_are_thinned_but_the_front_is_drawn_completely() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random(50_000), rng.random(50_000)
    kept = thinned(x, y)
    assert 300 < len(kept) <= plots.MOST_POINTS
    assert len(set(kept.tolist())) == len(kept)
    for edge in (x.min(), x.max()):
        assert abs(x[kept] - edge).min() < 0.02
    assert thinned(x[:9], y[:9]).tolist() == list(range(9))
    assert len(thinned(np.ones(5_000), np.ones(5_000))) == 1


def test_numbers_with_many_values_are_coloured_in_groups() -> None:
    frame = browsed()
    frame = pd.concat([frame] * 5, ignore_index=True).assign(trial=range(30), seconds=np.linspace(1, 3_000, 30))
    frame.attrs["axes"] = AXES
    figure = plots.front(frame, frame.head(1), browse=plots.Browse(colour="seconds"))
    names = [one.name for one in figure.data if one.name and one.name.startswith("seconds")]
    assert any(" to " in name for name in names)
    assert len(set(names)) <= len(LIGHT.steps)


def drawn(**fields: object) -> tuple[go.Figure, list[str], list[str]]:
    """The diagram of a design, the words in it and in its legend, and the texts for hovering over its boxes."""
    figure = plots.diagram(read_wiring(Architecture.from_dict(fields)))
    words = [note.text for note in figure.layout.annotations if note.text]
    words += [trace.name.replace("<br>", " ") for trace in figure.data if trace.name]
    return figure, words, list(figure.data[-1].hovertext)


def test_a_design_is_drawn_from_its_wiring() -> None:
    body = {"cascade": {"groups": 2, "blocks": 3, "fusion": "both", "share": "group"}}
    unit, upsampler = {"grouped": {"groups": 4}}, {"pixel_shuffle": {"groups": 4}}
    fields = {"channels": 32, "block": "efficient_residual", "unit": unit, "upsampler": upsampler, "body": body}
    _, words, hovers = drawn(scale=4, image_residual="bicubic", **fields)
    assert (words.count("1_1"), words.count("2_1"), words.count("1\N{MULTIPLICATION SIGN}1")) == (3, 3, 8)
    named = "entry", "exit", "up \N{MULTIPLICATION SIGN}4", "group 1", "group 2", "global skip", "image residual"
    for word in (*named, "block: efficient_residual of grouped(groups=4)", "dotted: the weights of an earlier box"):
        assert word in words, word
    assert sum("the weights of an earlier box" in text for text in hovers) == 4
    assert "no description" in plots.diagram(None).layout.annotations[0].text
    assert "&lt;b&gt;" in plots.diagram(None, "<b>").layout.annotations[0].text


def test_the_symmetric_body_has_all_its_blocks_and_shows_where_activations_are_dropped() -> None:
    figure, words, hovers = drawn(**catalogue.get("s-lwsr-16", scale=4).to_dict())
    assert [word for word in words if re.fullmatch(r"\d+_\d", word)] == list(positions(catalogue.get("s-lwsr-16").body))
    assert sum("without the activation" in text for text in hovers) == 26 - 12
    assert figure.layout.height < 450


def test_levels_are_rows_and_a_repeated_network_is_drawn_once() -> None:
    _, words, _ = drawn(**catalogue.get("csrcnn-6-4-2", scale=8).to_dict())
    assert [words.count(f"1_{n}") for n in range(1, 7)] == [3, 3, 2, 2, 1, 1]
    assert [word for word in words if word.startswith("level")] == ["level 1", "level 2", "level 3"]
    _, words, _ = drawn(**catalogue.get("prosrn", scale=8).to_dict())
    assert words.count("1_10") == 1
    assert "applied 3 times with the same weights, each time to its own output" in words
    assert "global skip" not in words


@pytest.mark.parametrize(
    ("body", "blocks", "ends"),
    [
        ({"chain": {"blocks": 60}}, 54, "1_4 \N{HORIZONTAL ELLIPSIS} 1_57"),
        ({"cascade": {"groups": 6, "blocks": 6}}, 30, "1_4 \N{HORIZONTAL ELLIPSIS} 6_3"),
        ({"dense": {"blocks": 40}}, 34, "1_4 \N{HORIZONTAL ELLIPSIS} 1_37"),
    ],
    ids=str,
)
def test_blocks_of_a_long_body_are_drawn_together(body: object, blocks: int, ends: str) -> None:
    _, words, hovers = drawn(scale=2, channels=8, body=body)
    assert f"{blocks} blocks<br>{ends}" in words
    assert sum(re.fullmatch(r"\d+_\d+", word) is not None for word in words) == 6
    assert len(hovers) < 30


def test_parallel_lines_can_be_clicked_by_value() -> None:
    figure = plots.parallel(trials(), AXES)
    marks = figure.data[-1]
    assert "channels=16" in marks.customdata
    assert "&lt;b&gt;bold&lt;/b&gt;" in "".join(marks.text)


def test_the_examples_for_notebooks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    shutil.copy(CHECKOUT / "studies" / "lightweight_x4_example.db", tmp_path / "studies")
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs" / "notebook.md").read_text(), re.DOTALL)
    assert len(blocks) > 4
    for block in blocks:
        exec(block, names)
