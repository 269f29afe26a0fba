"""Ray Tune on a real Ray: the decisions are the study's, and what Ray loses is not lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from srsearch.errors import InputError
from srsearch.search import run
from srsearch.space import Space
from srsearch.store import Store
from tests.conftest import SMALL_SPACE
from tests.evaluators import Troubled
from tests.test_search import outcome

pytest.importorskip("ray", reason="Ray is an extra")

SPACE = SMALL_SPACE | {"search": {"trials": 8, "seed": 3, "workers": 1}}


@pytest.mark.parametrize("early_stopping", [False, True])
def test_ray_does_what_a_local_run_does(tmp_path: Path, early_stopping: bool) -> None:
    space = Space.from_dict(SPACE)
    here, there = Store(tmp_path / "here.db"), Store(tmp_path / "there.db")
    options: dict[str, Any] = {"trials": 14, "sampler": "frontier", "early_stopping": early_stopping}
    run(space, store=here, **options)
    # In pieces, and the middle one on Ray: the study does not know who executes it.
    run(space, store=there, **options | {"trials": 5})
    result = run(space, store=there, backend="ray", **options | {"trials": 12})
    assert result.done == 12
    run(space, store=there, **options)
    assert outcome(here, "small") == outcome(there, "small")


def test_what_goes_wrong_on_ray_fails_alone(tmp_path: Path) -> None:
    space = Space.from_dict(SPACE | {"search": {"seed": 3, "workers": 2}})
    with Store(tmp_path / "s.db") as store:
        result = run(space, store=store, evaluator=Troubled(), trials=1000, backend="ray")
        trials = store.trials(result.study)
        reasons = set(trials.loc[trials["state"] == "failed", "reason"])
        assert reasons == {
            "the evaluator gave PSNR nan",
            "the loss was NaN at step 7",
            "MemoryError",
            "its process died 3 times (the system may have run out of memory)",
        }
        assert result.exhausted


def test_a_trial_that_no_node_has_room_for_is_refused_at_once(tmp_path: Path) -> None:
    space = Space.from_dict(SPACE)
    with Store(tmp_path / "s.db") as store:
        with pytest.raises(InputError, match="no node has room for a trial of 1 CPUs and 7 GPUs; there are"):
            run(space, store=store, backend="ray", gpus_per_trial=7)
        with pytest.raises(InputError, match=r"the Ray cluster at 127\.0\.0\.1:1 cannot be reached"):
            run(space, store=store, backend="ray", address="127.0.0.1:1")


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
