"""The loss of a picture: what a network sees in it against a photo and a painting."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.config import LOSS_LAYERS, MIN_SIDE, STYLE_LAYERS
from adain.engine.device import fast_bfloat16, free_memory
from adain.errors import ImageTooLargeError
from adain.network.encoder import Encoder
from adain.network.losses import (
    NormalDistribution,
    content_loss,
    total_variation_loss,
    wasserstein_loss,
)
from adain.network.moments import Moments, blend_moments, measure_moments
from adain.styles.statistics import (
    EPS,
    ChannelMoments,
    ChannelStatistics,
    StyleStatistics,
    interpolate_styles,
)

STYLE_LOSSES = ("wasserstein", "gram", "statistics")

POOLINGS = ("max", "average")

PRECISIONS = ("auto", "float32", "bfloat16")

AVERAGE_GAIN = 1.6
"""Makes averages of 2x2 positions about as large as their maxima."""

STRIDE = 16
"""Pixels per position at relu5_1; sides are padded to a multiple of it, at least to two."""

MARGIN = 8
"""Pixels that a picture to be optimised is continued by on each side. The outermost ones are else
seen by fewer positions than all others, and a frame of stray colours costs next to nothing."""

REACH = 80
"""Pixels around a strip that its features depend on: 70 at relu5_1 of VGG-19, whole strides."""

FEATURE_BYTES = 20.0
"""Bytes at an evaluation's peak for each channel of each convolution, at its own size."""

OTHER_BYTES = 2000.0
"""Bytes for each pixel at the peak of a network that is no `Encoder`."""

MAX_WEIGHT = 1e6

Paintings = Sequence[tuple[Tensor, float]]
"""Paintings `(1, 3, H, W)` in [0, 1], of any size, each with its positive weight."""


@dataclass(frozen=True)
class LossConfig:
    """What a picture is optimised for.

    Every term is relative to the power of its target, so that weights mean the same for every
    photo and painting.

    Attributes:
        content_weight: How strongly the photo's features are kept. At 0.05 figures of the painting
            take the place of those in the photo.
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

    content_weight: float = 0.5
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
    """The loss at one scale.

    A picture that is too large goes through the network strip by strip, and the result is the
    same: moments are sums over positions. A first pass, without gradients, adds them up; the
    slopes of the loss along them are the gradients that a second pass begins with.
    """

    network: "_Network"
    config: LossConfig
    content: Tensor
    regions: Sequence["Region"]

    def evaluate(self, image: Tensor) -> tuple[dict[str, float], Tensor]:
        """Return the losses of a picture, and the gradient of their weighted sum."""
        with torch.enable_grad():
            image = image.detach().requires_grad_()
            padded = _pad(image)
            strips = self.network.strips(padded.shape[2])
            if len(strips) == 1:
                losses = self._terms(image, self._parts(padded, strips[0]))
                (gradient,) = torch.autograd.grad(losses["loss"], image)
            else:
                losses, gradient = self._evaluate_strips(image, padded, strips)
        return {name: value.item() for name, value in losses.items()}, gradient

    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Return each term, relative to its target's power, and the weighted sum as `loss`."""
        return self._terms(image, self._sums(_pad(image)))

    def _evaluate_strips(
        self, image: Tensor, padded: Tensor, strips: Sequence["_Strip"]
    ) -> tuple[dict[str, Tensor], Tensor]:
        pixels = padded.detach()
        with torch.no_grad():
            sums = self._sums(pixels)
        leaves = {name: value.requires_grad_() for name, value in sums.items()}
        losses = self._terms(image, leaves)
        gradient, *slopes = torch.autograd.grad(
            losses["loss"], [image, *leaves.values()], materialize_grads=True
        )
        total = torch.zeros_like(pixels)
        for strip in strips:
            seen = pixels[:, :, strip.seen].requires_grad_()
            parts = self._parts(seen, strip)
            total[:, :, strip.seen] += torch.autograd.grad(list(parts.values()), seen, slopes)[0]
        return losses, gradient + torch.autograd.grad(padded, image, total)[0]

    def _sums(self, padded: Tensor) -> dict[str, Tensor]:
        strips = self.network.strips(padded.shape[2])
        return _add(self._parts(padded[:, :, strip.seen], strip) for strip in strips)

    def _parts(self, seen: Tensor, strip: "_Strip") -> dict[str, Tensor]:
        """Return what a strip adds to the content term, and to the moments of each region."""
        features = self.network.features(seen, strip)
        layer = self.config.content_layer
        target = self.content[:, :, strip.rows(layer)]
        content = content_loss(self.network.embed(layer, features[layer]), target)
        parts = {"content": content * (target.numel() / self.content.numel())}
        for i, region in enumerate(self.regions):
            for layer, style in region.style.items():
                raw = isinstance(style.target, ChannelStatistics)
                measured = self.network.moments(features[layer], layer, strip, region.weights, raw)
                parts |= {f"{i} {layer} {name}": value for name, value in measured.items()}
        return parts

    def _terms(self, image: Tensor, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        config = self.config
        content = sums["content"] / self.content.square().mean().clamp_min(1e-12)
        shares = dict(zip(LOSS_LAYERS, config.layer_weights, strict=True))
        style = torch.stack(
            [
                region.share
                * shares[layer]
                / sum(shares[layer] for layer in region.style)
                * _distance(Moments(sums[f"{i} {layer} mean"], sums[f"{i} {layer} gram"]), target)
                for i, region in enumerate(self.regions)
                for layer, target in region.style.items()
            ]
        ).sum()
        tv = total_variation_loss(image)
        loss = config.content_weight * content + config.style_weight * style + config.tv_weight * tv
        return {"loss": loss, "content": content, "style": style, "tv": tv}


def _distance(moments: Moments, style: StyleTarget) -> Tensor:
    """Return how far moments are from a target, over its power."""
    target = style.target
    if isinstance(target, NormalDistribution):
        distance = wasserstein_loss(moments, target)
    elif isinstance(target, ChannelStatistics):
        std = (moments.gram - moments.mean.square()).clamp_min(0).add(EPS).sqrt()
        distance = F.mse_loss(moments.mean, target.mean[0]) + F.mse_loss(std, target.std[0])
    else:
        distance = F.mse_loss(moments.gram, target.gram)
    return distance / style.power


@dataclass(frozen=True)
class _Strip:
    """Rows of a picture, and what the network has to see around them.

    Attributes:
        top: Its first row of pixels.
        bottom: The row after its last one.
        first: The first row of pixels that is seen.
        last: The row after the last one that is seen.
        height: Rows of the whole picture.
    """

    top: int
    bottom: int
    first: int
    last: int
    height: int

    @property
    def seen(self) -> slice:
        return slice(self.first, self.last)

    @property
    def whole(self) -> bool:
        return (self.top, self.bottom) == (0, self.height)

    def rows(self, layer: str, first: int = 0) -> slice:
        """Return the rows of a layer whose own first row is at `first` of the picture."""
        # Other networks than an `Encoder` have other strides; they see pictures whole.
        if self.whole:
            return slice(None)
        stride = 2 ** (LOSS_LAYERS.index(layer))
        return slice((self.top - first) // stride, (self.bottom - first) // stride)


@dataclass(frozen=True)
class _Network:
    """The encoder as losses use it, on strips of at most `rows` rows of a picture."""

    encoder: nn.Module
    pooling: str
    dtype: torch.dtype
    rows: int

    def strips(self, height: int) -> list[_Strip]:
        """Return strips that cover a picture, padded to that height."""
        rows = min(self.rows, height)
        return [
            _Strip(
                top,
                min(top + rows, height),
                max(0, top - REACH),
                min(height, top + rows + REACH),
                height,
            )
            for top in range(0, height, rows)
        ]

    def features(self, seen: Tensor, strip: _Strip) -> dict[str, Tensor]:
        """Return the features of a strip at every layer, given what is seen for it."""
        pool = None if self.pooling == "max" else _average_pool
        seen = seen.contiguous(memory_format=torch.channels_last)
        features: dict[str, Tensor] = self.encoder(seen, LOSS_LAYERS, pool)
        return {
            layer: value[:, :, strip.rows(layer, strip.first)] for layer, value in features.items()
        }

    def embed(self, layer: str, features: Tensor) -> Tensor:
        """Return embedded features, or the features where the encoder has no head."""
        head = self._head(layer)
        return features if head is None else F.relu(head(features))

    def moments(
        self,
        features: Tensor,
        layer: str,
        strip: _Strip,
        weights: Tensor | None = None,
        raw: bool = False,
    ) -> dict[str, Tensor]:
        """Return what a strip adds to the moments of a picture, or of a region of it.

        Args:
            features: Of the strip.
            layer: Whose they are.
            strip: Which part of the picture they are.
            weights: How much each pixel of the picture counts, shape `(1, 1, H, W)`.
            raw: Whether features are not embedded, and only the squares on the diagonal of their
                Gram matrix, `(C,)`, are returned in its place.
        """
        share = (strip.bottom - strip.top) / strip.height
        if weights is not None:
            height = round(features.shape[2] / share)
            weights = F.interpolate(_pad(weights), (height, features.shape[3]), mode="area")
            part = weights[:, :, strip.rows(layer)]
            share, weights = (part.sum() / weights.sum()).item(), part
        if not share:
            weights = None
        if raw:
            counts = 1 if weights is None else weights / weights.mean()
            mean, square = (
                (counts * each).mean((0, 2, 3)) for each in (features, features.square())
            )
            measured = Moments(mean, square)
        else:
            measured = measure_moments(features, self._head(layer), self.dtype, weights)
        return {"mean": measured.mean * share, "gram": measured.gram * share}

    def painting_moments(self, painting: Tensor) -> dict[str, Moments]:
        """Return the moments of a whole picture at every layer."""
        padded = _pad(painting, margin=0)

        def parts(strip: _Strip) -> dict[str, Tensor]:
            features = self.features(padded[:, :, strip.seen], strip)
            return {
                f"{layer} {name}": part
                for layer, value in features.items()
                for name, part in self.moments(value, layer, strip).items()
            }

        sums = _add(parts(strip) for strip in self.strips(padded.shape[2]))
        return {
            layer: Moments(sums[f"{layer} mean"], sums[f"{layer} gram"]) for layer in LOSS_LAYERS
        }

    def painting_statistics(self, painting: Tensor) -> StyleStatistics:
        """Return the statistics of a whole picture."""
        padded = _pad(painting, margin=0)
        found: dict[str, ChannelMoments] = {}
        for strip in self.strips(padded.shape[2]):
            features = self.features(padded[:, :, strip.seen], strip)
            for layer in STYLE_LAYERS:
                own = ChannelMoments.of(features[layer])
                found[layer] = found[layer].merge(own) if layer in found else own
        return StyleStatistics({layer: value.statistics() for layer, value in found.items()})

    def content(self, photo: Tensor, layer: str) -> Tensor:
        """Return the embedded features of a layer of a whole picture."""
        padded = _pad(photo)
        parts = [
            self.embed(layer, self.features(padded[:, :, strip.seen], strip)[layer])
            for strip in self.strips(padded.shape[2])
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    def _head(self, layer: str) -> nn.Conv2d | None:
        head = getattr(self.encoder, layer.replace("relu", "embed"), None)
        assert head is None or isinstance(head, nn.Conv2d)
        return head


def _add(parts: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    for part in parts:
        sums = {name: sums[name] + value if sums else value for name, value in part.items()}
    return sums


def strip_rows(encoder: nn.Module, height: int, width: int, memory: int | None) -> int:
    """Return the height in pixels of strips whose features fit into memory.

    Args:
        encoder: The perceptual network. Another than an `Encoder` sees pictures whole.
        height: Of the picture.
        width: Likewise.
        memory: Bytes for features; None is half of what is free.

    Raises:
        ImageTooLargeError: If the smallest strips do not fit.
    """
    device = next(encoder.parameters()).device
    if memory is None:
        memory = free_memory(device) // 2
    padded = _padded_side(height)
    row = _padded_side(width) * bytes_per_pixel(encoder)
    affordable = memory // row
    if affordable >= padded:
        return padded
    rows = (affordable - 2 * REACH) // STRIDE * STRIDE
    if rows >= STRIDE and isinstance(encoder, Encoder):
        return int(rows)
    least = row * (2 * REACH + STRIDE if isinstance(encoder, Encoder) else padded)
    raise ImageTooLargeError(
        f"to render {width}x{height} pixels takes {least / 2**20:.0f} MiB for features, and "
        f"{max(memory, 0) / 2**20:.0f} MiB are left; allow more, or give a smaller max-side"
    )


def bytes_per_pixel(encoder: nn.Module) -> float:
    """Return what the features of a picture take, with what a gradient needs beside them."""
    if not isinstance(encoder, Encoder):
        return OTHER_BYTES
    blocks = zip(encoder.config.convolutions, encoder.config.widths, strict=True)
    channels: float = sum(count * width / 4**i for i, (count, width) in enumerate(blocks))
    return FEATURE_BYTES * channels


@torch.no_grad()
def measure_objective(
    encoder: nn.Module,
    photo: Tensor,
    style: Paintings | StyleStatistics,
    config: LossConfig,
    regions: Tensor | None = None,
    memory: int | None = None,
) -> Objective:
    """Measure what a picture of the photo's size is to become.

    Args:
        encoder: The perceptual network; its `embed` heads are used where it has them.
        photo: Shape `(1, 3, H, W)`, RGB in [0, 1].
        style: Paintings, or a stored style, for the style loss `statistics`; with regions one row
            for each.
        config: The terms of the loss.
        regions: How much each style counts at each pixel, shape `(styles, 1, H, W)`, each
            somewhere; None mixes them everywhere. A region counts by its part of the picture.
        memory: Bytes for features; None is half of what is free.

    Raises:
        ImageTooLargeError: If the memory does not hold the smallest strips.
    """
    device = photo.device
    low = config.precision == "bfloat16" or (config.precision == "auto" and fast_bfloat16(device))
    rows = strip_rows(encoder, photo.shape[2], photo.shape[3], memory)
    network = _Network(encoder, config.pooling, torch.bfloat16 if low else torch.float32, rows)
    content = network.content(photo, config.content_layer)
    if isinstance(style, StyleStatistics):
        targets = [_statistics_targets(row) for row in style.to(device).split()]
    else:
        longer = max(photo.shape[2:]) * config.style_scale
        paintings = [(_shrink(painting.to(device), longer), weight) for painting, weight in style]
        parts = [paintings] if regions is None else [[painting] for painting in paintings]
        targets = [_painting_targets(network, part, config.style_loss) for part in parts]
    if regions is None:
        return Objective(network, config, content, [Region(targets[0])])
    found = [
        Region(target, (weights.sum() / regions.sum()).item(), weights[None])
        for target, weights in zip(targets, regions, strict=True)
    ]
    return Objective(network, config, content, found)


def _painting_targets(network: _Network, paintings: Paintings, kind: str) -> dict[str, StyleTarget]:
    weights = [weight for _, weight in paintings]
    if kind == "statistics":
        styles = [network.painting_statistics(painting) for painting, _ in paintings]
        return _statistics_targets(interpolate_styles(styles, weights))
    measured = [network.painting_moments(painting) for painting, _ in paintings]
    targets = {}
    for layer in LOSS_LAYERS:
        moments = blend_moments([value[layer] for value in measured], weights)
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


def _padded_side(side: int, margin: int = MARGIN) -> int:
    side = max(side + 2 * margin, 2 * STRIDE)
    return side + -side % STRIDE


def _pad(image: Tensor, margin: int = MARGIN) -> Tensor:
    """Mirror a picture into its margin, and continue it to whole positions."""
    height, width = (side + 2 * margin for side in image.shape[2:])
    bottom = _padded_side(image.shape[2], margin) - height
    right = _padded_side(image.shape[3], margin) - width
    mirrored = F.pad(image, (margin,) * 4, mode="reflect")
    return F.pad(mirrored, (0, right, 0, bottom), mode="replicate")


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
