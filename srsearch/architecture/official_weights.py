"""Reads and writes official weights: the files that the papers' authors released.

Released code names its tensors in its own way, which is called its layout here. Each layout is a table from the
modules of the released code to ours:

=========  =====================================================================  ===================================
layout     source                                                                 peculiarity
=========  =====================================================================  ===================================
`PCARN`    github.com/nmhkahn/PCARN-pytorch, ``pcarn/model``
`PCARN_M`  the same with ``--mobile --group 4``                                   three copies of each shared block
`CARN`     github.com/nmhkahn/CARN-pytorch, ``carn/model/carn.py``                ReLU inside the fusions' modules
`CARN_M`   the same, ``carn/model/carn_m.py``                                     each shared block once
`S_LWSR`   github.com/Sudo-Biao/s-LWSR, ``Train/code/model/lwsr.py``              images 0..255; every activation
=========  =====================================================================  ===================================

All names were taken from the source code. Only the PCARN-M layout has been tried on a released file. Notes on s-LWSR:

- The code keeps the activations that the paper says were removed: every ``ResBlock`` appends its ReLU, and the flag
  only says whether it works in place. Files are therefore loaded into the design that keeps all activations.
- The code sets ``requires_grad`` of the module of the mean shift, which freezes nothing (EDSR-PyTorch, issue 80).
  Training may have changed the mean shift. Ours is fixed, so a file with another mean shift is refused.
- The code works on images in 0..255 (``--rgb_range 255``), ours on 0..1. The factor 255 is multiplied into the first
  convolution and divided out of the last one, which is exact up to rounding. The mean shift tells a file's range.
"""

from __future__ import annotations

import dataclasses
import functools
import pickle
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from srsearch.architecture import catalogue
from srsearch.architecture.build import build
from srsearch.architecture.design import SCALES, Architecture
from srsearch.architecture.network import MEAN_RGB, Network
from srsearch.errors import InputError, suggest


@dataclass(frozen=True, eq=False)
class Layout:
    """How released code names the tensors of its networks.

    Attributes:
        source: The repository.
        networks: Published networks that the code builds, by our names. They keep all their activations.
        modules: Names of their modules to names of ours, without the upsamplers. If several of theirs have one of ours,
            they are copies of a shared module and must be equal.
        upsampler: Name of their upsampler in a network of one scale.
        upsamplers: Name of their upsampler for each ``{scale}`` of a multi-scale network; empty if they have none.
        mean_shift: Suffix of ``sub_mean`` and ``add_mean`` in the names of the fixed 1x1 convolutions that shift the
            mean.
        peaks: Values of white that the code works with. Files are written for the first.
    """

    source: str
    networks: tuple[str, ...]
    modules: Mapping[str, str]
    upsampler: str
    upsamplers: str = ""
    mean_shift: str = ""
    peaks: tuple[int, ...] = (1,)


def _cascading(convs: Mapping[str, str], *, fusion: str = "", written: int = 3, distinct: int = 3) -> dict[str, str]:
    """The modules of CARN and PCARN: three cascading blocks of three blocks each, counted from one in released code.

    Args:
        convs: Names of the convolutions of a block, theirs to ours.
        fusion: Suffix of the names of the 1x1 fusions, ``c1`` to ``c3`` in each cascading block and at the top.
        written: Number of blocks of each cascading block in the file.
        distinct: Number of these blocks that have weights of their own.
    """
    top = "body.top"
    modules = {"entry": "entry.0", "exit": "exit"}
    for i in range(3):
        modules[f"c{i + 1}{fusion}"] = f"{top}.fusions.{i}"
        for j in range(3):
            modules[f"b{i + 1}.c{j + 1}{fusion}"] = f"{top}.steps.{i}.fusions.{j}"
        for j in range(written):
            block = f"{top}.steps.{i}.steps.{j % distinct}"
            modules |= {f"b{i + 1}.b{j + 1}.{theirs}": f"{block}.{ours}" for theirs, ours in convs.items()}
    return modules


def _symmetric() -> dict[str, str]:
    """The modules of s-LWSR: bunches 2 to 5 down, 6 in the middle, 7 to 10 up.

    In the released code, the last block of each bunch on the way up is called ``conv``, and the 1x1 fusion before such
    a bunch is part of its first block.
    """
    modules = {"head.0": "entry.0", "conv1": "body.pool", "tail.1": "exit"}
    blocks = {f"feat6_{j + 1}": f"body.middle.{j}" for j in range(2)}
    for i in range(4):
        blocks |= {f"feat{i + 2}_{j + 1}": f"body.down.{i}.{j}" for j in range(3)}
        blocks |= {
            f"feat{i + 7}_1": f"body.up.{i}.0",
            f"feat{i + 7}_2": f"body.up.{i}.1",
            f"conv{i + 7}": f"body.up.{i}.2",
        }
        modules[f"feat{i + 7}_1.conv"] = f"body.fusions.{i}"
    for theirs, ours in blocks.items():
        modules |= {f"{theirs}.body.0": f"{ours}.first", f"{theirs}.body.2": f"{ours}.second"}
    return modules


def _of_ahn(source: str, networks: tuple[str, ...], modules: Mapping[str, str]) -> Layout:
    """A layout with the names that CARN's and PCARN's code have in common."""
    return Layout(source, networks, modules, "upsample.up.body", "upsample.up{scale}.body", ".shifter")


PCARN = _of_ahn(
    "github.com/nmhkahn/PCARN-pytorch",
    ("pcarn",),
    _cascading({"conv1": "first", "conv2": "second"}),
)
PCARN_M = _of_ahn(
    "github.com/nmhkahn/PCARN-pytorch",
    ("pcarn-m", *(f"pcarn-g{groups}r" for groups in (2, 4, 8, 16, 32, 64))),
    _cascading({"conv1": "first", "conv2": "second", "pw": "pointwise"}, distinct=1),
)
CARN = _of_ahn(
    "github.com/nmhkahn/CARN-pytorch",
    ("carn",),
    _cascading({"body.0": "first", "body.2": "second"}, fusion=".body.0"),
)
CARN_M = _of_ahn(
    "github.com/nmhkahn/CARN-pytorch",
    ("carn-m",),
    _cascading({"body.0": "first", "body.2": "second", "body.4": "pointwise"}, fusion=".body.0", written=1),
)
S_LWSR = Layout(
    "github.com/Sudo-Biao/s-LWSR",
    ("s-lwsr-16", "s-lwsr-32", "s-lwsr-64", "s-lwsr-16-all"),
    _symmetric(),
    upsampler="tail.0",
    peaks=(255, 1),
)

LAYOUTS: tuple[Layout, ...] = (PCARN, PCARN_M, CARN, CARN_M, S_LWSR)


@dataclass(frozen=True, eq=False)
class Official:
    """A network with official weights.

    Attributes:
        network: The network with its weights.
        design: The design that it is built from.
        name: Name of the published network in the catalogue.
        layout: Layout of the file.
    """

    network: Network
    design: Architecture
    name: str
    layout: Layout

    def __str__(self) -> str:
        return str(_Candidate(self.name, self.layout, self.design))


def load_official(path: str | Path, name: str | None = None, scale: int | None = None) -> Official:
    """Read a file of official weights. No code in the file is run.

    The check is strict: every tensor of the file must be used, every parameter of the network set, copies of shared
    blocks must be equal, and the mean shift must be the fixed one.

    Args:
        path: A state dict saved by ``torch.save``, possibly under the key ``state_dict``, ``params``, ``params_ema`` or
            ``model``; or a ``.safetensors`` file.
        name: The published network, by our name or its paper's. By default it is recognised by keys and shapes. A file
            says nothing about activations: see the notes on s-LWSR in the module's docstring.
        scale: Accept only a single-scale network of this scale.

    Raises:
        InputError: The file cannot be read, holds more than tensors, or does not fit the network; or no official layout
            of the network is known.
    """
    tensors = read_tensors(path)
    nearest = min(_candidates(name, scale), key=lambda each: each.misfit(tensors).count)
    misfit = nearest.misfit(tensors)
    if misfit.count:
        raise InputError(f"{path}: {_what_is_wrong(tensors, nearest, misfit, named=name is not None)}")
    peak = _peak(path, nearest.layout, tensors)
    network = build(nearest.design, seed=0)
    network.load_state_dict(_ours(path, nearest, tensors, peak), strict=True)
    return Official(network, nearest.design, nearest.name, nearest.layout)


def official_state_dict(network: Network, design: Architecture) -> dict[str, Tensor]:
    """Convert a network's weights to the state dict of released code, the inverse of `load_official`.

    Args:
        network: Built from the design.
        design: A design that released code builds, at any scale.

    Returns:
        Copies of the tensors in float32 on the CPU, by the keys of released code.

    Raises:
        InputError: No released code builds the design, or the network was not built from it.
    """
    candidate = next((each for each in _candidates() if each.design == design), None)
    if candidate is None:
        raise InputError(
            f"no released code builds this design; it builds {', '.join(_names())}, each with all activations"
        )
    state = network.state_dict()
    if {key: tuple(tensor.shape) for key, tensor in state.items()} != _shapes(design):
        raise InputError(f"the network was not built from the design {candidate.name}")
    peak = candidate.layout.peaks[0]
    factors = _factors(peak)
    written = {
        theirs: _times(state[ours], 1 / factors.get(ours, 1.0)).cpu().clone() for theirs, ours in candidate.keys.items()
    }
    return _mean_shift(candidate.layout, peak) | written


# Which network --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Misfit:
    """The differences between a file's tensors and the expected ones, each as a key and a remark."""

    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    misshapen: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.missing) + len(self.surplus) + len(self.misshapen)

    def __str__(self) -> str:
        named = {"missing": self.missing, "left over": self.surplus, "wrong shape": self.misshapen}
        return "; ".join(f"{what}: {_some(keys)}" for what, keys in named.items() if keys)


def _some(items: tuple[str, ...], most: int = 8) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A network in the layout of the released code that builds it."""

    name: str
    layout: Layout
    design: Architecture

    @functools.cached_property
    def keys(self) -> dict[str, str]:
        """Keys of the released code to our keys, without the mean shift."""
        scales, layout = self.design.scales, self.layout
        names = [layout.upsampler] if len(scales) == 1 else [layout.upsamplers.format(scale=scale) for scale in scales]
        upsamplers = {theirs: f"upsamplers.{scale}" for theirs, scale in zip(names, scales, strict=True)}
        return {
            theirs + key.removeprefix(ours): key
            for theirs, ours in (*layout.modules.items(), *upsamplers.items())
            for key in _shapes(self.design)
            if key.startswith(f"{ours}.")
        }

    @functools.cached_property
    def forms(self) -> dict[str, str]:
        """The expected form of each tensor of the released code, as `_form` writes it."""
        shapes = _shapes(self.design)
        forms = {theirs: _form(tensor) for theirs, tensor in _mean_shift(self.layout, 1).items()}
        return forms | {theirs: str(shapes[ours]) for theirs, ours in self.keys.items()}

    def misfit(self, tensors: Mapping[str, Any]) -> _Misfit:
        given = {key: _form(value) for key, value in tensors.items()}
        return _Misfit(
            missing=tuple(f"{key} {form}" for key, form in self.forms.items() if key not in given),
            surplus=tuple(f"{key} {form}" for key, form in given.items() if key not in self.forms),
            misshapen=tuple(
                f"{key} is {given[key]}, should be {form}"
                for key, form in self.forms.items()
                if key in given and given[key] != form
            ),
        )

    def __str__(self) -> str:
        scales = self.design.scales
        changed = self.design != catalogue.get(self.name, scales[0] if len(scales) == 1 else None)
        factors = ", ".join(f"x{scale}" for scale in scales)
        return f"{self.name} {factors}{' with every activation' if changed else ''}, as {self.layout.source} saves it"


def _form(value: object) -> str:
    """The shape of a dense floating-point tensor on the CPU, such as ``(64, 3, 3, 3)``; else a description."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    if value.is_floating_point() and value.layout == torch.strided and value.device.type == "cpu":
        return str(tuple(value.shape))
    return f"{value.dtype}, {value.layout}, on {value.device.type}"


def _names() -> tuple[str, ...]:
    return tuple(name for layout in LAYOUTS for name in layout.networks)


@functools.cache
def _every_candidate() -> tuple[_Candidate, ...]:
    def made() -> Iterator[_Candidate]:
        for layout in LAYOUTS:
            for name in layout.networks:
                several = [None] if layout.upsamplers else []
                for scale in (*several, *SCALES):
                    design = catalogue.get(name, scale)
                    # Released code has every activation, even s-LWSR's.
                    body = design.body.having(activations="all")
                    yield _Candidate(name, layout, dataclasses.replace(design, body=body))

    return tuple(made())


def _candidates(name: str | None = None, scale: int | None = None) -> list[_Candidate]:
    """The networks that a file may hold, multi-scale ones first.

    Raises:
        InputError: Unknown name or scale, or no official layout of the network is known.
    """
    known = None if name is None else catalogue.published(name).name
    if known is not None and known not in _names():
        raise InputError(f"no official layout of {known!r} is known; {suggest(known, _names())}")
    if scale is not None and scale not in SCALES:
        raise InputError(f"scale: {scale!r} is not one of {', '.join(map(str, SCALES))}")
    return [
        each
        for each in _every_candidate()
        if known in (None, each.name) and (scale is None or each.design.scales == (scale,))
    ]


@functools.lru_cache(maxsize=256)
def _shapes(design: Architecture) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a network's state dict, by our keys."""
    with torch.device("meta"):
        state = build(design).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _what_is_wrong(tensors: Mapping[str, Any], nearest: _Candidate, misfit: _Misfit, *, named: bool) -> str:
    match = next((each for each in _candidates() if not each.misfit(tensors).count), None)
    if match is not None:
        return f"this is not {nearest}; it is {match}"
    if named:
        return f"this is not {nearest}; {misfit}"
    if len(misfit.missing) + len(misfit.misshapen) > len(nearest.forms) / 2:
        first, known = _some(tuple(tensors), 4), ", ".join(_names())
        return f"its tensors ({first}) are those of no network whose official layout is known; known are {known}"
    return f"these are not the official weights of any network; they are nearest to {nearest}; {misfit}"


# Tensors, theirs and ours ---------------------------------------------------------------------------------------------


def _ours(path: str | Path, candidate: _Candidate, tensors: Mapping[str, Tensor], peak: int) -> dict[str, Tensor]:
    """Convert a file's tensors to our keys and to images in 0..1.

    Raises:
        InputError: Copies of one tensor differ, or values are not finite.
    """
    theirs_of = defaultdict(list)
    for theirs, ours in candidate.keys.items():
        theirs_of[ours].append(theirs)
    factors, state = _factors(peak), {}
    for ours, copies in theirs_of.items():
        first, *others = (_times(tensors[copy], factors.get(ours, 1.0)) for copy in copies)
        if not first.isfinite().all():
            raise InputError(f"{path}: {copies[0]} is not finite")
        for copy, other in zip(copies[1:], others, strict=True):
            if not torch.equal(first, other):
                raise InputError(f"{path}: {copies[0]} and {copy} differ, but {candidate.name} shares one block there")
        state[ours] = first
    return state


def _factors(peak: int) -> dict[str, float]:
    """Factors that convert tensors for images in 0..peak to images in 0..1, by our keys; other tensors have 1."""
    return {"entry.0.weight": float(peak), "exit.weight": 1 / peak, "exit.bias": 1 / peak}


def _times(tensor: Tensor, factor: float) -> Tensor:
    """Multiply a tensor and return it in float32, rounded once."""
    return tensor.float() if factor == 1 else (tensor.double() * factor).float()


def _mean_shift(layout: Layout, peak: int) -> dict[str, Tensor]:
    """The 1x1 convolutions that shift the mean of images in 0..peak: weights (3, 3, 1, 1), biases (3,)."""
    mean = torch.tensor(MEAN_RGB, dtype=torch.float64) * peak
    tensors = {}
    for name, bias in (("sub_mean", -mean), ("add_mean", mean)):
        tensors[f"{name}{layout.mean_shift}.weight"] = torch.eye(3).reshape(3, 3, 1, 1)
        tensors[f"{name}{layout.mean_shift}.bias"] = bias.float()
    return tensors


def _peak(path: str | Path, layout: Layout, tensors: Mapping[str, Tensor]) -> int:
    """The value of white in a file, read from its mean shift.

    Raises:
        InputError: The mean shift is not the fixed one of any range of the layout.
    """
    for peak in layout.peaks:
        expected = _mean_shift(layout, peak)
        if all(_close(tensors[key], tensor) for key, tensor in expected.items()):
            return peak
    bias = f"sub_mean{layout.mean_shift}.bias"
    peaks = " or ".join(f"0..{peak}" for peak in layout.peaks)
    raise InputError(
        f"{path}: the mean shift (sub_mean, add_mean) is not the fixed one of our networks: {bias} is "
        f"{tensors[bias].tolist()}; it should be minus {list(MEAN_RGB)} for images in {peaks}, and weights identities"
    )


def _close(given: Tensor, expected: Tensor) -> bool:
    precision = 2 * max(torch.finfo(given.dtype).eps, torch.finfo(torch.float32).eps)
    return torch.allclose(given.float(), expected, rtol=precision, atol=0.0)


# Files ----------------------------------------------------------------------------------------------------------------

_WRAPPERS = ("params_ema", "params", "state_dict", "model")
_PREFIXES = ("module.", "model.")


def read_tensors(path: str | Path) -> dict[str, Any]:
    """Read the state dict in a file. No code in the file is run.

    A state dict may be nested under ``params_ema``, ``params``, ``state_dict`` or ``model`` (looked up in this order).
    A prefix ``module.`` or ``model.`` of all keys is removed, and so is ``_orig_mod.``, which `torch.compile` adds.

    Returns:
        The values of the file, on the CPU, by their keys.

    Raises:
        InputError: There is no such file, it cannot be read, or it holds more than tensors and plain values.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"there is no file {str(path)!r}")
    content = _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)
    for _ in _WRAPPERS:
        within = [content[name] for name in _WRAPPERS if isinstance(content, Mapping) and name in content]
        content = next((each for each in within if isinstance(each, Mapping)), content)
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path}: holds no state dict, but {type(content).__name__}")
    # torch.compile writes its own name into keys, anywhere on their way.
    tensors = {re.sub(r"(^|\.)_orig_mod\.", r"\1", str(key)): value for key, value in content.items()}
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _read_torch(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"(?:GLOBAL|class|function) ([\w.]+)", str(error))
        if wanted is None:
            raise _unreadable(file, "not a file of tensors, or damaged") from None
        raise InputError(
            f"{file}: refused, and nothing in it was run: it asks for {wanted[1]}, but a file of weights may only hold "
            "tensors; save it with torch.save(network.state_dict(), ...)"
        ) from None
    except OSError as error:
        raise _unreadable(file, str(error.strerror)) from None
    except Exception as error:  # a damaged file can make the reader raise anything
        raise _unreadable(file, f"not a file of torch.save, or damaged ({type(error).__name__})") from None


def _read_safetensors(file: Path) -> Any:
    try:
        return safetensors.torch.load_file(file)
    except Exception as error:  # as above, and safetensors has its own error class
        raise _unreadable(file, f"not a safetensors file, or damaged ({error})") from None


def _unreadable(file: Path, why: str) -> InputError:
    return InputError(f"{file} cannot be read as weights: {why}")
