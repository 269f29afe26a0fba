"""Quantities such as 40G: written and read back."""

import pytest

from srsearch.quantity import format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (9.96, "10 s"),
        (75, "75 s"),
        (99.6, "2 min"),
        (3569, "59 min"),
        (3571, "1 h"),
        (4800, "1 h 20 min"),
        (47.5 * 3600, "47 h 30 min"),
        (2 * 86400, "2 days"),
        (3 * 86400 + 4.4 * 3600, "3 days 4 h"),
        (86400 * 3 - 60, "3 days"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
