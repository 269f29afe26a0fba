"""The published networks: their printed costs, the `catalogue` command, and verified counts."""

from __future__ import annotations

import csv
import dataclasses
import importlib.resources
import json
import os
import sys
from importlib.resources.abc import Traversable
from typing import Any

import pytest
from click.testing import CliRunner

from srsearch.architecture import Architecture, catalogue
from srsearch.cli import main
from srsearch.cost import (
    CSRCNN,
    EFFICIENCY,
    OURS,
    PCARN_NO_BIAS,
    S_LWSR,
    Convention,
    convention,
    convention_names,
    count,
)
from srsearch.cost import verify as verify_module
from srsearch.cost.reproduction import reproductions, unpriced
from srsearch.cost.verify import verify
from srsearch.errors import WorkError
from tests.conftest import CHECKOUT, Command

FIELDS = [
    "paper",
    "table",
    "model",
    "scale",
    "printed_params_k",
    "printed_mult_adds_g",
    "convention",
    "paper_params",
    "paper_mult_adds",
    "params",
    "mult_adds",
    "match",
    "note",
    "network",
    "quality",
    "quality_table",
]

NOT_REPRODUCED = {
    ("efficiency", "1", "bl", 2),
    ("efficiency", "4", "bl", 2),
    ("s-lwsr", "II", "CARN", 4),
    ("s-lwsr", "II", "CARN-M", 4),
}


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    """What `srsearch catalogue --json` prints."""
    ended = CliRunner().invoke(main, ["catalogue", "--json"])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert isinstance(found, list)
    return found


@pytest.fixture(params=["package", "reference"])
def published(request: pytest.FixtureRequest) -> Traversable:
    """The folder of the printed costs: the package's, and one next to the checkout on the project's own machines."""
    if request.param == "package":
        return importlib.resources.files("srsearch.literature") / "costs.csv"
    path = CHECKOUT.parent / "shared" / "reference" / "published_costs.csv"
    if not path.is_file():
        pytest.skip("the reference is not here")
    return path


def test_one_record_for_each_printed_row(records: list[dict[str, Any]], published: Traversable) -> None:
    rows = list(csv.DictReader(published.read_text(encoding="utf-8").splitlines()))
    assert len(records) == len(rows) == 207
    for record, row in zip(records, rows, strict=True):
        assert list(record) == FIELDS
        for name in ("paper", "table", "model"):
            assert record[name] == row[name]
        assert record["scale"] == (int(row["scale"]) if row["scale"] else None)
        assert record["printed_params_k"] == (float(row["params_k"]) if row["params_k"] else None)
        assert record["printed_mult_adds_g"] == (float(row["mult_adds_g"]) if row["mult_adds_g"] else None)
        assert row["note"] in record["note"]


def test_all_own_networks_are_reproduced_with_known_exceptions(records: list[dict[str, Any]]) -> None:
    own = [record for record in records if record["match"] is not None]
    assert len(own) == 100
    differing = {(r["paper"], r["table"], r["model"], r["scale"]) for r in own if not r["match"]}
    assert differing == NOT_REPRODUCED
    for record in own:
        assert record["network"] in catalogue.names()
        assert record["convention"] in convention_names()
        for name in ("paper_params", "paper_mult_adds", "params", "mult_adds"):
            assert isinstance(record[name], int)
        assert record["match"] or "231.2" in record["note"] or "not its Mult-Adds" in record["note"]
    for record in records:
        if record["match"] is None:
            for name in ("network", "convention", "paper_params", "paper_mult_adds", "params", "mult_adds"):
                assert record[name] is None


def test_every_network_of_the_papers_is_rebuilt(records: list[dict[str, Any]]) -> None:
    """Rows of a paper's own networks are not taken for other papers' networks."""
    others = (
        "SRCNN FSRCNN VDSR DRCN CNF LapSRN DRRN BTSRN MemNet MSLapSRN SelNet SRDenseNet SRResNet SRGAN ENet TSRN-S "
        "TSRN-G RRDB D-DBPN SRMDNF IDN EDSR"
    )
    assert {record["model"] for record in records if record["match"] is None} == set(others.split())


def test_a_match_means_equal_after_rounding_as_the_paper_does(records: list[dict[str, Any]]) -> None:
    for record in records:
        if record["match"] and record["printed_mult_adds_g"] is not None:
            assert abs(record["paper_mult_adds"] / 1e9 - record["printed_mult_adds_g"]) <= 0.5001
        if record["match"]:
            params = convention(record["convention"]).thousands(record["paper_params"])
            assert params == record["printed_params_k"]


def test_the_mult_adds_of_carn_in_the_s_lwsr_paper_are_parameters_times_pixels(records: list[dict[str, Any]]) -> None:
    """As the notes say: weights of the x4 network times LR pixels, and the exit's weights times HR pixels."""
    for name, printed in (("carn", 65.4), ("carn-m", 18.3)):
        weights = count(catalogue.get(name, 4), convention=PCARN_NO_BIAS).params
        odd = (weights - 1728) * 57_600 + 1728 * 921_600
        assert round(odd / 1e9, 1) == printed
        (record,) = (r for r in records if r["paper"] == "s-lwsr" and r["network"] == name)
        assert f"{odd / 1e9:.2f}" in record["note"]


def test_each_row_has_its_printed_quality(records: list[dict[str, Any]]) -> None:
    found = {(r["paper"], r["table"], r["model"], r["scale"]): r for r in records}
    carn = found["pcarn", "IV", "CARN", 4]
    assert carn["quality"]["Set5"] == {"psnr": 32.13, "ssim": 0.8937}
    assert list(carn["quality"]) == ["Set5", "Set14", "B100", "Urban100"]
    # Networks that are only compared with have it too; tables without quality have that of another one.
    assert found["efficiency", "3", "VDSR", 2]["quality"]["Set5"] == {"psnr": 37.53, "ssim": 0.9587}
    assert found["pcarn", "V", "CARN", 4]["quality"] == carn["quality"]
    assert found["pcarn", "V", "CARN", 4]["quality_table"] == "IV"
    assert found["csrcnn", "VI", "CSRCNN", 8]["quality_table"] == "V"
    # Table II has one set of FSRCNN, Table V all of them.
    fsrcnn = found["csrcnn", "VI", "FSRCNN", 2]
    assert (fsrcnn["quality_table"], len(fsrcnn["quality"])) == ("V", 5)
    # The paper prints no PSNR of these.
    without = {r["model"] for r in records if not r["quality"]}
    assert without == {"SRResNet", "SRGAN", "ENet", "TSRN-S", "TSRN-G", "PCARN", "PCARN-M", "DRCN", "RRDB"}
    assert all(r["quality_table"] is None for r in records if not r["quality"])


def test_networks_without_printed_costs_are_counted_too() -> None:
    every = {(name, scale) for name in catalogue.names() for scale in catalogue.published(name).scales}
    both: list[Any] = [*reproductions(), *unpriced()]
    assert {(each.network, each.ours.scale) for each in both if each.network} == every
    (prosrn,) = (each for each in unpriced() if (each.table, each.model, each.scale) == ("2", "ProSRN", 8))
    assert prosrn.ours is not None
    assert (prosrn.ours.params, prosrn.quality["Manga109"]) == (436_114, {"psnr": 23.54, "ssim": 0.7273})


@pytest.mark.parametrize(
    ("name", "scale", "way", "params"),
    [
        ("csrcnn-6-4-2", 2, CSRCNN, 2_038_147),
        ("csrcnn-6-4-2", 4, CSRCNN, 3_547_651),
        ("csrcnn-6-4-2", 8, CSRCNN, 4_585_347),
        ("s-lwsr-16-eleven", 4, S_LWSR, 145_035),
        ("s-lwsr-32-depth", 4, S_LWSR, 308_027),
        ("s-lwsr-32-compressed", 4, S_LWSR, 124_347),
        ("blm1-e[rb]", 2, EFFICIENCY, 363_843),
        ("blm1-e[rb]", 3, EFFICIENCY, 437_699),
        ("blm1-e[rb]", 4, EFFICIENCY, 511_555),
    ],
)
def test_parameters_of_networks_whose_figures_are_known_exactly(
    name: str, scale: int, way: Convention, params: int
) -> None:
    assert count(catalogue.get(name, scale), convention=way).params == params


@pytest.mark.parametrize(("scale", "mult_adds"), [(2, 100.7), (4, 125.9), (8, 132.2)])
def test_prosrn_has_its_known_cost(scale: int, mult_adds: float) -> None:
    cost = count(catalogue.get("prosrn", scale))
    assert (cost.params, round(cost.mult_adds / 1e9, 1)) == (436_114, mult_adds)


@pytest.mark.parametrize(
    ("suffix", "params", "mult_adds"),
    [
        ("2", 907, 52.65),
        ("2r", 661, 52.65),
        ("4", 547, 32.48),
        ("4r", 412, 32.48),
        ("8", 367, 22.39),
        ("8r", 288, 22.39),
        ("16", 278, 17.35),
        ("16r", 225, 17.35),
        ("32", 233, 14.83),
        ("32r", 194, 14.83),
        ("64", 210, 13.57),
        ("64r", 179, 13.57),
    ],
)
def test_the_grid_behind_fig_7_of_the_pcarn_paper(suffix: str, params: int, mult_adds: float) -> None:
    cost = count(catalogue.get(f"pcarn-g{suffix}"), scale=4, convention=PCARN_NO_BIAS)
    assert (PCARN_NO_BIAS.thousands(cost.params), round(cost.mult_adds / 1e9, 2)) == (params, mult_adds)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("bl", 36_864),
        ("blrn(r=2)", 13_312),
        ("blrn(r=4)", 4_352),
        ("blrxn(r=2, g=4)", 6_400),
        ("blm1", 4_672),
        ("bleff(r=2)", 4_288),
        ("bls1(r=2, g=4)", 1_312),
        ("blclc(g1=32, g2=2)", 3_200),
        ("bls2", 2_336),
        ("blm2(e=2)", 17_536),
        ("blm2(e=3)", 26_304),
    ],
)
def test_weights_of_the_units_of_the_efficiency_paper(name: str, weights: int) -> None:
    cost = count(catalogue.get(name, 2), convention=PCARN_NO_BIAS)
    (line,) = (line for line in cost.lines if line.kind == "unit")
    assert (line.instances, line.params) == (20, 20 * weights)


def test_recursion_under_its_own_name_is_pcarn_m() -> None:
    assert catalogue.get("pcarn-g4r").key == catalogue.get("pcarn-m").key


@pytest.mark.parametrize("columns", [160, 120, 100, 80])
def test_tables_fit_the_terminal(columns: int, srsearch: Command) -> None:
    env = os.environ | {"COLUMNS": str(columns), "FORCE_COLOR": "1", "TERM": "xterm"}
    text = srsearch("catalogue", env=env).stdout
    assert "96 of 100 rows of the five papers' networks as printed; 4 not: see the notes" in text
    assert "…" not in text
    for part in ("pcarn, Table IV", "prosrn, Table 6: no printed costs", "pcarn-g64r", "csrcnn-6-4-2"):
        assert part in text
    assert ("0.8937" in text) == (columns > 80)


def test_tables_are_complete_in_a_pipe(srsearch: Command) -> None:
    ended = srsearch("catalogue", "--paper", "Efficiency", "--convention", "ntire")
    assert "\x1b" not in ended.stdout
    lines = ended.stdout.splitlines()
    assert not any("pcarn" in line and "Table" in line and "rebuilt" not in line for line in lines)
    (line,) = (line for line in lines if line.startswith(" blm1-e[rg]        x4"))
    # Printed, rebuilt, ours as NTIRE counts, what it saves per 0.01 dB, our name, PSNR and SSIM.
    assert line.split()[:8] == ["blm1-e[rg]", "x4", "413K", "92.8G", "413K", "92.82G", "413,675", "105.60G"]
    assert line.split()[8:14] == ["yes", "0.53", "9.15", "blm1-e-rg", "32.02", "0.8921"]
    assert "48 of 50 rows" in ended.stdout
    assert "bl x2: prints 231.2 where its network has 231.3" in ended.stdout


def test_the_catalogue_lists_names_and_counts_under_another_convention(srsearch: Command) -> None:
    listed = json.loads(srsearch("catalogue", "--names", "--json").stdout)
    assert tuple(each["name"] for each in listed) == catalogue.names()
    text = srsearch("catalogue", "--names", "--paper", "prosrn").stdout
    assert "prosrn-plain" in text
    assert "pcarn" not in text
    (row,) = json.loads(srsearch("catalogue", "--paper", "csrcnn", "--convention", "ntire", "--json").stdout)[-1:]
    assert (row["other_convention"], row["other_params"]) == ("ntire", 4_568_963)
    assert row["other_mult_adds"] * 14_400 == row["mult_adds"] * 65_536
    assert json.loads(srsearch("catalogue", "--paper", "prosrn", "--json").stdout) == []


@pytest.mark.parametrize("name", convention_names())
def test_every_convention_counts_at_its_own_size(name: str) -> None:
    ended = CliRunner().invoke(main, ["count", "CARN-M", "--scale", "4", "--convention", name, "--json"])
    found = json.loads(ended.stdout)
    sizes = {"ntire": "1024x1024", "falsr": "1920x1920"}
    assert found["output"] == sizes.get(name, "1280x720")
    cost = count(catalogue.get("carn-m", 4), convention=convention(name))
    assert (found["params"], found["mult_adds"]) == (cost.params, cost.mult_adds)
    for figure in ("params", "mult_adds", "activations"):
        assert sum(part[figure] for part in found["parts"]) == found[figure]


def test_conventions_are_listed_and_another_size_can_be_asked_for(srsearch: Command) -> None:
    text = srsearch("count", "--conventions").stdout
    assert all(name in text for name in convention_names())
    assert "256x256 input" in text
    listed = json.loads(srsearch("count", "--conventions", "--json").stdout)
    assert [each["name"] for each in listed] == list(convention_names())
    table = srsearch("count", "carn", "--scale", "2", "--convention", "ntire", "--at", "640x360").stdout
    assert "x2, 640x360 output, convention 'ntire'" in table
    assert "55,705,190,400" in table
    table = srsearch("count", "bl", "--scale", "4", "--convention", "efficiency").stdout
    (line,) = (line for line in table.splitlines() if "network: mean shift" in line)
    assert line.split() == ["network:", "mean", "shift", "2", "2", "24", "8,812,800", "0", "0%"]


@pytest.mark.parametrize(
    ("printed", "scale", "name"),
    [
        ("blm1-e[rg]", "3", "blm1-e-rg"),
        ("CARN-M", "4", "carn-m"),
        ("U2TR2 U2TR2", None, "csrcnn-u2r2"),
        ("s-LWSR16(no-pool)", None, "s-lwsr-16-no-pool"),
        ("carn-local", None, "carn-local"),
    ],
)
def test_networks_are_found_by_their_printed_names(printed: str, scale: str | None, name: str) -> None:
    options = [] if scale is None else ["--scale", scale]
    ended = CliRunner().invoke(main, ["count", printed, *options])
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.startswith(f"{printed}: x{scale or 4}, 1280x720 output")
    found = json.loads(CliRunner().invoke(main, ["count", printed, *options, "--json"]).stdout)
    assert found["key"] == catalogue.get(name, int(scale or 4)).key


@pytest.mark.parametrize(
    ("arguments", "scales"),
    [
        (("csrcnn-u2r1", "--scale", "4"), [4]),  # a pyramid
        (("prosrn-d4", "--scale", "8", "--convention", "ntire"), [8]),  # progressive, luminance
        (("pcarn-m", "--scale", "4", "--multi-scale", "--at", "600x600"), [2, 3, 4]),
    ],
)
def test_a_count_is_verified_on_the_built_network(
    arguments: tuple[str, ...], scales: list[int], srsearch: Command
) -> None:
    ended = srsearch("count", *arguments, "--verify", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert [each["scale"] for each in found["verified"]] == scales
    for each in found["verified"]:
        assert each["agrees"]
        assert each["mult_adds"] == each["network_mult_adds"]
        assert each["params"] == each["network_params"] == found["params"]
        if each["scale"] == found["scale"]:
            assert each["mult_adds"] == found["mult_adds"]


@pytest.mark.parametrize(
    ("name", "scale"), [("bl-e", 3), ("bls2", 2), ("csrcnn-6-4-2", 8), ("s-lwsr-32-compressed", 4)]
)
def test_other_published_networks_are_verified(name: str, scale: int) -> None:
    found = verify(catalogue.get(name, scale))
    assert found.agrees, str(found)


def test_a_scale_where_the_lr_area_is_not_a_whole_number_is_verified() -> None:
    """Mult-Adds of the image are exact, including those of channel attention, which do not depend on its size."""
    design = Architecture.from_dict({"scale": 3, "channels": 8, "block": "rcab", "body": {"chain": {"blocks": 2}}})
    found = verify(design, convention=OURS.at((100, 100)))
    assert found.agrees, str(found)


@pytest.mark.parametrize("figure", ["params", "mult_adds"])
def test_a_wrong_count_is_found(figure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = count(catalogue.get("s-lwsr-16", 4))

    def wrong(*arguments: Any, **options: Any) -> Any:
        cost = count(*arguments, **options)
        return dataclasses.replace(cost, **{figure: getattr(cost, figure) + 1})

    monkeypatch.setattr(verify_module, "count", wrong)
    for as_json in ([], ["--json"]):
        ended = CliRunner().invoke(main, ["count", "s-lwsr-16", "--verify", *as_json])
        assert ended.exit_code == 1
        assert "not verified: at x4" in ended.stderr
        assert f"{getattr(right, figure):,}" in ended.stderr
        assert f"{getattr(right, figure) + 1:,}" in ended.stderr
        assert "verified:" not in ended.stdout
        if as_json:
            assert json.loads(ended.stdout)["verified"][0]["agrees"] is False


def test_without_fvcore_verification_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)
    with pytest.raises(WorkError, match="pip install fvcore"):
        verify(catalogue.get("s-lwsr-16", 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("catalogue", "--paper", "pcran"), "unknown paper 'pcran'; did you mean 'pcarn'?"),
        (("catalogue", "--convention", "ntir"), "unknown convention 'ntir'; did you mean 'ntire'?"),
        (("count",), "DESIGN"),
        (("count", "bl", "--scale", "2", "--multi-scale"), "leave out --multi-scale"),
        (("count", "blm1-e[rg]"), "say at which scale: srsearch count 'blm1-e[rg]' --scale 4"),
        (("count", "CARNM", "--scale", "4"), "no published network is named 'CARNM'"),
    ],
)
def test_wrong_input_is_refused(arguments: tuple[str, ...], message: str) -> None:
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 2
    assert message in ended.stderr
    assert ended.stdout == ""
