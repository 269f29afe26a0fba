"""Model files: a network's weights with its design, as safetensors. Any tool that reads safetensors reads the weights.

A file holds

- each tensor of the network once, contiguous, by its key in the state dict; a tensor that a network has under several
  keys is stored under the first;
- the tensor ``srsearch_design``: the design and the version of its grammar as JSON, as bytes. It goes where the weights
  go, even through tools that keep nothing but tensors;
- as metadata, for people and web pages: ``design``, ``key`` and ``facts``, as JSON or text.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from srsearch._version import __version__
from srsearch.architecture.assembly import positions
from srsearch.architecture.build import build
from srsearch.architecture.design import GRAMMAR_VERSION, Architecture
from srsearch.architecture.network import Network
from srsearch.errors import InputError
from srsearch.files import whole

DESIGN_KEY = "srsearch_design"
"""Key of the tensor that holds the design."""

_SHOWN = 4
"""How many tensors a message names of each kind."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network with its weights, and what is known of them.

    Attributes:
        name: For tables and names of files.
        design: The design; None for bicubic upscaling only.
        network: The network on the CPU, in float32, in evaluation mode.
        facts: Plain JSON: ``recipe``, ``data``, ``results``, ``steps``, ``seed``, ``versions``, ``source``; what is not
            known is left out.
    """

    name: str
    design: Architecture | None
    network: nn.Module
    facts: Mapping[str, Any] = field(default_factory=dict)


def save_model(
    path: str | Path, design: Architecture, state: Mapping[str, Tensor], facts: Mapping[str, Any] | None = None
) -> None:
    """Write a model file, whole or not at all.

    Args:
        path: The file; one that exists is replaced.
        design: The design.
        state: The state dict of its network, on any device. Of tensors that the network has under several keys, one is
            enough.
        facts: What `Model.facts` shall be.

    Raises:
        InputError: The state dict is not that of the design's network, or copies of a shared tensor differ.
        OSError: The file cannot be written.
    """
    tensors = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in _stored(design, state).items()}
    plain = design.to_dict()
    metadata = {
        "format": "pt",
        "srsearch": __version__,
        "key": design.key,
        "design": json.dumps(plain),
        "facts": json.dumps(dict(facts or {}), allow_nan=False),
    }
    content = safetensors.torch.save(tensors | {DESIGN_KEY: design_tensor(design)}, metadata)
    with whole(Path(path)) as file:
        file.write(content)


def load_model(path: str | Path) -> Model:
    """Read a model file. No code in the file is run, and no more memory is taken than its size justifies.

    Tensors of other precisions become float32.

    Raises:
        InputError: There is no such file, it is damaged or no model file, it was written by a newer version, or its
            tensors do not fit its design.
    """
    file = Path(path)
    tensors, metadata = _read(file)
    try:
        design = design_of(tensors)
        network = fill(design, tensors)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    return Model(file.stem, design, network, _facts(file, metadata))


def holds_design(path: str | Path) -> bool:
    """Whether a file is a safetensors file with a design, of whatever version."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return DESIGN_KEY in file.keys()  # noqa: SIM118  # it is not a mapping
    except (OSError, safetensors.SafetensorError):
        return False


def design_tensor(design: Architecture) -> Tensor:
    """The design as a tensor of bytes, uint8 (n,)."""
    text = json.dumps({"grammar": GRAMMAR_VERSION, "design": design.to_dict()}, sort_keys=True)
    return torch.frombuffer(bytearray(text.encode("ascii")), dtype=torch.uint8)


def design_of(tensors: Mapping[str, Tensor]) -> Architecture:
    """The design among the tensors of a model file.

    Raises:
        InputError: There is none, it is damaged, or of a newer version of the grammar.
    """
    if DESIGN_KEY not in tensors:
        raise InputError("is not a model file of srsearch: it holds tensors, but no design")
    tensor = tensors[DESIGN_KEY]
    if tensor.dtype != torch.uint8 or tensor.dim() != 1:
        raise InputError(f"the design ({DESIGN_KEY}) is damaged: {tensor.dtype} {tuple(tensor.shape)} is not text")
    try:
        content = json.loads(bytes(tensor.cpu().numpy()))
        grammar, plain = content["grammar"], content["design"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"the design ({DESIGN_KEY}) is damaged: it is not the JSON that srsearch writes") from None
    if grammar != GRAMMAR_VERSION:
        newer = isinstance(grammar, int) and grammar > GRAMMAR_VERSION
        raise InputError(
            f"the design is written in version {grammar!r} of the grammar of designs, and this srsearch {__version__} "
            f"reads version {GRAMMAR_VERSION}{': install a newer srsearch' if newer else ''}"
        )
    try:
        design = Architecture.from_dict(plain)
        positions(design.body)  # too many blocks: refused before they are built
        return design
    except RecursionError:
        raise InputError("the design is nested too deep") from None
    except InputError as error:
        hint = "; --plugin loads parts of your own" if "unknown" in str(error) else ""
        raise InputError(f"the design cannot be built here: {error}{hint}") from None


def fill(design: Architecture, tensors: Mapping[str, Tensor]) -> Network:
    """Build the network of a design with the tensors of a model file, in float32 and evaluation mode.

    Raises:
        InputError: The tensors do not fit the design; says which.
    """
    stored = _stored(design, {key: tensor for key, tensor in tensors.items() if key != DESIGN_KEY})
    network = build(design, seed=0)
    own = network.state_dict()  # the network's own tensors
    with torch.no_grad():
        for key, tensor in stored.items():
            own[key].copy_(tensor)
    return network.eval()


def _stored(design: Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a state dict that a file holds: of a shared tensor's keys, the first.

    Raises:
        InputError: Missing, unknown or misshapen tensors, copies that differ, or values that are not finite.
    """
    stored, unknown, misfits, missing = dict[str, Tensor](), set(state), list[str](), list[str]()
    for first, *others in _keys(design):
        copies = [key for key in (first[0], *(key for key, _ in others)) if key in state]
        unknown -= set(copies)
        if not copies:
            missing.append(f"{first[0]} {first[1]}")
            continue
        tensor = state[copies[0]]
        if tuple(tensor.shape) != first[1] or not tensor.is_floating_point():
            misfits.append(f"{copies[0]} is {tensor.dtype} {tuple(tensor.shape)}, should be {first[1]}")
            continue
        if not bool(tensor.isfinite().all()):
            raise InputError(f"the tensor {copies[0]} is not finite")
        for copy in copies[1:]:
            if not torch.equal(tensor, state[copy]):
                raise InputError(f"{copies[0]} and {copy} are one tensor in the design, but differ")
        stored[first[0]] = tensor
    named = {"missing": missing, "left over": sorted(unknown), "wrong": misfits}
    if any(named.values()):
        what = "; ".join(f"{kind}: {_some(keys)}" for kind, keys in named.items() if keys)
        raise InputError(f"the tensors are not those of the design; {what}")
    return stored


def _keys(design: Architecture) -> list[list[tuple[str, tuple[int, ...]]]]:
    """The keys of each tensor of a design's network, with its shape. The network is built without memory for it."""
    with torch.device("meta"):
        network = build(design)
    wanted = network.state_dict()  # without what is computed from the design, such as the mean
    keys: dict[int, list[tuple[str, tuple[int, ...]]]] = defaultdict(list)
    for named in (network.named_parameters, network.named_buffers):
        for key, tensor in named(remove_duplicate=False):
            if key in wanted:
                keys[id(tensor)].append((key, tuple(tensor.shape)))
    return list(keys.values())


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more


def _read(file: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    if not file.is_file():
        raise InputError(f"there is no file {str(file)!r}")
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            return {key: opened.get_tensor(key) for key in opened.keys()}, metadata  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from None
    except (safetensors.SafetensorError, ValueError, RuntimeError) as error:
        raise InputError(f"{file}: not a safetensors file, or damaged ({error})") from None


def _facts(file: Path, metadata: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        facts = json.loads(metadata.get("facts", "{}"))
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict):
        raise InputError(f"{file}: its metadata `facts` is not the JSON that srsearch writes")
    return facts
