"""The loss of a picture: what a network sees in it against a photo and a painting."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.device import fast_bfloat16
from adain.losses import (
    NormalDistribution,
    content_loss,
    style_loss,
    total_variation_loss,
    wasserstein_loss,
)
from adain.model import LOSS_LAYERS, MIN_SIDE, STYLE_LAYERS
from adain.moments import Moments, blend_moments, measure_moments
from adain.normalization import (
    ChannelStatistics,
    StyleStatistics,
    interpolate_styles,
    style_statistics,
)

STYLE_LOSSES = ("wasserstein", "gram", "statistics")

POOLINGS = ("max", "average")

PRECISIONS = ("auto", "float32", "bfloat16")

AVERAGE_GAIN = 1.6
"""Makes averages of 2x2 positions about as large as their maxima."""

STRIDE = 16
"""Pixels per position at relu5_1; sides are padded to a multiple of it, at least to two."""

MAX_WEIGHT = 1e6

Paintings = Sequence[tuple[Tensor, float]]
"""Paintings `(1, 3, H, W)` in [0, 1], of any size, each with its positive weight."""


@dataclass(frozen=True)
class LossConfig:
    """What a picture is optimised for.

    Every term is relative to the power of its target, so that weights mean the same for every
    photo and painting.

    Attributes:
        content_weight: How strongly the photo's features are kept.
        style_weight: How strongly the painting's statistics are taken.
        tv_weight: How strongly neighbouring pixels are made alike.
        layer_weights: Shares of relu1_1 ... relu5_1 in the style term.
        content_layer: Where content is compared; deeper layers leave more freedom.
        style_loss: `wasserstein` compares means and covariances as normal distributions, `gram`
            Gram matrices, `statistics` means and standard deviations of raw features, as far as
            stored styles have them.
        style_scale: Longer side of a painting over that of the picture; larger makes larger
            strokes. Paintings are never enlarged.
        pooling: `max` or `average`, between the blocks of the network.
        precision: `float32`, `bfloat16` for the style statistics alone, or `auto`: bfloat16
            where the device is fast at it.
    """

    content_weight: float = 0.05
    style_weight: float = 1.0
    tv_weight: float = 0.0
    layer_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)
    content_layer: str = "relu4_1"
    style_loss: str = "wasserstein"
    style_scale: float = 1.0
    pooling: str = "max"
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name in ("content_weight", "style_weight", "tv_weight"):
            check_range(name, getattr(self, name), 0, MAX_WEIGHT)
        if self.content_weight == self.style_weight == 0:
            raise ValueError("content_weight and style_weight cannot both be 0")
        if len(self.layer_weights) != len(LOSS_LAYERS):
            raise ValueError(
                f"layer_weights needs a weight for each of {', '.join(LOSS_LAYERS)}, "
                f"got {len(self.layer_weights)}"
            )
        for weight in self.layer_weights:
            check_range("each of layer_weights", weight, 0, MAX_WEIGHT)
        if not sum(self.layer_weights):
            raise ValueError("layer_weights cannot all be 0")
        check_choice("content_layer", self.content_layer, LOSS_LAYERS)
        check_choice("style_loss", self.style_loss, STYLE_LOSSES)
        check_choice("pooling", self.pooling, POOLINGS)
        check_choice("precision", self.precision, PRECISIONS)
        check_range("style_scale", self.style_scale, 0.05, 20)


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise `ValueError` unless a setting is a finite number within its range."""
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value}")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise `ValueError` unless a setting is one of its choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


@dataclass(frozen=True)
class StyleTarget:
    """What a layer of the result shall have, and the power that losses are relative to."""

    target: Moments | NormalDistribution | ChannelStatistics
    power: float


@dataclass(frozen=True)
class Region:
    """Where a picture shall have a style.

    Attributes:
        style: Targets by layer.
        share: Of the style term.
        weights: How much each pixel counts, shape `(1, 1, H, W)`; None is the whole picture.
    """

    style: Mapping[str, StyleTarget]
    share: float = 1.0
    weights: Tensor | None = None


@dataclass(frozen=True)
class Objective:
    """The loss at one scale."""

    network: "_Network"
    config: LossConfig
    content: Tensor
    regions: Sequence["Region"]

    def evaluate(self, image: Tensor) -> tuple[dict[str, float], Tensor]:
        """Return the losses of a picture, and the gradient of their weighted sum."""
        with torch.enable_grad():
            image = image.detach().requires_grad_()
            losses = self.losses(image)
            (gradient,) = torch.autograd.grad(losses["loss"], image)
        return {name: value.item() for name, value in losses.items()}, gradient

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Return each term, relative to its target's power, and the weighted sum as `loss`."""
        config = self.config
        features = self.network.features(image)
        content = content_loss(
            self.network.embed(config.content_layer, features[config.content_layer]), self.content
        ) / self.content.square().mean().clamp_min(1e-12)
        shares = dict(zip(LOSS_LAYERS, config.layer_weights, strict=True))
        style = torch.stack(
            [
                region.share
                * shares[layer]
                / sum(shares[layer] for layer in region.style)
                * self._style_term(region, layer, features[layer])
                for region in self.regions
                for layer in region.style
            ]
        ).sum()
        tv = total_variation_loss(image)
        loss = config.content_weight * content + config.style_weight * style + config.tv_weight * tv
        return {"loss": loss, "content": content, "style": style, "tv": tv}

    def _style_term(self, region: Region, layer: str, features: Tensor) -> Tensor:
        target = region.style[layer].target
        if isinstance(target, ChannelStatistics):
            distance = style_loss(features, target)
        else:
            moments = self.network.moments(layer, features, region.weights)
            if isinstance(target, NormalDistribution):
                distance = wasserstein_loss(moments, target)
            else:
                distance = F.mse_loss(moments.gram, target.gram)
        return distance / region.style[layer].power


@dataclass(frozen=True)
class _Network:
    """The encoder as losses use it."""

    encoder: nn.Module
    pooling: str
    dtype: torch.dtype

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Return the features of `(1, 3, H, W)` at every layer."""
        image = _pad(image).contiguous(memory_format=torch.channels_last)
        pool = None if self.pooling == "max" else _average_pool
        features: dict[str, Tensor] = self.encoder(image, LOSS_LAYERS, pool)
        return features

    def embed(self, layer: str, features: Tensor) -> Tensor:
        """Return embedded features, or the features where the encoder has no head."""
        head = self._head(layer)
        return features if head is None else F.relu(head(features))

    def moments(self, layer: str, features: Tensor, weights: Tensor | None = None) -> Moments:
        """Measure embedded features, of a region by the weights of its pixels."""
        if weights is not None:
            weights = F.interpolate(_pad(weights), features.shape[2:], mode="area")
        return measure_moments(features, self._head(layer), self.dtype, weights)

    def _head(self, layer: str) -> nn.Conv2d | None:
        head = getattr(self.encoder, layer.replace("relu", "embed"), None)
        assert head is None or isinstance(head, nn.Conv2d)
        return head


@torch.no_grad()
def measure_objective(
    encoder: nn.Module,
    photo: Tensor,
    style: Paintings | StyleStatistics,
    config: LossConfig,
    regions: Tensor | None = None,
) -> Objective:
    """Measure what a picture of the photo's size is to become.

    Args:
        encoder: The perceptual network; its `embed` heads are used where it has them.
        photo: Shape `(1, 3, H, W)`, RGB in [0, 1].
        style: Paintings, or a stored style, for the style loss `statistics`.
        config: The terms of the loss.
        regions: How much each painting counts at each pixel, shape `(paintings, 1, H, W)`, each
            somewhere; None mixes them everywhere. A region counts by its part of the picture.
    """
    device = photo.device
    low = config.precision == "bfloat16" or (config.precision == "auto" and fast_bfloat16(device))
    network = _Network(encoder, config.pooling, torch.bfloat16 if low else torch.float32)
    content = network.embed(config.content_layer, network.features(photo)[config.content_layer])
    if isinstance(style, StyleStatistics):
        found = [Region(_statistics_targets(style.to(device)))]
    else:
        longer = max(photo.shape[2:]) * config.style_scale
        paintings = [(_shrink(painting.to(device), longer), weight) for painting, weight in style]
        if regions is None:
            found = [Region(_painting_targets(network, paintings, config.style_loss))]
        else:
            found = [
                Region(
                    _painting_targets(network, [painting], config.style_loss),
                    (weights.sum() / regions.sum()).item(),
                    weights[None],
                )
                for painting, weights in zip(paintings, regions, strict=True)
            ]
    return Objective(network, config, content, found)


def _painting_targets(network: _Network, paintings: Paintings, kind: str) -> dict[str, StyleTarget]:
    weights = [weight for _, weight in paintings]
    features = [network.features(painting) for painting, _ in paintings]
    if kind == "statistics":
        styles = [
            style_statistics({layer: value[layer] for layer in STYLE_LAYERS}) for value in features
        ]
        return _statistics_targets(interpolate_styles(styles, weights))
    targets = {}
    for layer in LOSS_LAYERS:
        measured = [network.moments(layer, value[layer]) for value in features]
        moments = blend_moments(measured, weights)
        if kind == "gram":
            power = moments.gram.square().mean().item()
            targets[layer] = StyleTarget(moments, max(power, 1e-12))
        else:
            power = moments.gram.trace().item()
            targets[layer] = StyleTarget(NormalDistribution.of(moments), max(power, 1e-12))
    return targets


def _statistics_targets(style: StyleStatistics) -> dict[str, StyleTarget]:
    return {
        layer: StyleTarget(
            channels,
            max((channels.mean.square() + channels.std.square()).mean().item(), 1e-12),
        )
        for layer, channels in style.layers.items()
    }


def _pad(image: Tensor) -> Tensor:
    height, width = (max(side, 2 * STRIDE) for side in image.shape[2:])
    bottom, right = height + -height % STRIDE, width + -width % STRIDE
    padding = (0, right - image.shape[3], 0, bottom - image.shape[2])
    return F.pad(image, padding, mode="replicate") if any(padding) else image


def _average_pool(features: Tensor) -> Tensor:
    return AVERAGE_GAIN * F.avg_pool2d(features, 2)


def resize_pixels(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return `(1, 3, H, W)` at another height and width; values may overshoot a little."""
    if tuple(image.shape[2:]) == size:
        return image
    return F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False)


def _shrink(image: Tensor, longer_side: float) -> Tensor:
    """Return a picture in [0, 1] whose longer side is at most that, the shorter at least 16."""
    factor = min(1.0, longer_side / max(image.shape[2:]))
    height, width = (max(MIN_SIDE, round(side * factor)) for side in image.shape[2:])
    return resize_pixels(image, (height, width)).clamp(0, 1)
