"""The model card: a README.md that says what a model is, what it costs, how it was trained and how to load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from srsearch.architecture import Architecture, Model, catalogue
from srsearch.cost import count
from srsearch.quantity import format_quantity

UNKNOWN = "Not recorded."


def model_card(model: Model, files: Sequence[str] = ("model.safetensors",)) -> str:
    """The card as Markdown, with the front matter that model hubs read.

    Args:
        model: A model with a design.
        files: The names of the files that it describes.
    """
    design = _design(model)
    scales = ", ".join(f"x{scale}" for scale in design.scales)
    header = {
        "library_name": "srsearch",
        "pipeline_tag": "image-to-image",
        "tags": ["super-resolution", "image-upscaling", "srsearch", *(f"{scale}x" for scale in design.scales)],
    }
    sections = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---",
        f"# {model.name}",
        f"A network for single-image super-resolution {scales}, by [srsearch](https://pypi.org/project/srsearch).",
        f"## Design\n\n{_described(design)}",
        f"## Cost\n\n{_costs(design)}",
        f"## Training\n\n{_training(model.facts)}",
        f"## Scores\n\n{_scores(model.facts)}",
        f"## Use\n\n{_use(model, files)}",
    ]
    return "\n\n".join(sections) + "\n"


def published_name(design: Architecture) -> str | None:
    """The published network that a design is, if it is one."""
    for name in catalogue.names():
        published = catalogue.published(name)
        choices = [*published.scales, *([None] if published.multi_scale else [])]
        if any(catalogue.get(name, scale) == design for scale in choices):
            return name
    return None


def _design(model: Model) -> Architecture:
    assert model.design is not None, "bicubic upscaling has no card"
    return model.design


def _described(design: Architecture) -> str:
    name = published_name(design)
    known = "" if name is None else f"The published network {name}.\n\n"
    return f"{known}Key: `{design.key}`\n\n```yaml\n{yaml.safe_dump(design.to_dict(), sort_keys=False)}```"


def _costs(design: Architecture) -> str:
    rows = []
    for scale in design.scales:
        cost = count(design, scale=scale)
        rows.append([f"x{scale}", format_quantity(cost.params), format_quantity(cost.mult_adds)])
    return _table(["Scale", "Parameters", "Mult-Adds for 1280x720"], rows)


def _training(facts: Mapping[str, Any]) -> str:
    known = {name: facts[name] for name in ("source", "steps", "seed", "data", "recipe", "versions") if facts.get(name)}
    return f"```yaml\n{yaml.safe_dump(_plain(known), sort_keys=False)}```" if known else UNKNOWN


def _scores(facts: Mapping[str, Any]) -> str:
    results = [row for row in facts.get("results") or [] if isinstance(row, Mapping)]
    if not results:
        return UNKNOWN
    columns = list(dict.fromkeys(str(name) for row in results for name in row))
    return _table(columns, [[_cell(row.get(name)) for name in columns] for row in results])


def _use(model: Model, files: Sequence[str]) -> str:
    weights = next((file for file in files if file.endswith(".safetensors")), None)
    scales = _design(model).scales
    option, argument = (f" --scale {scales[-1]}", f", scale={scales[-1]}") if len(scales) > 1 else ("", "")
    parts = []
    if weights is not None:
        parts.append(f"```sh\nsrsearch upscale {weights} photo.png{option}\n```")
        channels = "RGB" if _design(model).colour == "rgb" else "luminance"
        lines = [
            "import srsearch as sr",
            "",
            f'network = sr.load("{weights}")  # images (n, c, h, w) in 0..1, {channels}',
            f"upscaled = network(image{argument})",
        ]
        parts.append("In Python:\n\n```python\n" + "\n".join(lines) + "\n```")
    parts += [
        f"`{file}` takes `image` (1, c, height, width) in 0..1 and gives `upscaled`, which you clip to 0..1."
        for file in files
        if file.endswith(".onnx")
    ]
    parts += [
        f"`{file}`: `torch.jit.load` gives a function of (1, c, height, width) in 0..1."
        for file in files
        if file.endswith(".pt")
    ]
    return "\n\n".join(parts)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) <= 1 else f"{value:.2f}"
    return "" if value is None else str(value)


def _plain(value: Any) -> Any:
    """Plain data that YAML writes without tags."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
