"""Differences between a run and a study in words, and results of another study."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydantic
import pytest

from srsearch.architecture.registry import PLACES, part_types
from srsearch.errors import InputError
from srsearch.search import SyntheticEvaluator, run
from srsearch.search.opening import find_or_create, study_identity
from srsearch.search.progress import SilentProgress
from srsearch.search.samplers.prior import observations_from
from srsearch.search.study_diff import differences, same_file
from srsearch.space import Space
from srsearch.space.schema import Constraints, Search, document_model
from srsearch.store import Store, StudyRecord, content_hash
from tests.conftest import SMALL_SPACE, Command

RECIPE = {"evaluator": "synthetic", "noise": 0.03}


def record_of(space: Space, evaluator: SyntheticEvaluator) -> StudyRecord:
    return StudyRecord(
        name=space.name,
        space=space.to_dict(),
        space_text=space.text,
        space_hash=study_identity(space, evaluator),
        scale=space.scale,
        objectives=space.objectives,
        sampler=space.search.sampler,
        seed=space.search.seed,
        recipe=evaluator.recipe | {"runtime": {}},
        data={},
        data_fingerprint="none",
        reference={},
        created_at=datetime.now(UTC),
    )


@pytest.fixture(scope="module")
def recorded() -> StudyRecord:
    return record_of(Space.from_dict(SMALL_SPACE), SyntheticEvaluator())


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
def test_differences_of_a_changed_space_file_show_both_values(
    recorded: StudyRecord, change: Callable[[Any], object], told: list[str]
) -> None:
    space = changed(change)
    found = differences(recorded, space, RECIPE, "none")
    assert len(found) == len(told), found
    assert all(text.startswith(expected) for text, expected in zip(found, told, strict=True)), found
    assert not same_file(recorded, space)


BARE = {"name": "bare", "scale": 4, "architecture": {"channels": 16}, "proxy": {"evaluator": "synthetic"}}

CANDIDATES = (
    1,
    2,
    3,
    4,
    6,
    8,
    0.5,
    True,
    False,
    "none",
    "all",
    "last",
    "both",
    "local",
    "group",
    "six",
    "between",
    "mean",
)


def other_values(annotation: Any, default: object) -> list[object]:
    """Values that an option takes besides its default."""
    takes = pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(strict=True)).validate_python
    values = []
    for value in CANDIDATES:
        with contextlib.suppress(pydantic.ValidationError):
            if takes(value) != default:
                values.append(value)
    return values


def possible(plain: Any, path: Sequence[str], values: Sequence[object]) -> Space:
    """The first space that can be built with one of the values at a path."""
    for value in values:
        changed = copy.deepcopy(plain)
        section = changed
        for step in path[:-1]:
            section = section.setdefault(step, {})
        section[path[-1]] = value
        with contextlib.suppress(InputError):
            return Space.from_dict(changed)
    raise AssertionError(f"no other value for {path} in {values}")


def options_of_the_schema() -> Iterator[tuple[Any, tuple[str, ...], list[object]]]:
    """Everything that a space file may say: a space file without it, where it stands, and other values for it."""
    architecture = document_model().model_fields["architecture"].annotation
    assert architecture is not None
    yield BARE, ("scale",), [2]
    yield BARE, ("objectives",), [["psnr", "params"]]
    for field in architecture.model_fields:
        if field not in PLACES:
            yield BARE, ("architecture", field), [24, False, "bicubic", "luminance", "rb"]
    for place, kind in PLACES.items():
        names = sorted(part_types(kind))
        yield (
            BARE,
            ("architecture", place),
            list(map(list, itertools.combinations(names, 2))) or [{"conv": {"convs": 2}}],
        )
    for kind in dict.fromkeys(PLACES.values()):
        for name, part in part_types(kind).items():
            for option in part.options.values():
                if name == "pyramid" and option.name.startswith("refine"):
                    plain = {"refinement": "refined"}
                else:
                    plain = {"block": "plain"}
                plain = BARE | {"architecture": {"channels": 64, **plain, kind: {name: {}}}}
                yield plain, ("architecture", kind, name, option.name), other_values(option.annotation, option.default)
    yield BARE, ("constraints", "convention"), ["s-lwsr"]
    yield BARE | {"scale": [2, 4]}, ("constraints", "scale"), [2]
    for cost in set(Constraints.model_fields) - {"convention", "scale"}:
        yield BARE, ("constraints", cost, "min"), [7]
        yield BARE, ("constraints", cost, "max"), [10**18]
    yield BARE, ("constraints", "mult_adds", "at"), ["640x480"]
    for name in Search.model_fields:
        yield BARE, ("search", name), ["gp", "catalogue", 17, True, "another", [600, 2400]]


def test_every_option_of_the_schema_that_makes_another_study_is_told_by_its_name() -> None:
    evaluator, recipe = SyntheticEvaluator(), SyntheticEvaluator().recipe
    spaces: dict[str, Space] = {}
    seen = set()
    for plain, path, values in options_of_the_schema():
        before = spaces.setdefault(str(plain), Space.from_dict(plain))
        after = possible(plain, path, values)
        record = record_of(before, evaluator)
        told = differences(record, after, recipe, "none")
        assert bool(told) == (record.space_hash != study_identity(after, evaluator)), (path, told)
        assert bool(told) == (path not in {("search", "trials"), ("search", "workers"), ("search", "lengths")})
        assert all(text.startswith(".".join(path)) for text in told if "scope" not in path), (path, told)
        seen.add(path[:2] if path[0] != "architecture" else path)
    assert {("search", name) for name in Search.model_fields} <= seen


def test_another_order_of_numbers_is_the_same_study_and_another_order_of_words_is_told(recorded: StudyRecord) -> None:
    evaluator = SyntheticEvaluator()
    numbers = changed(architecture(channels=[16, 8, 12], unit=["conv", {"grouped": {"groups": [4, 2]}}]))
    assert differences(recorded, numbers, RECIPE, "none") == []
    assert study_identity(numbers, evaluator) == study_identity(Space.from_dict(SMALL_SPACE), evaluator)
    words = changed(architecture(block=["efficient_residual", "residual"]))
    assert study_identity(words, evaluator) != study_identity(numbers, evaluator)
    assert differences(recorded, words, RECIPE, "none") == [
        "architecture.block: the order: [residual, efficient_residual] -> [efficient_residual, residual]"
    ]


def test_studies_made_before_numbers_were_sorted_go_on_in_any_order(tmp_path: Path) -> None:
    """The identity of a study recorded then holds the numbers as its file had them."""
    store, evaluator = Store(tmp_path / "s.db"), SyntheticEvaluator()
    as_written, sorted_later = (changed(architecture(channels=order)) for order in ([16, 8, 12], [8, 12, 16]))
    assert as_written.identity() == sorted_later.identity()
    content = [1, as_written.identity(numbers_as_written=True), as_written.objectives]
    content += [{"sampler": "frontier", "seed": 3}, evaluator.recipe, "none"]
    store.create_study(replace(record_of(as_written, evaluator), space_hash=content_hash(content)))
    for space in (as_written, sorted_later):
        record, resumed = find_or_create(store, space, evaluator, SilentProgress(), new=False, at_once=1)
        assert (record.name, resumed) == ("small", True)
    other = sorted_later.with_settings(search={"seed": 4})
    assert not find_or_create(store, other, evaluator, SilentProgress(), new=False, at_once=1)[1]


def test_a_study_belongs_to_its_space_whatever_number_new_appends_to_its_name(tmp_path: Path) -> None:
    store, evaluator = Store(tmp_path / "s.db"), SyntheticEvaluator()

    def opened(name: str, *channels: int, new: bool = False) -> str:
        space = Space.from_dict(BARE | {"name": name, "architecture": {"channels": list(channels)}})
        return find_or_create(store, space, evaluator, SilentProgress(), new=new, at_once=1)[0].name

    assert opened("exp-1", 8, 16) == "exp-1"
    assert opened("exp", 8, 32) == "exp"
    assert opened("exp", 8, 32, new=True) == "exp-2"
    assert opened("exp-2", 8, 16) == "exp-2-2"  # the name is taken, by a study of another space
    assert opened("exp-2", 8, 16) == "exp-2-2"
    assert opened("exp", 8, 32) == "exp-2"  # the newest
    with pytest.raises(
        InputError, match=r"changed since study 'exp-2' was made:\n  architecture.channels: 32 was removed"
    ):
        opened("exp", 8, 16)
    store.rename_study("exp-1", "first")
    assert opened("first", 8, 16) == "first"


def test_a_changed_space_is_compared_with_the_nearest_of_its_studies(tmp_path: Path) -> None:
    store, evaluator = Store(tmp_path / "s.db"), SyntheticEvaluator()
    told: list[str] = []

    class Listening(SilentProgress):
        def message(self, text: str) -> None:
            told.append(text)

    base = Space.from_dict(SMALL_SPACE)
    far = base.with_budget(max_mult_adds=10**9, max_params=10**5)
    for space in (base, far, base.with_settings(search={"early_stopping": True})):
        find_or_create(store, space, evaluator, Listening(), new=False, at_once=1)
    assert told[-1] == "another study than small: search.early_stopping: false -> true"
    find_or_create(store, far.with_settings(search={"seed": 9}), evaluator, Listening(), new=False, at_once=1)
    assert told[-1] == "another study than small-2: search.seed: 3 -> 9"
    assert not any("version" in text for text in told)


def test_what_keeps_the_study_the_same_is_not_a_difference(recorded: StudyRecord) -> None:
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


def test_differences_in_recipe_and_photos_follow_those_in_the_space(recorded: StudyRecord, small_space: Space) -> None:
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


def test_a_recorded_space_with_an_unknown_part_is_still_compared(recorded: StudyRecord, small_space: Space) -> None:
    plain = copy.deepcopy(dict(recorded.space))
    plain["architecture"]["unit"].append({"of_a_plugin": {}})
    record = replace(recorded, space=plain, space_text="unit: of_a_plugin")
    assert differences(record, small_space, RECIPE, "none") == ["architecture.unit: of_a_plugin was removed"]
    assert not same_file(record, small_space)


def test_results_of_another_study_are_found_for_designs_of_this_space(small_space: Space, tmp_path: Path) -> None:
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


def test_an_old_study_with_a_large_seed_is_read_but_not_continued(tmp_path: Path, srsearch: Command) -> None:
    space = Space.from_dict(SMALL_SPACE)
    (tmp_path / "small.yaml").write_text(space.text.replace('"seed": 3', '"seed": 5000000000'))
    with Store(tmp_path / "s.db") as store:
        run(space, store=store, trials=1)
        record = store.study("small")
        large = {**record.space, "search": {**record.space["search"], "seed": 5_000_000_000}}
        store.create_study(replace(record, name="old", space=large, seed=5_000_000_000))
        store.delete_study("small")
    ended = srsearch("run", "small.yaml", "--storage", "s.db")
    assert ended.returncode == 2
    assert "made with this seed can be read and exported, but not continued" in ended.stderr
    for command in (["trials", "old"], ["studies", "show", "old"], ["studies", "export-optuna", "old", "o.db"]):
        assert srsearch(*command, "--storage", "s.db").returncode == 0, command
