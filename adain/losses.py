"""Losses as plain functions: `(features, target)`, in this order, targets measured beforehand."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from adain.moments import Moments, measure_moments
from adain.normalization import ChannelStatistics, channel_statistics

WASSERSTEIN_RIDGE = 1e-4
"""Added to variances, as a part of the mean square of the style's channels."""

PALETTE_SCALE = 4
"""Pixels along the side of the squares whose mean colours make a picture's palette."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""

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


def chroma_curvature_loss(image: Tensor) -> Tensor:
    """Return the mean squared second difference of the colours, lightness apart.

    Paintings and photos hardly change colour from one pixel to the next, whatever lightness
    does; what decoders add is coloured dots, hatches and fringes along edges. Second
    differences let gradients and, mostly, steps pass.

    Args:
        image: Shape `(N, 3, H, W)`, RGB in [0, 1].
    """
    weights = torch.tensor(LUMINANCE, device=image.device).view(1, 3, 1, 1)
    chroma = image[:, ::2] - (image * weights).sum(1, keepdim=True)
    down, across = (torch.diff(chroma, n=2, dim=dim).square().mean() for dim in (2, 3))
    return down + across


def palette_loss(image: Tensor, painting: Tensor) -> Tensor:
    """Return how far the colours of pictures are from those of paintings, place aside.

    The mean over the pairs of the squared Wasserstein distance of the normal distributions of
    their colours, at a `PALETTE_SCALE`th of the size: there contrast and variety have to come
    from areas, not from texture.

    Args:
        image: Shape `(N, 3, H, W)`, RGB in [0, 1].
        painting: Shape `(N, 3, H', W')`.
    """
    with torch.no_grad():
        targets = [NormalDistribution.of(moments) for moments in _color_moments(painting)]
    pairs = zip(_color_moments(image), targets, strict=True)
    return torch.stack([wasserstein_loss(*pair) for pair in pairs]).mean()


def _color_moments(images: Tensor) -> list[Moments]:
    pooled = F.avg_pool2d(images, PALETTE_SCALE)
    return [measure_moments(image) for image in pooled.split(1)]


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
