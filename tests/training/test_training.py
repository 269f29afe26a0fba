"""Recipes and the proxy training."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from srsearch.architecture import Architecture, build
from srsearch.architecture.bicubic import upscale_bicubic
from srsearch.architecture.colour import luma
from srsearch.data import PatchSampler, TrainingData, load_training_data
from srsearch.data.pairs import Pair
from srsearch.errors import InputError
from srsearch.evaluation import bicubic_quality, evaluate
from srsearch.training import (
    Checkpoint,
    ProxyResult,
    Recipe,
    Runtime,
    Trainer,
    TrainingFailed,
    train_proxy,
    versions,
)
from srsearch.training import recipe as recipes

SHORT = Recipe(steps=12, batch=2, patch=12, rungs=(0.25, 0.5))
FP32 = Runtime("cpu", "fp32", True, 1)
FASTEST = Runtime.detect("cpu", threads=1)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """Crops of the installed photos, so that a training takes a second."""
    whole = load_training_data("builtin", 2, patch=12)

    def part(pair: Pair) -> Pair:
        return Pair(pair.name, pair.hr[200:328, 200:328].copy(), pair.lr[100:164, 100:164].copy())

    return TrainingData("parts", 2, tuple(map(part, whole.train)), tuple(map(part, whole.validation)))


def network(channels: int = 8, seed: int = 0) -> nn.Module:
    design = Architecture.from_dict(
        {
            "scale": 2,
            "channels": channels,
            "body": {"cascade": {"groups": 2, "blocks": 1}},
            "image_residual": "bicubic",
        }
    )
    return build(design, seed=seed)


def train(
    data: TrainingData, recipe: Recipe = SHORT, runtime: Runtime = FASTEST, seed: int = 0
) -> tuple[ProxyResult, list[Tensor]]:
    trained = network()
    result = train_proxy(trained, data, recipe, runtime, seed)
    return result, [parameter.detach().clone() for parameter in trained.parameters()]


def test_training_beats_bicubic(data: TrainingData) -> None:
    result, _ = train(data, Recipe(steps=120, batch=4, patch=16, learning_rate=2e-3))
    reference = bicubic_quality(data.validation, 2)
    assert result.psnr > reference.psnr + 0.1
    assert result.ssim > reference.ssim
    assert [step for step, _ in result.curve] == [15, 30, 60, 120]
    assert result.curve[-1][1] == result.psnr
    assert (result.steps, result.stopped) == (120, False)


@pytest.mark.parametrize("runtime", [FP32, FASTEST, Runtime("cpu", FASTEST.precision, False, 2)], ids=str)
def test_training_is_repeatable_bit_for_bit(data: TrainingData, runtime: Runtime) -> None:
    global_state = torch.random.get_rng_state()
    first, weights = train(data, runtime=runtime)
    assert torch.equal(torch.random.get_rng_state(), global_state)
    torch.rand(7)  # what else happens in the process must not matter
    again, same = train(data, runtime=runtime)
    assert first.curve == again.curve
    assert (first.psnr, first.ssim) == (again.psnr, again.ssim)
    assert all(torch.equal(one, other) for one, other in zip(weights, same, strict=True))
    other, _ = train(data, runtime=runtime, seed=1)
    assert other.psnr != first.psnr


def test_a_recipe_never_changes_the_network(data: TrainingData) -> None:
    trained = network()
    before = copy.deepcopy(trained)
    train_proxy(trained, data, Recipe(steps=3, batch=1, patch=8), FASTEST, 0)
    assert str(trained) == str(before)
    old, new = before.state_dict(), trained.state_dict()
    assert [(name, value.shape, value.dtype) for name, value in old.items()] == [
        (name, value.shape, value.dtype) for name, value in new.items()
    ]
    assert not trained._forward_hooks
    assert any(not torch.equal(old[name], new[name]) for name in old)


def test_rungs_do_not_change_the_training(data: TrainingData) -> None:
    many, few = (Recipe(steps=12, batch=2, patch=12, rungs=rungs) for rungs in ((0.1, 0.2, 0.5, 0.9), ()))
    assert train(data, many)[0].psnr == train(data, few)[0].psnr
    assert [step for step, _ in train(data, few)[0].curve] == [12]


@pytest.mark.parametrize("runtime", [FP32, FASTEST], ids=str)
def test_an_interrupted_training_continues_bit_for_bit(data: TrainingData, tmp_path: Path, runtime: Runtime) -> None:
    whole, weights = train(data, runtime=runtime)
    path = tmp_path / "folder" / "checkpoint.pt"
    told: list[int] = []

    def stopping(step: int, psnr: float) -> bool:
        told.append(step)
        return told.count(step) == 2  # goes on when it is asked the second time

    for _ in SHORT.validation_steps:
        torch.rand(3)  # what else the process does
        trained = network()
        result = train_proxy(trained, data, SHORT, runtime, 0, stopping, path)
    assert told == [3, 3, 6, 6, 12]
    assert not result.stopped
    assert (result.curve, result.psnr, result.ssim) == (whole.curve, whole.psnr, whole.ssim)
    assert all(torch.equal(one, other) for one, other in zip(weights, trained.parameters(), strict=True))
    # What was finished is not trained again: it is there, with its weights.
    again = network(seed=1)
    known = train_proxy(again, data, SHORT, runtime, 0, None, path)
    assert (known.curve, known.ssim) == (whole.curve, whole.ssim)
    assert all(torch.equal(one, other) for one, other in zip(weights, again.parameters(), strict=True))
    assert [each.name for each in path.parent.iterdir()] == [path.name]


WSD = Recipe(steps=12, batch=2, patch=12, rungs=(0.25, 0.5, 0.9), schedule="wsd", warm_up=4, decay=0.25)


@pytest.mark.parametrize("recipe", [WSD, replace(WSD, decay=0, ema=0.9)], ids=["decay", "average"])
def test_a_longer_training_goes_on_from_the_trunk_bit_for_bit(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: Recipe
) -> None:
    steps: list[int] = []
    take = Trainer.step

    def counted(self: Trainer, step: int, done: float | None = None) -> None:
        steps.append(step)
        take(self, step, done)

    monkeypatch.setattr(Trainer, "step", counted)
    trunk = tmp_path / "trunk.pt"
    for number, length in enumerate((12, 24, 48, 12)):
        at_length = recipe.with_steps(length)
        expected = network()
        whole = train_proxy(expected, data, at_length, FASTEST, 0)
        steps.clear()
        *_, in_decay, _ = at_length.validation_steps
        with pytest.raises(KeyboardInterrupt):  # killed in the decay, before anything of it is kept
            train_proxy(network(), data, at_length, FASTEST, 0, killed_at(in_decay), None, trunk)
        checkpoint = tmp_path / f"{number}.pt"
        with pytest.raises(KeyboardInterrupt):  # killed in the decay, with a checkpoint
            train_proxy(network(), data, at_length, FASTEST, 0, killed_at(in_decay), checkpoint, trunk)
        trained = network()
        result = train_proxy(trained, data, at_length, FASTEST, 0, None, checkpoint, trunk)
        assert (result.curve, result.psnr, result.ssim) == (whole.curve, whole.psnr, whole.ssim)
        assert all(map(torch.equal, trained.state_dict().values(), expected.state_dict().values()))
        kept = Checkpoint.load(trunk)
        assert kept is not None
        if number == 3:
            assert kept.step == recipe.with_steps(48).stable_steps  # the longest one stays
            continue
        assert kept.step == at_length.stable_steps
        # Nothing but the decay is trained twice.
        first = recipe.with_steps(length // 2).stable_steps + 1 if number else 1
        again = range(kept.step + 1 if recipe.decay else first, in_decay + 1)
        assert steps == [*range(first, in_decay + 1), *again, *range(in_decay + 1, length + 1)]


def killed_at(step: int) -> Callable[[int, float], bool]:
    def report(at: int, psnr: float) -> bool:
        if at == step:
            raise KeyboardInterrupt
        return True

    return report


def test_a_trunk_of_another_training_is_not_used(data: TrainingData, tmp_path: Path) -> None:
    trunk = tmp_path / "trunk.pt"
    other = replace(WSD, learning_rate=1e-3)
    whole = train_proxy(network(), data, WSD, FASTEST, 0).curve
    for seed, recipe in ((1, WSD), (0, other), (0, replace(WSD, steps=10, decay=0.1)), (0, SHORT)):
        train_proxy(network(), data, recipe, FASTEST, seed, None, None, trunk)
        assert train_proxy(network(), data, WSD, FASTEST, 0, None, None, trunk).curve == whole
    trunk.write_bytes(trunk.read_bytes()[:1000])
    checkpoint = tmp_path / "checkpoint.pt"
    train_proxy(network(), data, WSD.with_steps(24), FASTEST, 0, None, checkpoint)
    # Nor is a checkpoint of another length.
    assert train_proxy(network(), data, WSD, FASTEST, 0, None, checkpoint, trunk).curve == whole


def test_an_unusable_checkpoint_is_not_used(data: TrainingData, tmp_path: Path) -> None:
    whole, _ = train(data)
    half = tmp_path / "half.pt"
    train_proxy(network(), data, SHORT, FASTEST, 0, lambda step, _: step < 6, half)
    good = half.read_bytes()
    for content in (b"", b"nonsense", good[: len(good) // 2], pickle.dumps({"step": 3})):
        half.write_bytes(content)
        assert train_proxy(network(), data, SHORT, FASTEST, 0, None, half).curve == whole.curve
    nowhere = tmp_path / "file" / "checkpoint.pt"
    nowhere.parent.write_text("in the way")
    assert train_proxy(network(), data, SHORT, FASTEST, 0, None, nowhere).curve == whole.curve


def test_the_report_callback_can_stop_a_training(data: TrainingData) -> None:
    told: list[tuple[int, float]] = []

    def report(step: int, psnr: float) -> bool:
        told.append((step, psnr))
        return step < 6

    result = train_proxy(network(), data, SHORT, FASTEST, 0, report)
    assert result.stopped
    assert result.steps == 6
    assert result.curve == tuple(told)
    assert [step for step, _ in told] == [3, 6]
    assert result.psnr == told[-1][1]
    assert math.isnan(result.ssim)


class Tiny(nn.Module):
    """Bicubic plus two convolutions, which add zero at first, on RGB or luminance. Keeps its first input."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Conv2d(in_channels, 16, 3, padding=1)
            self.last = nn.Conv2d(16, 4 * in_channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.given: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.given is None:
            self.given = x.detach().clone()
        return upscale_bicubic(x, 2) + F.pixel_shuffle(self.last(self.first(x).relu()), 2)


@pytest.mark.parametrize("runtime", [FP32, FASTEST], ids=str)
def test_a_luminance_network_learns(data: TrainingData, runtime: Runtime) -> None:
    recipe = Recipe(steps=120, batch=4, patch=16, learning_rate=2e-3, rungs=(0.5,))
    trained = Tiny(in_channels=1)
    start = evaluate(runtime.placed(trained), data.validation, 2, runtime=runtime)
    assert start.psnr == pytest.approx(bicubic_quality(data.validation, 2).psnr, abs=0.02)
    result = train_proxy(trained, data, recipe, runtime, 0)
    assert result.psnr > start.psnr + 0.1
    assert result.ssim > start.ssim
    # What was validated last is the network as it is left.
    assert evaluate(trained, data.validation, 2, runtime=runtime).psnr == result.psnr
    again = train_proxy(Tiny(in_channels=1), data, recipe, runtime, 0)
    assert (again.curve, again.ssim) == (result.curve, result.ssim)


@pytest.mark.parametrize("in_channels", [1, 3])
def test_both_sides_of_the_loss_have_the_networks_colour(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, in_channels: int
) -> None:
    compared: list[tuple[Tensor, Tensor]] = []

    def loss(sr: Tensor, hr: Tensor) -> Tensor:
        compared.append((sr.detach().clone(), hr.clone()))
        return F.l1_loss(sr, hr)

    monkeypatch.setitem(recipes._OURS["loss"], "l1", loss)
    trained = Tiny(in_channels)
    train_proxy(trained, data, Recipe(steps=1, batch=3, patch=12, rungs=()), FP32, seed=5)
    lr, hr = PatchSampler(data.train, 12, 3, 2, seed=5).next()
    if in_channels == 1:
        lr, hr = luma(lr), luma(hr)
    assert trained.given is not None
    assert torch.equal(trained.given, lr)
    sr, target = compared[0]
    assert torch.equal(target, hr)
    # The network starts as bicubic of what it was given.
    torch.testing.assert_close(sr, upscale_bicubic(lr, 2), rtol=0, atol=1e-6)


class Diverging(nn.Module):
    """Gives NaN from its n-th training step on, or only in validation."""

    def __init__(self, steps: int, in_validation: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.left, self.in_validation = steps, in_validation

    def forward(self, x: Tensor) -> Tensor:
        self.left -= self.training
        broken = self.left < 0 or (self.in_validation and not self.training)
        return upscale_bicubic(x, 2) + self.weight * (math.nan if broken else 1)


def test_a_diverging_training_says_where(data: TrainingData) -> None:
    with pytest.raises(TrainingFailed, match="the loss is nan at step 5 of 12"):
        train_proxy(Diverging(4), data, Recipe(steps=12, batch=1, patch=8, rungs=()), FP32, 0)
    with pytest.raises(TrainingFailed, match="output is not finite after step 3"):
        train_proxy(Diverging(20, in_validation=True), data, SHORT, FP32, 0)


def test_the_number_of_threads_is_restored(data: TrainingData) -> None:
    before = torch.get_num_threads()
    with pytest.raises(TrainingFailed):
        train_proxy(Diverging(0), data, SHORT, Runtime("cpu", "fp32", True, before + 1), 0)
    assert torch.get_num_threads() == before


def test_one_cycle_rises_and_falls() -> None:
    recipe = Recipe(steps=1000, learning_rate=0.01)
    rates = [recipe.learning_rate_at(step) for step in range(1, 1001)]
    assert rates[0] == pytest.approx(0.001, rel=0.01)
    assert max(rates) == pytest.approx(0.01, rel=1e-4)
    assert rates[-1] == pytest.approx(1e-5, rel=0.05)
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert {Recipe(steps=9, schedule="constant").learning_rate_at(step) for step in range(1, 10)} == {
        Recipe().learning_rate
    }


def test_wsd_is_the_same_until_its_decay_at_every_length() -> None:
    recipe = Recipe(steps=600, schedule="wsd", warm_up=60)
    lengths = [recipe.with_steps(steps) for steps in (600, 2400, 9600, 38_401)]
    assert [each.stable_steps for each in lengths] == [480, 1920, 7680, 30_721]
    assert {each.warm_up for each in lengths} == {60}
    for short, long in pairwise(lengths):
        steps = range(1, short.stable_steps + 1)
        assert all(short.learning_rate_at(step) == long.learning_rate_at(step) for step in steps)
    rates = [recipe.learning_rate_at(step) for step in range(1, 601)]
    assert rates[0] == pytest.approx(2e-3 / 120)
    assert set(rates[60:480]) == {2e-3}
    assert rates[480:] == sorted(rates[480:], reverse=True)
    assert rates[540] == pytest.approx(2e-3 * (1 - math.sqrt(60.5 / 120)))
    assert 0 < rates[-1] < 1e-5
    # What is counted in shares of the steps is not the same at every length.
    assert replace(recipe, alternate_from=0.5).stable_steps == Recipe().stable_steps == 0


def test_recipes_convert_to_json_and_back() -> None:
    recipe = Recipe(steps=80, rungs=(0.5, 0.25, 0.5))
    assert recipe.rungs == (0.25, 0.5)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert Recipe.from_dict({"steps": 7}) == Recipe(steps=7)
    assert Recipe(steps=1).validation_steps == (1,)
    assert all(isinstance(value, str) for value in versions().values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"step": 3}, "unknown key 'step': did you mean 'steps'"),
        ({"steps": 0}, "steps: 0 is not a whole number of at least 1"),
        ({"steps": 2.5}, "steps: 2.5"),
        ({"batch": True}, "batch: True"),
        ({"steps": 10**9}, "steps is above 100000000"),
        ({"batch": 10**400}, "batch is above 65536"),
        ({"patch": 5_000}, "patch is above 4096"),
        ({"patch": 4}, "patch: 4 is not a whole number of at least 8"),
        ({"learning_rate": 0}, "learning_rate: 0"),
        ({"learning_rate": math.nan}, "learning_rate: nan"),
        ({"schedule": "one_cicle"}, "did you mean 'one_cycle'"),
        ({"loss": "l3"}, "unknown loss 'l3'"),
        ({"decay": 0.1}, "decay: only the schedule wsd has a decay, not one_cycle"),
        ({"schedule": "wsd", "decay": 1.5}, "decay: 1.5 is not a number from 0 to 1"),
        ({"rungs": [0.5, 1.5]}, "rungs: "),
        ({"rungs": 0.5}, "rungs: 0.5"),
    ],
)
def test_wrong_recipes_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.from_dict(values)
