"""ONNX files: one file, any height and width, checked with onnxruntime before it is written."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from srsearch.architecture import Model
from srsearch.errors import InputError, WorkError
from srsearch.export.tracing import TRACED, AtScale, images, largest_difference
from srsearch.files import whole

Precision = Literal["fp32", "fp16"]

OPSET = 18
"""The version of ONNX's operators: the one of PyTorch's exporter, which runtimes since 2023 know."""

TOLERANCES: dict[str, float] = {"fp32": 1e-4, "fp16": 1 / 255}
"""The largest difference from the network in float32, where white is 1. float16 has 11 bits: one level of 8 bits."""


def export_onnx(
    path: Path,
    model: Model,
    scale: int,
    precision: Precision = "fp32",
    report: Callable[[str], None] = lambda line: None,
) -> float:
    """Write an ONNX file with input ``image`` (1, c, height, width) in 0..1 and output ``upscaled``, not clipped.

    It is first run with onnxruntime on images of `srsearch.export.tracing.SIZES` and compared with the network.

    Args:
        path: The file; one that exists is replaced.
        model: The model.
        scale: One of its scales.
        precision: ``fp16`` for weights, input and output in float16.
        report: Receives a line for each check.

    Returns:
        The largest difference from the network in float32.

    Raises:
        InputError: The packages of the extra ``export`` are not installed.
        WorkError: The network cannot be exported, or a check failed; nothing is written.
    """
    _needed("onnx", "onnxscript", "onnxruntime")
    content = _recorded(model, scale, precision)
    difference = check_onnx(content, model, scale, precision, report)
    with whole(path) as file:
        file.write(content)
    return difference


def check_onnx(
    content: bytes, model: Model, scale: int, precision: Precision, report: Callable[[str], None] = lambda line: None
) -> float:
    """Run an ONNX file with onnxruntime and compare it with the network; returns the largest difference.

    Raises:
        WorkError: It differs by more than `TOLERANCES`, or cannot be run.
    """
    import onnxruntime

    network = AtScale(model.network, scale)
    largest = 0.0
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        for image in images(network.in_channels):
            size = f"{image.shape[2]}x{image.shape[3]}"
            given = image.half() if precision == "fp16" else image
            with torch.inference_mode():
                expected = network(given.float())
            made = torch.from_numpy(session.run(None, {"image": given.numpy()})[0])
            difference = largest_difference(made, expected)
            if not difference <= TOLERANCES[precision]:
                raise WorkError(
                    f"the ONNX file differs from the network by {difference:.2g} on an image of {size}, more than "
                    f"{TOLERANCES[precision]:.2g}; nothing was written"
                )
            report(f"{size}: differs by at most {difference:.1e}")
            largest = max(largest, difference)
    except WorkError:
        raise
    except Exception as error:  # onnxruntime has an error class for each kind
        raise WorkError(f"onnxruntime cannot run the ONNX file; nothing was written: {_first_line(error)}") from error
    return largest


def _recorded(model: Model, scale: int, precision: Precision) -> bytes:
    network = AtScale(model.network, scale, half=precision == "fp16")
    dynamic = torch.export.Dim.DYNAMIC
    image = torch.rand(1, network.in_channels, *TRACED)
    try:
        with _silence():
            program = torch.onnx.export(
                network,
                (image.half() if precision == "fp16" else image,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["upscaled"],
                dynamic_shapes=({2: dynamic, 3: dynamic},),
                external_data=False,
                verbose=False,
            )
        assert program is not None
        proto = program.model_proto
    except Exception as error:  # whatever the exporter meets in a part of a plugin
        raise WorkError(f"the network cannot be exported to ONNX; nothing was written: {_first_line(error)}") from error
    _name_sizes(proto, scale)
    about = {"srsearch_scale": str(scale), "source": str(model.facts.get("source", ""))}
    if model.design is not None:
        about |= {"srsearch_key": model.design.key, "srsearch_design": json.dumps(model.design.to_dict())}
    for key, value in about.items():
        proto.metadata_props.add(key=key, value=value)
    content: bytes = proto.SerializeToString()
    return content


def _name_sizes(proto: Any, scale: int) -> None:
    """Name height and width, which the exporter numbers."""
    del proto.graph.value_info[:]  # sizes between input and output, which name them, too
    for value, factor in ((proto.graph.input[0], ""), (proto.graph.output[0], f"{scale}*")):
        for axis, name in ((2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[axis].dim_param = factor + name


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without the exporter's messages on its own steps."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _needed(*packages: str) -> None:
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            raise InputError(f"ONNX needs the package {package}: pip install 'srsearch[export]'") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
