"""The argument MODEL of commands: what it may name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from srsearch.architecture import Architecture, build, load_model, save_model, upscale_bicubic
from srsearch.cli.models import model_named
from srsearch.errors import InputError
from srsearch.search import run
from srsearch.search.checkpoints import Checkpoints
from srsearch.space import Space
from srsearch.store import Store
from tests.conftest import SMALL_SPACE
from tests.support.commands import Command

DESIGN = Architecture.from_dict({"scale": [2, 4], "channels": 8, "body": {"chain": {"blocks": 1}}})


def test_a_model_file_and_bicubic_are_models_at_their_scales(tmp_path: Path) -> None:
    file, network = tmp_path / "mine.safetensors", build(DESIGN, seed=1)
    save_model(file, DESIGN, network.state_dict())
    x = torch.rand(1, 3, 4, 5)
    model = model_named(str(file), scale=4)
    assert model.name == "mine"
    assert torch.equal(model.network(x, scale=4), network(x, scale=4))
    with pytest.raises(InputError, match=r"mine\.safetensors upscales by x2, x4, not by x3"):
        model_named(str(file), scale=3)
    bicubic = model_named("bicubic", scale=3)
    assert bicubic.design is None
    assert torch.equal(bicubic.network(x), upscale_bicubic(x, 3))


def test_an_official_file_is_a_model(shared_data: Path) -> None:
    file = str(shared_data / "PCARN-M-L1.pth")
    recognised, named = model_named(file), model_named(file, as_network="pcarn-m", scale=4)
    assert recognised.design == named.design
    assert "official weights of pcarn-m" in named.facts["source"]
    with pytest.raises(InputError, match="this is not carn"):
        model_named(file, as_network="carn")


def test_a_trial_is_a_model_if_its_weights_were_saved(tmp_path: Path, srsearch: Command) -> None:
    plain = SMALL_SPACE | {
        "proxy": {"data": "builtin", "steps": 2, "batch": 1, "patch": 8},
        "search": {"sampler": "random", "trials": 2, "seed": 1, "workers": 1},
    }
    storage = f"sqlite:///{tmp_path}/a.db"
    with Store(storage) as store:
        run(Space.from_dict(plain), store=store)
        trials = [each for each in store.trial_records("small") if each.state == "complete"]
        saved = Checkpoints(store, store.study("small"))
    kept = [each for each in trials if saved.path(each.key or "", each.seed or 1).is_file()]
    model = model_named(f"small:{kept[0].number}", storage=storage)
    assert model.design is not None
    assert model.design.key == kept[0].key
    assert model.facts["results"][0]["psnr"] == kept[0].psnr
    # As if the search had been given --checkpoints.
    (tmp_path / "elsewhere").mkdir()
    Path(saved.folder).rename(tmp_path / "elsewhere" / Path(saved.folder).name)
    command = ("export", f"small:{kept[0].number}", "--format", "safetensors", "--storage", storage, "--out")
    for number, place in enumerate((str(tmp_path / "elsewhere"), f"file://{tmp_path}/elsewhere")):
        ended = srsearch(*command, f"{number}.safetensors", "--checkpoints", place)
        assert ended.returncode == 0, ended.stderr
        exported = load_model(tmp_path / f"{number}.safetensors").network.state_dict()
        assert all(torch.equal(exported[key], value) for key, value in model.network.state_dict().items())
    ended = srsearch(*command, "none.safetensors")
    assert ended.returncode == 2
    assert f"trial {kept[0].number} of study 'small' has no saved weights; a search saves" in ended.stderr
    assert "if the search was given --checkpoints, give the same one here" in ended.stderr
    with pytest.raises(InputError, match="has no trial 99"):
        model_named("small:99", storage=storage)


def test_a_name_that_is_not_a_model_is_answered_with_what_a_model_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no model 'mine': a model is a file .* STUDY:TRIAL"):
        model_named("mine")
    with pytest.raises(InputError, match="is a folder"):
        model_named(str(tmp_path))
