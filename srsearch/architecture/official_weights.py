"""Official weights: the files that the papers' authors released, read strictly into our networks, and written.

Released code names its tensors in its own way, its layout. A layout is declared here as a table of modules, theirs to
ours, made by a small rule from their source:

=========  =====================================================================  ===================================
layout     source                                                                 what is particular
=========  =====================================================================  ===================================
`PCARN`    github.com/nmhkahn/PCARN-pytorch, ``pcarn/model``
`PCARN_M`  the same with ``--mobile --group 4``                                   three copies of each shared block
`CARN`     github.com/nmhkahn/CARN-pytorch, ``carn/model/carn.py``                ReLU inside the fusions' modules
`CARN_M`   the same, ``carn/model/carn_m.py``                                     each shared block once
`S_LWSR`   github.com/Sudo-Biao/s-LWSR, ``Train/code/model/lwsr.py``              images 0..255; every activation
=========  =====================================================================  ===================================

Every name comes from the source; a released file was at hand for PCARN-M alone. Of s-LWSR:

- Its code has the activations that its paper says were removed: each ``ResBlock`` appends its ReLU whatever it is
  given. So files of that layout are loaded into the design that keeps them all.
- Its code sets ``requires_grad`` of the mean shift's module, which freezes nothing (EDSR-PyTorch, issue 80). Training
  may have moved it; ours is fixed, and such a file is refused.
- Its code works on images in 0..255 (``--rgb_range 255``), ours in 0..1. The first convolution takes the factor, and
  the last gives it back; that is exact but for rounding. Which range a file has is seen in its mean shift.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pickle
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        networks: Published networks that the code builds, by our names. All their activations are kept.
        modules: Their modules to ours, without the upsamplers. Several of theirs with one of ours are copies of a
            shared module, which have to be equal.
        upsampler: Their upsampler of a network of one scale.
        upsamplers: Their upsampler for each ``{scale}`` of a multi-scale network.
        mean_shift: What follows ``sub_mean`` and ``add_mean`` in the names of the fixed 1x1 convolutions that shift
            the mean.
        peaks: Values of white that the code works with; what we write has the first.
    """

    source: str
    networks: tuple[str, ...]
    modules: Mapping[str, str]
    upsampler: str
    upsamplers: str = ""
    mean_shift: str = ""
    peaks: tuple[int, ...] = (1,)


def _cascading(convs: Mapping[str, str], *, fusion: str = "", written: int = 3, distinct: int = 3) -> dict[str, str]:
    """The modules of CARN's kin: three cascading blocks of three blocks each, theirs counted from one.

    Args:
        convs: The convolutions of a block.
        fusion: What follows the names of the 1x1 fusions, ``c1`` to ``c3`` in each cascading block and at the top.
        written: How many blocks of each cascading block are in the file.
        distinct: How many of them are modules of their own.
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
    """s-LWSR's modules: bunches 2 to 5 down, 6 in the middle, 7 to 10 up, whose last blocks are called ``conv``.

    The 1x1 fusion before a bunch on the way up is part of its first block.
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
    """What CARN's and PCARN's code have in common."""
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
    """Official weights, loaded.

    Attributes:
        network: With the weights set.
        design: What it is built from.
        name: Published network, by our name.
        layout: That of the file.
    """

    network: Network
    design: Architecture
    name: str
    layout: Layout

    def __str__(self) -> str:
        return str(_Candidate(self.name, self.layout, self.design))


def load_official(path: str | Path, name: str | None = None, scale: int | None = None) -> Official:
    """Read a file of official weights, strictly; nothing in it is run.

    Every tensor of the file is used, every parameter of the network set, copies of shared blocks are equal, and the
    mean shift is the fixed one.

    Args:
        path: A state dict saved by ``torch.save``, also within ``state_dict``, ``params``, ``params_ema`` or
            ``model``; or a ``.safetensors`` file, where that package is installed.
        name: Published network, by our name or its paper's; without one it is recognised by keys and shapes. A file
            says nothing of activations: see the notes on s-LWSR above.
        scale: Its scale, where only a single-scale network of that scale will do.

    Raises:
        InputError: The file cannot be read or holds more than tensors, or it does not fit; or there is no official
            layout of that network.
    """
    tensors = read_tensors(path)
    candidates = _candidates(name, scale)
    found = min(candidates, key=lambda each: each.misfit(tensors).count)
    misfit = found.misfit(tensors)
    if misfit.count:
        raise InputError(f"{path}: {_what_is_wrong(tensors, found, misfit, named=name is not None)}")
    peak = _peak(path, found.layout, tensors)
    network = build(found.design, seed=0)
    network.load_state_dict(_ours(path, found, tensors, peak), strict=True)
    return Official(network, found.design, found.name, found.layout)


def official_state_dict(network: Network, design: Architecture) -> dict[str, Tensor]:
    """A network's weights as released code saves and loads them: what `load_official` reads, written.

    Args:
        network: Built from the design.
        design: One that released code builds, at any scale.

    Returns:
        Copies in float32, on the CPU.

    Raises:
        InputError: No released code builds that design, or the network is not of it.
    """
    found = next((each for each in _candidates() if each.design == design), None)
    if found is None:
        raise InputError(
            f"no released code builds this design; it builds {', '.join(_names())}, and keeps all activations of those"
        )
    state = network.state_dict()
    if {key: tuple(tensor.shape) for key, tensor in state.items()} != _shapes(design):
        raise InputError(f"the network is not of the design {found.name}")
    peak = found.layout.peaks[0]
    factors = _factors(peak)
    written = {
        theirs: _times(state[ours], 1 / factors.get(ours, 1.0)).cpu().clone() for theirs, ours in found.keys.items()
    }
    return _mean_shift(found.layout, peak) | written


# Which network --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Misfit:
    """How tensors differ from those expected; each a key with what there is to say of it."""

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
    """A network as released code saves it."""

    name: str
    layout: Layout
    design: Architecture

    @functools.cached_property
    def keys(self) -> dict[str, str]:
        """Their key of every tensor, without the mean shift, to ours."""
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
        """What each of their tensors has to be, as `_form` writes it."""
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
    """``(64, 3, 3, 3)``: the shape of an ordinary tensor of floating point numbers; else what there is instead."""
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
                    # Released code has every activation, also s-LWSR's.
                    body = design.body.having(activations="all")
                    yield _Candidate(name, layout, dataclasses.replace(design, body=body))

    return tuple(made())


def _candidates(name: str | None = None, scale: int | None = None) -> list[_Candidate]:
    """What a file may hold, the likeliest first.

    Raises:
        InputError: Unknown name, or no released code builds that network.
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
    """The shapes of a network's parameters, by our keys."""
    with torch.device("meta"):
        state = build(design).state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _what_is_wrong(tensors: Mapping[str, Any], found: _Candidate, misfit: _Misfit, *, named: bool) -> str:
    other = next((each for each in _candidates() if not each.misfit(tensors).count), None)
    if other is not None:
        return f"this is not {found}; it is {other}"
    if named:
        return f"this is not {found}; {misfit}"
    if len(misfit.missing) + len(misfit.misshapen) > len(found.forms) / 2:
        first, known = _some(tuple(tensors), 4), ", ".join(_names())
        return f"its tensors ({first}) are those of no network whose official layout is known; known are {known}"
    return f"these are not the official weights of any network; they are nearest to {found}; {misfit}"


# Tensors, theirs and ours ---------------------------------------------------------------------------------------------


def _ours(path: str | Path, found: _Candidate, tensors: Mapping[str, Tensor], peak: int) -> dict[str, Tensor]:
    """The tensors under our keys, for images in 0..1.

    Raises:
        InputError: Copies of one tensor differ, or values are not finite.
    """
    theirs_of = defaultdict(list)
    for theirs, ours in found.keys.items():
        theirs_of[ours].append(theirs)
    factors, state = _factors(peak), {}
    for ours, copies in theirs_of.items():
        first, *others = (_times(tensors[copy], factors.get(ours, 1.0)) for copy in copies)
        if not first.isfinite().all():
            raise InputError(f"{path}: {copies[0]} is not finite")
        for copy, other in zip(copies[1:], others, strict=True):
            if not torch.equal(first, other):
                raise InputError(f"{path}: {copies[0]} and {copy} differ, but {found.name} has one shared block there")
        state[ours] = first
    return state


def _factors(peak: int) -> dict[str, float]:
    """What their tensors, for images in 0..peak, are multiplied by for images in 0..1; ours keys, others by one."""
    return {"entry.0.weight": float(peak), "exit.weight": 1 / peak, "exit.bias": 1 / peak}


def _times(tensor: Tensor, factor: float) -> Tensor:
    """float32, rounded once."""
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
    """The value of white, by the mean shift.

    Raises:
        InputError: It is not the fixed one of any range that the layout has.
    """
    for peak in layout.peaks:
        expected = _mean_shift(layout, peak)
        if all(_close(tensors[key], tensor) for key, tensor in expected.items()):
            return peak
    bias = f"sub_mean{layout.mean_shift}.bias"
    peaks = " or ".join(f"0..{peak}" for peak in layout.peaks)
    raise InputError(
        f"{path}: the mean shift (sub_mean, add_mean) is not the fixed one that our networks have: {bias} is "
        f"{tensors[bias].tolist()}, should be minus {list(MEAN_RGB)} for images in {peaks}, and the weights identities"
    )


def _close(given: Tensor, expected: Tensor) -> bool:
    precision = 2 * max(torch.finfo(given.dtype).eps, torch.finfo(torch.float32).eps)
    return torch.allclose(given.float(), expected, rtol=precision, atol=0.0)


# Files ----------------------------------------------------------------------------------------------------------------

_WRAPPERS = ("params_ema", "params", "state_dict", "model")
_PREFIXES = ("module.", "model.")


def read_tensors(path: str | Path) -> dict[str, Any]:
    """The state dict in a file, by its keys; nothing in the file is run.

    Wrappings are taken off: a state dict within another (``params_ema`` before ``params``, ``state_dict``, ``model``),
    ``module.`` or ``model.`` in front of all keys, and ``_orig_mod.`` of compiled networks inside them. Values are as
    the file has them, on the CPU.

    Raises:
        InputError: There is no such file, it cannot be read, or it holds other than tensors and plain values.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"there is no file {str(path)!r}")
    content = _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)
    for _ in _WRAPPERS:
        within = [content[name] for name in _WRAPPERS if isinstance(content, Mapping) and name in content]
        content = next((each for each in within if isinstance(each, Mapping)), content)
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path}: there is no state dict in it, but {type(content).__name__}")
    # torch.compile puts its own name into keys, anywhere on their way.
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
            f"{file}: refused, and nothing in it was run: it asks for {wanted[1]}, and reading weights may only make "
            "tensors; a file saved with torch.save(network.state_dict(), ...) is right"
        ) from None
    except OSError as error:
        raise _unreadable(file, str(error.strerror)) from None
    except Exception as error:  # What a damaged file makes of a reader is without limit.
        raise _unreadable(file, f"not a file of torch.save, or damaged ({type(error).__name__})") from None


def _read_safetensors(file: Path) -> Any:
    try:
        reader = importlib.import_module("safetensors.torch")
    except ImportError:
        raise InputError(f"{file}: reading it needs the package safetensors: pip install safetensors") from None
    try:
        return reader.load_file(file)
    except Exception as error:  # As above; safetensors has an error of its own as well.
        raise _unreadable(file, f"not a safetensors file, or damaged ({error})") from None


def _unreadable(file: Path, why: str) -> InputError:
    return InputError(f"{file} cannot be read as weights: {why}")
