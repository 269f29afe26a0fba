"""The speed of the live pages with many trials in a real browser, and what they cost a search that they follow.

    python -m benchmarks.dashboard [--trials 20000 100000] [--rounds 3]

A first view is measured in a new window on a server that has just started, from the request to the drawn figure. An
interaction is measured from the event to the drawn figure, as the median of five. The browser alone follows the budget
slider; when it rests, the server fills the tables.

A search of 40 trials runs alternately alone and with two dashboards. Each trial takes two seconds of processor time,
and there is one worker per processor, so that the search loses whatever the dashboards take. Each dashboard is a server
and a client that sends the page's requests: for the version every two seconds, and for the page (overview or front)
whenever the version has changed.

Exits with 1 if a limit is missed: 2 s and 300 ms with 20,000 trials, 5 s and 1 s with 100,000, 2 % of the pace.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from srsearch.architecture import Architecture
from srsearch.dashboard.live import server as live
from srsearch.search import Score, SyntheticEvaluator
from srsearch.search.evaluators.base import Report
from srsearch.store import Store
from tests.conftest import CHECKOUT, SMALL_SPACE
from tests.dashboard.conftest import ARGUMENTS
from tests.support import many_trials

LIMITS = {20_000: (2.0, 0.3), 100_000: (5.0, 1.0)}
LOST = 0.02
_HERE = "benchmarks.dashboard"
_COMMAND = [sys.executable, "-c", "from srsearch.cli import main; main()"]
_ROUNDS = 5
# Measured in the page itself: polling from outside would notice the change up to half a second late.
_UNTIL = """const until = (name) => new Promise((done) => {
  const told = () => {
    if (document.documentElement.dataset[name] === old[name]) return;
    seen.disconnect();
    done(performance.now());
  };
  const seen = new MutationObserver(told);
  seen.observe(document.documentElement, {attributes: true});
  told();
});"""
_DRAWN = f"() => {{ const old = {{}}; {_UNTIL} return until('drawn'); }}"
_ACT = f"""async ([name, value, event]) => {{
  const old = {{...document.documentElement.dataset}};
  {_UNTIL}
  const element = document.querySelector(`[name=${{name}}]`);
  const start = performance.now();
  const both = [until("drawn"), until("answered")];
  if (event === "input") element.value = value; else element.selectedIndex = value;
  element.dispatchEvent(new Event(event, {{bubbles: true}}));
  return (await Promise.all(both)).map((time) => (time - start) / 1000);
}}"""


def first_views(browser: Any, storage: Path) -> dict[str, float]:
    """Return the seconds until overview and front are drawn, each on a new server."""
    found = {}
    for view in ("overview", "front"):
        server = live.make(str(storage), "127.0.0.1", 0, None)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        window = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        start = time.perf_counter()
        window.goto(f"http://127.0.0.1:{server.server_port}/?view={view}", wait_until="commit")
        window.evaluate(_DRAWN)
        found[f"first view, {view}"] = time.perf_counter() - start
        window.context.close()
        server.shutdown()
        server.server_close()
    return found


def interactions(browser: Any, storage: Path) -> dict[str, float]:
    """Return the median seconds of each interaction."""
    server = live.make(str(storage), "127.0.0.1", 0, None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    window = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    found: dict[str, list[float]] = {}

    def timed(name: str, control: str, value: int, event: str = "change", then: str = "") -> None:
        """Measure from an event until the figure is drawn, and until the server has answered."""
        for each, seconds in zip((name, then), window.evaluate(_ACT, [control, value, event]), strict=True):
            found.setdefault(each, []).append(seconds)
        window.wait_for_timeout(200)

    def visit(view: str) -> None:
        window.goto(f"http://127.0.0.1:{server.server_port}/?view={view}")
        window.evaluate(_DRAWN)
        window.wait_for_timeout(1500)

    visit("front")
    for each in range(_ROUNDS):
        timed("budget slider", "max_mult_adds", 150 - 10 * each, "input", "tables after it")
        timed("colour", "colour", 1 + each % 4)
    visit("axes")
    for each in range(_ROUNDS):
        timed("two axes", "second", 1 + each % 4)
    window.context.close()
    server.shutdown()
    server.server_close()
    return {name: statistics.median(times) for name, times in found.items() if name}


class Working(SyntheticEvaluator):
    """Takes two seconds of processor time, however busy the machine is."""

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        """The synthetic score."""
        begun = time.thread_time()
        while time.thread_time() - begun < 2:
            sum(range(10_000))
        return super().evaluate(design, seed, report)


@contextmanager
def dashboard(storage: Path, view: str, taken: list[float]) -> Iterator[None]:
    """Run a server in its own process, and a client that sends the requests of a page.

    Args:
        storage: The database.
        view: The view that the client requests.
        taken: The server's processor time in seconds is appended here.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*_COMMAND, "dashboard", "--storage", str(storage), "--port", str(port)]
    server = subprocess.Popen(command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = subprocess.Popen([sys.executable, "-m", _HERE, "--client", f"http://127.0.0.1:{port}/", view])
    try:
        yield
        used = psutil.Process(server.pid).cpu_times()
        taken.append(used.user + used.system)
    finally:
        for process in (client, server):
            process.terminate()
            process.wait()


def client(root: str, view: str) -> None:
    """Send the requests of `pages.js` until the process is ended."""
    search, known = f"?view={view}", ""
    while True:
        time.sleep(2)
        try:
            with urllib.request.urlopen(f"{root}version{search}") as answer:
                found = answer.read().decode()
            if found != known:
                body = _asked(search, found)
                with urllib.request.urlopen(
                    urllib.request.Request(
                        f"{root}_dash-update-component", json.dumps(body).encode(), {"Content-Type": "application/json"}
                    )
                ) as answer:
                    json.load(answer)
                known = found
        except (urllib.error.URLError, ConnectionError):  # the server has not started yet
            continue


def _asked(search: str, version: str) -> dict[str, Any]:
    return {
        "output": "page.data",
        "outputs": {"id": "page", "property": "data"},
        "inputs": [
            {"id": "address", "property": "data", "value": search},
            {"id": "version", "property": "data", "value": version},
        ],
        "changedPropIds": ["version.data"],
    }


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(CHECKOUT)}


def pace(folder: Path, followed: bool) -> float:
    """Return a search's trials per minute, from its first result to its last; prints the servers' processor time."""
    storage = folder / "study.db"
    space = SMALL_SPACE | {
        "proxy": {"evaluator": f"{_HERE}:Working"},
        "search": {"trials": 40, "sampler": "random", "seed": 0},
    }
    (folder / "space.yaml").write_text(yaml.safe_dump(space))
    Store(storage).close()
    taken: list[float] = []
    begun = time.perf_counter()
    with ExitStack() as stack:
        for view in ("overview", "front") if followed else ():
            stack.enter_context(dashboard(storage, view, taken))
        command = [*_COMMAND, "run", str(folder / "space.yaml"), "--quiet", "--storage", str(storage)]
        workers = ["--workers", str(os.cpu_count())]
        subprocess.run([*command, *workers], env=_environment(), stdout=subprocess.DEVNULL, check=True)
    for seconds in taken:
        whole = time.perf_counter() - begun
        print(f"a server took {seconds:.1f} s of a processor in {whole:.0f} s, its start included")
    with Store(storage, read_only=True) as store:
        ends = store.trials(SMALL_SPACE["name"])["finished_at"].dropna().sort_values()
    return float(60 * (len(ends) - 1) / (ends.iloc[-1] - ends.iloc[0]).total_seconds())


def follow(rounds: int) -> float:
    """Return the share of its pace that a search loses to two dashboards."""
    found: dict[bool, list[float]] = {False: [], True: []}
    for each in range(2 * rounds):
        followed = each % 4 in (1, 2)  # alone, followed, followed, alone: a drift affects both equally
        with tempfile.TemporaryDirectory() as folder:
            found[followed].append(pace(Path(folder), followed))
        print(f"{'with two dashboards' if followed else 'alone':<20} {found[followed][-1]:.2f} trials a minute")
    alone, beside = statistics.mean(found[False]), statistics.mean(found[True])
    print(f"two dashboards take {100 * (1 - beside / alone):.1f} % of the trials (limit {100 * LOST:.0f} %)")
    return 1 - beside / alone


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--trials", type=int, nargs="*", default=list(LIMITS), help="without any: only the search")
    parser.add_argument("--rounds", type=int, default=2, help="of the search, each alone and followed; 0: none")
    parser.add_argument("--client", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.client:
        client(*chosen.client)
    missed = chosen.rounds > 0 and follow(chosen.rounds) > LOST
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for number in chosen.trials:
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
