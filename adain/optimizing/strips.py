"""Features and moments of pictures of any size: strip by strip, to the same result."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain.config import LOSS_LAYERS, STYLE_LAYERS
from adain.engine.device import free_memory
from adain.errors import ImageTooLargeError
from adain.network.encoder import Encoder
from adain.network.moments import Moments, measure_moments
from adain.network.statistics import channel_moments
from adain.styles.statistics import ChannelMoments, StyleStatistics

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


@dataclass(frozen=True)
class Strip:
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
        """Return the rows that the network has to see."""
        return slice(self.first, self.last)

    @property
    def whole(self) -> bool:
        """Return whether this is the whole picture."""
        return (self.top, self.bottom) == (0, self.height)

    def rows(self, layer: str, first: int = 0) -> slice:
        """Return the rows of a layer whose own first row is at `first` of the picture."""
        # Other networks than an `Encoder` have other strides; they see pictures whole.
        if self.whole:
            return slice(None)
        stride = 2 ** (LOSS_LAYERS.index(layer))
        return slice((self.top - first) // stride, (self.bottom - first) // stride)


@dataclass(frozen=True)
class StripNetwork:
    """The encoder as losses use it, on strips of at most `rows` rows of a picture."""

    encoder: nn.Module
    pooling: str
    dtype: torch.dtype
    rows: int

    def strips(self, height: int) -> list[Strip]:
        """Return strips that cover a picture, padded to that height."""
        rows = min(self.rows, height)
        return [
            Strip(
                top,
                min(top + rows, height),
                max(0, top - REACH),
                min(height, top + rows + REACH),
                height,
            )
            for top in range(0, height, rows)
        ]

    def features(self, seen: Tensor, strip: Strip) -> dict[str, Tensor]:
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
        strip: Strip,
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
            weights = F.interpolate(pad(weights), (height, features.shape[3]), mode="area")
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
        padded = pad(painting, margin=0)

        def parts(strip: Strip) -> dict[str, Tensor]:
            features = self.features(padded[:, :, strip.seen], strip)
            return {
                f"{layer} {name}": part
                for layer, value in features.items()
                for name, part in self.moments(value, layer, strip).items()
            }

        sums = add_parts(parts(strip) for strip in self.strips(padded.shape[2]))
        return {
            layer: Moments(sums[f"{layer} mean"], sums[f"{layer} gram"]) for layer in LOSS_LAYERS
        }

    def painting_statistics(self, painting: Tensor) -> StyleStatistics:
        """Return the statistics of a whole picture."""
        padded = pad(painting, margin=0)
        found: dict[str, ChannelMoments] = {}
        for strip in self.strips(padded.shape[2]):
            features = self.features(padded[:, :, strip.seen], strip)
            for layer in STYLE_LAYERS:
                own = channel_moments(features[layer])
                found[layer] = found[layer].merge(own) if layer in found else own
        return StyleStatistics({layer: value.statistics() for layer, value in found.items()})

    def content(self, photo: Tensor, layer: str) -> Tensor:
        """Return the embedded features of a layer of a whole picture."""
        padded = pad(photo)
        parts = [
            self.embed(layer, self.features(padded[:, :, strip.seen], strip)[layer])
            for strip in self.strips(padded.shape[2])
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    def _head(self, layer: str) -> nn.Conv2d | None:
        head = getattr(self.encoder, layer.replace("relu", "embed"), None)
        assert head is None or isinstance(head, nn.Conv2d)
        return head


def add_parts(parts: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Add up what strips contribute, name by name."""
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
        memory = free_memory(str(device)) // 2
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


def _padded_side(side: int, margin: int = MARGIN) -> int:
    side = max(side + 2 * margin, 2 * STRIDE)
    return side + -side % STRIDE


def pad(image: Tensor, margin: int = MARGIN) -> Tensor:
    """Mirror a picture into its margin, and continue it to whole positions."""
    height, width = (side + 2 * margin for side in image.shape[2:])
    bottom = _padded_side(image.shape[2], margin) - height
    right = _padded_side(image.shape[3], margin) - width
    mirrored = F.pad(image, (margin,) * 4, mode="reflect")
    return F.pad(mirrored, (0, right, 0, bottom), mode="replicate")


def _average_pool(features: Tensor) -> Tensor:
    return AVERAGE_GAIN * F.avg_pool2d(features, 2)
