"""Counting conventions: which parameters and operations a paper counts, for which image, and how it rounds.

A printed cost can only be compared under the convention of its paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from srsearch.errors import InputError, suggest


@dataclass(frozen=True)
class Convention:
    """A counting convention.

    Attributes:
        name: Its name on the command line and in space files.
        about: A one-line description for people.
        output: Width and height of the HR image that Mult-Adds are counted for.
        lr: Width and height of the LR image, if it is the same at all scales; it then replaces ``output``.
        whole_lr: Whether the sides of the LR image are rounded down to whole numbers (x3: 426x240 for 1280x720).
        biases: Whether biases count as parameters.
        mean_shift_params: Whether the frozen mean subtraction and addition count as parameters (12 each in RGB).
        mean_shift_mult_adds: Whether they count as 1x1 convolutions on LR and HR (9 Mult-Adds a pixel in RGB).
        params_times_pixels: Whether the paper prints parameters times LR pixels as "Mult-Adds".
        truncate: Whether thousands of parameters are truncated instead of rounded.
    """

    name: str
    about: str
    output: tuple[int, int] = (1280, 720)
    lr: tuple[int, int] | None = None
    whole_lr: bool = False
    biases: bool = True
    mean_shift_params: bool = False
    mean_shift_mult_adds: bool = False
    params_times_pixels: bool = False
    truncate: bool = False

    def lr_area(self, scale: int) -> int | Fraction:
        """Number of LR pixels.

        Unless ``lr`` or ``whole_lr`` is set, this is the output's area divided by the square of the scale, even if a
        side does not divide (102,400 at x3).
        """
        if self.lr is not None:
            return self.lr[0] * self.lr[1]
        if self.whole_lr:
            return (self.output[0] // scale) * (self.output[1] // scale)
        area = Fraction(self.output[0] * self.output[1], scale**2)
        return area.numerator if area.denominator == 1 else area

    def at(self, output: tuple[int, int]) -> Convention:
        """Return the convention for another output size, (width, height)."""
        return replace(self, output=output, lr=None)

    def size_text(self) -> str:
        """The size of the image that Mult-Adds are counted for, such as ``1280x720`` or ``256x256 input``."""
        width, height = self.lr or self.output
        return f"{width}x{height}{' input' if self.lr else ''}"

    def thousands(self, params: int) -> int:
        """Parameters in thousands, truncated or rounded as the paper prints them."""
        return params // 1000 if self.truncate else math.floor(params / 1000 + 0.5)


OURS = Convention("ours", "every trainable parameter; Mult-Adds of convolutions for a 1280x720 output")
PCARN = Convention("pcarn", "PCARN paper, Table IV: CARN and PCARN; the upsamplers of x2, x3 and x4 together")
PCARN_NO_BIAS = Convention(
    "pcarn-no-bias", "PCARN paper: -M models everywhere, Tables V and VI; no biases", biases=False
)
PCARN_TABLE_I = Convention("pcarn-table-1", "PCARN paper, Table I: one x4 upsampler, truncated", truncate=True)
EFFICIENCY = Convention(
    "efficiency",
    "efficiency paper: with the mean shift, truncated; x3 on 426x240",
    whole_lr=True,
    mean_shift_params=True,
    mean_shift_mult_adds=True,
    truncate=True,
)
CSRCNN = Convention("csrcnn", "CSRCNN paper: parameters only, truncated", truncate=True)
S_LWSR = Convention(
    "s-lwsr",
    "s-LWSR paper: with the mean shift; its 'Multi-Adds' are parameters times LR pixels",
    mean_shift_params=True,
    params_times_pixels=True,
)
NTIRE = Convention("ntire", "NTIRE efficient SR challenges: for a 256x256 input; they say FLOPs", lr=(256, 256))
FALSR = Convention("falsr", "FALSR paper: for a 480x480 input", lr=(480, 480))

_CONVENTIONS = {
    each.name: each for each in (OURS, PCARN, PCARN_NO_BIAS, PCARN_TABLE_I, EFFICIENCY, CSRCNN, S_LWSR, NTIRE, FALSR)
}


def convention(name: str) -> Convention:
    """Look up a convention by name.

    Raises:
        InputError: Unknown name.
    """
    if name not in _CONVENTIONS:
        raise InputError(f"unknown convention {name!r}; {suggest(name, _CONVENTIONS)}")
    return _CONVENTIONS[name]


def convention_names() -> tuple[str, ...]:
    """The names of all conventions."""
    return tuple(_CONVENTIONS)
