"""How long the live pages take with many trials: the first view, and interactions, in a real browser.

    python -m tests.benchmarks.dashboard [--trials 20000 100000]

The first view of each page is that of a new window on a server that has just been started, from the request to the
drawn figure; an interaction is from the event to the drawn figure, the median of five. Exits with 1 where a limit is
missed: 2 s and 300 ms with 20,000 trials, 5 s and 1 s with 100,000.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from srsearch.dashboard import live
from srsearch.store import Store
from tests import many_trials
from tests.test_report import ARGUMENTS

LIMITS = {20_000: (2.0, 0.3), 100_000: (5.0, 1.0)}
_ROUNDS = 5
_SLIDE = "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }"


def first_views(browser: Any, storage: Path) -> dict[str, float]:
    """Seconds until overview and front are drawn, each on a new server."""
    found = {}
    for view in ("overview", "front"):
        server = live.make(str(storage), "127.0.0.1", 0, None)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        window = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        start = time.perf_counter()
        window.goto(f"http://127.0.0.1:{server.server_port}/?view={view}", wait_until="commit")
        window.wait_for_selector(".figure .main-svg .trace", timeout=120_000, state="attached")
        found[f"first view, {view}"] = time.perf_counter() - start
        window.context.close()
        server.shutdown()
        server.server_close()
    return found


def interactions(browser: Any, storage: Path) -> dict[str, float]:
    """Median seconds of what a person does."""
    server = live.make(str(storage), "127.0.0.1", 0, None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    window = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    found: dict[str, list[float]] = {}

    def timed(name: str, act: Callable[[], object]) -> None:
        before = window.evaluate("document.documentElement.dataset.drawn")
        start = time.perf_counter()
        act()
        window.wait_for_selector(f"html:not([data-drawn='{before}'])", timeout=120_000)
        found.setdefault(name, []).append(time.perf_counter() - start)
        window.wait_for_timeout(200)

    window.goto(f"http://127.0.0.1:{server.server_port}/?view=front")
    window.wait_for_selector("#best-quality")
    window.wait_for_timeout(1500)
    slider, colour = window.locator("[name=max_mult_adds]"), window.locator("[name=colour]")
    for each in range(_ROUNDS):
        timed("budget slider", lambda each=each: slider.evaluate(_SLIDE, 150 - 10 * each))
        timed("colour", lambda each=each: colour.select_option(index=1 + each % 4))
    window.goto(f"http://127.0.0.1:{server.server_port}/?view=axes")
    window.wait_for_selector("#figure-effects .main-svg")
    window.wait_for_timeout(1500)
    for each in range(_ROUNDS):
        timed("two axes", lambda each=each: window.locator("[name=second]").select_option(index=1 + each % 4))
    window.context.close()
    server.shutdown()
    server.server_close()
    return {name: statistics.median(times) for name, times in found.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.dashboard", description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=list(LIMITS))
    missed = False
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for number in parser.parse_args(arguments).trials:
            storage = Path(folder) / f"{number}.db"
            with Store(storage) as store:
                many_trials.write(store, number)
            first, action = LIMITS.get(number, (float("inf"), float("inf")))
            for name, seconds in (first_views(browser, storage) | interactions(browser, storage)).items():
                limit = first if name.startswith("first") else action
                missed |= seconds > limit
                print(f"{number:>7,} trials   {name:<24} {1000 * seconds:7.0f} ms   (limit {1000 * limit:.0f})")
        browser.close()
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
