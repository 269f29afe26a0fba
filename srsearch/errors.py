"""The two kinds of errors: the user's input is wrong (exit code 2), or the work failed (exit code 1)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """The user's input is wrong. The message says what, where, and what would be right; commands exit with 2."""


class WorkError(Exception):
    """Something failed while working (a full disk, a lost database). Commands exit with 1."""


def suggest(name: str, valid: Iterable[str]) -> str:
    """A hint for a mistyped name: ``did you mean 'groups'?``, or the list of valid names.

    Args:
        name: What was written.
        valid: The names that would have been right.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(names) or 'none'}"
