"""Targets in each layer: a style measured from paintings, or taken from stored statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from adain.config import LOSS_LAYERS, MIN_SIDE
from adain.network.losses import NormalDistribution
from adain.network.moments import Moments, blend_moments
from adain.network.statistics import FeatureStatistics, style_tensors
from adain.optimizing.strips import StripNetwork
from adain.styles.statistics import StyleStatistics, interpolate_styles

Paintings = Sequence[tuple[NDArray[np.float32], float]]
"""Paintings `(H, W, 3)` in [0, 1], of any size, each with its positive weight."""


@dataclass(frozen=True)
class StyleTarget:
    """The target of one layer, and the power that losses are relative to."""

    target: Moments | NormalDistribution | FeatureStatistics
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


def painting_targets(
    network: StripNetwork, paintings: Sequence[tuple[Tensor, float]], kind: str
) -> dict[str, StyleTarget]:
    """Measure the targets of a style loss, `kind`, of paintings `(1, 3, H, W)` together."""
    weights = [weight for _, weight in paintings]
    if kind == "statistics":
        styles = [network.painting_statistics(painting) for painting, _ in paintings]
        return statistics_targets(interpolate_styles(styles, weights), paintings[0][0].device)
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


def statistics_targets(style: StyleStatistics, device: torch.device) -> dict[str, StyleTarget]:
    """Return the targets of one stored style."""
    return {
        layer: StyleTarget(
            channels,
            max((channels.mean.square() + channels.std.square()).mean().item(), 1e-12),
        )
        for layer, channels in style_tensors(style, device).items()
    }


def resize_pixels(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return `(1, 3, H, W)` at another height and width; values may overshoot a little."""
    if tuple(image.shape[2:]) == size:
        return image
    return F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False)


def shrink_painting(image: Tensor, longer_side: float) -> Tensor:
    """Return a picture in [0, 1] whose longer side is at most that, the shorter at least 16."""
    factor = min(1.0, longer_side / max(image.shape[2:]))
    height, width = (max(MIN_SIDE, round(side * factor)) for side in image.shape[2:])
    return resize_pixels(image, (height, width)).clamp(0, 1)
