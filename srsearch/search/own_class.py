"""Classes of the user's, named as ``module:Class``."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TypeVar

from srsearch.errors import InputError

_Base = TypeVar("_Base")


def own_class(what: str, name: str, base: type[_Base], base_name: str) -> type[_Base]:
    """Import a class of the user's; modules in the working directory are found.

    Args:
        what: What the class is for, such as ``evaluator``; for messages.
        name: ``module:Class``.
        base: What it has to be a subclass of.
        base_name: How a user imports that.

    Raises:
        InputError: There is no such module or class, it cannot be imported, or it is no such subclass.
    """
    module_name, _, class_name = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        loaded = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # anything may go wrong in somebody's module
        raise InputError(f"{what} {name!r} cannot be loaded: {error}") from None
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        raise InputError(f"{what} {name!r} is not a subclass of {base_name}")
    return loaded
