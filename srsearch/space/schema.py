"""Pydantic models of a space file, made from the registered parts, and its JSON Schema for editors."""

from __future__ import annotations

import itertools
import math
import re
from typing import Annotated, Any, Literal

import pydantic
from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from srsearch.architecture.canonical import default_part
from srsearch.architecture.design import Scale
from srsearch.architecture.network import Colour, ImageResidual
from srsearch.architecture.registry import PLACES, PartType, PositiveInt, Subsets, part_types
from srsearch.cost import convention_names
from srsearch.errors import InputError, suggest
from srsearch.objectives import OBJECTIVES, QUALITIES, is_cost
from srsearch.quantity import parse_output_size, parse_quantity

SAMPLERS = ("frontier", "tpe", "nsga2", "nsga3", "random", "qmc", "gp", "cmaes")
"""Names of the samplers that come with srsearch."""

MAX_SEED = 2**31 - 1
"""The largest seed that all samplers and PyTorch take."""

MAX_WORKERS = 256
"""More worker processes than any machine has use for."""


class Section(pydantic.BaseModel):
    """A mapping that refuses unknown keys and suggests the nearest valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _names(cls, data: Any) -> Any:
        for key in data if isinstance(data, dict) else ():
            if key not in cls.model_fields:
                hint = suggest(key, cls.model_fields)
                raise PydanticCustomError("unknown_key", "unknown key {key}; {hint}", {"key": repr(key), "hint": hint})
        return data


class OneOrMany:
    """Annotation of a tuple field that is an axis. One value needs no brackets; no values and repeats are refused."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.chain_schema(
            [
                core_schema.no_info_plain_validator_function(self._as_tuple),
                core_schema.tuple_variable_schema(handler(source.__args__[0])),
                core_schema.no_info_plain_validator_function(self._check_values),
            ]
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        item = handler(schema["steps"][1]["items_schema"][0])
        return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1, "uniqueItems": True}]}

    @staticmethod
    def _as_tuple(value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, list | tuple) else (value,)

    @staticmethod
    def _check_values(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values:
            raise PydanticCustomError("empty_axis", "an axis without values; give at least one")
        names = [value.choice if isinstance(value, PartChoice) else value for value in values]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError("duplicate_value", "{value} is listed twice", {"value": repr(name)})
        return values


class Objectives(OneOrMany):
    """Annotation of the objectives: one or more without repeats, and at least one measures quality."""

    @staticmethod
    def _check_values(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if all(map(is_cost, OneOrMany._check_values(values))):
            raise PydanticCustomError(
                "objectives", f"without {' or '.join(QUALITIES)} the cheapest design is best; add one of them"
            )
        return values


class NameSets(OneOrMany):
    """Annotation of an axis whose values are sets of names; ``{any: names, at_most: n}`` stands for all subsets."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        plain = super().__get_pydantic_json_schema__(schema, handler)
        number = {"type": "integer", "minimum": 0}
        names = {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}
        subsets = {
            "type": "object",
            "properties": {"any": names, "at_least": number, "at_most": number},
            "required": ["any"],
            "additionalProperties": False,
        }
        item, several = plain["anyOf"]
        several = several | {"items": {"anyOf": [item, subsets]}}
        return {"anyOf": [item, subsets, several]}

    @staticmethod
    def _as_tuple(value: Any) -> tuple[Any, ...]:
        values: list[Any] = []
        for each in OneOrMany._as_tuple(value):
            values += _subsets(each) if isinstance(each, dict) else [each]
        return tuple(values)


def _subsets(plain: dict[Any, Any]) -> list[str]:
    """The subsets that ``{any: names, at_least: n, at_most: n}`` stands for, small ones first; the empty one is none.

    Raises:
        PydanticCustomError: It has another form, or stands for too many subsets.
    """
    names: Any = plain.get("any")
    whole = isinstance(names, list) and bool(names) and all(isinstance(name, str) for name in names)
    if not whole or plain.keys() - {"any", "at_least", "at_most"} or len({*names}) < len(names):
        raise PydanticCustomError("subsets", "not a set of names; write {any: [h, 1_2], at_most: 2}")
    fewest, most = plain.get("at_least", 0), plain.get("at_most", len(names))
    if type(fewest) is not int or type(most) is not int or not 0 <= fewest <= most <= len(names):
        context = {"total": len(names)}
        raise PydanticCustomError("subsets", "at_least and at_most should be 0 to {total}, in this order", context)
    sizes = range(fewest, most + 1)
    number = sum(math.comb(len(names), size) for size in sizes)
    if number > _MOST_SUBSETS:
        context = {"number": number, "most": _MOST_SUBSETS}
        raise PydanticCustomError("subsets", "{number} subsets are too many (over {most}); lower at_most", context)
    return ["+".join(chosen) or "none" for size in sizes for chosen in itertools.combinations(names, size)]


_MOST_SUBSETS = 5000


class Scales(OneOrMany):
    """Annotation of the upscaling factors of a design: one, or several in ascending order."""

    @staticmethod
    def _check_values(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values:
            raise PydanticCustomError("scales", "an empty list; give a scale, such as 4, or several: [2, 3, 4]")
        for value in values:
            if values.count(value) > 1:
                raise PydanticCustomError("scales", "{value} is listed twice", {"value": value})
        if (ascending := sorted(values)) != list(values):
            context = {"values": list(values), "ascending": ascending}
            raise PydanticCustomError("scales", "{values} are not in ascending order; write {ascending}", context)
        return values


class PartChoice(Section):
    """One part of a kind with the values of its options: exactly one field is set."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _bare_name(cls, data: Any) -> Any:
        if isinstance(data, str):
            if data not in cls.model_fields:
                raise cls._unknown(data)
            return {data: {}}
        if not isinstance(data, dict) or len(data) != 1:
            raise PydanticCustomError(
                "not_a_part",
                "not a {kind}; write a name, or one name with its options as `name: {option: values}`",
                {"kind": cls.kind()},
            )
        (name,) = data
        if name not in cls.model_fields:
            raise cls._unknown(name)
        return data

    @classmethod
    def _unknown(cls, name: str) -> PydanticCustomError:
        message = "unknown {kind} {key}; {hint} (load a part of your own with --plugin FILE)"
        context = {"kind": cls.kind(), "key": repr(name), "hint": suggest(name, cls.model_fields)}
        return PydanticCustomError("unknown_part", message, context)

    @classmethod
    def kind(cls) -> str:
        return cls.__name__.removesuffix("Choice").lower()

    @property
    def choice(self) -> str:
        """The name of the part."""
        (name,) = self.model_fields_set
        return name

    @property
    def options(self) -> dict[str, tuple[Any, ...]]:
        """The values of the part's options, including defaults."""
        return dict(getattr(self, self.choice))


def _quantity(value: Any) -> int:
    try:
        return parse_quantity(value)
    except InputError as error:
        raise PydanticCustomError("quantity", "{reason}", {"reason": str(error)}) from None


def _output(value: Any) -> tuple[int, int]:
    try:
        return parse_output_size(value)
    except InputError as error:
        raise PydanticCustomError("output", "{reason}", {"reason": str(error)}) from None


_QUANTITY_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": r"^\s*[0-9]+(_[0-9]+)*(\.[0-9]+)?([eE]\+?[0-9]{1,2})?\s*[kKMGT]?\s*$"},
    ]
}
Quantity = Annotated[
    int,
    pydantic.PlainValidator(_quantity),
    pydantic.WithJsonSchema(_QUANTITY_SCHEMA),
    pydantic.PlainSerializer(lambda v: v),
]
OutputSize = Annotated[
    tuple[int, int],
    pydantic.PlainValidator(_output),
    pydantic.WithJsonSchema({"type": "string", "pattern": r"^[1-9][0-9]*\s*x\s*[1-9][0-9]*$"}),
    pydantic.PlainSerializer(lambda v: f"{v[0]}x{v[1]}"),
]


class Bound(Section):
    """Limits of a cost."""

    min: Quantity | None = Field(None, description="at least this much")
    max: Quantity | None = Field(None, description="at most this much, such as 40G or 800K")

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Bound:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise PydanticCustomError("bound", "min {low} is above max {high}", {"low": self.min, "high": self.max})
        return self


class ImageBound(Bound):
    """Limits of a cost that depends on the size of the image."""

    at: OutputSize = Field((1280, 720), description="width x height of the HR image that the cost is counted for")


def _convention_name(value: Any) -> str:
    if value not in convention_names():
        hint = suggest(str(value), convention_names())
        raise PydanticCustomError(
            "convention", "unknown convention {name}; {hint}", {"name": repr(value), "hint": hint}
        )
    return str(value)


ConventionName = Annotated[
    str,
    pydantic.PlainValidator(_convention_name),
    pydantic.WithJsonSchema({"enum": list(convention_names())}),
    pydantic.PlainSerializer(lambda v: v),
]


class Constraints(Section):
    """The budget: hard limits, checked before anything is trained."""

    convention: ConventionName = Field("ours", description="how costs are counted: `ours`, or a paper's convention")
    scale: Scale | None = Field(
        None, description="of several scales, the one that limits, costs and PSNR are for; by default the largest"
    )
    mult_adds: ImageBound = ImageBound()
    params: Bound = Bound()
    activations: Bound = Bound()


def _folder(value: Any) -> str:
    """A text that is not empty. The type of pydantic refuses a folder whose name is not UTF-8."""
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "Input should be a valid string")
    if not value:
        raise PydanticCustomError("string_too_short", "String should have at least 1 character")
    return value


Folder = Annotated[
    str,
    pydantic.PlainValidator(_folder),
    pydantic.WithJsonSchema({"type": "string", "minLength": 1}),
    pydantic.PlainSerializer(lambda v: v),
]


def _levels(value: Any) -> Any:
    if value in ("last", "all"):
        return value
    whole = isinstance(value, list | tuple) and all(type(each) is int and 2 <= each <= 16 for each in value)
    if not whole or not value:
        raise PydanticCustomError(
            "levels", "{value} is not last, all, or a list of factors such as [2, 4]", {"value": repr(value)}
        )
    return tuple(value)


Levels = Annotated[
    str | tuple[int, ...],
    pydantic.PlainValidator(_levels),
    pydantic.WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["last", "all"]},
                {"type": "array", "items": {"type": "integer", "minimum": 2, "maximum": 16}, "minItems": 1},
            ]
        }
    ),
    pydantic.PlainSerializer(lambda v: v),
]
Share = Annotated[float, Field(ge=0, le=1, strict=False)]
Fraction = Annotated[float, Field(gt=0, lt=1, strict=False)]
StepCount = Annotated[int, Field(ge=1, le=10**8)]


class RecipeSection(Section):
    """How a network is trained. Options that you leave out have the recipe's defaults."""

    steps: StepCount | None = Field(None, description="optimiser steps of each design")
    batch: PositiveInt | None = Field(None, description="patches in a step")
    patch: Annotated[int, Field(ge=8, le=4096)] | None = Field(None, description="side of the LR patches in pixels")
    learning_rate: Annotated[float, Field(gt=0, le=1, strict=False)] | None = Field(
        None, description="peak learning rate"
    )
    schedule: str | None = Field(
        None, description="`one_cycle`, `constant`, `cosine`, `halving`, `wsd`, or one that a plugin registers"
    )
    halve_at: Annotated[tuple[StepCount, ...], Field(strict=False)] | None = Field(
        None, description="halving: the steps after which the learning rate is halved"
    )
    halve_every: StepCount | None = Field(None, description="halving: the steps between two halvings")
    warm_up: Annotated[int, Field(ge=0, le=10**8)] | None = Field(
        None, description="steps during which the learning rate rises from zero, before the schedule's value holds"
    )
    decay: Share | None = Field(
        None, description="wsd: share of the steps at the end during which the learning rate falls"
    )
    optimizer: Literal["adam", "adamw", "sgd"] | None = Field(None, description="what updates the weights")
    momentum: Annotated[float, Field(ge=0, lt=1, strict=False)] | None = Field(None, description="of sgd")
    weight_decay: Share | None = Field(None, description="pull of the weights to zero")
    clip_gradients: Annotated[float, Field(ge=0, le=10**6, strict=False)] | None = Field(
        None, description="largest norm of the gradient; 0: any"
    )
    ema: Annotated[float, Field(ge=0, lt=1, strict=False)] | None = Field(
        None, description="decay of a moving average of the weights, which is what is validated and kept; 0: none"
    )
    loss: str | None = Field(None, description="`l1`, `l2`, `charbonnier`, or one that a plugin registers")
    charbonnier_epsilon: Annotated[float, Field(gt=0, le=1, strict=False)] | None = Field(
        None, description="the constant in the Charbonnier loss"
    )
    alternate_from: Share | None = Field(
        None, description="share of the steps after which the losses L2 and L1 take turns; 1: never"
    )
    levels: Levels | None = Field(
        None, description="outputs of a network with levels whose losses are summed: `last`, `all`, or their factors"
    )
    curriculum: Annotated[tuple[Share, ...], Field(strict=False)] | None = Field(
        None, description="shares of the steps after which the second, third, ... level joins"
    )
    fade: Share | None = Field(None, description="share of the steps during which a level that joins is faded in")
    initialisation: (
        Literal[
            "uniform_1",
            "uniform_1_tenth",
            "uniform_6",
            "uniform_6_tenth",
            "normal_2",
            "normal_2_tenth",
            "he",
            "pytorch",
        ]
        | None
    ) = Field(None, description="how the first weights are drawn")
    augmentation: Literal["dihedral", "flip", "none"] | None = Field(
        None, description="`dihedral`: all flips and rotations; `flip`: left to right"
    )
    hr_scales: Annotated[tuple[Fraction, ...], Field(strict=False)] | None = Field(
        None, description="sizes at which HR photos are used besides their own"
    )
    scales: Annotated[tuple[Annotated[int, Field(ge=2, le=16)], ...], Field(strict=False)] | None = Field(
        None, description="scales that the batches of a multi-scale design alternate between; empty: all"
    )
    precision: Literal["auto", "bf16", "fp32"] | None = Field(None, description="`auto`: what is fastest here")
    channels_last: bool | None = Field(None, description="whether channels are innermost in memory")
    compile: bool | None = Field(None, description="whether torch.compile compiles the network")


class Proxy(RecipeSection):
    """How designs are compared: a short training on photos. Options that you leave out have the recipe's defaults."""

    data: Folder = Field("builtin", description="`builtin`, or a folder of images")
    evaluator: str = Field("proxy", description="`proxy` (training), `synthetic`, or module:Class of your own")


def _sampler_name(value: Any) -> str:
    if value in SAMPLERS or (isinstance(value, str) and re.fullmatch(_OWN_CLASS, value)):
        return str(value)
    hint = suggest(str(value), SAMPLERS)
    message = "{name} is not one of {names}{hint}, or module:Class of your own"
    context = {"name": repr(value), "names": ", ".join(SAMPLERS), "hint": f"; {hint}" if hint.startswith("did") else ""}
    raise PydanticCustomError("sampler", message, context)


_OWN_CLASS = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"

Sampler = Annotated[
    str,
    pydantic.PlainValidator(_sampler_name),
    pydantic.WithJsonSchema({"anyOf": [{"enum": list(SAMPLERS)}, {"type": "string", "pattern": f"^{_OWN_CLASS}$"}]}),
    pydantic.PlainSerializer(lambda v: v),
]


def _ascending(lengths: tuple[int, ...]) -> tuple[int, ...]:
    if not lengths or any(first >= second for first, second in itertools.pairwise(lengths)):
        message = "{lengths} are not ascending numbers of steps; write the shortest training first: {sorted}"
        raise PydanticCustomError(
            "lengths",
            message,
            {"lengths": list(lengths), "sorted": sorted(set(lengths)) or [600, 2400]},
        )
    return lengths


Lengths = Annotated[tuple[StepCount, ...], Field(strict=False), pydantic.AfterValidator(_ascending)]


class Search(Section):
    """How designs are chosen, and how many."""

    sampler: Sampler = Field(
        "frontier", description="what proposes designs: frontier, one of Optuna's, or module:Class of your own"
    )
    trials: Annotated[int, Field(ge=1, le=10**7)] = Field(30, description="finished evaluations in the whole study")
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = Field(0, description="seed of proposals and of training")
    start_with: Literal["none", "catalogue"] = Field(
        "none", description="catalogue: evaluate the published networks inside the space first"
    )
    inform: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="name of a study in the same database; the sampler frontier learns from its results"
    )
    early_stopping: bool = Field(
        False,
        description="stop trainings early that look poor for their cost; the most promising may continue later",
    )
    lengths: Lengths | None = Field(
        None,
        description="training steps, ascending: all designs are trained for the first, promising ones for the later "
        "numbers, too; the first replaces proxy.steps",
    )
    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] | None = Field(
        None, description="number of worker processes; by default it is measured, once on each machine"
    )

    def identity(self) -> dict[str, Any]:
        """The options that distinguish two studies of one space, as plain data: all but `trials`, `workers` and
        `lengths`.

        Options that were added after sampler and seed are left out at their defaults, so that older studies keep their
        identity.
        """
        plain = self.model_dump(mode="json")
        plain = {name: value for name, value in plain.items() if name in SEARCH_IDENTITY}
        defaults = {name: type(self).model_fields[name].default for name in plain}
        return {name: plain[name] for name in plain if name in ("sampler", "seed") or plain[name] != defaults[name]}


SEARCH_IDENTITY = tuple(name for name in Search.model_fields if name not in ("trials", "workers", "lengths"))
"""The options of the ``search`` section that make another study."""


def _choice_model(kind: str) -> type[PartChoice]:
    fields: dict[str, Any] = {name: (_options_model(part), None) for name, part in part_types(kind).items()}
    return pydantic.create_model(f"{kind.capitalize()}Choice", __base__=PartChoice, **fields)


def _options_model(part: PartType) -> type[Section]:
    fields: dict[str, Any] = {}
    for name, option in part.options.items():
        of_names = any(isinstance(extra, Subsets) for extra in getattr(option.annotation, "__metadata__", ()))
        axis = NameSets() if of_names else OneOrMany()
        fields[name] = (Annotated[tuple[option.annotation, ...], axis], (option.default,))  # type: ignore[name-defined]
    about = (part.module.__doc__ or "").partition("\n")[0]
    title = f"{part.kind.capitalize()}{part.module.__name__}"
    return pydantic.create_model(title, __base__=Section, __doc__=about, **fields)


def _architecture_model() -> type[Section]:
    choices = {kind: _choice_model(kind) for kind in dict.fromkeys(PLACES.values())}
    fields: dict[str, Any] = {"channels": (_axis_of(PositiveInt), (_DEFAULT_CHANNELS,))}
    for place, kind in PLACES.items():
        part = default_part(place)
        first = choices[kind].model_validate({part.name: {name: [value] for name, value in part.options}})
        fields[place] = (_axis_of(choices[kind]), (first,))
        if place == "unit":
            about = "as in the efficiency paper: rb, rg or rg+u; use it instead of closing and upsampler_unit"
            fields["scope"] = (_axis_of(Literal["rb", "rg", "rg+u"]) | None, Field(None, description=about))
    fields["global_skip"] = (_axis_of(bool), (True,))
    fields["image_residual"] = (_axis_of(ImageResidual), ("none",))
    fields["colour"] = (_axis_of(Colour), ("rgb",))
    return pydantic.create_model("ArchitectureSection", __base__=ArchitectureBase, **fields)


_DEFAULT_CHANNELS = 64


def _axis_of(values: Any) -> Any:
    return Annotated[tuple[values, ...], OneOrMany()]


class ArchitectureBase(Section):
    """Base of the section on the architecture, with the checks across its fields."""

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> ArchitectureBase:
        for place in ("closing", "upsampler_unit"):
            if getattr(self, "scope", None) is not None and place in self.model_fields_set:
                raise PydanticCustomError("scope", "scope sets {place}, too; write only one of them", {"place": place})
        return self


def _one_or_many(scales: tuple[int, ...]) -> int | list[int]:
    return scales[0] if len(scales) == 1 else list(scales)


class SpaceFile(Section):
    """A whole space file; `document_model` adds the parts that are registered."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="name of the study")]
    scale: Annotated[tuple[Scale, ...], Scales(), pydantic.PlainSerializer(_one_or_many)] = Field(
        description="upscaling factor; several, such as [2, 3, 4], make designs with a head for each"
    )
    architecture: Section = Field(description="the axes: one value, or a list of values")
    constraints: Constraints = Constraints()
    objectives: tuple[str, ...] = ("psnr", "mult_adds")
    proxy: Proxy = Proxy()
    search: Search = Search()


def document_model() -> type[SpaceFile]:
    """The model of a whole space file, with the parts and objectives that are registered now."""
    about = SpaceFile.model_fields["architecture"].description
    return pydantic.create_model(
        "SpaceFile",
        __base__=SpaceFile,
        architecture=(_architecture_model(), Field(description=about)),
        objectives=(_objectives_type(), SpaceFile.model_fields["objectives"].default),
    )


def _objectives_type() -> Any:
    names: Any = Literal[tuple(OBJECTIVES)]
    return Annotated[tuple[names, ...], Objectives()]


def json_schema() -> dict[str, Any]:
    """JSON Schema of a space file, for editors."""
    schema = document_model().model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_with_bare_names(schema)}


def _with_bare_names(schema: Any) -> Any:
    """Allow the bare name of a part in the schema, where pydantic has only the mapping."""
    if isinstance(schema, list):
        return [_with_bare_names(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if str(schema.get("title", "")).endswith("Choice"):
        parts = {name: {"$ref": part["$ref"]} for name, part in schema["properties"].items()}
        mapping = {"type": "object", "properties": parts, "additionalProperties": False}
        return {"anyOf": [{"enum": list(parts)}, mapping | {"minProperties": 1, "maxProperties": 1}]}
    # Defaults are left out: they would have pydantic's internal form.
    return {name: _with_bare_names(each) for name, each in schema.items() if name != "default"}
