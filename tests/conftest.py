"""Fixtures for tests in several folders, built from `tests.support`."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from srsearch import plugins
from srsearch.data import builtin_photos
from srsearch.space import Space
from tests.support import commands, forked, workers
from tests.support.commands import Command

CHECKOUT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tests first, so that no worker of pytest-xdist is left with one of them at the end.

    ``--dist worksteal`` gives each worker as many tests in a row. If all long tests stood at the beginning, one worker
    would run them one by one. So each worker gets its share of them; those of one file stay together, because they
    share fixtures.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if _seconds(item):
            files.setdefault(item.path, []).append(item)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for tests in sorted(files.values(), key=_total, reverse=True):
        min(shares, key=_total).extend(tests)
    short = iter([item for item in items if not _seconds(item)])
    ordered: list[pytest.Item] = []
    for worker, share in enumerate(shares):
        size = (len(items) - len(ordered)) // (workers - worker)
        ordered += [*share, *itertools.islice(short, max(0, size - len(share)))]
    items[:] = [*ordered, *short]


def _seconds(item: pytest.Item) -> float:
    """How long a test marked ``long`` takes on an idle machine; 0 for other tests."""
    marker = item.get_closest_marker("long")
    return 0.0 if marker is None else float(marker.args[0] if marker.args else 8)


def _total(items: list[pytest.Item]) -> float:
    return sum(map(_seconds, items))


@pytest.fixture(autouse=True, scope="session")
def _width_of_no_terminal() -> None:
    """Forget the width that readline, imported by pytest, hands on to pytest-xdist's workers: 80, if nobody asked."""
    os.environ.pop("COLUMNS", None)
    os.environ.pop("LINES", None)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An empty cache folder, so that measurements of a machine that is busy with tests are not kept."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True, scope="session")
def _forked_workers() -> Iterator[None]:
    """Fork worker processes from a process that has imported PyTorch, which takes 0.1 s instead of 2 s.

    They are separate processes like any worker. The real start of workers is tested with `srsearch_process` and by all
    tests that start Python themselves.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", workers.forking_context)
        yield


@pytest.fixture(autouse=True)
def _own_plugins() -> Iterator[None]:
    """Forget the plugin files that a test has loaded: pages and commands name those of their process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(plugins._WANTED, os.environ.get(plugins._WANTED, "[]"))
        yield


@pytest.fixture
def shared_data() -> Path:
    """Benchmark images and published weights next to the checkout, on the project's own machines."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the benchmark images are not here")
    return folder


@pytest.fixture
def srsearch(tmp_path: Path) -> Command:
    """Runs the ``srsearch`` command in the test's folder, within this process.

    Call it with the arguments; it returns the exit code, standard output and standard error. Use it unless you test
    the process itself.
    """
    return lambda *arguments, **options: commands.in_this_process(tmp_path, *arguments, **options)


@pytest.fixture
def srsearch_process(tmp_path: Path) -> Command:
    """Runs the ``srsearch`` command like `srsearch`, but in a new process, which takes seconds to start.

    For tests of the process itself: imports, encodings, output that worker processes write to.
    """
    return lambda *arguments, **options: commands.in_own_process(tmp_path, *arguments, **options)


@pytest.fixture
def srsearch_forked(tmp_path: Path) -> Command:
    """Runs the ``srsearch`` command like `srsearch_process`, but forked from a process that has imported the search.

    For tests of what lasts until the process ends, such as plugins. Its worker processes start as they do for users.
    """
    return lambda *arguments, **options: forked.finished(forked.command(tmp_path, *arguments, **options))


@pytest.fixture(scope="session")
def small_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real photographs, cropped small.

    A trial on them takes an eighth of the time of one on the built-in photos, most of which goes into validation.
    """
    folder = tmp_path_factory.mktemp("photos")
    for photo in builtin_photos():
        Image.fromarray(photo.pixels[100:220, 100:260]).save(folder / f"{photo.name}.png")
    return folder


SMALL_SPACE: dict[str, Any] = {
    "name": "small",
    "scale": 4,
    "architecture": {
        "channels": [8, 12, 16],
        "unit": ["conv", {"grouped": {"groups": [2, 4]}}],
        "block": ["residual", "efficient_residual"],
        "body": {"cascade": {"groups": 2, "blocks": [1, 2], "fusion": ["none", "both"]}},
    },
    "constraints": {"mult_adds": {"max": "3G"}},
    "proxy": {"evaluator": "synthetic"},
    "search": {"trials": 10, "seed": 3, "workers": 1},  # each worker takes seconds to start
}

WIDE_SPACE: dict[str, Any] = SMALL_SPACE | {
    "name": "small",
    "architecture": {
        "channels": [8, 12, 16, 20, 24],
        "unit": ["conv", {"grouped": {"groups": [2, 4]}}],
        "body": {"cascade": {"groups": [2, 3], "blocks": [1, 2], "fusion": ["none", "local", "global", "both"]}},
    },
    "constraints": {"mult_adds": {"max": "6G"}},
    "search": {"trials": 10, "seed": 3, "workers": 1},
}


@pytest.fixture
def small_space() -> Space:
    """A space of 72 combinations, scored without training."""
    return Space.from_dict(SMALL_SPACE)
