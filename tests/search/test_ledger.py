"""The ledger of a study's trials, compared with a pass over all trials."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from srsearch.analysis import pareto_front
from srsearch.search.ledger import Ledger
from srsearch.store import State, TrialRecord, frames

OBJECTIVES = ("psnr", "mult_adds")
STATES: list[State] = ["running", "stopped", "complete", "complete", "complete", "failed", "infeasible", "repeated"]

# Few different values: ties and repeated designs are what goes wrong.
TRIALS = st.lists(
    st.tuples(
        st.sampled_from(STATES), st.integers(0, 4), st.integers(1, 4), st.booleans(), st.none() | st.integers(0, 40)
    ),
    max_size=40,
)


@settings(deadline=None)
@given(TRIALS, st.lists(st.tuples(st.integers(0, 39), st.integers(0, 4)), max_size=20), st.booleans())
def test_the_ledger_agrees_with_all_trials(
    trials: list[tuple[State, int, int, bool, int | None]], ends: list[tuple[int, int]], looks: bool
) -> None:
    ledger, records = Ledger(OBJECTIVES), dict[int, TrialRecord]()
    for number, (state, psnr, cost, cached, original) in enumerate(trials):
        proposed = [n for n, each in records.items() if each.replicate_of is None and each.mult_adds]
        replicate_of = proposed[original % len(proposed)] if original is not None and proposed else None
        cost = cost if replicate_of is None else records[replicate_of].mult_adds or cost
        state = "running" if replicate_of is not None and state in ("infeasible", "repeated") else state
        record = TrialRecord(
            number, f"key {number}", {"channels": 8 * cost}, state, mult_adds=cost, params=cost, activations=cost
        )
        if state == "complete":
            record = replace(record, psnr=20.0 + psnr, cached=cached)
        records[number] = replace(record, replicate_of=replicate_of)
        ledger.put(records[number])
        if looks:
            agree(ledger, records)
    for number, psnr in ends:
        if number in records and records[number].state in ("running", "stopped"):
            records[number] = replace(records[number], state="complete", psnr=20.0 + psnr)
            ledger.put(records[number])
    agree(ledger, records)


def agree(ledger: Ledger, records: dict[int, TrialRecord]) -> None:
    everything = list(records.values())
    proposals = [each for each in everything if each.replicate_of is None]
    asked = [each for each in proposals if each.state not in ("infeasible", "repeated")]
    assert list(ledger) == everything
    assert ledger.proposals == proposals
    assert ledger.asked == [each.number for each in asked]
    assert ledger.keys == {each.key: each.number for each in asked}
    assert ledger.done == sum(each.state == "complete" and not each.cached for each in asked)
    assert sorted(ledger.open) == [each.number for each in everything if each.state in ("running", "stopped")]
    assert {each.number for each in ledger.running} == {each.number for each in everything if each.state == "running"}
    frame = frames.of_records(everything)
    expected = pareto_front(frame, OBJECTIVES)
    pd.testing.assert_frame_equal(ledger.front(), expected)
    behind = pareto_front(frame[~frame["trial"].isin(expected["trial"])], OBJECTIVES)
    assert set(ledger.layers(2)) == {*expected["trial"], *behind["trial"]}
