"""Recipe files: a `Recipe` as YAML, of yours or of those that come with the package."""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path

from srsearch.errors import InputError, suggest
from srsearch.space.schema import RecipeSection
from srsearch.space.source import Source, exists
from srsearch.space.validation import checked
from srsearch.training.recipe import Recipe


def find_recipe(name: str | Path) -> Path:
    """Find a recipe file by its path, or one that comes with the package by its name, with or without ``.yaml``.

    Raises:
        InputError: There is no such file; the message suggests the nearest name.
    """
    path = Path(name).expanduser()
    if exists(path):
        return path
    shipped = {each.stem: each for each in _folder().glob("*.yaml")}
    if path.parent.name in ("", "recipes") and path.suffix in ("", ".yaml") and path.stem in shipped:
        return shipped[path.stem]
    raise InputError(
        f"{path}: no such file, and no recipe of that name comes with srsearch; {suggest(path.stem, sorted(shipped))}"
    )


def read_recipe(name: str | Path) -> Recipe:
    """Read a recipe by its path or its name.

    Raises:
        InputError: There is no such recipe, or it is not valid; a line with file, line and key for each mistake.
    """
    source = Source.read(find_recipe(name))
    if not isinstance(source.data, dict) or not source.data:
        raise InputError(f"{source.path}:1: a recipe is a mapping with steps, batch, patch and so on")
    section = checked(source, RecipeSection)
    try:
        return Recipe.from_dict(section.model_dump(exclude_none=True))
    except InputError as error:
        message = str(error).removeprefix("recipe: ")
        key = next((name for name in source.data if re.match(rf"(unknown )?(the )?{name}\b", message)), None)
        raise source.error(() if key is None else (key,), message.removeprefix(f"{key}: ")) from None


def shipped_recipes() -> dict[str, str]:
    """The recipes that come with the package by name, each with the sentence that says what it is."""
    return {each.stem: about(each) for each in sorted(_folder().glob("*.yaml"))}


def about(file: Path) -> str:
    """The comment that a recipe file begins with, up to its first empty line, as one line."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.removeprefix("#").strip()
        if not line.startswith("#") or not text:
            break
        lines.append(text)
    return " ".join(lines)


def _folder() -> Path:
    return Path(str(importlib.resources.files("srsearch"))) / "training" / "recipes"
