"""Products that a count of convolutions misses are refused by name; operations without Mult-Adds are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srsearch.architecture import InvalidDesign
from srsearch.architecture.design import Architecture
from srsearch.cost import count
from srsearch.cost.bill import measure
from srsearch.cost.verify import verify
from tests.support.registration import registered

CHANNELS = 8


class With(nn.Module):
    """A part with one trained tensor and a function of it and the features."""

    def __init__(self, shape: tuple[int, ...], function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.weight)


def mult_adds(module: Callable[[], nn.Module]) -> int:
    bill = measure(lambda slot: module(), lambda made, x: made(x), CHANNELS)
    return int(bill.own.mult_adds)


def shifted(x: Tensor, weight: Tensor) -> Tensor:
    """A depthwise convolution written by hand: shifted copies, each multiplied by its own weights."""
    return sum(torch.roll(x, shift, 3) * weight[shift].view(1, -1, 1, 1) for shift in range(3))  # type: ignore[return-value]


def unfolded(x: Tensor, weight: Tensor) -> Tensor:
    n, c, h, w = x.shape
    patches = F.unfold(x, 3, padding=1).view(n, c, 9, h, w)
    return (patches * weight.view(1, c, 9, 1, 1)).sum(2)


def gathered(x: Tensor, weight: Tensor) -> Tensor:
    """Multiplies every channel by every other."""
    return (x[:, :, None] * x[:, None]).mean(2)


PRODUCTS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "linear": (lambda: With((8, 8), lambda x, w: F.linear(x.permute(0, 2, 3, 1), w).permute(0, 3, 1, 2)), "multiplies"),
    "einsum": (lambda: With((8, 8), lambda x, w: torch.einsum("nchw,oc->nohw", x, w)), "multiplies matrices"),
    "bilinear": (
        lambda: With((8, 8, 8), lambda x, w: F.bilinear(*[x.movedim(1, 3)] * 2, w).movedim(3, 1)),
        "_trilinear",
    ),
    "attention": (
        lambda: With((1,), lambda x, w: F.scaled_dot_product_attention(x, x, x)),
        "multiplies",
    ),
    "distances": (lambda: With((1,), lambda x, w: torch.cdist(x, x)), "multiplies|_cdist"),
    "shifts": (lambda: With((3, 8), shifted), "by a trained tensor"),
    "unfold": (lambda: With((8, 9), unfolded), "by a trained tensor"),
    "computed weights": (lambda: With((8,), lambda x, w: x * (w.exp() + 1).view(1, -1, 1, 1)), "by a trained tensor"),
    "in place": (lambda: With((8, 1, 1), lambda x, w: (x + 0).mul_(w)), "by a trained tensor"),
    "a division": (lambda: With((8, 1, 1), lambda x, w: x / w), "by a trained tensor"),
    "addcmul": (lambda: With((8, 1, 1), lambda x, w: torch.addcmul(x, x, w)), "by a trained tensor"),
    "channels with channels": (lambda: With((1,), gathered), "by several others"),
    "frequencies": (lambda: With((1,), lambda x, w: torch.fft.irfft2(torch.fft.rfft2(x))), "frequencies"),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_other_than_convolutions_are_refused_by_name(name: str) -> None:
    module, says = PRODUCTS[name]
    with pytest.raises(InvalidDesign, match=says):
        mult_adds(module)


class Attention(nn.Module):
    """Channel attention: features times features, and two convolutions for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.squeeze(x.mean((2, 3), keepdim=True)))


FREE: dict[str, Callable[[], nn.Module]] = {
    "layer norm": lambda: nn.GroupNorm(1, CHANNELS),
    "batch norm": lambda: nn.BatchNorm2d(CHANNELS).eval(),
    "PReLU": lambda: nn.PReLU(CHANNELS),
    "a learned factor": lambda: With((1,), lambda x, w: x + x * w),
    "a learned offset": lambda: With((8, 1, 1), lambda x, w: x + w),
    "attention": Attention,
    "an order of channels": lambda: nn.ChannelShuffle(2),
    "features squared": lambda: With((1,), lambda x, w: x * x),
}


@pytest.mark.parametrize("name", FREE)
def test_operations_without_mult_adds_cost_nothing(name: str) -> None:
    assert mult_adds(FREE[name]) == 0


def test_weights_computed_from_weights_are_counted_where_they_convolve() -> None:
    normalised = With((8, 8, 3, 3), lambda x, w: F.conv2d(x, w / w.norm(), padding="same"))
    assert mult_adds(lambda: normalised.to("meta")) == 8 * 8 * 9


@pytest.mark.parametrize("lazy", [nn.LazyConv2d, nn.LazyConvTranspose2d])
def test_lazy_modules_are_refused(lazy: type[nn.Module]) -> None:
    with pytest.raises(InvalidDesign, match=r"its weight has no shape until it first runs"):
        mult_adds(lambda: lazy(CHANNELS, 3, padding=1))


class Same(nn.Module):
    """A convolution with ``padding="same"``, and two strides that do not divide small images."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding="same")
        self.down = nn.Conv2d(channels, channels, 3, stride=3)
        self.up = nn.ConvTranspose2d(channels, channels, 3, stride=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(self.conv(x)))


def test_a_correct_count_is_verified_for_any_padding_and_stride() -> None:
    with registered("unit", "padded_by_word", Same):
        design = Architecture.from_dict(
            {"scale": 4, "channels": CHANNELS, "unit": "padded_by_word", "body": {"chain": {"blocks": 1}}}
        )
        assert verify(design).agrees
        assert count(design).mult_adds > 0
