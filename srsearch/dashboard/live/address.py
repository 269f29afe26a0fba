"""The address of a page: the study, the view, and every choice made in it, as a link.

Reading a link never fails: parts that make no sense are ignored, so that links of older versions and truncated links
still show a page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

import pandas as pd

from srsearch.dashboard.budget import LIMITED
from srsearch.labels import axis_text
from srsearch.objectives import OBJECTIVES, QUALITIES, is_cost
from srsearch.quantity import parse_natural

_MAX_FIELDS = 200
"""More fields than any link of ours has; the others count as not written."""

_MOST_DIGITS = 30
"""Far more digits than a trial's number has, so that the page says of a mistyped one that there is no such trial."""


@dataclass(frozen=True)
class Box:
    """A rectangle drawn around points: a range on each of two columns."""

    x: str
    left: float
    right: float
    y: str
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.x}:{self.left:.6g}:{self.right:.6g},{self.y}:{self.low:.6g}:{self.high:.6g}"


@dataclass(frozen=True)
class Address:
    """The state of a page.

    Attributes:
        study: The study's name; None: the newest.
        view: The view's name. The server shows the first view where it has none of this name.
        cost: The column on x axes; None: the study's cost.
        quality: The column on y axes; None: the study's quality.
        limits: The budget: the largest allowed value by column.
        box: Only designs in this rectangle.
        only: Only designs with these values of axes.
        trial: The design shown; None: the best within the limits.
        compared: Names of the studies to compare with.
        more: All other choices, by name.
    """

    study: str | None = None
    view: str = "overview"
    cost: str | None = None
    quality: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    box: Box | None = None
    only: tuple[tuple[str, str], ...] = ()
    trial: int | None = None
    compared: tuple[str, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, search: str | None) -> Address:
        """Read the part of a link after the question mark."""
        fields: dict[str, list[str]] = {}
        written = (search or "").lstrip("?").split("&")
        for name, value in parse_qsl("&".join(written[:_MAX_FIELDS])):
            fields.setdefault(name, []).append(value)
        last = {name: values[-1] for name, values in fields.items()}
        known = {"study", "view", "cost", "quality", "box", "only", "trial", "with"} | {
            f"max_{name}" for name in LIMITED
        }
        return cls(
            study=last.get("study"),
            view=last.get("view") or "overview",
            cost=_one_of(last.get("cost"), [name for name in OBJECTIVES if is_cost(name)]),
            quality=_one_of(last.get("quality"), QUALITIES),
            limits={
                name: limit for name in LIMITED if (limit := _number(last.get(f"max_{name}"))) is not None and limit > 0
            },
            box=_box(last.get("box")),
            only=tuple(
                (axis, word) for text in fields.get("only", []) for axis, _, word in [text.partition("=")] if word
            ),
            trial=parse_natural(last.get("trial", ""), digits=_MOST_DIGITS),
            compared=tuple(dict.fromkeys(fields.get("with", []))),
            more={name: value for name, value in last.items() if name not in known},
        )

    def chosen(self, name: str, valid: Mapping[str, object] | tuple[str, ...] | list[str], default: str) -> str:
        """The choice of this name if it is one of the valid values, else the default."""
        return _one_of(self.more.get(name), valid) or default

    def link(self, **changes: object) -> str:
        """A link to the same page with some values changed; None removes a value."""
        values: dict[str, object] = {
            "study": self.study,
            "view": self.view if self.view != "overview" else None,
            "cost": self.cost,
            "quality": self.quality,
            **{f"max_{name}": f"{limit:.6g}" for name, limit in self.limits.items()},
            "box": self.box,
            "only": [f"{axis}={word}" for axis, word in self.only],
            "trial": self.trial,
            "with": list(self.compared),
            **self.more,
            **changes,
        }
        return "?" + urlencode({name: value for name, value in values.items() if value not in (None, [])}, doseq=True)

    @property
    def selects(self) -> bool:
        """Whether the link selects some of the designs."""
        return self.box is not None or bool(self.only)

    def selected(self, trials: pd.DataFrame) -> pd.DataFrame:
        """The selected trials; all of them where the link selects none."""
        rows = trials
        if self.box is not None:
            for column, low, high in (
                (self.box.x, self.box.left, self.box.right),
                (self.box.y, self.box.low, self.box.high),
            ):
                if column in rows.columns:
                    rows = rows[rows[column].between(low, high).fillna(False).astype(bool)]
        for axis in dict(self.only):
            if axis in rows.columns:
                words = {word for name, word in self.only if name == axis}
                # Compare distinct values, not rows: there may be a hundred thousand rows.
                values = [value for value in rows[axis].unique() if axis_text(value) in words]
                rows = rows[rows[axis].isin([value for value in values if not pd.isna(value)])]
        rows.attrs = trials.attrs
        return rows

    def within(self, trials: pd.DataFrame) -> pd.DataFrame:
        """The trials inside the limits."""
        rows = trials
        for column, limit in self.limits.items():
            rows = rows[(rows[column] <= limit).fillna(False).astype(bool)]
        rows.attrs = trials.attrs
        return rows


def _one_of(word: str | None, valid: Mapping[str, object] | tuple[str, ...] | list[str]) -> str | None:
    return word if word is not None and word in valid else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "") if (text or "").isascii() else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _box(text: str | None) -> Box | None:
    parts = [part.split(":") for part in (text or "").split(",")]
    if len(parts) != 2 or any(len(part) != 3 for part in parts):
        return None
    (x, left, right), (y, low, high) = parts
    edges = [_number(edge) for edge in (left, right, low, high)]
    if not is_cost(x) or y not in QUALITIES or any(edge is None for edge in edges):
        return None
    return Box(x, edges[0], edges[1], y, edges[2], edges[3])  # type: ignore[arg-type]
