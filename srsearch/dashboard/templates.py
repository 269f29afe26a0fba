"""The templates of pages that are one HTML file, with the scripts and styles that they include."""

from __future__ import annotations

import jinja2

TEMPLATES = jinja2.Environment(
    loader=jinja2.ChoiceLoader(
        [jinja2.PackageLoader("srsearch.dashboard", "page"), jinja2.PackageLoader("srsearch.dashboard", "assets")]
    ),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
