"""The published networks of the CARN and PCARN papers as designs."""

from __future__ import annotations

from typing import Any

from srsearch.architecture.design import Architecture
from srsearch.errors import InputError, nearest

_MULTI_SCALE = (2, 3, 4)

_CARN = {"body": {"cascade": {"fusion_activation": True}}, "global_skip": False}
_MOBILE = {
    "block": "efficient_residual",
    "unit": {"grouped": {"groups": 4}},
    "upsampler": {"pixel_shuffle": {"groups": 4}},
}

_DESIGNS: dict[str, dict[str, Any]] = {
    "carn": _CARN,
    "carn-m": _MOBILE | {"body": {"cascade": {"share": "group", "fusion_activation": True}}, "global_skip": False},
    "pcarn": {},
    "pcarn-m": _MOBILE | {"body": {"cascade": {"share": "group"}}},
    # Table I of the PCARN paper; its last two rows are carn and pcarn.
    "carn-baseline": {"body": {"cascade": {"fusion": "none"}}, "global_skip": False},
    "carn-local": {"body": {"cascade": {"fusion": "local", "fusion_activation": True}}, "global_skip": False},
    "carn-global": {"body": {"cascade": {"fusion": "global", "fusion_activation": True}}, "global_skip": False},
}


def names() -> tuple[str, ...]:
    """The names of the published networks."""
    return tuple(_DESIGNS)


def get(name: str, scale: int | None = None) -> Architecture:
    """A published network.

    Args:
        name: One of `names`.
        scale: For a single-scale network; without one it has the upsamplers for x2, x3 and x4, as published.

    Raises:
        InputError: Unknown name or scale.
    """
    if name not in _DESIGNS:
        raise InputError(f"no published network is named {name!r}; {nearest(name, _DESIGNS)}")
    return Architecture.from_dict({"scale": scale or list(_MULTI_SCALE), **_DESIGNS[name]})
