"""Numbers as people write them: ``40G`` Mult-Adds, ``800K`` parameters, ``1 h 20 min``."""

from __future__ import annotations

import re
from decimal import Decimal

from srsearch.errors import InputError

_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_QUANTITY = re.compile(r"\s*([0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?(?:[eE]\+?[0-9]{1,2})?)\s*([kKMGT]?)\s*")
_SIZE = re.compile(r"\s*([1-9][0-9]*)\s*x\s*([1-9][0-9]*)\s*")

MAX_QUANTITY = 10**18
"""The largest count: what is computed with counts stays in range."""

MAX_SIDE = 1_000_000
"""The largest width and height of an image, in pixels."""


def parse_quantity(value: str | int | float) -> int:
    """Parses a count with an optional decimal suffix (K, M, G, T).

    Raises:
        InputError: Not a number above zero and at most `MAX_QUANTITY`, or an unknown suffix.

    Example:
        >>> parse_quantity("40G"), parse_quantity("1.5K"), parse_quantity(800)
        (40000000000, 1500, 800)
    """
    match = _QUANTITY.fullmatch(str(value)) if not isinstance(value, bool) else None
    if match is None:
        raise InputError(f"{_short(value)} is not a count; write a number above zero, such as 40G, 800K or 412032")
    exact = Decimal(match[1].replace("_", "")) * _FACTORS[match[2].upper()]
    if exact < 1:
        raise InputError(f"{_short(value)} is not above zero")
    if exact > MAX_QUANTITY:
        raise InputError(f"{_short(value)} is above the largest count, 1000000T")
    return int(exact)


def _short(value: object) -> str:
    """A value as the user wrote it, without the middle of hundreds of digits."""
    text = repr(value)
    return text if len(text) <= 50 else f"{text[:20]}…{text[-10:]}"


def parse_natural(text: str, *, digits: int = 9) -> int | None:
    """Parses a whole number of at most ``digits`` decimal digits, such as a trial's number or a port; None: it is none.

    Python's own `int` and ``isdigit`` know digits of all scripts, and do not agree on all of them.
    """
    return int(text) if len(text) <= digits and re.fullmatch(r"[0-9]+", text) else None


def format_quantity(count: int | float, digits: int = 3) -> str:
    """Formats a count with a suffix, to ``digits`` significant digits: 412032 -> ``412K``, 32.48e9 -> ``32.5G``."""
    if count == 0:
        return "0"
    for suffix, factor in reversed(_FACTORS.items()):
        # 999,999 to three digits is 1.00M, not 1000K: round before the suffix is chosen.
        rounded = float(f"{count / factor:.{digits - 1}e}")
        if abs(rounded) >= 1 or not suffix:
            text = f"{rounded:.{digits}g}" if abs(rounded) < 10**digits else f"{rounded:.0f}"
            return text + suffix
    raise AssertionError("unreachable: the last factor is 1")


def format_duration(seconds: float) -> str:
    """A time for people: ``4.2 s``, ``75 s``, ``12 min``, ``1 h 20 min``, ``3 days 4 h``.

    Args:
        seconds: The time, not negative and not NaN. It is rounded to the last unit shown.
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return _two_units(*divmod(minutes, 60), "h", "min")
    return _two_units(*divmod(round(seconds / 3600), 24), "days", "h")


def _two_units(large: int, small: int, large_unit: str, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def parse_output_size(value: str) -> tuple[int, int]:
    """Parses the width and height of an image, written ``1280x720``.

    Raises:
        InputError: The text does not have this form, or a side is above `MAX_SIDE`.
    """
    match = _SIZE.fullmatch(str(value))
    if match is None:
        raise InputError(f"{_short(value)} is not an image size; write width x height as 1280x720")
    width, height = Decimal(match[1]), Decimal(match[2])
    if max(width, height) > MAX_SIDE:
        raise InputError(f"{_short(value)}: a side of an image has at most {MAX_SIDE} pixels")
    return int(width), int(height)
