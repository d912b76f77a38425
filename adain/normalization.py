"""Adaptive instance normalization and the statistics it works on.

A style is two numbers per feature channel, its mean and its standard deviation (Huang and
Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV
2017, equation 8). They do not depend on the size of the painting, so they can be stored, blended
and sent around instead of it.
"""

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


@dataclass(frozen=True, eq=False)
class StyleField:
    """Which style holds where in a photo, and how strongly.

    Where the masks add up to more than 1, the styles share the place in their proportion. Where
    they add up to less, the photo keeps the rest, as at a lower strength: a single style with a
    mask is a strength for each pixel.

    Attributes:
        styles: `K` styles, each of one painting or blend: statistics of shape `(1, C)`.
        masks: Where each holds, `(K, H, W)`: floating point in [0, 1], or uint8 with 255 for 1.
            None for a single style that holds everywhere.
        strength: Strength at each pixel, `(H, W)`, of the same types; None for 1 everywhere.

    Raises:
        ValueError: If the shapes do not fit together, or a value is outside [0, 1].
    """

    styles: tuple[StyleStatistics, ...]
    masks: Tensor | None = None
    strength: Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.styles)
        if self.masks is None and (self.strength is None or count != 1):
            raise ValueError("a style field needs masks, or one style and a strength")
        if self.masks is not None and (self.masks.ndim != 3 or len(self.masks) != count):
            raise ValueError(
                f"expected masks of shape ({count}, H, W) for {count} styles, "
                f"got {tuple(self.masks.shape)}"
            )
        for values in (self.masks, self.strength):
            if values is not None:
                self.check_size(*values.shape[-2:])
                _check_share(values)

    @property
    def size(self) -> tuple[int, int]:
        """Return the height and width of the photos that this is for, in pixels."""
        given = self.strength if self.masks is None else self.masks
        assert given is not None
        return given.shape[-2], given.shape[-1]

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError if this is not for photos of this size."""
        if self.size != (height, width):
            raise ValueError(
                f"the masks are {self.size[1]}x{self.size[0]} pixels, not {width}x{height}"
            )

    def to(self, device: torch.device | str) -> "StyleField":
        """Return the same field with its styles on another device; masks follow in use."""
        styles = tuple(style.to(device) for style in self.styles)
        return StyleField(styles, self.masks, self.strength)

    def shares(self, top: int, bottom: int) -> Tensor:
        """Return the share of each style at each pixel of some rows.

        Args:
            top: First row.
            bottom: End of the rows. Those beyond the last are mirrored, as the photo is.

        Returns:
            Shape `(1, K, bottom - top, W)`, float32, on the device of the styles.
        """
        height, width = self.size
        rows = height - 1 - (torch.arange(top, bottom) - (height - 1)).abs()
        shares = torch.ones(1, 1, len(rows), width)
        if self.masks is not None:
            shares = _share(self.masks[:, rows])[None]
            shares = shares / shares.sum(1, keepdim=True).clamp_min(1)
        if self.strength is not None:
            shares = shares * _share(self.strength[rows])
        return shares.to(next(iter(self.styles[0].layers.values())).mean.device)

    def extent(self, top: int, bottom: int) -> Tensor:
        """Return how far each pixel of some rows is painted, `(1, 1, bottom - top, W)`."""
        return self.shares(top, bottom).sum(1, keepdim=True)


def _share(values: Tensor) -> Tensor:
    """Return values of uint8 or floating point in [0, 1]."""
    return values.float() / 255 if values.dtype == torch.uint8 else values.float()


def _check_share(values: Tensor) -> None:
    if values.dtype == torch.uint8:
        return
    if not values.is_floating_point() or not (values.min() >= 0 and values.max() <= 1):
        raise ValueError("masks and strengths must be uint8, or floating point from 0 to 1")


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


@dataclass(frozen=True)
class ChannelAffine:
    """A scale and a shift of each channel, each of shape `(N, C)`."""

    scale: Tensor
    shift: Tensor

    def apply(self, features: Tensor) -> Tensor:
        """Return `scale * features + shift` for features `(N, C, H, W)`, in their precision."""
        scale, shift = (
            value[:, :, None, None].to(features.dtype) for value in (self.scale, self.shift)
        )
        return torch.addcmul(shift, features, scale)


@dataclass(frozen=True)
class BlendedAffine:
    """Affine maps of each channel that blend from position to position.

    Attributes:
        scale: What each of `K` maps adds to a scale of 1, shape `(N, K, C)`.
        shift: Shift of each map, shape `(N, K, C)`.
    """

    scale: Tensor
    shift: Tensor

    @staticmethod
    def of(affines: Sequence[ChannelAffine]) -> "BlendedAffine":
        """Put maps together."""
        return BlendedAffine(
            torch.stack([affine.scale - 1 for affine in affines], dim=1),
            torch.stack([affine.shift for affine in affines], dim=1),
        )

    def apply(self, features: Tensor, shares: Tensor) -> Tensor:
        """Return each position of features `(N, C, H, W)`, mapped by its share of each map.

        Args:
            features: Shape `(N, C, H, W)`.
            shares: Shape `(1, K, H, W)`; what they lack to 1 leaves the features as they are.
        """
        positions = shares.permute(0, 2, 3, 1)  # (1, H, W, K)
        scale, shift = (
            (positions @ value[:, None]).permute(0, 3, 1, 2) for value in (self.scale, self.shift)
        )
        return shift.add_(features).addcmul_(features, scale)


def normalization_affine(
    content: ChannelStatistics, style: ChannelStatistics, alpha: float = 1.0
) -> ChannelAffine:
    """Return adaptive instance normalization as the affine map that it is.

    Args:
        content: Statistics of the content features.
        style: Target statistics, shape `(N, C)`, or `(1, C)` for one style for the whole batch.
        alpha: Strength. Blending content and normalized features, as section 7.3 of the paper
            does, is affine too: 0 is the identity.
    """
    scale = 1 + alpha * (style.std / content.std - 1)
    shift = alpha * (style.mean - content.mean * style.std / content.std)
    return ChannelAffine(scale, shift)


def limit_gain(
    style: ChannelStatistics, content: ChannelStatistics, limit: float
) -> ChannelStatistics:
    """Return a style that amplifies no channel of the content far more than the layer as a whole.

    A channel that is all but silent in a photo would be raised until the one patch that stirs it
    becomes a blot of colour.

    Args:
        style: Statistics of shape `(N, C)` or `(1, C)`.
        content: Statistics of the content features, shape `(N, C)`.
        limit: Largest gain of a channel, as a multiple of the ratio of the norms of all standard
            deviations.
    """
    gain = style.std.norm(dim=1, keepdim=True) / content.std.norm(dim=1, keepdim=True)
    return ChannelStatistics(style.mean, style.std.minimum(limit * gain * content.std))


def adaptive_instance_normalization(
    features: Tensor,
    style: ChannelStatistics,
    alpha: float = 1.0,
    content: ChannelStatistics | None = None,
) -> Tensor:
    """Give content features the channel statistics of a style.

    Args:
        features: Content features, shape `(N, C, H, W)`.
        style: Target statistics, shape `(N, C)`, or `(1, C)` for one style for the whole batch.
        alpha: Strength: 0 returns the features, 1 the full style; values beyond extrapolate.
        content: Statistics of `features` where they are known already or were measured over
            more than this piece of the picture; measured here when None.

    Returns:
        Features of the same shape and precision (equation 8 of the paper).
    """
    content = content or channel_statistics(features)
    return normalization_affine(content, style, alpha).apply(features)


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
