"""The encoder: a VGG-19 of any width, with reflection padding."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from adain.config import STYLE_LAYERS, VGG19


class Convolution(nn.Conv2d):
    """A 3x3 convolution with reflection padding: zeros would show as stripes at the border."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=3, padding=1, padding_mode="reflect")


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of an encoder.

    Attributes:
        widths: Channels of each of the five blocks.
        embed_widths: Channels that the 1x1 `embed` heads expand the features to, for losses;
            empty for an encoder without heads.
        convolutions: How many each block has, those of VGG-19 up to relu5_1; a 2x2 max pooling
            stands between two blocks.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128, 128)
    embed_widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    convolutions: tuple[int, ...] = VGG19

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        """Return the names of the convolutions of each block, such as `1_1`."""
        return tuple(
            tuple(f"{block}_{i}" for i in range(1, count + 1))
            for block, (count, _) in enumerate(
                zip(self.convolutions, self.widths, strict=False), start=1
            )
        )


class Encoder(nn.Module):
    """A VGG up to `relu5_1` with reflection padding, by default VGG-19, at any width.

    Takes RGB in [0, 1]: the preprocessing is part of `conv1_1`.
    """

    def __init__(self, config: EncoderConfig = EncoderConfig()) -> None:
        super().__init__()
        self.config = config
        self.widths = {f"relu{i}_1": width for i, width in enumerate(config.widths, start=1)}
        inputs = 3
        for block, width in zip(config.blocks, config.widths, strict=True):
            for name in block:
                self.add_module(f"conv{name}", Convolution(inputs, width))
                inputs = width
        for i, (width, expanded) in enumerate(
            zip(config.widths, config.embed_widths, strict=False), start=1
        ):
            self.add_module(f"embed{i}_1", nn.Conv2d(width, expanded, kernel_size=1))

    def forward(
        self,
        image: Tensor,
        layers: Sequence[str] = STYLE_LAYERS,
        pool: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the features at `layers`, computing nothing beyond the last of them.

        Args:
            image: Shape `(N, 3, H, W)`, RGB in [0, 1].
            layers: Names among `relu1_1 ... relu5_1`.
            pool: What halves the size between blocks; by default the largest of 2x2 positions.
        """
        features: dict[str, Tensor] = {}
        x = image
        for i, block in enumerate(self.config.blocks):
            if i:
                x = pool(x) if pool else F.max_pool2d(x, 2)
            for name in block:
                x = F.relu(getattr(self, f"conv{name}")(x), inplace=True)
                if f"relu{name}" in layers:
                    features[f"relu{name}"] = x
                if len(features) == len(layers):
                    return features
        missing = ", ".join(sorted(set(layers) - set(features)))
        raise ValueError(f"this encoder has no layer {missing}")

    def embed(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Expand features to the width of the full VGG-19, where losses steer better."""
        return {
            layer: F.relu(getattr(self, layer.replace("relu", "embed"))(value), inplace=True)
            for layer, value in features.items()
        }
