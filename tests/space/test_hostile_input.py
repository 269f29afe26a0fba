"""Space files, design files and numbers with any content: they are read, or refused with an `InputError`."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import re
import threading
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from srsearch.architecture import Architecture
from srsearch.cli import main
from srsearch.dashboard.live.address import Address
from srsearch.errors import InputError
from srsearch.quantity import parse_natural, parse_output_size, parse_quantity
from srsearch.search import run
from srsearch.search.executors.lookup import check_backend
from srsearch.space import Space, find_space, read_design, shipped_spaces
from srsearch.space.source import Source
from tests.conftest import SMALL_SPACE, Command
from tests.support.commands import in_own_process

SCALARS = [
    *(
        "~",
        "-1",
        "0",
        "1e999",
        ".nan",
        "-.inf",
        "9" * 25,
        "9" * 400,
        "9" * 5000,
        "'4'",
        "true",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
    ),
    *(
        "!!int x",
        "!!float ''",
        "!!bool maybe",
        "!!null x",
        "!!binary x",
        "!!set {a}",
        "&a [*a]",
        "*x",
        "\u0663",
        "\u00b2",
    ),
    *('"\\ud800"', '"\\0"', '"\\e[31m"', "\x07", "\x85", "? [1]\n: 2", "1_000", "0x10", "[1, 1.0]", "[true, 1]"),
    *("half", "[2, half]", "0.5", "1.5", "{a: }", "all", "a: b: c", "%YAML 1.3", "--- a\n--- b", "|\n a", "\ud800"),
]
"""Values that mean something else than they look like, or nothing."""

SPACES = [find_space(name).read_text(encoding="utf-8") for name in shipped_spaces()]

slow = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck), derandomize=True)


def read_or_refuse(text: str) -> None:
    with contextlib.suppress(InputError):
        space = Space(Source(text, "space.yaml"))
        assert Space.from_dict(space.to_dict()).identity() == space.identity()


@pytest.mark.long(6)
@slow
@given(st.sampled_from(SPACES), st.lists(st.tuples(st.floats(0, 1), st.sampled_from(SCALARS)), min_size=1, max_size=3))
def test_shipped_spaces_with_other_values(text: str, changes: list[tuple[float, str]]) -> None:
    for at, scalar in changes:
        values = list(re.finditer(r"(?<=[ \[])[\w.]+|\[[^\]]*\]|\{[^}]*\}", text))
        value = values[int(at * (len(values) - 1))]
        text = text[: value.start()] + scalar + text[value.end() :]
    read_or_refuse(text)


_KEYS = st.sampled_from(
    ["name", "scale", "architecture", "channels", "unit", "body", "constraints", "max", "search", "x", "\0"]
)
_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["conv", "chain"])
)
_TREES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4))


@slow
@given(
    _TREES,
    st.sampled_from(["channels", "unit", "body", "levels", "constraints", "objectives", "proxy", "search", "name"]),
)
def test_any_tree_in_place_of_a_section_is_read_or_refused(tree: Any, section: str) -> None:
    plain = copy.deepcopy(SMALL_SPACE)
    (plain["architecture"] if section in ("channels", "unit", "body", "levels") else plain)[section] = tree
    with contextlib.suppress(InputError):
        Space.from_dict(plain)
    with contextlib.suppress(InputError):
        Space.from_dict({section: tree})
    with contextlib.suppress(InputError):
        Architecture.from_dict({"scale": 4, section: tree})


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=40))
@example("name: \ufeffa".encode())
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    folder = Path(os.environ["XDG_CACHE_HOME"])
    folder.mkdir(exist_ok=True)
    path = folder / "bytes.yaml"
    path.write_bytes(content)
    for read in (Space.from_yaml, read_design):
        with contextlib.suppress(InputError):
            read(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: demo", "name: de\x07mo", ":1: the character '\\x07' is not allowed in YAML"),
        ("seed: 1", "seed: 5000000000", ":4: search.seed: 5000000000 should be less than or equal to 2147483647"),
        ("seed: 1", "seed: 99999999999999999999", ":4: search.seed: 99999999999999999999 should be less than"),
        ("seed: 1", "workers: 257", ":4: search.workers: 257 should be less than or equal to 256"),
        ("seed: 1", "trials: 99999999999999999999", ":4: search.trials: "),
        ("seed: 1", "seed: !!int x", ":4: 'x' is not of the type int that its tag says"),
        ("seed: 1", "seed: \u0663", ":4: search.seed: '\u0663' should be a valid integer"),
        ("scale: 4", "scale: '4'", ":2: scale: '4' is not one of 2, 3, 4, 8, 16; write 4 without quotes"),
        ("[8, 16]", "['8']", ":3: architecture.channels: '8' should be a valid integer; write 8 without quotes"),
        ("[8, 16]", "99999999999999999999", ":3: architecture.channels: 99999999999999999999 should be less than"),
        (
            "[8, 16]",
            "[8, 16], global_skip: 'true'",
            ":3: architecture.global_skip: 'true' should be a valid boolean; write true",
        ),
        ("name: demo", "name: 2024", ":1: name: 2024 should be a valid string; write it in quotes"),
        ("name: demo", 'name: "a\\0b"', ":1: 'a\\x00b' contains NUL or half a character"),
    ],
)
def test_mistakes_are_reported_with_their_line(old: str, new: str, message: str) -> None:
    text = "name: demo\nscale: 4\narchitecture: {channels: [8, 16]}\nsearch: {seed: 1}\n"
    assert old in text
    with pytest.raises(InputError) as error:
        Space(Source(text.replace(old, new), "demo.yaml"))
    assert f"demo.yaml{message}" in str(error.value)


@pytest.mark.parametrize("text", ["\u0663", "\u00b2", "\uff14\uff10G", "9" * 400, "9" * 5000 + "K", "nan", "1e99"])
def test_numbers_in_other_scripts_or_out_of_range_are_refused(text: str) -> None:
    for parse in (parse_quantity, parse_output_size, lambda text: parse_output_size(f"{text}x{text}")):
        with pytest.raises(InputError) as error:
            parse(text)
        assert len(str(error.value)) < 200
    assert parse_natural(text) is None
    assert Address.of(f"?trial={text}").trial is None


def test_links_with_hundreds_of_fields_are_read() -> None:
    address = Address.of("?study=a&" + "&".join(f"only=x%3D{i}" for i in range(1000)))
    assert address.study == "a"


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ("scale: 4\nbody: {cascade: {groups: 60000, blocks: 60000}}", "more than 20,000 parts"),
        ("scale: 4\nbody: {cascade: {groups: 99999999999999999999}}", "less than or equal to 65536"),
        ("scale: 4\nchannels: \u0663", "channels: '\u0663' is not an integer from 1 to 65536"),
        ("scale: 4\nchannels: 1e999", "channels: inf is not an integer"),
        ("scale: 4\nchan\x07nels: 8", ":2: the character '\\x07' is not allowed in YAML"),
        ("scale: .nan", "each scale must be one of 2, 3, 4, 8, 16"),
    ],
)
def test_designs_out_of_range_are_refused(design: str, message: str, srsearch: Command, tmp_path: Path) -> None:
    (tmp_path / "design.yaml").write_text(design)
    answer = srsearch("count", "design.yaml")
    assert answer.returncode == 2
    assert message in answer.stderr


@pytest.mark.parametrize("design", ["x:\u00b2", "x:\u0663", "carn:" + "9" * 400, "9" * 400])
def test_names_that_are_not_designs_are_refused(design: str, srsearch: Command) -> None:
    assert srsearch("count", design).returncode == 2


def _numeric_options() -> list[tuple[str, str]]:
    """Every option of every command that takes a number."""
    commands: dict[str, click.Command] = dict(main.commands)
    return [
        (name, parameter.opts[0])
        for name, command in commands.items()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and parameter.type.name not in ("text", "path", "choice", "boolean", "file")
    ]


@pytest.mark.parametrize(("command", "option"), _numeric_options())
def test_no_option_takes_a_number_out_of_range(
    command: str, option: str, small_space: Space, srsearch: Command, tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(small_space.text)
    subject = {"run": ["small.yaml"], "space": ["small.yaml"], "count": ["carn"]}.get(command, [])
    for value in ("nan", "-1", "\u00b2", "9" * 400, "1e400"):
        answer = srsearch(command, *subject, option, value)
        assert answer.returncode == 2, (value, answer.stdout)
    assert not (tmp_path / "studies").exists()


def test_options_of_ray_without_ray_are_refused(small_space: Space, srsearch: Command, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(small_space.text)
    for option, value in (("--address", "127.0.0.1:1"), ("--cpus-per-trial", "2"), ("--gpus-per-trial", "0")):
        for more in ((), ("--plan",)):
            answer = srsearch("run", "small.yaml", option, value, *more)
            assert answer.returncode == 2
            assert f"{option} belongs to --backend ray" in answer.stderr
    for value in ("0", "nan", "inf", "1.5", "1e300", "0.00000001"):
        assert srsearch("run", "small.yaml", "--backend", "ray", "--cpus-per-trial", value).returncode == 2
    for wrong in ({"backend": "rya"}, {"address": "auto"}, {"gpus_per_trial": 1}, {"minutes": float("nan")}):
        with pytest.raises(InputError):
            run(small_space, store=str(tmp_path / "studies"), **wrong)  # type: ignore[arg-type]
    for cpus in (0, float("nan"), 10**400, "2", True):
        with pytest.raises(InputError, match="--cpus-per-trial"):
            check_backend("ray", None, cpus, None)  # type: ignore[arg-type]
    assert not (tmp_path / "studies").exists()


def test_a_space_can_be_pickled(small_space: Space) -> None:
    for space in (small_space, small_space.with_budget(max_params=10**5).with_settings(search={"seed": 7})):
        copied = pickle.loads(pickle.dumps(space))
        assert copied.to_dict() == space.to_dict()
        assert copied.identity() == space.identity()
        assert (copied.text, copied.source, copied.budget) == (space.text, space.source, space.budget)
        assert [each.design.key for each in copied.feasible or ()] == [each.design.key for each in space.feasible or ()]


def test_a_space_comes_from_a_pipe_too(small_space: Space, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(small_space.text,))
    writer.start()
    assert Space.from_yaml(pipe).to_dict() == small_space.to_dict()
    writer.join()
    for name in ("-", "/dev/stdin"):
        answer = in_own_process(tmp_path, "space", name, "--json", input=small_space.text)
        assert answer.returncode == 0, answer.stderr
    with pytest.raises(InputError, match="longer than 1,000,000 characters"):
        Space.from_yaml("/dev/zero")
    with pytest.raises(InputError, match="no such file"):
        Space.from_yaml("a\0b")
