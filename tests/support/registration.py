"""Registers parts for the duration of a test, because the tests of the schema list all registered parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn

from srsearch.architecture import register, registry


@contextlib.contextmanager
def registered(kind: str, name: str, module: type[nn.Module]) -> Iterator[None]:
    """Make a class a part of designs within the context."""
    register(kind, name)(module)
    try:
        yield
    finally:
        del registry._REGISTRY[kind][name]
