"""A style as numbers, mean and standard deviation of each channel: measured, mixed, pooled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EPS = 1e-5
"""Added to the variance under the root, as in the authors' code: a constant channel has a
standard deviation of sqrt(EPS), never zero."""

STRIP_ELEMENTS = 2**19
"""Numbers that are copied at a time while measuring, 2 MB of them."""


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and standard deviation of each channel at one layer, each of shape `(N, C)`."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class StyleStatistics:
    """A style: the channel statistics at each of several layers, by layer name."""

    layers: Mapping[str, ChannelStatistics]

    def __getitem__(self, layer: str) -> ChannelStatistics:
        return self.layers[layer]

    def to(self, device: torch.device | str) -> "StyleStatistics":
        """Return the same style on another device."""
        return StyleStatistics(
            {
                layer: ChannelStatistics(channels.mean.to(device), channels.std.to(device))
                for layer, channels in self.layers.items()
            }
        )

    def split(self) -> "list[StyleStatistics]":
        """Return each style of a batch by itself."""
        widths = {layer: statistics.mean.shape[1] for layer, statistics in self.layers.items()}
        return [self.from_vector(vector, widths) for vector in self.to_vector().split(1)]

    def to_vector(self) -> Tensor:
        """Return every number as one `(N, D)` float32 tensor: mean, then std, layer by layer."""
        parts = [part for layer in self.layers.values() for part in (layer.mean, layer.std)]
        return torch.cat(parts, dim=1).float()

    @staticmethod
    def from_vector(vector: Tensor, widths: Mapping[str, int]) -> "StyleStatistics":
        """Rebuild styles from `to_vector`.

        Args:
            vector: Shape `(N, D)`.
            widths: Channels of each layer, in the order of the vector.

        Raises:
            ValueError: If `D` is not twice the sum of the widths.
        """
        if vector.ndim != 2 or vector.shape[1] != 2 * sum(widths.values()):
            raise ValueError(
                f"expected style vectors of shape (N, {2 * sum(widths.values())}), "
                f"got {tuple(vector.shape)}"
            )
        sizes = [width for width in widths.values() for _ in ("mean", "std")]
        parts = iter(vector.split(sizes, dim=1))
        return StyleStatistics(
            {layer: ChannelStatistics(next(parts), next(parts)) for layer in widths}
        )


def channel_statistics(features: Tensor) -> ChannelStatistics:
    """Measure the mean and standard deviation of each channel over all positions.

    Computed in float32 (or better) whatever the precision of the features, each picture of the
    batch on its own, with the biased variance of the paper's equation 6.

    Args:
        features: Shape `(N, C, H, W)`.

    Raises:
        ValueError: If `features` is not 4-D or has a single position (no variance).
    """
    if features.ndim != 4:
        raise ValueError(f"expected features of shape (N, C, H, W), got {tuple(features.shape)}")
    if features.shape[2] * features.shape[3] < 2:
        raise ValueError("features of a single position have no variance; use a larger picture")
    if features.dtype in (torch.float16, torch.bfloat16):
        features = features.float()
    mean, squares = _mean_and_squares(features)
    variance = squares / features[0, 0].numel()
    return ChannelStatistics(mean, (variance + EPS).sqrt())


def _mean_and_squares(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the sum of squared deviations from it, each `(N, C)`."""
    # Two passes: as exact as torch.var_mean, which takes ten times as long in channels_last.
    mean = features.mean((2, 3), keepdim=True)
    # The second goes strip by strip, so that no copy of a large feature map is ever made.
    rows = max(1, STRIP_ELEMENTS // features[:, :, 0].numel())
    squares = [(strip - mean).square_().sum((2, 3)) for strip in features.split(rows, dim=2)]
    return mean.flatten(1), torch.stack(squares).sum(0)


@dataclass(frozen=True)
class ChannelMoments:
    """What the statistics of a picture are put together from, piece by piece.

    Attributes:
        count: Positions.
        mean: Mean of each channel, `(N, C)`, float64.
        squares: Sum of the squared deviations from that mean, `(N, C)`, float64.
    """

    count: int
    mean: Tensor
    squares: Tensor

    @staticmethod
    def of(features: Tensor) -> "ChannelMoments":
        """Measure features `(N, C, H, W)`."""
        mean, squares = _mean_and_squares(features)
        return ChannelMoments(features[0, 0].numel(), mean.double(), squares.double())

    def merge(self, other: "ChannelMoments") -> "ChannelMoments":
        """Return the moments of both pieces together.

        Never takes the difference of two large sums (Chan, Golub and LeVeque, "Updating
        formulae and a pairwise algorithm for computing sample variances", 1979).
        """
        count = self.count + other.count
        difference = other.mean - self.mean
        share = other.count / count
        between = difference.square() * (self.count * share)
        return ChannelMoments(
            count, self.mean + difference * share, self.squares + other.squares + between
        )

    def statistics(self) -> ChannelStatistics:
        """Return what `channel_statistics` measures of all pieces side by side."""
        std = (self.squares / self.count + EPS).sqrt()
        return ChannelStatistics(self.mean.float(), std.float())


def style_statistics(features: Mapping[str, Tensor]) -> StyleStatistics:
    """Measure a style from the features of its painting, by layer name."""
    return StyleStatistics({layer: channel_statistics(value) for layer, value in features.items()})


def interpolate_styles(
    styles: Sequence[StyleStatistics], weights: Sequence[float]
) -> StyleStatistics:
    """Blend styles: the weighted average of their statistics.

    Adaptive instance normalization is affine in mean and standard deviation, so this equals the
    blend of the normalized features in section 7.3 of the paper, for one decode instead of many.

    Args:
        styles: One or more styles over the same layers.
        weights: One finite number per style; they are divided by their sum. A negative weight
            moves away from a style.

    Raises:
        ValueError: If the counts differ, or the weights are not finite or sum to zero.
    """
    if not styles or len(styles) != len(weights):
        raise ValueError(f"expected one weight per style, got {len(weights)} for {len(styles)}")
    shares = torch.tensor(weights, dtype=torch.float64)
    total = shares.sum().item()
    if not torch.isfinite(shares).all() or abs(total) < 1e-9:
        raise ValueError(f"style weights must be finite and not sum to zero, got {list(weights)}")
    shares = shares / total

    def average(tensors: list[Tensor]) -> Tensor:
        return sum(
            (share * tensor for share, tensor in zip(shares.tolist(), tensors, strict=True)),
            start=torch.zeros_like(tensors[0]),
        )

    return StyleStatistics(
        {
            layer: ChannelStatistics(
                mean=average([style[layer].mean for style in styles]),
                # A negative weight can push a deviation below what any picture has.
                std=average([style[layer].std for style in styles]).clamp_min(EPS**0.5),
            )
            for layer in styles[0].layers
        }
    )


def stack_styles(styles: Sequence[StyleStatistics]) -> StyleStatistics:
    """Return styles `(1, C)` of one encoder as a batch `(N, C)`."""
    widths = {layer: value.mean.shape[1] for layer, value in styles[0].layers.items()}
    return StyleStatistics.from_vector(torch.cat([each.to_vector() for each in styles]), widths)


def pool_styles(styles: StyleStatistics) -> StyleStatistics:
    """Return the statistics that all paintings have together, each with the same weight.

    Exact, unlike the average of the deviations: means and second raw moments add up, so this is
    what one painting made of all of them, scaled to one size, would be measured to have.

    Args:
        styles: Statistics of shape `(N, C)`.

    Returns:
        Statistics of shape `(1, C)`, of the same precision.
    """

    def pool(channels: ChannelStatistics) -> ChannelStatistics:
        mean, std = channels.mean.double(), channels.std.double()
        pooled = mean.mean(0, keepdim=True)
        second_moment = (std.square() + mean.square()).mean(0, keepdim=True)
        variance = (second_moment - pooled.square()).clamp_min(EPS)
        return ChannelStatistics(pooled.to(channels.mean), variance.sqrt().to(channels.std))

    return StyleStatistics({layer: pool(channels) for layer, channels in styles.layers.items()})
