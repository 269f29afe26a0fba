"""Short labels for axes and their values, for tables, figures and the live display."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

MISSING = "–"  # noqa: RUF001 (an en dash is what a table shows for "nothing here")


def axis_labels(names: Iterable[str]) -> dict[str, str]:
    """Label each axis with the shortest ending of its path that no other axis shares.

    Args:
        names: Axis paths, such as ``body.cascade.groups``.

    Returns:
        Labels by path, in the given order.

    Example:
        >>> axis_labels(["channels", "body.cascade.groups", "upsampler.groups"])
        {'channels': 'channels', 'body.cascade.groups': 'cascade.groups', 'upsampler.groups': 'upsampler.groups'}
    """
    paths = list(dict.fromkeys(names))
    endings: dict[str, set[str]] = {}
    for path in paths:
        for ending in _endings(path):
            endings.setdefault(ending, set()).add(path)
    # Other paths may end with an axis's whole path; its label is then the whole path.
    return {path: next((e for e in _endings(path) if endings[e] == {path}), path) for path in paths}


def _endings(path: str) -> list[str]:
    words = path.split(".")
    return [".".join(words[i:]) for i in reversed(range(len(words)))]


def axis_text(value: object) -> str:
    """An axis value as a space file writes it: ``true``, ``0.1``, ``cascade``; a dash if the axis does not exist."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return MISSING
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text.lower() if text in ("True", "False") else text


def scales_text(scales: Sequence[int]) -> str:
    """Upscaling factors in words: ``x4``, or ``x2, x3 and x4``."""
    *first, last = (f"x{scale}" for scale in scales)
    return f"{', '.join(first)} and {last}" if first else last
