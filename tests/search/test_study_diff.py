"""What makes a run another study, in words; and what one study tells another."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from srsearch.errors import InputError
from srsearch.search import SyntheticEvaluator, run
from srsearch.search.samplers.prior import observations_from
from srsearch.search.study_diff import differences, same_file
from srsearch.space import Space
from srsearch.store import Store, StudyRecord
from tests.conftest import SMALL_SPACE

RECIPE = {"evaluator": "synthetic", "noise": 0.03}


@pytest.fixture(scope="module")
def recorded() -> StudyRecord:
    space = Space.from_dict(SMALL_SPACE)
    return StudyRecord(
        name=space.name,
        space=space.to_dict(),
        space_text=space.text,
        space_hash="",
        scale=space.scale,
        objectives=space.objectives,
        sampler=space.search.sampler,
        seed=space.search.seed,
        recipe=RECIPE | {"runtime": {}},
        data={},
        data_fingerprint="none",
        reference={},
        created_at=datetime.now(UTC),
    )


def changed(change: Callable[[Any], object]) -> Space:
    plain = copy.deepcopy(SMALL_SPACE)
    change(plain)
    return Space.from_dict(plain)


def architecture(**fields: object) -> Callable[[Any], object]:
    return lambda plain: plain["architecture"].update(fields)


def cascade(**options: object) -> Callable[[Any], object]:
    return lambda plain: plain["architecture"]["body"]["cascade"].update(options)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (architecture(channels=[8, 12, 16, 64]), ["architecture.channels: 64 was added"]),
        (
            architecture(channels=[8, 24, 16]),
            ["architecture.channels: 12 was removed", "architecture.channels: 24"],
        ),
        (architecture(unit=["conv"]), ["architecture.unit: grouped was removed"]),
        (
            architecture(unit=["conv", {"grouped": {"groups": [2, 8]}}]),
            ["architecture.unit.grouped.groups: 4 was removed", "architecture.unit.grouped.groups: 8 was added"],
        ),
        (cascade(groups=3), ["architecture.body.cascade.groups: 2 -> 3"]),
        (architecture(body="chain"), ["architecture.body: cascade -> chain"]),
        (architecture(global_skip=False), ["architecture.global_skip: true -> false"]),
        (lambda p: p.update(scale=2), ["scale: 4 -> 2"]),
        (lambda p: p["constraints"].update(mult_adds={"max": "2.5G"}), ["constraints.mult_adds.max: 3G -> 2.5G"]),
        (lambda p: p["constraints"].update(params={"max": 800_001}), ["constraints.params.max: none -> 800.001K"]),
        (
            lambda p: p["constraints"].update(mult_adds={"max": "3G", "at": "1920x1080"}),
            ["constraints.mult_adds.at: 1280x720 -> 1920x1080"],
        ),
        (lambda p: p["constraints"].update(convention="s-lwsr"), ["constraints.convention: ours -> s-lwsr"]),
        (lambda p: p.update(objectives=["psnr"]), ["objectives: [psnr, mult_adds] -> [psnr]"]),
        (lambda p: p["search"].update(seed=4, sampler="gp"), ["search.sampler: frontier -> gp", "search.seed: 3 -> 4"]),
        (lambda p: p["search"].update(inform="other"), ["search.inform: none -> other"]),
    ],
)
def test_what_a_changed_space_file_changes_is_said_with_both_values(
    recorded: StudyRecord, change: Callable[[Any], object], told: list[str]
) -> None:
    space = changed(change)
    found = differences(recorded, space, RECIPE, "none")
    assert len(found) == len(told), found
    assert all(text.startswith(expected) for text, expected in zip(found, told, strict=True)), found
    assert not same_file(recorded, space)


def test_what_makes_no_other_study_is_no_difference(recorded: StudyRecord) -> None:
    space = changed(lambda p: p["search"].update(trials=99, workers=2))
    assert differences(recorded, space, SyntheticEvaluator().recipe, "none") == []
    assert same_file(recorded, space)
    # A study of before there was a field, which is at its default now.
    plain = copy.deepcopy(dict(recorded.space))
    del plain["architecture"]["image_residual"], plain["search"]["start_with"]
    assert differences(replace(recorded, space=plain), space, RECIPE, "none") == []


def test_options_of_the_command_line_are_differences_under_the_same_file(
    recorded: StudyRecord, small_space: Space
) -> None:
    space = small_space.with_budget(max_mult_adds=2 * 10**9).with_settings(search={"sampler": "random"})
    assert differences(recorded, space, RECIPE, "none") == [
        "constraints.mult_adds.max: 3G -> 2G",
        "search.sampler: frontier -> random",
    ]
    assert same_file(recorded, space)


def test_recipe_and_photos_are_told_after_the_space(recorded: StudyRecord, small_space: Space) -> None:
    record = replace(
        recorded,
        recipe={"evaluator": "proxy", "training_version": 1, "steps": 600, "rungs": [0.25], "runtime": {"threads": 1}},
        data={"source": "builtin"},
        data_fingerprint="a",
    )
    recipe = {"evaluator": "proxy", "training_version": 2, "steps": 300, "rungs": [0.25, 0.5]}
    space = small_space.with_budget(max_params=10**6).with_settings(proxy={"data": "photos"})
    assert differences(record, space, recipe, "b") == [
        "constraints.params.max: none -> 1M",
        "the version of the training code: 1 -> 2",
        "the recipe's steps: 600 -> 300",
        "the recipe's rungs: [0.25] -> [0.25, 0.5]",
        "the training photos differ: builtin -> photos",
    ]
    same = space.with_settings(proxy={"data": "builtin"})
    assert differences(record, same, recipe, "b")[-1] == "the training photos in builtin have changed"


def test_a_recorded_space_that_cannot_be_read_now_is_compared_as_it_stands(
    recorded: StudyRecord, small_space: Space
) -> None:
    plain = copy.deepcopy(dict(recorded.space))
    plain["architecture"]["unit"].append({"of_a_plugin": {}})
    record = replace(recorded, space=plain, space_text="unit: of_a_plugin")
    assert differences(record, small_space, RECIPE, "none") == ["architecture.unit: of_a_plugin was removed"]
    assert not same_file(record, small_space)


def test_another_studys_results_are_found_in_this_space(small_space: Space, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    run(small_space, store=store, sampler="random", trials=16)
    evaluated = {t.key: t.psnr for t in store.trial_records("small") if t.state == "complete"}

    def told(space: Space) -> dict[str, float]:
        found = observations_from(store, "small", space)
        assert [psnr for _, psnr in found] == sorted((psnr for _, psnr in found), reverse=True)
        return {space.describe(axes).key: psnr for axes, psnr in found}

    assert told(small_space.with_budget(max_mult_adds=10**9)) == evaluated
    # Fewer channels, other axes, and the same networks written as chains where nothing is fused.
    other = changed(
        architecture(
            channels=[12, 16, 20],
            unit="conv",
            body=[{"cascade": {"groups": [2, 3], "blocks": [1, 2], "fusion": "both"}}, {"chain": {"blocks": [2, 4]}}],
        )
    )
    inside = {key for key in evaluated if key is not None and key in {p.design.key for p in other.points()}}
    found = told(other)
    assert found == {key: evaluated[key] for key in inside}
    assert {"chain", "cascade"} == {axes["body"] for axes, _ in observations_from(store, "small", other)}
    assert observations_from(store, "small", changed(lambda p: p.update(scale=2))) == []
    with pytest.raises(InputError, match="did you mean 'small'"):
        observations_from(store, "smal", small_space)
