"""Full trainings: recipes of the papers, checkpoints, faults, several heads, several processes."""

from __future__ import annotations

import dataclasses
import errno
import functools
import io
import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from srsearch.architecture import Architecture, build, load_model
from srsearch.architecture.network import SCHEMES, Network, initialise
from srsearch.data.bicubic import downscale
from srsearch.data.pairs import Pair
from srsearch.data.photos import shuffled
from srsearch.errors import InputError, WorkError
from srsearch.evaluation import Runtime
from srsearch.space.schema import Proxy
from srsearch.store import Store
from srsearch.store.trainings import trainings
from srsearch.training import Checkpoint, Recipe, Trainer, full
from srsearch.training.full import Moment, train
from srsearch.training.processes import Processes
from srsearch.training.recipe_files import read_recipe, shipped_recipes
from srsearch.training.sets import TrainingSets, read_sets
from srsearch.training.trainer import at_sizes, chosen_levels
from tests.conftest import CHECKOUT
from tests.support import forked
from tests.support.commands import PROGRAM, Command

FP32 = Runtime("cpu", "fp32", True, 1)
SHORT = Recipe(steps=8, batch=4, patch=12)
SMALL: dict[str, Any] = {"scale": 2, "channels": 8, "body": {"cascade": {"groups": 1, "blocks": 1}}}


def pair(scale: int, seed: int = 0, side: int = 48) -> Pair:
    smooth = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    hr = np.asarray(Image.fromarray(smooth).resize((side, side), Image.Resampling.BICUBIC)).copy()
    return Pair(f"{seed}", hr, downscale(hr, scale))


def sets(*scales: int) -> TrainingSets:
    return TrainingSets(
        {scale: (pair(scale, 0), pair(scale, 1)) for scale in scales},
        {scale: (pair(scale, 2),) for scale in scales},
        {},
    )


def trained(
    path: Path, recipe: Recipe = SHORT, design: dict[str, Any] = SMALL, network: nn.Module | None = None, **options: Any
) -> tuple[full.Trained, nn.Module]:
    described = Architecture.from_dict(design)
    chosen = build(described, seed=0) if network is None else network
    options = {"about": {"design": design}, **options}
    result = train(chosen, sets(*described.scales), recipe, FP32, 0, checkpoint=path / "c.checkpoint", **options)
    return result, chosen


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


# Recipes --------------------------------------------------------------------------------------------------------------


def test_the_recipes_have_the_figures_of_the_papers() -> None:
    assert set(shipped_recipes()) == {"pcarn", "pcarn-analysis", "efficiency", "s-lwsr", "csrcnn", "prosrn", "fast"}
    assert all(about.endswith(".") for about in shipped_recipes().values())
    pcarn = read_recipe("pcarn")
    assert (pcarn.steps, pcarn.batch, pcarn.patch, pcarn.loss, pcarn.optimizer) == (600_000, 64, 48, "l1", "adam")
    rates = [pcarn.learning_rate_at(step) for step in (1, 400_000, 400_001, 600_000)]
    assert rates == [1e-4, 1e-4, 5e-5, 5e-5]
    analysis = read_recipe("pcarn-analysis")
    assert (analysis.steps, analysis.patch, analysis.batch) == (400_000, 32, 64)
    efficiency = read_recipe("efficiency")
    assert (efficiency.batch, efficiency.patch) == (16, 48)
    assert [efficiency.learning_rate_at(step) for step in (200_000, 200_001, 300_000)] == [1e-4, 5e-5, 5e-5]
    assert read_recipe("s-lwsr").learning_rate_at(400_001) == 2.5e-5
    csrcnn = read_recipe("csrcnn")
    assert (csrcnn.optimizer, csrcnn.momentum, csrcnn.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (csrcnn.batch, csrcnn.patch, csrcnn.hr_scales) == (32, 32, (0.9, 0.8, 0.7, 0.5))
    prosrn = read_recipe("prosrn")
    assert (prosrn.loss, prosrn.charbonnier_epsilon, prosrn.levels) == ("charbonnier", 1e-6, "all")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 5\nbatchs: 4\n", "r.yaml:2: batchs: unknown key 'batchs'; did you mean 'batch'"),
        ("steps: 5\nbatch: four\n", "r.yaml:2: batch: 'four' should be a valid integer"),
        ("steps: 5\n\nloss: l3\n", "r.yaml:3: loss: unknown loss 'l3'"),
        ("steps: 5\nlevels: some\n", "r.yaml:2: levels: 'some' is not last, all, or a list"),
        ("steps: 5\nschedule: halving\n", "r.yaml:2: schedule: the schedule halving and its steps"),
        ("optimizer: adma\n", "r.yaml:1: optimizer: 'adma' is not one of adam, adamw, sgd; did you mean 'adam'"),
        ("- 1\n", "r.yaml:1: a recipe is a mapping"),
    ],
)
def test_mistakes_in_recipe_files_have_a_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        read_recipe(tmp_path / "r.yaml")
    assert message in str(raised.value)


def test_new_options_at_their_defaults_change_no_identity_and_others_do() -> None:
    assert Recipe.from_dict(Recipe().to_dict()).identity() == Recipe().identity()
    assert set(Recipe().identity()) == {
        "steps", "batch", "patch", "learning_rate", "schedule", "optimizer", "loss", "rungs",
    }  # fmt: skip
    assert Recipe(hr_scales=(0.9,)).identity()["hr_scales"] == [0.9]


def test_the_proxy_of_a_space_takes_the_fields_of_recipes() -> None:
    names = {field.name for field in dataclasses.fields(Recipe)} - {"rungs"}
    assert set(Proxy.model_fields) == names | {"data", "evaluator"}
    proxy = Proxy.model_validate({"ema": 0.9, "hr_scales": [0.5], "levels": [2, 4], "schedule": "cosine"})
    recipe = Recipe.from_dict(proxy.model_dump(exclude={"data", "evaluator"}, exclude_none=True))
    assert (recipe.ema, recipe.hr_scales, recipe.levels) == (0.9, (0.5,), (2, 4))


def test_halving_warm_up_and_lengths() -> None:
    recipe = Recipe(steps=100, schedule="halving", halve_at=(50, 80), warm_up=10, learning_rate=1e-2)
    rates = [recipe.learning_rate_at(step) for step in (1, 10, 50, 51, 81)]
    assert rates == pytest.approx([5e-4, 9.5e-3, 1e-2, 5e-3, 2.5e-3])
    shorter = recipe.with_steps(10)
    assert (shorter.halve_at, shorter.warm_up) == ((5, 8), 1)


def test_the_initialisations_of_table_iii_have_their_spread() -> None:
    network = build(Architecture.from_dict({"scale": 2, "channels": 64}), seed=0)
    conv = next(each for each in network.modules() if isinstance(each, nn.Conv2d) and each.in_channels == 64)
    fan_in = conv.weight[0].numel()
    for name, (kind, a, factor) in SCHEMES.items():
        torch.manual_seed(0)
        initialise(network, name)
        expected = 1 / 3 if kind == "pytorch" else factor**2 * a / (3 if kind == "uniform" else 1)
        assert conv.weight.var().item() * fan_in == pytest.approx(expected, rel=0.05), name
        assert conv.bias is not None
        assert bool(conv.bias.any()) == (kind == "pytorch")


def test_losses_take_turns_from_a_share_on() -> None:
    sr, hr = torch.full((1, 3, 2, 2), 0.5), torch.zeros(1, 3, 2, 2)
    recipe = Recipe(steps=4, alternate_from=0.5)
    values = [float(recipe.loss_at(step, (step - 0.5) / 4)(sr, hr)) for step in (1, 2, 3, 4)]
    assert values == [0.5, 0.5, 0.25, 0.5]
    assert float(Recipe(loss="charbonnier", charbonnier_epsilon=0.1).loss_function(sr, hr)) == pytest.approx(
        math.sqrt(0.26)
    )


def test_levels_join_and_are_faded_in() -> None:
    images = [torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 16, 16)]
    recipe = Recipe(levels="all", curriculum=(0.5,), fade=0.2)
    assert [each.shape[-1] for each in chosen_levels(images, 4, recipe, 0.4)] == [8]
    faded = chosen_levels(images, 4, recipe, 0.55)
    assert [each.shape[-1] for each in faded] == [8, 16]
    assert faded[1].mean().item() == pytest.approx(0.25)
    assert chosen_levels(images, 4, recipe, 0.8)[1].mean().item() == 1
    assert [each.shape[-1] for each in chosen_levels(images, 4, Recipe(levels=(2,)), 0.8)] == [8]
    assert [each.shape[-1] for each in chosen_levels(images, 4, Recipe(), 0.8)] == [16]


def test_photos_at_other_sizes_are_added() -> None:
    sizes = [each.hr.shape for each in at_sizes([pair(2)], (0.9, 0.5, 0.1), 2, 8)]
    assert sizes == [(48, 48, 3), (42, 42, 3), (24, 24, 3)]


@pytest.mark.parametrize("name", ["csrcnn", "prosrn", "s-lwsr", "pcarn"])
def test_the_papers_recipes_train_their_kind_of_network(tmp_path: Path, name: str) -> None:
    levels = {"csrcnn": "pyramid", "prosrn": "progressive"}.get(name, "direct")
    design = SMALL | {"scale": 4, "levels": levels, "colour": "luminance" if name == "prosrn" else "rgb"}
    values = read_recipe(name).with_steps(12).to_dict() | {"batch": 2, "patch": 8}
    result, _ = trained(tmp_path, Recipe.from_dict(values), design)
    assert math.isfinite(result.quality[4].psnr)
    assert result.steps == 12


def test_the_average_of_the_weights_is_validated_and_kept(tmp_path: Path) -> None:
    recipe = Recipe(steps=6, batch=2, patch=12, ema=0.9, schedule="constant")
    _, averaged = trained(tmp_path / "a", recipe)
    _, last = trained(tmp_path / "b", Recipe(steps=6, batch=2, patch=12, schedule="constant"))
    assert not equal(averaged, last)


# Fields of a recipe ---------------------------------------------------------------------------------------------------

PYRAMID = SMALL | {"scale": 4, "levels": "pyramid"}


def training(design: dict[str, Any] = SMALL, pairs: tuple[Pair, ...] | None = None, **fields: Any) -> Trainer:
    """A tiny training by plain gradient descent, where the effect of each other field can be computed by hand."""
    plain = {"steps": 100, "batch": 2, "patch": 8, "optimizer": "sgd", "momentum": 0.0, "schedule": "constant"}
    described = Architecture.from_dict(design)
    (scale,) = described.scales
    network = build(described, seed=0)
    return Trainer(network, {scale: pairs or sets(scale).train[scale]}, Recipe(**plain | fields), FP32, 0)


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in trainer._network.named_parameters()}


def moved(trainer: Trainer, step: int = 1) -> dict[str, Tensor]:
    """How a step changes each weight."""
    before = weights(trainer)
    trainer.step(step)
    return {key: value - before[key] for key, value in weights(trainer).items()}


def norm(change: dict[str, Tensor]) -> float:
    return float(torch.cat([each.flatten() for each in change.values()]).norm())


def first_conv_sees(trainer: Trainer) -> tuple[Tensor, Tensor]:
    """The input and the output of the first convolution in a step."""
    seen: list[tuple[Tensor, Tensor]] = []
    conv = next(each for each in trainer._network.modules() if isinstance(each, nn.Conv2d))
    conv.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    trainer.step(1)
    return seen[0]


def drawn(number: int = 40, **fields: Any) -> list[Tensor]:
    """HR patches as large as the photo, in which no two pixels are equal."""
    hr = np.arange(16 * 16 * 3, dtype=np.uint16).reshape(16, 16, 3).astype(np.uint8)
    sampler = training(pairs=(Pair("a", hr, downscale(hr, 2)),), **fields)._samplers[2]
    return [patch for _ in range(number) for patch in sampler.next()[1]]


def kinds(patches: list[Tensor]) -> set[bytes]:
    return {patch.contiguous().numpy().tobytes() for patch in patches}


def no_augmentation() -> None:
    (only,) = kinds(drawn(augmentation="none"))
    assert only in kinds(drawn(augmentation="dihedral"))


def flips_never_transpose() -> None:
    patches = drawn(augmentation="flip")
    original = patches[0]
    assert kinds(patches) == kinds([original, original.flip(-1)])
    assert len(kinds(drawn(augmentation="dihedral"))) == 8


def precision_of_the_recipe() -> None:
    for precision, expected in (("bf16", torch.bfloat16), ("fp32", torch.float32), ("auto", torch.float32)):
        trainer = training(precision=precision)
        assert first_conv_sees(trainer)[1].dtype == expected
        assert all(weight.dtype == torch.float32 for weight in weights(trainer).values())


def channels_stay_outside() -> None:
    for innermost in (True, False):
        seen, _ = first_conv_sees(training(channels_last=innermost))
        assert seen.is_contiguous(memory_format=torch.channels_last) == innermost
        assert seen.is_contiguous() != innermost


def warm_up_raises_the_rate() -> None:
    whole, small = moved(training()), moved(training(warm_up=10))
    for key, change in small.items():
        torch.testing.assert_close(change, 0.05 * whole[key], rtol=1e-2, atol=1e-7)  # half a step of ten


def the_average_is_that_of_all_steps() -> None:
    trainer = training(ema=0.3, learning_rate=0.1)
    average = weights(trainer)
    for step in range(1, 6):
        trainer.step(step)
        decay = min(0.3, (1 + step) / (10 + step))
        average = {key: decay * average[key] + (1 - decay) * value for key, value in weights(trainer).items()}
    last = weights(trainer)
    trainer.finish()
    for key, value in weights(trainer).items():
        torch.testing.assert_close(value, average[key])
    assert any(not torch.equal(value, last[key]) for key, value in average.items())


def gradients_are_clipped() -> None:
    assert norm(moved(training(learning_rate=0.5))) > 0.5 * 1e-3
    assert norm(moved(training(learning_rate=0.5, clip_gradients=1e-3))) == pytest.approx(0.5 * 1e-3, rel=1e-2)


def smaller_photos_are_drawn_too() -> None:
    hr = np.repeat(255 * (np.indices((48, 48)).sum(0) % 2).astype(np.uint8)[..., None], 3, axis=2)
    for sizes, greys in (((), False), ((0.5,), True)):
        sampler = training(pairs=(Pair("a", hr, downscale(hr, 2)),), hr_scales=sizes)._samplers[2]
        patches = torch.cat([sampler.next()[1] for _ in range(40)])
        assert bool(((patches > 0.2) & (patches < 0.8)).any()) == greys
        assert bool((patches == 1).any())


def levels_join_after_their_share() -> None:
    trainer = training(PYRAMID, levels="all", curriculum=(0.5,))
    still = {key for key, change in moved(trainer, 1).items() if not change.any()}
    assert still
    assert {key for key, change in moved(trainer, 50).items() if not change.any()} == still
    assert not {key for key, change in moved(trainer, 51).items() if not change.any()} & still
    sudden = training(PYRAMID, levels="all", curriculum=(0.5,), fade=0.0)
    faded = training(PYRAMID, levels="all", curriculum=(0.5,), fade=0.5)
    one, other = (norm({key: moved(each, 51)[key] for key in still}) for each in (sudden, faded))
    assert 0 < other < 0.05 * one


def compiled_networks_train_the_same() -> None:
    from torch._dynamo.utils import counters

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.compile", functools.partial(torch.compile, backend="eager"))  # needs no C++ compiler
        counters.clear()
        change = moved(training(compile=True))
    assert counters["frames"]["ok"] > 0
    for key, plain in moved(training()).items():
        torch.testing.assert_close(change[key], plain)


@pytest.mark.parametrize(
    "behaviour",
    [
        no_augmentation,
        flips_never_transpose,
        precision_of_the_recipe,
        channels_stay_outside,
        warm_up_raises_the_rate,
        the_average_is_that_of_all_steps,
        gradients_are_clipped,
        smaller_photos_are_drawn_too,
        levels_join_after_their_share,
        compiled_networks_train_the_same,
    ],
    ids=lambda behaviour: str(behaviour.__name__),
)
def test_fields_of_a_recipe(behaviour: Callable[[], None]) -> None:
    behaviour()


# Checkpoints ----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process."""


def kill_at(step: int) -> Callable[[Moment], None]:
    def on_step(moment: Moment) -> None:
        if moment.step == step:
            raise Killed

    return on_step


@pytest.mark.parametrize(
    "recipe",
    [SHORT, Recipe(steps=8, batch=4, patch=12, optimizer="sgd", ema=0.9, clip_gradients=0.1)],
    ids=["adam", "sgd"],
)
def test_a_training_continues_bit_for_bit(tmp_path: Path, recipe: Recipe) -> None:
    design = SMALL | {"scale": [2, 4]}
    whole, weights = trained(tmp_path / "whole", recipe, design)
    for step in (3, 6):
        with pytest.raises(Killed):
            trained(tmp_path / "parts", recipe, design, on_step=kill_at(step))
    result, again = trained(tmp_path / "parts", recipe, design)
    assert equal(weights, again)
    assert result.curve == whole.curve
    assert {scale: each.psnr for scale, each in result.quality.items()} == {
        scale: each.psnr for scale, each in whole.quality.items()
    }


def test_a_full_disk_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saved = Checkpoint.save

    def save(self: Checkpoint, path: Path) -> None:
        if self.step > 2:
            path.with_name(f"{path.name}.x.part").write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saved(self, path)

    monkeypatch.setattr(Checkpoint, "save", save)
    with pytest.raises(Killed):
        trained(tmp_path, on_step=kill_at(5))
    assert "No space left" in caplog.text
    assert "that of step 2 is kept" in caplog.text
    kept = Checkpoint.load(tmp_path / "c.checkpoint")
    assert kept is not None
    assert kept.step == 2
    monkeypatch.undo()
    assert trained(tmp_path)[0].steps == 8
    assert not list(tmp_path.glob("*.part"))


def test_a_checkpoint_of_another_training_says_what_differs(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trained(tmp_path, on_step=kill_at(5))
    wide = SMALL | {"channels": 16}
    with pytest.raises(InputError, match=r"another training: design.channels: 8 -> 16\. Give another --out"):
        trained(tmp_path, design=wide)
    (tmp_path / "c.checkpoint").write_bytes(b"damaged")
    with pytest.raises(InputError, match="is damaged"):
        trained(tmp_path)


class Faulty(Network):
    """A network that fails in training as told, from a step on or for batches that are too large."""

    def arm(self, nan_from: int = 10**9, most: int = 10**9) -> Faulty:
        self.nan_from, self.most, self.calls = nan_from, most, 0
        return self

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        self.calls += self.training
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        out = super().forward(x, scale)
        return out * math.nan if self.calls >= self.nan_from else out


def faulty(**how: int) -> nn.Module:
    network = build(Architecture.from_dict(SMALL), seed=0)
    network.__class__ = type("Faulty", (Faulty, type(network)), {})
    return network.arm(**how)  # type: ignore[operator, no-any-return]


def test_a_loss_that_is_nan_ends_with_step_and_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"the loss is nan at step 5 of 8; the last good checkpoint is .* of step 4"):
        trained(tmp_path, network=faulty(nan_from=5))
    kept = Checkpoint.load(tmp_path / "c.checkpoint")
    assert kept is not None
    assert all(bool(each.isfinite().all()) for each in kept.network.values())


def test_a_batch_too_large_for_the_gpu_goes_through_in_parts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, whole = trained(tmp_path / "a")
    _, parts = trained(tmp_path / "b", network=faulty(most=1))
    assert "in 2 parts" in caplog.text
    assert "in 4 parts" in caplog.text
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    with pytest.raises(WorkError, match="a single patch does not fit"):
        trained(tmp_path / "c", network=faulty(most=0))


# Several processes ----------------------------------------------------------------------------------------------------

SHARED = ("--steps", "30", "--seed", "3")


@pytest.mark.long(8)
def test_two_processes_train_like_one_with_the_whole_batch(tmp_path: Path, photos: Path, srsearch: Command) -> None:
    (tmp_path / "r.yaml").write_text("steps: 6\nbatch: 5\npatch: 12\nema: 0.9\nprecision: fp32\n")
    assert srsearch(*COMMAND, *SHARED, "--out", "one.safetensors").returncode == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "srsearch"]
    ended = subprocess.run(
        [*torchrun, *COMMAND, *SHARED, "--out", "two.safetensors", "--storage", "two.db"],
        cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("step 30 of 30") == 1  # one of them speaks
    one, two = (load_model(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    assert (one.facts["processes"], two.facts["processes"]) == (1, 2)
    first = build(one.design, seed=3).state_dict()  # type: ignore[arg-type]
    for key, weight in one.network.state_dict().items():
        torch.testing.assert_close(two.network.state_dict()[key], weight, rtol=1e-3, atol=1e-5)
    assert any((weight - first[key]).abs().max() > 1e-3 for key, weight in one.network.state_dict().items())
    with Store(tmp_path / "two.db", read_only=True) as store:  # and one of them writes
        assert [(each.state, len(each.curve)) for each in trainings(store)] == [("done", len(two.facts["curve"]))]


def test_a_killed_process_ends_the_others_with_a_sentence(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "r.yaml").write_text("steps: 1000000\nbatch: 2\npatch: 12\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    Store(tmp_path / "t.db").close()
    command = (*COMMAND, "--minutes", "1", "--out", "m.safetensors", "--storage", "t.db")
    first, second = (
        forked.command(tmp_path, *command, env=together | {"RANK": number, "LOCAL_RANK": number}) for number in "01"
    )
    try:
        deadline = time.monotonic() + 100
        while not (tmp_path / "m.checkpoint").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        second.kill()
        ended = forked.finished(first, 60)
    finally:
        first.kill()
        second.kill()
    assert ended.returncode == 1
    assert "srsearch: process 0 of 2 lost the others (" in ended.stderr
    assert "the same command goes on from the last checkpoint" in ended.stderr
    assert "Traceback" not in ended.stderr
    with Store(tmp_path / "t.db", read_only=True) as store:
        assert [each.state for each in trainings(store)] == ["interrupted"]


def test_the_processes_share_a_batch() -> None:
    slices = [Processes(number, 3) for number in range(3)]
    assert [each.first for each in slices] == [True, False, False]


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(4):
        Image.fromarray(pair(2, seed, 64).hr).save(folder / f"{seed}.png")
    (tmp_path / "design.yaml").write_text("scale: 2\nchannels: 8\nbody: {cascade: {groups: 1, blocks: 1}}\n")
    (tmp_path / "r.yaml").write_text("steps: 6\nbatch: 2\npatch: 12\n")
    return folder


COMMAND = ("train", "design.yaml", "--recipe", "r.yaml", "--data", "photos", "--device", "cpu", "--threads", "1")


def test_a_design_becomes_a_model_file(tmp_path: Path, photos: Path, srsearch: Command) -> None:
    (photos / "2.png").write_bytes((photos / "2.png").read_bytes()[:200])
    ended = srsearch(*COMMAND, "--out", "m.safetensors", "--log", "tensorboard")
    assert ended.returncode == 0, ended.stderr
    assert "skipped 1 of 4 images in photos: 2.png (damaged" in ended.stderr
    assert "step 6 of 6" in ended.stderr
    assert "left out 1 images that cannot be used: 2.png" in ended.stderr
    assert "srsearch evaluate m.safetensors" in ended.stdout
    model = load_model(tmp_path / "m.safetensors")
    assert model.facts["steps"] == 6
    assert model.facts["recipe"]["batch"] == 2
    assert model.facts["results"][0]["scale"] == 2
    assert model.facts["data"]["train"]["images"] == 2
    assert model.facts["data"]["skipped"] == ["2.png"]
    assert not list(tmp_path.glob("*.checkpoint"))
    check_events(tmp_path / "m.tensorboard", model.facts["curve"])
    assert "its training is finished" in srsearch(*COMMAND, "--out", "m.safetensors").stderr
    (tmp_path / "design.yaml").write_text("scale: 4\nchannels: 8\nbody: {cascade: {groups: 1, blocks: 1}}\n")
    ended = srsearch(*COMMAND, "--from", "m.safetensors", "--json")
    assert ended.returncode == 0, ended.stderr
    assert "took over " in ended.stderr
    assert "upsamplers.4" in ended.stderr
    assert json.loads(ended.stdout)["model"] == "design_x4.safetensors"


def check_events(folder: Path, curve: list[list[float]]) -> None:
    """The event files have the curve, a loss and a learning rate of each step, and an image at each validation."""
    from tensorboardX.proto.event_pb2 import Event

    (file,) = folder.iterdir()
    content, events = file.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    values = {(value.tag, event.step): value for event in events for value in event.summary.value}
    steps = {tag: [step for each, step in values if each == tag] for tag, _ in values}
    assert steps["loss"] == steps["learning_rate"] == [1, 2, 3, 4, 5, 6]
    assert values["learning_rate", 6].simple_value == pytest.approx(Recipe(steps=6).learning_rate_at(6))
    assert [[step, values["psnr", step].simple_value] for step in steps["psnr"]] == [
        [step, pytest.approx(psnr)] for step, psnr in curve
    ]
    assert len({values["psnr_bicubic", step].simple_value for step, _ in curve}) == 1
    encoded = values["sample_bicubic_network_original", 6].image.encoded_image_string
    bicubic, network, original = np.split(np.asarray(Image.open(io.BytesIO(encoded))), 3, axis=1)
    assert original.shape == (64, 64, 3)
    assert not np.array_equal(bicubic, network)
    assert np.abs(original.astype(int) - bicubic).mean() < 10


def test_event_files_need_a_package_and_say_which(
    tmp_path: Path, photos: Path, srsearch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    ended = srsearch(*COMMAND, "--log", "tensorboard")
    assert ended.returncode == 2
    assert "pip install 'srsearch[tensorboard]'" in ended.stderr


def test_a_cache_trains_like_its_folder_and_what_is_damaged_in_it_is_skipped(
    tmp_path: Path, photos: Path, srsearch: Command
) -> None:
    for seed in range(4, 9):
        Image.fromarray(pair(2, seed, 64).hr).save(photos / f"{seed}.png")
    more = (*COMMAND, "--steps", "30")
    assert srsearch(*more, "--out", "folder.safetensors").returncode == 0
    assert srsearch("data", "prepare", "photos", "--scale", "2", "--to", "cache").returncode == 0
    from_cache = tuple("cache" if each == "photos" else each for each in more)
    assert srsearch(*from_cache, "--out", "cache.safetensors").returncode == 0
    weights = {name: load_model(tmp_path / f"{name}.safetensors") for name in ("folder", "cache")}
    assert equal(weights["folder"].network, weights["cache"].network)
    assert weights["folder"].facts["curve"] == weights["cache"].facts["curve"]
    # A page of the cache goes bad. The image is among those to train on.
    with (tmp_path / "cache" / "hr.rgb").open("r+b") as file:
        held_out = shuffled(f"{seed}.png" for seed in range(9))[0]
        damaged = next(number for number in range(9) if f"{number}.png" != held_out)
        file.seek(damaged * 64 * 64 * 3 + 100)
        file.write(bytes(50))
    ended = srsearch(*from_cache, "--out", "a.safetensors")
    assert ended.returncode == 0, ended.stderr
    assert f"skipped {damaged}.png: its pixels in the cache are not what was written; that makes 1 of 8" in ended.stderr
    assert ended.stderr.splitlines()[-1] == f"left out 1 images that cannot be used: {damaged}.png"
    assert srsearch(*from_cache, "--out", "b.safetensors").returncode == 0
    one, other = (load_model(tmp_path / f"{name}.safetensors") for name in "ab")
    assert equal(one.network, other.network)
    assert not equal(one.network, weights["cache"].network)
    assert one.facts["data"]["skipped"] == [f"{damaged}.png"]


def test_a_killed_training_goes_on_bit_for_bit(tmp_path: Path, photos: Path, srsearch: Command) -> None:
    more = (*COMMAND, "--steps", "200", "--out")
    process = subprocess.Popen(
        [*PROGRAM, *more, "b.safetensors"], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "step 60 of 200" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    database = tmp_path / "studies" / "srsearch.db"
    with Store(database, read_only=True) as store:
        (recorded,) = trainings(store)
    assert (recorded.state, recorded.name) == ("interrupted", "design_x2")
    assert (tmp_path / "b.checkpoint").exists()
    assert not (tmp_path / "b.safetensors").exists()
    ended = srsearch(*more, "b.safetensors")
    assert ended.returncode == 0, ended.stderr
    assert srsearch(*more, "a.safetensors").returncode == 0
    one, other = (load_model(tmp_path / f"{name}.safetensors") for name in "ab")
    assert equal(one.network, other.network)
    with Store(database, read_only=True) as store:
        whole, resumed = trainings(store)
    for each, model in ((whole, one), (resumed, other)):
        assert (each.state, each.done, each.step) == ("done", 1.0, 200)
        assert [[point.step, point.psnr] for point in each.curve] == model.facts["curve"]
        assert all(point.loss is not None and point.seconds is not None for point in each.curve)
        assert Path(each.file).is_file()
        assert each.bicubic is not None


def test_minutes_end_a_training(tmp_path: Path, photos: Path, srsearch: Command) -> None:
    storage = ("--storage", str(photos / "0.png"))
    ended = srsearch(*COMMAND, "--minutes", "0.01", "--out", "m.safetensors", "--json", *storage)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["steps"] > 0
    assert "is not recorded in the database, and goes on without: " in ended.stderr
    assert "0.png is not a database" in ended.stderr
    both = srsearch(*COMMAND, "--minutes", "1", "--steps", "3")
    assert both.returncode == 2
    assert "exclude each other" in both.stderr


def test_a_published_network_of_several_scales_trains_all_heads(
    tmp_path: Path, photos: Path, srsearch: Command
) -> None:
    (tmp_path / "r.yaml").write_text("steps: 3\nbatch: 1\npatch: 8\n")
    command = ("train", "pcarn-m", *COMMAND[2:], "--out", "m.safetensors", "--json")
    ended = srsearch(*command)
    assert ended.returncode == 0, ended.stderr
    assert [row["scale"] for row in json.loads(ended.stdout)["results"]] == [2, 3, 4]
    first = build(load_model(tmp_path / "m.safetensors").design, seed=0).state_dict()  # type: ignore[arg-type]
    after = load_model(tmp_path / "m.safetensors").network.state_dict()
    for scale in "234":
        keys = [key for key in first if key.startswith(f"upsamplers.{scale}.") and key.endswith("weight")]
        assert keys
        assert any(not torch.equal(first[key], after[key]) for key in keys)


STUDY = (("studies",), ("best", "lightweight_x4"), ("front", "lightweight_x4"))


def test_the_best_design_of_a_study_is_trained(tmp_path: Path, photos: Path, srsearch: Command) -> None:
    database = tmp_path / "s.db"
    database.write_bytes((CHECKOUT / "studies" / "lightweight_x4_example.db").read_bytes())
    (tmp_path / "r.yaml").write_text("steps: 1\nbatch: 1\npatch: 8\n")
    before = [srsearch(*told, "--storage", str(database), "--json").stdout for told in STUDY]
    ended = srsearch("train", "--best", *COMMAND[2:], "--storage", str(database), "--json")
    assert ended.returncode == 0, ended.stderr
    assert [srsearch(*told, "--storage", str(database), "--json").stdout for told in STUDY] == before
    (model,) = tmp_path.glob("lightweight_x4*.safetensors")
    design = load_model(model).design
    shown = json.loads(srsearch("best", "lightweight_x4", "--storage", str(database), "--json").stdout)
    assert design is not None
    best = max(shown, key=lambda row: row["psnr"])
    assert design.key == best["key"]
    with Store(database, read_only=True) as store:
        (recorded,) = trainings(store, "lightweight_x4")
        assert trainings(store, "another") == []
    assert (recorded.study, recorded.trial, recorded.state) == ("lightweight_x4", best["trial"], "done")
    assert (recorded.key, recorded.seed) == (design.key, 0)
    assert recorded.recipe["name"] == "r.yaml"
    with Store(database) as store:
        store.delete_study("lightweight_x4")
        assert [(each.study, each.key) for each in trainings(store)] == [(None, design.key)]


def test_recipes_are_listed_and_printed(srsearch: Command) -> None:
    assert "pcarn-analysis" in srsearch("recipes").stdout
    assert "halved every 4x10^5 steps" in srsearch("recipes", "pcarn").stdout
    assert json.loads(srsearch("recipes", "pcarn", "--json").stdout)["halve_every"] == 400_000
    unknown = srsearch("recipes", "pcran")
    assert unknown.returncode == 2
    assert "did you mean 'pcarn'" in unknown.stderr


def test_an_image_held_out_at_one_scale_is_trained_on_at_none(tmp_path: Path) -> None:
    """At x4 the LR images of most photos are missing, so that a tenth of them is another one than at x2."""
    rng = np.random.default_rng(0)
    for number in range(12):
        hr = Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8))
        for scale in (1, 2, 4) if number % 3 == 0 else (1, 2):
            part = f"LR_bicubic/X{scale}" if scale > 1 else "HR"
            file = tmp_path / f"DIV2K_train_{part}" / f"{number:04}{f'x{scale}' if scale > 1 else ''}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            hr.resize((48 // scale, 48 // scale)).save(file)
    sets = read_sets(str(tmp_path), None, (2, 4), patch=8, warn=lambda message: None)
    held_out, trained_on = (
        {pair.name for pairs in side.values() for pair in pairs} for side in (sets.validation, sets.train)
    )
    assert held_out
    assert not held_out & trained_on
