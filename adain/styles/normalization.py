"""Adaptive instance normalization and the statistics it works on.

A style is two numbers per feature channel, its mean and its standard deviation (Huang and
Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV
2017, equation 8). They do not depend on the size of the painting, so they can be stored, blended
and sent around instead of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adain.styles.statistics import ChannelStatistics, channel_statistics


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
