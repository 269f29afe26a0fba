"""Commands as a user types them: results, files, messages, exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
import torch
import yaml

import srsearch as sr
from srsearch.analysis import retraining_noise, standard_errors, tied_with_best
from srsearch.cli.tables import print_best
from srsearch.search import run
from srsearch.space import Space, read_design
from srsearch.store import Store
from tests.conftest import CHECKOUT, SMALL_SPACE, Command


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studied")
    space = Space.from_dict(SMALL_SPACE)
    (folder / "small.yaml").write_text(space.text)
    with Store(folder / "studies" / "srsearch.db") as store:
        run(space, store=store)
    return folder


@pytest.fixture
def studied(made_once: Path, tmp_path: Path) -> Path:
    """A folder with a study of ten designs in its default database."""
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_from_a_study_to_a_network(studied: Path, srsearch: Command) -> None:
    front = json.loads(srsearch("front", "--json").stdout)
    assert [row["mult_adds"] for row in front] == sorted(row["mult_adds"] for row in front)
    assert [row["psnr"] for row in front] == sorted(row["psnr"] for row in front)
    limit = front[1]["mult_adds"]
    ended = srsearch("best", "small", "--max-mult-adds", str(limit), "--save", "best.yaml", "--json")
    best = json.loads(ended.stdout)[0]
    assert best["key"] == front[1]["key"]
    # The file, the printed Python, and STUDY:TRIAL all mean the same design.
    design = read_design(studied / "best.yaml")
    assert design.key == best["key"]
    printed = srsearch("best", "--max-mult-adds", str(limit)).stdout
    lines = printed[printed.index("import srsearch") :]
    names: dict[str, object] = {}
    exec(lines, names)
    network = names["network"]
    assert isinstance(network, torch.nn.Module)
    assert sum(p.numel() for p in network.parameters()) == best["params"]
    other = json.loads(srsearch("best", "--trial", str(front[0]["trial"]), "--json").stdout)
    assert [row["key"] for row in other] == [front[0]["key"]]
    for name in ("best.yaml", f"small:{best['trial']}"):
        counted = json.loads(srsearch("count", name, "--json").stdout)
        assert (counted["key"], counted["mult_adds"]) == (best["key"], best["mult_adds"])


def test_best_lists_tied_designs_cheapest_first(studied: Path, srsearch: Command) -> None:
    best, *ties = json.loads(srsearch("best", "--json").stdout)
    assert (best["tied"], best["noise_source"]) == (False, "model")
    assert [row["mult_adds"] for row in ties] == sorted(row["mult_adds"] for row in ties)
    reach = 1.645 * best["noise"] * 2**0.5
    done = [row for row in json.loads(srsearch("trials", "--json").stdout) if row["state"] == "complete"]
    near = {row["trial"] for row in done if row["psnr"] >= best["psnr"] - reach}
    assert {row["trial"] for row in ties if row["tied"]} == near - {best["trial"]} != set()
    printed = srsearch("best").stdout
    spread = f"standard deviation at most about {best['noise']:.3f} dB, as the model estimates it"
    others = f"{len(ties)} other design{'s' if len(ties) > 1 else ''}"
    assert f"Tied with {others} within the noise ({spread}); the " in printed
    cheapest = min([best, *ties], key=lambda row: (row["mult_adds"], row["params"]))
    assert (f"srsearch best small --trial {cheapest['trial']}\n" in printed) == (cheapest is not best)
    marked = [line.split()[0] for line in printed.splitlines() if "  best  " in line]
    assert marked == [str(best["trial"])]
    (alone,) = json.loads(srsearch("best", "--trial", str(ties[0]["trial"]), "--json").stdout)
    assert not alone["tied"]
    assert "Tied" not in srsearch("best", "--trial", str(ties[0]["trial"])).stdout


def test_front_has_error_bars(studied: Path, srsearch: Command) -> None:
    front = json.loads(srsearch("front", "--json").stdout)
    (error,) = {row["psnr_error"] for row in front}
    assert 0 < error < 0.3
    printed = srsearch("front").stdout.splitlines()
    noise = f"standard deviation at most about {error:.3f} dB, as the model estimates it"
    about = f"one standard error of the PSNR: the noise of one training ({noise})"
    assert printed[0] == f"\N{PLUS-MINUS SIGN}: {about}"
    assert printed[2].split()[:4] == ["Trial", "PSNR", "\N{PLUS-MINUS SIGN}", "Mult-Adds"]
    assert all(line.split()[2] == f"{error:.3f}" for line in printed[4:])


def test_best_says_where_the_design_is_written_in_a_simpler_form_than_the_trial(srsearch: Command) -> None:
    study = ("best", "--storage", str(CHECKOUT / "studies" / "lightweight_x4_example.db"), "--trial")
    assert "simplest form" in srsearch(*study, "28").stdout  # its groups have one block, so sharing changes nothing
    assert "simplest form" not in srsearch(*study, "21").stdout


def test_columns_limits_the_width_of_tables_in_a_pipe(srsearch: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def widest() -> int:
        return max(len(line) for line in srsearch("count", "pcarn-m", "--scale", "4").stdout.splitlines())

    monkeypatch.delenv("COLUMNS", raising=False)
    assert widest() > 100
    monkeypatch.setenv("COLUMNS", "90")
    assert widest() <= 90


def test_means_of_several_seeds_are_labelled(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = range(12)
    frame = pd.DataFrame(
        {
            "trial": numbers,
            "psnr": [27 + 0.1 * number for number in numbers],
            "seeds": [1] * 7 + [3] * 5,
            "psnr_sd": [None] * 7 + [0.06] * 5,
            "mult_adds": [10**9 * (1 + number) for number in numbers],
            "params": [10**4 * (1 + number) for number in numbers],
        }
    ).convert_dtypes()
    noise = retraining_noise(frame)
    found = tied_with_best(frame, noise).assign(psnr_error=lambda rows: standard_errors(rows, noise))
    print_best(found, noise, "my study", "other.db")
    printed = capsys.readouterr().out
    described = "(standard deviation 0.060 dB, from 15 replicates) divided by the square root of the number of seeds"
    assert described in printed
    assert "11  28.100  0.035      3        12G" in printed
    assert "Its PSNR is the mean of 3 seeds." in printed
    assert "Tied" not in printed  # 28.0 is 0.1 dB below, and 1.645 * 0.06 * sqrt(2 / 3) is 0.081 dB
    frame.loc[10, "psnr"] = 28.05
    print_best(tied_with_best(frame, noise).assign(psnr_error=0.035), noise, "my study", "other.db")
    printed = capsys.readouterr().out
    spread = "standard deviation 0.060 dB, from 15 replicates"
    assert f"Tied with 1 other design within the noise ({spread}); the cheapest is trial 10 with 11G" in printed
    assert "srsearch best 'my study' --storage other.db --trial 10" in printed


def test_trials_that_have_not_finished_show_how_far_they_are(studied: Path, srsearch: Command) -> None:
    with Store(studied / "studies" / "srsearch.db") as store:
        last = store.trial_records("small")[-1]
        more = replace(last, number=last.number + 1, state="running", reason=None, psnr=None, curve=())
        store.add_trials("small", [replace(more, cached=False, seconds=None, finished_at=None)])
        store.keep_curve("small", more.number, [(25, 26.1234)])
    line = srsearch("trials").stdout.rstrip().splitlines()[-1]
    assert line.split()[:5] == [str(more.number), "running", "26.123", "at", "25"]


def test_trials_and_studies_are_listed(studied: Path, srsearch: Command) -> None:
    trials = json.loads(srsearch("trials", "--json").stdout)
    assert [trial["trial"] for trial in trials] == list(range(len(trials)))
    assert sum(trial["state"] == "complete" for trial in trials) == 10
    assert {"key", "state", "reason", "psnr", "mult_adds", "params", "channels"} <= set(trials[0])
    lines = srsearch("trials", "small", "--csv").stdout.splitlines()
    assert len(lines) == len(trials) + 1
    assert lines[0].startswith("trial,key,state,reason,psnr")
    assert "channels" in srsearch("trials").stdout
    (study,) = json.loads(srsearch("studies", "--json").stdout)
    assert (study["name"], study["complete"]) == ("small", 10)
    shown = json.loads(srsearch("studies", "show", "small", "--json").stdout)
    assert shown["seed"] == 3
    assert yaml.safe_load(srsearch("studies", "show", "small").stdout)["sampler"] == "frontier"


def test_studies_are_renamed_and_deleted(studied: Path, srsearch: Command) -> None:
    assert srsearch("studies", "rename", "small", "mine").returncode == 0
    assert srsearch("studies", "delete", "mine", input="n\n").returncode == 1
    assert json.loads(srsearch("front", "mine", "--json").stdout)
    assert srsearch("studies", "delete", "mine", "--yes").returncode == 0
    assert json.loads(srsearch("studies", "--json").stdout) == []
    ended = srsearch("front")
    assert ended.returncode == 2
    assert "there is no study" in ended.stderr


def test_report_is_one_file(studied: Path, srsearch: Command) -> None:
    assert json.loads(srsearch("report", "--json").stdout) == {"page": "dashboards/small.html"}
    page = (studied / "dashboards" / "small.html").read_text()
    assert "small" in page
    assert 'src="http' not in page
    assert srsearch("report", "small", "-o", "here.html").stdout == "page: here.html\n"
    assert (studied / "here.html").exists()


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", ["trust", "advise"])
def test_no_cell_of_a_wide_table_is_cut(command: str, columns: int, srsearch: Command) -> None:
    database = str(CHECKOUT / "studies" / "lightweight_x4_example.db")
    shown = srsearch(command, "--storage", database, env={"COLUMNS": str(columns)}).stdout
    table = [line for line in shown.splitlines() if "\N{BOX DRAWINGS LIGHT HORIZONTAL}" in line]
    assert table
    assert max(map(len, table)) <= columns
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown


def test_no_page_is_written_over_another_studys(studied: Path, srsearch: Command) -> None:
    assert srsearch("report").stdout == "page: dashboards/small.html\n"
    first = (studied / "dashboards" / "small.html").read_bytes()
    assert srsearch("report").stdout == "page: dashboards/small.html\n"  # its own is replaced
    ended = srsearch("run", "small.yaml", "--storage", "other.db", "--trials", "2", "--quiet")
    assert ended.returncode == 0
    assert "dashboards/small.html is the page of another study and is left alone" in ended.stderr
    assert "dashboards/small-2.html" in ended.stdout
    assert (studied / "dashboards" / "small.html").read_bytes() == first
    assert srsearch("report", "--storage", "other.db").stdout == "page: dashboards/small-2.html\n"
    (studied / "dashboards" / "small.html").write_text("notes of mine")
    assert srsearch("report").stdout == "page: dashboards/small-3.html\n"
    assert (studied / "dashboards" / "small.html").read_text() == "notes of mine"


def test_optuna_reads_what_is_exported(studied: Path, srsearch: Command) -> None:
    url = f"sqlite:///{studied}/optuna.db"
    assert srsearch("studies", "export-optuna", "small", url).returncode == 0
    study = optuna.load_study(study_name="small", storage=url)
    front = json.loads(srsearch("front", "--json").stdout)
    assert sorted(trial.values[0] for trial in study.best_trials) == pytest.approx(sorted(row["psnr"] for row in front))
    ended = srsearch("studies", "export-optuna", "small", url)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_costs_of_a_trial_are_those_of_its_study(tmp_path: Path, srsearch: Command) -> None:
    large = SMALL_SPACE | {"constraints": {"mult_adds": {"max": "12G", "at": "2560x1440"}}}
    with Store(tmp_path / "studies" / "srsearch.db") as store:
        run(Space.from_dict(large), store=store, trials=2, evaluator="synthetic")
    for row in json.loads(srsearch("trials", "--json").stdout):
        counted = json.loads(srsearch("count", f"small:{row['trial']}", "--json").stdout)
        assert (counted["output"], counted["mult_adds"]) == ("2560x1440", row["mult_adds"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("front", "--json"), 0), (("best",), 0), (("front", "other"), 2)],
)
def test_the_program_behaves_like_the_command_within_a_process(
    studied: Path, srsearch: Command, srsearch_process: Command, arguments: tuple[str, ...], code: int
) -> None:
    """Most tests call the command within their process: the program must give the same codes and messages."""
    called, started = (run(*arguments) for run in (srsearch, srsearch_process))
    assert started.returncode == called.returncode == code
    assert (started.stdout, started.stderr) == (called.stdout, called.stderr)


def test_a_closed_pipe_is_not_an_error(studied: Path) -> None:
    command = (
        f"{sys.executable} -c \"from srsearch.cli import main; main(['trials'])\" | head -1; echo ${{PIPESTATUS[0]}}"
    )
    ended = subprocess.run(["bash", "-c", command], cwd=studied, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    assert ended.stdout.splitlines()[-1] == "0"


def test_published_networks_are_counted(srsearch: Command) -> None:
    ended = srsearch("count", "pcarn-m", "--scale", "4", "--multi-scale", "--convention", "pcarn-no-bias", "--json")
    counted = json.loads(ended.stdout)
    assert (counted["params"], counted["mult_adds"]) == (412_032, 32_480_870_400)
    assert sum(part["mult_adds"] for part in counted["parts"]) == counted["mult_adds"]
    table = srsearch("count", "carn", "--scale", "3").stdout
    assert "118,790,553,600" in table
    assert "1.149M parameters" in table
    larger = json.loads(srsearch("count", "carn", "--scale", "2", "--at", "1920x1080", "--json").stdout)
    assert larger["mult_adds"] * 4 == sr.count(sr.catalogue.get("carn", 2)).mult_adds * 9


def test_a_space_is_described_before_any_training(srsearch: Command) -> None:
    assert "lightweight_x4" in srsearch("space").stdout.split()
    assert "phone" in json.loads(srsearch("space", "--json").stdout)["mobile_x4"]
    parts = json.loads(srsearch("space", "--parts", "--json").stdout)
    assert {"name": "plain", "options": {}, "slots": ["unit", "activation"]}.items() <= parts["block"][0].items()
    assert "reduction: 16" in srsearch("space", "--parts").stdout
    told = json.loads(srsearch("space", "lightweight_x4", "--max-mult-adds", "10G", "--json").stdout)
    assert told["budget"] == {"mult_adds": 10**10, "params": 800_000}
    assert told["exact"]
    assert told["ranges"]["mult_adds"][1] <= 10**10
    assert 0 < told["feasible_designs"] < told["designs"] < told["combinations"]
    text = srsearch("space", "lightweight_x4").stdout
    assert "unit = grouped" in text
    assert "within budget:" in text
    assert json.loads(srsearch("space", "--schema").stdout)["title"] == "SpaceFile"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "lightweigth_x4"), "did you mean 'lightweight_x4'"),
        (("run", "lightweight_x4", "--max-mult-adds", "1G"), "the least mult_adds of any design is 1.153G"),
        (("run", "lightweight_x4", "--max-mult-adds", "much"), "'much' is not a count"),
        (("run", "lightweight_x4", "--sampler", "tpee"), "did you mean 'tpe'"),
        (("run", "lightweight_x4", "--trials", "0"), "--trials"),
        (("run", "lightweight_x4", "--data", "nowhere"), "nowhere"),
        (("run", "lightweight_x4", "--evaluator", "syntetic"), "did you mean 'synthetic'"),
        (("run", "lightweight_x4", "--evaluator", "synthetic", "--storage", "text.txt"), "text.txt"),
        (("run", "lightweight_x4", "--evaluator", "synthetic", "--storage", "mysqlx://a:secret@b/c"), "mysqlx"),
        (("front", "--storage", "missing.db"), "missing.db"),
        (("front", "other"), "no study 'other'"),
        (("best", "--max-params", "10"), "no finished design within these limits"),
        (("best", "--trial", "999"), "no finished design"),
        (("run", "small.yaml", "--page", "."), "is a directory"),
        (("studies", "--storage", "missing.db", "show", "small"), "missing.db"),
        (("count", "pcarn"), "say at which scale"),
        (("count", "pcarm-n", "--scale", "4"), "did you mean"),
        (("count", "missing.yaml"), "missing.yaml: cannot be read: No such file"),
        (("count", "small:99"), "has no trial 99"),
        (("count", "carn", "--scale", "7"), "scale"),
        (("count", "carn", "--scale", "4", "--at", "big"), "'big' is not an image size"),
        (("count", "carn", "--scale", "4", "--convention", "mine"), "unknown convention 'mine'"),
        (("report", "small", "-o", "."), "."),
        (("frnt",), "frnt"),
        (("run", "lightweight_x4", "--data", ""), "--data is empty"),
        (("run", "empty.yaml"), "empty.yaml:4: proxy.data: '' should have at least 1 character"),
        (("run", "small.yaml", "--storage="), "--storage is empty"),
        (("run", "small.yaml", "--checkpoints", ""), "--checkpoints is empty"),
        (("run", "", "--evaluator", "synthetic"), "An argument is empty"),
        (("best", "--save", ""), "--save is empty"),
        (("report", "-o", ""), "-o is empty"),
        (("studies", "--storage", "", "show", "small"), "--storage is empty"),
        (("studies", "copy", "small", ""), "An argument is empty"),
    ],
)
def test_wrong_input_exits_with_code_2(
    studied: Path, srsearch: Command, arguments: tuple[str, ...], message: str
) -> None:
    (studied / "text.txt").write_text("not a database " * 100)
    (studied / "empty.yaml").write_text("name: empty\nscale: 4\narchitecture: {channels: [8, 12]}\nproxy: {data: ''}\n")
    ended = srsearch(*arguments)
    assert ended.returncode == 2, ended.stderr
    assert message in ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr
