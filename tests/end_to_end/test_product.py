"""docs/from-search-to-product.md, executed with smaller settings."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from srsearch.export import tracing
from tests.conftest import CHECKOUT
from tests.support.commands import Command

PAGE = CHECKOUT / "docs" / "from-search-to-product.md"

TINY = {
    "name": "lightweight_x4",
    "scale": 4,
    "architecture": {"channels": [4, 6], "body": {"chain": {"blocks": 1}}, "image_residual": "bicubic"},
    "constraints": {"mult_adds": {"max": "3G"}},
    "proxy": {"data": "builtin", "steps": 2, "batch": 1, "patch": 8},
    "search": {"sampler": "random", "trials": 2, "seed": 1, "workers": 1},
}


def blocks(language: str) -> list[str]:
    """The code blocks of a language on the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.long(10)
def test_the_page_leads_from_a_search_to_an_upscaled_photo(
    srsearch: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "SIZES", ((17, 31), (1, 5)))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (15, 20, 3)).astype(np.uint8)
    Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC).save(tmp_path / "photos" / "photo.png")
    smaller = {"run lightweight_x4": "run tiny.yaml", "--minutes 30": "--steps 4"}
    for line in "".join(blocks("sh")).splitlines():
        for written, small in smaller.items():
            line = line.replace(written, small)
        program, *arguments = shlex.split(line)
        assert program == "srsearch"
        ran = srsearch(*arguments)
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
    for made in ("best.yaml", "model.safetensors", "model.onnx", "README.md", "compare_photo.html"):
        assert (tmp_path / made).is_file(), made
    with Image.open(tmp_path / "photos" / "photo_x4.png") as large:
        assert large.size == (320, 240)
    with contextlib.chdir(tmp_path):
        for block in blocks("python"):
            exec(block, {})
