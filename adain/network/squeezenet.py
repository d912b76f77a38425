"""SqueezeNet as a perceptual network."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from adain.network.conversion import IMAGENET_MEAN, IMAGENET_STD, load_state

SQUEEZENET = "squeezenet1_1"


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1 as a perceptual network: a tenth of the multiplications of VGG-19.

    Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters" (2016). The
    layer before each pooling, and the last one, take the names of those of a VGG. It keeps the
    zeros that torchvision pads with: its deepest layers can be too small for reflection.
    """

    TAPS: Mapping[int, str] = {
        1: "relu1_1",
        4: "relu2_1",
        7: "relu3_1",
        9: "relu4_1",
        12: "relu5_1",
    }

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import squeezenet1_1

        self.features = squeezenet1_1(weights=None).features
        self.mean = nn.Buffer(torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.std = nn.Buffer(torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> "SqueezeNet":
        """Build it from torchvision's state. Raises `WeightsError` for another one."""
        network = SqueezeNet()
        own = {name: value for name, value in tensors.items() if name.startswith("features.")}
        load_state(network, own, SQUEEZENET)
        return network.requires_grad_(False).eval()

    def forward(
        self,
        image: Tensor,
        layers: Sequence[str],
        pool: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the features at `layers`, as `Encoder.forward` does, of sides of at least 32."""
        found = {}
        x = (image - self.mean) / self.std
        for i, module in enumerate(self.features):
            x = pool(x) if pool and isinstance(module, nn.MaxPool2d) else module(x)
            if i in self.TAPS:
                found[self.TAPS[i]] = x
        return {layer: found[layer] for layer in layers}
