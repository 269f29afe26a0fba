"""How far the model's limit of the noise is from the truth: ``python -m benchmarks noise``.

Studies of 20, 40 and 60 designs are simulated at known noises. Their PSNR without noise is either a smooth function of
axes and costs, or what the recorded trainings have: designs drawn from ``studies/lightweight_x4_trainings.csv.gz``,
with further noise on top of that of their trainings. Beside the limit, with and without the floor from the recorded
trainings, stands the process's own estimate of its noise. All are given as shares of the truth.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from srsearch.analysis.gaussian_process import GaussianProcess
from srsearch.analysis.noise import RECORDED, RECORDED_STEPS, model_inputs, retraining_noise

DESIGNS = (20, 40, 60)
NOISES = (0.01, 0.02, 0.05, 0.1)
STUDIES = 100
TRAININGS = Path(__file__).parent.parent / "studies" / "lightweight_x4_trainings.csv.gz"

_MEASURED = ("key", "seed", "mult_adds", "params", "activations", "psnr", "ssim", "seconds")


def smooth(count: int, noise: float, rng: np.random.Generator) -> pd.DataFrame:
    """A study whose PSNR is a smooth function of axes and cost, with an interaction of two axes."""
    channels, blocks = rng.choice([16, 24, 32, 48, 64], count), rng.choice([1, 2, 3, 4, 6, 8], count)
    unit = rng.choice(["conv", "grouped"], count)
    groups = [None if each == "conv" else int(rng.choice([2, 4, 8])) for each in unit]
    costs = channels**2 * blocks * (1 + (unit == "conv")) * rng.uniform(0.98, 1.02, count)
    psnr = 27 + 0.15 * np.log10(costs / 256) + 0.04 * (unit == "conv") * np.log2(channels / 16)
    frame = pd.DataFrame({"psnr": psnr + noise * rng.standard_normal(count), "channels": channels, "blocks": blocks})
    frame = frame.assign(unit=unit, groups=pd.array(groups, dtype="Int64"), mult_adds=costs * 1e5, params=costs * 9)
    frame.attrs["axes"] = ["channels", "blocks", "unit", "groups"]
    return frame


def recorded(count: int, noise: float, rng: np.random.Generator) -> pd.DataFrame:
    """A study of recorded trainings with further noise; ``noise`` is that of both together."""
    table = _table()
    frame = table.iloc[np.sort(rng.choice(len(table), count, replace=False))].reset_index(drop=True)
    more = math.sqrt(max(noise**2 - RECORDED["psnr"] ** 2, 0.0))
    frame["psnr"] += more * rng.standard_normal(count)
    frame.attrs["axes"] = [name for name in frame.columns if name not in _MEASURED and not name.startswith("psnr")]
    return frame


@functools.cache
def _table() -> pd.DataFrame:
    table = pd.read_csv(TRAININGS)
    return table[table["seed"] == 0]


def shares(make: Callable[[int, float, np.random.Generator], pd.DataFrame], count: int, noise: float) -> np.ndarray:
    """(STUDIES, 3) limit with the floor, limit without it, and the process's own estimate, as shares of the truth."""
    found = []
    for seed in range(STUDIES):
        frame = make(count, noise, np.random.default_rng([seed, count]))
        limit = retraining_noise(frame)
        frame.attrs["proxy_steps"] = RECORDED_STEPS
        floored = retraining_noise(frame)
        assert limit is not None
        assert floored is not None
        inputs, groups = model_inputs(frame)
        own = GaussianProcess.fit(inputs, frame["psnr"].to_numpy(dtype=np.float64), groups).noise_deviation
        found.append((floored.deviation, limit.deviation, own))
    return np.array(found) / noise


def main() -> None:
    print(f"Shares of the true noise in {STUDIES} studies: 5 %, median, 95 %, and how many are below half of it\n")
    print("| PSNR without noise | designs | noise (dB) | limit | without the floor | the process's own |")
    print("| --- | --- | --- | --- | --- | --- |")
    for make, noises in ((smooth, NOISES), (recorded, NOISES[1:])):
        for count in DESIGNS:
            for noise in noises:
                cells = [
                    f"{np.quantile(column, 0.05):.2f}, {np.median(column):.2f}, {np.quantile(column, 0.95):.2f}; "
                    f"{int((column < 0.5).sum())}"
                    for column in shares(make, count, noise).T
                ]
                print(f"| {make.__name__} | {count} | {noise} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
