"""Text that other programs can take: without surrogates and control characters, and as CSV without formulas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """The text with a replacement character (U+FFFD) for each surrogate, so that it can be encoded."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def printable(text: str) -> str:
    """The text without control characters: a name must not move the cursor or set colours."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in well_formed(text))


def printable_lines(text: str) -> str:
    """A text of several lines without other control characters."""
    return "\n".join(map(printable, text.split("\n")))


def csv_text(frame: pd.DataFrame) -> str:
    """A table as comma-separated values that a spreadsheet computes nothing of.

    Texts that it would take for a formula get an apostrophe in front; numbers stay numbers.
    """
    safe = frame.set_axis([_inert(str(name)) for name in frame.columns], axis="columns")
    for place in range(safe.shape[1]):
        column = frame.iloc[:, place]
        if str(column.dtype) in ("object", "str", "string", "category"):
            safe.isetitem(place, list(column.astype(object).map(_inert, na_action="ignore")))
    return well_formed(safe.to_csv(index=False))


_FORMULA = tuple(
    "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
)


def _inert(value: object) -> object:
    if not isinstance(value, str):
        return value
    # pandas does not quote a carriage return, after which a reader begins a row; others would reach the terminal
    value = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value.replace("\r", "\n"))
    if not value.lstrip(" ").startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value
