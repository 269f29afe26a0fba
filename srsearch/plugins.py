"""Parts of the user's own: from a Python file, or from an installed package by an entry point.

An entry point of the group ``srsearch.parts`` names a module; importing it registers its parts. A file is loaded by
`load_plugin`, or by ``--plugin``. Processes that are started from here on load the same files.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import traceback
import warnings
from pathlib import Path

from srsearch.errors import InputError

ENTRY_POINTS = "srsearch.parts"

_WANTED = "SRSEARCH_PLUGINS"
"""Environment variable with the files to load, which child processes inherit: a JSON list, as paths hold any sign."""


def load_plugin(path: str | Path) -> None:
    """Run a Python file that registers parts; a file that is loaded already is not run again.

    Args:
        path: The file. It is ordinary Python and may do anything: load only what you trust.

    Raises:
        InputError: No such file, or it cannot be run; says where and why.

    Example:
        >>> load_plugin("my_parts.py")
        >>> Architecture.from_dict({"scale": 4, "block": "wide"})
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise InputError(f"{path}: no such plugin file; --plugin takes a Python file that registers parts")
    name = f"srsearch_plugin_{file.stem}_{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise InputError(f"{path}: is not a Python file; a plugin's name ends in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
                spec.loader.exec_module(module)
        except KeyboardInterrupt:
            del sys.modules[name]
            raise
        except BaseException as error:  # SystemExit, too: a plugin does not end the command
            del sys.modules[name]
            raise InputError(f"{path}{_line(error, file)}: the plugin cannot be loaded: {error}") from None
    if str(file) not in (wanted := plugin_files()):
        os.environ[_WANTED] = json.dumps([*wanted, str(file)])


def load_wanted_plugins() -> None:
    """Load installed plugins, and the files that the parent process had loaded."""
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            with contextlib.redirect_stdout(sys.stderr):
                entry.load()
        except Exception as error:  # somebody else's package must not keep srsearch from working
            warnings.warn(f"the srsearch plugin {entry.name!r} ({entry.value}) cannot be loaded: {error}", stacklevel=2)
    for file in plugin_files():
        load_plugin(file)


def plugin_files() -> list[str]:
    """The absolute paths of the plugin files that this process has loaded, or that its parent had, in their order."""
    files: list[str] = json.loads(os.environ.get(_WANTED) or "[]")
    return files


def _line(error: BaseException, file: Path) -> str:
    """Where in the file it went wrong, as ``:12``."""
    if isinstance(error, SyntaxError):
        return f":{error.lineno}" if error.lineno else ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f":{lines[-1]}" if lines else ""
