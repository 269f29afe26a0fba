"""The forecast of a study's duration: the measurement, the fit, and the output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from srsearch.search.forecast import Forecast, Measurement, line
from srsearch.space import Space
from tests.conftest import SMALL_SPACE, Command

PLAIN = SMALL_SPACE | {
    "architecture": SMALL_SPACE["architecture"] | {"channels": [4, 6, 8], "unit": "conv"},
    "proxy": {"data": "builtin", "steps": 16, "batch": 1, "patch": 8},
}


def test_the_fitted_line_has_no_negative_coefficients() -> None:
    costs = np.array([1e9, 5e9, 10e9])
    assert line(costs, 0.01 + costs / 1e12)(np.array([2e9, 20e9])) == pytest.approx([0.012, 0.03])
    # Cheaper than in proportion at first: nothing is negative, however far it is read.
    fitted = line(costs, np.array([0.0005, 0.005, 0.011]))
    assert (fitted(np.array([0.0, 1e8, 1e11])) >= 0).all()
    assert fitted(np.array([10e9])) == pytest.approx([0.011], rel=0.2)


def test_hours_follow_from_the_seconds_of_a_training() -> None:
    measured = (Measurement(10**9, 0.1, 1.0),)
    found = Forecast("x", 100, 600, "cuda", "bf16", 1, measured, (36.0, 10.0, 90.0), at_once=4)
    assert found.record()["gpu_hours"] == pytest.approx(1.0)
    assert found.record()["core_hours"] is None
    assert found.hours == pytest.approx(0.25)
    few = Forecast("x", 2, 600, "cpu", "fp32", 1, measured, (36.0, 10.0, 90.0), at_once=4)
    assert few.hours == pytest.approx(36 / 3600)  # no sooner than one training
    assert few.record()["core_hours"] == pytest.approx(0.02)


def test_a_plan_of_real_trainings_makes_no_study(tmp_path: Path, srsearch: Command) -> None:
    (tmp_path / "small.yaml").write_text(Space.from_dict(PLAIN).text)
    ended = srsearch("run", "small.yaml", "--plan", "--workers", "1", "--trials", "50", "--device", "cpu", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["trials"] == 50
    assert found["gpu_hours"] is None
    assert found["core_hours"] == pytest.approx(50 * found["seconds_per_trial"]["mean"] / 3600)
    assert found["hours"] == pytest.approx(found["core_hours"])
    costs = [each["mult_adds"] for each in found["measured"]]
    assert len(costs) >= 2
    assert costs == sorted(costs)
    assert all(each["step"] > 0 and each["validation"] > 0 for each in found["measured"])
    assert not (tmp_path / "studies").exists()


def test_a_plan_for_a_gpu_on_a_machine_without_one_says_so(tmp_path: Path, srsearch: Command) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    (tmp_path / "small.yaml").write_text(Space.from_dict(PLAIN).text)
    ended = srsearch("run", "small.yaml", "--plan", "--gpus", "8", "--workers", "1")
    assert ended.returncode == 0, ended.stderr
    assert "This machine has no GPU" in ended.stdout
    assert srsearch("run", "small.yaml", "--gpus", "8").returncode == 2
    synthetic = srsearch("run", "small.yaml", "--plan", "--evaluator", "synthetic")
    assert synthetic.returncode == 2
    assert "--plan measures trainings" in synthetic.stderr
