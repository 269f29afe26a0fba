"""The live pages in a real browser: what they show, how they follow a study, and who may open them."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from srsearch import extensions, objectives
from srsearch.analysis import best, pareto_front
from srsearch.architecture import load_plugin, register
from srsearch.cli import main
from srsearch.dashboard.formats import cell
from srsearch.dashboard.live import server as live
from srsearch.dashboard.live.address import Address
from srsearch.dashboard.live.components import Page
from srsearch.dashboard.live.snapshots import Watcher
from srsearch.dashboard.live.views.table import views
from srsearch.errors import InputError
from srsearch.quantity import format_quantity
from srsearch.store import EvaluationRecord, Store, TrainingPoint, TrainingRecord, TrialRecord
from srsearch.store.trainings import TrainingLog
from tests.conftest import CHECKOUT, SMALL_SPACE
from tests.dashboard.test_report import press_every_button, with_weights
from tests.support import forked, many_trials

HOSTILE = "<img src=x onerror=alert(1)>\"'&only=</script>"
BEST = "#best-quality"
TITLES = {name: view.title for name, view in views().items()}

SLIDE = """places => {
  const limits = {};
  for (const [name, place] of places) {
    const slider = document.querySelector(`[name=${name}]`);
    slider.value = place;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    limits[name] = srsearchBudget.limit(place, slider.limit);
  }
  const {data, layout} = document.getElementById("figure-front");
  const line = layout.shapes.find((shape) => shape.name === "limit");
  const pale = data.filter((trace) => trace.meta?.part === "points").map(({customdata, marker, meta}) =>
    customdata.map((number, at) => [number, marker.opacity[at] === meta.faint]));
  const {y} = data.find((trace) => trace.meta?.part === "staircase");
  const labels = data.flatMap(({meta, text, customdata}) => meta?.labels ? customdata.filter((_, at) => text[at]) : []);
  const stairs = {labels, steps: y.slice(0, -1).filter((each) => each > layout.meta.floor), floor: layout.meta.floor};
  return {limits, line, stairs, pale: Object.fromEntries(pale.flat()), best: document.getElementById("best").innerText};
}"""


class Site:
    """A running dashboard."""

    def __init__(self, storage: Path, token: str | None = None) -> None:
        self.storage = storage
        self.server = live.make(str(storage), "127.0.0.1", 0, token)
        self.root = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def get(self, path: str, **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
        """Status, text and headers of an answer, without following it elsewhere."""

        class Here(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: object) -> None:
                return None

        asked = urllib.request.Request(self.root + path, headers=headers)
        try:
            with urllib.request.build_opener(Here).open(asked, timeout=60) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Visit:
    """A browser's window on a dashboard, with all that went wrong and all that was asked of others."""

    def __init__(self, browser: Any, site: Site, **options: object) -> None:
        self.site = site
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.tab = self.context.new_page()
        self.wrong: list[str] = []
        self.elsewhere: list[str] = []
        self.tab.on("console", lambda message: self.wrong.append(message.text))
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
        self.tab.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith((self.site.root, "data:", "blob:")):
            self.elsewhere.append(url)

    def open(self, search: str = "") -> Any:
        self.tab.goto(self.site.root + search)
        self.tab.wait_for_selector("#content section, #content .nothing")
        return self.tab

    def drawn(self) -> int:
        return int(self.tab.evaluate("document.documentElement.dataset.drawn ?? 0"))

    def after(self, act: Any) -> None:
        """Do something, and wait until the page has been drawn again."""
        before = self.drawn()
        act()
        self.tab.wait_for_selector(f"html:not([data-drawn='{before}'])")

    def turn(self, search: str) -> Any:
        """Go to another link without reloading the page."""
        go = "s => { history.pushState(null, '', s); dispatchEvent(new PopStateEvent('popstate')); }"
        self.after(lambda: self.tab.evaluate(go, search))
        return self.tab

    def limit(self, name: str, place: int) -> None:
        """Move a slider of the budget to a place between 0 and 200, and wait for what the server says of it."""
        before = self.tab.evaluate("document.documentElement.dataset.answered")
        self.slide({name: place})
        self.tab.wait_for_selector(f"html:not([data-answered='{before}'])")

    def slide(self, places: dict[str, int]) -> dict[str, Any]:
        """Move sliders of the budget, and read what stands there at once: before anything could be asked."""
        found: dict[str, Any] = self.tab.evaluate(SLIDE, list(places.items()))
        return found

    def close(self) -> None:
        self.context.close()
        assert self.wrong == []
        assert self.elsewhere == []


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    opened: list[Visit] = []

    def begin(site: Site, **options: object) -> Visit:
        opened.append(Visit(browser, site, **options))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Any]:
    sites: list[Site] = []

    def serve(storage: Path, token: str | None = None) -> Site:
        sites.append(Site(storage, token))
        return sites[-1]

    yield serve
    for each in sites:
        each.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("large") / "many.db"
    with Store(path) as store:
        many_trials.write(store, 20_000)
    found = Site(path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def medium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(small(tmp_path_factory.mktemp("medium") / "many.db", 600))
    yield found
    found.close()


def small(path: Path, number: int = 60, **changes: Any) -> Path:
    with Store(path) as store:
        many_trials.write(store, number, record=many_trials.study(**changes))
    return path


def test_the_budget_slider_changes_the_best_design_and_the_link(large: Site, visit: Any) -> None:
    page = visit(large)
    tab = page.open("?view=front")
    tab.wait_for_selector(BEST)
    whole = float(tab.inner_text(BEST))
    page.limit("max_mult_adds", 80)
    smaller = float(tab.inner_text(BEST))
    assert smaller < whole
    limit = Address.of(tab.url.partition("?")[2]).limits["mult_adds"]
    with Store(large.storage, read_only=True) as store:
        done = store.trials("many").query("state == 'complete'")
    inside = done[done["mult_adds"] <= limit]
    assert smaller == pytest.approx(inside["psnr"].max(), abs=0.0006)
    assert f"of {len(inside):,} rows" in tab.inner_text("#table-designs .after")
    assert "Tied with" in tab.inner_text(".ties")
    again = visit(large)
    other = again.open(tab.url.removeprefix(large.root))
    other.wait_for_selector(BEST)
    assert other.inner_text("#best") == tab.inner_text("#best")
    assert other.inner_text("label.limit output") == tab.inner_text("label.limit output")
    drawn = "() => [...document.querySelectorAll('#figure-front .points path')].map(e => e.style.opacity).join()"
    assert other.evaluate(drawn) == tab.evaluate(drawn)
    again.turn("?view=front&trial=3&only=unit=grouped")
    clicked = other.locator("section.card", has_text="Trial 3")
    assert "Mult-Adds" in clicked.inner_text()
    assert other.locator("h2", has_text="Best of the selected designs within the budget").count() == 1
    again.after(lambda: clicked.locator("a", has_text="Open design").click())
    assert Address.of(other.url.partition("?")[2]).view == "design"


def test_the_browser_finds_what_the_server_would_find_inside_any_budget(medium: Site, visit: Any) -> None:
    page = visit(medium)
    page.tab.clock.install()
    tab = page.open("?view=front")
    tab.wait_for_selector(BEST)
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url) if "update-component" in request.url else None)
    with Store(medium.storage, read_only=True) as store:
        done = store.trials("many").query("state == 'complete'")
    rng = np.random.default_rng(0)
    for link in ("", "&only=unit=grouped&only=share=none", "&cost=params&quality=ssim"):
        page.turn(f"?view=front&colour=unit{link}")
        # The page's clock stands still while this test computes, and sliders move every 150 ms: they never rest.
        tab.clock.pause_at(tab.evaluate("Date.now()") / 1000 + 1)
        asked.clear()
        address = Address.of(link)
        quality, cost = address.quality or "psnr", address.cost or "mult_adds"
        selected = address.selected(done)
        drawn = {int(number) for number in page.slide({})["pale"]}
        assert len(drawn) > 100
        told = set()
        for places in [(200, 200), (0, 200), (200, 1), *rng.integers(20, 201, (4, 2)).tolist()]:
            shown = page.slide(dict(zip(("max_mult_adds", "max_params"), places, strict=True)))
            tab.clock.run_for(150)
            limits = {name.removeprefix("max_"): value for name, value in shown["limits"].items() if value is not None}
            winner = best(selected, limits.get("mult_adds"), limits.get("params"), quality=quality)
            told.add(shown["best"])
            if winner is None:
                assert shown["best"] == "No finished design fits the budget and the selection."
            else:
                assert f"trial {winner['trial']}\n" in shown["best"]
                assert cell(quality, winner[quality]) in shown["best"]
                for column in ("mult_adds", "params"):
                    assert f"\n{format_quantity(float(winner[column]))}\n" in shown["best"]
            line = shown["line"]
            assert line["visible"] == (cost in limits or cost == "mult_adds")  # the study's own limit is on Mult-Adds
            if cost in limits:
                assert line["x0"] == line["x1"] == limits[cost]
            inside = set(dataclasses.replace(address, limits=limits).within(selected)["trial"])
            assert {int(number) for number, pale in shown["pale"].items() if not pale} == inside & drawn
            within = dataclasses.replace(Address.of(""), limits=limits).within(done)
            stairs, front = shown["stairs"], pareto_front(within, [quality, cost])[quality]
            assert stairs["steps"] == pytest.approx(sorted({each for each in front if each > stairs["floor"]}))
            assert set(stairs["labels"]) <= set(within["trial"])
        assert len(told) > 3
        assert asked == []  # while sliders move
        # Once they rest, the server says the same.
        answered = tab.evaluate("document.documentElement.dataset.answered")
        tab.clock.resume()
        tab.wait_for_url(re.compile("max_params="))
        tab.wait_for_selector(f"#table-designs .after:has-text('of {len(inside):,} rows')")
        # The whole answer is drawn, so that the next link waits for its own.
        tab.wait_for_selector(f"html:not([data-answered='{answered}'])")
        assert len(asked) == 1
        assert tab.inner_text("#best").startswith(shown["best"].partition("\n")[0])


def test_a_drawn_rectangle_filters_every_view(large: Site, visit: Any) -> None:
    page = visit(large)
    tab = page.open("?view=front")
    tab.wait_for_selector("#figure-front .nsewdrag")
    area = tab.locator("#figure-front .nsewdrag").bounding_box()

    def draw() -> None:
        tab.mouse.move(area["x"] + 0.3 * area["width"], area["y"] + 0.3 * area["height"])
        tab.mouse.down()
        tab.mouse.move(area["x"] + 0.6 * area["width"], area["y"] + 0.9 * area["height"], steps=4)
        tab.mouse.up()
        tab.wait_for_selector(".chips")

    page.after(draw)
    box = Address.of(tab.url.partition("?")[2]).box
    assert box is not None
    with Store(large.storage, read_only=True) as store:
        done = store.trials("many").query("state == 'complete'")
    inside = done[done["mult_adds"].between(box.left, box.right) & done["psnr"].between(box.low, box.high)]
    assert 0 < len(inside) < len(done)
    counted = f"{len(inside):,} of {len(done):,} finished designs"
    for view in ("Axes", "Noise", "Front"):
        page.after(lambda view=view: tab.locator("nav a", has_text=view).click())
        tab.wait_for_selector(f"nav a[aria-current]:text-is('{view}')")
        tab.wait_for_selector(f".chips:has-text('{counted}')")
    assert f"of {len(inside):,} rows" in tab.inner_text("#table-designs .after")
    page.after(lambda: tab.locator(".chips a", has_text="show all").click())
    tab.wait_for_selector(".chips", state="detached")


def test_a_click_on_a_value_shows_only_its_designs(medium: Site, visit: Any) -> None:
    page = visit(medium)
    tab = page.open("?view=axes")
    tab.wait_for_selector("#figure-parallel .points path")
    assert "share \N{MIDDLE DOT} none" in tab.text_content("#figure-effects")
    page.after(lambda: tab.locator("#figure-parallel .points path").first.click(force=True))
    tab.wait_for_selector(".chips:has-text('channels = 16')")
    tab.go_back()
    tab.wait_for_selector(".chips", state="detached")
    page.after(lambda: tab.locator("[name=only]").select_option(label="unit = conv"))
    tab.wait_for_selector(".chips:has-text('unit = conv')")


def test_colours_symbols_published_networks_and_rungs(medium: Site, visit: Any) -> None:
    page = visit(medium, color_scheme="dark")
    tab = page.open("?view=front&colour=channels&symbol=unit&published=Set14&rungs=1")
    tab.wait_for_selector("#figure-front .legendtext")
    legend = tab.locator("#figure-front .legendtext").all_text_contents()
    for word in ("channels 16", "channels 64", "unit grouped", "published, Set14 (right scale)", "Pareto front"):
        assert word in legend, word
    assert "another scale" in tab.inner_text(".caveat")
    ground = "document.querySelector('#figure-front .main-svg').style.backgroundColor"
    assert tab.evaluate(ground) == "rgb(22, 27, 33)"
    page.after(lambda: tab.emulate_media(color_scheme="light"))
    assert tab.evaluate(ground) == "rgb(255, 255, 255)"


def test_tables_can_be_sorted_and_taken_away(medium: Site, visit: Any) -> None:
    page = visit(medium)
    tab = page.open("?view=front&max_params=30000")
    head = "#table-designs th:has-text('Params')"
    page.after(lambda: tab.click(f"{head} a"))
    tab.wait_for_selector(f"{head}[aria-sort=descending]")
    page.after(lambda: tab.click(f"{head} a"))
    tab.wait_for_selector(f"{head}[aria-sort=ascending]")
    with Store(medium.storage, read_only=True) as store:
        front = pareto_front(store.trials("many").query("params <= 30000"), ["psnr", "mult_adds"])
    status, text, _ = medium.get("data/front.csv?view=front&max_params=30000")
    assert status == 200
    assert [int(line.partition(",")[0]) for line in text.splitlines()[1:]] == front["trial"].tolist()
    status, text, _ = medium.get("data/front.json?view=front&max_params=30000")
    assert [row["key"] for row in json.loads(text)] == front["key"].tolist()
    assert medium.get("data/nothing.csv?view=front")[0] == 404


def test_the_documented_view_of_a_plugin_stands_beside_the_others(
    medium: Site, visit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extensions, "_EXTENSIONS", {"view": {}})
    monkeypatch.delenv("SRSEARCH_PLUGINS", raising=False)
    guide = (CHECKOUT / "docs" / "your-own-part.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(# my_view\.py\n.*?)```", guide, re.DOTALL)
    assert len(example.strip().splitlines()) <= 15
    plugin = tmp_path / "my_view.py"
    plugin.write_text(example)
    load_plugin(plugin)
    page = visit(medium, color_scheme="dark")
    tab = page.open("?max_mult_adds=2e9")
    page.after(lambda: tab.locator("nav a", has_text="PSNR over time").click())
    tab.wait_for_selector("nav a[aria-current]:text-is('PSNR over time')")
    assert "view=training_time" in tab.url
    assert tab.inner_text("h2") == "PSNR over training time"
    tab.wait_for_selector("#figure-over-time .points path")
    with Store(medium.storage, read_only=True) as store:
        inside = store.trials("many").query("state == 'complete' and mult_adds <= 2e9")
    assert tab.locator("#figure-over-time .points path").count() == len(inside) > 0
    ground = "document.querySelector('#figure-over-time .main-svg').style.backgroundColor"
    assert tab.evaluate(ground) == "rgb(22, 27, 33)"


def test_an_objective_of_ones_own_is_computed_for_every_view(
    site: Any, visit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = {"psnr": 26.0, "own_width": 100.0}
    storage = small(tmp_path / "study.db", objectives=("psnr", "own_width"), reference=reference)
    with Store(storage) as store:
        many_trials.write(store, 20, name="other")
    page = visit(site(storage))
    tab = page.open("?study=many&view=front")
    assert "'own_width', which no plugin registers" in tab.inner_text("[role=alert]")
    assert "--plugin FILE" in tab.inner_text("[role=alert]")
    assert "other" in tab.inner_text("#content ul")

    register("objective", "own_width")(lambda design: design.channels)
    monkeypatch.setitem(objectives._TABLE, "own_width", objectives._TABLE.pop("own_width"))  # forgotten afterwards
    for view, label in TITLES.items():
        for study, other in (("many", "other"), ("other", "many")):
            tab = page.turn(Address(study=study, view=view, compared=(other,), cost="own_width").link())
            tab.wait_for_selector(f"nav a[aria-current]:text-is('{label}')")
            assert "cannot be shown" not in tab.inner_text("#content"), view
    tab = page.turn(Address(study="many", view="compare", compared=("other",)).link())
    assert "Own width is not an objective of other" in tab.inner_text("#content")
    tab = page.turn("?study=many&view=front")
    tab.wait_for_selector("#figure-front .xtitle:text-is('Own width')")
    head = tab.locator("#table-designs th").all_inner_texts()
    rows = tab.locator("#table-designs tbody tr")
    shown = {row.split("\t")[0]: row.split("\t")[head.index("Own width")] for row in rows.all_inner_texts()}
    with Store(storage) as store:
        trials = store.trials("many").set_index("trial")
        assert shown == {number: str(trials.loc[int(number), "channels"]) for number in shown}
        assert len(shown) == 15
        # A design that is found later has its cost, too.
        description = dict(store.description(str(trials.loc[0, "key"]))) | {"channels": 7}
        cost = {"params": 9_000, "mult_adds": 10**9, "activations": 10**6}
        design = {"key": "f" * 64, "axes": {"channels": 7}, "description": description}
        late = TrialRecord(number=90, state="running", **design, **cost)
        store.add_trials("many", [late])
        store.finish_trial("many", 90, EvaluationRecord("f" * 64, {}, "c" * 64, "b" * 64, 0, psnr=39.0, curve=()))
    tab.wait_for_selector("#table-designs tr:has(a:text-is('90'))")
    assert tab.locator("#table-designs tr:has(a:text-is('90')) td").all_inner_texts()[head.index("Own width")] == "7"


def test_a_plugins_view_cannot_replace_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "_EXTENSIONS", {"view": {}})
    register("view", "front")(lambda context: Page())
    with pytest.raises(InputError, match="a view named 'front'"):
        live.make(str(small(tmp_path / "study.db", 2)), "127.0.0.1", 0, None)
    with pytest.raises(ValueError, match="before a function"):
        register("view")(dict)


def test_drawings_of_one_figure_follow_one_another(medium: Site, visit: Any) -> None:
    """Plotly warns of drawings that change the margins and overlap; a visit fails if the browser says anything."""
    tab = visit(medium).open("?view=front")
    tab.wait_for_selector("#figure-front .main-svg")
    standoff = tab.evaluate(
        """async () => {
          const place = document.getElementById("figure-front");
          const figure = JSON.parse(place.drawnText);
          for (let number = 1; number <= 60; number++) {
            const title = { text: "y", standoff: number % 2 ? 150 : number };
            const yaxis = { ...figure.layout.yaxis, automargin: true, title };
            const text = JSON.stringify({ ...figure, layout: { ...figure.layout, yaxis } });
            srsearchFigures.draw(place, text, { dark: false, darkFor: {} });
          }
          await place.drawing;
          return place._fullLayout.yaxis.title.standoff;
        }"""
    )
    assert standoff == 60  # the last one


def test_no_view_scrolls_sideways(medium: Site, visit: Any) -> None:
    page = visit(medium)
    tab = page.open()
    for view, label in TITLES.items():
        if view != "overview":
            page.after(lambda label=label: tab.locator("nav a", has_text=label).click())
        tab.wait_for_selector(f"nav a[aria-current]:text-is('{label}')")
        for width in (1280, 1920, 420):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, (view, width)
        if tab.locator(".modebar").count():
            press_every_button(tab)


@pytest.mark.long(10)
def test_a_running_study_is_followed(site: Any, visit: Any, tmp_path: Path) -> None:
    space = SMALL_SPACE | {
        "proxy": {"evaluator": "tests.support.evaluators:Held"},
        "search": {"trials": 6, "sampler": "random"},
    }
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    storage = tmp_path / "running.db"
    Store(storage).close()
    page = visit(site(storage))
    tab = page.open()
    assert "No study yet" in tab.inner_text("#content")
    training("other", storage).end("done")
    tab.wait_for_selector("h2:has-text('Full trainings in this database')")
    assert "1 finished." in tab.inner_text("#content")
    arguments = ["run", "space.yaml", "--workers", "1", "--quiet", "--storage", str(storage)]
    running = forked.command(tmp_path, *arguments, env={"PYTHONPATH": str(CHECKOUT)})
    try:
        tab.wait_for_selector("text=2 of 6", timeout=90_000)
        tab.wait_for_selector("text=1 design in training, by 1 run.", timeout=60_000)
        (tmp_path / "go").touch()
        assert running.wait(timeout=120) == 0
    finally:
        running.kill()
    tab.wait_for_selector("text=6 of 6", timeout=60_000)
    for view, label in TITLES.items():
        page.after(lambda label=label: tab.locator("nav a", has_text=label).click())
        tab.wait_for_selector(f"nav a[aria-current]:text-is('{label}')")
        assert "cannot be shown" not in tab.inner_text("#content"), view
    check_trainings_are_followed(page, storage)


def training(name: str, storage: Path, **values: Any) -> TrainingLog:
    recipe, data = {"name": "fast", "steps": 400}, {"validation": {"images": 3}}
    values = {"description": {"scale": 4}, "seed": 0, "file": f"/models/{name}.safetensors", **values}
    record = TrainingRecord(name, "e" * 64, recipe=recipe, recipe_hash="", data=data, data_fingerprint="", **values)
    return TrainingLog(str(storage), record, continued=False, warn=pytest.fail)


def check_trainings_are_followed(page: Visit, storage: Path) -> None:
    """The overview of the study shows its trainings while they run and as they end; a view shows all."""
    page.tab.set_default_timeout(60_000)  # as the waits above
    tab = page.turn("?study=small")
    assert "Full trainings" not in tab.inner_text("#content")
    log = training("small-0", storage, study="small", trial=0)
    log.reached(100, 0.25, 30.0)
    for step, psnr in ((50, 27.5), (100, 28.25)):
        log.validated(TrainingPoint(step, psnr, 0.03, 0.3 * step), 28.125)
    row = "#table-trainings tbody tr:has-text('small-0')"
    tab.wait_for_selector(f"{row}:has-text('28.250'):has-text('running'):has-text('28.125')")
    assert "25%, step 100 of 400, 90 s left" in tab.inner_text(".training")
    assert tab.locator("#table-trainings tbody tr").count() == 1  # the other is not of this study
    tab.wait_for_selector("#figure-trainings .legendtext")
    legend = tab.locator("#figure-trainings .legendtext").all_text_contents()
    assert legend == ["small-0", "bicubic"]
    assert tab.locator("#figure-trainings .points path").count() == 2
    log.reached(200, 0.5, 60.0)
    log.validated(TrainingPoint(200, 28.5, 0.02, 60.0), 28.125)
    tab.wait_for_selector(".training:has-text('50%, step 200 of 400, 60 s left')")
    # Its process, on another machine, is no longer heard of.
    log._owner = "elsewhere:1:1:1"
    log.reached(201, 0.5025, 61.0)
    log.validated(TrainingPoint(201, 28.5, 0.02, 61.0), 28.125)
    tab.wait_for_selector(".training:has-text('step 201 of 400')")
    log._write = lambda store: None  # type: ignore[method-assign]
    with sqlite3.connect(storage) as database:
        database.execute("UPDATE sr_trainings SET heartbeat = heartbeat - 100 WHERE state = 'running'")
    tab.wait_for_selector(f"{row}:has-text('interrupted: the same command goes on')")
    page.after(lambda: tab.locator("nav a", has_text="Trainings").click())
    tab.wait_for_selector("#table-trainings tbody tr:has-text('other'):has-text('finished')")
    assert tab.locator("#table-trainings tbody tr").count() == 2
    for width in (1280, 420):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_a_design_is_drawn_and_its_command_saves_it(
    site: Any, visit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = small(tmp_path / "study.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SRSEARCH_PLUGINS", "[]")
    (tmp_path / "my parts.py").touch()
    load_plugin("my parts.py")
    page = visit(site(storage))
    tab = page.open("?view=design&trial=3")
    tab.wait_for_selector("#figure-diagram .annotation-text:has-text('entry')")
    words = tab.locator("#figure-diagram .annotation-text").all_text_contents()
    for word in ("entry", "1_1", "exit", "global skip"):
        assert word in words, word
    tab.wait_for_selector("#figure-parts .bars .point")
    tab.wait_for_selector("#figure-curve .lines")
    with Store(storage, read_only=True) as store:
        record = store.trial_records("many")[3]
    assert yaml.safe_load(tab.inner_text("#design-yaml")) == record.description
    command = shlex.split(tab.inner_text(".next code"))
    assert command[-2:] == ["--plugin", "my parts.py"]
    assert CliRunner().invoke(main, command[1:]).exit_code == 0
    saved = yaml.safe_load((tmp_path / "design.yaml").read_text())
    assert saved["channels"] == record.axes["channels"]


def test_hostile_names_are_text(site: Any, visit: Any, tmp_path: Path) -> None:
    storage = tmp_path / "hostile.db"
    with Store(storage) as store:
        many_trials.write(store, 30, record=many_trials.study(HOSTILE))
        many_trials.write(store, 5, record=many_trials.study("other"))
        long = HOSTILE + "W" * 3_000
        bad = {"key": "f" * 64, "axes": {"unit": long, "channels": 16}, "description": {"scale": 4, "unit": long}}
        cost = {"params": 9_000, "mult_adds": 10**9, "activations": 10**6}
        store.add_trials(HOSTILE, [TrialRecord(number=90, state="running", **bad, **cost)])
        result = EvaluationRecord("f" * 64, {}, "c" * 64, "b" * 64, 0, psnr=29.0, curve=((75, 28.0), (600, 29.0)))
        store.finish_trial(HOSTILE, 90, result)
        store.add_trials(HOSTILE, [TrialRecord(number=91, state="running", **bad, **cost)])
        store.fail_trial(HOSTILE, 91, HOSTILE)
    page = visit(site(storage))
    page.open(Address(study=HOSTILE).link())
    for view, label in TITLES.items():
        tab = page.turn(Address(study=HOSTILE, view=view, compared=("other",), cost="params").link())
        tab.wait_for_selector(f"nav a[aria-current]:text-is('{label}')")
        assert HOSTILE in tab.inner_text("h1")
        assert tab.locator("#content img[src=x]").count() == 0
        assert tab.evaluate("document.documentElement.scrollWidth") <= 1280, view
    tab = page.turn(Address(study=HOSTILE, view="design", trial=90).link())
    assert HOSTILE in tab.inner_text("#design-yaml")
    tab = page.turn(Address(study=HOSTILE).link())
    assert HOSTILE in tab.inner_text("#table-failures")
    tab = page.turn(Address(study=HOSTILE, view="front", more={"colour": "unit"}).link())
    assert HOSTILE in tab.inner_text("#table-front")


def test_a_page_for_everything_that_is_missing(site: Any, visit: Any, tmp_path: Path) -> None:
    storage = tmp_path / "study.db"
    with Store(storage) as store:
        store.create_study(many_trials.study("empty"))
        store.create_study(many_trials.study("failing", created_at=many_trials.study().created_at.replace(year=2027)))
        trial = TrialRecord(number=0, key="a" * 64, axes={"channels": 8}, state="running", mult_adds=10**9)
        store.add_trials("failing", [trial])
        store.fail_trial("failing", 0, "the loss was NaN at step 7")
    page = visit(site(storage))
    for study, text in (("empty", "no trials yet"), ("failing", "No design has finished training yet")):
        tab = page.open(Address(study=study).link())
        assert text in tab.inner_text("#content")
        for view in TITLES:
            tab = page.turn(Address(study=study, view=view).link())
            assert "went wrong" not in tab.inner_text("#content"), view
    assert "the loss was NaN at step 7" in page.turn("?study=failing").inner_text("#table-failures")
    tab = page.open("?study=nothing&view=front")
    assert "There is no study 'nothing'" in tab.inner_text("[role=alert]")
    page.after(lambda: tab.locator("#content a", has_text="empty").click())
    tab.wait_for_selector("h1:has-text('empty')")
    for odd in (
        "?view=odd&trial=x&box=1:2&max_params=nan&only==&cost=psnr",
        "?%00=%ff&study=",
    ):
        assert "went wrong" not in page.turn(odd).inner_text("#content"), odd
    aside = tmp_path / "elsewhere.db"
    for path in tmp_path.glob("study.db*"):
        path.rename(aside.with_name(path.name.replace("study", "elsewhere")))
    tab = page.open("?study=empty")
    assert "cannot read the database" in tab.inner_text("[role=alert]")
    for path in tmp_path.glob("elsewhere.db*"):
        path.rename(path.with_name(path.name.replace("elsewhere", "study")))
    tab.wait_for_selector("h1:has-text('empty')", timeout=20_000)


def test_nothing_is_written_beside_the_database(site: Any, visit: Any, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    storage = small(folder / "study.db")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    folder.chmod(0o555)
    try:
        tab = visit(site(storage)).open("?view=front")
        tab.wait_for_selector(BEST)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    finally:
        folder.chmod(0o755)


def test_who_has_no_token_sees_nothing(site: Any, visit: Any, tmp_path: Path) -> None:
    found = site(small(tmp_path / "study.db"), "a word")
    for path in ("", "?view=front", "version", "data/front.csv?view=front", "_dash-layout", "plotly.min.js"):
        status, text, headers = found.get(path)
        assert status == 401
        assert headers["WWW-Authenticate"] == "Bearer"
        assert "many" not in text
    assert found.get("?token=wrong")[0] == 403
    assert found.get("", Authorization="Bearer another")[0] == 403
    assert found.get("", Cookie="srsearch=forged")[0] == 401
    assert found.get("version", Authorization="Bearer a word")[0] == 200
    status, _, headers = found.get("?token=a+word&view=front")
    assert status == 302
    assert headers["Location"] == "/?view=front"
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "a word" not in headers["Set-Cookie"]
    tab = visit(found).open("?token=a+word&view=front")
    tab.wait_for_selector(BEST)
    assert "token" not in tab.url


@pytest.mark.parametrize(
    ("variable", "served", "seen"),
    [("DASH_URL_BASE_PATHNAME", "/sub/path/", "/sub/path/"), ("DASH_REQUESTS_PATHNAME_PREFIX", "/", "/sub/path/")],
)
def test_a_sub_path_is_kept(
    tmp_path: Path, site: Any, monkeypatch: pytest.MonkeyPatch, variable: str, served: str, seen: str
) -> None:
    monkeypatch.setenv(variable, "/sub/path/")
    found = site(small(tmp_path / "study.db", 3), "a word")
    given = {"Authorization": "Bearer a word"}
    found.root = found.root.rstrip("/") + served
    for path in (
        "",
        "version",
        "plotly.min.js",
        "shared/base.css",
        "assets/before.js",
        "_dash-layout",
    ):
        assert found.get(path, **given)[0] == 200, path
    assert re.search(rf'"requests_pathname_prefix":\s*"{seen}"', found.get("", **given)[1].replace("\\u002f", "/"))
    assert found.get("?token=a+word&view=front")[2]["Location"] == f"{seen}?view=front"
    monkeypatch.setattr("werkzeug.serving.BaseWSGIServer.serve_forever", lambda self: None)
    lines: list[str] = []
    live.serve(str(tmp_path / "study.db"), "127.0.0.1", 0, "a word", lines.append)
    assert re.fullmatch(rf"dashboard: http://127\.0\.0\.1:\d+{served}", lines[0])
    assert (lines[1] == f"Behind the reverse proxy, its path is {seen}") == (seen != served)


def test_bad_input_is_told_without_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, medium: Site) -> None:
    monkeypatch.chdir(tmp_path)
    small(tmp_path / "study.db", 3)
    port = str(medium.server.server_port)
    for arguments, message in (
        (["--storage", "missing.db"], "no database at"),
        (["--storage", "study.db", "--host", "0.0.0.0"], "--token"),
        (["--storage", "study.db", "--token", " "], "empty"),
        (["--storage", "study.db", "--port", port], "the port is in use; try another --port"),
    ):
        ended = CliRunner().invoke(main, ["dashboard", *arguments])
        assert ended.exit_code == 2, ended.output
        assert message in ended.output
        assert "Traceback" not in ended.output


def test_studies_are_compared(site: Any, visit: Any, tmp_path: Path) -> None:
    storage = tmp_path / "study.db"
    with Store(storage) as store:
        many_trials.write(store, 80, record=many_trials.study("one"))
        many_trials.write(store, 40, record=many_trials.study("two", data_fingerprint="c" * 64))
    page = visit(site(storage))
    tab = page.open("?study=one&view=compare")
    page.after(lambda: tab.locator("[name=with]").select_option("two"))
    tab.wait_for_selector("#table-compared tbody tr >> nth=1")
    assert "different photos" in tab.inner_text(".caveat")
    legend = tab.locator("#figure-fronts .legendtext").all_text_contents()
    assert legend == ["one", "two"]


def test_pictures_come_from_kept_weights(site: Any, visit: Any, tmp_path: Path) -> None:
    storage = tmp_path / "study.db"
    with_weights(storage).close()
    page = visit(site(storage))
    tab = page.open("?view=pictures&photo=coffee&across=start")
    tab.wait_for_selector(".gallery figure >> nth=2")
    captions = tab.locator(".gallery figcaption").all_inner_texts()
    assert captions[0] == "HR (the photo)"
    assert re.fullmatch(r"bicubic \d\d\.\d\d dB", captions[1])
    assert re.fullmatch(r"trial 0, 1G Mult-Adds -?\d+\.\d\d dB", captions[2])
    assert "trained for 600 steps" in tab.inner_text(".caveat")
    zoomed = "getComputedStyle(document.querySelector('.gallery img')).transform"
    tab.locator("#zoom").fill("4")
    assert tab.evaluate(zoomed).startswith("matrix(4")
    tab.locator("#wipe").fill("20")
    assert "80%" in tab.evaluate("getComputedStyle(document.querySelector('.wipe .above')).clipPath")


def test_the_pace_counts_repeated_trainings() -> None:
    watcher = Watcher(str(CHECKOUT / "studies" / "lightweight_x4_example.db"))
    page = live.show(watcher, Address(study="lightweight_x4", view="overview")).page
    (bars,) = json.loads(page.figures["rate"])["data"]
    hours = np.array(bars["width"]) / 3_600_000
    assert hours @ np.array(bars["y"]) == pytest.approx(30 + 12)  # the designs, and the second seeds of the front


def test_addresses_are_read_back() -> None:
    link = "?study=a%26b&view=front&max_params=500000&box=mult_adds:1e9:2e9,psnr:26:27&only=unit=conv&only=x=1&with=c"
    address = Address.of(link)
    assert Address.of(address.link()) == address
    assert address.study == "a&b"
    assert address.only == (("unit", "conv"), ("x", "1"))
    assert dataclasses.replace(address, box=None).link() == address.link(box=None)
    frame = pd.DataFrame({"unit": ["conv", "x"], "x": [1, 1], "mult_adds": [1.5e9, 1.5e9], "psnr": [26.5, 26.5]})
    assert address.selected(frame).index.tolist() == [0]


def test_a_trial_that_is_not_there_is_said_to_be_missing() -> None:
    watcher = Watcher(str(CHECKOUT / "studies" / "lightweight_x4_example.db"))
    for number in ("999", "9" * 20):
        page = live.show(watcher, Address.of(f"?view=design&trial={number}")).page
        assert f"This study has no trial {number}." in str(page.children)
    assert not live.show(watcher, Address.of(f"?view=front&trial={number}")).problem


def test_only_this_machine_is_served_without_a_token(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--token"):
        live.make(str(small(tmp_path / "study.db", 2)), "0.0.0.0", 0, None)


def test_the_pages_import_torch_only_for_networks() -> None:
    code = "import sys, srsearch.dashboard.live.server; assert not {'torch', 'optuna'} & set(sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, check=False)
    assert ended.returncode == 0
