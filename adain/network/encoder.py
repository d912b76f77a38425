"""The encoder: a VGG-19 of any width, with reflection padding."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.config import STYLE_LAYERS


class Convolution(nn.Conv2d):
    """A 3x3 convolution with reflection padding: zeros would show as stripes at the border."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, outputs, H, W)` for `(N, inputs, H, W)` with sides of at least 2."""
        if torch.is_grad_enabled() or x.device.type != "cpu":
            return super().forward(x)
        # On a CPU the padded copy costs up to half as much as the convolution. Without it only
        # the outermost rows and columns are wrong; they are computed once more.
        result = F.conv2d(x, self.weight, self.bias, padding=1)
        for dim in (2, 3):
            size = x.shape[dim]
            for start, edge, inner_side in ((0, 0, 1), (size - 2, size - 1, 0)):
                padding = [1, 1, 1, 1]
                padding[2 * (3 - dim) + inner_side] = 0
                strip = F.pad(x.narrow(dim, start, 2), padding, mode="reflect")
                result.narrow(dim, edge, 1).copy_(F.conv2d(strip, self.weight, self.bias))
        return result

    def inner_rows(self, x: Tensor) -> Tensor:
        """Return the `(N, outputs, H - 2, W)` rows that have both neighbours in `x`."""
        if x.device.type != "cpu":
            return F.conv2d(F.pad(x, (1, 1, 0, 0), mode="reflect"), self.weight, self.bias)
        result = F.conv2d(x, self.weight, self.bias, padding=(0, 1))
        # As above, both columns in one go.
        result[..., :: x.shape[3] - 1] = self._outer_columns(_outer(x))
        return result

    def next_rows(self, above: Tensor, x: Tensor) -> Tensor:
        """Return `inner_rows` of the two rows `above` and those of `x` below, without a copy.

        Args:
            above: Shape `(N, inputs, 2, W)`.
            x: Shape `(N, inputs, H, W)`, at least two rows.
        """
        if x.device.type != "cpu":
            return self.inner_rows(torch.cat((above, x), 2))
        # The padding makes room for what the two rows above and the first two of x make together.
        result = F.conv2d(x, self.weight, self.bias, padding=(2, 1))[:, :, :-2]
        seam = torch.cat((above, x[:, :, :2]), 2)
        result[:, :, :2] = F.conv2d(seam, self.weight, self.bias, padding=(0, 1))
        columns = torch.cat((_outer(above), _outer(x)), 2)
        result[..., :: x.shape[3] - 1] = self._outer_columns(columns)
        return result

    def _outer_columns(self, columns: Tensor) -> Tensor:
        return F.conv2d(columns, self.weight, self.bias, stride=(1, 3))


def _outer(x: Tensor) -> Tensor:
    """Return the columns that the first and the last column of a convolution are made of."""
    return x[..., [1, 0, 1, -2, -1, -2]]


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
    convolutions: tuple[int, ...] = (2, 2, 4, 4, 1)

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
                x = (pool or halve)(x)
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


def halve(x: Tensor) -> Tensor:
    """Return the largest of each 2x2 positions; an odd last row or column is dropped."""
    if torch.is_grad_enabled() or x.device.type != "cpu":
        return F.max_pool2d(x, 2)
    # Two and a half times as fast in channels_last.
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    rows = torch.maximum(x[:, :, 0:height:2, :width], x[:, :, 1:height:2, :width])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])
