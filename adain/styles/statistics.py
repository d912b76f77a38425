"""A style as numbers: mean and deviation of each channel, and its colours; mixed and pooled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adain.styles.adapter import Adapter, mix_adapters
from adain.styles.colors import VECTOR_SIZE, ColorDistribution

EPS = 1e-5
"""Added to the variance under the root, as in the authors' code: a constant channel has a
standard deviation of sqrt(EPS), never zero."""


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Mean and standard deviation of each channel at one layer, each of shape `(N, C)`, float32."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class StyleStatistics:
    """A style: the channel statistics at each of several layers, by layer name, and its colours.

    Attributes:
        layers: Statistics of shape `(N, C)` at each layer.
        colors: Colours of the same `N` paintings, rounded as the vector keeps them, so that a style
            that was kept paints to the bit as when it was measured. None if they are not known.
        adapters: What was learnt of each of the `N` paintings, or None; empty where nothing was.

    Raises:
        ValueError: If no picture has such colours.

    Example:
        >>> style = adain.measure_style("painting.jpg")
        >>> style.widths
        {'relu1_1': 16, 'relu2_1': 32, 'relu3_1': 64, 'relu4_1': 128}
        >>> kept = style.to_vector()  # Two kilobytes; the painting is not needed any more.
        >>> kept.shape
        (1, 489)
        >>> again = StyleStatistics.from_vector(kept, style.widths)
    """

    layers: Mapping[str, ChannelStatistics]
    colors: ColorDistribution | None = None
    adapters: tuple[Adapter | None, ...] = ()

    def __post_init__(self) -> None:
        if self.colors is not None:
            rounded = ColorDistribution.from_vector(self.colors.to_vector())
            object.__setattr__(self, "colors", rounded)

    def __getitem__(self, layer: str) -> ChannelStatistics:
        return self.layers[layer]

    @property
    def widths(self) -> dict[str, int]:
        """Return the number of channels of each layer."""
        return {layer: channels.mean.shape[1] for layer, channels in self.layers.items()}

    def split(self) -> "list[StyleStatistics]":
        """Return each style of a batch by itself."""
        vectors = self.to_vector()[:, None]
        adapters = self.adapters or (None,) * len(vectors)
        return [
            replace(self.from_vector(vector, self.widths), adapters=(adapter,))
            for vector, adapter in zip(vectors, adapters, strict=True)
        ]

    @property
    def adapter(self) -> Adapter | None:
        """Return what was learnt of a single painting, if anything."""
        return self.adapters[0] if self.adapters else None

    def to_vector(self) -> NDArray[np.float32]:
        """Return every number, shape `(N, D)`: mean, then std, layer by layer, then the colours."""
        parts = [part for layer in self.layers.values() for part in (layer.mean, layer.std)]
        if self.colors is not None:
            parts.append(self.colors.to_vector())
        return np.concatenate(parts, axis=1)

    @staticmethod
    def from_vector(vector: NDArray[np.floating], widths: Mapping[str, int]) -> "StyleStatistics":
        """Rebuild styles from `to_vector`.

        Args:
            vector: Shape `(N, D)`. `D` is twice the sum of the widths, and 9 more with colours.
            widths: Channels of each layer, in the order of the vector.

        Raises:
            ValueError: If `D` is another number, or no picture has such colours.
        """
        size = 2 * sum(widths.values())
        if vector.ndim != 2 or vector.shape[1] not in (size, size + VECTOR_SIZE):
            raise ValueError(
                f"expected style vectors of shape (N, {size}) or (N, {size + VECTOR_SIZE}), "
                f"got {vector.shape}"
            )
        vector = vector.astype(np.float32, copy=False)
        ends = np.cumsum([width for width in widths.values() for _ in ("mean", "std")])
        *parts, colors = np.split(vector, ends, axis=1)
        pairs = zip(widths, parts[::2], parts[1::2], strict=True)
        return StyleStatistics(
            {layer: ChannelStatistics(mean, std) for layer, mean, std in pairs},
            ColorDistribution.from_vector(colors) if colors.shape[1] else None,
        )


@dataclass(frozen=True, eq=False)
class ChannelMoments:
    """Moments from which the statistics of a picture are put together, piece by piece.

    Attributes:
        count: Positions.
        mean: Mean of each channel, `(N, C)`, float64.
        squares: Sum of the squared deviations from that mean, `(N, C)`, float64.
    """

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    def merge(self, other: "ChannelMoments") -> "ChannelMoments":
        """Return the moments of both pieces together.

        Never takes the difference of two large sums (Chan, Golub and LeVeque, "Updating
        formulae and a pairwise algorithm for computing sample variances", 1979).
        """
        count = self.count + other.count
        difference = other.mean - self.mean
        share = other.count / count
        between = difference**2 * (self.count * share)
        return ChannelMoments(
            count, self.mean + difference * share, self.squares + other.squares + between
        )

    def statistics(self) -> ChannelStatistics:
        """Return mean and deviation, by the biased variance of the paper's equation 6."""
        std = np.sqrt(self.squares / self.count + EPS)
        return ChannelStatistics(self.mean.astype(np.float32), std.astype(np.float32))


def interpolate_styles(
    styles: Sequence[StyleStatistics], weights: Sequence[float]
) -> StyleStatistics:
    """Blend styles: the weighted average of their statistics, and of what was learnt of them.

    Colours are blended if all have any.
    Adaptive instance normalization is affine in mean and standard deviation, so this equals the
    blend of the normalized features in section 7.3 of the paper, for one decode instead of many.

    Args:
        styles: One or more styles over the same layers.
        weights: One finite number per style; they are divided by their sum. A negative weight
            moves away from a style.

    Raises:
        ValueError: If the counts differ, or the weights are not finite or sum to zero.

    Example:
        >>> two = [adain.measure_style(file) for file in ("painting.jpg", "photo.jpg")]
        >>> mixed = interpolate_styles(two, [2, 1])
        >>> painted = adain.stylize("photo.jpg", mixed)
    """
    if not styles or len(styles) != len(weights):
        raise ValueError(f"expected one weight per style, got {len(weights)} for {len(styles)}")
    shares = np.array(weights, np.float64)
    total = shares.sum()
    if not np.isfinite(shares).all() or abs(total) < 1e-9:
        raise ValueError(f"style weights must be finite and not sum to zero, got {list(weights)}")
    shares /= total

    def average(values: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.tensordot(shares, np.stack(values), axes=1)
        return mean

    # A negative weight can push deviations, colours and variances beyond what any picture has.
    layers = {}
    for layer in styles[0].layers:
        mean = average([style[layer].mean for style in styles])
        std = average([style[layer].std for style in styles]).clip(EPS**0.5)
        layers[layer] = ChannelStatistics(mean.astype(np.float32), std.astype(np.float32))
    adapters = (mix_adapters([style.adapter for style in styles], weights),)
    colors = [style.colors for style in styles if style.colors is not None]
    if len(colors) < len(styles):
        return StyleStatistics(layers, adapters=adapters)
    mean = average([each.mean for each in colors]).clip(0, 1)
    covariance = average([each.covariance for each in colors])
    return StyleStatistics(layers, ColorDistribution(mean, covariance).positive(), adapters)


def stack_styles(styles: Sequence[StyleStatistics]) -> StyleStatistics:
    """Return styles `(1, C)` of one encoder as a batch `(N, C)`, with colours if all have any."""
    if any(style.colors is None for style in styles):
        styles = [replace(style, colors=None) for style in styles]
    vectors = np.concatenate([style.to_vector() for style in styles])
    adapters = tuple(style.adapter for style in styles)
    return replace(StyleStatistics.from_vector(vectors, styles[0].widths), adapters=adapters)


def pool_styles(styles: StyleStatistics) -> StyleStatistics:
    """Return the statistics that all paintings have together, each with the same weight.

    Exact, unlike the average of the deviations: means and second raw moments add up, so this is
    what one painting made of all of them, scaled to one size, would be measured to have.

    Args:
        styles: Statistics of shape `(N, C)`.

    Returns:
        Statistics of shape `(1, C)`.
    """
    layers = {layer: _pool(channels) for layer, channels in styles.layers.items()}
    if styles.colors is None:
        return StyleStatistics(layers)
    moments = (each.mean(0, keepdims=True) for each in (styles.colors.mean, styles.colors.products))
    return StyleStatistics(layers, ColorDistribution.from_moments(*moments))


def _pool(channels: ChannelStatistics) -> ChannelStatistics:
    mean, std = channels.mean.astype(np.float64), channels.std.astype(np.float64)
    pooled = mean.mean(0, keepdims=True)
    second_moment = (std**2 + mean**2).mean(0, keepdims=True)
    variance = (second_moment - pooled**2).clip(EPS)
    return ChannelStatistics(pooled.astype(np.float32), np.sqrt(variance).astype(np.float32))
