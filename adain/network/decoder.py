"""The decoder: normalized features to an image, as a table of operations says."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.network.encoder import Convolution
from adain.styles.normalization import (
    ChannelAffine,
)
from adain.styles.recoloring import (
    StyleColors,
)

DecoderTable = tuple[tuple[Any, ...], ...]
"""Rows of a decoder, one operation each, first to last:

    ("start", layer, strength)   take the features of a layer, normalized to this degree, by
                                 default wholly; the first row
    ("conv", inputs, outputs)    3x3 convolution with reflection padding, then ReLU
    ("upsample", mode)           double the size, "nearest" or "bilinear"
    ("add", layer, inputs, outputs)   add a 1x1 convolution of the normalized features of a layer,
                                      or with twice its channels as inputs, of these and the
                                      photo's own
    ("image", inputs)            3x3 convolution to RGB; the last row
"""


DECODER_TABLE: DecoderTable = (
    ("start", "relu4_1", 0.35),
    ("conv", 128, 64),
    ("upsample", "nearest"),
    ("add", "relu3_1", 128, 64),
    ("conv", 64, 64),
    ("conv", 64, 64),
    ("conv", 64, 32),
    ("upsample", "nearest"),
    ("add", "relu2_1", 64, 32),
    ("conv", 32, 16),
    ("upsample", "nearest"),
    ("add", "relu1_1", 32, 16),
    ("conv", 16, 16),
    ("image", 16),
)
"""The shipped decoder: the encoder mirrored, with skips that keep the photo's drawing.

Normalized features do not tell what is black in the photo from what is merely darker than most
of it; the photo's own do, and as both come from the same numbers they cost nothing more.
"""


class Decoder(nn.Module):
    """Normalized features to an image, as a `DecoderTable` says.

    Attributes:
        max_gain: What `adain.styles.normalization.limit_gain` holds its features to, or None.
        colors: Tells the colours of a style, which photos then take before they are encoded.
        start_strength: How far the features that it starts from are normalized, in [0, 1].
    """

    def __init__(
        self,
        table: DecoderTable = DECODER_TABLE,
        max_gain: float | None = None,
        colors: StyleColors | None = None,
    ) -> None:
        super().__init__()
        if max_gain is not None and not 1 <= max_gain < math.inf:
            raise ValueError(f"the limit of the gain must be at least 1, got {max_gain}")
        self.table = table
        self.max_gain = max_gain
        self.colors = colors
        self.layers = tuple(row[1] for row in table if row[0] in ("start", "add"))
        self.start_strength = float(table[0][2]) if len(table[0]) > 2 else 1.0
        if not 0 <= self.start_strength <= 1:
            raise ValueError(f"the strength of the start must be in [0, 1], got {table[0][2]}")
        for i, (operation, *arguments) in enumerate(table):
            if operation == "conv":
                self.add_module(str(i), Convolution(*arguments))
            elif operation == "add":
                self.add_module(str(i), nn.Conv2d(arguments[1], arguments[2], kernel_size=1))
            elif operation == "image":
                self.add_module(str(i), Convolution(arguments[0], 3))
            elif operation == "upsample" and arguments[0] not in ("nearest", "bilinear"):
                raise ValueError(f"unknown upsampling {arguments[0]!r} in row {i}")
            elif operation not in ("start", "upsample"):
                raise ValueError(f"unknown decoder operation {operation!r} in row {i}")

    def forward(
        self,
        photo: Mapping[str, Tensor],
        normalized: Mapping[str, Tensor] | Mapping[str, ChannelAffine],
    ) -> Tensor:
        """Return an image `(N, 3, H, W)`, unclamped.

        Args:
            photo: Features of the photo at `self.layers`.
            normalized: The same, normalized, or the maps that normalize them, which is faster.
        """
        start, normal = photo[self.layers[0]], normalized[self.layers[0]]
        x = self.start(start, normal if isinstance(normal, Tensor) else normal.apply(start))
        for i, (operation, *arguments) in enumerate(self.table):
            if operation == "conv":
                x = F.relu(self.get_submodule(str(i))(x), inplace=True)
            elif operation == "upsample":
                x = F.interpolate(x, scale_factor=2, mode=arguments[0])
            elif operation == "add":
                projection, layer = self.get_submodule(str(i)), arguments[0]
                assert isinstance(projection, nn.Conv2d)
                x = add_features(x, photo[layer], normalized[layer], projection)
            elif operation == "image":
                x = self.get_submodule(str(i))(x)
        return x

    def start(self, photo: Tensor, normalized: Tensor) -> Tensor:
        """Return what the table's first row takes of the features of its layer."""
        if self.start_strength == 1:
            return normalized
        return torch.lerp(photo, normalized, self.start_strength)


def add_features(
    x: Tensor, photo: Tensor, normalized: Tensor | ChannelAffine, projection: nn.Conv2d
) -> Tensor:
    """Add a 1x1 convolution of the features of a layer to `x`, in place.

    Args:
        x: Shape `(N, outputs, H, W)`.
        photo: Features of the photo, `(N, C, H, W)`.
        normalized: The same, normalized, or the map that normalizes them. Then the scale goes
            into the kernel and the shift into the offset, so that neither the normalized features
            nor the product is ever in memory: at full size that saves a tenth of the pass.
        projection: Takes `C` inputs, or `2 C`: after the normalized features the photo's own.
    """
    width = photo.shape[1]
    if isinstance(normalized, Tensor):
        if projection.in_channels > width:
            normalized = torch.cat((normalized, photo), 1)
        return x.add_(projection(normalized))
    assert projection.bias is not None
    kernel, own = projection.weight[:, :, 0, 0].split(
        (width, projection.in_channels - width), dim=1
    )
    scaled = kernel * normalized.scale[:, None, :]
    if own.shape[1]:
        scaled = scaled + own
    shift = projection.bias + normalized.shift @ kernel.T
    positions, sources = (value.permute(0, 2, 3, 1).flatten(1, 2) for value in (x, photo))
    positions = positions.add_(shift[:, None, :]).baddbmm_(
        sources, scaled.transpose(1, 2).expand(len(x), -1, -1)
    )
    result: Tensor = positions.unflatten(1, x.shape[2:])
    return result.permute(0, 3, 1, 2)
