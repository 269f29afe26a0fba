"""Looks for damage in a SQLite file after a command has failed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any

from srsearch.errors import InputError, WorkError

_NUMERIC_COLUMNS = ("psnr", "ssim", "seconds", "params", "mult_adds", "activations", "seed", "scale", "number")


def damage(storage: str | None) -> WorkError | None:
    """Look for damage in a database, and return the error that describes it.

    This reads the whole file, so call it only after an unexpected failure.

    Args:
        storage: The database, as for `srsearch.store.Store`.

    Returns:
        The error; None if the file is not damaged, or if the database is not a SQLite file.
    """
    from srsearch.store.connection import explained, reading_engine
    from srsearch.store.diagnosis import damaged
    from srsearch.store.place import Place
    from srsearch.store.tables import Base

    place = Place.of(storage)
    if place.path is None or not place.path.exists():
        return None
    try:
        with explained(place), reading_engine(place).connect() as connection:
            report = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
            if report != "ok":
                return WorkError(damaged(place, str(report)))
            if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                return WorkError(damaged(place, "rows refer to rows that are missing"))
            for table in Base.metadata.sorted_tables:
                try:
                    for row in connection.execute(table.select()):
                        _check(table.name, row._mapping)
                except (ValueError, TypeError, LookupError, ArithmeticError) as error:
                    return WorkError(damaged(place, f"the table {table.name}: {error}"))
    except InputError:
        return None
    except WorkError as error:
        return error
    return None


def _check(table: str, row: Any) -> None:
    """Check one row of a table.

    Raises:
        ValueError, TypeError, LookupError, ArithmeticError: It holds a value that srsearch never writes.
    """
    from srsearch.architecture import Architecture
    from srsearch.store import content_hash
    from srsearch.store.records import STATES
    from srsearch.store.rows import check_sampler_state, check_study

    for column, value in row.items():
        if isinstance(value, bytes):
            raise TypeError(f"{column} is not text")
        if column in _NUMERIC_COLUMNS and not isinstance(value, int | float | None):
            raise TypeError(f"{column} is not a number")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{column} is {value}")
        if column == "objectives" and not isinstance(value, list):
            raise TypeError("objectives is not a list")
        if column == "curve" and not (isinstance(value, list) and all(map(_is_point, value))):
            raise TypeError("curve is not a list of steps with their PSNR")
        if column in ("space", "recipe", "data", "reference", "axes", "sampler_state", "versions", "description"):
            dict(value).keys()
    if table == "sr_studies":
        check_study(row)
        _check_space(row["space"])
    if table == "sr_trials" and not all(isinstance(value, int | float | str) for value in row["axes"].values()):
        raise TypeError("axes has a value that is neither a number nor text")
    if table == "sr_trials":
        check_sampler_state(row["sampler_state"])
    if table == "sr_trials" and row["state"] not in STATES:
        raise ValueError(f"{row['state']!r} is not a state")
    if table == "sr_evaluations" and content_hash(row["recipe"]) != row["recipe_hash"]:
        raise ValueError("a recipe does not match its hash")
    if table == "sr_architectures":
        with contextlib.suppress(InputError):  # its parts may come from a plugin
            if Architecture.from_dict(row["description"]).key != row["key"]:
                raise ValueError(f"the design {row['key'][:8]} does not match its key")


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(each, int | float) for each in value)


def _check_space(space: Mapping[str, Any]) -> None:
    if missing := {"name", "architecture", "constraints", "search"} - set(space):
        raise ValueError(f"the space has no {min(missing)}")
    for name in ("architecture", "constraints", "search", "proxy"):
        if not isinstance(space.get(name, {}), Mapping):
            raise ValueError(f"{name} of the space is not a mapping")
    for name, bounds in space["constraints"].items():
        if name not in ("convention", "scale") and not isinstance(bounds, Mapping):
            raise ValueError(f"constraints.{name} of the space is not a mapping")
