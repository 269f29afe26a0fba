"""PSNR and SSIM by the protocol, against published benchmark files and scikit-image."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn

from srsearch.architecture.bicubic import upscale_bicubic
from srsearch.data import Photo, make_pair, upscale
from srsearch.data.bicubic import Pixels
from srsearch.errors import InputError
from srsearch.evaluation import (
    COMMON,
    PCARN,
    Protocol,
    Runtime,
    bicubic_quality,
    evaluate,
    luma,
    psnr,
    psnr_y,
    ssim,
    ssim_y,
)
from srsearch.evaluation.fidelity import MAX_PSNR

CPU = Runtime("cpu", "fp32", True, 1)


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class Bicubic(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return upscale_bicubic(x, 2)


@pytest.mark.parametrize(
    ("benchmark", "scale", "expected_psnr", "expected_ssim"),
    [("Set5", 4, 28.418, 0.8101), ("Set5", 2, 33.640, 0.9292), ("Set14", 4, 25.993, 0.7023)],
)
def test_reference_values_of_bicubic(
    shared_data: Path, benchmark: str, scale: int, expected_psnr: float, expected_ssim: float
) -> None:
    """Quantised as the references are: uint8 upscale, luminance rounded, grey images left grey."""
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


def test_figures_are_scikit_images() -> None:
    pair = make_pair(Photo("noise", noise(64, 48)), 2)
    sr, hr = (luma(image)[2:-2, 2:-2] for image in (upscale(pair.lr, 2), pair.hr))
    _, expected = structural_similarity(
        sr, hr, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    assert ssim(sr, hr) == pytest.approx(float(expected[5:-5, 5:-5].mean()), abs=1e-12)
    assert psnr(sr, hr) == pytest.approx(float(peak_signal_noise_ratio(hr, sr, data_range=255)), abs=1e-10)
    assert psnr_y(upscale(pair.lr, 2), pair.hr, 2) == psnr(sr, hr)


def test_luminance() -> None:
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


def test_an_output_that_is_not_finite_is_told() -> None:
    class Broken(Bicubic):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / 0

    with pytest.raises(FloatingPointError, match="not finite"):
        evaluate(Broken(), [make_pair(Photo("a", noise(40, 40)), 2)], 2, runtime=CPU)


def test_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
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
