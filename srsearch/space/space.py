"""`Space`: what may be built, and the budget."""

from __future__ import annotations

import functools
import importlib.resources
import itertools
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import pydantic

from srsearch.architecture import Architecture, InvalidDesign
from srsearch.architecture.canonical import could_be
from srsearch.architecture.registry import OptionValue
from srsearch.cost import Convention, Cost, convention, count
from srsearch.errors import InputError, nearest
from srsearch.quantity import format_quantity
from srsearch.space.axes import Alternative, Axis, AxisTree
from srsearch.space.checks import impossible
from srsearch.space.enumeration import Codes, Mask, Table, tabulate
from srsearch.space.schema import Bound, Section, SpaceFile, document_model
from srsearch.space.source import Source

if TYPE_CHECKING:
    from srsearch.space.report import SpaceReport

ENUMERABLE = 10_000_000
"""Spaces with at most so many combinations are enumerated; larger ones are sampled."""

_TRIES = 20_000
"""Random designs drawn before a large space is said to hold none that fits."""

_Section = TypeVar("_Section", bound=Section)

_COSTS = ("mult_adds", "params", "activations")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point of a space: the values chosen, the design that they describe, and its cost.

    Attributes:
        axes: One value for every axis that exists there.
        design: The canonical design; several points may have the same one.
        cost: Under the space's convention; None where the parts do not fit together.
        broken: Why it is not feasible, else None.
        violations: First whether it cannot be built (1 or 0), then for each limit of the budget by what share the cost
            is beyond it; up to 0 is within.
    """

    axes: dict[str, OptionValue]
    design: Architecture
    cost: Cost | None
    broken: str | None
    violations: tuple[float, ...]


class Space:
    """A search space.

    Example:
        >>> space = Space.from_yaml("spaces/lightweight_x4.yaml")
        >>> design = space.sample(numpy.random.default_rng(0))

    Attributes:
        name: What its studies are called.
        scale: Upscaling factor.
        constraints: The budget.
        objectives: What is optimised; psnr and ssim are maximised, costs minimised.
        proxy: How designs are compared.
        search: How designs are chosen.
        text: The file as it was written.
        source: Where it came from, for messages.
    """

    def __init__(self, source: Source) -> None:
        document = _validated(source)
        self._document = document
        self._tree = AxisTree(document.architecture)
        problems = [source.error(where, why) for where, why in impossible(self._tree.fields, document.scale)]
        if problems:
            raise InputError("\n".join(map(str, problems)))
        self.source = source.path
        self.text = source.text
        self.name = document.name
        self.scale = document.scale
        self.constraints = document.constraints
        self.objectives: tuple[str, ...] = document.objectives
        self.proxy = document.proxy
        self.search = document.search

    @classmethod
    def from_yaml(cls, path: str | Path) -> Space:
        """A space from a file, or a space that comes with the package by its name.

        Raises:
            InputError: No such file, not YAML, or not a space; names file, line and key, and what would be right.
        """
        return cls(Source.read(find_space(path)))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Space:
        """A space from plain data of the same form as a file.

        Raises:
            InputError: Not a space.
        """
        try:
            text = json.dumps(plain, indent=1, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"space: is not plain data: {error}") from None
        return cls(Source(text, "space"))

    @property
    def about(self) -> str:
        """The first sentence of the comment that the file begins with; empty where there is none."""
        lines = itertools.takewhile(lambda line: line.startswith("#"), self.text.splitlines())
        said = " ".join(line.strip("# ") for line in lines if "yaml-language-server" not in line)
        return re.split(r"(?<=\.)\s", said.strip(), maxsplit=1)[0]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What the space leaves open."""
        return self._tree.axes

    @property
    def combinations(self) -> int:
        """Number of combinations of values, before equal networks are put together and invalid ones taken out."""
        return self._tree.combinations

    @property
    def convention(self) -> Convention:
        """How costs are counted, and at which size of image."""
        found = convention(self.constraints.convention)
        return found.at(self.constraints.mult_adds.at) if self._sized(found) else found

    def _sized(self, found: Convention) -> bool:
        """Whether the size of the image is the space's, not the convention's own."""
        return found.lr is None or "at" in self.constraints.mult_adds.model_fields_set

    @property
    def budget(self) -> dict[str, int]:
        """The upper limits by cost."""
        return {name: bound.max for name in _COSTS if (bound := self._bound(name)).max is not None}

    def with_budget(self, *, max_mult_adds: int | None = None, max_params: int | None = None) -> Space:
        """The same space under other upper limits; None leaves a limit as it is."""
        changed = self.constraints
        for name, limit in (("mult_adds", max_mult_adds), ("params", max_params)):
            if limit is not None:
                bound = _changed(getattr(changed, name), {"max": limit})
                changed = changed.model_copy(update={name: bound})
        return self._with(constraints=changed)

    def with_settings(
        self, *, proxy: Mapping[str, Any] | None = None, search: Mapping[str, Any] | None = None
    ) -> Space:
        """The same space with other entries in its ``proxy`` and ``search`` sections.

        Raises:
            InputError: An entry is not what it should be.
        """
        return self._with(proxy=_changed(self.proxy, proxy or {}), search=_changed(self.search, search or {}))

    def to_dict(self) -> dict[str, Any]:
        """The whole space as plain data, defaults written out."""
        plain: dict[str, Any] = self._document.model_dump(mode="json", exclude_none=True)
        plain["architecture"] = {
            field: list(values) if isinstance(values, list | tuple) else values
            for field, values in plain["architecture"].items()
        }
        if not self._sized(convention(self.constraints.convention)):
            del plain["constraints"]["mult_adds"]["at"]
        if "scope" in plain["architecture"]:
            for place in ("closing", "upsampler_unit"):
                del plain["architecture"][place]
        return plain

    def identity(self) -> dict[str, Any]:
        """What is searched, as plain data; defaults are left out, so that an option added later changes no identity."""
        sections = {"scale", "architecture", "constraints"}
        plain: dict[str, Any] = self._document.model_dump(mode="json", include=sections, exclude_defaults=True)
        if self.convention.lr is None and convention(self.constraints.convention).lr is not None:
            # Elsewhere the usual size goes without saying; here the convention's own would.
            plain["constraints"]["mult_adds"] = plain["constraints"].get("mult_adds", {}) | {
                "at": self.convention.size_text()
            }
        return plain

    def report(self) -> SpaceReport:
        """What the space holds, before any training: see `SpaceReport`."""
        from srsearch.space.report import report

        return report(self)

    def describe(self, axes: Mapping[str, OptionValue]) -> Architecture:
        """The design at a point: one value for every axis that exists there.

        Raises:
            InputError: A value is missing, unknown, or one that the axis does not have.
        """
        known = {axis.name: axis for axis in self.axes}
        for name, value in axes.items():
            if name not in known:
                raise InputError(f"the space has no axis {name!r}; {nearest(name, known)}")
            if value not in known[name].values:
                raise InputError(
                    f"axis {name} has no value {value!r}; it has {', '.join(map(repr, known[name].values))}"
                )
        # Of 5.0 and 5, which are equal, the space's own.
        axes = {name: known[name].values[known[name].values.index(value)] for name, value in axes.items()}
        for axis in self.axes:
            if axis.exists(axes) != (axis.name in axes):
                raise InputError(f"axis {axis.name} {'needs a value' if axis.exists(axes) else 'does not exist'} here")
        return Architecture(scales=(self.scale,), **self._tree.description(axes))

    def locate(self, design: Architecture) -> Candidate | None:
        """The point of the space that describes a design, whatever its cost, or None where there is none.

        Raises:
            InputError: Too many points come into question.
        """
        if design.scales != (self.scale,):
            return None
        fields: dict[str, list[Any]] = {}
        positions: dict[str, list[int]] = {}
        for field, values in self._values.items():
            own = getattr(design, field, None)
            positions[field] = [i for i, value in enumerate(values) if could_be(field, value, design)]
            fields[field] = [values[i] for i in positions[field]]
            if own not in fields[field]:
                fields[field].append(own)
        if not all(positions.values()):
            return None
        if math.prod(map(len, fields.values())) > ENUMERABLE:
            raise InputError(f"{self.source}: too large to look for one design in")
        identity = tabulate(fields, self.scale, self.convention).identity.reshape([len(v) for v in fields.values()])
        # The design as it stands is one of the combinations; those that the space has come first in every field.
        own_place = tuple(values.index(getattr(design, field, None)) for field, values in fields.items())
        inside = identity[tuple(slice(0, len(found)) for found in positions.values())] == identity[own_place]
        if not inside.any():
            return None
        found = np.unravel_index(int(inside.argmax()), inside.shape)
        return self.at({field: positions[field][int(i)] for field, i in zip(fields, found, strict=True)})

    def __contains__(self, design: Architecture) -> bool:
        return self.locate(design) is not None

    def candidate(self, axes: Mapping[str, OptionValue]) -> Candidate:
        """A point with its design, its cost, and whether it is feasible."""
        design = Architecture(scales=(self.scale,), **self._tree.description(axes))
        try:
            cost = count(design, convention=self.convention)
        except InvalidDesign as error:
            return Candidate(dict(axes), design, None, f"invalid: {error}", self.violations(None))
        violations, broken = self.violations(cost), None
        for (name, factor, limit), violation in zip(self.limits, violations[1:], strict=True):
            if violation > 0 and broken is None:
                side = "above" if factor > 0 else "below"
                broken = f"{name} {format_quantity(getattr(cost, name))} is {side} {format_quantity(limit)}"
        return Candidate(dict(axes), design, cost, broken, violations)

    def violations(self, cost: object | None) -> tuple[float, ...]:
        """What a `Candidate` has as such.

        Args:
            cost: Anything with ``params``, ``mult_adds`` and ``activations``; None for what cannot be built.
        """
        if cost is None:
            return (1.0,) * (1 + len(self.limits))
        return (0.0, *(factor * (getattr(cost, name) / limit - 1) for name, factor, limit in self.limits))

    def points(self) -> Iterator[Candidate]:
        """Every combination of values, feasible or not, in a fixed order."""
        return (self.candidate(axes) for axes in self._tree.points())

    def point(self, index: int) -> Candidate:
        """One combination by its number in the order of `points`."""
        positions = {}
        for field, found in reversed(self.alternatives.items()):
            index, positions[field] = divmod(index, len(found))
        return self.at(positions)

    def at(self, positions: Mapping[str, int]) -> Candidate:
        """One combination by the positions of its fields' alternatives."""
        axes: dict[str, OptionValue] = {}
        for field, found in self.alternatives.items():
            axes |= found[positions[field]].axes
        return self.candidate(axes)

    def random_point(self, rng: np.random.Generator) -> Candidate:
        """A point with every existing axis drawn uniformly; may be infeasible."""
        axes: dict[str, OptionValue] = {}
        for axis in self.axes:
            if axis.exists(axes):
                axes[axis.name] = axis.values[int(rng.integers(len(axis.values)))]
        return self.candidate(axes)

    def positions(self, axes: Mapping[str, OptionValue]) -> tuple[int, ...]:
        """The position of each field's alternative at a point, in the order of the fields; `at` leads back."""
        return tuple(
            places[tuple((name, axes[name]) for name in names if name in axes)] for names, places in self._places
        )

    def repaired(
        self, axes: Mapping[str, OptionValue], rng: np.random.Generator, known: Collection[str] = ()
    ) -> Candidate | None:
        """The feasible new design nearest to a proposal: the proposal itself where it is one.

        Nearest is: fewest fields of the description changed (a part and its options are one field), then the least
        distance on the axes, then the least change of Mult-Adds. It is exact where the space is enumerated; in larger
        ones 512 random combinations are tried for each number of changed fields, up to four.

        Args:
            axes: One value for every axis that exists there.
            rng: Decides between equally near designs, and draws.
            known: Keys of the designs that are not new.

        Returns:
            The nearest, or None where none was found.
        """
        from srsearch.space.repair import repaired

        return repaired(self, axes, rng, known)

    def key(self, index: int) -> str:
        """The key of the design at one combination of an enumerated space; computed once for each design."""
        table = self.table
        if table is None:
            return self.point(index).design.key
        identity = int(table.identity[index])
        if identity not in self._keys:
            self._keys[identity] = self.point(index).design.key
        return self._keys[identity]

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random feasible design.

        Args:
            rng: A numpy ``Generator``.

        Raises:
            InputError: No design fits the budget; says what the cheapest costs.
        """
        for _ in range(min(_TRIES, self.combinations + 1)):
            drawn = self.random_point(rng)
            if drawn.broken is None:
                return drawn.design
        if self.feasible is None:
            raise self.impossible(self.draw(_TRIES, rng)[0])
        return self.feasible[int(rng.integers(len(self.feasible)))].design

    @functools.cached_property
    def table(self) -> Table | None:
        """Costs of all combinations in the order of `points`, or None where there are too many to enumerate."""
        if self.combinations > ENUMERABLE:
            return None
        return tabulate(self._values, self.scale, self.convention)

    def draw(self, number: int, rng: np.random.Generator) -> tuple[Table, dict[str, Codes]]:
        """Costs of random combinations, each equally likely; and the alternatives that they have, by field."""
        rows = {field: rng.integers(len(values), size=number) for field, values in self._values.items()}
        return self.tabulate(rows), rows

    def tabulate(self, rows: Mapping[str, Codes]) -> Table:
        """Costs of given combinations.

        Args:
            rows: For each field the positions of its alternatives.
        """
        return tabulate(self._values, self.scale, self.convention, rows)

    @functools.cached_property
    def inside(self) -> Mask:
        """Which combinations are valid and within the budget, in the order of `points`.

        Raises:
            InputError: The space is too large to enumerate.
        """
        if self.table is None:
            raise InputError(f"{self.source}: {self.combinations:,} combinations are too many to enumerate")
        return self.table.within(self.limits)

    @functools.cached_property
    def feasible(self) -> Designs | None:
        """Every feasible design once, in a fixed order, or None where the space is too large to enumerate.

        Raises:
            InputError: There is none; says what the cheapest design costs.
        """
        if self.table is None:
            return None
        found = self.table.distinct(self.inside)
        if not len(found):
            raise self.impossible(self.table)
        return Designs(self, found)

    def size(self) -> int:
        """Number of distinct valid designs; see `report` for the share within the budget.

        Raises:
            InputError: The space is too large to enumerate.
        """
        if self.table is None:
            raise InputError(
                f"{self.source}: {self.combinations:,} combinations are too many to enumerate (over {ENUMERABLE:,}); "
                "report() estimates"
            )
        return len(np.unique(self.table.identity[self.table.valid]))

    @functools.cached_property
    def alternatives(self) -> dict[str, list[Alternative]]:
        """All ways to fill each field of the description, in order."""
        return {field: self._tree.alternatives(field) for field in self._tree.fields}

    @functools.cached_property
    def _places(self) -> list[tuple[list[str], dict[tuple[tuple[str, OptionValue], ...], int]]]:
        """For each field the names of its axes, and the position of each alternative by its values on them."""
        places = []
        for field, found in self.alternatives.items():
            names = [axis.name for axis in self.axes if axis.name == field or axis.name.startswith(f"{field}.")]
            values = [tuple((name, each.axes[name]) for name in names if name in each.axes) for each in found]
            places.append((names, {chosen: i for i, chosen in enumerate(values)}))
        return places

    @functools.cached_property
    def _keys(self) -> dict[int, str]:
        """Keys of designs by their identity in the table, as far as they have been asked for."""
        return {}

    @property
    def _values(self) -> dict[str, list[Any]]:
        return {field: [each.value for each in found] for field, found in self.alternatives.items()}

    @functools.cached_property
    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """The budget: name of the cost, +1 for an upper and -1 for a lower limit, the limit."""
        limits = []
        for name in _COSTS:
            bound = self._bound(name)
            limits += [(name, sign, limit) for sign, limit in ((1, bound.max), (-1, bound.min)) if limit is not None]
        return tuple(limits)

    def _bound(self, name: str) -> Bound:
        bound: Bound = getattr(self.constraints, name)
        return bound

    def _with(self, **sections: Section) -> Space:
        changed = object.__new__(Space)
        changed.__dict__.update({k: v for k, v in self.__dict__.items() if k not in _DERIVED})
        changed.__dict__.update(sections)
        changed._document = self._document.model_copy(update=sections)
        return changed

    def impossible(self, table: Table) -> InputError:
        """What to say of a space in which no combination of a table is feasible."""
        if not table.valid.any():
            reason = self.point(0).broken
            return InputError(f"{self.source}: architecture: no combination of these parts can be built; {reason}")
        who = "any design" if table is self.table else f"{len(table):,} random designs"
        extremes = []
        for name, sign, _ in self.limits:
            values = getattr(table, name)[table.valid]
            extreme = int(values.min() if sign > 0 else values.max())
            extremes.append(f"the {'least' if sign > 0 else 'most'} {name} of {who} is {format_quantity(extreme, 4)}")
        return InputError(
            f"{self.source}: constraints: no design of the space fits the budget ({self.budget_text()}): "
            f"{'; '.join(extremes)}"
        )

    def budget_text(self) -> str:
        """The budget for people, such as ``mult_adds <= 40G at 1280x720, params <= 800K``."""
        parts = []
        for name, sign, limit in self.limits:
            at = f" at {self.convention.size_text()}" if name != "params" else ""
            parts.append(f"{name} {'<=' if sign > 0 else '>='} {format_quantity(limit, 4)}{at}")
        text = ", ".join(parts) or "no limits"
        return text if self.constraints.convention == "ours" else f"{text}, counted as {self.constraints.convention}"


_DERIVED = ("table", "inside", "feasible", "limits", "_keys")
"""What is computed once from the budget, and again under another."""


class Designs(Sequence[Candidate]):
    """The feasible designs of a space, each described when it is asked for.

    Args:
        space: The space.
        indices: Numbers of combinations, one for each design.
    """

    def __init__(self, space: Space, indices: Codes) -> None:
        self._space = space
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> list[Candidate]: ...
    def __getitem__(self, index: int | slice) -> Candidate | list[Candidate]:
        if isinstance(index, slice):
            return [self._space.point(int(each)) for each in self.indices[index]]
        return self._space.point(int(self.indices[index]))


def find_space(name: str | Path) -> Path:
    """A space file: as given, or one that comes with the package, by its name with or without ``.yaml``.

    Raises:
        InputError: There is none; names the nearest.
    """
    path = Path(name)
    try:
        found = path.is_file()
    except OSError as error:  # such as a name that is too long
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if found:
        return path
    shipped = {each.stem: each for each in sorted(_shipped_folder().glob("*.yaml"))}
    # `spaces/lightweight_x4.yaml` is how the README of a checkout writes it: let it work anywhere.
    if path.parent.name in ("", "spaces") and path.suffix in ("", ".yaml") and path.stem in shipped:
        return shipped[path.stem]
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a space file")
    raise InputError(
        f"{path}: no such file, and no space of that name comes with srsearch; {nearest(path.stem, shipped)}"
    )


def shipped_spaces() -> tuple[str, ...]:
    """The names of the spaces that come with the package."""
    return tuple(sorted(each.stem for each in _shipped_folder().glob("*.yaml")))


def _shipped_folder() -> Path:
    package = Path(str(importlib.resources.files("srsearch")))
    installed = package / "spaces"
    return installed if installed.is_dir() else package.parent / "spaces"


def _validated(source: Source) -> SpaceFile:
    if not isinstance(source.data, dict) or not source.data:
        raise InputError(f"{source.path}:1: a space is a mapping with name, scale and architecture")
    try:
        return document_model().model_validate(source.data)
    except pydantic.ValidationError as error:
        problems = [_problem(source, each) for each in error.errors()]
        raise InputError("\n".join(str(problem) for problem in problems)) from None


def _problem(source: Source, error: Any) -> InputError:
    """One of pydantic's errors as ours, with file, line and key."""
    location = error["loc"]
    if error["type"] == "unknown_key":
        location = (*location, error["ctx"]["key"].strip("'"))
    elif error["type"] == "missing":
        return source.error(location[:-1], f"the key {location[-1]!r} is missing")
    return source.error(location, _message(error))


def _message(error: Any) -> str:
    """What is wrong, with the value, and what would be right."""
    value = error.get("input")
    if error["type"] in _OWN:
        return str(error["msg"])
    if error["type"] == "value_error":
        return f"{value!r} {error['msg'].removeprefix('Value error, ')}"
    if error["type"] == "literal_error":
        valid = [each.strip("' ") for each in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        hint = nearest(str(value), valid)
        return f"{value!r} is not one of {', '.join(valid)}{f'; {hint}' if hint.startswith('did') else ''}"
    if error["type"] in ("model_type", "dict_type"):
        return f"{value!r} is not a mapping of names to values"
    return f"{value!r} {error['msg'].removeprefix('Input ').removeprefix('String ')}"


def _changed(section: _Section, changes: Mapping[str, Any]) -> _Section:
    """A section with other entries, checked."""
    try:
        return type(section).model_validate(section.model_dump(exclude_unset=True) | dict(changes))
    except pydantic.ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))}: {_message(each)}" for each in error.errors()]
        raise InputError("\n".join(problems)) from None


_OWN = (
    "unknown_key",
    "empty_axis",
    "duplicate_value",
    "unknown_part",
    "not_a_part",
    "quantity",
    "output",
    "bound",
    "objectives",
    "convention",
    "scope",
)
"""Errors of our own, whose messages name the value themselves."""
