"""Losses as plain functions: `(features, target)`, in this order, targets measured beforehand."""

import torch
from torch import Tensor
from torch.nn import functional as F

from adain.normalization import ChannelStatistics, channel_statistics

EDGE_SHARPNESS = 20.0
"""An edge of 0.05, which an eye sees in a flat area, lowers the weight to 1/e."""


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of two feature maps of the same shape."""
    return F.mse_loss(features, target)


def style_loss(features: Tensor, target: ChannelStatistics) -> Tensor:
    """Return how far the channel statistics of `features` are from a style's.

    Mean squared difference of the means plus that of the standard deviations (equation 13 of
    the AdaIN paper, with the average over channels in place of the sum).

    Args:
        features: Shape `(N, C, H, W)`.
        target: Statistics of shape `(N, C)` or `(1, C)`.
    """
    measured = channel_statistics(features)
    return F.mse_loss(measured.mean, target.mean.expand_as(measured.mean)) + F.mse_loss(
        measured.std, target.std.expand_as(measured.std)
    )


def gram_matrix(features: Tensor) -> Tensor:
    """Return the channel correlations `(N, C, C)` of features `(N, C, H, W)`, per position.

    Dividing by the number of positions (and not by the channels) makes paintings of different
    sizes comparable; Gatys et al. (CVPR 2016) divide in the loss instead.
    """
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def gram_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference between the Gram matrix of `features` and `target`."""
    return F.mse_loss(gram_matrix(features), target.expand(features.shape[0], -1, -1))


def total_variation_loss(image: Tensor, guide: Tensor | None = None) -> Tensor:
    """Return the mean squared difference between neighbouring pixels.

    Args:
        image: Shape `(N, C, H, W)`.
        guide: Picture of the same shape; differences count less where it has edges, as in the
            smoothness term of Godard et al. (CVPR 2017). None counts all alike.
    """
    total = image.new_zeros(())
    for dim in (2, 3):
        difference = torch.diff(image, dim=dim).square()
        if guide is not None:
            edges = torch.diff(guide, dim=dim).abs().mean(1, keepdim=True)
            difference = difference * torch.exp(-EDGE_SHARPNESS * edges)
        total = total + difference.mean()
    return total
