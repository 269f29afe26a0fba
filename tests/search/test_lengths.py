"""Studies with several lengths of training: longer trainings as trials, their budget, and what is done next."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import time
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from srsearch.architecture import Architecture
from srsearch.errors import InputError
from srsearch.search import Evaluator, Score, Study, SyntheticEvaluator, run
from srsearch.search.evaluators.base import Report
from srsearch.search.opening import find_or_create, shortest
from srsearch.search.progress import SilentProgress
from srsearch.search.trial import Trial
from srsearch.space import Space
from srsearch.store import Store, TrialRecord
from tests.conftest import CHECKOUT, SMALL_SPACE, Command
from tests.support.evaluators import Brittle

LENGTHS = (100, 400, 1600)


class OneLength(Evaluator):
    """An evaluator that knows nothing of lengths."""

    def evaluate(self, design: Architecture, seed: int, report: Report) -> Score:
        return Score(30.0)


def several(space: Space, trials: int = 60) -> Space:
    return space.with_settings(search={"lengths": LENGTHS, "trials": trials})


def outcome(records: list[TrialRecord]) -> list[tuple[Any, ...]]:
    return [(t.number, t.key, t.state, t.replicate_of, t.steps, t.psnr) for t in records]


def studied(store: Store, space: Space, *, workers: int = 1, evaluator: Evaluator | None = None) -> Study:
    chosen = shortest(space, evaluator or SyntheticEvaluator())
    record, _ = find_or_create(store, space, chosen, SilentProgress(), new=False, at_once=workers)
    return Study(store, record, space, chosen, workers)


def scored(trial: Trial) -> Score:
    evaluator = SyntheticEvaluator().at_length(trial.steps or LENGTHS[0])
    return evaluator.evaluate(trial.design, trial.seed, lambda step, psnr: True)  # type: ignore[arg-type]


def test_longer_trainings_are_trials_that_means_leave_out(
    small_space: Space, tmp_path: Path, srsearch: Command
) -> None:
    with Store(tmp_path / "s.db") as store:
        assert run(small_space, store=store, evaluator="synthetic", trials=10).done == 10
        begun = store.trials("small").set_index("trial")["psnr"]
        # The study that was begun with one length goes on with several.
        result = run(several(small_space), store=store, evaluator="synthetic")
        records, frame = store.trial_records("small"), store.trials("small").set_index("trial")
        front, studies = store.front("small"), store.studies()
    longer = [record for record in records if record.steps is not None]
    assert result.study == "small"
    assert {record.steps for record in longer} <= set(LENGTHS[1:])
    assert sum(record.steps == LENGTHS[-1] for record in longer) >= 1
    prices = sum((record.steps or LENGTHS[0]) / LENGTHS[0] for record in records if record.state == "complete")
    assert result.done == prices <= 60
    assert len(frame) == len(records) - len(longer)
    for record in longer:
        assert record.replicate_of is not None
        assert record.psnr is not None
        design = frame.loc[record.replicate_of]
        assert design["key"] == record.key
        assert design[f"psnr_at_{record.steps}"] == record.psnr > design["psnr"]
        assert design["seeds"] == 1
    assert (frame["psnr"][begun.index] == begun).all()
    assert front["psnr"].max() == frame["psnr"].max() == studies["best_psnr"].iloc[0]
    check_reports(srsearch, frame)


def check_reports(srsearch: Command, frame: pd.DataFrame) -> None:
    """Tables and the page rank by predicted PSNR, and show what was measured beside it."""
    storage = ("--storage", "s.db")
    best = json.loads(srsearch("best", *storage, "--json").stdout)
    assert best[0]["psnr"] == frame.loc[best[0]["trial"], "psnr"]
    assert best[0]["psnr_predicted"] > best[0]["psnr"]
    assert best[0]["psnr_predicted_error"] > 0
    assert sum(row["probability"] for row in best) == pytest.approx(1)
    predicted = [row["psnr_predicted"] for row in json.loads(srsearch("front", *storage, "--json").stdout)]
    assert predicted == sorted(predicted)
    shown = srsearch("front", *storage).stdout
    assert "Predicted" in shown
    assert "1,600 steps" in shown
    assert "100 steps" in shown
    trust = json.loads(srsearch("trust", *storage, "--json").stdout)
    assert trust["study"] == "small"
    ended = srsearch("report", "small", *storage, "--output", "page.html")
    assert ended.returncode == 0, ended.stderr


def test_the_same_seed_makes_the_same_choices_whatever_the_order_of_results(small_space: Space) -> None:
    """With two workers, whose trainings take as long as chance will have it; one worker is interrupted in between."""
    space = several(small_space, trials=48)
    found = []
    for attempt in range(2):
        with Store("sqlite://") as store:
            study, rng, running = studied(store, space, workers=2), random.Random(attempt), list[Trial]()
            while True:
                while len(running) < 2 and study.ready and (trial := study.ask(limit=48)) is not None:
                    running.append(trial)
                if not running:
                    break
                ended = running.pop(rng.randrange(len(running)))
                study.tell(ended, scored(ended), rng.random())
            found.append(outcome(store.trial_records("small")))
    assert found[0] == found[1]
    assert any(steps for *_, steps, _ in found[0])


def test_trunks_stay_as_long_as_a_longer_training_may_need_them(small_space: Space, tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        study = studied(store, several(small_space))
        assert study.checkpoints is not None
        trunks = []
        for _ in range(8):
            trial = study.ask(limit=60)
            assert trial is not None
            trunks.append(Path(study.checkpoints.trunk(trial.design.key, trial.seed)))
            trunks[-1].parent.mkdir(parents=True, exist_ok=True)
            trunks[-1].touch()
            study.tell(trial, scored(trial), 1.0)
        trunks[0].with_name("0123-0-trunk.pt").touch()
        study.tidy()
        assert len(study.front()) < 8
        assert {path.name for path in trunks[0].parent.iterdir()} == {path.name for path in trunks}


def test_a_longer_training_goes_on_after_its_process_died(small_space: Space, tmp_path: Path) -> None:
    def until_longer(study: Study) -> Trial:
        while (trial := study.ask(limit=60)) is not None and trial.steps is None:
            study.tell(trial, scored(trial), 1.0)
        assert trial is not None
        return trial

    with Store(tmp_path / "s.db") as store:
        first = studied(store, several(small_space))
        left = until_longer(first)
        first.report(left, 400, 27.0)
        place = first.checkpoint(left)
        first.close()  # as the leases of a killed process end
        second = studied(store, several(small_space))
        again = second.ask(limit=60)
        assert again is not None
        assert (again.number, again.steps, again.curve) == (left.number, left.steps, ((400, 27.0),))
        assert second.checkpoint(again) == place
        assert place is not None
        assert f"-{left.steps}." in place
        evaluation = second.tell(again, scored(again), 1.0)
        assert evaluation.recipe["steps"] == left.steps
        assert second.ask(limit=60) is not None


def test_a_longer_training_that_fails_leaves_the_short_score(small_space: Space) -> None:
    class OneByOne(SilentProgress):
        failed: ClassVar[list[int]] = []

        def trial_failed(self, number: int, reason: str) -> None:
            self.failed.append(number)

    with Store("sqlite://") as store:
        progress = OneByOne()
        result = run(several(small_space, trials=36), store=store, evaluator=Brittle(), progress=progress)
        records, frame = store.trial_records(result.study), store.trials(result.study)
    failed = [record for record in records if record.state == "failed"]
    assert failed
    assert progress.failed == [record.number for record in failed]
    originals = [record.replicate_of for record in failed]
    assert len(set(originals)) == len(originals)  # none is tried again
    assert set(frame["state"]) == {"complete"}
    assert result.done == 36


def test_a_time_limit_counts_seconds_and_begins_nothing_that_would_end_after_it(small_space: Space) -> None:
    with Store("sqlite://") as store:
        study = studied(store, several(small_space, trials=10_000))
        for _ in range(12):
            trial = study.ask()
            assert trial is not None
            study.tell(trial, scored(trial), 50.0)
        offered = study._offers(study._known(), [], None)
        assert {offer.steps for offer in offered.longer} == {400, 1600}
        study.deadline = time.monotonic() + 400  # 50 s for 100 steps: 400 steps take 200 s
        offered = study._offers(study._known(), [], None)
        assert {offer.steps for offer in offered.longer} == {400}
        assert offered.longer[0].price == pytest.approx(200, rel=0.02)


def test_lengths_that_make_no_sense_are_refused(srsearch: Command, tmp_path: Path, small_space: Space) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "name: small\nscale: 2\narchitecture:\n  channels: [8, 12]\n"
        "search:\n  trials: 3\n  lengths: [400, 100]\nproxy: {evaluator: synthetic}\n"
    )
    ended = srsearch("run", str(space))
    assert ended.returncode == 2
    assert "space.yaml:7: search.lengths" in ended.stderr
    assert "100, 400" in ended.stderr
    space.write_text(space.read_text().replace("[400, 100]", "[100, 400]").replace("{ev", "{steps: 300, ev"))
    ended = srsearch("run", str(space))
    assert ended.returncode == 2
    assert "space.yaml:7: search.lengths" in ended.stderr
    assert "proxy.steps is 300" in ended.stderr
    for given, expected in [("400,100", "ascending"), ("100,x", "ascending")]:
        ended = srsearch("run", "lightweight_x4", "--evaluator", "synthetic", "--lengths", given)
        assert ended.returncode == 2
        assert expected in ended.stderr
    for settings, expected in [
        ({"sampler": "random"}, "random cannot choose among several lengths"),
        ({"evaluator": OneLength()}, r"OneLength has no at_length\(steps\)"),
    ]:
        with pytest.raises(InputError, match=expected):
            run(small_space, store="sqlite://", lengths=(100, 400), **settings)  # type: ignore[arg-type]
    three = Space.from_dict(SMALL_SPACE | {"objectives": ["psnr", "mult_adds", "params"]})
    with pytest.raises(InputError, match="psnr and one cost"):
        run(three, store="sqlite://", lengths=(100, 400))


def test_databases_from_before_lengths_are_read_and_upgraded(tmp_path: Path, srsearch: Command) -> None:
    old = tmp_path / "old.db"
    shutil.copy(CHECKOUT / "studies" / "lightweight_x4_example.db", old)
    before = old.read_bytes()
    assert b"0002" in before
    for command in ("front", "best", "trials", "studies"):
        ended = srsearch(command, "--storage", str(old), "--json")
        assert ended.returncode == 0, ended.stderr
    assert old.read_bytes() == before
    with Store(old, read_only=True) as store:
        records = store.trial_records("lightweight_x4")
    with Store(old) as store:
        assert store.trial_records("lightweight_x4") == records
        assert dataclasses.replace(records[0], steps=None) == records[0]
