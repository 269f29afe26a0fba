"""What the process that others are forked from does once, instead of each of them."""

from __future__ import annotations

import torch._dynamo  # noqa: F401 - imported by the first optimizer of a process, which takes two seconds of a core

from srsearch.space import Space

# The costs of the parts of this space, which most commands need that tests run.
assert Space.from_yaml("lightweight_x4").feasible
