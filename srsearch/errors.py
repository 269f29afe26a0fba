"""The two kinds of errors: wrong input (exit code 2) and failed work (exit code 1)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """The user's input is wrong. The message says what is wrong, where, and what would be right. Exit code 2."""


class WorkError(Exception):
    """Something failed while working (a full disk, a lost database). Commands exit with 1."""


def suggest(name: str, valid: Iterable[str]) -> str:
    """A hint for a mistyped name: ``did you mean 'groups'?``, or the list of valid names if none is close.

    Args:
        name: The mistyped name.
        valid: The valid names.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(names) or 'none'}"
