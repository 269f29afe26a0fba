"""Ray Tune on a real Ray: the decisions are the study's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from srsearch.search import run
from srsearch.space import Space
from srsearch.store import Store
from tests.conftest import SMALL_SPACE
from tests.test_search import outcome

pytest.importorskip("ray", reason="Ray is an extra")

SPACE = SMALL_SPACE | {"search": {"trials": 8, "seed": 3, "workers": 1}}


def test_ray_does_what_a_local_run_does(tmp_path: Path) -> None:
    space = Space.from_dict(SPACE)
    here, there = Store(tmp_path / "here.db"), Store(tmp_path / "there.db")
    options: dict[str, Any] = {"trials": 14, "sampler": "frontier", "early_stopping": True}
    run(space, store=here, **options)
    # In pieces, and the middle one on Ray: the study does not know who executes it.
    run(space, store=there, **options | {"trials": 5})
    result = run(space, store=there, backend="ray", **options | {"trials": 12})
    assert result.done == 12
    run(space, store=there, **options)
    assert outcome(here, "small") == outcome(there, "small")


def test_without_ray_the_extra_is_named(tmp_path: Path) -> None:
    code = "import sys; sys.modules['ray'] = None\nfrom srsearch.cli import main; main(prog_name='srsearch')"
    (tmp_path / "small.yaml").write_text(Space.from_dict(SPACE).text)
    ended = subprocess.run(
        [sys.executable, "-c", code, "run", "small.yaml", "--backend", "ray"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "pip install 'srsearch[ray]'" in ended.stderr
