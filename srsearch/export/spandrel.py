"""Our model files for spandrel, the library by which community tools open models of any architecture.

Needs the package spandrel (extra ``spandrel``). A tool calls `install` once; then its loader opens our files::

    import srsearch.export.spandrel
    srsearch.export.spandrel.install()
    model = spandrel.ModelLoader().load_from_file("model.safetensors")
"""

from __future__ import annotations

from spandrel import (
    MAIN_REGISTRY,
    Architecture,
    ArchRegistry,
    ArchSupport,
    ImageModelDescriptor,
    ModelTiling,
    StateDict,
)
from torch import Tensor, nn

from srsearch.architecture import Network, build
from srsearch.architecture.model_file import DESIGN_KEY, design_of, fill


class SrsearchArch(Architecture[nn.Module]):
    """Recognises model files of srsearch by the tensor that holds their design."""

    def __init__(self) -> None:
        super().__init__(id="srsearch", name="srsearch", detect=lambda state: DESIGN_KEY in state)

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[nn.Module]:
        """Build the network of a state dict. A multi-scale one is used at its largest scale.

        Raises:
            InputError: The design cannot be read, or the tensors do not fit it.
        """
        design = design_of(state_dict)
        scale = design.scales[-1]
        network = AtLargest(build(design, seed=0))
        channels = 3 if design.colour == "rgb" else 1
        tensors = {f"network.{key}": tensor for key, tensor in fill(design, state_dict).state_dict().items()}
        return ImageModelDescriptor(
            network,
            tensors,
            architecture=self,
            purpose="SR",
            tags=[f"{design.channels}nf"],
            supports_half=True,
            supports_bfloat16=True,
            scale=scale,
            input_channels=channels,
            output_channels=channels,
            tiling=ModelTiling.SUPPORTED,
        )


class AtLargest(nn.Module):
    """A network at the largest of its scales, for tools that know one scale only."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        upscaled: Tensor = self.network(x, scale=self.network.scales[-1])
        return upscaled.to(x.dtype)


def install(registry: ArchRegistry = MAIN_REGISTRY) -> None:
    """Make spandrel's loaders recognise our model files, before any other architecture; twice does no harm."""
    support = ArchSupport.from_architecture(SrsearchArch())
    if support.architecture.id not in registry:
        first = tuple(each.architecture.id for each in registry.architectures("detection")[:1])
        registry.add(ArchSupport(support.architecture, support.detect, before=first))
