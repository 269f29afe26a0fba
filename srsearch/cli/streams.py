"""Standard output and error that take any text, whatever the terminal's encoding."""

from __future__ import annotations

import codecs
import encodings.ascii
import io
import sys
from typing import Any

_PLAIN = {
    **dict.fromkeys("─━╌╍╴╸╶╺‐‑‒–—―−", "-"),  # noqa: RUF001
    **dict.fromkeys("│┃╎╏", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╞╡╪┏┓┗┛┡┩╇", "+"),
    **dict(zip("▁▂▃▄▅▆▇█", "_.,-=+*#", strict=True)),
    **dict.fromkeys("‘’", "'"),  # noqa: RUF001
    **dict.fromkeys("“”", '"'),
    "±": "~",
    "×": "x",  # noqa: RUF001
    "·": ".",
    "…": ".",
}
"""Characters of our tables and displays, and one in ASCII for each, so that columns stay in line."""

_ERRORS = "srsearch"
_ASCII = "srsearch_ascii"


def print_anything() -> None:
    """Let standard output and error replace what their encoding does not have, instead of raising an error.

    Lines of tables become ``-``, as other programs print them; anything else becomes ``?``.
    """
    codecs.register_error(_ERRORS, _replaced)
    codecs.register(_ascii_codec)
    _lose_messages_that_nobody_takes()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a stream of somebody else's may have none
        if reconfigure is None:
            continue
        try:
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            reconfigure(encoding=_ASCII if is_ascii else None, errors=_ERRORS)
        except (LookupError, TypeError, ValueError, OSError):  # closed, or of an encoding that nobody knows
            continue


class _Messages(io.FileIO):
    """A file whose errors count for nothing: a message that cannot be written must neither end work nor change how it
    ended. A log may be on a disk that is full.
    """

    def write(self, text: Any) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)


def _lose_messages_that_nobody_takes() -> None:
    """Let standard error of the process, but no stream that somebody has put in its place, ignore errors."""
    stream = sys.stderr
    if not isinstance(stream, io.TextIOWrapper) or stream is not sys.__stderr__:
        return
    file = io.BufferedWriter(_Messages(stream.fileno(), "w", closefd=False))
    sys.stderr = io.TextIOWrapper(file, encoding=stream.encoding, errors=stream.errors, line_buffering=True)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(char, "?") for char in error.object[error.start : error.end]), error.end


def _ascii_codec(name: str) -> codecs.CodecInfo | None:
    """ASCII by another name: click writes UTF-8 to a stream that is in ASCII."""
    if name != _ASCII:
        return None
    ascii = encodings.ascii.getregentry()
    return codecs.CodecInfo(
        ascii.encode,
        ascii.decode,
        ascii.streamreader,
        ascii.streamwriter,
        name=_ASCII,
        incrementalencoder=ascii.incrementalencoder,
        incrementaldecoder=ascii.incrementaldecoder,
    )
