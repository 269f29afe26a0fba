"""Rules that bring a description to canonical form, so that networks that compute the same have one description.

Each rule states that two descriptions give equal networks; the tests trace such networks and compare them.
`canonicalise` works on one description and on whole columns of descriptions (`srsearch.space.enumeration`). Every rule
is therefore a pure function of few fields. A rule that cannot decide, because parts do not fit, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from srsearch.architecture.assembly import InvalidDesign, positions, slot_calls
from srsearch.architecture.parts.bodies import POOLED_BODIES, applied_positions, pool_sources
from srsearch.architecture.positions import resolve
from srsearch.architecture.registry import PLACES, OptionValue, Part, cached, read_part

Call: TypeAlias = Callable[..., Any]
"""``call(rule, *fields)`` returns the rule's result."""

DEFAULTS: dict[str, str] = {
    "unit": "conv",
    "closing": "conv",
    "upsampler_unit": "conv",
    "block": "residual",
    "compressed": "inverted_residual",
    "body": "cascade",
    "upsampler": "pixel_shuffle",
    "refinement": "none",
    "entry": "conv",
    "levels": "direct",
    "activation": "relu",
}
"""The name of the default part at each place."""

SCOPES: Mapping[str, Sequence[str]] = {"rb": (), "rg": ("closing",), "rg+u": ("closing", "upsampler_unit")}
"""Scopes of the efficiency paper (Section 4.2): the places that have the unit of the blocks besides the blocks."""


FURTHER_LEVELS = (2, 3, 4)
"""The levels of a pyramid whose numbers of blocks may differ from the level before; x16 has four levels."""


def default_part(place: str) -> Part:
    """The part at a place if a description names none."""
    return read_part(PLACES[place], DEFAULTS[place])


def directly(rule: Callable[..., Any], *fields: Any) -> Any:
    """Call a rule on one description."""
    return rule(*fields)


def canonicalise(raw: Mapping[str, Any], call: Call = directly) -> dict[str, Any]:
    """Bring the fields of a description to canonical form.

    Args:
        raw: Every field by name, and ``scope``: None, or one of `SCOPES`, which sets further places.
        call: Calls a rule: `directly`, or on columns.
    """
    new = {name: value for name, value in raw.items() if name != "scope"}
    for place in ("closing", "upsampler_unit"):
        new[place] = call(_in_scope, place, raw["scope"], raw["unit"], raw[place])
    for place in ("unit", "closing", "upsampler_unit"):
        new[place] = call(_unit, new[place], raw["channels"])
    new["entry"] = call(_entry, raw["entry"])
    levels = call(_levels, raw["levels"], raw["scales"])
    wired = call(_wiring, raw["body"], levels, raw["global_skip"])
    body, levels, new["global_skip"] = (call(_item, i, wired) for i in range(3))
    new["levels"] = call(_refinement_levels, levels, raw["refinement"])
    inner = {
        place: call(_calls, "inner_activation", call(_slots, "block", raw[place], raw["channels"]))
        for place in ("block", "compressed")
    }
    covers = call(_covers, body, levels)
    blocks = {place: call(_block, raw[place], raw["channels"]) for place in ("block", "compressed")}
    placed = call(
        _placement,
        raw["body"],
        body,
        covers,
        blocks["block"],
        blocks["compressed"],
        inner["block"],
        inner["compressed"],
    )
    new["body"], new["block"], new["compressed"] = (call(_item, i, placed) for i in range(3))
    simple = call(_plain_chain, new["body"], new["block"], new["unit"], new["levels"], new["global_skip"])
    moved = call(_entry_convs, simple, new["entry"], new["body"])
    new["entry"], new["body"] = (call(_item, i, moved) for i in range(2))
    _drop_unused(new, call)
    for place in PLACES:
        new[place] = call(_interned, new[place])
    return new


@cached
def _interned(part: Part) -> Part:
    """Return one object for all equal parts, so that cache lookups succeed by identity, without comparing options."""
    return part


def could_be(field: str, value: Any, design: Any) -> bool:
    """Whether a description with this value in a field may describe a design; False only if it certainly does not.

    Args:
        field: Name of the field.
        value: The value as written, not canonical.
        design: The `Architecture`.
    """
    own = getattr(design, field, None)
    if field in ("channels", "colour", "image_residual", "upsampler", "refinement"):
        return bool(value == own)
    if field == "entry":
        return _entry(value) == own
    if field == "activation" and own != default_part("activation"):  # the default also stands for "not used"
        return bool(value == own)
    if field == "unit" and (own != default_part("unit") or "unit" in _slots("block", design.block, design.channels)):
        return _unit(value, design.channels) == own
    if field == "body":
        names = {_wiring(value, default_part("levels"), skip)[0].name for skip in (True, False)}
        return own is not None and own.name in names | {value.name}
    return True


def _drop_unused(new: dict[str, Any], call: Call) -> None:
    """Set the part of every place that no part calls to its default."""
    channels = new["channels"]

    def slots(kind: str, place: str) -> Any:
        return call(_slots, kind, new[place], channels)

    holders = [slots("block", "block"), slots("body", "body"), slots("refinement", "refinement")]
    compressed = call(_slots_where, call(_compresses, new["body"]), new["compressed"], channels)
    holders.append(compressed)
    used = {"unit": _any_calls("unit", holders, call)}
    used["closing"] = call(_calls, "closing", holders[1])
    upsampler = slots("upsampler", "upsampler")
    used["upsampler_unit"] = call(_calls, "unit", upsampler)
    holders += [upsampler, slots("entry", "entry")]
    for place, is_used in used.items():
        new[place] = call(_if_used, place, is_used, new[place])
        holders.append(call(_slots_where, is_used, new[place], channels, "unit"))
    keeps_inner = call(_keeps_inner, new["body"], holders[0], compressed)
    is_used = call(_or, keeps_inner, _any_calls("activation", holders, call))
    new["activation"] = call(_if_used, "activation", is_used, new["activation"])


def _any_calls(slot: str, holders: Sequence[Any], call: Call) -> Any:
    called: Any = call(_calls, slot, holders[0])
    for holder in holders[1:]:
        called = call(_or, called, call(_calls, slot, holder))
    return called


def _item(index: int, values: Sequence[Any]) -> Any:
    return values[index]


def _or(first: bool, second: bool) -> bool:
    return first or second


def _in_scope(place: str, scope: str | None, unit: Part, own: Part) -> Part:
    return own if scope is None else unit if place in SCOPES[scope] else default_part(place)


def _unit(part: Part, channels: int) -> Part:
    """Give units that compute the same one name. Some are equal only at this number of channels.

    - A grouped convolution in one group is a convolution.
    - ``clcnet`` with a depthwise 3x3 and a 1x1 in one group is ``mobilenet_v1``.
    - ``shufflenet_v1`` in one group shuffles nothing: it is ``resnext`` with a depthwise 3x3.
    - ``resnext`` in one group is a bottleneck; depthwise and without reduction it is an inverted residual without
      expansion.
    - An inverted residual with one inner channel is a bottleneck.
    """
    name = part.name
    options: dict[str, Any] = dict(part.options)
    if name == "grouped" and options["groups"] == 1:
        return read_part("unit", "conv")
    if name == "clcnet" and options["groups_1"] == channels and options["groups_2"] == 1:
        return read_part("unit", {"mobilenet_v1": {"bias": options["bias"]}})
    if name == "shufflenet_v1" and options["groups"] == 1 and channels % options["reduction"] == 0:
        inner = channels // options["reduction"]
        name, options = "resnext", options | {"groups": inner}
    if name == "resnext":
        if options["groups"] == 1:
            return read_part("unit", {"bottleneck": {n: options[n] for n in ("reduction", "bias")}})
        if options["reduction"] == 1 and options["groups"] == channels:
            return read_part("unit", {"inverted_residual": {"expansion": 1, "bias": options["bias"]}})
        return read_part("unit", {"resnext": options})
    if name == "inverted_residual" and channels * options["expansion"] == 1:
        return read_part("unit", {"bottleneck": {"reduction": 1, "bias": options["bias"]}})
    return part


def _block(part: Part, channels: int) -> Part:
    """Give reductions of channel attention with the same inner width one value."""
    if part.name != "rcab":
        return part
    return part.having(reduction=channels // max(1, channels // part["reduction"]))


def _plain_chain(body: Part, block: Part, unit: Part, levels: Part, global_skip: bool) -> bool:
    """Whether only 3x3 convolutions with activations follow the entry, up to the upsampler."""
    same = (block.name, unit.name, body.name, body["compress"]) == ("plain", "conv", "chain", "none")
    same = same and body["sources"] == "none"
    return same and levels.name != "pyramid" and not global_skip


def _entry_convs(plain_chain: bool, entry: Part, body: Part) -> tuple[Part, Part]:
    """Count all convolutions of an entry but the first as part of a plain chain that follows."""
    if not plain_chain or entry.name != "conv" or entry["activation"] != "all" or entry["convs"] == 1:
        return entry, body
    return entry.having(convs=1), body.having(blocks=body["blocks"] + entry["convs"] - 1)


def _entry(part: Part) -> Part:
    """An entry of one convolution has no activation between convolutions."""
    if part.name == "conv" and part["convs"] == 1 and part["activation"] == "between":
        return part.having(activation="none")
    return part


def _levels(levels: Part, scales: tuple[int, ...]) -> Part:
    """At x2 all kinds of levels are one direct level. Options of levels that the scale does not reach are ``same``."""
    if scales == (2,):
        return default_part("levels")
    if levels.name != "pyramid":
        return levels
    depth = max(scales).bit_length() - 1
    return levels.having(**{name: "same" for name, _ in levels.options if int(name[-1]) > depth})


def level_counts(levels: Part, option: str, first: int) -> tuple[int, ...]:
    """The count of an option in each of the four levels of a pyramid.

    Args:
        levels: The levels.
        option: ``blocks`` or ``refine``; ``blocks_2`` and so on say how the other levels differ.
        first: The count in the first level.
    """
    counts = [first]
    for number in FURTHER_LEVELS:
        own = levels.get(f"{option}_{number}", "same")
        counts.append(counts[-1] if own == "same" else own)
    return tuple(counts)


def _set_counts(levels: Part, option: str, counts: Sequence[int]) -> Part:
    """Set the counts of the levels, the inverse of `level_counts`; ``same`` where a level repeats the one before."""
    if levels.name != "pyramid":
        return levels
    shortest: dict[str, OptionValue] = {
        f"{option}_{number}": "same" if counts[number - 1] == counts[number - 2] else counts[number - 1]
        for number in FURTHER_LEVELS
    }
    return levels.having(**shortest)


def _refinement_levels(levels: Part, refinement: Part) -> Part:
    first = refinement.get("blocks")
    # A refinement without blocks has nothing to set by level.
    counts = (0,) * (1 + len(FURTHER_LEVELS)) if first is None else level_counts(levels, "refine", first)
    return _set_counts(levels, "refine", counts)


def _wiring(body: Part, levels: Part, global_skip: bool) -> tuple[Part, Part, bool]:
    """Give bodies that compute the same one name.

    - A group of one block shares nothing.
    - A cascade without fusions has no activation after them; if it shares nothing either, it is a chain.
    - One group of n blocks with local fusions is n groups of one block with global fusions.
    - A memory body of one block is a chain of that block with the global skip.
    - Presets of an information pool are replaced by the names of the sources, in the order of the network.
    """
    if "blocks" not in dict(body.options):
        return body, levels, global_skip
    options: dict[str, Any] = dict(body.options)
    counts = level_counts(levels, "blocks", options["blocks"])
    flat = len({*counts}) == 1  # the same number of blocks in every level
    if "share" in options and all(count == 1 for count in counts) and options.get("middle", 1) <= 1:
        options["share"] = "none"
    name = body.name
    pooled = name in POOLED_BODIES and options["sources"] != "none"
    before = applied_positions(options.get("groups", 1), counts[0]) if pooled else ()
    kept = {name: options[name] for name in (*_POOL_OPTIONS, "activations", "compress") if name in options}
    if name == "cascade":
        if options["fusion"] == "none":
            options["fusion_activation"] = False
            # In an uneven pyramid, a cascade's position 2_1 is a different block of the chain in each level.
            alike = flat or options["groups"] == 1 or (_everywhere(options) and options.get("sources") in _PRESETS)
            if options["share"] == "none" and alike:
                counts = tuple(options["groups"] * count for count in counts)
                name, options = "chain", {"blocks": counts[0], **kept}
        elif flat and (options["fusion"], options["groups"], options["share"]) == ("local", 1, "none"):
            options |= {"groups": counts[0], "blocks": 1, "fusion": "global"}
            counts = (1,) * len(counts)
    elif name == "memory" and all(count == 1 for count in counts) and not global_skip and not pooled:
        name, options, global_skip = "chain", {"blocks": 1, **kept}, True
    elif name == "symmetric" and flat:  # otherwise a preset means different sources in each level
        try:
            sources = pool_sources(options["pool"], options["bunches"], options["blocks"], options["middle"])
        except ValueError:
            pass
        else:
            options["pool"] = "+".join(sources) or "none"
    if pooled:
        options["sources"] = _sources(
            options["sources"], before, applied_positions(options.get("groups", 1), options["blocks"]), flat=flat
        )
    if "none" in (name in POOLED_BODIES and options["sources"], name == "symmetric" and options["pool"]):
        options["source_fusion"] = "conv"
    return Part(name, tuple(options.items())), _set_counts(levels, "blocks", counts), global_skip


_POOL_OPTIONS = ("sources", "source_fusion")
_PRESETS = ("none", "all")


def _sources(sources: str, before: Sequence[str], after: Sequence[str], *, flat: bool) -> str:
    """Name the sources of an information pool by the positions that the body has now, in the order of the network.

    Args:
        sources: The sources as written.
        before: The positions of the body's first level as written.
        after: The positions now, in the same order.
        flat: Whether all levels have the same positions; otherwise ``all`` means others in each.
    """
    if sources == "all" and not flat:
        return sources
    place = {"h": -1} | {name: index for index, name in enumerate(before)}
    names = ["h", *before] if sources == "all" else sources.split("+")
    if not flat:  # names of later levels may be others than those of the first
        return "+".join(sorted({*names}, key=_source_order))
    if any(name not in place for name in names):
        return sources  # building or counting refuses it
    return "+".join("h" if index < 0 else after[index] for index in sorted({place[name] for name in names}))


def _source_order(name: str) -> tuple[int, ...]:
    return tuple(int(number) if number.isdigit() else 0 for number in name.split("_"))


def _everywhere(options: Mapping[str, Any]) -> bool:
    """Whether all positions of a body have the same block and treat their inner activation alike."""
    return options["activations"] in ("all", "none") and options["compress"] in ("all", "none")


def _covers(body: Part, levels: Part) -> bool:
    """Whether the positions of the first level include those of all levels."""
    counts = {*level_counts(levels, "blocks", body.get("blocks", 0))}
    if len(counts) == 1:
        return True
    try:
        first = {*positions(body)}
        return all(first.issuperset(positions(body.having(blocks=count))) for count in counts)
    except InvalidDesign:
        return False


def _placement(
    written: Part,
    body: Part,
    covers: bool,
    block: Part,
    compressed: Part,
    block_has_inner: bool,
    compressed_has_inner: bool,
) -> tuple[Part, Part, Part]:
    """Replace choices of positions by names.

    A body that is compressed at every position has the compressed block as its block. Positions whose block has no
    inner activation count as keeping it.

    Args:
        written: The body as it was described.
        body: The body after `_wiring`, which keeps the order of the positions.
        covers: Whether the positions of the first level include those of all levels.
        block: The block at positions that are not compressed.
        compressed: The block at compressed positions.
        block_has_inner: Whether ``block`` has an activation between its units.
        compressed_has_inner: Whether ``compressed`` has one.
    """
    default = default_part("compressed")
    choices = dict(written.options)
    if choices["activations"] == "all" and choices["compress"] == "none":
        return body, block, default
    try:
        before, after = positions(written), positions(body)
        replaced = {before.index(name) for name in resolve(choices["compress"], before, counts=True)}
        keeping = {before.index(name) for name in resolve(choices["activations"], before, counts=False)}
    except (InvalidDesign, ValueError):
        return written, block, compressed  # building or counting refuses it, with the names as written
    everything = set(range(len(after)))
    if replaced == everything and replaced and (covers or choices["compress"] == "all"):
        block, block_has_inner, replaced = compressed, compressed_has_inner, set()
    if block == compressed:
        replaced = set()
    keeping |= {i for i in everything if not (compressed_has_inner if i in replaced else block_has_inner)}
    body = body.having(
        activations="all" if keeping == everything else "+".join(after[i] for i in sorted(keeping)) or "none",
        compress="+".join(after[i] for i in sorted(replaced)) or "none",
    )
    return body, block, compressed if replaced else default


def _slots(kind: str, part: Part, channels: int) -> frozenset[str]:
    return slot_calls(kind, part, channels).slots


def _slots_where(condition: bool, part: Part, channels: int, kind: str = "block") -> frozenset[str]:
    return _slots(kind, part, channels) if condition else frozenset()


def _calls(slot: str, slots: frozenset[str]) -> bool:
    return slot in slots


def _compresses(body: Part) -> bool:
    return bool(body["compress"] != "none")


def _keeps_inner(body: Part, block_slots: frozenset[str], compressed_slots: frozenset[str]) -> bool:
    return body["activations"] != "none" and "inner_activation" in block_slots | compressed_slots


def _if_used(place: str, is_used: bool, part: Part) -> Part:
    return part if is_used else default_part(place)
