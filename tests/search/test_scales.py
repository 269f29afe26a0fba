"""A study of designs for several scales: the proxy trains all heads in turns and scores one of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor

from srsearch.architecture import Architecture, Network, build
from srsearch.cost import count
from srsearch.data import load_training_data
from srsearch.search.evaluators.proxy import ProxyEvaluator
from srsearch.space import Space
from srsearch.store import Store
from tests.support.commands import Command

PLAIN = {
    "name": "several",
    "scale": [2, 3, 4],
    "architecture": {"channels": [4, 8], "body": {"chain": {"blocks": 1}}, "image_residual": "bicubic"},
    "constraints": {"scale": 3},
    "search": {"sampler": "random", "trials": 2, "workers": 1, "start_with": "none"},
}


def test_a_study_of_several_scales_trains_all_heads_and_scores_the_named_one(
    tmp_path: Path, small_photos: Path, srsearch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = {"data": str(small_photos), "steps": 4, "patch": 12, "batch": 2}
    (tmp_path / "several.yaml").write_text(yaml.safe_dump(PLAIN | {"proxy": proxy}))
    ended = srsearch("run", "several.yaml", "--json")
    assert ended.returncode == 0, ended.stderr
    front = json.loads(srsearch("front", "several", "--json").stdout)
    with Store(tmp_path / "studies" / "srsearch.db") as store:
        study = store.study("several")
        assert (study.scale, study.scales) == (3, (2, 3, 4))
        design = Architecture.from_dict(store.description(front[0]["key"]))
        (record,) = [each for each in store.trial_records("several") if each.key == design.key]
    costs = count(design, scale=3).by_scale
    assert front[0]["mult_adds"] == costs[3].mult_adds
    assert (front[0]["mult_adds_x2"], front[0]["mult_adds_x4"]) == (costs[2].mult_adds, costs[4].mult_adds)
    table = srsearch("best", "several", "--save", "best.yaml").stdout
    assert "Mult-Adds x3" in table
    assert "srsearch count best.yaml --scale 3" in table
    counted = json.loads(srsearch("count", f"several:{record.number}", "--json").stdout)
    assert [each["mult_adds"] for each in counted["by_scale"]] == [each.mult_adds for each in costs.values()]
    assert counted["scale"] == 3

    page = (tmp_path / "dashboards" / "several.html").read_text()
    assert '<span class="scale">\u00d72, \u00d73 and \u00d74</span>' in page
    assert "at \u00d73. Mult-Adds: " in page
    assert [head for head in "234" if f"the head for \\u00d7{head}" in page] == ["2", "3"]

    # The same training, step by step, with a look at which heads are called.
    called: list[int] = []
    forward = Network.forward

    def spied(self: Network, x: Tensor, scale: int | None = None) -> Tensor:
        called.append(scale or 0)
        return forward(self, x, scale)

    monkeypatch.setattr(Network, "forward", spied)
    space = Space.from_yaml(tmp_path / "several.yaml")
    evaluator = ProxyEvaluator(space, study.recipe["runtime"], device="auto")
    assert evaluator.data_fingerprint == study.data_fingerprint
    assert evaluator.data_fingerprint != load_training_data(small_photos, 3, patch=12).fingerprint
    reported: list[tuple[int, float]] = []

    class Report:
        checkpoint = tmp_path / "weights"

        def __call__(self, step: int, psnr: float) -> bool:
            reported.append((step, psnr))
            return True

    torch.set_num_threads(1)
    score = evaluator.evaluate(design, study.seed, Report())
    assert score.psnr == record.psnr
    assert tuple(reported) == score.curve == record.curve
    steps = [scale for i, scale in enumerate(called) if scale != 3 or i == 1]
    assert steps == [2, 3, 4, 2], "whatever else is called is the validation at x3"
    saved = torch.load(tmp_path / "weights", weights_only=True)["network"]
    changed = [
        name for name, tensor in build(design, seed=study.seed).state_dict().items() if (tensor != saved[name]).any()
    ]
    assert {re.match(r"upsamplers\.(\d)", name)[1] for name in changed if name.startswith("upsamplers")} == set("234")  # type: ignore[index]
