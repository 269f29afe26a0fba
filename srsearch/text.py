"""Text that anything can take: names of files may hold bytes that are not UTF-8, which Python keeps as surrogates."""

from __future__ import annotations

import re

_SURROGATES = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """The text with a replacement character (U+FFFD) for each surrogate, so that it can be encoded."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
