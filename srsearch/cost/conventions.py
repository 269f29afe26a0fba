"""How a paper counts: which parameters, on which image, rounded how. A figure has a meaning only under one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from srsearch.errors import InputError, nearest


@dataclass(frozen=True)
class Convention:
    """A way of counting.

    Attributes:
        name: What it is called.
        about: One line for people.
        output: Width and height of the HR image that Mult-Adds are counted for.
        biases: Whether biases count as parameters.
        truncate: Whether printed figures are cut, not rounded, to thousands.
    """

    name: str
    about: str
    output: tuple[int, int] = (1280, 720)
    biases: bool = True
    truncate: bool = False

    def lr_area(self, scale: int) -> int | Fraction:
        """LR pixels: the output's area over scale squared, also where a side does not divide (x3: 102,400)."""
        area = Fraction(self.output[0] * self.output[1], scale**2)
        return area.numerator if area.denominator == 1 else area

    def at(self, output: tuple[int, int]) -> Convention:
        """The same way of counting for another output size, (width, height)."""
        return replace(self, output=output)

    def thousands(self, params: int) -> int:
        """Parameters in thousands, as the paper prints them."""
        return params // 1000 if self.truncate else math.floor(params / 1000 + 0.5)


OURS = Convention("ours", "every trainable parameter; Mult-Adds of convolutions for a 1280x720 output")
PCARN = Convention("pcarn", "PCARN paper, Table IV: CARN and PCARN; the upsamplers of x2, x3 and x4 together")
PCARN_NO_BIAS = Convention(
    "pcarn-no-bias", "PCARN paper: -M models everywhere, Tables V and VI; no biases", biases=False
)
PCARN_TABLE_I = Convention("pcarn-table-1", "PCARN paper, Table I: one x4 upsampler, truncated", truncate=True)

_CONVENTIONS = {each.name: each for each in (OURS, PCARN, PCARN_NO_BIAS, PCARN_TABLE_I)}


def convention(name: str) -> Convention:
    """A convention by name.

    Raises:
        InputError: Unknown name.
    """
    if name not in _CONVENTIONS:
        raise InputError(f"unknown convention {name!r}; {nearest(name, _CONVENTIONS)}")
    return _CONVENTIONS[name]


def convention_names() -> tuple[str, ...]:
    """The names of all conventions."""
    return tuple(_CONVENTIONS)
