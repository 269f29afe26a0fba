"""The published networks of the five papers as designs: PCARN and CARN, ProSRN, CSRCNN, efficiency (bl), s-LWSR.

If the text of a paper and its printed sizes disagree, the design fits the sizes. The network that the text describes
then has its own name (``csrcnn-6-4-2``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from srsearch.architecture.design import Architecture
from srsearch.errors import InputError, suggest


@dataclass(frozen=True)
class Published:
    """A published network.

    Attributes:
        name: Its name in this catalogue.
        paper: ``pcarn``, ``efficiency``, ``csrcnn``, ``s-lwsr`` or ``prosrn``.
        about: A short description for people.
        fields: The fields of the design, without the scale.
        scales: The scales in the paper.
        multi_scale: Whether the paper's network has upsamplers for all its scales at once.
        printed: The names in the paper's tables.
    """

    name: str
    paper: str
    about: str
    fields: Mapping[str, Any]
    scales: tuple[int, ...]
    multi_scale: bool = False
    printed: tuple[str, ...] = ()


def _pcarn() -> list[Published]:
    carn = {"body": {"cascade": {"fusion_activation": True}}, "global_skip": False}

    def mobile(groups: int, share: str, **cascade: Any) -> dict[str, Any]:
        return {
            "block": "efficient_residual",
            "unit": {"grouped": {"groups": groups}},
            "upsampler": {"pixel_shuffle": {"groups": groups}},
            "body": {"cascade": {"share": share, **cascade}},
        }

    def ablation(fusion: str) -> dict[str, Any]:
        return {"body": {"cascade": {"fusion": fusion, "fusion_activation": True}}, "global_skip": False}

    every = (2, 3, 4)
    networks = [
        Published("carn", "pcarn", "cascading residual network", carn, every, True, ("CARN",)),
        Published(
            "carn-m",
            "pcarn",
            "the same with grouped, shared blocks",
            mobile(4, "group", fusion_activation=True) | {"global_skip": False},
            every,
            True,
            ("CARN-M",),
        ),
        Published("pcarn", "pcarn", "CARN, global skip", {}, every, True, ("PCARN", "PCARN (L1)", "+ Residual")),
        Published(
            "pcarn-m",
            "pcarn",
            "CARN-M, global skip",
            mobile(4, "group"),
            every,
            True,
            ("PCARN-M", "PCARN-M (L1)"),
        ),
        Published("carn-baseline", "pcarn", "no fusions (Table I)", ablation("none"), (4,), False, ("Baseline",)),
        Published("carn-local", "pcarn", "local fusions (Table I)", ablation("local"), (4,), False, ("+ Local",)),
        Published("carn-global", "pcarn", "global fusions (Table I)", ablation("global"), (4,), False, ("+ Global",)),
    ]
    for groups in (2, 4, 8, 16, 32, 64):
        about = f"PCARN-M with groups of {groups}"
        networks.append(
            Published(f"pcarn-g{groups}", "pcarn", f"{about} (Fig. 7)", mobile(groups, "none"), every, True)
        )
        networks.append(
            Published(
                f"pcarn-g{groups}r", "pcarn", f"{about} and recursion (Fig. 7)", mobile(groups, "group"), every, True
            )
        )
    return networks


_BL = {
    "block": "rcab",
    "body": {"residual_groups": {"groups": 2, "blocks": 5}},
    "upsampler": {"pixel_shuffle": {"activation": False}},
}


def _efficiency() -> list[Published]:
    every = (2, 3, 4)
    erum = _BL | {"upsampler": "erum"}
    units: list[tuple[str, str, Any]] = [
        ("blrn-r2", "blrn(r=2)", {"bottleneck": {"reduction": 2}}),
        ("blrn-r4", "blrn(r=4)", {"bottleneck": {"reduction": 4}}),
        ("blm1", "blm1", "mobilenet_v1"),
        ("blrxn-r2-g4", "blrxn(r=2, g=4)", {"resnext": {"reduction": 2, "groups": 4}}),
        ("blclc-g32-g2", "blclc(g1=32, g2=2)", {"clcnet": {"groups_1": 32, "groups_2": 2}}),
        ("bls2", "bls2", "shufflenet_v2"),
        ("bleff-r2", "bleff(r=2)", {"effnet": {"reduction": 2}}),
        ("blm2-e2", "blm2(e=2)", {"inverted_residual": {"expansion": 2}}),
        ("blm2-e3", "blm2(e=3)", {"inverted_residual": {"expansion": 3}}),
        ("bls1-r2-g4", "bls1(r=2, g=4)", {"shufflenet_v1": {"reduction": 2, "groups": 4}}),
    ]
    networks = [
        Published("bl", "efficiency", "the baseline: RCAN's parts, small", _BL, every, False, ("bl",)),
        Published("bl-e", "efficiency", "the baseline with the ERUM upsampler", erum, every, False, ("bl-e",)),
    ]
    for name, printed, unit in units:
        fields = _BL | {"unit": unit, "scope": "rg"}
        networks.append(Published(name, "efficiency", f"bl, units {printed[2:]}", fields, every, False, (printed,)))
    for name, printed, unit in (
        ("blrn-e-r2", "blrn-e(r=2)", {"bottleneck": {"reduction": 2}}),
        ("blm1-e", "blm1-e", "mobilenet_v1"),
    ):
        for scope, suffix in (("rb", "rb"), ("rg", "rg"), ("rg+u", "rgu")):
            # The sizes printed for blm1-e[rb] fit biases in both convolutions of the unit; all others fit one bias.
            biased = {"mobilenet_v1": {"bias": "all"}} if (name, scope) == ("blm1-e", "rb") else unit
            fields = erum | {"unit": biased, "scope": scope}
            about = f"bl-e, units changed in scope {scope}"
            networks.append(
                Published(f"{name}-{suffix}", "efficiency", about, fields, every, False, (f"{printed}[{scope}]",))
            )
    return networks


def _csrcnn() -> list[Published]:
    def network(first: int, refined: int = 5, *, block: str = "bp_u", **levels: int) -> dict[str, Any]:
        return {
            "entry": {"conv": {"convs": 2, "activation": "between"}},
            "block": block,
            "body": {"dense": {"blocks": first}},
            "levels": {"pyramid": levels},
            "upsampler": {"transposed": {"bias": False, "activation": True}},
            "refinement": {"refined": {"blocks": refined, "tail": 4}},
        }

    every = (2, 4, 8)
    networks = [
        Published(
            "csrcnn",
            "csrcnn",
            "four BP-U blocks a level (Table VI)",
            network(4),
            every,
            False,
            ("CSRCNN",),
        ),
        Published(
            "csrcnn-6-4-2",
            "csrcnn",
            "six, four and two BP-U blocks, as the text describes",
            network(6, blocks_2=4, blocks_3=2),
            every,
            False,
            ("BP-U block",),
        ),
        Published(
            "csrcnn-t-u",
            "csrcnn",
            "traditional U blocks (Table III)",
            network(6, block="t_u", blocks_2=4, blocks_3=2),
            (4, 8),
            False,
            ("T-U block",),
        ),
    ]
    for u in (2, 3, 4):
        for r in (0, 1, 2):
            # The sizes printed for U3TR0 and U4TR0 fit a second level with one refined block.
            second = {"refine_2": 5} if r == 0 and u > 2 else {}
            printed = "U2TU1 U2TU1" if (u, r) == (2, 1) else f"U{u}TR{r} U{u}TR{r}"
            about = f"{u} BP-U blocks and {r} refined blocks in each level (Table IV)"
            networks.append(
                Published(
                    f"csrcnn-u{u}r{r}",
                    "csrcnn",
                    about,
                    network(u, 5 * r, block="bp_u", **second),
                    (4,),
                    False,
                    (printed,),
                )
            )
    return networks


def _s_lwsr() -> list[Published]:
    def network(channels: int, **symmetric: Any) -> dict[str, Any]:
        return {
            "channels": channels,
            "block": "scaled_residual",
            "body": {"symmetric": {"pool": "six", "activations": "half"} | symmetric},
            "upsampler": {"pixel_shuffle": {"activation": False}},
        }

    networks = []
    for channels in (16, 32, 64):
        name, printed = f"s-lwsr-{channels}", f"s-LWSR{channels}"
        names: tuple[str, ...] = (printed, f"s-LWSR+{channels}", f"{printed}(normal)")
        names += {32: ("s-LWSR(base line)",), 16: ("Width",)}.get(channels, ())
        about = f"symmetric, {channels} channels, half of the activations"
        networks.append(Published(name, "s-lwsr", about, network(channels), (4,), False, names))
        networks.append(
            Published(
                f"{name}-no-pool",
                "s-lwsr",
                "the same without the information pool (Table III)",
                network(channels, pool="none"),
                (4,),
                False,
                (f"{printed}(no-pool)",),
            )
        )
    networks.append(
        Published(
            "s-lwsr-16-eleven",
            "s-lwsr",
            "eleven sources in the pool (Table III)",
            network(16, pool="eleven"),
            (4,),
            False,
            ("s-LWSR16(pool-former 11 layers)",),
        )
    )
    networks.append(
        Published(
            "s-lwsr-32-depth",
            "s-lwsr",
            "two bunches on each side, layout inferred (Table I)",
            network(32, bunches=2, middle=0, activations="all"),
            (4,),
            False,
            ("Depth",),
        )
    )
    networks.append(
        Published(
            "s-lwsr-32-compressed",
            "s-lwsr",
            "every block an inverted residual (Section III-D)",
            network(32, compress="all", activations="all") | {"compressed": "inverted_residual"},
            (4,),
        )
    )
    for channels in (32, 64):
        about = "all activations, as the released code really has"
        networks.append(
            Published(f"s-lwsr-{channels}-all", "s-lwsr", about, network(channels, activations="all"), (4,))
        )
    for ratio, amount in (
        ("all", "all activations"),
        ("two_thirds", "two thirds of the activations"),
        ("third", "a third of the activations"),
        ("rare", "the first and the last activation"),
    ):
        name = f"s-lwsr-16-{ratio.replace('_', '-')}"
        about = f"{amount} (Fig. 6)"
        networks.append(Published(name, "s-lwsr", about, network(16, activations=ratio), (4,)))
    return networks


def _prosrn() -> list[Published]:
    def network(body: Mapping[str, Any], block: str = "plain") -> dict[str, Any]:
        return {
            "colour": "luminance",
            "block": block,
            "body": body,
            "levels": "progressive",
            "upsampler": "transposed",
            "image_residual": "learned",
            "global_skip": False,
        }

    every = (2, 4, 8)
    networks = [
        Published(
            "prosrn",
            "prosrn",
            "memory structure, ten convolutions",
            network({"memory": {"blocks": 10}}),
            every,
            False,
            ("ProSRN", "Memory (C)"),
        ),
        Published("prosrn-plain", "prosrn", "plain structure (Table 3)", network({"chain": {"blocks": 10}}), every),
        Published(
            "prosrn-residual",
            "prosrn",
            "residual structure (Table 3)",
            network({"chain": {"blocks": 5}}, "scaled_residual"),
            every,
            False,
            ("Residual (B)",),
        ),
    ]
    for blocks in (4, 6, 8, 12):
        about = f"memory structure, {blocks} convolutions (Fig. 7 varies the depth)"
        networks.append(Published(f"prosrn-d{blocks}", "prosrn", about, network({"memory": {"blocks": blocks}}), every))
    return networks


_NETWORKS = {each.name: each for each in (*_pcarn(), *_efficiency(), *_csrcnn(), *_s_lwsr(), *_prosrn())}
_PRINTED = {printed.lower(): each.name for each in _NETWORKS.values() for printed in each.printed}


def names() -> tuple[str, ...]:
    """The names of the published networks."""
    return tuple(_NETWORKS)


def published(name: str) -> Published:
    """Look up a published network by our name or by a name that its paper prints.

    Raises:
        InputError: Unknown name.
    """
    network = _NETWORKS.get(name) or _NETWORKS.get(_PRINTED.get(name.lower(), name.lower()))
    if network is None:
        raise InputError(f"no published network is named {name!r}; {suggest(name, _NETWORKS)}")
    return network


def get(name: str, scale: int | Sequence[int] | None = None) -> Architecture:
    """The design of a published network.

    Args:
        name: One of `names`, or a name that the paper prints.
        scale: Makes a design of this scale or of these scales, which the paper need not have. Without a scale, networks
            that are published with upsamplers for x2, x3 and x4 are multi-scale, and others have their only scale.

    Raises:
        InputError: Unknown name or scale, or the network is published at several scales and none is given.
    """
    network = published(name)
    if scale is None and not network.multi_scale and len(network.scales) > 1:
        scales = ", ".join(map(str, network.scales))
        raise InputError(f"{network.name} is published at several scales; choose one: {scales}")
    chosen = list(network.scales) if scale is None else [scale] if isinstance(scale, int) else list(scale)
    return Architecture.from_dict({"scale": chosen, **network.fields})
