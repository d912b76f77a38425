"""The network: a VGG-19 encoder, a decoder described by a table, and the pass through both.

image (N, 3, H, W) in [0, 1], recolored
  └─ Encoder ──────── features at relu1_1 ... relu4_1 (relu5_1 for losses)
       └─ adaptive instance normalization at the layers that the decoder reads
            └─ Decoder ──── image (N, 3, H, W) in [0, 1]
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.config import MIN_SIDE, STRIDE, STYLE_LAYERS
from adain.network.decoder import Decoder
from adain.network.encoder import Encoder
from adain.styles.field import StyleField
from adain.styles.normalization import (
    BlendedAffine,
    ChannelAffine,
    limit_gain,
    normalization_affine,
)
from adain.styles.recoloring import (
    BlendedColorAffine,
    ColorDistribution,
    ColorMoments,
    StyleColors,
    color_transfer,
)
from adain.styles.statistics import (
    ChannelStatistics,
    StyleStatistics,
    channel_statistics,
    style_statistics,
)


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
