"""Maps that carry a style to one photo: those of its colours, its features and the decoder.

Each is affine, so that a strength is a blend with the identity, and styles that share a place are
blended by their shares.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from adain.engine.model import Array, Model
from adain.styles.colors import ColorDistribution
from adain.styles.normalization import limit_gain, normalization_affine
from adain.styles.recoloring import StyleColors, color_transfer, style_colors
from adain.styles.statistics import ChannelStatistics, StyleStatistics


def color_maps(
    estimate: StyleColors, photo: ColorDistribution, styles: Sequence[StyleStatistics]
) -> Array:
    """Return what gives a photo the colours of each style: matrix and shift, `(K, 12)`."""
    affines = [color_transfer(photo, style_colors(style, estimate)) for style in styles]
    rows = [np.concatenate((each.matrix.ravel(), each.shift.ravel())) for each in affines]
    return np.stack(rows).astype(np.float32)


def style_maps(
    model: Model,
    contents: Sequence[Mapping[str, ChannelStatistics]],
    styles: Sequence[StyleStatistics],
    alpha: float,
) -> Array:
    """Return what normalizes features and modulates the decoder, `(K, P)`; see `Engine.decode`.

    Args:
        model: The network.
        contents: Statistics of the photo at each layer, recolored for each style.
        styles: One for each.
        alpha: Strength.
    """
    rows = [
        _style_map(model, content, style, alpha)
        for content, style in zip(contents, styles, strict=True)
    ]
    return np.concatenate(rows).astype(np.float32)


def _style_map(
    model: Model,
    content: Mapping[str, ChannelStatistics],
    style: StyleStatistics,
    alpha: float,
) -> Array:
    parts = []
    for layer, channels in content.items():
        wanted = style[layer]
        if model.weights.max_gain is not None:
            wanted = limit_gain(wanted, channels, model.weights.max_gain)
        affine = normalization_affine(channels, wanted, alpha)
        parts += [affine.scale - 1, affine.shift]
    if model.modulation is not None:
        parts.append(alpha * model.modulation(style.to_vector()))
    return np.concatenate(parts, axis=1)
