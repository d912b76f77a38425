"""Adaptive instance normalization, as the affine map of each channel that it is.

A style is two numbers per feature channel, its mean and its standard deviation (Huang and
Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV
2017, equation 8). They do not depend on the size of the painting, so they can be stored, blended
and sent around instead of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adain.styles.statistics import ChannelStatistics


@dataclass(frozen=True, eq=False)
class ChannelAffine:
    """A scale and a shift of each channel, each of shape `(N, C)`, float32."""

    scale: NDArray[np.float32]
    shift: NDArray[np.float32]


def normalization_affine(
    content: ChannelStatistics, style: ChannelStatistics, alpha: float = 1.0
) -> ChannelAffine:
    """Return what gives features the statistics of a style.

    Args:
        content: Statistics of the content features.
        style: Target statistics, shape `(N, C)`, or `(1, C)` for one style for the whole batch.
        alpha: Strength. Blending content and normalized features, as section 7.3 of the paper
            does, is affine too: 0 is the identity.
    """
    gain = style.std / content.std
    return ChannelAffine(1 + alpha * (gain - 1), alpha * (style.mean - content.mean * gain))


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
    style_norm, content_norm = (
        np.linalg.norm(each.std, axis=1, keepdims=True) for each in (style, content)
    )
    largest = limit * (style_norm / content_norm) * content.std
    return ChannelStatistics(style.mean, np.minimum(style.std, largest))
