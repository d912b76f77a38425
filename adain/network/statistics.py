"""Styles and pictures as tensors: measured, applied, and to and from the arrays of other rooms."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from adain.styles.colors import ColorDistribution, ColorMoments
from adain.styles.recoloring import KNEE, color_transfer
from adain.styles.statistics import EPS, ChannelMoments, ChannelStatistics, StyleStatistics

STRIP_ELEMENTS = 2**19
"""Numbers that are copied at a time while measuring, 2 MB of them."""


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Mean and standard deviation of each channel at one layer, each of shape `(N, C)`."""

    mean: Tensor
    std: Tensor


def feature_statistics(features: Tensor) -> FeatureStatistics:
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
    return FeatureStatistics(mean, (variance + EPS).sqrt())


def layer_statistics(features: Mapping[str, Tensor]) -> dict[str, FeatureStatistics]:
    """Measure features `(N, C, H, W)` by layer name."""
    return {layer: feature_statistics(value) for layer, value in features.items()}


def channel_moments(features: Tensor) -> ChannelMoments:
    """Measure a piece of a picture, features `(N, C, H, W)`, to be merged with others."""
    mean, squares = (value.double().cpu().numpy() for value in _mean_and_squares(features.float()))
    return ChannelMoments(features[0, 0].numel(), mean, squares)


def _mean_and_squares(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the sum of squared deviations from it, each `(N, C)`."""
    # Two passes: as exact as torch.var_mean, which takes ten times as long in channels_last.
    mean = features.mean((2, 3), keepdim=True)
    # The second goes strip by strip, so that no copy of a large feature map is ever made.
    rows = max(1, STRIP_ELEMENTS // features[:, :, 0].numel())
    squares = [(strip - mean).square_().sum((2, 3)) for strip in features.split(rows, dim=2)]
    return mean.flatten(1), torch.stack(squares).sum(0)


def style_tensors(
    style: StyleStatistics, device: torch.device | str = "cpu"
) -> dict[str, FeatureStatistics]:
    """Return a style as tensors, by layer name."""
    return {
        layer: FeatureStatistics(
            torch.tensor(channels.mean, device=device), torch.tensor(channels.std, device=device)
        )
        for layer, channels in style.layers.items()
    }


def to_style(statistics: Mapping[str, FeatureStatistics]) -> StyleStatistics:
    """Return statistics by layer name as a style without colours."""
    return StyleStatistics(
        {
            layer: ChannelStatistics(each.mean.cpu().numpy(), each.std.cpu().numpy())
            for layer, each in statistics.items()
        }
    )


def style_vector(statistics: Mapping[str, FeatureStatistics]) -> Tensor:
    """Return every number as one tensor `(N, D)`: mean, then std, layer by layer."""
    return torch.cat([part for each in statistics.values() for part in (each.mean, each.std)], 1)


def normalization_maps(
    features: Mapping[str, Tensor],
    style: Mapping[str, FeatureStatistics],
    alpha: float = 1.0,
    max_gain: float | None = None,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return scale and shift `(N, C, 1, 1)` of each layer, as `adain.styles.normalization` does.

    Args:
        features: Of photos, `(N, C, H, W)`.
        style: Statistics `(N, C)`, or `(1, C)` for one style for the whole batch.
        alpha: Strength: 0 keeps the features.
        max_gain: As in `adain.styles.normalization.limit_gain`.
    """
    maps = {}
    for layer, value in features.items():
        content, target = feature_statistics(value), style[layer]
        std = target.std
        if max_gain is not None:
            gain = std.norm(dim=1, keepdim=True) / content.std.norm(dim=1, keepdim=True)
            std = std.minimum(max_gain * gain * content.std)
        scale = 1 + alpha * (std / content.std - 1)
        shift = alpha * (target.mean - content.mean * std / content.std)
        maps[layer] = (scale[:, :, None, None], shift[:, :, None, None])
    return maps


def color_moments(images: Tensor) -> ColorMoments:
    """Measure the colours of pictures `(N, 3, H, W)`."""
    values = images.float().flatten(2) - 0.5
    total, products = (each.double().cpu().numpy() for each in (values.sum(2), values @ values.mT))
    return ColorMoments(values.shape[2], total, products)


def recolor(images: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Return pictures with other colours, in [0, 1], as `adain.styles.recoloring` does.

    Args:
        images: Shape `(N, 3, H, W)`, RGB in [0, 1].
        matrix: Shape `(N, 3, 3)`.
        shift: Shape `(N, 3)`.
    """
    mapped = torch.baddbmm(shift[:, :, None], matrix, images.flatten(2))
    return soften(mapped.unflatten(2, images.shape[2:]))


def recolor_as(images: Tensor, wanted: ColorDistribution) -> Tensor:
    """Return pictures `(N, 3, H, W)`, each with these colours, as a pass gives them to the encoder.

    Args:
        images: RGB in [0, 1].
        wanted: Colours for each picture, or of one style for all.
    """
    colors = color_transfer(color_moments(images).distribution(), wanted)
    matrix, shift = (torch.tensor(x).to(images) for x in (colors.matrix, colors.shift))
    return recolor(images, matrix, shift)


def soften(image: Tensor) -> Tensor:
    """Return colours of any range in [0, 1]: lights keep their shades where a clip burns them."""
    inner = image.clamp(KNEE, 1 - KNEE)
    return inner + KNEE * F.softsign((image - inner) / KNEE)


def to_tensor(pixels: NDArray[np.float32]) -> Tensor:
    """Return a picture `(H, W, C)` as a tensor `(1, C, H, W)`."""
    return torch.tensor(pixels).permute(2, 0, 1)[None]


def to_pixels(image: Tensor) -> NDArray[np.float32]:
    """Return a tensor `(1, C, H, W)` as a picture `(H, W, C)`."""
    pixels: NDArray[np.float32] = image[0].detach().permute(1, 2, 0).float().cpu().numpy()
    return pixels


def layer_scale(layer: str) -> int:
    """Return the pixels per position of `relu1_1 ... relu5_1`, along a side."""
    return int(2 ** (int(layer[len("relu")]) - 1))
