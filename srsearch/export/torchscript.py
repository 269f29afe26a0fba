"""TorchScript files, for programs that load networks without their Python code, such as those in C++."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch

from srsearch.architecture import Model
from srsearch.errors import WorkError
from srsearch.export.tracing import TRACED, AtScale, images, largest_difference
from srsearch.files import whole

TOLERANCE = 1e-4
"""The largest difference from the network, where white is 1."""


def export_torchscript(path: Path, model: Model, scale: int) -> float:
    """Write a TorchScript file from (1, c, h, w) in 0..1 to the upscaled image, not clipped.

    It is first loaded and compared with the network on images of `srsearch.export.tracing.SIZES`.

    Returns:
        The largest difference from the network.

    Raises:
        WorkError: The network cannot be exported, or a check failed; nothing is written.
    """
    network = AtScale(model.network, scale)
    largest = 0.0
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; and shapes are recorded, which the check proves
        try:
            image = torch.rand(1, network.in_channels, *TRACED)
            recorded = torch.jit.trace(network, image, check_trace=False)  # type: ignore[no-untyped-call]
            content = io.BytesIO()
            torch.jit.save(recorded, content)
            loaded = torch.jit.load(io.BytesIO(content.getvalue()))  # type: ignore[no-untyped-call]
            for image in images(network.in_channels):
                difference = largest_difference(loaded(image), network(image))
                if not difference <= TOLERANCE:
                    raise WorkError(
                        f"the TorchScript file differs from the network by {difference:.2g} on an image of "
                        f"{image.shape[2]}x{image.shape[3]}; nothing was written"
                    )
                largest = max(largest, difference)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise WorkError(f"the network cannot be exported to TorchScript; nothing was written: {reason}") from error
    with whole(path) as file:
        file.write(content.getvalue())
    return largest
