"""Folders as model hubs have them: ``config.json``, ``model.safetensors`` and a card, loaded by `HubNetwork`.

Needs the package huggingface_hub (extra ``hub``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from srsearch.architecture import Architecture, Model, build, load_model, save_model
from srsearch.errors import InputError
from srsearch.export.card import model_card
from srsearch.files import write_whole


class HubNetwork(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="srsearch",
    pipeline_tag="image-to-image",
    tags=["super-resolution"],
):
    """A network that loads from a model hub or from a folder, and saves itself there.

    Args:
        design: The design as plain data, as ``config.json`` has it.

    Example:
        >>> network = HubNetwork.from_pretrained("exported")
    """

    def __init__(self, design: dict[str, Any]) -> None:
        super().__init__()
        self.design = Architecture.from_dict(design)
        self.network = build(self.design, seed=0)
        self.scales, self.in_channels = self.network.scales, self.network.in_channels

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Upscale images (n, c, h, w) in 0..1; ``scale`` is optional if there is only one."""
        upscaled: Tensor = self.network(x, scale=scale)
        return upscaled

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(save_directory / "model.safetensors", self.design, self.network.state_dict())

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        loaded = load_model(model_file)
        if loaded.design != model.design:
            raise InputError(f"{model_file} holds another design than the config.json beside it")
        model.network = loaded.network.to(map_location)
        return model.eval()


def export_hub(folder: Path, model: Model) -> None:
    """Write the folder; files that exist are replaced.

    Raises:
        OSError: A file cannot be written.
    """
    assert model.design is not None, "bicubic upscaling cannot be exported"
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder / "model.safetensors", model.design, model.network.state_dict(), model.facts)
    config = {"design": model.design.to_dict(), "key": model.design.key}
    write_whole(folder / "config.json", json.dumps(config, indent=2) + "\n")
    write_whole(folder / "README.md", model_card(model))
