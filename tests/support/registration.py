"""Parts that are registered for a while: the tests of the schema list every part that there is."""

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
