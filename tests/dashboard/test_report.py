"""The report in a real browser: it loads nothing, shows the results, and treats names as text."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plotly.offline import get_plotlyjs_version

from srsearch.analysis import Noise, hypervolume, hypervolume_history, pareto_front
from srsearch.cli.tables import print_front
from srsearch.dashboard import ReportData, render_report, write_report
from srsearch.dashboard.comparison import comparison_page
from srsearch.dashboard.vendored import plotly_js
from srsearch.errors import InputError, WorkError
from srsearch.export.comparison import Box, Shown
from srsearch.plots import front as front_figure
from srsearch.quantity import format_quantity
from srsearch.store import EvaluationRecord, Store, StudyRecord, TrialRecord
from tests.support import many_trials

HOSTILE = "<script>alert(1)</script>\"'"
AXES = ["channels", "unit", "body.cascade.groups", "upsampler.groups", "image_residual"]
OBJECTIVES = ("psnr", "mult_adds")


def study(name: str = "lightweight_x4") -> StudyRecord:
    return StudyRecord(
        name=name,
        space={
            "name": name,
            "constraints": {"mult_adds": {"max": "40G", "at": "1280x720"}, "params": {"max": 800_000}},
        },
        space_text=f"name: {name}\nscale: 4\n",
        space_hash="a" * 64,
        scale=4,
        objectives=OBJECTIVES,
        sampler="tpe",
        seed=0,
        recipe={"steps": 300, "batch": 8},
        data={"source": "builtin", "validation": ["china", "chelsea"], "counts": {"train": 5}},
        data_fingerprint="b" * 64,
        reference={"psnr": 25.02, "mult_adds": 40_000_000_000},
        created_at=datetime(2026, 5, 4, 14, 3, tzinfo=UTC),
    )


def records(unit: str = "conv", reason: str = "loss became NaN at step 112") -> list[TrialRecord]:
    """Five trained designs (three of them the front), one that failed, one over budget."""
    measured = [(26.049, 572, 8), (26.39, 1_690, 24), (26.0, 2_400, 34), (27.142, 25_700, 313), (26.3, 9_120, 127)]
    trials = [
        TrialRecord(
            number=number,
            key=f"{number + 1:064x}",
            axes={
                "channels": 16 * (number + 1),
                "unit": unit if number % 2 else "bottleneck",
                "body.cascade.groups": 2 + number % 2,
                "image_residual": number == 3,
            }
            | ({"upsampler.groups": number} if number else {}),
            state="complete",
            description={"scale": 4, "channels": 16 * (number + 1), "body": {"cascade": {"groups": 2 + number % 2}}},
            params=params * 1_000,
            mult_adds=mult_adds * 1_000_000,
            activations=mult_adds * 1_000,
            psnr=psnr,
            ssim=0.75,
            seconds=12.5,
        )
        for number, (psnr, mult_adds, params) in enumerate(measured)
    ]
    failed = dataclasses.replace(
        trials[4], number=5, key="f" * 64, state="failed", reason=reason, psnr=None, ssim=None, seconds=None
    )
    dear = dataclasses.replace(
        failed, number=6, key="e" * 64, state="infeasible", reason="54.6G Mult-Adds, over 40G", mult_adds=54_600_000_000
    )
    return [*trials, failed, dear]


def frame(trials: list[TrialRecord]) -> pd.DataFrame:
    """As `Store.trials` has them, without a database."""
    columns = ["state", "reason", "psnr", "ssim", "mult_adds", "params", "activations", "seconds", "cached"]
    rows = [
        {"trial": trial.number, "key": trial.key}
        | {name: getattr(trial, name) for name in columns}
        | {name: trial.axes.get(name) for name in AXES}
        for trial in trials
    ]
    made = pd.DataFrame(rows, columns=["trial", "key", *columns, *AXES]).convert_dtypes()
    made.attrs["axes"] = AXES
    return made


def data(name: str = "lightweight_x4", trials: list[TrialRecord] | None = None) -> ReportData:
    trials = records() if trials is None else trials
    made = frame(trials)
    done = made[made["state"] == "complete"]
    front = pareto_front(done, OBJECTIVES) if len(done) else done
    history = (
        hypervolume_history(done, OBJECTIVES, study().reference)
        if len(done)
        else pd.DataFrame(columns=["evaluation", "trial", "hypervolume"])
    )
    return ReportData(
        study(name), "sqlite:///studies/srsearch.db", made, front, history, trials[3].description if trials else None
    )


class Page:
    """A report open in a browser, with all that went wrong and all that was asked for."""

    def __init__(self, browser, path: Path, **options: object) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **options})
        self.tab = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda message: self.wrong.append(message.text))
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(path.as_uri())

    def column(self, table: str, place: int) -> list[str]:
        return self.tab.locator(f"#{table} tbody tr").evaluate_all(
            f"rows => rows.filter(r => !r.hidden).map(r => r.cells[{place}].textContent.trim())"
        )

    def close(self) -> None:
        self.context.close()
        assert self.wrong == []
        asked = [url for url in self.asked if not url.startswith("blob:null/")]  # a picture of the page, to be saved
        assert len(asked) == 1
        assert asked[0].startswith("file://")


@pytest.fixture
def opened(browser, tmp_path: Path) -> Iterator[object]:
    pages: list[Page] = []

    def open_report(content: ReportData, **options: object) -> Page:
        path = tmp_path / "report.html"
        path.write_text(render_report(content), encoding="utf-8")
        pages.append(Page(browser, path, **options))
        return pages[-1]

    yield open_report
    for page in pages:
        page.close()


def test_the_page_shows_the_front_and_the_best_design(opened) -> None:
    page = opened(data())
    tab = page.tab
    assert tab.title() == "lightweight_x4 · srsearch"
    assert page.column("front-table", 0) == ["0", "1", "3"]
    assert page.column("front-table", 1) == ["26.049", "26.390", "27.142"]
    assert page.column("front-table", 3) == ["572M", "1.69G", "25.7G"]
    assert page.column("front-table", 4) == ["8K", "24K", "313K"]
    heads = [text.strip() for text in tab.locator("#front-table thead th").all_inner_texts()]
    assert heads[5:] == ["channels", "unit", "cascade.groups", "upsampler.groups", "image_residual", "Key"]
    card = tab.locator(".card").inner_text()
    for word in (
        "27.142",
        "trial 3",
        "+2.12 dB over bicubic",
        "25.7G",
        "313K",
        "image_residual",
        "groups: 3",
    ):
        assert word in card, word
    assert "srsearch best lightweight_x4 --save design.yaml" in card
    assert tab.locator("#failed-table tbody tr").all_inner_texts() == ["5\tloss became NaN at step 112"]
    body = tab.locator("body").inner_text()
    for word in ("40G Mult-Adds · 800K params", "1280\N{MULTIPLICATION SIGN}720", "1 failed", "china, chelsea"):
        assert word in body, word
    assert "cannot be compared with published PSNR" in body
    assert tab.locator("table caption").count() == tab.locator("table").count() == 3


def press_every_button(tab) -> None:
    """Press each button of each figure's mode bar. No window may open, and no figure may be uploaded."""
    windows = []
    tab.context.on("page", lambda window: windows.append(window.url))
    buttons = tab.locator(
        ".modebar-btn:not(.plotlyjsicon)"
    )  # the logo, which links to its makers; only notebooks have it
    titles = buttons.evaluate_all("all => all.map(each => each.dataset.title)")
    assert len(titles) >= 3
    assert not [title for title in titles if re.search("share|cloud|upload|edit", title, re.IGNORECASE)]
    buttons.evaluate_all("all => all.forEach(each => each.click())")
    tab.wait_for_timeout(300)
    assert windows == []
    assert tab.get_by_text("Plotly Cloud").count() == 0


def test_no_button_of_a_figure_asks_another_machine(browser, tmp_path: Path, opened) -> None:
    content = data()
    press_every_button(opened(content).tab)
    # What a notebook saves, without our settings.
    path = tmp_path / "figure.html"
    front_figure(content.trials, content.front).write_html(path)
    saved = Page(browser, path)
    press_every_button(saved.tab)
    saved.close()


def test_hovering_over_a_point_tells_its_design(opened) -> None:
    tab = opened(data()).tab
    points = tab.locator("#figure-front .scatterlayer .points path")
    assert points.count() == 6  # with the ring around the best
    points.nth(4).hover(force=True)
    tab.wait_for_selector("#figure-front .hovertext")
    text = tab.locator("#figure-front .hovertext").text_content()
    for word in ("Trial 3", "27.142 dB", "25.7G Mult-Adds", "313K params", "channels: 64", "image_residual: true"):
        assert word in text, word
    ticks = tab.locator("#figure-front .xtick text").all_text_contents()
    assert {"1G", "2G", "5G", "10G", "20G"} <= set(ticks)
    assert len(ticks) < 9
    assert "budget 40G" in tab.locator("#figure-front .annotation-text").all_text_contents()
    assert tab.locator("#figure-axes .bars .point").count() > 5
    assert tab.locator("#figure-hypervolume .scatterlayer .trace").count() == 1


SLIDE = """places => {
  for (const [name, place] of Object.entries(places)) {
    const slider = document.querySelector(`.budget [name=${name}]`);
    slider.value = place;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
  }
  const {data, layout} = document.getElementById("figure-front");
  const line = layout.shapes.find((shape) => shape.name === "limit");
  return {data, line, told: document.getElementById("inside").textContent};
}"""


def test_sliders_tell_the_best_design_inside_a_budget(opened) -> None:
    tab = opened(data()).tab
    assert tab.locator(".budget label").all_inner_texts() == [
        "Mult-Adds at most\nno limit",
        "Parameters at most\nno limit",
    ]
    assert tab.inner_text("#inside").startswith(
        "Best without a limit: trial 3, 27.142 dB, 25.7G Mult-Adds, 313K params"
    )
    shown = tab.evaluate(SLIDE, {"mult_adds": 120})
    sliders = {name: tab.locator(f".budget [name={name}]") for name in ("mult_adds", "params")}
    low, high = (float(sliders["mult_adds"].get_attribute(f"data-{end}")) for end in ("low", "high"))
    assert high == 25.7e9
    limit = float(f"{low * (high / low) ** 0.6:.6g}")
    assert shown["line"]["x0"] == shown["line"]["x1"] == limit
    most = format_quantity(limit)
    assert shown["told"].startswith(f"Best within {most} Mult-Adds: trial 1, 26.390 dB, 1.69G Mult-Adds, 24K params")
    assert "unit conv" in shown["told"]
    opacity = {
        number: value
        for trace in shown["data"]
        if trace.get("customdata")
        for number, value in zip(trace["customdata"], trace["marker"]["opacity"], strict=True)
    }
    frame_ = frame(records())
    assert {number for number, value in opacity.items() if value < 0.5} == {
        int(trial) for trial in frame_[(frame_["mult_adds"] > limit) & (frame_["state"] == "complete")]["trial"]
    }
    both = tab.evaluate(SLIDE, {"mult_adds": 120, "params": 60})
    assert " and " in both["told"]
    assert "trial 0, 26.049 dB" in both["told"]
    assert "no design fits" in tab.evaluate(SLIDE, {"params": 0, "mult_adds": 0})["told"]
    assert tab.evaluate(SLIDE, {"params": 200, "mult_adds": 200})["line"]["x0"] == 40e9  # the study's own
    tab.emulate_media(media="print")
    assert not tab.is_visible(".budget")
    assert tab.is_visible("#inside")


def test_a_click_on_the_front_finds_the_row(opened) -> None:
    tab = opened(data(), reduced_motion="reduce").tab
    assert tab.locator("tr.found").count() == 0
    tab.locator("#figure-front .scatterlayer .points path").nth(4).click(force=True)
    tab.wait_for_selector("#trial-3.found")
    assert tab.locator("tr.found").count() == 1


def test_tables_sort_by_value_with_what_is_missing_last(opened) -> None:
    page = opened(data())
    tab = page.tab
    head = tab.locator("#trials-table thead th", has_text="Mult-Adds")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert page.column("trials-table", 3) == ["572M", "1.69G", "2.4G", "9.12G", "9.12G", "25.7G", "54.6G"]
    psnr = tab.locator("#trials-table thead th", has_text="PSNR").locator("button")
    psnr.click()
    psnr.press("Enter")  # by keyboard too
    assert page.column("trials-table", 2)[:2] == ["27.142", "26.390"]
    assert page.column("trials-table", 2)[-2:] == ["–", "–"]  # noqa: RUF001
    assert head.get_attribute("aria-sort") is None
    tab.locator(".filter button", has_text="failed").click()
    assert page.column("trials-table", 0) == ["5"]
    align = "cell => getComputedStyle(cell).textAlign"
    assert tab.locator("#trials-table td.number").first.evaluate(align) == "right"


def test_colours_follow_the_reader_and_paper_is_light(opened) -> None:
    tab = opened(data(), color_scheme="dark").tab
    paper = "() => document.querySelector('#figure-front .main-svg').style.backgroundColor"
    ground = "() => getComputedStyle(document.body).backgroundColor"
    assert tab.evaluate(paper) == "rgb(22, 27, 33)"
    assert tab.evaluate(ground) == "rgb(14, 18, 22)"
    tab.emulate_media(color_scheme="light")
    tab.wait_for_timeout(200)  # wait_for_function would need eval, which the page's policy refuses
    assert tab.evaluate(paper) == "rgb(255, 255, 255)"
    assert tab.evaluate(ground) == "rgb(244, 246, 248)"
    tab.emulate_media(color_scheme="dark", media="print")
    assert tab.evaluate(ground) == "rgb(255, 255, 255)"
    wide = "() => document.querySelector('#figure-axes .main-svg').getBoundingClientRect().width"
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate(paper) == "rgb(255, 255, 255)"
    assert tab.evaluate(wide) == 680
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    tab.emulate_media(color_scheme="dark", media="screen")
    tab.wait_for_timeout(200)
    assert tab.evaluate(paper) == "rgb(22, 27, 33)"
    assert tab.evaluate(wide) > 1000


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_the_page_never_scrolls_sideways(opened, width: int) -> None:
    tab = opened(data(), viewport={"width": width, "height": 900}).tab
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_names_are_text(opened) -> None:
    tab = opened(data(HOSTILE, records(unit=HOSTILE, reason="</script><img src=x onerror=alert(2)>"))).tab
    assert HOSTILE in tab.locator("h1").inner_text()
    assert HOSTILE in tab.title()
    assert HOSTILE in tab.locator("#front-table").inner_text()
    assert "</script><img src=x onerror=alert(2)>" in tab.locator("#failed-table").inner_text()
    assert tab.locator("img").count() == 0
    assert tab.locator("body script:not([type])").count() == 2
    tab.locator("#figure-front .scatterlayer .points path").nth(3).hover(force=True)
    tab.wait_for_selector("#figure-front .hovertext")
    assert f"unit: {HOSTILE}" in tab.locator("#figure-front .hovertext").text_content()


@pytest.mark.parametrize("trials", [[], records()[5:]], ids=["none", "only failed"])
def test_a_study_without_results_says_so(opened, trials: list[TrialRecord]) -> None:
    content = dataclasses.replace(data(), best_design=None)
    made = frame(trials)
    nothing = made[made["state"] == "complete"]
    tab = opened(
        dataclasses.replace(content, trials=made, front=nothing, history=pd.DataFrame(columns=["evaluation"]))
    ).tab
    body = tab.locator("body").inner_text()
    assert "No design has finished training yet." in body
    assert ("1 failed" in body) == bool(trials)
    assert tab.locator(".card").count() == 0


OBJECTIVE_SETS = [
    objectives
    for number in range(1, 6)
    for objectives in itertools.combinations(("psnr", "ssim", "mult_adds", "params", "activations"), number)
]


@pytest.mark.parametrize("objectives", OBJECTIVE_SETS, ids=" ".join)
def test_any_objectives_can_be_searched_for(
    objectives: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = frame(records())
    made["ssim"] = pd.array([0.71, 0.73, 0.76, 0.75, 0.72, None, None], dtype="Float64")
    done = made[made["state"] == "complete"]
    reference = {"psnr": 25.02, "ssim": 0.0, "mult_adds": 40e9, "params": 8e5, "activations": 40e6}
    front = pareto_front(made, objectives)
    better = {name: (1 if name in ("psnr", "ssim") else -1) * done[name].astype(float) for name in objectives}

    def beaten(one: int) -> bool:
        return any(
            all(better[name][other] >= better[name][one] for name in objectives)
            and any(better[name][other] > better[name][one] for name in objectives)
            for other in done.index
        )

    assert set(front["trial"]) == {number for number in done.index if not beaten(number)}
    history = hypervolume_history(made, objectives, reference)
    assert history["hypervolume"].iloc[-1] == pytest.approx(
        hypervolume(made, {name: reference[name] for name in objectives})
    )
    assert history["hypervolume"].iloc[-1] > 0
    print_front(front)
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == len(front)
    for name, word in (("ssim", "SSIM"), ("activations", "Activations")):
        assert (word in head) == (name in objectives)
    monkeypatch.setattr("srsearch.dashboard.report.plotly_js", lambda: "")
    record = dataclasses.replace(study(), objectives=objectives, reference=reference)
    page = render_report(ReportData(record, "here", made, front, history, None))
    quality = next((name for name in objectives if name in ("psnr", "ssim")), "psnr")
    winner = done.loc[front.set_index("trial")[quality].astype(float).idxmax()]
    assert f"<span>trial {winner['trial']}</span>" in page
    assert (">Activations<" in page) == ("activations" in objectives)


def test_the_page_tells_noise_ties_and_what_was_stopped(opened) -> None:
    content = data()
    made = content.trials.assign(
        seeds=pd.array([1, 1, 1, 3, 1, None, None], dtype="Int64"),
        psnr=lambda rows: rows["psnr"].where(rows["trial"] != 2, 27.12),
        mult_adds=lambda rows: rows["mult_adds"].where(rows["trial"] != 2, 9_000_000_000),
    )
    made.loc[4, ["state", "psnr", "ssim", "seeds"]] = ["stopped", pd.NA, pd.NA, pd.NA]
    made.attrs = content.trials.attrs
    page = opened(
        dataclasses.replace(
            content,
            trials=made,
            front=pareto_front(made, OBJECTIVES),
            noise=Noise(0.03, "replicates", 12),
            reached={4: (150, 26.2)},
        )
    )
    tab = page.tab
    card = tab.locator(".card").inner_text()
    assert "\N{PLUS-MINUS SIGN} 0.017 (mean of 3 seeds)" in card
    spread = "standard deviation 0.030 dB, from 12 replicates"
    assert f"Tied with 1 other design within the noise ({spread}); the cheapest is trial 2 with 9G Mult-Adds." in card
    bars = f"The bars are one standard error of the PSNR: the noise of one training ({spread}) divided"
    assert bars in tab.locator("body").inner_text()
    assert page.column("front-table", 2) == ["0.030", "0.030", "0.030", "0.017"]
    assert page.column("front-table", 4) == ["1", "1", "1", "3"]
    assert tab.locator("#figure-front .errorbar").count() == 4
    assert "none failed" not in tab.locator("header").inner_text()
    assert "1 failed, 1 stopped early" in tab.locator("header").inner_text()
    tab.locator(".filter button", has_text="stopped early").click()
    assert page.column("trials-table", 0) == ["4"]
    assert page.column("trials-table", 2) == ["26.200 at 150"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "study.db")
    store.create_study(study())
    for trial in records():
        begun = dataclasses.replace(trial, state="running", reason=None, psnr=None, ssim=None, seconds=None)
        store.add_trials("lightweight_x4", [trial if trial.state == "infeasible" else begun])
        if trial.state == "failed":
            store.fail_trial("lightweight_x4", trial.number, str(trial.reason))
        elif trial.state == "complete":
            assert trial.key is not None
            assert trial.psnr is not None
            evaluation = EvaluationRecord(
                key=trial.key,
                recipe={"steps": 300},
                recipe_hash="c" * 64,
                data_fingerprint="b" * 64,
                seed=0,
                psnr=trial.psnr,
                ssim=trial.ssim,
                seconds=trial.seconds,
            )
            store.finish_trial("lightweight_x4", trial.number, evaluation)
    return store


def test_write_report_reads_a_store(store: Store, browser, tmp_path: Path) -> None:
    path = write_report(store, "lightweight_x4", tmp_path / "dashboards" / "lightweight_x4.html")
    page = Page(browser, path)
    assert page.column("front-table", 1) == ["26.049", "26.390", "27.142"]
    assert page.column("trials-table", 1)[-2:] == ["failed", "over budget"]
    assert "cascade:\n    groups: 3" in page.tab.locator(".card pre").inner_text()
    page.close()


def test_a_report_is_replaced_whole_or_not_at_all(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("the last one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(WorkError, match="No space left"):
            write_report(store, "lightweight_x4", path)
    assert path.read_text() == "the last one"
    assert [file.name for file in tmp_path.glob(".report*")] == []
    write_report(store, "lightweight_x4", path)
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    with pytest.raises(InputError, match="is a folder"):
        write_report(store, "lightweight_x4", tmp_path)
    with pytest.raises(InputError):
        write_report(store, "lightwait", path)


def with_weights(path: Path, number: int = 1) -> Store:
    """A study of so many designs of the front, whose weights are kept; nobody has trained them."""
    from srsearch.architecture import Architecture, build
    from srsearch.data import load_training_data
    from srsearch.search.checkpoints import Checkpoints
    from srsearch.training.checkpoint import Checkpoint

    photos = load_training_data("builtin", 4, patch=24)
    record = many_trials.study(data_fingerprint=photos.fingerprint)
    store = Store(path)
    store.create_study(record)
    for trial in range(number):
        body = {"chain": {"blocks": trial + 1}}
        design = Architecture.from_dict({"scale": 4, "channels": 8, "body": body, "image_residual": "bicubic"})
        costs = {"params": 9_000 + trial, "mult_adds": (trial + 1) * 10**9, "activations": 10**6}
        begun = TrialRecord(trial, design.key, {"channels": 8}, "running", description=design.to_dict(), **costs)
        store.add_trials("many", [begun])
        psnr = 27.0 + trial / 10
        store.finish_trial("many", trial, EvaluationRecord(design.key, {}, "c" * 64, photos.fingerprint, 0, psnr=psnr))
        state = build(design, seed=0).state_dict()
        Checkpoint(600, 1.0, ((600, psnr),), state, 0.7).save(Checkpoints(store, record).path(design.key, 0))
    return store


def test_pictures_of_kept_weights_stand_beside_hr_and_bicubic(browser, tmp_path: Path) -> None:
    with with_weights(tmp_path / "study.db", 6) as store:
        path = write_report(store, "many", tmp_path / "report.html")
    page = Page(browser, path)
    tab = page.tab
    assert tab.locator(".gallery figure").count() == 6
    captions = tab.locator(".gallery figcaption").all_inner_texts()
    assert captions[0] == "HR"
    assert [text.rpartition(" ")[0].rpartition(" ")[0] for text in captions[1:]] == [
        "bicubic",
        *(f"trial {number}" for number in (0, 2, 3, 5)),
    ]
    assert all(re.fullmatch(r".* -?\d+\.\d\d dB", text) for text in captions[1:])
    images = tab.locator(".gallery img")
    assert images.evaluate_all("all => all.every(e => e.src.startsWith('data:image/png') && e.naturalWidth === 288)")
    assert "Briefly trained networks" in tab.inner_text("section:has(.gallery) .caveat")
    tab.locator("#zoom").fill("4")
    zoomed = "all => all.map(e => getComputedStyle(e).transform.slice(0, 8))"
    assert set(images.evaluate_all(zoomed)) == {"matrix(4"}
    first, second = tab.locator("#wiped-left"), tab.locator("#wiped-right")
    assert first.get_attribute("src") == images.nth(1).get_attribute("src")
    assert second.get_attribute("src") == images.nth(5).get_attribute("src")
    tab.locator("#wipe-left").select_option("HR")
    assert first.get_attribute("src") == images.nth(0).get_attribute("src")
    tab.locator("#wipe").fill("20")
    assert "80%" in tab.evaluate("getComputedStyle(document.querySelector('.wipe .above')).clipPath")
    page.close()


def test_without_weights_or_photos_there_are_no_pictures(store: Store, tmp_path: Path) -> None:
    page = write_report(store, "lightweight_x4", tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'class="gallery"' not in page
    with with_weights(tmp_path / "other.db") as other:
        with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
            connection.execute("UPDATE sr_studies SET data_fingerprint = 'b'")
        page = write_report(other, "many", tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'class="gallery"' not in page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_comparison_zooms_all_crops_and_wipes_between_two_by_keys(browser, tmp_path: Path, scheme: str) -> None:
    names = ("HR", "bicubic", "a<b>")
    crops = [np.full((40, 60, 3), 80 * number, np.uint8) for number in range(3)]
    shown = [Shown(name, crop, None if name == "HR" else 28.125) for name, crop in zip(names, crops, strict=True)]
    file = tmp_path / "comparison.html"
    file.write_text(comparison_page("photo.png", 4, Box(3, 5, 60, 40), shown))
    page = Page(browser, file, color_scheme=scheme)
    captions = [each.strip() for each in page.tab.locator("figcaption").all_inner_texts()]
    assert captions == ["HR", "bicubic 28.12 dB", "a<b> 28.12 dB"]
    first, wiped = page.tab.locator(".gallery .lens").first, page.tab.locator("#wiped-left")
    assert first.bounding_box()["width"] == pytest.approx(1.5 * first.bounding_box()["height"], rel=0.01)
    touch = "lens => getComputedStyle(lens).touchAction"
    assert first.evaluate(touch) == "auto"  # a finger on a picture scrolls the page
    first.focus()
    page.tab.keyboard.press("+")
    assert first.evaluate(touch) == "none"
    zooms = "images => images.map(image => getComputedStyle(image).transform)"
    assert set(page.tab.locator(".lens img").evaluate_all(zooms)) == {"matrix(1.5, 0, 0, 1.5, 0, 0)"}
    sources = page.tab.locator(".gallery img").evaluate_all("images => images.map(image => image.src)")
    assert wiped.get_attribute("src") == sources[1]
    page.tab.select_option("#wipe-left", index=2)
    assert wiped.get_attribute("src") == sources[2]
    page.tab.locator("#wipe").focus()
    page.tab.keyboard.press("Home")
    assert page.tab.locator(".above").evaluate("each => getComputedStyle(each).clipPath") == "inset(0px 100% 0px 0px)"
    dark = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(14, 18, 22)") == (scheme == "dark")
    page.close()


def test_a_large_study_is_one_small_file_with_every_view(browser, tmp_path: Path) -> None:
    with Store(tmp_path / "many.db") as many:
        many_trials.write(many, 2_000)
        path = write_report(many, "many", tmp_path / "many.html")
    assert path.stat().st_size < 10_000_000
    page = Page(browser, path)
    for name in ("front", "axes", "diagram", "parts", "curve", "parallel", "effects", "interaction", "rungs", "rate"):
        page.tab.wait_for_selector(f"#figure-{name} .main-svg", state="attached")
    assert "global skip" in page.tab.locator("#figure-diagram .annotation-text").all_text_contents()
    assert "at equal cost" in page.tab.locator("#figure-effects").text_content()
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 1280
    page.close()


def test_plotlys_script_has_the_version_that_the_python_package_writes_for() -> None:
    head = plotly_js()[:200]
    assert f"plotly.js (cartesian - minified) v{get_plotlyjs_version()}\n" in head


def test_only_the_last_of_very_many_trials_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srsearch.dashboard.report._MOST_ROWS", 20)
    with Store(tmp_path / "large.db") as store:
        many_trials.write(store, 50)
        page = write_report(store, "many", tmp_path / "large.html").read_text(encoding="utf-8")
    assert "The last 20 of 50 trials" in page
    table = page[page.index('id="trials-table"') :]
    listed = re.findall(r'<th scope="row" class="number" data-sort="(\d+)">', table[: table.index("</table>")])
    assert listed == [str(number) for number in range(30, 50)]
