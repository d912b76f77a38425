"""Losses on features as plain functions: `(features, target)`, targets measured beforehand."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from adain.network.moments import Moments, measure_moments
from adain.network.statistics import FeatureStatistics, feature_statistics

WASSERSTEIN_RIDGE = 1e-4
"""Added to variances, as a part of the mean square of the style's channels."""

VARIANCE_FLOOR = 0.25
"""Added to a painting's variance, as a part of that of all paintings of the batch."""


def total(losses: Iterable[Tensor]) -> Tensor:
    """Return the sum of terms of a loss."""
    return torch.stack(list(losses)).sum()


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of two feature maps of the same shape."""
    return F.mse_loss(features, target)


def style_loss(features: Tensor, target: FeatureStatistics) -> Tensor:
    """Return how far the channel statistics of `features` are from a style's.

    Mean squared difference of the means plus that of the standard deviations (equation 13 of
    the AdaIN paper, with the average over channels in place of the sum).

    Args:
        features: Shape `(N, C, H, W)`.
        target: Statistics of shape `(N, C)` or `(1, C)`.
    """
    measured = feature_statistics(features)
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


@dataclass(frozen=True)
class NormalDistribution:
    """A normal distribution of features, prepared for `wasserstein_loss`.

    Attributes:
        mean: Shape `(C,)`.
        covariance: Shape `(C, C)`, with `ridge` added to the variances.
        root: Its square root.
        ridge: Features of few positions span few dimensions, and a root has no slope at zero.
    """

    mean: Tensor
    covariance: Tensor
    root: Tensor
    ridge: Tensor

    @staticmethod
    def of(moments: Moments) -> "NormalDistribution":
        """Return the normal distribution with these moments."""
        width = len(moments.mean)
        ridge = WASSERSTEIN_RIDGE * moments.gram.trace() / width
        covariance = moments.covariance + ridge * torch.eye(width, device=ridge.device)
        values, vectors = torch.linalg.eigh(covariance)
        root = vectors * values.clamp_min(0).sqrt() @ vectors.T
        return NormalDistribution(moments.mean, covariance, root, ridge)


def wasserstein_loss(features: Moments, target: NormalDistribution) -> Tensor:
    """Return the squared Wasserstein distance of two normal distributions of features.

    That of the means plus that of the covariances, `tr(A + B - 2 (B^1/2 A B^1/2)^1/2)` (Dowson
    and Landau, "The Frechet distance between multivariate normal distributions", 1982). The
    gradient goes through eigenvalues alone, which is stable also where they coincide.

    Args:
        features: Moments of `C` channels; gradients reach these.
        target: That of a style.
    """
    ridge = target.ridge * torch.eye(len(target.mean), device=target.mean.device)
    covariance = features.covariance + ridge
    shared = torch.linalg.eigvalsh(target.root @ covariance @ target.root)
    means = (features.mean - target.mean).square().sum()
    traces = covariance.trace() + target.covariance.trace()
    distance: Tensor = means + traces - 2 * shared.clamp_min(target.ridge**2).sqrt().sum()
    return distance


def covariance_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return how far features are from a painting's, what goes together with what included.

    The mean over the pairs of `wasserstein_loss`, as a part of the painting's variance. Means and
    standard deviations alone let a channel be loud wherever it likes; paintings have few colours
    that go with few textures.

    Args:
        features: Shape `(N, C, H, W)`.
        target: Features of the paintings, `(N, C, H', W')`.
    """
    losses = []
    for one, other in zip(features.split(1), target.split(1), strict=True):
        with torch.no_grad():
            distribution = NormalDistribution.of(measure_moments(other))
            # A painting of one colour would make any difference endless.
            floor = VARIANCE_FLOOR * target.var((0, 2, 3)).sum()
        spread = distribution.covariance.trace() + floor
        losses.append(wasserstein_loss(measure_moments(one), distribution) / spread)
    return torch.stack(losses).mean()
