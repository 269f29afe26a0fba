"""The page of `srsearch compare`: one HTML file with the crops, a zoom for all and a wipe between two."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from PIL import Image

from srsearch.dashboard.colours import css_colours
from srsearch.dashboard.templates import TEMPLATES
from srsearch.export.comparison import Box, Shown


def comparison_page(image: str, scale: int, box: Box, shown: Sequence[Shown]) -> str:
    """The page as HTML. It loads nothing from anywhere.

    Args:
        image: Name of the image.
        scale: Upscaling factor.
        box: Place of the crops.
        shown: The crops, HR first.
    """
    shots = [{"name": each.name, "psnr": each.psnr, "url": _url(each)} for each in shown]
    return TEMPLATES.get_template("comparison.html").render(
        image=image, scale=scale, box=box, shots=shots, colours=Markup(css_colours())
    )


def _url(shown: Shown) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shown.crop)).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
