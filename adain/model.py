"""The network: a VGG-19 encoder, a decoder described by a table, and the pass through both.

image (N, 3, H, W) in [0, 1], recolored
  └─ Encoder ──────── features at relu1_1 ... relu4_1 (relu5_1 for losses)
       └─ adaptive instance normalization at the layers that the decoder reads
            └─ Decoder ──── image (N, 3, H, W) in [0, 1]
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.normalization import (
    BlendedAffine,
    ChannelAffine,
    ChannelStatistics,
    StyleField,
    StyleStatistics,
    channel_statistics,
    limit_gain,
    normalization_affine,
    style_statistics,
)
from adain.recoloring import (
    BlendedColorAffine,
    ColorDistribution,
    ColorMoments,
    StyleColors,
    color_transfer,
)

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
"""Layers whose statistics make a style."""

LOSS_LAYERS = (*STYLE_LAYERS, "relu5_1")
"""Layers that perceptual losses may use."""

STRIDE = 8
"""Pixels per position at relu4_1; sides are padded to a multiple of it."""

MIN_SIDE = 16
"""Smallest side in pixels: relu4_1 then has two positions a side, which reflection needs."""


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
        max_gain: What `adain.normalization.limit_gain` holds its features to, if anything does.
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


class StyleTransferModel(nn.Module):
    """Encoder and decoder: any photo, any style, one pass.

    Attributes:
        fingerprint: Identifies the encoder for caches of style statistics.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, fingerprint: str = "") -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.fingerprint = fingerprint

    @property
    def device(self) -> torch.device:
        """Return the device that holds the weights."""
        return next(self.parameters()).device

    def encode(self, image: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Return the features of `image`, by default at the layers that the decoder reads.

        Args:
            image: Shape `(N, 3, H, W)`, RGB in [0, 1]; `H` and `W` multiples of `STRIDE`.
            layers: Names among `relu1_1 ... relu5_1`.
        """
        image = image.to(self.device, memory_format=torch.channels_last)
        features: dict[str, Tensor] = self.encoder(image, layers or self.decoder.layers)
        return features

    def decode(self, photo: Mapping[str, Tensor], normalized: Mapping[str, Tensor]) -> Tensor:
        """Return the image `(N, 3, H, W)` in [0, 1] that features stand for.

        Args:
            photo: Features of the photo at the layers that the decoder reads.
            normalized: The same, normalized.
        """
        image: Tensor = self.decoder(photo, normalized)
        return image.clamp(0, 1)

    @torch.no_grad()
    def measure_style(self, image: Tensor) -> StyleStatistics:
        """Measure the style of paintings `(N, 3, H, W)`, RGB in [0, 1], sides >= 16 pixels."""
        return style_statistics(self.encode(_pad_to_stride(image), STYLE_LAYERS))

    @torch.no_grad()
    def stylize(
        self, image: Tensor, style: StyleStatistics | StyleField, alpha: float = 1.0
    ) -> Tensor:
        """Repaint photos in a style, in one pass.

        Args:
            image: Shape `(N, 3, H, W)`, RGB in [0, 1], sides of at least 16 pixels.
            style: One style, one for each photo of the batch, or what holds where for all.
            alpha: Strength: 0 keeps the photo, 1 is the full style; values beyond extrapolate.

        Returns:
            Images of exactly the photos' shape, in [0, 1], on the model's device.

        Raises:
            ValueError: If a shape does not fit or `alpha` is not finite.
        """
        style = style.to(self.device)
        if isinstance(style, StyleField):
            style.check_size(*image.shape[2:])
        padded = _pad_to_stride(image).to(self.device)
        colors = self.decoder.colors
        measured = None if colors is None else ColorMoments.of(padded).distribution()

        def encode(part: StyleStatistics | StyleField) -> dict[str, Tensor]:
            if colors is None or measured is None:
                return self.encode(padded)
            return self.encode(recoloring(colors, measured, part, alpha)(padded, 0))

        features = encode(style)
        if isinstance(style, StyleField):
            # Each style as if it held everywhere: what is beside it shall not change it.
            contents = (
                [_statistics(features)]
                if colors is None
                else [_statistics(encode(each)) for each in style.styles]
            )
            blends = field_affines(contents, style, alpha, self.decoder.max_gain)
            normalized = {
                layer: blends[layer].apply(value, layer_shares(style, layer, 0, value.shape[2]))
                for layer, value in features.items()
            }
            result: Tensor = self.decoder(features, normalized)
        else:
            affines = normalization_affines(features, style, alpha, self.decoder.max_gain)
            result = self.decoder(features, affines)
        return result.clamp_(0, 1)[:, :, : image.shape[2], : image.shape[3]]


Recoloring = Callable[[Tensor, int], Tensor]
"""Gives rows `(N, 3, H, W)` of a padded photo, the first of which has this number, new colours."""


def recoloring(
    colors: StyleColors,
    photo: ColorDistribution,
    style: StyleStatistics | StyleField,
    alpha: float = 1.0,
) -> Recoloring:
    """Return what gives a photo of these colours those of a style, before it is encoded."""
    if not isinstance(style, StyleField):
        everywhere = color_transfer(photo, colors(style), alpha)
        return lambda rows, top: everywhere.apply(rows)
    field = style
    blended = BlendedColorAffine(
        tuple(color_transfer(photo, colors(s), alpha) for s in field.styles)
    )
    return lambda rows, top: blended.apply(
        rows, layer_shares(field, "relu1_1", top, top + rows.shape[2])
    )


def normalization_affines(
    features: Mapping[str, Tensor],
    style: StyleStatistics,
    alpha: float = 1.0,
    max_gain: float | None = None,
) -> dict[str, ChannelAffine]:
    """Return the affine map of adaptive instance normalization at each layer."""
    return content_affines(_statistics(features), style, alpha, max_gain)


def _statistics(features: Mapping[str, Tensor]) -> dict[str, ChannelStatistics]:
    return {layer: channel_statistics(value) for layer, value in features.items()}


def content_affines(
    content: Mapping[str, ChannelStatistics],
    style: StyleStatistics,
    alpha: float = 1.0,
    max_gain: float | None = None,
) -> dict[str, ChannelAffine]:
    """Return the affine map at each layer of a photo whose statistics are known."""
    if not -100 <= alpha <= 100:
        raise ValueError(f"alpha must be a finite number near [0, 1], got {alpha}")
    if max_gain is not None:
        style = StyleStatistics(
            {layer: limit_gain(style[layer], content[layer], max_gain) for layer in content}
        )
    return {
        layer: normalization_affine(channels, style[layer], alpha)
        for layer, channels in content.items()
    }


def field_affines(
    contents: Sequence[Mapping[str, ChannelStatistics]],
    field: StyleField,
    alpha: float = 1.0,
    max_gain: float | None = None,
) -> dict[str, BlendedAffine]:
    """Return what the affine maps of the styles of a field are blended from, at each layer.

    Args:
        contents: Statistics of the photo at each layer, recolored for each style, or one for all.
        field: What holds where.
        alpha: Strength.
        max_gain: That of the decoder.
    """
    given = [*contents] * (len(field.styles) // len(contents))
    affines = [
        content_affines(content, style, alpha, max_gain)
        for content, style in zip(given, field.styles, strict=True)
    ]
    return {layer: BlendedAffine.of([each[layer] for each in affines]) for layer in given[0]}


def layer_shares(field: StyleField, layer: str, top: int, bottom: int) -> Tensor:
    """Return the shares `(1, K, bottom - top, W)` of each style in rows of a layer.

    A position has the mean share of the pixels that it stands for, in the photo as it is padded
    for the network.
    """
    scale = layer_scale(layer)
    shares = field.shares(top * scale, bottom * scale)
    padding = (0, -shares.shape[3] % STRIDE, 0, 0)
    return F.avg_pool2d(F.pad(shares, padding, mode="reflect"), scale)


def layer_scale(layer: str) -> int:
    """Return the pixels per position of `relu1_1 ... relu5_1`, along a side."""
    return int(2 ** (int(layer[len("relu")]) - 1))


def normalize_features(
    features: Mapping[str, Tensor],
    style: StyleStatistics,
    alpha: float = 1.0,
    max_gain: float | None = None,
) -> dict[str, Tensor]:
    """Apply adaptive instance normalization at every layer, to the degree `alpha`."""
    affines = normalization_affines(features, style, alpha, max_gain)
    return {layer: affines[layer].apply(value) for layer, value in features.items()}


def _pad_to_stride(image: Tensor) -> Tensor:
    """Pad right and bottom by reflection to multiples of `STRIDE`; the caller crops."""
    if image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f"expected images of shape (N, 3, H, W), got {tuple(image.shape)}")
    height, width = image.shape[2:]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"sides must be at least {MIN_SIDE} pixels, got {width}x{height}")
    padding = (0, -width % STRIDE, 0, -height % STRIDE)
    return F.pad(image, padding, mode="reflect") if any(padding) else image
