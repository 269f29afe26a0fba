"""PSNR and SSIM by the protocol, compared with published benchmark files and scikit-image."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn

from srsearch.architecture import colour
from srsearch.architecture.bicubic import upscale_bicubic
from srsearch.architecture.colour import rgb_to_ycbcr, ycbcr_to_rgb
from srsearch.data import Photo, builtin_photos, make_pair, upscale
from srsearch.data.bicubic import Pixels, crop_to_multiple
from srsearch.errors import InputError
from srsearch.evaluation import (
    COMMON,
    PCARN,
    Protocol,
    Runtime,
    bicubic_quality,
    evaluate,
    is_luminance,
    luma,
    psnr,
    psnr_y,
    ssim,
    ssim_y,
    upscale_image,
)
from srsearch.evaluation.metrics import MAX_PSNR

CPU = Runtime("cpu", "fp32", True, 1)


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class Bicubic(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return upscale_bicubic(x, 2)


class LuminanceBicubic(nn.Module):
    """Bicubic upscaling on luminance; ``brighter`` is added to the result."""

    in_channels = 1

    def __init__(self, brighter: float = 0.0) -> None:
        super().__init__()
        self.brighter = brighter

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == 1
        return upscale_bicubic(x, 2) + self.brighter


def tensor(pixels: Pixels) -> Tensor:
    """Convert uint8 (h, w, 3) to float32 (1, 3, h, w) in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(
    ("benchmark", "scale", "expected_psnr", "expected_ssim"),
    [("Set5", 4, 28.418, 0.8101), ("Set5", 2, 33.640, 0.9292), ("Set14", 4, 25.993, 0.7023)],
)
def test_reference_values_of_bicubic(
    shared_data: Path, benchmark: str, scale: int, expected_psnr: float, expected_ssim: float
) -> None:
    """Images are quantised like the references: upscaled in uint8, luminance rounded, grey images kept grey."""
    matlab = Protocol("matlab", truncate=False, round_luma=True)
    rows = []
    for file in sorted((shared_data / benchmark / f"image_SRF_{scale}").glob("*_HR.png")):
        images = [Image.open(file), Image.open(file.with_name(file.name.replace("_HR", "_LR")))]
        grey = images[0].mode == "L"
        hr, lr = (np.array(image.convert("RGB")) for image in images)
        sr = upscale(lr, scale)
        if grey:
            inside = (slice(scale, -scale), slice(scale, -scale), 0)
            planes = sr[inside].astype(np.float64), hr[inside].astype(np.float64)
            rows.append((psnr(*planes), ssim(*planes)))
        else:
            rows.append((psnr_y(sr, hr, scale, matlab), ssim_y(sr, hr, scale, matlab)))
    mean_psnr, mean_ssim = np.mean(rows, axis=0)
    assert round(mean_psnr, 3) == expected_psnr
    assert round(mean_ssim, 4) == expected_ssim


def test_psnr_and_ssim_agree_with_scikit_image() -> None:
    pair = make_pair(Photo("noise", noise(64, 48)), 2)
    sr, hr = (luma(image)[2:-2, 2:-2] for image in (upscale(pair.lr, 2), pair.hr))
    _, expected = structural_similarity(
        sr, hr, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    assert ssim(sr, hr) == pytest.approx(float(expected[5:-5, 5:-5].mean()), abs=1e-12)
    assert psnr(sr, hr) == pytest.approx(float(peak_signal_noise_ratio(hr, sr, data_range=255)), abs=1e-10)
    assert psnr_y(upscale(pair.lr, 2), pair.hr, 2) == psnr(sr, hr)


def test_luminance_is_that_of_bt_601() -> None:
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    np.testing.assert_allclose(luma(colours), [[16, 235, 81.481]])


def test_equal_images_have_a_finite_psnr() -> None:
    image = noise(32, 32)
    assert psnr_y(image, image, 4) == MAX_PSNR
    assert ssim_y(image, image, 4) == pytest.approx(1)


def test_protocols_quantise_as_they_say() -> None:
    levels = torch.tensor([-3.0, 0.4, 0.5, 1.5, 254.6, 300]).reshape(1, 1, 6).expand(3, 1, 6) / 255
    assert COMMON.quantise(levels)[0, :, 0].tolist() == [0, 0, 1, 2, 255, 255]
    assert PCARN.quantise(levels)[0, :, 0].tolist() == [0, 0, 0, 1, 254, 255]
    image = noise(16, 16)
    assert np.array_equal(PCARN.luma(image), np.round(luma(image)))
    assert np.array_equal(COMMON.luma(image), luma(image))
    with pytest.raises(InputError, match="unknown evaluation protocol 'comon': did you mean 'common'"):
        psnr_y(image, image, 2, "comon")


def test_networks_are_measured_on_whole_images_and_left_as_they_were() -> None:
    pairs = [make_pair(Photo(str(size), noise(size, size + 6, seed=size)), 2) for size in (40, 50)]
    network = Bicubic().train()
    quality = evaluate(network, pairs, 2, runtime=CPU)
    assert network.training
    assert [row[0] for row in quality.per_image] == ["40", "50"]
    assert quality.psnr == pytest.approx(np.mean([row[1] for row in quality.per_image]))
    # The reference rounds between its passes, so it differs a little.
    reference = bicubic_quality(pairs, 2)
    assert quality.psnr == pytest.approx(reference.psnr, abs=0.02)
    assert quality.ssim == pytest.approx(reference.ssim, abs=0.002)
    quick = evaluate(network.eval(), pairs, 2, runtime=CPU, ssim=False)
    assert not network.training
    assert quick.psnr == quality.psnr
    assert math.isnan(quick.ssim)
    with pytest.raises(ValueError, match="no images"):
        evaluate(network, [], 2, runtime=CPU)


def test_an_output_that_is_not_finite_is_an_error() -> None:
    class Broken(Bicubic):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / 0

    with pytest.raises(FloatingPointError, match="not finite"):
        evaluate(Broken(), [make_pair(Photo("a", noise(40, 40)), 2)], 2, runtime=CPU)


# Colours -------------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-2, 3)] * 3), min_size=1, max_size=12))
def test_ycbcr_and_rgb_are_inverses(colours: list[tuple[float, float, float]]) -> None:
    image = torch.tensor(colours, dtype=torch.float64).T[None, :, None]
    for there, back in ((rgb_to_ycbcr, ycbcr_to_rgb), (ycbcr_to_rgb, rgb_to_ycbcr)):
        torch.testing.assert_close(back(there(image)), image, rtol=0, atol=1e-12)
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(image.float())), image.float(), rtol=0, atol=5e-6)
    assert torch.equal(rgb_to_ycbcr(image)[:, :1], colour.luma(image))


def test_ycbcr_is_that_of_bt_601() -> None:
    """Compares with the rounded matrix of MATLAB's rgb2ycbcr, and checks the ends of all ranges."""
    published = torch.tensor([[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]])
    rgb = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    offset = torch.tensor([16, 128, 128.0]).reshape(3, 1, 1)
    expected = torch.einsum("kc,nchw->nkhw", published.double(), rgb) + offset
    torch.testing.assert_close(rgb_to_ycbcr(rgb) * 255, expected, rtol=0, atol=1e-3)
    ends = torch.tensor([[0, 0, 0], [1, 1, 1], [0, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1]], dtype=torch.float64)
    black, white, blue, yellow, red, cyan = (rgb_to_ycbcr(ends[..., None, None]) * 255).flatten(1).tolist()
    assert black == pytest.approx([16, 128, 128])
    assert white == pytest.approx([235, 128, 128])
    assert (blue[1], yellow[1], red[2], cyan[2]) == pytest.approx((240, 16, 240, 16))


def test_luminance_of_arrays_and_of_tensors_agree() -> None:
    pixels = noise(40, 30)
    exact = torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255
    np.testing.assert_allclose(colour.luma(exact)[0, 0].numpy() * 255, luma(pixels), rtol=0, atol=1e-11)
    np.testing.assert_allclose(colour.luma(tensor(pixels))[0, 0].numpy() * 255, luma(pixels), rtol=0, atol=1e-4)


@pytest.mark.parametrize("runtime", [CPU, Runtime("cpu", "bf16", False, 1)], ids=str)
def test_bicubic_on_luminance_is_bicubic(runtime: Runtime) -> None:
    """Bicubic upscaling and colour conversion are linear, so they commute up to rounding."""
    pairs = [make_pair(photo, 2) for photo in builtin_photos() if photo.name in ("chelsea", "coffee")]
    rgb, luminance = (evaluate(network, pairs, 2, runtime=runtime) for network in (Bicubic(), LuminanceBicubic()))
    for (_, *expected), (_, *figures) in zip(rgb.per_image, luminance.per_image, strict=True):
        assert figures == pytest.approx(expected, abs=1e-4)
    assert luminance.psnr == pytest.approx(bicubic_quality(pairs, 2).psnr, abs=0.02)


def test_a_luminance_network_changes_luminance_only() -> None:
    lr = tensor(crop_to_multiple(builtin_photos()[0].pixels, 8)[:64, :48])
    before = lr.clone()
    with torch.inference_mode():
        sr = upscale_image(LuminanceBicubic(brighter=0.125), lr, 2)
    assert torch.equal(lr, before)
    assert (sr.shape, sr.dtype) == ((1, 3, 128, 96), torch.float32)
    expected = upscale_bicubic(rgb_to_ycbcr(lr.double()), 2)
    expected[:, 0] += 0.125
    torch.testing.assert_close(rgb_to_ycbcr(sr.double()), expected, rtol=0, atol=2e-6)
    # Brightness moves red, green and blue alike.
    brighter = upscale_bicubic(lr, 2) + 0.125 * 255 / 219
    torch.testing.assert_close(sr, brighter, rtol=0, atol=5e-6)
    double = upscale_image(LuminanceBicubic(), lr.double(), 2)
    torch.testing.assert_close(double, upscale_bicubic(lr.double(), 2), rtol=0, atol=1e-12)


def test_autocast_leaves_colours_and_rgb_outputs_alone() -> None:
    lr = tensor(noise(24, 24))
    results = []
    for enabled in (False, True):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            results.append([upscale_image(network, lr, 2) for network in (Bicubic(), LuminanceBicubic())])
    for plain, cast in zip(*results, strict=True):
        assert torch.equal(plain, cast)


def test_one_image_channel_means_luminance_and_three_mean_rgb() -> None:
    class Coloured(nn.Module):
        def __init__(self, in_channels: int) -> None:
            super().__init__()
            self.in_channels = in_channels

    assert [is_luminance(network) for network in (Coloured(1), Coloured(3), nn.Identity())] == [True, False, False]
    with pytest.raises(ValueError, match="a network of 4 image channels"):
        is_luminance(Coloured(4))


@pytest.mark.parametrize("in_channels", [1, 3])
def test_multi_scale_networks_are_called_with_the_scale(in_channels: int) -> None:
    class Several(nn.Module):
        scales = (2, 3)

        def __init__(self) -> None:
            super().__init__()
            self.in_channels = in_channels

        def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
            assert scale in self.scales
            return upscale_bicubic(x, scale)

    for scale in (2, 3):
        pairs = [make_pair(Photo("noise", noise(48, 42)), scale)]
        quality = evaluate(Several(), pairs, scale, runtime=CPU)
        assert quality.psnr == pytest.approx(bicubic_quality(pairs, scale).psnr, abs=0.03)


@pytest.mark.parametrize("network", [Bicubic(), LuminanceBicubic()], ids=["rgb", "luminance"])
def test_a_network_of_another_factor_is_refused(network: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"at x3, not \(1, [13], 36, 30\)"):
        upscale_image(network, torch.zeros(1, 3, 12, 10), 3)


# Where networks run --------------------------------------------------------------------------------------------------


def test_the_runtime_is_chosen_from_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Runtime.from_dict(CPU.to_dict()) == CPU
    detected = Runtime.detect("cpu", threads=3)
    assert (detected.device, detected.threads, detected.channels_last) == ("cpu", 3, True)
    for capabilities, precision in (({"avx512_bf16": True}, "bf16"), ({"avx512_bf16": False}, "fp32"), ({}, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert Runtime.detect("cpu", threads=1).precision == precision
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Runtime.detect("auto").device == "cpu"
    with pytest.raises(InputError, match="finds no usable GPU"):
        Runtime.detect("cuda")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        Runtime.detect("gpu")
    with pytest.raises(InputError, match="unknown runtime setting 'thread': did you mean 'threads'"):
        Runtime.from_dict({"thread": 2})
    with pytest.raises(InputError, match="threads: 0"):
        Runtime(threads=0)
    before = torch.get_num_threads()
    with Runtime(threads=before + 1).applied():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
