"""Event files for TensorBoard: loss, PSNR, learning rate, and an image as the network upscales it.

Needs the package tensorboardX (extra ``tensorboard``), which writes them without TensorFlow.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from srsearch.data import Pair
from srsearch.data.bicubic import Pixels, upscale
from srsearch.errors import InputError
from srsearch.evaluation import Runtime, upscale_image
from srsearch.training.full import Moment
from srsearch.training.sets import TrainingSets

_POINTS = 1000
"""How many losses are written, at equal distances: TensorBoard draws no more."""

_SIDE = 64
"""Side of the sample in LR pixels."""

_log = logging.getLogger(__name__)


class EventLog:
    """Writes the event files of a training.

    A continued training writes a further file; TensorBoard forgets what an earlier one has beyond the step at which it
    goes on. If a file cannot be written, a warning is logged and the training goes on without.

    Args:
        folder: The folder of the event files; it is created.
        network: The network, as it is trained.
        sets: The first validation image of the largest scale is the sample.
        runtime: The runtime that the network is trained with.
        bicubic: Gives the PSNR in dB of bicubic upscaling on the validation images.
    """

    def __init__(
        self, folder: Path, network: nn.Module, sets: TrainingSets, runtime: Runtime, bicubic: Callable[[], float]
    ) -> None:
        self._bicubic = bicubic
        self._folder, self._network, self._runtime = folder, network, runtime
        self._scale = max(sets.validation)
        self._sample = _center(sets.validation[self._scale][0], self._scale)
        self._file: Any = None
        self._failed, self._part = False, -1

    def step(self, moment: Moment) -> None:
        """Write loss and learning rate, at every thousandth part of the training."""
        part = int(moment.done * _POINTS)
        if part == self._part:
            return
        self._part = part
        self._write(moment.step, {"loss": moment.loss, "learning_rate": moment.learning_rate})

    def validation(self, moment: Moment) -> None:
        """Write PSNR in dB beside that of bicubic upscaling, and the sample by bicubic, by the network and as it is."""
        if moment.psnr is None or moment.loss != moment.loss:
            return  # a training that goes on
        self._write(moment.step, {"psnr": moment.psnr, "psnr_bicubic": self._bicubic()}, self._upscaled())

    def close(self) -> None:
        """Write what is left."""
        if self._file is not None and not self._failed:
            try:
                self._file.close()
            except OSError as error:
                self._fail(error)

    def _upscaled(self) -> Pixels:
        """Bicubic upscaling, the network's image and the original side by side, uint8 (h, 3 * w, 3)."""
        lr = torch.from_numpy(self._sample.lr.copy()).permute(2, 0, 1)[None].float().div_(255)
        training = self._network.training
        self._network.eval()
        try:
            with torch.inference_mode(), self._runtime.autocast():
                sr = upscale_image(self._network, self._runtime.placed(lr), self._scale)[0]
        finally:
            self._network.train(training)
        network = sr.float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
        return np.concatenate([upscale(self._sample.lr, self._scale), network, self._sample.hr], axis=1)

    def _write(self, step: int, scalars: dict[str, float], image: Pixels | None = None) -> None:
        if self._failed:
            return
        from tensorboardX.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        if image is not None:
            content = BytesIO()
            Image.fromarray(image).save(content, "PNG")
            height, width, _ = image.shape
            shown = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content.getvalue())
            values.append(Summary.Value(tag="sample_bicubic_network_original", image=shown))
        try:
            if self._file is None:
                self._file = self._opened(step)
            self._add(step=step, summary=Summary(value=values))
            self._file.flush()
        except OSError as error:
            self._fail(error)

    def _opened(self, step: int) -> Any:
        from tensorboardX.proto.event_pb2 import SessionLog
        from tensorboardX.record_writer import RecordWriter

        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 1000}.{socket.gethostname()}"
        self._file = RecordWriter(str(self._folder / name))
        self._add(file_version="brain.Event:2")
        self._add(step=step, session_log=SessionLog(status=SessionLog.START))  # later steps of earlier files are void
        return self._file

    def _add(self, **values: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._file.write(Event(wall_time=time.time(), **values).SerializeToString())

    def _fail(self, error: OSError) -> None:
        self._failed = True
        _log.warning("the event files in %s cannot be written; the training goes on without: %s", self._folder, error)


def check_installed() -> None:
    """Check that the package is there.

    Raises:
        InputError: It is not; says how to install it.
    """
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise InputError(
            "--log tensorboard needs the package tensorboardX: pip install 'srsearch[tensorboard]'"
        ) from None


def _center(pair: Pair, scale: int) -> Pair:
    height, width = (min(side, _SIDE) for side in pair.lr.shape[:2])
    top, left = (pair.lr.shape[0] - height) // 2, (pair.lr.shape[1] - width) // 2
    lr = pair.lr[top : top + height, left : left + width]
    hr = pair.hr[scale * top : scale * (top + height), scale * left : scale * (left + width)]
    return Pair(pair.name, hr, lr)
