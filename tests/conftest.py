"""What tests of several rooms need."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srsearch.space import Space

CHECKOUT = Path(__file__).resolve().parent.parent

# Optuna's and torch's threads would fight over the cores with the other test workers.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is measured once on a machine is not measured while tests keep it busy."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def shared_data() -> Path:
    """Benchmark images and published weights that lie beside the checkout on the project's own machines."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the benchmark images are not here")
    return folder


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def srsearch(tmp_path: Path) -> Command:
    """Runs the ``srsearch`` command in an empty folder."""

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from srsearch.cli import main; main(prog_name='srsearch')", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            **options,  # type: ignore[call-overload]
        )

    return run


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
