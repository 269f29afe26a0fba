"""`Space`: a search space, which is the designs that may be built and their budget."""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srsearch.architecture import Architecture
from srsearch.architecture.canonical import could_be
from srsearch.architecture.registry import OptionValue
from srsearch.cost import Convention, convention
from srsearch.errors import InputError, suggest
from srsearch.objectives import COSTS
from srsearch.space.axes import Axis, AxisTree, is_number
from srsearch.space.candidates import Candidate, Designs
from srsearch.space.checks import impossible
from srsearch.space.enumeration import tabulate
from srsearch.space.grid import ENUMERABLE, Grid
from srsearch.space.schema import Bound, Section, SpaceFile
from srsearch.space.shipped import find_space
from srsearch.space.source import Location, Source
from srsearch.space.validation import changed_section, validated

if TYPE_CHECKING:
    from srsearch.space.report import SpaceReport


class Space:
    """A search space.

    Example:
        >>> space = Space.from_yaml("spaces/lightweight_x4.yaml")
        >>> design = space.sample(numpy.random.default_rng(0))

    Attributes:
        name: The name of the space and of its studies.
        scales: Upscaling factors of every design, ascending.
        scale: The upscaling factor that budget, costs and PSNR are for: of several, the one that ``constraints`` names,
            by default the largest.
        constraints: The budget and the counting convention.
        objectives: The objectives; psnr and ssim are maximised, costs minimised.
        proxy: The training that compares designs.
        search: The settings of the search, such as the sampler.
        text: The text of the file.
        source: The path of the file, for messages.

    Raises:
        InputError: The source is not a valid space; lists all mistakes with file, line and key.
    """

    def __init__(self, source: Source) -> None:
        document = validated(source)
        self._document = document
        self._tree = AxisTree(document.architecture)
        self.scales: tuple[int, ...] = document.scale
        self.scale: int = document.constraints.scale or self.scales[-1]
        problems = [source.error(where, why) for where, why in self._wrong_scales()]
        problems += [source.error(where, why) for where, why in impossible(self._tree.fields, self.scales)]
        steps, lengths = document.proxy.steps, document.search.lengths
        if steps is not None and lengths is not None and lengths[0] != steps:
            why = f"begins with {lengths[0]} steps, but proxy.steps is {steps}; leave one of the two out"
            problems.append(source.error(("search", "lengths"), why))
        if problems:
            raise InputError("\n".join(map(str, problems)))
        self.source = source.path
        self.text = source.text
        self.name = document.name
        if self.scale == self.scales[-1]:  # written or not, it is the same space
            document = self._document = _at_largest_scale(document)
        self.constraints = document.constraints
        self.objectives: tuple[str, ...] = document.objectives
        self.proxy = document.proxy
        self.search = document.search

    @classmethod
    def from_yaml(cls, path: str | Path) -> Space:
        """Read a space from a file, or by name if it comes with the package.

        Raises:
            InputError: There is no such file, or it is not a valid space. The message names file, line and key, and
                says what would be right.
        """
        return cls(Source.read(find_space(path)))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Space:
        """Create a space from plain data of the same form as a file.

        Raises:
            InputError: The data is not a valid space.
        """
        try:
            text = json.dumps(plain, indent=1, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"space: is not plain data: {error}") from None
        return cls(Source(text, "space"))

    @property
    def about(self) -> str:
        """The first sentence of the comment at the top of the file; empty if there is no comment."""
        lines = itertools.takewhile(lambda line: line.startswith("#"), self.text.splitlines())
        comment = " ".join(line.strip("# ") for line in lines if "yaml-language-server" not in line)
        return re.split(r"(?<=\.)\s", comment.strip(), maxsplit=1)[0]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes of the space."""
        return self._tree.axes

    @property
    def combinations(self) -> int:
        """Number of combinations of values, including equal and invalid networks."""
        return self._tree.combinations

    @property
    def convention(self) -> Convention:
        """The counting convention, at the space's image size."""
        named = convention(self.constraints.convention)
        return named.at(self.constraints.mult_adds.at) if self._sized(named) else named

    def _sized(self, named: Convention) -> bool:
        """Whether the space sets the size of the image; otherwise the convention's own size applies."""
        return named.lr is None or "at" in self.constraints.mult_adds.model_fields_set

    @property
    def budget(self) -> dict[str, int]:
        """The upper limits, by cost."""
        return {name: bound.max for name in COSTS if (bound := self._bound(name)).max is not None}

    def with_budget(self, *, max_mult_adds: int | None = None, max_params: int | None = None) -> Space:
        """Return a copy of the space with other upper limits. None leaves a limit unchanged."""
        changed = self.constraints
        for name, limit in (("mult_adds", max_mult_adds), ("params", max_params)):
            if limit is not None:
                bound = changed_section(getattr(changed, name), {"max": limit})
                changed = changed.model_copy(update={name: bound})
        return self._with(constraints=changed)

    def with_settings(
        self, *, proxy: Mapping[str, Any] | None = None, search: Mapping[str, Any] | None = None
    ) -> Space:
        """Return a copy of the space with other entries in its ``proxy`` and ``search`` sections.

        Raises:
            InputError: An entry is not valid.
        """
        return self._with(
            proxy=changed_section(self.proxy, proxy or {}), search=changed_section(self.search, search or {})
        )

    def to_dict(self) -> dict[str, Any]:
        """The space as plain data, including all defaults."""
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

    def identity(self, *, numbers_as_written: bool = False) -> dict[str, Any]:
        """The scale, architecture and constraints as plain data, to tell whether two spaces are the same.

        Defaults are left out, so that a new option changes no identity.

        Args:
            numbers_as_written: Keep the numbers of an axis in the order of the file, as in the identities of older
                studies. The order has no meaning.
        """
        sections = {"scale", "architecture", "constraints"}
        plain: dict[str, Any] = self._document.model_dump(mode="json", include=sections, exclude_defaults=True)
        if self.convention.lr is None and convention(self.constraints.convention).lr is not None:
            # The space sets a size. Left out as a default, it would read as the convention's own size.
            plain["constraints"]["mult_adds"] = plain["constraints"].get("mult_adds", {}) | {
                "at": self.convention.size_text()
            }
        if not numbers_as_written:
            plain["architecture"] = _numbers_ascending(plain["architecture"])
        return plain

    def __reduce__(self) -> Any:
        # The class of the document is made from the parts that are registered, so plain data travels.
        return _restored, (self.to_dict(), self.text, self.source)

    def report(self) -> SpaceReport:
        """Count the designs of the space and the effect of its budget: see `SpaceReport`."""
        from srsearch.space.report import report

        return report(self.grid)

    def describe(self, axes: Mapping[str, OptionValue]) -> Architecture:
        """The design at a point.

        Args:
            axes: One value for every axis that exists at the point.

        Raises:
            InputError: A value is missing, or an axis or value is not one of the space's.
        """
        known = {axis.name: axis for axis in self.axes}
        for name, value in axes.items():
            if name not in known:
                raise InputError(f"the space has no axis {name!r}; {suggest(name, known)}")
            if value not in known[name].values:
                raise InputError(
                    f"axis {name} has no value {value!r}; it has {', '.join(map(repr, known[name].values))}"
                )
        # 5.0 and 5 are equal: take the space's own value.
        axes = {name: known[name].values[known[name].values.index(value)] for name, value in axes.items()}
        for axis in self.axes:
            if axis.exists(axes) != (axis.name in axes):
                raise InputError(f"axis {axis.name} {'needs a value' if axis.exists(axes) else 'does not exist'} here")
        return Architecture(scales=self.scales, **self._tree.description(axes))

    def locate(self, design: Architecture) -> Candidate | None:
        """Find the point of the space that describes a design, feasible or not; None if there is no such point.

        Raises:
            InputError: Too many points would have to be compared.
        """
        if design.scales != self.scales:
            return None
        fields: dict[str, list[Any]] = {}
        positions: dict[str, list[int]] = {}
        for field, values in self.grid.values.items():
            own_value = getattr(design, field, None)
            positions[field] = [i for i, value in enumerate(values) if could_be(field, value, design)]
            fields[field] = [values[i] for i in positions[field]]
            if own_value not in fields[field]:
                fields[field].append(own_value)
        if not all(positions.values()):
            return None
        if math.prod(map(len, fields.values())) > ENUMERABLE:
            raise InputError(f"{self.source}: the space is too large to search for a design")
        identity = tabulate(fields, self.scales, self.scale, self.convention).identity
        identity = identity.reshape([len(v) for v in fields.values()])
        # The design itself is one of the combinations. In every field, the space's values come before the design's.
        own = tuple(values.index(getattr(design, field, None)) for field, values in fields.items())
        equal = identity[tuple(slice(0, len(indices)) for indices in positions.values())] == identity[own]
        if not equal.any():
            return None
        first = np.unravel_index(int(equal.argmax()), equal.shape)
        return self.grid.at({field: positions[field][int(i)] for field, i in zip(fields, first, strict=True)})

    def __contains__(self, design: Architecture) -> bool:
        return self.locate(design) is not None

    @functools.cached_property
    def grid(self) -> Grid:
        """The combinations of the space under its budget."""
        return Grid(self._tree, self.scales, self.scale, self.convention, self._limits(), self.source)

    @property
    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """The budget: for each limit the name of the cost, +1 for an upper or -1 for a lower limit, and its value."""
        return self.grid.limits

    @property
    def feasible(self) -> Designs | None:
        """All feasible designs, each once, in a fixed order; None if the space is too large to enumerate.

        Raises:
            InputError: No design is feasible; the message gives the least costs.
        """
        return self.grid.feasible

    def size(self) -> int:
        """Number of distinct valid designs; see `report` for the share within the budget.

        Raises:
            InputError: The space is too large to enumerate.
        """
        return self.grid.size()

    def candidate(self, axes: Mapping[str, OptionValue]) -> Candidate:
        """The design at a point, with its cost and whether it is feasible.

        Args:
            axes: One value for every axis that exists at the point.
        """
        return self.grid.candidate(axes)

    def points(self) -> Iterator[Candidate]:
        """All combinations of values, feasible or not, in a fixed order."""
        return self.grid.points()

    def random_point(self, rng: np.random.Generator) -> Candidate:
        """Draw a value uniformly on every axis that exists. The point may be infeasible."""
        return self.grid.random_point(rng)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw a random feasible design.

        Args:
            rng: A numpy ``Generator``.

        Raises:
            InputError: No design fits the budget; the message gives the least costs.
        """
        return self.grid.sample(rng)

    def repaired(
        self, axes: Mapping[str, OptionValue], rng: np.random.Generator, known: Collection[str] = ()
    ) -> Candidate | None:
        """Find the feasible new design nearest to a proposal. A feasible and new proposal is returned unchanged.

        The nearest design has the fewest changed fields of the description (a part and its options are one field), then
        the least distance on the axes, then the least change of Mult-Adds. The result is exact in spaces that are
        enumerated. In larger ones, 512 random combinations are tried for each number of changed fields, up to four.

        Args:
            axes: One value for every axis that exists at the proposal.
            rng: Chooses between equally near designs, and draws combinations in large spaces.
            known: Keys of the designs that are not new.

        Returns:
            The nearest design, or None if none was found.
        """
        from srsearch.space.repair import repaired

        return repaired(self.grid, axes, rng, known)

    def _wrong_scales(self) -> Iterator[tuple[Location, str]]:
        """Scales elsewhere in the file that are not the space's."""
        whole = ", ".join(map(str, self.scales))
        if self.scale not in self.scales:
            yield ("constraints", "scale"), f"{self.scale} is not one of the space's scales: {whole}"
        trained = self._document.proxy.scales
        if len(self.scales) == 1 or not trained:
            return  # of one scale, there is nothing to choose
        for index, scale in enumerate(trained):
            if scale not in self.scales:
                yield ("proxy", "scales", index), f"{scale} is not one of the space's scales: {whole}"
        if self.scale not in trained:
            yield ("proxy", "scales"), f"x{self.scale}, whose PSNR counts, is not among the scales that are trained"

    def _limits(self) -> tuple[tuple[str, int, int], ...]:
        limits = []
        for name in COSTS:
            bound = self._bound(name)
            limits += [(name, sign, limit) for sign, limit in ((1, bound.max), (-1, bound.min)) if limit is not None]
        return tuple(limits)

    def _bound(self, name: str) -> Bound:
        bound: Bound = getattr(self.constraints, name)
        return bound

    def _with(self, **sections: Section) -> Space:
        changed = object.__new__(Space)
        changed.__dict__.update({k: v for k, v in self.__dict__.items() if k != "grid"})
        changed.__dict__.update(sections)
        changed._document = self._document.model_copy(update=sections)
        return changed


def _restored(plain: dict[str, Any], text: str, source: str) -> Space:
    """A space that was pickled. The parts of its plugins have to be registered in this process, too."""
    space = Space.from_dict(plain)
    space.text, space.source = text, source
    return space


def _at_largest_scale(document: SpaceFile) -> SpaceFile:
    """The document without ``constraints.scale``, which is then the largest of its scales."""
    return document.model_copy(update={"constraints": document.constraints.model_copy(update={"scale": None})})


def _numbers_ascending(plain: Any) -> Any:
    """The ``architecture`` section with the values of its numeric axes in ascending order, as `Axis` has them."""
    if isinstance(plain, dict):
        return {name: _numbers_ascending(each) for name, each in plain.items()}
    if isinstance(plain, list):
        return sorted(plain) if all(map(is_number, plain)) else [_numbers_ascending(each) for each in plain]
    return plain
