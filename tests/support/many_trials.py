"""Writes a study with any number of invented trials directly into the tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert

from srsearch.store import Store, StudyRecord, content_hash
from srsearch.store.tables import ArchitectureRow, EvaluationRow, TrialRow

STEPS = (75, 150, 300, 600)


def study(name: str = "many", **changes: Any) -> StudyRecord:
    values: dict[str, Any] = {
        "name": name,
        "space": {
            "name": name,
            "scale": 4,
            "constraints": {"mult_adds": {"max": "40G", "at": "1280x720"}},
            "proxy": {"data": "builtin"},
            "search": {"trials": 25_000},
        },
        "space_text": f"name: {name}\n",
        "space_hash": "a" * 64,
        "scale": 4,
        "objectives": ("psnr", "mult_adds"),
        "sampler": "random",
        "seed": 0,
        "recipe": {"evaluator": "proxy", "steps": 600, "patch": 24},
        "data": {"source": "builtin", "validation": {"photos": ["chelsea", "coffee", "china"]}},
        "data_fingerprint": "b" * 64,
        "reference": {"psnr": 26.0, "mult_adds": 40e9},
        "created_at": datetime(2026, 5, 4, 14, 3, tzinfo=UTC),
    }
    return StudyRecord(**values | changes)


def write(store: Store, number: int, *, name: str = "many", record: StudyRecord | None = None) -> None:
    """Write a study with ``number`` trials: nine of ten finished, the others stopped, failed or over budget."""
    record = record or study(name)
    store.create_study(record)
    with store._transactions.write() as connection:
        row = store._study_id(connection, record.name)
        # So that no study has another one's evaluations.
        rows = list(_trials(number, row, {**record.recipe, "runtime": {"study": row}}))
        for table, place in ((ArchitectureRow, 0), (EvaluationRow, 1), (TrialRow, 2)):
            for start in range(0, number, 5_000):
                found = [each[place] for each in rows[start : start + 5_000] if each[place] is not None]
                if found:
                    connection.execute(insert(table.__table__), found)


def _trials(
    number: int, study_id: int, recipe: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]]:
    rng = np.random.default_rng(0)
    drawn = zip(
        rng.choice([16, 24, 32, 48, 64], number).tolist(),
        rng.integers(2, 5, number).tolist(),
        rng.integers(1, 5, number).tolist(),
        rng.choice(["conv", "grouped", "bottleneck"], number).tolist(),
        rng.choice(["none", "group"], number).tolist(),
        rng.integers(0, 900, number).tolist(),
        rng.standard_normal(number).tolist(),
        rng.choice(["complete", "stopped", "failed", "infeasible"], number, p=[0.9, 0.06, 0.01, 0.03]).tolist(),
        strict=True,
    )
    recipe_hash = content_hash(recipe)
    for trial, (channels, groups, blocks, unit, share, more, chance, state) in enumerate(drawn):
        weight = {"conv": 1.0, "grouped": 0.4, "bottleneck": 0.6}[unit]
        params = int(18 * channels**2 * groups * blocks * weight) + 40 * channels + more
        mult_adds = int(57_600 * params * (1.6 if share == "group" else 1.0))
        final = 26.2 + 0.55 * math.log10(mult_adds / 1e8) + 0.02 * (share == "none") + 0.03 * chance
        curve = [[step, float(final - 60 / step)] for step in STEPS]
        key = f"{study_id:08x}{trial:056x}"
        started = datetime(2026, 5, 4, 15, tzinfo=UTC) + timedelta(seconds=4 * trial)
        axes: dict[str, Any] = {"channels": channels, "unit": unit, "body.cascade.groups": groups}
        axes |= {"body.cascade.blocks": blocks, "body.cascade.share": share}
        axes |= {"unit.grouped.groups": 4} if unit == "grouped" else {}
        body = {"cascade": {"groups": groups, "blocks": blocks, "fusion": "both", "share": share}}
        described = {"scale": 4, "channels": channels, "unit": unit, "block": "residual", "body": body}
        described |= {"upsampler": {"pixel_shuffle": {"groups": 1, "activation": True}}}
        done = state == "complete"
        yield (
            {"key": key, "description": described},
            {
                "id": study_id * 1_000_000 + trial,
                "key": key,
                "recipe": recipe,
                "recipe_hash": recipe_hash,
                "data_fingerprint": "b" * 64,
                "seed": 0,
                "psnr": float(final),
                "ssim": float(0.7 + (final - 26) / 20),
                "curve": curve,
                "seconds": 12.0,
                "versions": {},
                "created_at": started,
            }
            if done
            else None,
            {
                "study_id": study_id,
                "number": trial,
                "key": key,
                "evaluation_id": study_id * 1_000_000 + trial if done else None,
                "state": state,
                "reason": {"failed": "the loss was NaN at step 7", "infeasible": "over budget"}.get(state),
                "axes": axes,
                "params": params,
                "mult_adds": mult_adds,
                "activations": mult_adds // 500,
                "curve": curve[:2] if state == "stopped" else [],
                "cached": False,
                "sampler_state": {},
                "started_at": started,
                "finished_at": None if state == "stopped" else started + timedelta(seconds=12),
                "replicate_of": None,
                "seed": None,
                "cleared_step": 0,
                "owner": None,
                "heartbeat": None,
            },
        )
