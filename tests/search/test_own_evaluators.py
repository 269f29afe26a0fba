"""Your own evaluators: what they return becomes plain data, or is refused with a message that names it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srsearch.architecture import Architecture
from srsearch.errors import InputError
from srsearch.search import Score, SyntheticEvaluator, run
from srsearch.search.evaluators.base import Report
from srsearch.search.evaluators.cores import Plan
from srsearch.space import Space
from srsearch.store import Store
from tests.conftest import Command
from tests.support.commands import in_own_process


class Own(SyntheticEvaluator):
    """A synthetic evaluator with other properties; sent to a worker, it is as it was made."""

    def __init__(self, **said: Any) -> None:
        super().__init__()
        self.said = said

    recipe = property(lambda self: self.said.get("recipe", {"evaluator": "own"}))  # type: ignore[assignment]
    runtime = property(lambda self: self.said.get("runtime", {}))  # type: ignore[assignment]
    data = property(lambda self: self.said.get("data", {}))  # type: ignore[assignment]
    data_fingerprint = property(lambda self: self.said.get("data_fingerprint", "none"))  # type: ignore[assignment]
    steps = property(lambda self: self.said.get("steps", 100))  # type: ignore[assignment]

    @property
    def reference_psnr(self) -> float:
        value = self.said.get("reference_psnr", 26.0)
        if isinstance(value, Exception):
            raise value
        return value  # type: ignore[no-any-return]

    def plan(self, workers: Any, say: Any) -> Plan:
        return self.said.get("plan", Plan(1, 1))  # type: ignore[no-any-return]


class Slow(SyntheticEvaluator):
    def __init__(self) -> None:
        super().__init__(seconds=0.25)


def test_a_constructor_of_its_own_needs_no_scale(small_space: Space) -> None:
    evaluator = Slow.from_space(small_space, None, device="cpu")
    assert isinstance(evaluator, Slow)
    assert evaluator.seconds == 0.25


def test_numpys_numbers_paths_and_tuples_are_plain_data(small_space: Space, tmp_path: Path) -> None:
    evaluator = Own(
        recipe={"steps": np.int64(5), "on": np.bool_(True), "sides": (1, np.float32(2.5)), "levels": np.arange(2)},
        runtime={"device": np.str_("cpu")},
        data={"folder": Path("photos"), "mean": {"rgb": [np.float64(0.5)]}},
        data_fingerprint=np.str_("abc"),
        reference_psnr=np.float32(25.5),
        steps=np.int64(100),
        plan=Plan(np.int64(1), 1),  # type: ignore[arg-type]
    )
    store = Store(tmp_path / "s.db")
    for trials in (2, 3):  # what is recorded is found again
        assert run(small_space, store=store, evaluator=evaluator, trials=trials).done == trials
    record = store.study("small")
    assert record.recipe == {
        "steps": 5,
        "on": True,
        "sides": [1, 2.5],
        "levels": [0, 1],
        "runtime": {"device": "cpu"},
    }
    assert record.data == {"folder": "photos", "mean": {"rgb": [0.5]}}
    assert (record.data_fingerprint, record.reference["psnr"], record.workers) == ("abc", 25.5, 1)
    assert store.study_names() == ["small"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"recipe": {"steps": {1, 2}}}, r"recipe\['steps'\]: \{1, 2\} is not plain data"),
        ({"recipe": {"rate": [0.5, math.nan]}}, r"recipe\['rate'\]\[1\]: nan is not plain data"),
        ({"recipe": {("a", 1): 2}}, r"recipe: .* is not plain data"),
        ({"recipe": "fast"}, "recipe: 'fast' is not a mapping"),
        ({"recipe": {"seed": 10**400}}, r"recipe\['seed'\]"),
        ({"runtime": {"on": b"cpu"}}, r"runtime\['on'\]: b'cpu' is not plain data"),
        ({"data": {"mean": math.inf}}, r"data\['mean'\]: inf is not plain data"),
        ({"data": {"folder": "a\0b"}}, r"data\['folder'\]"),
        ({"data": {"folder": "\ud800"}}, r"data\['folder'\]"),
        ({"data_fingerprint": 7}, "data_fingerprint: 7 is not a text of at most 64 characters"),
        ({"data_fingerprint": "a" * 65}, "data_fingerprint: .* is not a text of at most 64"),
        ({"reference_psnr": math.nan}, "reference_psnr: nan is not plain data"),
        ({"reference_psnr": None}, "reference_psnr: None is not a number between"),
        ({"reference_psnr": -sys.float_info.max}, "reference_psnr: .* is not a number between"),
        ({"reference_psnr": ValueError("no photos")}, "reference_psnr: ValueError: no photos"),
        ({"steps": 0.5}, "steps: 0.5 is neither a whole number nor None"),
        ({"plan": (1, 1)}, r"plan: \(1, 1\) is not a Plan"),
        ({"plan": Plan(0, 1)}, "plan: .* not above zero"),
    ],
)
def test_what_is_not_plain_data_is_refused_by_its_name_and_nothing_is_written(
    small_space: Space, tmp_path: Path, said: dict[str, Any], message: str
) -> None:
    store = Store(tmp_path / "s.db")
    with pytest.raises(InputError, match=f"^evaluator .*:Own: {message}"):
        run(small_space, store=store, evaluator=Own(**said), trials=1)
    assert store.study_names() == []


class Extreme(SyntheticEvaluator):
    """Depending on the design's key, gives what stands for a failure in other programs, or a proper score."""

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        match int(design.key[0], 16) % 8:
            case 0:
                return Score(-sys.float_info.max)
            case 1:
                return Score(float(np.finfo(np.float32).min))
            case 2:
                return Score(30.0, curve=((1, 1e308),))
            case 3:
                return Score(30.0, seconds=math.nan)
            case 4:
                report(50, 1e300)
        psnr = np.float32(30 + design.channels / 100)
        return Score(psnr, np.float64(0.9), ((np.int64(1), psnr),), {"numpy": 2})  # type: ignore[arg-type,dict-item]


def test_sentinel_scores_fail_their_trials_and_the_study_can_be_read(
    small_space: Space, tmp_path: Path, srsearch: Command
) -> None:
    run(small_space, store=str(tmp_path / "s.db"), evaluator=Extreme(), trials=14, sampler="random")
    records = Store(tmp_path / "s.db").trial_records("small")
    failed = {int(trial.key[0], 16) % 8 for trial in records if trial.state == "failed" and trial.key}
    complete = {int(trial.key[0], 16) % 8 for trial in records if trial.state == "complete" and trial.key}
    assert failed
    assert complete
    assert failed <= {0, 1, 2, 3}
    assert complete <= {4, 5, 6, 7}
    for command in ("front", "best", "trials"):
        assert srsearch(command, "--storage", "s.db").returncode == 0


def test_an_evaluator_module_is_written_as_the_documentation_says(tmp_path: Path) -> None:
    """Its class is loaded by name; what its constructor raises is the message."""
    (tmp_path / "own_evaluator.py").write_text(
        "from srsearch.search import Evaluator\n"
        "class Broken(Evaluator):\n"
        "    def __init__(self):\n"
        "        raise KeyError('weights')\n"
        "    def evaluate(self, design, seed, report): ...\n"
    )
    answer = in_own_process(tmp_path, "run", "lightweight_x4", "--evaluator", "own_evaluator:Broken")
    assert answer.returncode == 2
    assert "evaluator 'own_evaluator:Broken' cannot be made: KeyError: 'weights'" in answer.stderr
    assert "Traceback" not in answer.stderr
