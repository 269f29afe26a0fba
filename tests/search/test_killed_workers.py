"""Workers that are killed again and again: no design is lost, and no result changes."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from srsearch.search import run
from srsearch.space import Space
from srsearch.store import Store
from tests.conftest import SMALL_SPACE
from tests.search.test_search import outcome
from tests.support.evaluators import KilledTraining

TRAINED = Space.from_dict(
    SMALL_SPACE
    | {
        "architecture": SMALL_SPACE["architecture"] | {"channels": [4, 6, 8], "unit": "conv"},
        "proxy": {"data": "builtin", "steps": 4, "batch": 1, "patch": 8},
        "search": {"trials": 11, "seed": 3, "workers": 1, "sampler": "random"},
    }
)


@pytest.mark.parametrize("early_stopping", [False, pytest.param(True, marks=pytest.mark.long)])
def test_ten_kills_of_workers_change_nothing(tmp_path: Path, early_stopping: bool) -> None:
    """Each design's first worker is killed before or after a validation, and its training goes on from there."""
    (tmp_path / "kills").mkdir()
    evaluator = KilledTraining(TRAINED, tmp_path / "kills", kills=10)
    with Store(tmp_path / "s.db") as store, Store(tmp_path / "whole.db") as whole:
        result = run(TRAINED, store=store, evaluator=evaluator, early_stopping=early_stopping)
        run(TRAINED, store=whole, early_stopping=early_stopping)
        assert len(list((tmp_path / "kills").iterdir())) == 10
        assert outcome(store, result.study) == outcome(whole, "small")
        assert result.done == 11
        assert "failed" not in set(store.trials(result.study)["state"])
    said = defaultdict(list)
    for line in (tmp_path / "said").read_text().splitlines():
        key, step = line.split()
        said[key].append(int(step))
    # A training that goes on says its last step again. It never begins at the first one.
    repeated = [(before, step) for steps in said.values() for before, step in pairwise(steps) if step <= before]
    assert len(repeated) >= 10
    assert all(step == before for before, step in repeated)
