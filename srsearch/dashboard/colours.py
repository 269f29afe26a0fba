"""The colours of the figures as CSS, for the style sheets of the report and the live pages."""

from __future__ import annotations

from srsearch.plots._theme import DARK, LIGHT, Palette

_VARIABLES = ("surface", "raised", "ink", "quiet", "grid", "accent", "veil", "muted", "limit")


def css_colours() -> str:
    """CSS variables such as ``--ink``: those of the light palette, and on dark screens those of the dark one."""
    return f"{_root(LIGHT)} @media screen and (prefers-color-scheme: dark) {{ {_root(DARK)} }}"


def _root(palette: Palette) -> str:
    return ":root { " + " ".join(f"--{name}: {getattr(palette, name)};" for name in _VARIABLES) + " }"
