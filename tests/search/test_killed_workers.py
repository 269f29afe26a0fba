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


@pytest.fixture
def trained(small_photos: Path) -> Space:
    """A space whose designs are trained for real, in less than a second."""
    return Space.from_dict(
        SMALL_SPACE
        | {
            "architecture": SMALL_SPACE["architecture"] | {"channels": [4, 6, 8], "unit": "conv"},
            "proxy": {"data": str(small_photos), "steps": 4, "batch": 1, "patch": 8},
            "search": {"trials": 11, "seed": 3, "workers": 1, "sampler": "random"},
        }
    )


@pytest.mark.long(12)
@pytest.mark.parametrize(("early_stopping", "least"), [(False, 10), (True, 6)])
def test_kills_of_workers_change_nothing(tmp_path: Path, trained: Space, early_stopping: bool, least: int) -> None:
    """Each design's first worker is killed before or after a validation, and its training goes on from there.

    A design that is stopped early may not reach the validation at which its worker would be killed.
    """
    (tmp_path / "kills").mkdir()
    evaluator = KilledTraining(trained, tmp_path / "kills", kills=10)
    with Store(tmp_path / "s.db") as store, Store(tmp_path / "whole.db") as whole:
        result = run(trained, store=store, evaluator=evaluator, early_stopping=early_stopping)
        run(trained, store=whole, early_stopping=early_stopping)
        assert least <= len(list((tmp_path / "kills").iterdir())) <= 10
        assert outcome(store, result.study) == outcome(whole, "small")
        assert result.done == 11
        assert "failed" not in set(store.trials(result.study)["state"])
    said = defaultdict(list)
    for line in (tmp_path / "said").read_text().splitlines():
        key, step = line.split()
        said[key].append(int(step))
    # A training that goes on says its last step again. It never begins at the first one.
    repeated = [(before, step) for steps in said.values() for before, step in pairwise(steps) if step <= before]
    assert len(repeated) >= least
    assert all(step == before for before, step in repeated)
